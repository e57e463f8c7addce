//! What the nodes of each GPU pool will offer and show.

use std::collections::BTreeMap;

use super::advertiser::{NodeSystem, advertiser};
use super::sharing;
use super::types::{Advertiser, ExpectedLabel, GpuVendor, LabelWriter, PoolGpus};
use crate::blueprint::schema::{Blueprint, Gpu, GpuPlugin, NodePool, SharingStrategy};

/// Every pool that has GPUs, by name.
pub(crate) fn pool_gpus(blueprint: &Blueprint) -> BTreeMap<String, PoolGpus> {
    blueprint.node_pools.iter().filter_map(|pool| Some((pool.name.clone(), of_pool(blueprint, pool)?))).collect()
}

/// What a node of a pool offers, sharing counted; nothing where nobody advertises it.
pub(crate) fn offered_by(blueprint: &Blueprint, pool: &NodePool) -> BTreeMap<String, u64> {
    of_pool(blueprint, pool).map(|gpus| gpus.allocatable).unwrap_or_default()
}

fn of_pool(blueprint: &Blueprint, pool: &NodePool) -> Option<PoolGpus> {
    let accelerator = pool.accelerator.as_ref()?;
    let vendor = GpuVendor::of_pool(pool)?;
    let advertiser = pool_advertiser(blueprint, pool, vendor);
    let sharing = sharing::of_pool(blueprint, pool);
    let allocatable = match advertiser {
        Advertiser::None { .. } => BTreeMap::new(),
        _ => sharing::of_one_gpu(vendor, &accelerator.model, sharing)
            .into_iter()
            .map(|resource| {
                let count = resource.of_one_gpu() * u64::from(accelerator.count);
                (resource.name, count)
            })
            .collect(),
    };
    let labels = expected_labels(blueprint, pool, vendor, &advertiser);
    Some(PoolGpus {
        vendor,
        model: accelerator.model.clone(),
        devices: accelerator.count,
        advertiser,
        allocatable,
        labels,
    })
}

/// Who advertises a pool's GPUs, which are of `vendor`.
pub(crate) fn pool_advertiser(blueprint: &Blueprint, pool: &NodePool, vendor: GpuVendor) -> Advertiser {
    let system = match crate::desired::auto_mode::is_on(blueprint) {
        true => NodeSystem::EksAutoMode,
        false => NodeSystem::of_pool(blueprint.cluster.provider, pool),
    };
    advertiser_on(blueprint, system, vendor)
}

/// Who advertises GPUs of `vendor` on nodes that run `system`.
pub(super) fn advertiser_on(blueprint: &Blueprint, system: NodeSystem, vendor: GpuVendor) -> Advertiser {
    match &blueprint.gpu {
        None => match advertiser(GpuPlugin::None, false, system, vendor) {
            Advertiser::None { .. } => Advertiser::None { why: "the blueprint has no `gpu` section".into() },
            platform => platform,
        },
        Some(gpu) => advertiser(gpu.plugin, gpu.operator, system, vendor),
    }
}

fn expected_labels(
    blueprint: &Blueprint,
    pool: &NodePool,
    vendor: GpuVendor,
    advertiser: &Advertiser,
) -> Vec<ExpectedLabel> {
    let Some(gpu) = blueprint.gpu.as_ref().filter(|gpu| gpu.discovery) else { return Vec::new() };
    if gpu.plugin == GpuPlugin::None {
        return Vec::new();
    }
    let label = |key: String, value: Option<String>, writer| ExpectedLabel { key, value, writer };
    let nfd = match vendor {
        // Any Intel network card has the vendor's id; the rule of this blueprint's tells GPUs from them.
        GpuVendor::Intel if *advertiser == Advertiser::IntelPlugin => super::placement::INTEL_GPU_LABEL.to_owned(),
        GpuVendor::Nvidia | GpuVendor::Amd | GpuVendor::Intel => {
            format!("feature.node.kubernetes.io/pci-{}.present", vendor.pci())
        }
    };
    // The fake plugin writes what these two would: a kubelet in a container sees the PCI bus of whatever machine it is on.
    let mut labels = vec![label(nfd, Some("true".into()), LabelWriter::Nfd)];
    match advertiser {
        Advertiser::FakePlugin if vendor != GpuVendor::Nvidia => {}
        Advertiser::NvidiaPlugin | Advertiser::GpuOperator | Advertiser::FakePlugin => {
            labels.extend(gfd_labels(gpu, pool).into_iter().map(|(key, value)| label(key, value, LabelWriter::Gfd)));
        }
        Advertiser::AmdPlugin => {
            for key in ["amd.com/gpu.device-id", "amd.com/gpu.family", "amd.com/gpu.vram"] {
                labels.push(label(key.into(), None, LabelWriter::AmdLabeller));
            }
        }
        Advertiser::IntelPlugin | Advertiser::StandIn | Advertiser::Platform { .. } | Advertiser::None { .. } => {}
    }
    labels.sort_by(|a, b| a.key.cmp(&b.key));
    labels
}

/// What GPU Feature Discovery writes (k8s-device-plugin v0.20.0, internal/lm). The values that follow from the blueprint are
/// computed, the others only the node knows. Under MIG, counts and replicas are of partitions.
fn gfd_labels(gpu: &Gpu, pool: &NodePool) -> Vec<(String, Option<String>)> {
    let sharing = gpu.sharing.iter().find(|sharing| sharing.pool == pool.name);
    let devices = pool.accelerator.as_ref().map(|accelerator| accelerator.count.to_string());
    let known = |key: &str, value: Option<String>| (format!("nvidia.com/{key}"), value);
    let (count, replicas, strategy, mig) = match sharing {
        None => (devices, Some("1".to_owned()), "none", None),
        Some(sharing) => {
            let replicas = sharing.replicas.map(|replicas| replicas.to_string());
            match sharing.strategy {
                SharingStrategy::TimeSlicing => (devices, replicas, "time-slicing", None),
                SharingStrategy::Mps => (devices, replicas, "mps", None),
                SharingStrategy::Mig if sharing.profile.is_some() => (None, None, "none", Some("single")),
                SharingStrategy::Mig => (None, None, "none", Some("mixed")),
            }
        }
    };
    let mut labels = vec![
        known("gpu.count", count),
        known("gpu.product", None),
        known("gpu.memory", None),
        known("gpu.replicas", replicas),
        known("gpu.sharing-strategy", Some(strategy.to_owned())),
        known("mps.capable", Some((strategy == "mps").to_string())),
    ];
    labels.extend(mig.map(|mig| known("mig.strategy", Some(mig.to_owned()))));
    labels
}

/// The label by which NVIDIA's plugin and GFD choose a node's configuration.
pub(crate) const CONFIG_LABEL: &str = "nvidia.com/device-plugin.config";
/// The label by which the GPU Operator's MIG manager chooses a node's partitions.
const MIG_LABEL: &str = "nvidia.com/mig.config";
/// The label by which charts that take no affinity select nodes.
pub(super) const VENDOR_LABEL: &str = "wbk-infra/gpu-vendor";
/// The label that lets NVIDIA's DaemonSets on a node that NFD has not labelled.
const PRESENT_LABEL: &str = "nvidia.com/gpu.present";

/// Labels that a pool's nodes must be born with so that their GPUs become what was asked for, with the reason of each.
pub(crate) fn labels_at_birth(blueprint: &Blueprint, pool: &NodePool) -> Vec<(&'static str, String, &'static str)> {
    let (Some(gpu), Some(vendor)) = (&blueprint.gpu, GpuVendor::of_pool(pool)) else { return Vec::new() };
    let mut labels = Vec::new();
    let advertiser = pool_advertiser(blueprint, pool, vendor);
    let ours = match advertiser {
        Advertiser::NvidiaPlugin | Advertiser::GpuOperator => true,
        Advertiser::StandIn | Advertiser::FakePlugin => vendor == GpuVendor::Nvidia,
        Advertiser::Platform { .. } | Advertiser::AmdPlugin | Advertiser::IntelPlugin | Advertiser::None { .. } => {
            false
        }
    };
    if let Some(sharing) = sharing::of_pool(blueprint, pool).filter(|_| ours) {
        labels.push((
            CONFIG_LABEL,
            pool.name.clone(),
            "the device plugin's configuration of this pool, from `gpu.sharing`",
        ));
        if sharing.strategy == SharingStrategy::Mig && advertiser == Advertiser::GpuOperator {
            labels.push((
                MIG_LABEL,
                pool.name.clone(),
                "the MIG manager's configuration of this pool, from `gpu.sharing`",
            ));
        }
    }
    if advertiser == Advertiser::NvidiaPlugin && !gpu.discovery {
        labels.push((PRESENT_LABEL, "true".into(), "without NFD nothing else lets the device plugin on the node"));
    }
    if matches!(advertiser, Advertiser::AmdPlugin | Advertiser::IntelPlugin) {
        labels.push((VENDOR_LABEL, vendor.as_str().into(), "the vendor's chart selects nodes by one label"));
    }
    labels
}
