//! A GPU platform on real kubelets: the shipped blueprint is applied, verified and found without drift; then faults are planted one
//! after the other ([`faults`]), each of which must be caught, with the right reason, by `plan` where it can be and by `verify` or
//! `drift` otherwise, and mended; then the cluster is made anew for a node more, and destroyed.
//!
//! Another cluster has W&B Launch with the real agent in its pod ([`launch`]).
//!
//! Each makes a kind cluster and takes minutes, so they run only when asked for (`-- --ignored`, scripts/kind-tests.sh); then they fail
//! where they cannot run. Without a registry, WBK_KIND_IMAGE names a node image that this machine has.

#[path = "../support/mod.rs"]
mod support;

#[path = "../wandb/sdk.rs"]
#[expect(dead_code, reason = "here its program runs in a container")]
mod sdk;

mod faults;
mod launch;
mod platform;

use std::time::Instant;

use faults::FAULTS;
use platform::Platform;

#[test]
#[ignore = "makes a real cluster: needs Docker and kind (scripts/kind-tests.sh)"]
fn planted_faults_are_caught_on_real_kubelets() {
    let began = Instant::now();
    let told = |what: &str, since: Instant| eprintln!("{:>4} s  {what}", since.elapsed().as_secs());
    let platform = Platform::new("faults");
    platform.engine(&["version"]).expect(0);
    let applied = platform.run("apply", &["--yes"]).expect(0);
    assert!(applied.stderr.contains("planned again: nothing to do"), "{}", applied.all());
    told("applied and verified", began);
    platform.run("plan", &["--exit-code"]).expect(0);
    platform.run("drift", &[]).expect(0);
    a_container_sees_what_it_was_allocated_and_no_more(&platform);

    let mut missed = Vec::new();
    for fault in FAULTS {
        let planted = Instant::now();
        if let Err(words) = fault.is_caught(&platform) {
            missed.extend(words);
        }
        told(fault.name, planted);
    }
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
    platform.run("drift", &[]).expect(0);

    let replaced = Instant::now();
    a_cluster_is_made_anew_only_when_it_is_named(&platform);
    told("made anew", replaced);
    let destroyed = platform.run("destroy", &["--delete", "all", "--yes"]).expect(0);
    assert!(destroyed.all().contains("Left: nothing"), "{}", destroyed.all());
    told("all of it", began);
}

#[test]
#[ignore = "makes a real cluster and images of two SDKs: needs Docker, kind, python 3.11 with pip (scripts/kind-tests.sh)"]
fn real_launch_agents_in_pods_run_training_in_containers() {
    launch::hold();
}

fn a_container_sees_what_it_was_allocated_and_no_more(platform: &Platform) {
    platform.make("two-gpus.yaml");
    platform.kubectl("-n wandb-jobs wait pod/smi --for=jsonpath='{.status.phase}'=Succeeded --timeout=120s");
    let listed = platform.kubectl("-n wandb-jobs logs smi").stdout;
    assert_eq!(listed.matches("NVIDIA A100-SXM4-40GB (UUID: GPU-").count(), 2, "{listed}");
    platform.kubectl("-n wandb-jobs delete pod smi");
}

/// kind adds no node to a cluster: a pool that grows means another cluster, with everything in it lost.
fn a_cluster_is_made_anew_only_when_it_is_named(platform: &Platform) {
    let grown = [platform.overlay("one-node-more.yaml")];
    let cluster = format!("cluster {}", platform.name);
    let nodes = || platform.kubectl("get nodes -o name").stdout.lines().count();

    let says = |more: &[&str], words: &[&str]| {
        let plan = platform.run_with(&grown, "plan", &[&["--exit-code"], more].concat()).expect(3);
        for word in words {
            assert!(plan.stdout.contains(word), "no {word:?} in {}", plan.all());
        }
    };
    // Not named it is blocked, and apply says what is still to be done.
    says(&[], &["blocked", &cluster, "pool l4-spot needs 2", "--delete"]);
    let kept = platform.run_with(&grown, "apply", &["--yes", "--no-verify"]);
    assert_eq!(kept.code, 4, "{}", kept.all());
    assert!(kept.stderr.contains("still to be done"), "{}", kept.all());
    assert_eq!(nodes(), 3, "{}", kept.all());

    // Named, the plan says what is lost and what is made again.
    let lost = format!("loses the data of everything in kind {cluster}");
    let again = ["create  Namespace wandb-jobs", "create  helm release wbk-gpu/wbk-fake-gpu"];
    says(&["--delete", &cluster], &[&[cluster.as_str(), &lost], again.as_slice()].concat());
    let made = platform.run_with(&grown, "apply", &["--yes", "--delete", &cluster]).expect(0);
    assert!(made.stderr.contains("planned again: nothing to do"), "{}", made.all());
    assert_eq!(nodes(), 4);
    platform.run_with(&grown, "plan", &["--exit-code"]).expect(0);
}
