//! Who schedules pods that must start together: Volcano or Kueue, with queues derived from pools and namespaces.
//!
//! Facts: Volcano v1.15 (installer/helm/chart/volcano, scheduling.volcano.sh/v1beta1), Kueue v0.19 (charts/kueue,
//! kueue.x-k8s.io/v1beta2).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use wbk_provider_api::{PoolSpec, ProviderKind, Taint, TaintEffect, node_taints};

use super::collect::{Built, Collector};
use super::gpu::pool_gpus;
use super::lock::Lock;
use super::managed::{Managed, privileged_namespace};
use super::namespaces::hard;
use super::pools::pool_spec;
use crate::blueprint::schema::{Blueprint, Gang, Namespace};
use crate::blueprint::steps;

/// The name of the queues that follow from the blueprint: Kueue's ClusterQueue, and the LocalQueue of each namespace.
pub(super) const LOCAL_QUEUE: &str = "wbk";
/// Kueue takes no more labels of a flavor (CRD, `maxProperties` of nodeLabels).
const MOST_LABELS: usize = 8;

/// The gang scheduler's release.
pub(super) fn releases(blueprint: &Blueprint) -> Vec<Managed> {
    let path = vec!["scheduling", "gang"];
    match blueprint.scheduling.gang {
        Gang::None => Vec::new(),
        Gang::Volcano => {
            vec![Managed { chart: "volcano", namespace: "volcano-system", path, values: volcano(blueprint) }]
        }
        Gang::Kueue => vec![Managed { chart: "kueue", namespace: "kueue-system", path, values: kueue() }],
    }
}

/// Its namespace and its custom resources, which wait for the release that brings their kinds.
pub(super) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    let path = steps!["scheduling", "gang"];
    match blueprint.scheduling.gang {
        Gang::None => {}
        Gang::Volcano => {
            collector.add(path, privileged_namespace("volcano-system"));
            for (index, namespace) in job_namespaces(blueprint) {
                let queue = Built::new("scheduling.volcano.sh/v1beta1", "Queue", None, &namespace.name)
                    .with("spec", volcano_queue(blueprint, namespace));
                collector.add(steps!["namespaces", index], queue);
            }
        }
        Gang::Kueue => {
            collector.add(path, privileged_namespace("kueue-system"));
            const API: &str = "kueue.x-k8s.io/v1beta2";
            for (index, pool) in blueprint.node_pools.iter().enumerate() {
                let spec = flavor(blueprint.cluster.provider, &pool_spec(blueprint, pool));
                let object = Built::new(API, "ResourceFlavor", None, &pool.name).with("spec", spec);
                collector.add(steps!["nodePools", index], object);
            }
            let spec = cluster_queue(blueprint);
            collector.add(path, Built::new(API, "ClusterQueue", None, LOCAL_QUEUE).with("spec", spec));
            for (index, namespace) in job_namespaces(blueprint) {
                let queue = Built::new(API, "LocalQueue", Some(&namespace.name), LOCAL_QUEUE)
                    .with("spec", json!({"clusterQueue": LOCAL_QUEUE}));
                collector.add(steps!["namespaces", index], queue);
            }
        }
    }
}

/// Namespaces for Jobs: those with a quota, else all.
fn job_namespaces(blueprint: &Blueprint) -> Vec<(usize, &Namespace)> {
    let all = || blueprint.namespaces.iter().enumerate();
    let with_quota: Vec<_> = all().filter(|(_, namespace)| namespace.quota.is_some()).collect();
    if with_quota.is_empty() { all().collect() } else { with_quota }
}

/// The images' tag is the chart's version: the chart in the source tree says `latest`. Without preempt and reclaim a priority
/// class means nothing to pods that Volcano schedules.
fn volcano(blueprint: &Blueprint) -> Value {
    let version = Lock::embedded().find("volcano").map(|chart| format!("v{}", chart.version)).unwrap_or_default();
    let priorities = !blueprint.scheduling.priorities.is_empty();
    let actions =
        if priorities { "enqueue, allocate, preempt, reclaim, backfill" } else { "enqueue, allocate, backfill" };
    let plugin = |name: &str| json!({"name": name});
    let may_not_preempt = |name: &str| json!({"name": name, "enablePreemptable": false});
    let configuration = json!({
        "actions": actions,
        "tiers": [
            {"plugins": [plugin("priority"), may_not_preempt("gang"), plugin("conformance")]},
            {"plugins": [plugin("overcommit"), may_not_preempt("drf"), plugin("predicates"), plugin("proportion"),
                plugin("nodeorder"), plugin("binpack")]},
        ],
    });
    json!({
        "basic": {"image_pull_policy": "IfNotPresent", "image_tag_version": version},
        "custom": {"scheduler_config_override": crate::blueprint::to_yaml(&configuration)},
    })
}

/// A queue may take as much as its namespace's quota.
fn volcano_queue(blueprint: &Blueprint, namespace: &Namespace) -> Value {
    let quota = namespace.quota.as_ref().map(|quota| hard(quota, blueprint)).unwrap_or_default();
    let capability: Map<String, Value> = quota
        .into_iter()
        .filter_map(|(key, amount)| {
            let resource = key.strip_prefix("requests.")?;
            (resource != "storage").then(|| (resource.to_owned(), Value::from(amount)))
        })
        .collect();
    let mut spec = json!({"reclaimable": true, "weight": 1});
    if !capability.is_empty() {
        spec["capability"] = capability.into();
    }
    spec
}

/// All or nothing: Kueue admits a workload whole, and takes it back where its pods do not all become ready.
fn kueue() -> Value {
    let configuration = json!({
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": ":8081"},
        "metrics": {"bindAddress": ":8443"},
        "webhook": {"port": 9443},
        "leaderElection": {"leaderElect": true, "resourceName": "c1f6bfd2.kueue.x-k8s.io"},
        "waitForPodsReady": {
            // A node pool that grows from nothing, and a large image: cloud GPU nodes take up to ten minutes to be ready.
            "timeout": "20m",
            "blockAdmission": false,
            "requeuingStrategy": {"timestamp": "Eviction", "backoffBaseSeconds": 60, "backoffMaxSeconds": 3600},
        },
        "integrations": {"frameworks": ["batch/job", "jobset.x-k8s.io/jobset"]},
    });
    json!({"managerConfig": {"controllerManagerConfigYaml": crate::blueprint::to_yaml(&configuration)}})
}

/// A pool as Kueue sees it: the labels that its nodes are born with, and the taints that a workload must tolerate. It adds no
/// tolerations: a Job that does not tolerate a GPU node's taint shall not be sent there.
fn flavor(provider: ProviderKind, pool: &PoolSpec) -> Value {
    let own = |key: &String| key.starts_with("wbk-infra/");
    let (first, rest): (Vec<_>, Vec<_>) = pool.labels.iter().partition(|(key, _)| own(key));
    let labels: BTreeMap<&String, &String> = first.into_iter().chain(rest).take(MOST_LABELS).collect();
    let taints: Vec<Value> = node_taints(provider, pool)
        .iter()
        .filter(|taint| taint.effect != TaintEffect::PreferNoSchedule)
        .map(Taint::written)
        .collect();
    let mut spec = json!({"nodeLabels": labels});
    if !taints.is_empty() {
        spec["nodeTaints"] = taints.into();
    }
    spec
}

/// One queue over all pools at their largest. Every flavor of a group names every resource of it, so what a pool does not have is 0.
fn cluster_queue(blueprint: &Blueprint) -> Value {
    let gpus = pool_gpus(blueprint);
    let extended: BTreeSet<&String> = gpus.values().flat_map(|gpus| gpus.allocatable.keys()).collect();
    let covered: Vec<&str> = ["cpu", "memory"].into_iter().chain(extended.iter().map(|name| name.as_str())).collect();
    let flavors: Vec<Value> = blueprint
        .node_pools
        .iter()
        .map(|pool| {
            let spec = pool_spec(blueprint, pool);
            let nodes = u64::from(spec.size.max);
            let of_gpu = |name: &String| gpus.get(&pool.name).and_then(|gpus| gpus.allocatable.get(name)).copied();
            let mut resources = vec![
                json!({"name": "cpu", "nominalQuota": crate::blueprint::Cpu { millis: spec.shape.cpu_millis * nodes }.to_string()}),
                json!({"name": "memory", "nominalQuota": crate::blueprint::Bytes(spec.shape.memory_bytes * nodes).to_string()}),
            ];
            resources.extend(extended.iter().map(|name| {
                let all = of_gpu(name).unwrap_or(0) * nodes;
                json!({"name": name, "nominalQuota": all.to_string()})
            }));
            json!({"name": pool.name, "resources": resources})
        })
        .collect();
    let names: Vec<&str> = job_namespaces(blueprint).into_iter().map(|(_, space)| space.name.as_str()).collect();
    let within = if blueprint.scheduling.priorities.is_empty() { "Never" } else { "LowerPriority" };
    json!({
        "namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": names},
        ]},
        "preemption": {"withinClusterQueue": within},
        "queueingStrategy": "BestEffortFIFO",
        "resourceGroups": [{"coveredResources": covered, "flavors": flavors}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(gang: &str) -> Blueprint {
        let text = format!(
            "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: x}}\ncluster: {{provider: kind}}\n\
             nodePools:\n\
             - {{name: system, shape: {{cpu: 4, memory: 8Gi}}, size: {{min: 1, max: 2}}}}\n\
             - {{name: l4, shape: {{cpu: 8, memory: 32Gi}}, capacity: spot, size: {{min: 0, max: 3}}, \
                accelerator: {{model: nvidia-l4, count: 2}}}}\n\
             gpu: {{plugin: nvidia, sharing: [{{pool: l4, strategy: time-slicing, replicas: 4}}]}}\n\
             scheduling: {{gang: {gang}, priorities: [{{name: high, value: 10}}]}}\n\
             namespaces: [{{name: jobs, quota: {{gpu: 2, cpu: 8}}}}, {{name: tools}}]\n"
        );
        let tree = crate::blueprint::read_values(&text, "x").expect("YAML");
        serde_json::from_value(tree.to_json()).expect("a blueprint")
    }

    #[test]
    fn a_pool_is_a_flavor_by_the_labels_of_birth_and_the_taints_to_tolerate() {
        let blueprint = blueprint("kueue");
        let flavor = flavor(blueprint.cluster.provider, &pool_spec(&blueprint, &blueprint.node_pools[1]));
        assert_eq!(flavor["nodeLabels"]["wbk-infra/pool"], "l4");
        assert_eq!(flavor["nodeLabels"]["wbk-infra/capacity"], "spot");
        let keys: Vec<&str> =
            flavor["nodeTaints"].as_array().unwrap().iter().filter_map(|t| t["key"].as_str()).collect();
        assert_eq!(keys, ["nvidia.com/gpu", "wbk-infra/spot"]);
        assert!(flavor.get("tolerations").is_none());
    }

    #[test]
    fn the_queue_has_what_all_pools_have_at_their_largest_shares_counted() {
        let queue = cluster_queue(&blueprint("kueue"));
        let group = &queue["resourceGroups"][0];
        assert_eq!(group["coveredResources"], json!(["cpu", "memory", "nvidia.com/gpu.shared"]));
        let quotas = |index: usize| -> Vec<&str> {
            let resources = group["flavors"][index]["resources"].as_array().unwrap();
            resources.iter().filter_map(|resource| resource["nominalQuota"].as_str()).collect()
        };
        assert_eq!(quotas(0), ["8", "16Gi", "0"]);
        assert_eq!(quotas(1), ["24", "96Gi", "24"]);
        assert_eq!(queue["namespaceSelector"]["matchExpressions"][0]["values"], json!(["jobs"]));
        assert_eq!(queue["preemption"]["withinClusterQueue"], "LowerPriority");
    }

    #[test]
    fn volcano_preempts_where_there_are_priorities_and_a_queue_ends_with_its_quota() {
        let blueprint = blueprint("volcano");
        let values = volcano(&blueprint);
        assert_eq!(values["basic"]["image_tag_version"], "v1.15.0");
        let configuration = values["custom"]["scheduler_config_override"].as_str().unwrap();
        assert!(configuration.contains("preempt, reclaim"), "{configuration}");
        let queue = volcano_queue(&blueprint, &blueprint.namespaces[0]);
        // Two GPUs are eight shares.
        assert_eq!(queue["capability"], json!({"cpu": "8", "nvidia.com/gpu.shared": "8"}));
    }
}
