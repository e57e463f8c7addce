//! A managed node group as simulated nodes. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use wbk_provider_api::{Capacity, PoolSize, PoolSpec, Taint, TaintEffect};

use super::Machine;

/// The nodes of a node group as DescribeNodegroup tells it, on `machine`, in `zone`.
pub(crate) fn pool(group: &Value, instance_type: &str, machine: &Machine, zone: &str) -> PoolSpec {
    let text = |name: &str| group[name].as_str().unwrap_or_default().to_owned();
    let name = text("nodegroupName");
    let capacity = text("capacityType");
    let mut labels: BTreeMap<String, String> = group["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    // AWS, EKS user guide, "Managed node groups"; the topology and the architecture are the cloud provider's and kubelet's.
    let region = zone.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    for (key, value) in [
        ("eks.amazonaws.com/nodegroup", name.as_str()),
        ("eks.amazonaws.com/capacityType", &capacity),
        ("kubernetes.io/arch", machine.arch),
        ("topology.kubernetes.io/zone", zone),
        ("topology.kubernetes.io/region", region),
    ] {
        labels.insert(key.into(), value.into());
    }
    let size =
        |name: &str| group["scalingConfig"][name].as_u64().and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
    PoolSpec {
        name: pool_name(&name),
        machine: Some(instance_type.into()),
        shape: machine.shape.clone(),
        accelerator: machine.accelerator.clone(),
        // The local provider makes as many nodes as the least: what is desired now is there now.
        size: PoolSize { min: size("desiredSize"), max: size("maxSize").max(size("desiredSize")) },
        capacity: if capacity == "SPOT" { Capacity::Spot } else { Capacity::OnDemand },
        labels,
        taints: group["taints"].as_array().into_iter().flatten().filter_map(taint).collect(),
    }
}

/// EKS spells effects in its own way.
fn taint(taint: &Value) -> Option<Taint> {
    let effect = match taint["effect"].as_str()? {
        "NO_SCHEDULE" => TaintEffect::NoSchedule,
        "PREFER_NO_SCHEDULE" => TaintEffect::PreferNoSchedule,
        "NO_EXECUTE" => TaintEffect::NoExecute,
        _ => return None,
    };
    let text = |name: &str| taint[name].as_str().unwrap_or_default().to_owned();
    Some(Taint { key: text("key"), value: text("value"), effect })
}

/// A node group's name as nodes can carry it in theirs: lower case, and told apart from another that is spelled alike.
pub(crate) fn pool_name(group: &str) -> String {
    let plain: String =
        group.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    if plain == group {
        return plain;
    }
    // FNV-1a: short, and the same in every process.
    let digest = group.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{}-{digest:08x}", plain.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wbk_provider_api::Shape;

    use super::*;

    #[test]
    fn a_node_group_is_its_desired_nodes_with_labels_and_taints_in_kubernetes_words() {
        let shape = Shape { cpu_millis: 1, memory_bytes: 1, pods: 1, gpu: None };
        let machine = Machine { shape, accelerator: None, arch: "arm64" };
        let group = json!({"nodegroupName": "spot", "capacityType": "SPOT", "labels": {"team": "research", "wbk-infra/pool": "l4"},
            "taints": [{"key": "wbk-infra/spot", "value": "true", "effect": "PREFER_NO_SCHEDULE"}],
            "scalingConfig": {"minSize": 0, "maxSize": 4, "desiredSize": 2}});
        let pool = pool(&group, "g5g.xlarge", &machine, "us-west-2a");
        assert_eq!((pool.size.min, pool.size.max, pool.capacity), (2, 4, Capacity::Spot));
        assert_eq!(pool.taints[0].effect, TaintEffect::PreferNoSchedule);
        let label = |key: &str| pool.labels.get(key).map(String::as_str);
        assert_eq!((label("wbk-infra/pool"), label("eks.amazonaws.com/nodegroup")), (Some("l4"), Some("spot")));
        assert_eq!(
            (label("topology.kubernetes.io/region"), label("kubernetes.io/arch")),
            (Some("us-west-2"), Some("arm64"))
        );
    }

    #[test]
    fn names_that_nodes_cannot_have_are_respelled_and_stay_apart() {
        assert_eq!(pool_name("gpu-a100"), "gpu-a100");
        assert_ne!(pool_name("GPU_a"), pool_name("gpu-a"));
        assert!(pool_name("GPU_a").starts_with("gpu-a-"));
    }
}
