//! Pools on EKS Auto Mode: for each a NodePool that Karpenter, which AWS runs, makes nodes by, and a NodeClass that says where and how.
//!
//! Facts: karpenter.sh/v1 (kubernetes-sigs/karpenter, pkg/apis/crds), EKS user guide, "Create a Node Pool for EKS Auto Mode", "Create
//! a Node Class for Amazon EKS", "Static Capacity Node Pools in EKS Auto Mode".

use serde_json::{Map, Value, json};
use wbk_provider_api::{Capacity, EksAutoscaler, EksNat, EksNetwork, EksPool, EksSpec, PoolSpec, Taint};
use wbk_provider_eks::marks::{self, Marks};
use wbk_provider_eks::wanted::NODE_ROLE;

use super::collect::{Built, Collector};
use super::eks;
use super::pools::{cluster_spec, pool_spec};
use crate::blueprint::schema::Blueprint;
use crate::blueprint::steps;
use crate::id::GroupKind;

/// The group of Auto Mode's own kinds.
const EKS: &str = "eks.amazonaws.com";
/// Karpenter's.
const KARPENTER: &str = "karpenter.sh";
/// How long a node stays empty before it goes: the next Job of a queue often comes within minutes, and a node with GPUs takes as many to come.
const EMPTY: &str = "10m";
/// How long a node lives, AWS' own default: it patches nodes by replacing them, and lets none live longer than 21 days.
const LIFE: &str = "336h";
/// How long a node that shall go waits for pods that say that they are not to be disturbed. AWS asks for an end; two days let most
/// training reach a checkpoint.
const GRACE: &str = "48h";

/// Whether the pools are Auto Mode's.
pub(crate) fn is_on(blueprint: &Blueprint) -> bool {
    eks::scaler(blueprint) == Some(EksAutoscaler::AutoMode)
}

/// Kinds that the cluster has as soon as it is there.
pub(super) fn kinds(blueprint: &Blueprint) -> Vec<GroupKind> {
    let kind = |group: &str, kind: &str| GroupKind { group: group.into(), kind: kind.into() };
    match is_on(blueprint) {
        true => vec![kind(KARPENTER, "NodePool"), kind(EKS, "NodeClass")],
        false => Vec::new(),
    }
}

/// The objects of all pools.
pub(super) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    if !is_on(blueprint) {
        return;
    }
    let cluster = cluster_spec(blueprint);
    let Some(spec) = cluster.eks else { return };
    let marks = Marks {
        blueprint: blueprint.metadata.name.clone(),
        cluster: cluster.name,
        region: cluster.region.unwrap_or_default(),
        tags: spec.tags.clone(),
    };
    for (index, pool) in blueprint.node_pools.iter().enumerate() {
        let pool = pool_spec(blueprint, pool);
        let Some(own) = spec.pools.get(&pool.name) else { continue };
        let class = Built::new("eks.amazonaws.com/v1", "NodeClass", None, &pool.name)
            .with("spec", node_class(&spec, own, &marks));
        collector.add(steps!["nodePools", index], class);
        let object = Built::new("karpenter.sh/v1", "NodePool", None, &pool.name).with("spec", node_pool(&pool, own));
        collector.add(steps!["nodePools", index], object);
    }
}

fn node_class(spec: &EksSpec, pool: &EksPool, marks: &Marks) -> Value {
    let role = match &spec.node_role {
        Some(arn) => arn.rsplit('/').next().unwrap_or(arn).to_owned(),
        None => marks.role_name(NODE_ROLE),
    };
    let subnets = match &spec.network {
        EksNetwork::Given { subnets } => subnets.iter().map(|id| json!({"id": id})).collect(),
        EksNetwork::Own { nat, .. } => {
            let tier = if *nat == EksNat::None { "kubernetes.io/role/elb" } else { "kubernetes.io/role/internal-elb" };
            vec![json!({"tags": {
                marks::BLUEPRINT: marks.blueprint, marks::CLUSTER: marks.cluster, tier: "1",
            }})]
        }
    };
    json!({
        "role": role,
        "subnetSelectorTerms": subnets,
        // The cluster's own security group, as EKS tags it.
        "securityGroupSelectorTerms": [{"tags": {"aws:eks:cluster-name": marks.cluster}}],
        "ephemeralStorage": {"size": format!("{}Gi", pool.disk.gib)},
        // No tags: the cluster's role may tag machines with AWS' own keys alone (AmazonEKSComputePolicy).
    })
}

fn node_pool(pool: &PoolSpec, own: &EksPool) -> Value {
    let is_in = |key: &str, values: Vec<&str>| json!({"key": key, "operator": "In", "values": values});
    let capacity = match pool.capacity {
        Capacity::OnDemand => "on-demand",
        Capacity::Spot => "spot",
    };
    let mut requirements = vec![
        is_in("node.kubernetes.io/instance-type", own.machines.iter().map(String::as_str).collect()),
        is_in("karpenter.sh/capacity-type", vec![capacity]),
    ];
    if !own.zones.is_empty() {
        requirements.push(is_in("topology.kubernetes.io/zone", own.zones.iter().map(String::as_str).collect()));
    }
    let taints: Vec<Value> = pool.taints.iter().map(Taint::written).collect();
    let mut node = json!({
        "nodeClassRef": {"group": EKS, "kind": "NodeClass", "name": pool.name},
        "requirements": requirements,
        "expireAfter": LIFE,
        "terminationGracePeriod": GRACE,
    });
    if !taints.is_empty() {
        node["taints"] = taints.into();
    }
    let mut spec = json!({
        "template": {"metadata": {"labels": pool.labels}, "spec": node},
        "disruption": {
            // Nodes go when they are empty, and never to pack pods of others more tightly: that would end jobs.
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": EMPTY,
            "budgets": [
                {"nodes": "100%", "reasons": ["Empty"]},
                {"nodes": "1", "reasons": ["Drifted"]},
            ],
        },
    });
    if is_static(pool) {
        spec["replicas"] = pool.size.min.into();
        // One more while a node is replaced.
        spec["limits"] = json!({"nodes": pool.size.max + 1});
    } else {
        let mut limits = Map::from_iter([("nodes".to_owned(), Value::from(pool.size.max))]);
        if let Some(gpu) = &pool.shape.gpu {
            limits.insert(gpu.resource.clone(), (u64::from(gpu.count) * u64::from(pool.size.max)).into());
        }
        spec["limits"] = limits.into();
    }
    spec
}

/// Whether a pool keeps its number of nodes: Karpenter's static capacity. Any other begins empty.
fn is_static(pool: &PoolSpec) -> bool {
    pool.size.min > 0 && pool.size.min == pool.size.max
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn blueprint() -> Blueprint {
        let text = "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: x}\n\
             cluster: {provider: eks, region: us-west-2, version: \"1.34\", eks: {autoscaler: auto-mode}}\ngpu: {plugin: auto}\n\
             nodePools:\n\
             - {name: fixed, machine: m7i.xlarge, size: {min: 2, max: 2}}\n\
             - {name: l4, machine: g6.xlarge, accelerator: {model: nvidia-l4, count: 1}, capacity: spot, size: {min: 0, max: 3}, \
                eks: {also: [g6.2xlarge], zones: [us-west-2b], disk: 300Gi}}\n";
        let tree = crate::blueprint::read_values(text, "x").expect("YAML");
        serde_json::from_value(tree.to_json()).expect("a blueprint")
    }

    fn of(pool: usize) -> (Value, Value) {
        let blueprint = blueprint();
        let spec = cluster_spec(&blueprint).eks.expect("EKS");
        let pool = pool_spec(&blueprint, &blueprint.node_pools[pool]);
        let marks =
            Marks { blueprint: "x".into(), cluster: "x".into(), region: "us-west-2".into(), tags: BTreeMap::new() };
        let own = &spec.pools[&pool.name];
        (node_pool(&pool, own), node_class(&spec, own, &marks))
    }

    #[test]
    fn a_pool_with_room_is_bounded_by_its_nodes_and_gpus_and_goes_only_when_empty() {
        let (pool, class) = of(1);
        assert_eq!(pool["limits"], json!({"nodes": 3, "nvidia.com/gpu": 3}));
        let node = &pool["template"]["spec"];
        assert_eq!(node["requirements"][0]["values"], json!(["g6.xlarge", "g6.2xlarge"]));
        assert_eq!(node["requirements"][1]["values"], json!(["spot"]));
        assert_eq!(node["requirements"][2]["values"], json!(["us-west-2b"]));
        let taints: Vec<&str> = node["taints"].as_array().unwrap().iter().filter_map(|t| t["key"].as_str()).collect();
        assert_eq!(taints, ["nvidia.com/gpu", "wbk-infra/spot"]);
        assert_eq!(pool["template"]["metadata"]["labels"]["wbk-infra/pool"], "l4");
        assert_eq!(pool["disruption"]["consolidationPolicy"], "WhenEmpty");
        assert_eq!(class["ephemeralStorage"]["size"], "300Gi");
        assert_eq!(class["role"], "x-us-west-2-node");
    }

    #[test]
    fn a_pool_of_one_size_is_static_capacity() {
        let (pool, _) = of(0);
        assert_eq!((&pool["replicas"], &pool["limits"]), (&json!(2), &json!({"nodes": 3})));
        assert!(pool["template"]["spec"].get("taints").is_none());
    }

    #[test]
    fn no_device_plugin_and_no_add_on_is_installed_beside_those_of_auto_mode() {
        let blueprint = blueprint();
        let spec = cluster_spec(&blueprint).eks.expect("EKS");
        assert_eq!(spec.addons, BTreeMap::new());
        let gpus = super::super::gpu::pool_gpus(&blueprint);
        assert!(matches!(gpus["l4"].advertiser, super::super::Advertiser::Platform { .. }), "{:?}", gpus["l4"]);
        assert!(super::super::gpu::releases(&blueprint).iter().all(|release| release.chart != "nvidia-device-plugin"));
    }
}
