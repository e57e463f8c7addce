//! What a quota of GPUs means where they are shared.

use std::collections::BTreeMap;

use super::pools::pool_gpus;
use super::types::GpuVendor;
use crate::blueprint::schema::{Blueprint, GpuPlugin};

/// The resources that a quota of GPUs bounds, and how much of each one GPU is. Where pools offer one resource in several sizes, the
/// least: a quota is a bound. Without any pool of GPUs, the plugin's own vendor's, or NVIDIA's.
pub(crate) fn quota_units(blueprint: &Blueprint) -> BTreeMap<String, u64> {
    let mut units: BTreeMap<String, u64> = BTreeMap::new();
    for gpus in pool_gpus(blueprint).values() {
        let devices = u64::from(gpus.devices.max(1));
        if gpus.allocatable.is_empty() {
            units.insert(gpus.vendor.resource().to_owned(), 1);
        }
        for (resource, count) in &gpus.allocatable {
            let of_one = (count / devices).max(1);
            let least = units.entry(resource.clone()).or_insert(of_one);
            *least = of_one.min(*least);
        }
    }
    if units.is_empty() {
        let vendor = match blueprint.gpu.as_ref().map(|gpu| gpu.plugin) {
            Some(GpuPlugin::Amd) => GpuVendor::Amd,
            Some(GpuPlugin::Intel) => GpuVendor::Intel,
            Some(GpuPlugin::Auto | GpuPlugin::Nvidia | GpuPlugin::Simulated | GpuPlugin::None) | None => {
                GpuVendor::Nvidia
            }
        };
        units.insert(vendor.resource().to_owned(), 1);
    }
    units
}
