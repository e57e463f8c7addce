//! Stand-ins on simulated nodes. Each is a DaemonSet whose pods do nothing; the simulated nodes advertise GPUs and labels where such
//! a pod runs, as real nodes do where the real ones run.

use serde_json::{Value, json};

use super::NAMESPACE;
use super::config;
use super::placement::{on_pools, pools_of, tolerations};
use super::types::Advertiser;
use crate::blueprint::schema::{Blueprint, Gpu, NodePool};
use crate::blueprint::steps;
use crate::desired::collect::{Built, Collector};

/// Says which component a pod stands in for; simulated nodes read it.
const SIMULATES: &str = "wbk-infra/simulates";
/// Says what one GPU becomes where GPUs are shared; simulated nodes read it.
pub(super) const ADVERTISES: &str = "wbk-infra/advertises";
/// Kubernetes' own container that does nothing. A simulated node never pulls it.
const IMAGE: &str = "registry.k8s.io/pause:3.10.1";

pub(super) fn collect(collector: &mut Collector<'_>, blueprint: &Blueprint, gpu: &Gpu) {
    let pools = pools_of(blueprint, |_, advertiser| *advertiser == Advertiser::StandIn);
    if pools.is_empty() {
        return;
    }
    let tolerations = tolerations(blueprint);
    let make = |name: &str, simulates: &str| stand_in(name, simulates, &pools, &tolerations, None);
    if gpu.discovery {
        collector.add(steps!["gpu", "discovery"], make("wbk-nfd-worker", "nfd-worker"));
    }
    if gpu.metrics {
        collector.add(steps!["gpu", "metrics"], make("wbk-dcgm-exporter", "dcgm-exporter"));
    }
    let advertises = config::advertises(blueprint);
    let plugin = stand_in("wbk-device-plugin", "device-plugin", &pools, &tolerations, advertises);
    collector.add(steps!["gpu", "plugin"], plugin);
}

fn stand_in(
    name: &str,
    simulates: &str,
    pools: &[&NodePool],
    tolerations: &[Value],
    advertises: Option<String>,
) -> Built {
    let labels = json!({"app.kubernetes.io/name": name});
    let mut annotations = json!({SIMULATES: simulates});
    if let Some(advertises) = advertises {
        annotations[ADVERTISES] = advertises.into();
    }
    let spec = json!({
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {
                "affinity": on_pools(pools),
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
