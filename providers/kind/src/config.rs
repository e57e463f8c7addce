//! What kind is given: nodes in the order of the pools, each with its mark, and with the pool's labels and taints from birth, so
//! that nothing lands on a node before its taint does. Pure.

use std::path::Path;

use serde_json::{Value, json};
use wbk_provider_api::{PoolSpec, Wanted};

use crate::containers::mark;

/// Label namespaces that a kubelet may not write on its own node (with exceptions that are not used here); the API writes them
/// afterwards. Source: `--node-labels` of the kubelet 1.36.
const NOT_BY_KUBELET: [&str; 2] = ["kubernetes.io", "k8s.io"];

/// kind's configuration (v1alpha4). JSON is YAML.
pub(crate) fn of(wanted: &Wanted, image: Option<&str>, marks: &Path) -> Value {
    let kind = &wanted.cluster.kind;
    let node = |role: &str, patch: Value, pool: Option<&PoolSpec>| {
        let mut node = json!({
            "role": role,
            "extraMounts": [{
                "hostPath": marks,
                "containerPath": mark(&wanted.blueprint, pool.map(|pool| pool.name.as_str())),
                "readOnly": true,
            }],
        });
        if let Some(image) = image {
            node["image"] = image.into();
        }
        if let Some(pool) = pool {
            node["labels"] = pool
                .labels
                .iter()
                .filter(|(key, _)| may_kubelet(key))
                .map(|(key, value)| (key.clone(), Value::from(value.clone())))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        if !patch.is_null() {
            node["kubeadmConfigPatches"] = json!([patch.to_string()]);
        }
        node
    };
    let taints = |pool: &PoolSpec| pool.taints.iter().map(wbk_provider_api::Taint::written).collect::<Vec<Value>>();
    let serving = kind.control_plane.as_ref().and_then(|name| wanted.pools.get(name));
    let first = match serving {
        // An empty list takes kubeadm's own taint away: the control plane is a node of the pool like any other.
        Some(pool) => json!({"kind": "InitConfiguration", "nodeRegistration": {"taints": taints(pool)}}),
        None => Value::Null,
    };
    let mut nodes = vec![node("control-plane", first, serving)];
    for pool in wanted.pools.values() {
        let workers =
            pool.size.min - u32::from(serving.is_some_and(|serving| serving.name == pool.name)).min(pool.size.min);
        let patch = match taints(pool) {
            taints if taints.is_empty() => Value::Null,
            taints => json!({"kind": "JoinConfiguration", "nodeRegistration": {"taints": taints}}),
        };
        nodes.extend((0..workers).map(|_| node("worker", patch.clone(), Some(pool))));
    }
    json!({
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "name": wanted.cluster.name,
        // Nobody else on the network shall reach it.
        "networking": {"apiServerAddress": "127.0.0.1"},
        "nodes": nodes,
    })
}

fn may_kubelet(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return true };
    !NOT_BY_KUBELET
        .iter()
        .any(|reserved| prefix == *reserved || prefix.strip_suffix(reserved).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::tests::{pool, wanted};

    #[test]
    fn workers_are_born_with_the_labels_and_taints_of_their_pool() {
        let mut gpu = pool("a100", 2);
        gpu.labels.insert("node-role.kubernetes.io/gpu".into(), "".into());
        let config = of(&wanted(vec![gpu, pool("system", 1)]), Some("kindest/node:x"), Path::new("/marks"));
        let nodes = config["nodes"].as_array().unwrap();
        let roles: Vec<&str> = nodes.iter().map(|node| node["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["control-plane", "worker", "worker", "worker"]);
        assert_eq!(nodes[0].get("kubeadmConfigPatches"), None, "it keeps kubeadm's taint");
        assert_eq!(nodes[1]["labels"], json!({"team": "research"}), "the kubelet may not write the other");
        assert_eq!(nodes[1]["extraMounts"][0]["containerPath"], "/wbk-infra/blueprint/b/pool/a100");
        let patch: Value = serde_json::from_str(nodes[1]["kubeadmConfigPatches"][0].as_str().unwrap()).unwrap();
        assert_eq!(patch["kind"], "JoinConfiguration");
        assert_eq!(patch["nodeRegistration"]["taints"], json!([{"key": "a", "effect": "NoSchedule"}]));
    }

    #[test]
    fn a_control_plane_that_serves_a_pool_is_one_of_its_nodes() {
        let mut wanted = wanted(vec![pool("a100", 1), pool("system", 2)]);
        wanted.cluster.kind.control_plane = Some("system".into());
        let config = of(&wanted, None, Path::new("/marks"));
        let nodes = config["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 3);
        assert_eq!(nodes[0]["extraMounts"][0]["containerPath"], "/wbk-infra/blueprint/b/pool/system");
        assert!(nodes[0]["kubeadmConfigPatches"][0].as_str().unwrap().contains("InitConfiguration"));
        assert_eq!(nodes[0].get("image"), None, "kind's own, which it pins");
    }

    #[test]
    fn labels_of_kubernetes_are_left_to_the_api() {
        for key in ["kubernetes.io/x", "node-role.kubernetes.io/gpu", "feature.node.kubernetes.io/a", "k8s.io/b"] {
            assert!(!may_kubelet(key), "{key}");
        }
        for key in ["team", "wbk-infra/pool", "nvidia.com/gpu.present", "mykubernetes.io/x"] {
            assert!(may_kubelet(key), "{key}");
        }
    }
}
