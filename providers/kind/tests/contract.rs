//! The kind provider keeps the contract of every provider: its pure parts always, and a whole life on real clusters where that
//! is asked for (`-- --ignored`), for which it needs Docker and kind. Without a registry, WBK_KIND_IMAGE names a node image that
//! this machine has.

use wbk_provider_api::contract::{self, wanted};
use wbk_provider_api::{
    OperationAction, PoolSize, Provider as _, ProviderKind, ProviderTarget, Seen, Taint, TaintEffect, Wanted,
};
use wbk_provider_kind::{KindProvider, Settings};

/// A provider whose files are in a folder of the test's own, and a platform whose name nobody else uses.
fn ground() -> (tempfile::TempDir, KindProvider, Wanted) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let settings = Settings {
        path: std::env::split_paths(&path).collect(),
        environment: Settings::allowed(std::env::vars_os()),
        engine: std::env::var("KIND_EXPERIMENTAL_PROVIDER").ok(),
        ..Settings::new(folder.path().join("state"), folder.path().join("cache"))
    };
    let mut wanted = wanted();
    wanted.cluster.provider = ProviderKind::Kind;
    wanted.cluster.version = None;
    wanted.cluster.name = format!("contract-{}", std::process::id());
    wanted.cluster.kind.image = std::env::var("WBK_KIND_IMAGE").ok();
    (folder, KindProvider::new(settings), wanted)
}

#[test]
fn its_plans_keep_the_contract() {
    let (_folder, provider, wanted) = ground();
    contract::pure_parts(&provider, &wanted);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes real clusters: needs Docker and kind (scripts/kind-tests.sh)"]
async fn its_clusters_keep_the_contract() {
    let (_folder, provider, wanted) = ground();
    provider.engine_version().await.expect("this test was asked for, and needs a container engine");
    contract::life(&provider, &wanted).await;
}

/// One cluster through what may happen to it: another blueprint wants its name, a creation is interrupted, it is stopped, its
/// labels are edited.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes real clusters: needs Docker and kind (scripts/kind-tests.sh)"]
async fn a_cluster_is_guarded_finished_and_started() {
    let (_folder, provider, mut wanted) = ground();
    wanted.cluster.name = format!("life-{}", std::process::id());
    wanted.cluster.kind.control_plane = Some("one".into());
    let pool = wanted.pools.get_mut("two").expect("a pool");
    pool.size = PoolSize { min: 1, max: 1 };
    pool.taints = vec![Taint { key: "a".into(), value: "b".into(), effect: TaintEffect::NoSchedule }];
    let engine = provider.engine().expect("this test was asked for, and needs a container engine");
    let run = |args: &[&str]| {
        let out = std::process::Command::new(&engine.program).args(args).output().expect("the engine starts");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    let cluster = wanted.cluster.name.clone();
    let perform_all = async |wanted: &Wanted| {
        let seen = provider.observe(wanted).await;
        for operation in provider.plan(wanted, &seen) {
            if let Err(error) = provider.perform(wanted, &operation, "t", &|_| {}).await {
                panic!("{error}: {:?}", error.source);
            }
        }
    };
    perform_all(&wanted).await;
    let seen = provider.observe(&wanted).await;
    assert_eq!(provider.plan(&wanted, &seen), [], "the control plane is the node of pool one");
    let nodes = run(&["ps", "--quiet", "--filter", &format!("label=io.x-k8s.kind.cluster={cluster}")]);
    assert_eq!(nodes.lines().count(), 2, "no third container");

    let mut other = wanted.clone();
    other.blueprint = "another".into();
    let seen = provider.observe(&other).await;
    assert!(
        matches!(&seen.cluster, Seen::Unknown(why) if why.0.contains("belongs to the blueprint contract")),
        "{seen:?}"
    );
    assert!(provider.plan(&other, &seen).is_empty() && provider.plan_destroy(&other, &seen).is_empty());
    assert!(provider.access(&other).await.is_err(), "a foreign cluster is not reached either");

    // Interrupted before its last act: neither mark is there, so nothing of it counts and it is made anew.
    let first = format!("{cluster}-control-plane");
    let kubectl = ["exec", &first, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"];
    let on_cluster = |args: &[&str]| run(&[&kubectl, args].concat());
    on_cluster(&["delete", "configmap", "--namespace=kube-system", "wbk-infra-kind"]);
    run(&["exec", &first, "rm", "/kind/wbk-infra-made"]);
    on_cluster(&["create", "namespace", "precious"]);
    let seen = provider.observe(&wanted).await;
    let start = provider.plan(&wanted, &seen);
    assert_eq!((start.len(), start[0].action), (1, OperationAction::Start));
    let refused = provider.perform(&wanted, &start[0], "t", &|_| {}).await.expect_err("somebody uses it");
    assert!(refused.source.expect("a cause").to_string().contains("precious"));
    on_cluster(&["delete", "namespace", "precious"]);
    let before = run(&["inspect", "--format", "{{.Id}}", &first]);
    provider.perform(&wanted, &start[0], "t", &|_| {}).await.expect("it is made anew");
    assert_ne!(run(&["inspect", "--format", "{{.Id}}", &first]), before);
    perform_all(&wanted).await;

    // Stopped, as by a reboot.
    run(&["stop", "--time", "5", &first, &format!("{cluster}-worker")]);
    let seen = provider.observe(&wanted).await;
    assert!(matches!(&seen.cluster, Seen::Present(found) if !found.running));
    perform_all(&wanted).await;
    let seen = provider.observe(&wanted).await;
    assert_eq!(provider.plan(&wanted, &seen), []);

    // Edited by hand, and mended in place.
    let worker = format!("{cluster}-worker");
    on_cluster(&["label", "node", &worker, "wbk-infra/pool=one", "--overwrite"]);
    on_cluster(&["taint", "node", &worker, "a=c:NoSchedule", "--overwrite"]);
    let seen = provider.observe(&wanted).await;
    let mend = provider.plan(&wanted, &seen);
    assert_eq!(
        (mend.len(), mend[0].action),
        (1, OperationAction::Update),
        "the mark, not the label, says whose a node is"
    );
    let paths: Vec<&str> = mend[0].diff.iter().map(|diff| diff.path.as_str()).collect();
    assert_eq!(
        paths,
        [format!("nodes[{worker}].labels[wbk-infra/pool]"), format!("nodes[{worker}].taints[a:NoSchedule]")]
    );
    perform_all(&wanted).await;
    assert_eq!(provider.plan(&wanted, &provider.observe(&wanted).await), []);

    let seen = provider.observe(&wanted).await;
    let [delete] = &provider.plan_destroy(&wanted, &seen)[..] else { panic!("one step") };
    assert_eq!(delete.target, ProviderTarget::Cluster(cluster));
    provider.perform(&wanted, delete, "t", &|_| {}).await.expect("it goes");
    assert!(provider.leftovers(&wanted).await.is_empty());
}
