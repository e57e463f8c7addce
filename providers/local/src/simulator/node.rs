//! What a simulated node should say of itself, as patches from what it says now. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};
use wbk_fake_gpu::config::{Config, Resource};

use super::role::{Configurations, Role};
use super::shape::NodeShape;
use super::{pod, quantity};
use crate::names;

/// What is wrong with a node, as its annotations say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Why its kubelet is not ready.
    pub not_ready: Option<String>,
    /// GPUs that are there and not healthy.
    pub unhealthy_gpus: u32,
    /// How many of the next programs its container runtime does not start.
    pub start_errors: u32,
    /// How programs on it end.
    pub exit_code: Option<i32>,
}

impl Faults {
    pub(super) fn of(node: &Node) -> Self {
        let annotation = |key: &str| node.annotations().get(key).map(|text| text.trim());
        Self {
            not_ready: annotation(names::SIMULATE_NOT_READY).map(str::to_owned),
            // A number that cannot be read is none.
            unhealthy_gpus: annotation(names::SIMULATE_UNHEALTHY_GPUS).and_then(|n| n.parse().ok()).unwrap_or(0),
            start_errors: annotation(names::SIMULATE_START_ERRORS).and_then(|n| n.parse().ok()).unwrap_or(0),
            exit_code: annotation(names::SIMULATE_EXIT_CODE).and_then(|code| code.parse().ok()),
        }
    }
}

/// The merge patch that takes one from the start errors that are left. It is a patch of the node as it was seen, so that no two pods
/// take the same one.
pub(super) fn one_start_error_less(node: &Node) -> Value {
    let left = Faults::of(node).start_errors.saturating_sub(1);
    json!({"metadata": {
        "uid": node.uid(), "resourceVersion": node.resource_version(),
        "annotations": {names::SIMULATE_START_ERRORS: left.to_string()},
    }})
}

/// Which of the pods that change a node run on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Running {
    pub nfd_worker: bool,
    pub feature_discovery: bool,
    /// What the device plugin that runs makes of one GPU; `None` where none runs.
    pub device_plugin: Option<Configurations>,
    /// What the fake plugin that runs pretends; it finds no real GPU and needs none.
    pub fake_plugin: Option<Config>,
}

impl Running {
    /// Takes a running pod's role in.
    pub(super) fn add(&mut self, role: Role) {
        match role {
            Role::NfdWorker => self.nfd_worker = true,
            Role::FeatureDiscovery => self.feature_discovery = true,
            Role::DevicePlugin(configurations) => self.device_plugin = Some(configurations),
            Role::FakePlugin(config) => self.fake_plugin = Some(*config),
        }
    }

    /// The node's GPUs as plugin and feature discovery, with their configuration for this node, find them.
    fn gpus(&self, node: &Node, shape: &NodeShape) -> Option<Config> {
        let gpu = shape.shape.gpu.as_ref()?;
        let configurations = self.device_plugin.as_ref();
        let of_one = node.labels().get(names::PLUGIN_CONFIG).and_then(|name| configurations?.get(name)).cloned();
        let whole = || vec![Resource { name: gpu.resource.clone(), ..Resource::default() }];
        Some(Config {
            model: shape.model.clone().unwrap_or_default(),
            count: gpu.count,
            resources: of_one.unwrap_or_else(whole),
            ..Config::default()
        })
    }
}

/// What AMD's labeller writes of the node's GPUs (its arguments in the chart amd-gpu 0.21); only real ones know the values.
const AMD_LABELS: [&str; 5] = ["cu-count", "device-id", "family", "simd-count", "vram"];

/// Disk of every node; no pool says how much it wants.
const DISK: &str = "100Gi";

/// The node's shape; `None` where the annotation is missing or is not one.
pub(super) fn shape(node: &Node) -> Option<NodeShape> {
    serde_json::from_str(node.annotations().get(names::SHAPE)?).ok()
}

/// The merge patch of the node's labels; `None` where they are as they should be.
pub(super) fn label_patch(node: &Node, shape: &NodeShape, running: &Running) -> Option<Value> {
    let wanted = labels(node, shape, running);
    let missing = wanted.iter().filter(|(key, value)| node.labels().get(*key) != Some(*value));
    let mut patch: Map<String, Value> =
        missing.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    let stale = node.labels().keys().filter(|key| shape.is_discovered(key) && !wanted.contains_key(*key));
    patch.extend(stale.map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty()).then(|| json!({"metadata": {"uid": node.uid(), "labels": patch}}))
}

/// The labels that what runs on the node writes on it.
fn labels(node: &Node, shape: &NodeShape, running: &Running) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if running.nfd_worker {
        labels.extend(shape.discovered());
    }
    if let Some(gpus) = running.gpus(node, shape).filter(|_| running.feature_discovery) {
        if shape.shape.gpu.as_ref().is_some_and(|gpu| gpu.resource.starts_with("amd.com/")) {
            labels.extend(AMD_LABELS.map(|key| (format!("amd.com/gpu.{key}"), "simulated".to_owned())));
        } else {
            labels
                .extend(wbk_fake_gpu::labels::of(&gpus).into_iter().filter(|(key, _)| key.starts_with("nvidia.com/")));
        }
    }
    if let Some(fake) = running.fake_plugin.as_ref().filter(|fake| fake.labels) {
        labels.extend(wbk_fake_gpu::labels::of(fake));
    }
    labels.retain(|key, _| !shape.born_with.contains(key));
    labels
}

/// The merge patch of the node's status; `None` where it is as it should be.
pub(super) fn status_patch(
    node: &Node,
    shape: &NodeShape,
    running: &Running,
    version: &str,
    now: &str,
) -> Option<Value> {
    let status = node.status.clone().unwrap_or_default();
    let faults = Faults::of(node);
    // A kubelet counts GPUs that are not healthy in its capacity and leaves them out of what it offers.
    let capacity = resource_patch(&resources(node, shape, running, 0), status.capacity.as_ref());
    let offered = resources(node, shape, running, faults.unhealthy_gpus);
    let allocatable = resource_patch(&offered, status.allocatable.as_ref());
    let has = status.conditions.as_deref().unwrap_or_default();
    let conditions = conditions(has, faults.not_ready.as_deref(), now);
    let kubelet = format!("v{version}");
    let informed = status.node_info.as_ref().is_some_and(|info| info.kubelet_version == kubelet);
    if capacity.is_empty() && allocatable.is_empty() && conditions.is_none() && informed {
        return None;
    }
    let mut patch = json!({"capacity": capacity, "allocatable": allocatable});
    if let Some(conditions) = conditions {
        patch["conditions"] = conditions;
    }
    if !informed {
        let name = node.name_any();
        patch["addresses"] = json!([
            {"type": "InternalIP", "address": pod::node_address(&name)},
            {"type": "Hostname", "address": name},
        ]);
        patch["nodeInfo"] = json!({
            "architecture": node.labels().get("kubernetes.io/arch").map_or("amd64", String::as_str),
            "bootID": "simulated",
            "containerRuntimeVersion": "simulated://1",
            "kernelVersion": "simulated",
            "kubeProxyVersion": "",
            "kubeletVersion": kubelet,
            "machineID": "simulated",
            "operatingSystem": "linux",
            "osImage": "simulated",
            "systemUUID": "simulated",
        });
    }
    Some(json!({"metadata": {"uid": node.uid()}, "status": patch}))
}

/// Every resource of the node, without so many of its GPUs; `None` for one that must not be there now.
fn resources(node: &Node, shape: &NodeShape, running: &Running, unhealthy: u32) -> BTreeMap<String, Option<String>> {
    let base = &shape.shape;
    let mut resources = BTreeMap::from([
        ("cpu".to_owned(), Some(quantity::cpu(base.cpu_millis))),
        ("memory".to_owned(), Some(quantity::memory(base.memory_bytes))),
        ("pods".to_owned(), Some(base.pods.to_string())),
        ("ephemeral-storage".to_owned(), Some(DISK.to_owned())),
    ]);
    if let Some(gpu) = &base.gpu {
        resources.insert(gpu.resource.clone(), None);
    }
    let found = running.gpus(node, shape).filter(|_| running.device_plugin.is_some());
    for config in found.iter().chain(&running.fake_plugin) {
        let healthy = config.count.saturating_sub(unhealthy);
        for resource in &config.resources {
            resources.insert(resource.name.clone(), Some((resource.of_one_gpu() * u64::from(healthy)).to_string()));
        }
    }
    resources
}

fn resource_patch(
    wanted: &BTreeMap<String, Option<String>>,
    has: Option<&BTreeMap<String, Quantity>>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    let has_value = |name: &str| has.and_then(|has| has.get(name)).map(|quantity| quantity.0.as_str());
    for (name, value) in wanted {
        match (value, has_value(name)) {
            (Some(value), has) if !has.is_some_and(|has| quantity::same(has, value)) => {
                patch.insert(name.clone(), value.clone().into());
            }
            (None, Some(_)) => {
                patch.insert(name.clone(), Value::Null);
            }
            (Some(_) | None, _) => {}
        }
    }
    // What the shape no longer has: the GPUs of a pool that lost them. Only extended resources have a domain.
    for name in has.into_iter().flatten().map(|(name, _)| name) {
        if (name.contains("gpu") || name.contains("/mig-")) && name.contains('/') && !wanted.contains_key(name) {
            patch.insert(name.clone(), Value::Null);
        }
    }
    patch
}

/// All conditions with ours right; `None` where they are right already.
fn conditions(has: &[NodeCondition], not_ready: Option<&str>, now: &str) -> Option<Value> {
    let ready = match not_ready {
        None => ("Ready", "True", "KubeletReady", "simulated"),
        Some(why) => ("Ready", "False", "KubeletNotReady", why),
    };
    let ours = [
        ready,
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "simulated"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "simulated"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "simulated"),
    ];
    let right = |kind: &str, status: &str| has.iter().any(|found| found.type_ == kind && found.status == status);
    if ours.iter().all(|(kind, status, _, _)| right(kind, status)) {
        return None;
    }
    let mut all: Vec<Value> = has
        .iter()
        .filter(|found| !ours.iter().any(|(kind, _, _, _)| *kind == found.type_))
        .map(|found| serde_json::to_value(found).expect("a condition is plain data"))
        .collect();
    for (kind, status, reason, message) in ours {
        all.push(json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }));
    }
    Some(all.into())
}

#[cfg(test)]
mod tests {
    use wbk_provider_api::{GpuShape, Shape};

    use super::*;

    fn gpu_shape() -> NodeShape {
        NodeShape {
            shape: Shape {
                cpu_millis: 8000,
                memory_bytes: 16_000_000_000,
                pods: 110,
                gpu: Some(GpuShape { resource: "nvidia.com/gpu".into(), pci_vendor: "10de".into(), count: 8 }),
            },
            model: Some("nvidia-a100-40gb".into()),
            born_with: Vec::new(),
        }
    }

    fn patched(node: &Node, running: &Running) -> Value {
        status_patch(node, &gpu_shape(), running, "1.36.3", "2026-01-01T00:00:00Z").unwrap()
    }

    fn plugin(configurations: Value) -> Running {
        Running { device_plugin: Some(serde_json::from_value(configurations).unwrap()), ..Running::default() }
    }

    #[test]
    fn gpus_are_there_only_while_a_device_plugin_runs() {
        let node = Node::default();
        assert_eq!(patched(&node, &Running::default())["status"]["allocatable"].get("nvidia.com/gpu"), None);
        let running = plugin(json!({}));
        let patch = patched(&node, &running);
        assert_eq!(patch["status"]["allocatable"]["nvidia.com/gpu"], "8");
        let node: Node = serde_json::from_value(json!({"metadata": {}, "status": patch["status"]})).unwrap();
        assert_eq!(status_patch(&node, &gpu_shape(), &running, "1.36.3", "later"), None, "nothing to do twice");
        assert_eq!(patched(&node, &Running::default())["status"]["allocatable"]["nvidia.com/gpu"], Value::Null);
    }

    #[test]
    fn shared_gpus_take_the_place_of_whole_ones_where_the_nodes_label_names_their_configuration() {
        let shared = plugin(json!({
            "l4": [{"name": "nvidia.com/gpu.shared", "replicas": 4}],
            "a100": [{"name": "nvidia.com/mig-1g.5gb", "slices": 7}],
        }));
        let of = |config: &str, allocatable: Value| -> Node {
            let labels = json!({names::PLUGIN_CONFIG: config});
            let status = json!({"allocatable": allocatable, "capacity": allocatable});
            serde_json::from_value(json!({"metadata": {"labels": labels}, "status": status})).unwrap()
        };
        let found = |node: &Node, running: &Running| patched(node, running)["status"]["allocatable"].clone();
        let l4 = found(&of("l4", json!({"nvidia.com/gpu": "8"})), &shared);
        assert_eq!((&l4["nvidia.com/gpu.shared"], &l4["nvidia.com/gpu"]), (&json!("32"), &Value::Null));
        // Partitions that a configuration no longer has go as well.
        let a100 = found(&of("a100", json!({"nvidia.com/mig-2g.10gb": "3"})), &shared);
        assert_eq!((&a100["nvidia.com/mig-1g.5gb"], &a100["nvidia.com/mig-2g.10gb"]), (&json!("56"), &Value::Null));
        assert_eq!(found(&of("other", json!({})), &shared)["nvidia.com/gpu"], "8");
        let gone = found(&of("l4", json!({"nvidia.com/gpu.shared": "32"})), &Running::default());
        assert_eq!(gone["nvidia.com/gpu.shared"], Value::Null);
    }

    #[test]
    fn discovery_labels_come_and_go_with_the_worker_and_those_of_the_pool_stay() {
        let mut shape = gpu_shape();
        shape.born_with = vec!["feature.node.kubernetes.io/pci-10de.present".into()];
        let running = Running { nfd_worker: true, ..Running::default() };
        let patch = label_patch(&Node::default(), &shape, &running).unwrap();
        let labels = &patch["metadata"]["labels"];
        assert_eq!(labels["feature.node.kubernetes.io/pci-0302_10de.present"], "true");
        assert_eq!(labels.get("feature.node.kubernetes.io/pci-10de.present"), None);
        let node: Node = serde_json::from_value(json!({"metadata": {"labels": labels}})).unwrap();
        let gone = label_patch(&node, &shape, &Running::default()).unwrap();
        assert_eq!(gone["metadata"]["labels"]["feature.node.kubernetes.io/pci-0302_10de.present"], Value::Null);
    }

    #[test]
    fn feature_discovery_and_the_fake_plugin_say_what_the_gpus_are() {
        let running = Running { feature_discovery: true, ..plugin(json!({})) };
        let patch = label_patch(&Node::default(), &gpu_shape(), &running).unwrap();
        let labels = &patch["metadata"]["labels"];
        assert_eq!(labels["nvidia.com/gpu.product"], "NVIDIA-A100-SXM4-40GB");
        assert_eq!(labels.get("feature.node.kubernetes.io/pci-10de.present"), None, "that is NFD's");
        let fake = Config::parse(r#"{"model": "nvidia-l4", "count": 2, "labels": true}"#).unwrap();
        let running = Running { fake_plugin: Some(fake), ..Running::default() };
        let node: Node = serde_json::from_value(json!({"metadata": {"labels": labels}})).unwrap();
        let patch = label_patch(&node, &gpu_shape(), &running).unwrap();
        assert_eq!(patch["metadata"]["labels"]["nvidia.com/gpu.product"], "NVIDIA-L4");
        assert_eq!(patch["metadata"]["labels"]["feature.node.kubernetes.io/pci-10de.present"], "true");
        assert_eq!(patched(&Node::default(), &running)["status"]["allocatable"]["nvidia.com/gpu"], "2");
        let mut shape = gpu_shape();
        shape.born_with = vec!["nvidia.com/gpu.product".into()];
        let gone = label_patch(&node, &shape, &Running::default()).unwrap();
        assert_eq!(gone["metadata"]["labels"]["nvidia.com/gpu.count"], Value::Null);
        assert_eq!(gone["metadata"]["labels"].get("nvidia.com/gpu.product"), None, "the pool's own stays");
    }

    #[test]
    fn a_node_with_faults_says_so_as_a_kubelet_does_and_recovers() {
        let running = plugin(json!({}));
        let annotations = json!({"wbk-infra/simulate-not-ready": "container runtime is down",
            "wbk-infra/simulate-unhealthy-gpus": "1"});
        let node = |annotations: &Value, status: &Value| -> Node {
            serde_json::from_value(json!({"metadata": {"annotations": annotations}, "status": status})).unwrap()
        };
        let patch = patched(&node(&annotations, &json!({})), &running);
        assert_eq!(patch["status"]["allocatable"]["nvidia.com/gpu"], "7");
        assert_eq!(patch["status"]["capacity"]["nvidia.com/gpu"], "8");
        let ready = &patch["status"]["conditions"][0];
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("KubeletNotReady")));
        assert_eq!(ready["message"], "container runtime is down");
        let same = node(&annotations, &patch["status"]);
        assert_eq!(status_patch(&same, &gpu_shape(), &running, "1.36.3", "later"), None, "nothing to do twice");
        let mended = patched(&node(&json!({}), &patch["status"]), &running);
        assert_eq!(mended["status"]["allocatable"]["nvidia.com/gpu"], "8");
        assert_eq!(mended["status"]["conditions"][0]["status"], "True");
    }
}
