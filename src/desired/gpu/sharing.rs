//! What a node offers once its GPUs are shared or partitioned.
//!
//! Names as NVIDIA's device plugin makes them: `renameByDefault` appends `.shared` (k8s-device-plugin v0.20.0,
//! api/config/v1/consts.go); MIG strategy `single` keeps `nvidia.com/gpu`, `mixed` makes `nvidia.com/mig-…`
//! (internal/rm/rm.go).

use wbk_fake_gpu::config::Resource;

use super::mig;
use super::types::GpuVendor;
use crate::blueprint::schema::{Blueprint, NodePool, Sharing, SharingStrategy};

/// How a pool's GPUs are shared.
pub(crate) fn of_pool<'a>(blueprint: &'a Blueprint, pool: &NodePool) -> Option<&'a Sharing> {
    blueprint.gpu.as_ref()?.sharing.iter().find(|sharing| sharing.pool == pool.name)
}

/// The resources that one physical GPU of a pool becomes. Lint refuses what a model cannot do; it counts nothing here.
pub(crate) fn of_one_gpu(vendor: GpuVendor, model: &str, sharing: Option<&Sharing>) -> Vec<Resource> {
    let whole = Resource { name: vendor.resource().into(), ..Resource::default() };
    let Some(sharing) = sharing else { return vec![whole] };
    match sharing.strategy {
        SharingStrategy::TimeSlicing | SharingStrategy::Mps => {
            let name = if sharing.rename.unwrap_or(true) { format!("{}.shared", whole.name) } else { whole.name };
            let mps = sharing.strategy == SharingStrategy::Mps;
            vec![Resource { name, slices: None, replicas: sharing.replicas.unwrap_or(1), mps }]
        }
        SharingStrategy::Mig => match &sharing.profile {
            Some(profile) => vec![Resource { slices: Some(mig::instances(model, profile).unwrap_or(0)), ..whole }],
            None => {
                let slices = |(profile, count): (&String, &u32)| Resource {
                    name: mig::resource(profile),
                    slices: Some(*count),
                    ..Resource::default()
                };
                sharing.profiles.iter().map(slices).collect()
            }
        },
    }
}
