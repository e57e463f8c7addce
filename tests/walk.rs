//! The walk of the README on the shipped local blueprint: apply, nothing to do, drift by hand, mend, destroy.

mod support;

use std::time::{Duration, Instant};

use support::home::Home;

#[test]
fn the_local_platform_is_applied_drifts_is_mended_and_goes() {
    let home = Home::new();
    let blueprint = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/local.yaml");

    let applied = home.run(&["apply", blueprint]).expect(0);
    assert!(applied.stderr.contains("planned again: nothing to do"), "{}", applied.all());
    assert!(applied.stdout.contains("0 failed, 0 inconclusive"), "{}", applied.all());
    let planned = home.run(&["plan", blueprint, "--exit-code"]).expect(0);
    assert!(planned.stdout.contains("Nothing to do"), "{}", planned.all());
    home.run(&["drift", blueprint]).expect(0);

    let jobs = ["-n", "wandb-jobs"];
    let kubectl = |arguments: &[&str]| home.kubectl("local", &[&jobs, arguments].concat()).expect(0);
    kubectl(&["patch", "quota", "wbk-infra", "--type=merge", "-p", r#"{"spec":{"hard":{"requests.cpu":"999"}}}"#]);
    kubectl(&["delete", "rolebinding", "trainer"]);
    kubectl(&["annotate", "serviceaccount", "trainer", "by-hand=yes"]);
    home.kubectl("local", &["-n", "team-tools", "scale", "deployment", "team-tools", "--replicas=3"]).expect(0);

    let drifted = home.run(&["drift", blueprint]).expect(3);
    for told in [
        "spec.hard[requests.cpu] is 999, not 128",
        "by kubectl-patch at ",
        "RoleBinding.rbac.authorization.k8s.io wandb-jobs/trainer",
        "the object is gone",
        "metadata.annotations.by-hand was added (yes)",
        "spec.replicas is 3, not 1",
        "blueprints/local.yaml:",
    ] {
        assert!(drifted.stdout.contains(told), "no {told:?} in\n{}", drifted.stdout);
    }
    home.run(&["apply", blueprint]).expect(0);
    let mended = home.run(&["drift", blueprint, "-o", "json"]).expect(3);
    assert!(mended.stdout.contains("by-hand"), "an apply leaves what others added: {}", mended.stdout);
    assert!(!mended.stdout.contains("requests.cpu"), "{}", mended.stdout);

    let many = home.run(&["destroy", blueprint, "--yes"]).expect(2);
    assert!(
        many.stderr.contains("10 is the most that may go") && many.stderr.contains("--max-deletes"),
        "{}",
        many.all()
    );
    let kept = home.run(&["destroy", blueprint, "--yes", "--max-deletes", "40"]).expect(0);
    assert!(kept.stderr.contains("This takes "), "{}", kept.all());
    assert!(kept.stdout.contains("PersistentVolumeClaim wandb-jobs/datasets"), "{}", kept.all());
    let gone = home.run(&["destroy", blueprint, "--delete", "all", "--yes"]).expect(0);
    assert!(gone.stdout.contains("Left: nothing."), "{}", gone.all());
    assert_eq!(home.run(&["local", "list"]).expect(0).stdout.trim(), "no local clusters");
}

/// A pod that nobody owns names the claim `scratch`: as the finished ones that an agent's builds leave do.
const USER: &str = "apiVersion: v1
kind: Pod
metadata: {name: user, namespace: team}
spec:
  nodeName: cpu-0
  containers: [{name: main, image: example.com/main}]
  volumes: [{name: scratch, persistentVolumeClaim: {claimName: scratch}}]
";

#[test]
fn a_claim_that_pods_use_names_them_and_goes_with_its_namespace() {
    let home = Home::new();
    let platform = |storage: &str| {
        format!(
            "apiVersion: wbk-infra/v1
kind: Platform
metadata: {{name: claims}}
cluster: {{provider: local, version: '1.36'}}
nodePools: [{{name: cpu, shape: {{cpu: 4, memory: 8Gi}}, size: {{min: 1, max: 1}}}}]
namespaces: [{{name: team{storage}}}]
"
        )
    };
    let with = platform(", storage: [{name: scratch, size: 1Gi, access: ReadWriteOnce, class: by-hand}]");
    let (with, without) = (home.write("with.yaml", &with), home.write("without.yaml", &platform("")));
    let (with, without) = (with.to_str().unwrap(), without.to_str().unwrap());
    let user = home.write("user.yaml", USER);
    let make_user = || home.kubectl("claims", &["apply", "-f", user.to_str().unwrap()]).expect(0);
    home.run(&["apply", with, "--yes", "--no-verify"]).expect(0);
    let nodes = home.kubectl("claims", &["get", "nodes", "-o", "name"]).expect(0).stdout;
    assert!(nodes.contains("node/cpu-0"), "{nodes}");

    make_user();
    let mut removing = home.command(&["apply", without, "--yes", "--no-verify", "--delete", "all"]);
    let removing = std::thread::spawn(move || Home::finish(&mut removing));
    let begun = Instant::now();
    let being_deleted = ["-n", "team", "get", "pvc", "scratch", "-o", "jsonpath={.metadata.deletionTimestamp}"];
    while home.kubectl("claims", &being_deleted).stdout.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(120), "nobody deletes it");
        std::thread::sleep(Duration::from_millis(100)); // Polls a condition that has a bound.
    }
    std::thread::sleep(Duration::from_secs(3)); // It says what it waits for within a second; that it goes on waiting is the point.
    home.kubectl("claims", &["-n", "team", "delete", "pod", "user", "--now"]).expect(0);
    let removed = removing.join().unwrap().expect(0);
    assert!(
        removed.all().contains("waits for the pods that use it, also when they have finished: user ("),
        "{}",
        removed.all()
    );

    home.run(&["apply", with, "--yes", "--no-verify"]).expect(0);
    make_user();
    let gone = home.run(&["destroy", with, "--delete", "all", "--yes"]).expect(0);
    assert!(gone.stdout.contains("Left: nothing."), "{}", gone.all());
}
