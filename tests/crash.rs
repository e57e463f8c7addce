//! Killed and interrupted at any instant: the next run finishes the work, with no duplicate, no orphan and no lock left.

mod support;

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use support::home::Home;
use support::small::{self, CONTENTS, NAME, Running, until};

/// Lines of the journal.
fn announced(home: &Home) -> usize {
    let journal = home.state().join("journal").join(format!("{NAME}@{NAME}.jsonl"));
    std::fs::read(journal).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// Starts a command and kills it when the journal has so many lines. `false`: it ended before.
fn killed_at(home: &Home, lines: usize, command: &mut Command) -> bool {
    // The former run's journal would count.
    let _ = std::fs::remove_file(home.state().join("journal").join(format!("{NAME}@{NAME}.jsonl")));
    let mut running = Running::start(home, "killed", command);
    loop {
        if announced(home) >= lines {
            let still_ran = running.is_running();
            running.kill();
            return still_ran;
        }
        if !running.is_running() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200)); // Between two looks at the journal, which the end of the run bounds.
    }
}

fn lease_holder(home: &Home) -> String {
    let path = "jsonpath={.spec.holderIdentity}";
    home.kubectl(NAME, &["-n", "wbk-infra", "get", "lease", "blueprint-small", "-o", path]).expect(0).stdout
}

/// Everything of the blueprint, sorted; the release's records by their number alone.
fn things(home: &Home) -> Vec<String> {
    let kinds = "namespaces,resourcequotas,limitranges,secrets,configmaps,serviceaccounts,rolebindings,priorityclasses,\
                 customresourcedefinitions,deployments,replicasets,pods,jobs";
    let mut lines: Vec<String> = Vec::new();
    let template =
        "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.labels}{\"\\n\"}{end}";
    let listed = home.kubectl(NAME, &["get", kinds, "-A", "-o", template]).expect(0).stdout;
    for line in listed.lines() {
        let mut words = line.split(' ');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let ours = line.contains("\"wbk-infra/blueprint\":\"small\"") || name.starts_with("team/");
        // What the control plane makes by itself in every namespace.
        let made_for_us = name == "team/kube-root-ca.crt" || name == "team/default";
        if !ours || made_for_us || name.starts_with("wbk-infra/") {
            continue;
        }
        match kind {
            "Pod" | "ReplicaSet" => lines.push(format!("{kind} of web")),
            "Secret" if name.contains("sh.helm.release.v1.") => {
                if line.contains("\"status\":\"deployed\"") {
                    lines.push("deployed release".into());
                }
            }
            _ => lines.push(format!("{kind} {name}")),
        }
    }
    lines.sort();
    lines
}

/// Takes away all but cluster and namespace.
fn destroy_contents(home: &Home) -> Command {
    let arguments = [["destroy", "small.yaml", "--yes", "--max-deletes", "20"].as_slice(), &CONTENTS].concat();
    small::command(home, &arguments)
}

fn destroy_all(home: &Home) -> Command {
    small::command(home, &["destroy", "small.yaml", "--yes", "--delete", "all"])
}

fn apply(home: &Home) -> Command {
    small::command(home, &["apply", "small.yaml", "--yes", "--no-verify"])
}

/// Applies to the end; the result is complete, and nobody was waited for.
fn applied(home: &Home, after: &str) {
    let run = Home::finish(&mut apply(home));
    assert_eq!(run.code, 0, "after {after}:\n{}", run.all());
    assert!(run.stderr.contains("planned again: nothing to do"), "after {after}:\n{}", run.all());
    assert!(!run.stderr.contains("holds the lease"), "a dead holder of this machine is not waited for: {}", run.stderr);
    // Killed between its last entry and the hand-back, an apply leaves nothing to do and a Lease that nobody renews.
    if run.stderr.contains("done:") {
        assert_eq!(lease_holder(home), "", "after {after}");
    }
}

#[test]
fn killed_at_every_step_of_apply_and_destroy_the_next_run_finishes_the_work() {
    let home = Home::new();
    small::write(&home, "v1", 0);
    // The very first one, before and while there is a cluster.
    let cluster = home.state().join("clusters").join(NAME);
    for part in ["cluster.json", "kubeconfig", "run"] {
        let mut running = Running::start(&home, "first", &mut apply(&home));
        until(&format!("{part} or an early end"), || {
            (cluster.join(part).exists() || !running.is_running()).then_some(())
        });
        running.kill();
    }
    applied(&home, "a kill during the first start");
    let complete = things(&home);
    assert!(complete.iter().any(|line| line == "deployed release"), "{complete:?}");
    assert_eq!(complete.iter().filter(|line| *line == "Pod of web").count(), 1, "{complete:?}");

    let (mut destroys, mut applies) = (true, true);
    let mut lines = 1;
    while destroys || applies {
        destroys = destroys && killed_at(&home, lines, &mut destroy_contents(&home));
        let run = Home::finish(&mut destroy_contents(&home));
        assert_eq!(run.code, 0, "after a destroy that was killed at entry {lines}:\n{}", run.all());
        assert!(run.stdout.contains("Left, "), "what was kept is named: {}", run.stdout);
        // Pods and ReplicaSets go after their Deployment.
        until("all but the namespace to go", || (things(&home) == ["Namespace /team"]).then_some(()));

        applies = applies && killed_at(&home, lines, &mut apply(&home));
        applied(&home, &format!("a kill at entry {lines}"));
        // Pods of a former ReplicaSet may still be going.
        until("the same things as after the first apply", || (things(&home) == complete).then_some(()));
        // A step has two entries, its start and its end: every second one sees each step.
        lines += 2;
    }
    eprintln!("killed at every second of {lines} entries of the journal");
    assert!(lines > 20, "{lines} entries are too few to have seen every step");

    // The cluster itself, killed while it goes.
    for lines in [2, 8] {
        killed_at(&home, lines, &mut destroy_all(&home));
    }
    let gone = Home::finish(&mut destroy_all(&home)).expect(0);
    assert!(gone.stdout.contains("Left: nothing."), "{}", gone.all());
    assert!(home.run(&["local", "list"]).stdout.contains("no local clusters"));
    assert!(processes_of(&home.state()).is_empty(), "{:?}", processes_of(&home.state()));
}

/// Processes whose arguments name a folder.
fn processes_of(folder: &std::path::Path) -> Vec<(u32, String)> {
    let wanted = folder.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("procfs").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may end while it is looked at.
        let Ok(bytes) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        if line.contains(&wanted) {
            found.push((pid, line));
        }
    }
    found
}

/// The helm that installs or upgrades for this process.
fn helm_of(parent: u32) -> Option<u32> {
    let children = std::fs::read_dir(format!("/proc/{parent}/task")).ok()?.flatten().flat_map(|task| {
        std::fs::read_to_string(task.path().join("children"))
            .unwrap_or_default() // A thread may end meanwhile.
            .split_whitespace()
            .filter_map(|pid| pid.parse::<u32>().ok())
            .collect::<Vec<_>>()
    });
    children.into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(" upgrade ") || line.contains(" install ")
    })
}

/// Whether the newest revision of the release is pending.
fn is_pending(home: &Home) -> Option<()> {
    release_status(home).starts_with("pending").then_some(())
}

/// Whether a process works; one that ended and that nobody waits for has no arguments any more.
fn lives(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|arguments| !arguments.is_empty())
}

/// The status of the newest revision: helm leaves older ones as they were when they were cut off.
fn release_status(home: &Home) -> String {
    let path = "jsonpath={range .items[*]}{.metadata.labels.version} {.metadata.labels.status}{\"\\n\"}{end}";
    let listed = home.kubectl(NAME, &["-n", "team", "get", "secrets", "-l", "owner=helm", "-o", path]).stdout;
    let revisions = listed.lines().filter_map(|line| {
        let (version, status) = line.split_once(' ')?;
        Some((version.parse::<u32>().ok()?, status.to_owned()))
    });
    revisions.max().map_or_else(String::new, |(_, status)| status)
}

fn tools_value(home: &Home) -> String {
    home.kubectl(NAME, &["-n", "team", "get", "configmap", "tools", "-o", "jsonpath={.data.value}"]).stdout
}

#[test]
fn interrupts_two_applies_and_a_release_cut_off_are_all_completed_by_the_next() {
    let home = Home::new();
    small::write(&home, "v1", 0);

    // Ctrl-C once, while the cluster starts: the start is finished, nothing more begins.
    let running = Running::start(&home, "once", &mut apply(&home));
    until("the start of the cluster", || (announced(&home) >= 2).then_some(()));
    running.signal(Signal::INT);
    let run = running.finish().expect(130);
    assert!(run.stderr.contains("stopping: 1 running steps are finished"), "{}", run.stderr);
    assert!(run.stderr.contains("1 done, 0 failed"), "{}", run.stderr);
    assert!(run.stderr.contains("apply again to finish"), "{}", run.stderr);
    assert!(home.run(&["local", "list"]).stdout.contains("running"), "the running step was finished");
    applied(&home, "one Ctrl-C");

    // Ctrl-C twice, while helm waits for a hook that takes ten minutes: stops now, and helm with it.
    small::write(&home, "v2", 600);
    let running = Running::start(&home, "twice", &mut apply(&home));
    let helm = until("helm to run", || helm_of(running.pid()));
    until("the release to be pending", || is_pending(&home));
    running.signal(Signal::INT);
    until("the first interrupt to be heard", || running.output().1.contains("stopping:").then_some(()));
    running.signal(Signal::INT);
    let run = running.finish().expect(130);
    assert!(
        run.stderr.contains("Release team/tools was let go") || run.stderr.contains("tools was let go"),
        "{}",
        run.stderr
    );
    until("helm to end", || (!lives(helm)).then_some(()));
    small::write(&home, "v3", 0);
    applied(&home, "two Ctrl-C");
    assert_eq!(tools_value(&home), "v3");

    // A second apply while the first one waits is refused, and names who holds it.
    small::write(&home, "v4", 600);
    let mut first = Running::start(&home, "first", &mut apply(&home));
    until("helm to run", || helm_of(first.pid()));
    until("the release to be pending", || is_pending(&home));
    let before = things(&home);
    let second = Home::finish(&mut apply(&home)).expect(1);
    assert!(second.stderr.contains("another apply of this blueprint is under way"), "{}", second.stderr);
    assert!(second.stderr.contains(&first.pid().to_string()), "{}", second.stderr);
    assert!(second.stderr.contains("hint: "), "{}", second.stderr);
    assert_eq!(things(&home), before);
    assert!(first.is_running());

    // Killed with its helm still running: the next apply ends that helm before it repairs the release.
    let helm = helm_of(first.pid()).expect("helm runs");
    first.kill();
    small::write(&home, "v5", 0);
    let planned = small::run(&home, &["plan", "small.yaml"]).expect(0);
    assert!(planned.stdout.contains("pending"), "{}", planned.stdout);
    applied(&home, "a kill while helm ran");
    assert!(!lives(helm), "the orphan helm was not ended");
    assert_eq!(tools_value(&home), "v5");
    assert_eq!(release_status(&home), "deployed");

    // The program and helm killed at once.
    small::write(&home, "v6", 600);
    let first = Running::start(&home, "both", &mut apply(&home));
    let helm = until("helm to run", || helm_of(first.pid()));
    until("the release to be pending", || is_pending(&home));
    first.kill();
    let pid = rustix::process::Pid::from_raw(i32::try_from(helm).expect("a pid")).expect("not 0");
    rustix::process::kill_process(pid, Signal::KILL).expect("helm can be killed");
    until("helm to end", || (!lives(helm)).then_some(()));
    small::write(&home, "v7", 0);
    applied(&home, "a kill of both");
    assert_eq!(tools_value(&home), "v7");
    let left = std::fs::read_dir(home.state().join("helm")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "credentials that killed applies left are removed by the next");
    assert!(processes_of(&home.state().join("helm")).is_empty());
}
