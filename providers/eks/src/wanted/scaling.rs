//! What Cluster Autoscaler reads on the groups behind node groups.

use std::collections::BTreeMap;

use wbk_provider_api::{EksAutoscaler, EksSpec, PoolSpec};

use crate::catalog;

/// The tag of groups that Cluster Autoscaler may scale. EKS writes it and [`scaled_cluster`]'s on the groups behind its node groups;
/// they are kept by name, as its rights follow from them.
pub const SCALED: &str = "k8s.io/cluster-autoscaler/enabled";

/// The tag of groups of one cluster.
pub fn scaled_cluster(cluster: &str) -> String {
    format!("k8s.io/cluster-autoscaler/{cluster}")
}

/// Longest key of a tag (Auto Scaling, CreateOrUpdateTags).
const TAG_KEY: usize = 128;
/// What a node leaves to pods of its disk, in hundredths: kubelet evicts at 10 % free, and the system and its own images have a part.
const DISK_PART: u64 = 85;

/// What Cluster Autoscaler reads on the Auto Scaling group of a pool: whose it is, and what a node of it would be while there is none
/// (kubernetes/autoscaler 1.36.1, cloudprovider/aws/aws_manager.go, buildNodeFromTemplate). What no tag says it takes from the instance
/// type, whole: it would make nodes for pods that then do not fit beside what the system keeps.
pub(super) fn scaling_tags(spec: &EksSpec, pool: &PoolSpec, cluster: &str) -> BTreeMap<String, String> {
    const TEMPLATE: &str = "k8s.io/cluster-autoscaler/node-template";
    if spec.autoscaler != EksAutoscaler::ClusterAutoscaler {
        return BTreeMap::new();
    }
    let owned = [(SCALED.to_owned(), "true".to_owned()), (scaled_cluster(cluster), "owned".to_owned())];
    let labels = pool.labels.iter().map(|(key, value)| (format!("{TEMPLATE}/label/{key}"), value.clone()));
    let taints = pool
        .taints
        .iter()
        .map(|taint| (format!("{TEMPLATE}/taint/{}", taint.key), format!("{}:{}", taint.value, taint.effect.as_str())));
    let eks = spec.pools.get(&pool.name);
    let mut resources: BTreeMap<&str, String> = BTreeMap::from([
        ("cpu", format!("{}m", pool.shape.cpu_millis)),
        ("memory", pool.shape.memory_bytes.to_string()),
        ("pods", pool.shape.pods.to_string()),
    ]);
    if let Some(disk) = eks.map(|eks| u64::from(eks.disk.gib)) {
        resources.insert("ephemeral-storage", ((disk << 30) / 100 * DISK_PART).to_string());
    }
    if let Some(gpu) = &pool.shape.gpu {
        // Shared GPUs have another name, and those of the instance type's count are then not there.
        let advertised = eks.map(|eks| &eks.advertised).filter(|advertised| !advertised.is_empty());
        let renamed = advertised.is_some_and(|advertised| !advertised.contains_key(&gpu.resource));
        resources.insert(&gpu.resource, if renamed { "0".into() } else { gpu.count.to_string() });
        for (resource, count) in advertised.into_iter().flatten() {
            resources.insert(resource, count.to_string());
        }
    }
    let machine = eks.filter(|eks| eks.efa).and_then(|eks| eks.machines.first());
    if let Some(machine) = machine.and_then(|name| catalog::machine(name)) {
        resources.insert("vpc.amazonaws.com/efa", machine.efa.to_string());
    }
    let resources = resources.into_iter().map(|(key, amount)| (format!("{TEMPLATE}/resources/{key}"), amount));
    // A label whose tag would be too long it learns from DescribeNodegroup.
    let fits = |(key, _): &(String, String)| key.len() <= TAG_KEY;
    owned.into_iter().chain(labels).chain(taints).chain(resources).filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tags(advertised: Value) -> BTreeMap<String, String> {
        let spec: EksSpec = serde_json::from_value(json!({
            "network": {"own": {"cidr": "10.0.0.0/16", "zones": [], "nat": "one"}},
            "endpoint": {"public": true, "private": true, "publicCidrs": []}, "authentication": "api", "support": "standard",
            "deletionProtection": false, "addons": {}, "autoscaler": "cluster-autoscaler", "oidc": false,
            "pools": {"l4": {"machines": ["g6.xlarge"], "ami": "AL2023_x86_64_NVIDIA", "disk": {"gib": 200}, "efa": false,
                "maxUnavailable": 1, "repair": false, "advertised": advertised}},
        }))
        .expect("a specification");
        let pool: PoolSpec = serde_json::from_value(json!({
            "name": "l4", "size": {"min": 0, "max": 2}, "capacity": "spot", "labels": {"team": "research"},
            "shape": {"cpu_millis": 3920, "memory_bytes": 8_589_934_592_u64, "pods": 58,
                "gpu": {"resource": "nvidia.com/gpu", "pci_vendor": "10de", "count": 1}},
            "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
        }))
        .expect("a pool");
        scaling_tags(&spec, &pool, "c")
    }

    #[test]
    fn the_autoscaler_is_told_whose_a_group_is_and_what_a_node_leaves_to_pods() {
        let tags = tags(json!({"nvidia.com/gpu": 1}));
        let said = |key: &str| tags.get(&format!("k8s.io/cluster-autoscaler/{key}")).map(String::as_str);
        assert_eq!((said("enabled"), said("c")), (Some("true"), Some("owned")));
        assert_eq!(said("node-template/label/team"), Some("research"));
        assert_eq!(said("node-template/taint/nvidia.com/gpu"), Some("present:NoSchedule"));
        assert_eq!(said("node-template/resources/cpu"), Some("3920m"));
        assert_eq!(said("node-template/resources/memory"), Some("8589934592"));
        assert_eq!(said("node-template/resources/pods"), Some("58"));
        let disk: u64 =
            said("node-template/resources/ephemeral-storage").and_then(|disk| disk.parse().ok()).expect("a disk");
        assert!(disk > 160 << 30 && disk < 180 << 30, "{disk}");
        assert_eq!(said("node-template/resources/nvidia.com/gpu"), Some("1"));
    }

    #[test]
    fn shares_are_told_by_their_own_name_and_whole_gpus_are_then_not_there() {
        let tags = tags(json!({"nvidia.com/gpu.shared": 4}));
        let said = |key: &str| tags[&format!("k8s.io/cluster-autoscaler/node-template/resources/{key}")].clone();
        assert_eq!((said("nvidia.com/gpu.shared"), said("nvidia.com/gpu")), ("4".into(), "0".into()));
    }
}
