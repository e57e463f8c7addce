//! Where the pods of checks go: what selects a pool, what tolerates it, and what one of its nodes offers. Derived from
//! the pool, once, for every check.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wbk_provider_api::{PoolSize, PoolSpec, Taint, node_taints};

use crate::cluster::{is_true, text};
use crate::desired::{Advertiser, Desired, LabelWriter, POOL_LABEL};
use crate::quantity::Quantity;

/// A pool as checks see it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placement {
    /// The pool's name.
    pub(super) pool: String,
    /// What a pod selects to land there, and what its nodes are found by.
    pub(super) selector: BTreeMap<String, String>,
    /// One for each taint of its nodes, those that the provider adds included.
    pub(super) tolerations: Vec<Value>,
    /// What a pod asks for to get one GPU there.
    pub(super) gpu: Option<GpuAsk>,
    /// How many nodes it has.
    pub(super) size: PoolSize,
}

/// One GPU, or one share or slice of one, as a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GpuAsk {
    /// The extended resource, `nvidia.com/gpu`.
    pub(super) resource: String,
    /// How many one node offers.
    pub(super) each: u64,
}

impl Placement {
    /// The placement of a pool.
    pub(super) fn of(pool: &PoolSpec, desired: &Desired) -> Self {
        let selector = match pool.labels.get(POOL_LABEL) {
            Some(value) => BTreeMap::from([(POOL_LABEL.to_owned(), value.clone())]),
            None => pool.labels.clone(),
        };
        // By key and effect, whatever the value, as the tolerations are that this tool gives to workloads: what is
        // proved is that those land. A wrong value is named by `nodes.marks`.
        let tolerations = node_taints(desired.wanted.cluster.provider, pool).iter().map(Taint::toleration).collect();
        let gpu = allocatable(pool, desired).into_iter().next().map(|(resource, each)| GpuAsk { resource, each });
        Self { pool: pool.name.clone(), selector, tolerations, gpu, size: pool.size }
    }

    /// Whether a node is one of the pool.
    pub(super) fn takes_in(&self, node: &Value) -> bool {
        let labels = node.pointer("/metadata/labels");
        let has = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
        !self.selector.is_empty() && self.selector.iter().all(|(key, value)| has(key) == Some(value))
    }

    /// Those nodes that are of the pool.
    pub(super) fn nodes<'a>(&self, all: &'a [Value]) -> Vec<&'a Value> {
        all.iter().filter(|node| self.takes_in(node)).collect()
    }

    /// Gives a pod's spec what it needs to land there.
    pub(super) fn place(&self, spec: &mut Value) {
        spec["nodeSelector"] = json!(self.selector);
        spec["tolerations"] = json!(self.tolerations);
    }

    /// How many pods with one GPU the pool runs at its smallest; at least one, so that nobody waits for ever.
    pub(super) fn room(&self) -> usize {
        let each = self.gpu.as_ref().map_or(1, |gpu| gpu.each);
        usize::try_from(u64::from(self.size.min) * each).unwrap_or(usize::MAX).clamp(1, 64)
    }
}

/// The GPU resources that one node of a pool offers once everything has advertised, sharing and partitions counted; the
/// pool's bare shape where the desired state was made without that.
pub(super) fn allocatable(pool: &PoolSpec, desired: &Desired) -> BTreeMap<String, u64> {
    match desired.gpus.get(&pool.name) {
        Some(gpus) => gpus.allocatable.clone(),
        None => pool.shape.gpu.iter().map(|gpu| (gpu.resource.clone(), u64::from(gpu.count))).collect(),
    }
}

/// Who tells the kubelets of a pool's nodes of their GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// One device plugin's pod on each node.
    Pods,
    /// The platform; which, one clause.
    Platform(String),
    /// Nobody; why, one clause.
    Nobody(String),
}

/// Who advertises a pool's GPUs.
pub(super) fn source(pool: &PoolSpec, desired: &Desired) -> Source {
    match desired.gpus.get(&pool.name).map(|gpus| &gpus.advertiser) {
        Some(Advertiser::Platform { why }) => Source::Platform(why.clone()),
        Some(Advertiser::None { why }) => Source::Nobody(why.clone()),
        Some(
            Advertiser::NvidiaPlugin
            | Advertiser::GpuOperator
            | Advertiser::AmdPlugin
            | Advertiser::IntelPlugin
            | Advertiser::StandIn
            | Advertiser::FakePlugin,
        )
        | None => Source::Pods,
    }
}

/// Whether a pool's GPUs are made up, on kubelets that are not.
pub(super) fn is_fake(pool: &str, desired: &Desired) -> bool {
    desired.gpus.get(pool).is_some_and(|gpus| gpus.advertiser == Advertiser::FakePlugin)
}

/// The image of the plugin for made-up GPUs, which is on every node that has any.
pub(super) fn fake_image(desired: &Desired) -> Option<&str> {
    let fakes = desired.gpus.values().any(|gpus| gpus.advertiser == Advertiser::FakePlugin);
    let release = desired.releases.iter().filter(|_| fakes).find(|release| release.id.name.contains("fake-gpu"))?;
    release.values.get("image")?.as_str()
}

/// A label that something writes on a node after its birth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedLabel {
    /// The key.
    pub(super) key: String,
    /// The value; `None` where only the node knows it.
    pub(super) value: Option<String>,
    /// Who writes it, as a person says it.
    pub(super) writer: String,
    /// Whether simulated nodes get it as well.
    pub(super) simulated: bool,
}

/// The labels that arrive on a pool's nodes.
pub(super) fn wanted_labels(pool: &PoolSpec, desired: &Desired) -> Vec<WantedLabel> {
    let writer = |writer: LabelWriter| match writer {
        LabelWriter::Nfd => "node-feature-discovery",
        LabelWriter::Gfd => "gpu-feature-discovery",
        LabelWriter::AmdLabeller => "AMD's node labeller",
    };
    let labels = desired.gpus.get(&pool.name).map_or(&[][..], |gpus| &gpus.labels);
    labels
        .iter()
        .map(|label| WantedLabel {
            key: label.key.clone(),
            value: label.value.clone(),
            writer: writer(label.writer).to_owned(),
            simulated: label.writer == LabelWriter::Nfd,
        })
        .collect()
}

/// What one node offers of a resource, in whole units.
pub(super) fn offered(node: &Value, resource: &str) -> i128 {
    amount(node, "/status/allocatable", resource).map_or(0, Quantity::units_rounded_up)
}

/// A resource in a list of amounts.
pub(super) fn amount(object: &Value, pointer: &str, resource: &str) -> Option<Quantity> {
    Quantity::of(object.pointer(pointer)?.get(resource)?)
}

/// What a pod that has not ended holds of a resource: the larger of its containers together and its largest init
/// container, as the scheduler counts it for extended resources.
pub(super) fn held(pod: &Value, resource: &str) -> i128 {
    if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return 0;
    }
    let of = |pointer: &str| {
        let containers = pod.pointer(pointer).and_then(Value::as_array);
        containers
            .into_iter()
            .flatten()
            .map(|container| amount(container, "/resources/requests", resource).map_or(0, Quantity::units_rounded_up))
            .collect::<Vec<i128>>()
    };
    let main: i128 = of("/spec/containers").into_iter().sum();
    main.max(of("/spec/initContainers").into_iter().max().unwrap_or(0))
}

/// Whether a node takes new pods: Ready and not cordoned.
pub(super) fn takes_pods(node: &Value) -> bool {
    is_true(node, "Ready") && !is_cordoned(node)
}

/// Whether somebody cordoned a node.
pub(super) fn is_cordoned(node: &Value) -> bool {
    node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{desired, gpu_pool, node};

    #[test]
    fn a_pool_is_selected_by_its_own_label_and_tolerated_by_key_and_effect() {
        let pool = gpu_pool("a100", 1, 2);
        let placement = Placement::of(&pool, &desired(vec![]));
        let mut spec = json!({});
        placement.place(&mut spec);
        assert_eq!(spec["nodeSelector"], json!({"wbk-infra/pool": "a100"}));
        assert_eq!(
            spec["tolerations"],
            json!([{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}])
        );
        assert_eq!(placement.gpu, Some(GpuAsk { resource: "nvidia.com/gpu".into(), each: 8 }));
        assert!(placement.takes_in(&node(&pool, "n", true)));
        assert!(!placement.takes_in(&node(&gpu_pool("other", 1, 1), "n", true)));
        assert_eq!((placement.room(), Placement::of(&gpu_pool("z", 0, 4), &desired(vec![])).room()), (8, 1));
    }

    #[test]
    fn a_pod_holds_what_its_containers_ask_for_until_it_ends() {
        let gpus = |count: &str| json!({"resources": {"requests": {"nvidia.com/gpu": count}}});
        let mut pod = json!({"spec": {"containers": [gpus("1"), gpus("2")], "initContainers": [gpus("4"), {}]}});
        assert_eq!(held(&pod, "nvidia.com/gpu"), 4);
        pod["spec"]["initContainers"] = json!([]);
        assert_eq!(held(&pod, "nvidia.com/gpu"), 3);
        pod["status"] = json!({"phase": "Succeeded"});
        assert_eq!(held(&pod, "nvidia.com/gpu"), 0);
    }
}
