//! The objects of the `gpu` section that are no chart's.

use serde_json::json;

use super::releases::{advertisers, critical_quota, intel_objects, releases};
use super::types::Advertiser;
use super::{NAMESPACE, stand_in};
use crate::blueprint::steps;
use crate::desired::collect::{Built, Collector};
use crate::desired::managed::privileged_namespace;

pub(in crate::desired) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    let Some(gpu) = &blueprint.gpu else { return };
    let stands_in = advertisers(blueprint, gpu)
        .iter()
        .any(|(_, advertiser)| matches!(advertiser, Advertiser::StandIn | Advertiser::FakePlugin));
    let has_releases = !releases(blueprint).is_empty();
    if !stands_in && !has_releases {
        return;
    }
    collector.add(steps!["gpu"], privileged_namespace(NAMESPACE));
    if let Some(spec) = critical_quota(blueprint.cluster.provider).filter(|_| has_releases) {
        let quota = Built::new("v1", "ResourceQuota", Some(NAMESPACE), "wbk-system-critical").with("spec", json!(spec));
        collector.add(steps!["gpu"], quota);
    }
    for (api, kind, name, spec) in intel_objects(blueprint) {
        collector.add(steps!["gpu", "plugin"], Built::new(api, kind, None, name).with("spec", spec));
    }
    stand_in::collect(collector, blueprint, gpu);
}
