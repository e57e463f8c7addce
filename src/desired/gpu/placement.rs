//! Where everything about GPUs may run: tolerations, affinities and selectors, derived from the pools once, for all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wbk_provider_api::{Taint, TaintEffect, node_taints};

use super::pools::{VENDOR_LABEL, pool_advertiser};
use super::types::{Advertiser, GpuVendor};
use crate::blueprint::schema::{Blueprint, NodePool};
use crate::desired::pools::{POOL_LABEL, pool_spec};

/// One toleration for each key and effect that any pool has, whatever its value, those that the provider adds included.
/// Of an existing cluster's nodes nothing is known: everything is tolerated.
pub(crate) fn tolerations(blueprint: &Blueprint) -> Vec<Value> {
    if blueprint.node_pools.is_empty() {
        return everything();
    }
    let provider = blueprint.cluster.provider;
    let taints: BTreeSet<(String, TaintEffect)> = blueprint
        .node_pools
        .iter()
        .map(|pool| pool_spec(blueprint, pool))
        .flat_map(|spec| node_taints(provider, &spec))
        .map(|taint| (taint.key, taint.effect))
        .collect();
    taints.into_iter().map(|(key, effect)| Taint { key, value: String::new(), effect }.toleration()).collect()
}

/// For what must reach every node, whatever it will be tainted with: discovery.
pub(crate) fn everything() -> Vec<Value> {
    vec![json!({"operator": "Exists"})]
}

/// Pools whose GPUs something advertises in one of these ways, sorted by name.
pub(crate) fn pools_of(blueprint: &Blueprint, is_it: impl Fn(GpuVendor, &Advertiser) -> bool) -> Vec<&NodePool> {
    let mut pools: Vec<&NodePool> = blueprint
        .node_pools
        .iter()
        .filter(|pool| {
            GpuVendor::of_pool(pool).is_some_and(|vendor| is_it(vendor, &pool_advertiser(blueprint, pool, vendor)))
        })
        .collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    pools
}

/// A required node affinity to pools, by the label that their nodes are born with: nothing has to be discovered first.
pub(crate) fn on_pools(pools: &[&NodePool]) -> Value {
    let mut names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    names.sort_unstable();
    required(json!([{"matchExpressions": [{"key": POOL_LABEL, "operator": "In", "values": names}]}]))
}

/// A required node affinity to what NFD found, for nodes of which nothing else is known.
pub(crate) fn on_discovered(vendor: GpuVendor) -> Value {
    let key = format!("feature.node.kubernetes.io/pci-{}.present", vendor.pci());
    let present = json!({"key": key, "operator": "In", "values": ["true"]});
    required(json!([{"matchExpressions": [present]}]))
}

fn required(terms: Value) -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
}

/// A node selector for charts that take no affinity: labels that all nodes of the vendor's pools are born with, else what NFD
/// finds.
pub(crate) fn selector(blueprint: &Blueprint, vendor: GpuVendor) -> BTreeMap<String, String> {
    let own = blueprint.node_pools.iter().any(|pool| GpuVendor::of_pool(pool) == Some(vendor));
    match (own, vendor) {
        (true, _) => BTreeMap::from([(VENDOR_LABEL.to_owned(), vendor.as_str().to_owned())]),
        // Every Intel network card has Intel's vendor id: a rule of its own tells GPUs from them.
        (false, GpuVendor::Intel) => BTreeMap::from([(INTEL_GPU_LABEL.to_owned(), "true".to_owned())]),
        (false, _) => {
            BTreeMap::from([(format!("feature.node.kubernetes.io/pci-{}.present", vendor.pci()), "true".to_owned())])
        }
    }
}

/// Written by a NodeFeatureRule on nodes with an Intel GPU, as Intel's own rules do.
pub(crate) const INTEL_GPU_LABEL: &str = "intel.feature.node.kubernetes.io/gpu";
