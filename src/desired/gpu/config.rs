//! The configuration files of NVIDIA's device plugin and MIG manager, one for each pool whose GPUs are shared.
//!
//! Format: k8s-device-plugin v0.20.0 api/config/v1, mig-parted v1 (gpu-operator, assets/state-mig-manager/0400_configmap.yaml).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wbk_fake_gpu::config::Resource;

use super::mig;
use super::types::GpuVendor;
use crate::blueprint::schema::{Blueprint, Sharing, SharingStrategy};
use crate::blueprint::to_yaml;

/// The configuration of nodes that share nothing.
pub(crate) const DEFAULT: &str = "default";

/// Configurations of the device plugin by name; empty where no pool shares anything.
pub(crate) fn plugin(blueprint: &Blueprint) -> BTreeMap<String, String> {
    let mut configurations: BTreeMap<String, String> =
        sharing(blueprint).map(|sharing| (sharing.pool.clone(), to_yaml(&of_sharing(sharing)))).collect();
    if !configurations.is_empty() {
        configurations.insert(DEFAULT.into(), to_yaml(&json!({"version": "v1", "flags": {"migStrategy": "none"}})));
    }
    configurations
}

fn sharing(blueprint: &Blueprint) -> impl Iterator<Item = &Sharing> {
    blueprint.gpu.iter().flat_map(|gpu| &gpu.sharing)
}

fn of_sharing(sharing: &Sharing) -> Value {
    let key = match sharing.strategy {
        SharingStrategy::TimeSlicing => "timeSlicing",
        SharingStrategy::Mps => "mps",
        SharingStrategy::Mig => {
            let strategy = if sharing.profile.is_some() { "single" } else { "mixed" };
            return json!({"version": "v1", "flags": {"migStrategy": strategy}});
        }
    };
    let mut replicated = json!({
        "renameByDefault": sharing.rename.unwrap_or(true),
        "resources": [{"name": GpuVendor::Nvidia.resource(), "replicas": sharing.replicas}],
    });
    if sharing.strategy == SharingStrategy::TimeSlicing {
        // Two shares may be of one GPU: asking for two gives no more than one. MPS always refuses that by itself.
        replicated["failRequestsGreaterThanOne"] = true.into();
    }
    json!({"version": "v1", "flags": {"migStrategy": "none"}, "sharing": {(key): replicated}})
}

/// What the MIG manager does on each pool's nodes; `None` where no pool is partitioned.
pub(crate) fn mig_parted(blueprint: &Blueprint) -> Option<String> {
    let mut configurations = serde_json::Map::new();
    for sharing in sharing(blueprint).filter(|sharing| sharing.strategy == SharingStrategy::Mig) {
        let model = blueprint
            .node_pools
            .iter()
            .find(|pool| pool.name == sharing.pool)
            .and_then(|pool| pool.accelerator.as_ref())
            .map(|accelerator| accelerator.model.as_str())
            .unwrap_or_default();
        let devices: BTreeMap<String, u32> = match &sharing.profile {
            // Lint has refused a profile that the model does not have.
            Some(profile) => BTreeMap::from([(profile.clone(), mig::instances(model, profile).unwrap_or(0))]),
            None => sharing.profiles.clone(),
        };
        let all = json!([{"devices": "all", "mig-enabled": true, "mig-devices": devices}]);
        configurations.insert(sharing.pool.clone(), all);
    }
    if configurations.is_empty() {
        return None;
    }
    configurations.insert("all-disabled".into(), json!([{"devices": "all", "mig-enabled": false}]));
    Some(to_yaml(&json!({"version": "v1", "mig-configs": configurations})))
}

/// What the simulator reads off a device plugin's pods: what one GPU becomes, by configuration.
pub(crate) fn advertises(blueprint: &Blueprint) -> Option<String> {
    let configurations: BTreeMap<&str, Vec<Resource>> = sharing(blueprint)
        .filter_map(|sharing| {
            let pool = blueprint.node_pools.iter().find(|pool| pool.name == sharing.pool)?;
            let model = &pool.accelerator.as_ref()?.model;
            let of_one = super::sharing::of_one_gpu(GpuVendor::of_pool(pool)?, model, Some(sharing));
            Some((sharing.pool.as_str(), of_one))
        })
        .collect();
    (!configurations.is_empty()).then(|| json!(configurations).to_string())
}
