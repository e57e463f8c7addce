//! What is derived from a desired state.

use std::sync::Arc;

use serde_json::{Value, json};

use super::derive;
use super::fixture::{desired, gpu_pool};
use crate::desired::{
    Advertiser, ChartSource, Desired, DesiredRelease, ExpectedLabel, GpuVendor, LabelWriter, Origin, PoolGpus,
};
use crate::id::ReleaseId;
use crate::verify::context::{CheckContext, Nodes, VerifyOptions};

/// A context whose client reaches nothing.
pub(crate) fn context(desired: Desired, nodes: Nodes) -> CheckContext {
    let config = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
    let client = kube::Client::try_from(config).expect("a client");
    CheckContext::new(
        client,
        Arc::new(desired),
        nodes,
        VerifyOptions::default(),
        Arc::new(|| jiff::Timestamp::UNIX_EPOCH),
    )
}

fn platform() -> Desired {
    let named =
        |api: &str, kind: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}});
    let spaced = |api: &str, kind: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "jobs"}});
    let mut space = named("v1", "Namespace", "jobs");
    space["metadata"]["labels"] = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let mut limits = spaced("v1", "LimitRange", "defaults");
    limits["spec"] = json!({"limits": [{"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "4"}}]});
    let mut binding = spaced("rbac.authorization.k8s.io/v1", "RoleBinding", "agent");
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "agent", "namespace": "wandb"}]);
    let mut humans = spaced("rbac.authorization.k8s.io/v1", "RoleBinding", "humans");
    humans["subjects"] = json!([{"kind": "Group", "name": "ml"}]);
    let class = |name: &str, value: i64| {
        let mut class = named("scheduling.k8s.io/v1", "PriorityClass", name);
        class["value"] = json!(value);
        class
    };
    let mut trainer = spaced("v1", "ServiceAccount", "trainer");
    trainer["metadata"]["annotations"] = json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/trainer"});
    let mut state = desired(vec![
        space,
        limits,
        binding,
        humans,
        class("high", 1000),
        class("low", 0),
        trainer,
        spaced("v1", "Secret", "hf"),
        spaced("v1", "PersistentVolumeClaim", "datasets"),
        named("apiextensions.k8s.io/v1", "CustomResourceDefinition", "widgets.example.org"),
        spaced("example.org/v1", "Widget", "one"),
        spaced("example.org/v1", "Widget", "two"),
        spaced("apps/v1", "Deployment", "web"),
        spaced("apps/v1", "DaemonSet", "agent"),
        spaced("v1", "ConfigMap", "plain"),
    ]);
    state.wanted.pools.insert("a100".into(), gpu_pool("a100", 1, 2));
    let mut system = gpu_pool("system", 1, 2);
    (system.shape.gpu, system.accelerator, system.taints) = (None, None, vec![]);
    state.wanted.pools.insert("system".into(), system);
    let label = ExpectedLabel {
        key: "feature.node.kubernetes.io/pci-10de.present".into(),
        value: Some("true".into()),
        writer: LabelWriter::Nfd,
    };
    let gpus = PoolGpus {
        vendor: GpuVendor::Nvidia,
        model: "nvidia-a100-40gb".into(),
        devices: 8,
        advertiser: Advertiser::NvidiaPlugin,
        allocatable: [("nvidia.com/gpu".into(), 8)].into(),
        labels: vec![label],
    };
    state.gpus.insert("a100".into(), gpus);
    state.promises.quotas.insert("jobs".into(), [("pods".into(), "5".into())].into());
    state.promises.job_namespaces = vec!["jobs".into()];
    state.releases.push(DesiredRelease {
        id: ReleaseId { namespace: "wandb".into(), name: "dcgm-exporter".into() },
        chart: ChartSource::Path { path: "charts/dcgm-exporter".into() },
        values: Value::Null,
        origin: Origin { path: "charts".into(), at: None },
    });
    state
}

#[test]
fn every_promise_has_its_check_in_the_order_of_reports() {
    let ids: Vec<String> = derive(&platform()).iter().map(|check| check.id().to_string()).collect();
    insta::assert_snapshot!(ids.join("\n"), @r"
    api.ready
    api.version
    nodes.ready/a100
    nodes.marks/a100
    nodes.ready/system
    nodes.marks/system
    nodes.shape/a100
    nodes.shape/system
    gpus.allocatable/a100
    gpus.advertiser/a100
    gpus.labels/a100
    gpus.closure/a100
    gpus.smi/a100
    metrics.dcgm/a100
    namespaces.active/jobs
    priorities.exist/high
    priorities.exist/low
    quota.hard/jobs
    quota.enforced/jobs
    limits.defaults/jobs
    limits.enforced/jobs
    limits.gpuless/jobs
    podsecurity.enforced/jobs
    accounts.exist/jobs/trainer
    identity.token/jobs/trainer
    identity.cloud/jobs/trainer
    rbac.can/jobs/agent
    rbac.cannot/jobs/default
    rbac.cannot/jobs/trainer
    rbac.cannot/wandb/agent
    secrets.keys/jobs/hf
    storage.bound/jobs/datasets
    crds.established/widgets.example.org
    crds.served/Widget.v1.example.org
    releases.deployed/wandb/dcgm-exporter
    releases.ready/wandb/dcgm-exporter
    workloads.ready/deployment/jobs/web
    workloads.ready/daemonset/jobs/agent
    workloads.closure
    jobs.sample/a100
    jobs.sample/system
    gang.oversized/a100
    preemption.works/a100
    ");
}

#[test]
fn ids_are_unique_and_titles_are_not_empty() {
    let checks = derive(&platform());
    let mut ids: Vec<_> = checks.iter().map(|check| check.id()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), checks.len());
    assert!(checks.iter().all(|check| !check.title().is_empty()));
}

#[test]
fn an_empty_blueprint_promises_an_api_server() {
    let ids: Vec<String> = derive(&desired(vec![])).iter().map(|check| check.id().to_string()).collect();
    assert_eq!(ids, ["api.ready", "api.version"]);
}
