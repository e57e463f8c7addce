//! What a node offers once its GPUs are shared or partitioned.
//!
//! Names as NVIDIA's device plugin makes them: `renameByDefault` appends `.shared` (k8s-device-plugin v0.20.0,
//! api/config/v1/consts.go); MIG strategy `single` keeps `nvidia.com/gpu`, `mixed` makes `nvidia.com/mig-…`
//! (internal/rm/rm.go).

use std::collections::BTreeMap;

use super::mig;
use super::types::GpuVendor;
use crate::blueprint::schema::{Blueprint, NodePool, Sharing, SharingStrategy};

/// How a pool's GPUs are shared.
pub(crate) fn of_pool<'a>(blueprint: &'a Blueprint, pool: &NodePool) -> Option<&'a Sharing> {
    blueprint.gpu.as_ref()?.sharing.iter().find(|sharing| sharing.pool == pool.name)
}

/// What one physical GPU of a pool becomes, by resource. Lint refuses what a model cannot do; it counts nothing here.
pub(crate) fn of_one_gpu(vendor: GpuVendor, model: &str, sharing: Option<&Sharing>) -> BTreeMap<String, u64> {
    let whole = vendor.resource();
    let Some(sharing) = sharing else { return BTreeMap::from([(whole.to_owned(), 1)]) };
    match sharing.strategy {
        SharingStrategy::TimeSlicing | SharingStrategy::Mps => {
            let name = if sharing.rename.unwrap_or(true) { format!("{whole}.shared") } else { whole.to_owned() };
            BTreeMap::from([(name, u64::from(sharing.replicas.unwrap_or(1)))])
        }
        SharingStrategy::Mig => match &sharing.profile {
            Some(profile) => {
                let count = mig::instances(model, profile).unwrap_or(0);
                BTreeMap::from([(whole.to_owned(), u64::from(count))])
            }
            None => {
                sharing.profiles.iter().map(|(profile, count)| (mig::resource(profile), u64::from(*count))).collect()
            }
        },
    }
}
