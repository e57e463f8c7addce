//! Many clusters at once: three real control planes on this machine, one of which fails, drifts, is killed; and fleet files that
//! are refused (`tests/fleets/bad`: each beside the problems it must give; `UPDATE_EXPECTED=1` writes what was found).

mod support;

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::home::{Home, Run};
use support::small::{self, Running, until};
use wbk_infra::blueprint::{DiskFiles, Source, load_fleet};

const CLUSTERS: [&str; 3] = ["east", "west", "north"];

/// A fleet of three small platforms, each with an overlay that names its cluster.
fn write(home: &Home, hook_seconds: u32) {
    small::write(home, "v1", hook_seconds);
    for name in CLUSTERS {
        home.write(&format!("fleet/{name}.yaml"), &format!("cluster: {{name: small-{name}}}\n"));
    }
    home.write("fleet/common.yaml", "policy: {maxDeletes: 5}\n");
    let clusters: String = CLUSTERS
        .map(|name| format!("  - {{name: {name}, blueprint: ../small.yaml, overlays: [{name}.yaml]}}\n"))
        .concat();
    home.write(
        "fleet/all.yaml",
        &format!(
            "apiVersion: wbk-infra/v1\nkind: Fleet\nmetadata: {{name: all}}\noverlays: [common.yaml]\nclusters:\n{clusters}"
        ),
    );
}

fn fleet(home: &Home, arguments: &[&str]) -> Run {
    let mut all = vec!["fleet", arguments[0], "fleet/all.yaml"];
    all.extend(&arguments[1..]);
    small::run(home, &all)
}

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("one JSON document: {error}\n{}", run.all()))
}

fn states(report: &Value) -> Vec<(&str, &str)> {
    let clusters = report["clusters"].as_array().expect("clusters");
    clusters.iter().map(|one| (one["name"].as_str().unwrap(), one["state"].as_str().unwrap())).collect()
}

fn kubectl(home: &Home, cluster: &str, arguments: &[&str]) -> Run {
    home.kubectl(&format!("small-{cluster}"), arguments)
}

fn config_map(home: &Home, cluster: &str) -> String {
    kubectl(home, cluster, &["-n", "team", "get", "configmap", "one", "-o", "jsonpath={.data.a}"]).stdout
}

/// The processes of this program that work on a saved plan of this home's fleet.
fn children(home: &Home, cluster: &str) -> Vec<i32> {
    let plan = home.state().join(format!("fleets/all/apply/{cluster}.plan")).display().to_string();
    let processes = std::fs::read_dir("/proc").expect("processes can be listed").flatten();
    processes
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?; // It ended meanwhile.
            let line = String::from_utf8_lossy(&line).into_owned();
            (line.contains("\0apply\0") && line.contains(&plan)).then_some(pid)
        })
        .collect()
}

#[test]
fn a_fleet_is_planned_applied_and_looked_at_and_a_failure_stops_nobody_else() {
    let home = Home::new();
    write(&home, 0);
    // What only the API server refuses.
    home.write(
        "fleet/refused.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: refused, namespace: team}\nspec: {clusterIP: 203.0.113.7, ports: [{port: 80}]}\n",
    );
    home.write("fleet/north.yaml", "cluster: {name: small-north}\nobjects: [../manifests/*.yaml, refused.yaml]\n");

    let planned = fleet(&home, &["plan"]).expect(0);
    assert!(planned.stdout.starts_with("Fleet all: plan of 3 clusters in "), "{}", planned.stdout);
    assert!(planned.stdout.contains("\n  east   pending "), "{}", planned.stdout);
    assert!(planned.stdout.ends_with("3 pending.\n"), "{}", planned.stdout);
    assert_eq!(fleet(&home, &["plan", "--exit-code", "-q"]).code, 3);
    assert!(!home.state().join("clusters").exists(), "a plan changes nothing");

    // North is refused by its server; the others are done, and so is all of north that does not need the refused one.
    let first = fleet(&home, &["apply", "--yes", "--no-verify", "-o", "json"]).expect(4);
    let found = report(&first);
    assert_eq!(states(&found), [("east", "done"), ("west", "done"), ("north", "stopped")], "{}", first.all());
    let ended = found["clusters"][2]["ended"].as_str().unwrap();
    assert!(ended.contains("1 failed") && ended.contains("Service team/refused"), "{ended}");
    assert_eq!(found["clusters"][2]["report"]["failed"][0]["step"], "Service team/refused");
    assert_eq!(CLUSTERS.map(|name| config_map(&home, name)), ["1", "1", "1"]);
    let schema: Value = serde_json::from_str(&home.run(&["schema", "fleet-report"]).expect(0).stdout).expect("JSON");
    let problems = support::schema::problems(&schema, &found);
    assert!(problems.is_empty(), "{problems:#?}");

    // Mended, and verified: nothing is to be done in two of them.
    home.write("fleet/north.yaml", "cluster: {name: small-north}\n");
    let mended = fleet(&home, &["apply", "--yes"]).expect(0);
    assert!(mended.stdout.contains("checks pass, 0 fail") && mended.stdout.ends_with("3 ok.\n"), "{}", mended.all());
    assert_eq!(fleet(&home, &["plan", "--exit-code"]).code, 0);
    let status = fleet(&home, &["status", "-o", "json"]).expect(0);
    assert!(
        report(&status)["clusters"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| { one["ended"].as_str().unwrap().starts_with("answers (context wbk-infra-small-") })
    );
    fleet(&home, &["verify", "--only", "west"]).expect(0);

    // The same thing is deleted twice, and mended twice: the second plan says what the first said, and is another plan.
    for _ in 0..2 {
        kubectl(&home, "west", &["-n", "team", "delete", "configmap", "one"]).expect(0);
        let drift = fleet(&home, &["drift", "-o", "json"]).expect(3);
        let found = report(&drift);
        assert_eq!(states(&found), [("east", "done"), ("west", "pending"), ("north", "done")], "{}", drift.all());
        assert_eq!(found["clusters"][1]["details"][0], "ConfigMap team/one: the object is gone");
        fleet(&home, &["apply", "--yes", "--no-verify"]).expect(0);
        assert_eq!(config_map(&home, "west"), "1");
    }
    fleet(&home, &["drift"]).expect(0);

    // Two entries that lead to one API server under two names are seen once both were asked, and neither is touched.
    let kubeconfig = home.kubeconfig("small-east");
    let text = std::fs::read_to_string(&kubeconfig).expect("a kubeconfig");
    home.write("fleet/one.kubeconfig", &text);
    home.write("fleet/two.kubeconfig", &text);
    for name in ["one", "two"] {
        let blueprint = format!(
            "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: {name}}}\ncluster: {{provider: existing, kubeconfig: {name}.kubeconfig}}\nnamespaces: [{{name: other}}]\n"
        );
        home.write(&format!("fleet/{name}.yaml"), &blueprint);
    }
    home.write("fleet/gone.kubeconfig", &unreachable(&text));
    home.write(
        "fleet/gone.yaml",
        "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: gone}\ncluster: {provider: existing, kubeconfig: gone.kubeconfig}\nnamespaces: [{name: other}]\n",
    );
    home.write(
        "fleet/all.yaml",
        "apiVersion: wbk-infra/v1\nkind: Fleet\nmetadata: {name: all}\nclusters:\n  - {name: one, blueprint: one.yaml}\n  - {name: two, blueprint: two.yaml}\n  - {name: gone, blueprint: gone.yaml}\n  - {name: west, blueprint: ../small.yaml, overlays: [west.yaml]}\n",
    );
    let twice = fleet(&home, &["apply", "--yes", "--no-verify", "-o", "json"]).expect(4);
    let found = report(&twice);
    assert_eq!(
        states(&found),
        [("one", "failed"), ("two", "failed"), ("gone", "failed"), ("west", "done")],
        "{}",
        twice.all()
    );
    assert!(found["clusters"][0]["ended"].as_str().unwrap().contains("the same cluster as two"), "{}", twice.stdout);
    assert_eq!(kubectl(&home, "east", &["get", "namespace", "other"]).code, 1, "nothing was made");
    let gone = fleet(&home, &["drift", "--skip", "one", "--skip", "two"]).expect(1);
    assert!(gone.stdout.contains("look at the cluster of gone") && gone.stdout.contains("1 ok"), "{}", gone.stdout);

    // No secret is in anything that was kept or printed.
    for entry in std::fs::read_dir(home.state().join("fleets/all/apply")).expect("the outputs").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("an output is text");
        assert!(!text.contains("a-token"), "{} holds the secret", entry.path().display());
    }
}

/// The kubeconfig with a port on which nobody listens.
fn unreachable(kubeconfig: &str) -> String {
    let (before, after) = kubeconfig.split_once("https://127.0.0.1:").expect("a server on loopback");
    format!("{before}https://127.0.0.1:1{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn an_interrupt_reaches_all_a_kill_only_one_and_the_next_apply_finishes() {
    let home = Home::new();
    // The hook keeps every apply busy once its namespace is there.
    write(&home, 20);
    let start = |name: &str| {
        let arguments = ["fleet", "apply", "fleet/all.yaml", "--yes", "--no-verify", "-o", "json"];
        Running::start(&home, name, &mut small::command(&home, &arguments))
    };
    let log = |cluster: &str| home.state().join(format!("fleets/all/apply/{cluster}.apply.log"));
    let is_busy =
        |cluster: &str| std::fs::read_to_string(log(cluster)).is_ok_and(|text| text.contains("Namespace team"));

    let first = start("first");
    until("all three to be at work", || CLUSTERS.iter().all(|name| is_busy(name)).then_some(()));
    // A second one at the same time is refused, and disturbs nobody.
    let second = fleet(&home, &["apply", "--yes"]).expect(1);
    assert!(second.stderr.contains("the same command of this fleet is under way"), "{}", second.all());
    first.signal(Signal::INT);
    let first = first.finish().expect(130);
    let found = report(&first);
    assert!(
        found["exitCode"] == 130 && states(&found).iter().any(|(_, state)| *state == "interrupted"),
        "{}",
        first.all()
    );
    for name in CLUSTERS {
        assert_eq!(children(&home, name), Vec::<i32>::new(), "{name}: its process goes on");
    }

    let killed = start("killed");
    let child = until("the apply of west", || children(&home, "west").pop());
    kill_process(Pid::from_raw(child).expect("not 0"), Signal::KILL).expect("it can be killed");
    let killed = killed.finish().expect(4);
    let found = report(&killed);
    assert_eq!(states(&found), [("east", "done"), ("west", "stopped"), ("north", "done")], "{}", killed.all());
    assert_eq!(found["clusters"][1]["ended"], "a signal ended it");

    fleet(&home, &["apply", "--yes", "--no-verify"]).expect(0);
    assert_eq!(fleet(&home, &["plan", "--exit-code"]).code, 0);
    assert_eq!(CLUSTERS.map(|name| config_map(&home, name)), ["1", "1", "1"]);
}

#[test]
fn bad_fleets_are_refused_with_every_problem_and_its_position() {
    let mut files: Vec<PathBuf> = std::fs::read_dir("tests/fleets/bad")
        .expect("the cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() > 8, "{files:?}");
    let mut differences = Vec::new();
    for path in files {
        let source = Source { name: path.display().to_string(), text: std::fs::read_to_string(&path).expect("text") };
        let problems = match load_fleet(&source) {
            Err(problems) => problems,
            Ok(loaded) => loaded.lint(&DiskFiles, jiff::civil::date(2026, 11, 22), &|_| true),
        };
        assert!(problems.has_errors(), "{} is accepted", path.display());
        expect(&path.with_extension("txt"), &format!("{problems}\n"), &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn expect(path: &Path, found: &str, differences: &mut Vec<String>) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(path, found).expect("written");
    } else if std::fs::read_to_string(path).unwrap_or_default() != found {
        differences.push(format!("{} differs; found:\n{found}", path.display()));
    }
}

#[test]
fn what_does_not_fit_is_wrong_usage() {
    let home = Home::new();
    write(&home, 0);
    let unknown = fleet(&home, &["plan", "--only", "eest"]).expect(2);
    assert!(
        unknown.stderr.contains("fleet/all.yaml has no such cluster; it has east, west, north"),
        "{}",
        unknown.stderr
    );
    let context = fleet(&home, &["plan", "--context", "prod"]).expect(2);
    assert!(context.stderr.contains("write `context:` for each of them"), "{}", context.stderr);
    let none = fleet(&home, &["plan", "--only", "east", "--skip", "east"]).expect(2);
    assert!(none.stderr.contains("leave no cluster"), "{}", none.stderr);
    fleet(&home, &["drift", "-o", "sarif"]).expect(2);
    // Nothing runs where one blueprint is wrong, unless it is left out.
    home.write("fleet/west.yaml", "cluster: {nam: small-west}\n");
    let wrong = fleet(&home, &["apply", "--yes"]).expect(1);
    assert!(
        wrong.stderr.contains("the fleet has 1 problem:") && wrong.stderr.contains("did you mean `name`?"),
        "{}",
        wrong.stderr
    );
    assert!(!home.state().exists(), "nothing was started");
}
