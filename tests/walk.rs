//! The walk of the README on the shipped local blueprint: apply, nothing to do, drift by hand, mend, destroy.

mod support;

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
