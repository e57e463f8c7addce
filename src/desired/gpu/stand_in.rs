//! What makes GPUs allocatable. So far: stand-ins on simulated nodes. Each is a DaemonSet whose pods do nothing; the
//! simulated nodes advertise GPUs and labels where such a pod runs, as real nodes do where the real ones run.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wbk_provider_api::{ProviderKind, TaintEffect};

use crate::blueprint::schema::{Blueprint, GpuPlugin};
use crate::blueprint::steps;
use crate::desired::collect::{Built, Collector};
use crate::desired::pools::{POOL_LABEL, pool_spec};

/// The namespace of everything about GPUs.
const NAMESPACE: &str = "wbk-gpu";
/// Says which component a pod stands in for; simulated nodes read it.
const SIMULATES: &str = "wbk-infra/simulates";
/// Kubernetes' own container that does nothing. A simulated node never pulls it.
const IMAGE: &str = "registry.k8s.io/pause:3.10.1";

pub(in crate::desired) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    let Some(gpu) = &blueprint.gpu else { return };
    let pools: Vec<&str> =
        blueprint.node_pools.iter().filter(|pool| pool.accelerator.is_some()).map(|pool| pool.name.as_str()).collect();
    if gpu.plugin != GpuPlugin::Simulated || blueprint.cluster.provider != ProviderKind::Local || pools.is_empty() {
        return;
    }
    let namespace = Built::new("v1", "Namespace", None, NAMESPACE)
        .with_metadata("labels", [(&"pod-security.kubernetes.io/enforce".to_owned(), &"privileged".to_owned())]);
    collector.add(steps!["gpu"], namespace);
    let tolerations = tolerations(blueprint);
    if gpu.discovery {
        collector.add(steps!["gpu", "discovery"], stand_in("wbk-nfd-worker", "nfd-worker", &pools, &tolerations));
    }
    collector.add(steps!["gpu", "plugin"], stand_in("wbk-device-plugin", "device-plugin", &pools, &tolerations));
}

/// One toleration for each key and effect that any pool has, whatever its value.
fn tolerations(blueprint: &Blueprint) -> Vec<Value> {
    let taints: BTreeSet<(String, TaintEffect)> = blueprint
        .node_pools
        .iter()
        .flat_map(|pool| pool_spec(blueprint, pool).taints)
        .map(|taint| (taint.key, taint.effect))
        .collect();
    taints
        .into_iter()
        .map(|(key, effect)| json!({"key": key, "operator": "Exists", "effect": effect.as_str()}))
        .collect()
}

fn stand_in(name: &str, simulates: &str, pools: &[&str], tolerations: &[Value]) -> Built {
    let labels = json!({"app.kubernetes.io/name": name});
    let mut pools = pools.to_vec();
    pools.sort_unstable();
    let terms = json!([{"matchExpressions": [{"key": POOL_LABEL, "operator": "In", "values": pools}]}]);
    let spec = json!({
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": {SIMULATES: simulates}},
            "spec": {
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}},
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": simulates,
                    "image": IMAGE,
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                }],
                "priorityClassName": "system-node-critical",
                "tolerations": tolerations,
            },
        },
    });
    Built::new("apps/v1", "DaemonSet", Some(NAMESPACE), name)
        .with_metadata("annotations", [(&SIMULATES.to_owned(), &simulates.to_owned())])
        .with_metadata("labels", [(&"app.kubernetes.io/name".to_owned(), &name.to_owned())])
        .with("spec", spec)
}
