//! The sweep that `wbk-infra sweep run` makes, searched by real agents to its end: the container's command and environment of the Job that
//! was made, each as a process beside the cluster whose nodes are simulated. Agents are killed in the middle, the Job is deleted, and
//! the same command goes on: every set is tried to its end once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use wbk_fake_wandb::world::RunKey;
use wbk_fake_wandb::{Config, Entity, FakeWandb};

use super::sdk::{self, Sdk};
use super::support::home::{Home, Run};

const BLUEPRINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/launch-local.yaml");
const ENTITY: &str = "my-team";
const PROJECT: &str = "training";
/// Six runs one after the other by two agents, each with the import of an SDK, on busy cores.
const PATIENCE: Duration = Duration::from_secs(300);
const SWEEP: &str = "\
program: train.py
name: lr-search
project: training
method: grid
metric: {name: loss, goal: minimize}
parameters: {lr: {values: [0.1, 0.01, 0.001]}, size: {values: [1, 2]}}
";
/// Says that it may be interrupted, then trains for as long as a file is there; writes down what it finished.
const TRAIN: &str = r#"
import os, pathlib, signal, sys, time
import wandb

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
run = wandb.init()
run.mark_preempting()
here = pathlib.Path(__file__).parent
while (here / "hold").exists():
    time.sleep(0.1)
run.log({"loss": float(run.config["lr"]) * int(run.config["size"])})
run.finish()
with open(here / "finished", "a") as out:
    out.write(f"{run.config['lr']} {run.config['size']} {run.id}\n")
"#;

struct Bench<'s> {
    sdk: &'s Sdk,
    home: Home,
    server: FakeWandb,
    overlay: String,
    folder: tempfile::TempDir,
}

/// An agent's container, played by processes. It ends with this value, as a container does: all at once.
struct Agent {
    child: Child,
    log: std::path::PathBuf,
}

impl Bench<'_> {
    fn run(&self, words: &[&str]) -> Run {
        let all = [words, &["-f", BLUEPRINT, "-f", &self.overlay]].concat();
        Home::finish(self.home.command(&all).env("WANDB_API_KEY", self.server.key()))
    }

    /// `sweep run`; answers the sweep's path.
    fn begin(&self) -> String {
        let words = ["sweep", "run", "l4", "--config", "sweep.yaml", "--image", "localhost/train:1", "--agents", "2"];
        self.run(&words).expect(0).stdout.trim().to_owned()
    }

    fn get(&self, words: &[&str]) -> Value {
        let run =
            self.home.kubectl("launch-local", &[&["get", "-n", "wandb-jobs", "-o", "json"], words].concat()).expect(0);
        serde_json::from_str(&run.stdout).expect("JSON")
    }

    /// Starts the container of the sweep's Job as it stands in the cluster.
    fn agent(&self, name: &str) -> Agent {
        let container = self.get(&["job", "sweep-lr-search"])["spec"]["template"]["spec"]["containers"][0].clone();
        let words =
            ["command", "args"].into_iter().flat_map(|part| container[part].as_array().cloned().unwrap_or_default());
        let words: Vec<String> = words.map(|word| word.as_str().expect("a word").to_owned()).collect();
        let mut environment = BTreeMap::new();
        for variable in container["env"].as_array().expect("an environment") {
            let reference = &variable["valueFrom"]["secretKeyRef"];
            let value = match reference["name"].as_str() {
                None => variable["value"].as_str().expect("a value").to_owned(),
                Some(secret) => {
                    let data = self.get(&["secret", secret])["data"][reference["key"].as_str().expect("a key")].clone();
                    String::from_utf8(STANDARD.decode(data.as_str().expect("data")).expect("base64")).expect("text")
                }
            };
            environment.insert(variable["name"].as_str().expect("a name").to_owned(), value);
        }
        assert_eq!(environment["WANDB_API_KEY"], self.server.key());
        let log = self.folder.path().join(format!("{name}.log"));
        let out = std::fs::File::create(&log).expect("a log");
        let child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.sdk.bin.display()))
            .env("HOME", self.folder.path())
            .envs(&environment)
            // Nothing is told to anybody outside this machine.
            .env("WANDB_ERROR_REPORTING", "false")
            .env("NO_PROXY", "127.0.0.1,localhost")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out)
            .spawn()
            .expect("the container's command starts");
        Agent { child, log }
    }

    fn hold(&self, hold: bool) {
        let file = self.folder.path().join("hold");
        if hold { std::fs::write(&file, "") } else { std::fs::remove_file(&file) }.expect("a file");
    }

    /// Names and states of the runs.
    fn runs(&self) -> Vec<(String, String)> {
        self.server.with(|world| {
            world
                .runs
                .iter()
                .filter(|(_, run)| run.sweep.is_some())
                .map(|(key, run)| (key.name.clone(), run.state.clone()))
                .collect()
        })
    }

    fn until<T>(&self, what: &str, agents: &[&Agent], look: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                let logs: Vec<String> =
                    agents.iter().map(|agent| std::fs::read_to_string(&agent.log).unwrap_or_default()).collect();
                panic!(
                    "wandb {}: awaited in vain: {what}; runs {:?}\n{}",
                    self.sdk.version,
                    self.runs(),
                    logs.join("\n--\n")
                );
            }
            std::thread::sleep(Duration::from_millis(200)); // Between two looks at a condition that has a deadline.
        }
    }
}

/// A process and everything below it.
fn family(pid: u32) -> Vec<u32> {
    let mut parents = BTreeMap::<u32, Vec<u32>>::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.entry(parent.unwrap_or_default()).or_default().push(pid);
    }
    let mut all = vec![pid];
    let mut at = 0;
    while at < all.len() {
        all.extend(parents.get(&all[at]).into_iter().flatten());
        at += 1;
    }
    all
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

impl Agent {
    /// As the kernel ends a container whose node is lost.
    fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            for pid in family(self.child.id()) {
                send(pid, Signal::KILL);
            }
        }
        // Reaped, whatever it ended with.
        let _ = self.child.wait();
    }

    /// As the kubelet tells a container to end that is evicted.
    fn tell_to_end(&self) {
        send(self.child.id(), Signal::TERM);
    }

    fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("our child").map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One SDK, from nothing to the sweep's end.
pub fn hold(sdk: &Sdk) {
    let begun = Instant::now();
    let server =
        FakeWandb::start(Config { entities: vec![Entity::team(ENTITY)], ..Config::default() }).expect("a free port");
    let home = Home::new();
    let overlay =
        home.write("here.yaml", &format!("launch:\n  baseUrl: '{}'\n  sdk: '{}'\n", server.url(), sdk.version));
    home.write("sweep.yaml", SWEEP);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("train.py"), TRAIN).expect("a program");
    let bench = Bench { sdk, overlay: overlay.to_str().expect("a plain path").to_owned(), home, server, folder };
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    bench.hold(true);
    let path = bench.begin();
    eprintln!("  wandb {}, sweep: {:.0} s: {path} is made", sdk.version, begun.elapsed().as_secs_f64());

    // Two agents train; one is told to end, as a pod that is evicted, the other's node is lost.
    let mut told = bench.agent("told");
    let mut lost = bench.agent("lost");
    let both = bench.until("two runs that may be interrupted", &[&told, &lost], || {
        let runs = bench.runs();
        (runs.len() == 2 && runs.iter().all(|(_, state)| state == "preempting")).then_some(runs)
    });
    lost.kill();
    told.tell_to_end();
    if sdk.version == sdk::NEWEST {
        // The training hears it, ends with an error, and comes back; the container says that it was interrupted.
        let code = {
            let begun = Instant::now();
            loop {
                if let Some(code) = told.ended() {
                    break code;
                }
                assert!(begun.elapsed() < PATIENCE, "it does not end");
                std::thread::sleep(Duration::from_millis(100)); // Between two looks at a condition that has a deadline.
            }
        };
        assert_eq!(code, 143, "{}", std::fs::read_to_string(&told.log).unwrap_or_default());
        bench.until("the interrupted run to come back", &[&told], || {
            bench.runs().iter().any(|(_, state)| state == "preempted").then_some(())
        });
    } else {
        // This SDK passes no signal on: it goes on until it is killed.
        assert_eq!(told.ended(), None);
    }
    told.kill();
    // Five minutes later W&B knows of it.
    bench.server.with(|world| {
        for (name, state) in &both {
            let key = RunKey::new(ENTITY, PROJECT, name);
            if world.runs[&key].state == "preempting" {
                assert_eq!(state, "preempting");
                world.lose(&key);
            }
        }
    });
    eprintln!("  wandb {}, sweep: {:.0} s: both agents are gone", sdk.version, begun.elapsed().as_secs_f64());

    // The Job is gone with its node's last pod; the same command goes on with the same sweep.
    bench.home.kubectl("launch-local", &["-n", "wandb-jobs", "delete", "job", "sweep-lr-search"]).expect(0);
    assert_eq!(bench.begin(), path);
    bench.hold(false);
    let mut agents = [bench.agent("third"), bench.agent("fourth")];
    let begun_again = Instant::now();
    while !agents.iter_mut().all(|agent| agent.ended().is_some()) {
        let logs =
            || agents.iter().map(|agent| std::fs::read_to_string(&agent.log).unwrap_or_default()).collect::<Vec<_>>();
        assert!(
            begun_again.elapsed() < PATIENCE,
            "the sweep does not end: {:?}\n{}",
            bench.runs(),
            logs().join("\n--\n")
        );
        std::thread::sleep(Duration::from_millis(200)); // Between two looks at a condition that has a deadline.
    }
    assert_eq!(agents.iter_mut().map(Agent::ended).collect::<Vec<_>>(), [Some(0), Some(0)]);
    eprintln!("  wandb {}, sweep: {:.0} s: it has ended", sdk.version, begun.elapsed().as_secs_f64());

    // One sweep; six runs, all finished; every set finished once; the two that were interrupted under their own names.
    let (sweeps, state) = bench
        .server
        .with(|world| (world.sweeps.len(), world.sweeps.values().map(|sweep| sweep.state.clone()).collect::<Vec<_>>()));
    assert_eq!((sweeps, state), (1, vec!["FINISHED".to_owned()]));
    let runs = bench.runs();
    assert!(runs.len() == 6 && runs.iter().all(|(_, state)| state == "finished"), "{runs:?}");
    let finished = std::fs::read_to_string(bench.folder.path().join("finished")).expect("what was finished");
    let lines: Vec<Vec<&str>> = finished.lines().map(|line| line.split(' ').collect()).collect();
    let sets: BTreeSet<(&str, &str)> = lines.iter().map(|line| (line[0], line[1])).collect();
    assert_eq!((lines.len(), sets.len()), (6, 6), "{finished}");
    let names: BTreeSet<&str> = lines.iter().map(|line| line[2]).collect();
    assert_eq!(names.len(), 6, "{finished}");
    assert!(both.iter().all(|(name, _)| names.contains(name.as_str())), "{both:?} are not in {finished}");

    let status: Value =
        serde_json::from_str(&bench.run(&["sweep", "status", "-o", "json"]).expect(0).stdout).expect("JSON");
    let row = &status["sweeps"][0];
    assert_eq!(
        (&row["state"], &row["runs"]["finished"], &row["expected"]),
        (&"finished".into(), &6.into(), &6.into()),
        "{row:#}"
    );
    assert_eq!((&row["best"]["set"]["lr"], &row["best"]["set"]["size"]), (&0.001.into(), &1.into()), "{row:#}");
    let refused: Vec<_> =
        bench.server.log().into_iter().filter(|entry| !entry.errors.is_empty() || entry.status >= 400).collect();
    assert!(refused.is_empty(), "the W&B server refused: {refused:#?}");
}
