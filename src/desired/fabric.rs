//! Fabric adapters of EKS nodes, made known to the scheduler: AWS' device plugin on the pools that have them.

use std::collections::BTreeMap;

use serde_json::json;
use wbk_provider_api::{EksPool, ProviderKind, Wanted};
use wbk_provider_eks::catalog::{self, ImageSystem, image_of};

use super::collect::{Built, Collector};
use super::gpu::{on_pools, tolerations};
use crate::blueprint::schema::NodePool;
use crate::blueprint::steps;

/// What the plugin advertises (aws/eks-charts, stable/aws-efa-k8s-device-plugin).
pub(crate) const FABRIC: &str = "vpc.amazonaws.com/efa";
/// Pages of 2 MiB, by Kubernetes' name.
pub(crate) const HUGE_PAGES: &str = "hugepages-2Mi";
/// Bytes of such pages that the EFA driver of Amazon Linux takes before a pod runs: 5128 of 2 MiB (EKS user guide, "Run machine learning
/// training with Elastic Fabric Adapter").
const HUGE_BYTES: u64 = 5128 * (2 << 20);
/// The plugin, chart v0.5.30 of aws/eks-charts@5239609242f3.
const IMAGE: &str = "eks/aws-efa-k8s-device-plugin:v0.5.20";
const NAME: &str = "aws-efa-k8s-device-plugin";
/// Says what a pod does for its node; the proof reads it.
const PROVIDES: &str = "wbk-infra/provides";

/// What nodes of a pool offer beside CPU, memory and GPUs: adapters where the plugin runs, and huge pages at birth.
pub(crate) struct Fabric {
    /// Adapters.
    pub(crate) adapters: u64,
    /// Bytes of memory that are huge pages, and nothing else.
    pub(crate) huge_bytes: u64,
}

/// That of each pool that has it, by name.
pub(crate) fn fabrics(wanted: &Wanted) -> BTreeMap<String, Fabric> {
    let pools = wanted.cluster.eks.iter().flat_map(|eks| &eks.pools);
    pools.filter_map(|(name, pool)| Some((name.clone(), fabric(pool)?))).collect()
}

fn fabric(pool: &EksPool) -> Option<Fabric> {
    let machine = catalog::machine(pool.machines.first()?).filter(|_| pool.efa)?;
    let bottlerocket = image_of(&pool.ami).is_some_and(|image| image.system == ImageSystem::Bottlerocket);
    // Bottlerocket has huge pages where its settings say so.
    Some(Fabric { adapters: u64::from(machine.efa), huge_bytes: if bottlerocket { 0 } else { HUGE_BYTES } })
}

/// The plugin, where a pool has adapters.
pub(super) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    if blueprint.cluster.provider != ProviderKind::Eks {
        return;
    }
    let has = |pool: &&NodePool| pool.eks.as_ref().is_some_and(|eks| eks.efa);
    let pools: Vec<&NodePool> = blueprint.node_pools.iter().filter(has).collect();
    let Some(index) = blueprint.node_pools.iter().position(|pool| has(&pool)) else { return };
    let mut tolerations = tolerations(blueprint);
    tolerations.push(json!({"key": "CriticalAddonsOnly", "operator": "Exists"}));
    let region = blueprint.cluster.region.clone().unwrap_or_default();
    let labels = json!({"app.kubernetes.io/name": NAME});
    let host = |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path}});
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let (kubelet, devices) = ("/var/lib/kubelet/device-plugins", "/dev/infiniband/");
    let spec = json!({
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": {PROVIDES: FABRIC}},
            "spec": {
                "affinity": on_pools(&pools),
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": NAME,
                    "image": format!("{}/{IMAGE}", catalog::registry(&region)),
                    "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}},
                    // As AWS' own chart: it opens the adapters of the host.
                    "securityContext": {"allowPrivilegeEscalation": true, "privileged": true, "runAsNonRoot": false, "runAsUser": 0},
                    "volumeMounts": [mount("device-plugin", kubelet), mount("infiniband", devices)],
                }],
                "hostNetwork": true,
                "priorityClassName": "system-node-critical",
                "tolerations": tolerations,
                "volumes": [host("device-plugin", kubelet), host("infiniband", devices)],
            },
        },
        "updateStrategy": {"type": "RollingUpdate"},
    });
    let plugin = Built::new("apps/v1", "DaemonSet", Some("kube-system"), NAME)
        .with_metadata("labels", [(&"app.kubernetes.io/name".to_owned(), &NAME.to_owned())])
        .with("spec", spec);
    collector.add(steps!["nodePools", index, "eks", "efa"], plugin);
}
