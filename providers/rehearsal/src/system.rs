//! What the cloud itself runs in a cluster: stand-ins with the names, requests and tolerations of the real ones.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use wbk_provider_api::{ProviderKind, ServerWords, SystemWorkload, Wanted, system_workloads};

/// The field manager of what the simulated cloud writes: it is the cloud's, not the blueprint's.
const MANAGER: &str = "rehearsed-cloud";
const NAMESPACE: &str = "kube-system";
/// Kubernetes' own container that does nothing; a simulated node never pulls it.
const IMAGE: &str = "registry.k8s.io/pause:3.10.1";

/// Puts them in, as often as wanted.
///
/// # Errors
/// The API server refused one.
pub async fn install(client: &kube::Client, wanted: &Wanted) -> Result<(), ServerWords> {
    let params = PatchParams::apply(MANAGER).force();
    let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
    for workload in system_workloads(wanted.cluster.provider) {
        deployments.patch(workload.name, &params, &Patch::Apply(deployment(workload))).await?;
    }
    if let Some(plugin) = gke_plugin(wanted) {
        let name = plugin["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let daemons = Api::<DaemonSet>::namespaced(client.clone(), NAMESPACE);
        daemons.patch(&name, &params, &Patch::Apply(plugin)).await?;
    }
    Ok(())
}

fn deployment(workload: &SystemWorkload) -> Value {
    let labels = json!({"k8s-app": workload.name});
    let tolerations: Vec<Value> =
        workload.tolerates.iter().map(|key| json!({"key": key, "operator": "Exists"})).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": workload.name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": workload.replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "priorityClassName": "system-cluster-critical",
                    "tolerations": tolerations,
                    "containers": [{
                        "name": workload.name, "image": IMAGE,
                        "resources": {"requests": {
                            "cpu": format!("{}m", workload.cpu_millis), "memory": format!("{}Mi", workload.memory_mib),
                        }},
                    }],
                },
            },
        },
    })
}

/// GKE runs NVIDIA's plugin on its GPU nodes by itself; the annotation makes the simulated nodes advertise their GPUs.
fn gke_plugin(wanted: &Wanted) -> Option<Value> {
    let has_nvidia =
        wanted.pools.values().any(|pool| pool.shape.gpu.as_ref().is_some_and(|gpu| gpu.pci_vendor == "10de"));
    if wanted.cluster.provider != ProviderKind::Gke || !has_nvidia {
        return None;
    }
    let labels = json!({"k8s-app": "nvidia-gpu-device-plugin"});
    Some(json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "nvidia-gpu-device-plugin", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"wbk-infra/simulates": "device-plugin"}},
                "spec": {
                    "priorityClassName": "system-node-critical",
                    "tolerations": [{"operator": "Exists"}],
                    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "cloud.google.com/gke-accelerator", "operator": "Exists"}]},
                    ]}}},
                    "containers": [{"name": "plugin", "image": IMAGE}],
                },
            },
        },
    }))
}
