//! Pools as every provider is asked for them: shape, labels and taints filled.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{
    ClusterSpec, GpuShape, KindSpec, PoolSize, PoolSpec, ProviderKind, Shape, Taint, TaintEffect, Wanted,
};

use super::gpu::{GpuVendor, labels_at_birth};
use crate::blueprint::Blueprint;
use crate::blueprint::schema::NodePool;

/// The label that says which pool a node is of.
pub const POOL_LABEL: &str = "wbk-infra/pool";
/// The label that says how a node is paid for.
const CAPACITY_LABEL: &str = "wbk-infra/capacity";
/// The label that says which accelerator a node has.
const ACCELERATOR_LABEL: &str = "wbk-infra/accelerator";
/// The taint of spot nodes. Clouds each have their own (or none); this one is the same everywhere.
const SPOT_TAINT: &str = "wbk-infra/spot";

/// Kubernetes version of a local cluster whose blueprint names none.
const LOCAL_VERSION: &str = "1.36";

/// A node without GPUs whose blueprint gives no shape: what a laptop could be.
const PLAIN_SHAPE: (u64, u64) = (4_000, 16 << 30);
/// CPU and memory beside one GPU whose blueprint gives no shape. The clouds' 8-GPU A100 machines have 96 CPU and 680 to
/// 1152 GiB (a2-highgpu-8g, p4d.24xlarge): 12 and 85 GiB for each GPU fits the smallest of them.
const SHAPE_OF_ONE_GPU: (u64, u64) = (12_000, 85 << 30);

/// The GPU resources that the pools have; NVIDIA's where no pool has a GPU.
pub(crate) fn gpu_resources(blueprint: &Blueprint) -> Vec<&'static str> {
    let found: BTreeSet<&'static str> =
        blueprint.node_pools.iter().filter_map(GpuVendor::of_pool).map(GpuVendor::resource).collect();
    if found.is_empty() { vec![GpuVendor::Nvidia.resource()] } else { found.into_iter().collect() }
}

/// A taint that follows from what a pool is.
pub(crate) struct DerivedTaint {
    /// The taint.
    pub taint: Taint,
    /// Why, one sentence.
    pub because: String,
}

/// Whether its nodes are somebody else's, and have no label and no taint but those that the blueprint writes.
fn is_given(pool: &NodePool) -> bool {
    pool.eks.as_ref().is_some_and(|section| section.group.is_some())
}

/// Taints that nobody has to write.
pub(crate) fn derived_taints(pool: &NodePool) -> Vec<DerivedTaint> {
    let mut taints = Vec::new();
    if is_given(pool) {
        return taints;
    }
    if let (Some(vendor), Some(accelerator)) = (GpuVendor::of_pool(pool), &pool.accelerator) {
        taints.push(DerivedTaint {
            taint: Taint { key: vendor.resource().into(), value: "present".into(), effect: TaintEffect::NoSchedule },
            because: format!(
                "{}=present:NoSchedule: the pool has {}, which only pods that ask for it shall occupy",
                vendor.resource(),
                accelerator.model
            ),
        });
    }
    if pool.capacity == wbk_provider_api::Capacity::Spot {
        taints.push(DerivedTaint {
            taint: Taint { key: SPOT_TAINT.into(), value: "true".into(), effect: TaintEffect::NoSchedule },
            because: format!("{SPOT_TAINT}=true:NoSchedule: spot nodes may be taken away, which only pods that accept it shall suffer"),
        });
    }
    taints
}

/// Labels that nobody has to write, with the reason of each.
pub(crate) fn derived_labels(blueprint: &Blueprint, pool: &NodePool) -> Vec<(&'static str, String, &'static str)> {
    if is_given(pool) {
        return Vec::new();
    }
    let capacity = match pool.capacity {
        wbk_provider_api::Capacity::OnDemand => "on-demand",
        wbk_provider_api::Capacity::Spot => "spot",
    };
    let mut labels = vec![
        (POOL_LABEL, pool.name.clone(), "the node's pool"),
        (CAPACITY_LABEL, capacity.to_owned(), "how the node is paid for"),
    ];
    if let Some(accelerator) = &pool.accelerator {
        labels.push((ACCELERATOR_LABEL, accelerator.model.clone(), "the node's accelerator"));
    }
    labels.extend(labels_at_birth(blueprint, pool));
    labels.extend(super::autoscaler::labels_at_birth(blueprint, pool));
    labels
}

/// Why a pool without a shape has the one it has.
pub(crate) fn default_shape_reason(pool: &NodePool) -> String {
    match &pool.accelerator {
        Some(accelerator) => format!(
            "12 CPU and 85Gi beside each of {} GPUs, as the smallest machines of the clouds have",
            accelerator.count
        ),
        None => "4 CPU and 16Gi where nothing else is said".into(),
    }
}

/// A pool, complete.
pub(crate) fn pool_spec(blueprint: &Blueprint, pool: &NodePool) -> PoolSpec {
    let gpu = GpuVendor::of_pool(pool).zip(pool.accelerator.as_ref()).map(|(vendor, accelerator)| GpuShape {
        resource: vendor.resource().into(),
        pci_vendor: vendor.pci().into(),
        count: accelerator.count,
    });
    let machine = match blueprint.cluster.provider {
        ProviderKind::Eks => super::eks::machine(pool),
        _ => None,
    };
    let shape = match (&pool.shape, &machine, &gpu) {
        (Some(shape), ..) => {
            Shape { cpu_millis: shape.cpu.millis, memory_bytes: shape.memory.0, pods: shape.pods, gpu }
        }
        (None, Some(machine), _) => Shape { gpu, ..wbk_provider_eks::catalog::allocatable(machine) },
        (None, None, found) => {
            let (cpu_millis, memory_bytes) = match found {
                Some(found) => {
                    (SHAPE_OF_ONE_GPU.0 * u64::from(found.count), SHAPE_OF_ONE_GPU.1 * u64::from(found.count))
                }
                None => PLAIN_SHAPE,
            };
            Shape { cpu_millis, memory_bytes, pods: crate::blueprint::schema::default_pods(), gpu }
        }
    };
    let mut labels: BTreeMap<String, String> = pool.labels.clone();
    labels.extend(derived_labels(blueprint, pool).into_iter().map(|(key, value, _)| (key.to_owned(), value)));
    let mut taints: Vec<Taint> = pool.taints.clone();
    for derived in derived_taints(pool) {
        // One key and effect can be there once; the pool's own spelling wins.
        if !taints.iter().any(|taint| (&taint.key, taint.effect) == (&derived.taint.key, derived.taint.effect)) {
            taints.push(derived.taint);
        }
    }
    taints.sort();
    PoolSpec {
        name: pool.name.clone(),
        machine: pool.machine.clone().or_else(|| machine.map(|machine| machine.name.clone())),
        shape,
        accelerator: pool.accelerator.clone(),
        size: PoolSize { min: pool.size.min, max: pool.size.max.unwrap_or(pool.size.min.max(1)) },
        capacity: pool.capacity,
        labels,
        taints,
    }
}

/// The cluster's name: the platform's, unless it has one of its own.
pub(super) fn cluster_name(blueprint: &Blueprint) -> String {
    // The ARN of a given one has its name, in letters that names here may not have.
    let given = blueprint.cluster.eks.as_ref().and_then(|eks| eks.given.as_deref());
    if let Some((_, name)) = given.and_then(|arn| arn.split_once(":cluster/")) {
        return name.to_owned();
    }
    blueprint.cluster.name.clone().unwrap_or_else(|| blueprint.metadata.name.clone())
}

/// The cluster, complete.
pub(crate) fn cluster_spec(blueprint: &Blueprint) -> ClusterSpec {
    let cluster = &blueprint.cluster;
    let default_version = (cluster.provider == ProviderKind::Local).then(|| LOCAL_VERSION.to_owned());
    ClusterSpec {
        provider: cluster.provider,
        name: cluster_name(blueprint),
        version: cluster.version.clone().or(default_version),
        region: cluster.region.clone(),
        context: cluster.context.clone(),
        kubeconfig: cluster.kubeconfig.clone(),
        uid: cluster.uid.clone(),
        kind: KindSpec {
            image: cluster.kind.as_ref().and_then(|kind| kind.image.clone()),
            control_plane: cluster.kind.as_ref().and_then(|kind| kind.control_plane.clone()),
            load: if cluster.provider == ProviderKind::Kind {
                super::fake_gpu::images(blueprint)
            } else {
                BTreeSet::new()
            },
        },
        eks: super::eks::spec(blueprint),
    }
}

/// Everything that the provider is asked for.
pub(super) fn wanted(blueprint: &Blueprint) -> Wanted {
    Wanted {
        blueprint: blueprint.metadata.name.clone(),
        cluster: cluster_spec(blueprint),
        pools: blueprint.node_pools.iter().map(|pool| (pool.name.clone(), pool_spec(blueprint, pool))).collect(),
    }
}
