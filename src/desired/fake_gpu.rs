//! The fake GPU plugin on real kubelets: a release of our own chart, with values that follow from the pools. Tolerations and
//! selectors are derived once, here.

use serde_json::{Map, Value, json};
use wbk_provider_api::{PoolSpec, Taint, node_taints};

use super::collect::Collector;
use super::gpu::{Advertiser, NAMESPACE, PoolGpus, of_one_gpu, pool_gpus};
use super::pools::{POOL_LABEL, pool_spec};
use super::state::{ChartSource, DesiredRelease, Origin};
use crate::blueprint::schema::Blueprint;
use crate::blueprint::steps;
use crate::id::ReleaseId;

/// The release, and the chart.
const RELEASE: &str = "wbk-fake-gpu";
const CHART: &str = "fake-gpu";

/// The pools whose GPUs the fake plugin advertises, and what each of their nodes shall offer.
fn pools(blueprint: &Blueprint) -> Vec<(PoolSpec, PoolGpus)> {
    let mut gpus = pool_gpus(blueprint);
    gpus.retain(|_, gpus| gpus.advertiser == Advertiser::FakePlugin);
    blueprint
        .node_pools
        .iter()
        .filter_map(|pool| Some((pool_spec(blueprint, pool), gpus.remove(&pool.name)?)))
        .collect()
}

/// The images that nodes must hold because no registry has them.
pub(super) fn images(blueprint: &Blueprint) -> std::collections::BTreeSet<String> {
    if pools(blueprint).is_empty() { Default::default() } else { [wbk_provider_kind::fake_gpu::image()].into() }
}

/// The release, where the fake plugin is wanted; its namespace is that of everything about GPUs.
pub(super) fn collect(collector: &mut Collector<'_>) -> Option<DesiredRelease> {
    let blueprint = &collector.loaded.blueprint;
    let pools = pools(blueprint);
    if pools.is_empty() {
        return None;
    }
    let labels = blueprint.gpu.as_ref().is_some_and(|gpu| gpu.discovery);
    let nodes: Map<String, Value> =
        pools.iter().map(|(pool, gpus)| (pool.name.clone(), group(blueprint, pool, gpus))).collect();
    let values = json!({"image": wbk_provider_kind::fake_gpu::image(), "labels": labels, "nodes": nodes});
    let path = steps!["gpu", "plugin"];
    let origin = Origin { path: collector.loaded.show(path), at: Some(collector.loaded.at(path).to_string()) };
    Some(DesiredRelease {
        id: ReleaseId { namespace: NAMESPACE.into(), name: RELEASE.into() },
        chart: ChartSource::Embedded { name: CHART.into() },
        values,
        origin,
    })
}

/// One pool's nodes, as the chart takes them.
fn group(blueprint: &Blueprint, pool: &PoolSpec, gpus: &PoolGpus) -> Value {
    let tolerations: Vec<Value> = node_taints(blueprint.cluster.provider, pool).iter().map(Taint::toleration).collect();
    let sharing = blueprint.gpu.iter().flat_map(|gpu| &gpu.sharing).find(|sharing| sharing.pool == pool.name);
    let resources = of_one_gpu(gpus.vendor, &gpus.model, sharing);
    json!({
        "selector": {POOL_LABEL: pool.name},
        "tolerations": tolerations,
        "model": gpus.model,
        "count": gpus.devices,
        "resources": resources,
    })
}
