//! A verification that is killed leaves nothing for long: the next one finds what it made, and never touches what belongs
//! to one that still runs.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::home::Home;

const NAME: &str = "killed";
const OURS: &str = "app.kubernetes.io/managed-by=wbk-infra-verify";

const BLUEPRINT: &str = "\
apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: killed}
cluster: {provider: local}
nodePools:
  - {name: l4, accelerator: {model: nvidia-l4, count: 2}, shape: {cpu: 8, memory: 32Gi}, size: {min: 1, max: 1}}
gpu: {plugin: simulated, discovery: true}
namespaces:
  - {name: jobs, podSecurity: restricted, quota: {pods: 50}}
";

struct Verifying(Child);

impl Verifying {
    fn start(home: &Home) -> Self {
        let mut command: Command = home.command(&["verify", "b.yaml", "--only", "jobs", "--only", "gpus.smi"]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts"))
    }

    /// As `kill -9` does.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

/// What verifications have in the cluster now, as `kind/name`.
fn things(home: &Home) -> Vec<String> {
    let listed = home.kubectl(NAME, &["get", "jobs,pods,leases", "-A", "-l", OURS, "-o", "name"]).expect(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(100)); // Between two looks at a condition that has a bound.
    }
}

#[test]
fn what_a_killed_verification_left_goes_with_the_next_and_a_living_ones_things_stay() {
    let home = Home::new();
    home.write("b.yaml", BLUEPRINT);
    home.run(&["apply", "b.yaml", "--yes", "--no-verify"]).expect(0);
    let not_ready = "wbk-infra/simulate-not-ready=down for the test";
    home.kubectl(NAME, &["annotate", "node", "l4-0", not_ready]).expect(0);
    home.kubectl(NAME, &["wait", "node/l4-0", "--for=condition=Ready=false", "--timeout=60s"]).expect(0);

    // Nothing starts on the node, so that the checks wait with their pods made.
    let first = Verifying::start(&home);
    until("the Job, the pod and the Lease are there", || things(&home).len() >= 4);
    first.kill();
    let left = things(&home);
    assert!(left.iter().any(|thing| thing.starts_with("job.batch/wbk-verify-job-l4-")), "{left:?}");

    let second = Verifying::start(&home);
    until("the second run has removed what the first left", || {
        let now = things(&home);
        !now.is_empty() && !left.iter().any(|thing| now.contains(thing))
    });
    until("the second run's things are there", || things(&home).len() >= 4);
    let of_second = things(&home);

    home.kubectl(NAME, &["annotate", "node", "l4-0", "wbk-infra/simulate-not-ready-"]).expect(0);
    // What it says of the gang depends on whether the node is back yet; what it says of the other run does not.
    let third = home.run(&["verify", "b.yaml", "--only", "gang", "-o", "json"]);
    let report: Value = serde_json::from_str(&third.stdout).expect("one JSON document");
    assert!(report["notes"].to_string().contains("goes on"), "{}", report["notes"]);
    let mut second = second;
    let ended = second.0.wait().expect("it ends");
    assert!(ended.success(), "the node came back while it waited, and nobody took its pods: {of_second:?}");

    let reports = home.work().join("page.html");
    let reports = format!("html={}", reports.display());
    let all = home.run(&["verify", "b.yaml", "--json", "--report", &reports]).expect(0);
    let report: Value = serde_json::from_str(&all.stdout).expect("one JSON document");
    assert_eq!(report["verdict"], "pass");
    assert_eq!(report["notes"], serde_json::json!([]), "nothing was left");
    let page = std::fs::read_to_string(home.work().join("page.html")).expect("the page");
    assert!(page.starts_with("<!doctype html>") && page.contains("gpus.smi/l4"));
    until("nothing is left", || things(&home).is_empty());
    home.run(&["verify", "b.yaml", "--report", "html"]).expect(2);
    home.run(&["verify", "b.yaml", "--allow", "everything"]).expect(2);
    let late = home.run(&["verify", "b.yaml", "--only", "jobs", "--timeout", "1", "-o", "json"]);
    let report: Value = serde_json::from_str(&late.stdout).expect("one JSON document");
    assert!(
        late.code == 0 || late.code == 6 && report.to_string().contains("the verification's own bound of 1 s"),
        "{late:?}"
    );
}
