//! A pool's nodes as they should be, and how the ones that are differ. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Taint as NodeTaint};
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};
use wbk_provider_api::{FieldDiff, PoolSpec, Taint, TaintEffect};

/// Label of nodes: the pool's name.
pub(crate) const POOL: &str = "wbk-infra/pool";
/// Label of nodes and annotation of the record: the blueprint that they belong to.
pub(crate) const BLUEPRINT: &str = "wbk-infra/blueprint";

/// Taints that the cluster itself sets and takes away.
const LIFECYCLE: [&str; 2] = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"];

/// One node of a pool: its container is there, the rest may be.
pub(crate) struct Found<'a> {
    pub name: &'a str,
    pub running: bool,
    /// As the API server knows it.
    pub node: Option<&'a Node>,
    /// Images that it should have and has not.
    pub lacks: Vec<String>,
}

/// The labels of one of its nodes.
fn labels(blueprint: &str, pool: &PoolSpec) -> BTreeMap<String, String> {
    let mut labels = pool.labels.clone();
    if let Some(machine) = &pool.machine {
        labels.insert("node.kubernetes.io/instance-type".into(), machine.clone());
    }
    // By these it is found, so the pool's own cannot take their place.
    labels.insert(POOL.into(), pool.name.clone());
    labels.insert(BLUEPRINT.into(), blueprint.into());
    labels
}

/// The merge patch that makes a node as the pool wants it; `None` where it is. `before` is the pool as it was: what only that
/// had is taken away. What others added (NFD's labels) stays.
pub(crate) fn patch(blueprint: &str, before: &PoolSpec, pool: &PoolSpec, node: &Node) -> Option<Value> {
    let wanted = labels(blueprint, pool);
    let mut label_patch = Map::new();
    for (key, value) in &wanted {
        if node.labels().get(key) != Some(value) {
            label_patch.insert(key.clone(), value.clone().into());
        }
    }
    for key in labels(blueprint, before).keys() {
        if !wanted.contains_key(key) && node.labels().contains_key(key) {
            label_patch.insert(key.clone(), Value::Null);
        }
    }
    let mut differs = !label_patch.is_empty();
    let mut patch = json!({"metadata": {"uid": node.uid(), "labels": label_patch}});
    if ours(node) != sorted(&pool.taints) {
        differs = true;
        let mut taints: Vec<NodeTaint> = taints_of(node).iter().filter(|taint| is_lifecycle(taint)).cloned().collect();
        taints.extend(pool.taints.iter().map(to_node_taint));
        patch["spec"] = json!({"taints": taints});
        // The list is replaced whole; a change by the cluster in between must not be lost.
        patch["metadata"]["resourceVersion"] = node.resource_version().into();
    }
    differs.then_some(patch)
}

/// How the nodes differ from what their pool says, sorted by path.
pub(crate) fn deviations(blueprint: &str, pool: &PoolSpec, found: &[Found<'_>]) -> Vec<FieldDiff> {
    let mut diff = Vec::new();
    for one in found {
        let name = one.name;
        if !one.running {
            diff.push(FieldDiff {
                path: format!("nodes[{name}].container"),
                old: Some("stopped".into()),
                new: Some("running".into()),
            });
        }
        match one.node {
            Some(node) => of_node(blueprint, pool, node, &mut diff),
            None => diff.push(FieldDiff { path: format!("nodes[{name}]"), old: None, new: Some("node".into()) }),
        }
        for image in &one.lacks {
            diff.push(FieldDiff {
                path: format!("nodes[{name}].images[{image}]"),
                old: None,
                new: Some("loaded".into()),
            });
        }
    }
    diff.sort_by(|left, right| left.path.cmp(&right.path));
    diff
}

fn of_node(blueprint: &str, pool: &PoolSpec, node: &Node, diff: &mut Vec<FieldDiff>) {
    let name = node.name_any();
    for (key, value) in labels(blueprint, pool) {
        let has = node.labels().get(&key);
        if has != Some(&value) {
            let old = has.map(|has| has.clone().into());
            diff.push(FieldDiff { path: format!("nodes[{name}].labels[{key}]"), old, new: Some(value.into()) });
        }
    }
    let (has, wanted) = (ours(node), sorted(&pool.taints));
    let path = |taint: &Taint| format!("nodes[{name}].taints[{}:{}]", taint.key, taint.effect.as_str());
    let paths: BTreeSet<String> = has.iter().chain(&wanted).map(path).collect();
    for at in paths {
        let value = |taints: &[Taint]| {
            taints.iter().find(|taint| path(taint) == at).map(|taint| Value::from(taint.value.clone()))
        };
        let (old, new) = (value(&has), value(&wanted));
        if old != new {
            diff.push(FieldDiff { path: at, old, new });
        }
    }
}

/// A pool without its record, as its nodes show it: as it is wanted, so that every difference is one of its nodes.
pub(crate) fn rebuilt(name: &str, wanted: Option<&PoolSpec>, found: &[Found<'_>]) -> Option<PoolSpec> {
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let first = found.first()?;
    Some(wanted.cloned().unwrap_or_else(|| PoolSpec {
        name: name.into(),
        machine: None,
        shape: wbk_provider_api::Shape { cpu_millis: 0, memory_bytes: 0, pods: 0, gpu: None },
        accelerator: None,
        size: wbk_provider_api::PoolSize { min: count, max: count },
        capacity: wbk_provider_api::Capacity::default(),
        labels: BTreeMap::from([(POOL.to_owned(), name.to_owned())]),
        taints: first.node.map(ours).unwrap_or_default(),
    }))
}

fn taints_of(node: &Node) -> &[NodeTaint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn is_lifecycle(taint: &NodeTaint) -> bool {
    LIFECYCLE.iter().any(|prefix| taint.key.starts_with(prefix))
}

/// The node's taints without the cluster's own, sorted.
fn ours(node: &Node) -> Vec<Taint> {
    let effect = |text: &str| match text {
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => TaintEffect::NoSchedule,
    };
    let taints: Vec<Taint> = taints_of(node)
        .iter()
        .filter(|taint| !is_lifecycle(taint))
        .map(|taint| Taint {
            key: taint.key.clone(),
            value: taint.value.clone().unwrap_or_default(),
            effect: effect(&taint.effect),
        })
        .collect();
    sorted(&taints)
}

fn sorted(taints: &[Taint]) -> Vec<Taint> {
    let mut taints = taints.to_vec();
    taints.sort();
    taints
}

fn to_node_taint(taint: &Taint) -> NodeTaint {
    NodeTaint {
        key: taint.key.clone(),
        value: (!taint.value.is_empty()).then(|| taint.value.clone()),
        effect: taint.effect.as_str().into(),
        time_added: None,
    }
}

/// It says so, and the controllers have believed it: the taint that they put on new nodes is gone.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        && !taints_of(node).iter().any(|taint| taint.key == "node.kubernetes.io/not-ready")
}

#[cfg(test)]
pub(crate) mod tests {
    use wbk_provider_api::{Capacity, ClusterSpec, KindSpec, PoolSize, ProviderKind, Shape, Wanted};

    use super::*;

    pub(crate) fn pool(name: &str, nodes: u32) -> PoolSpec {
        PoolSpec {
            name: name.into(),
            machine: None,
            shape: Shape { cpu_millis: 4000, memory_bytes: 1 << 34, pods: 110, gpu: None },
            accelerator: None,
            size: PoolSize { min: nodes, max: nodes },
            capacity: Capacity::OnDemand,
            labels: BTreeMap::from([("team".to_owned(), "research".to_owned())]),
            taints: vec![Taint { key: "a".into(), value: String::new(), effect: TaintEffect::NoSchedule }],
        }
    }

    pub(crate) fn wanted(pools: Vec<PoolSpec>) -> Wanted {
        Wanted {
            blueprint: "b".into(),
            cluster: ClusterSpec {
                provider: ProviderKind::Kind,
                name: "k".into(),
                version: None,
                context: None,
                kubeconfig: None,
                uid: None,
                kind: KindSpec::default(),
            },
            pools: pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect(),
        }
    }

    /// A node as kubeadm and the kubelet make it.
    pub(crate) fn node(pool: &PoolSpec, name: &str) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some(name.into());
        node.metadata.labels = Some(labels("b", pool));
        node.labels_mut().insert("kubernetes.io/hostname".into(), name.into());
        node.spec.get_or_insert_default().taints = Some(pool.taints.iter().map(to_node_taint).collect());
        node
    }

    fn deviating(node: &Node) -> Vec<String> {
        let found = [Found { name: "k-worker", running: true, node: Some(node), lacks: Vec::new() }];
        deviations("b", &pool("cpu", 1), &found).into_iter().map(|diff| diff.path).collect()
    }

    #[test]
    fn nodes_as_made_deviate_in_nothing_and_need_no_patch() {
        let node = node(&pool("cpu", 1), "k-worker");
        assert_eq!(deviating(&node), Vec::<String>::new());
        assert_eq!(patch("b", &pool("cpu", 1), &pool("cpu", 1), &node), None);
    }

    #[test]
    fn what_the_cluster_and_nfd_add_is_no_deviation() {
        let mut node = node(&pool("cpu", 1), "k-worker");
        node.labels_mut().insert("feature.node.kubernetes.io/x".into(), "true".into());
        let cordoned = NodeTaint {
            key: "node.kubernetes.io/unschedulable".into(),
            effect: "NoSchedule".into(),
            ..NodeTaint::default()
        };
        node.spec.as_mut().unwrap().taints.as_mut().unwrap().push(cordoned);
        assert_eq!(deviating(&node), Vec::<String>::new());
    }

    #[test]
    fn edits_by_hand_are_named_one_by_one_and_mended_by_the_patch() {
        let mut node = node(&pool("cpu", 1), "k-worker");
        node.labels_mut().insert("team".into(), "other".into());
        node.spec.as_mut().unwrap().taints.as_mut().unwrap()[0].value = Some("x".into());
        assert_eq!(deviating(&node), ["nodes[k-worker].labels[team]", "nodes[k-worker].taints[a:NoSchedule]"]);
        let patch = patch("b", &pool("cpu", 1), &pool("cpu", 1), &node).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"team": "research"}));
        assert_eq!(patch["spec"]["taints"], json!([{"effect": "NoSchedule", "key": "a"}]));
    }

    #[test]
    fn a_label_that_is_no_longer_wanted_is_taken_away() {
        let mut after = pool("cpu", 1);
        after.labels.clear();
        let patch = patch("b", &pool("cpu", 1), &after, &node(&pool("cpu", 1), "k-worker")).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"team": null}));
    }

    #[test]
    fn stopped_containers_lost_nodes_and_missing_images_are_named() {
        let found = [Found { name: "k-worker", running: false, node: None, lacks: vec!["localhost/x:1".into()] }];
        let paths: Vec<String> = deviations("b", &pool("cpu", 1), &found).into_iter().map(|diff| diff.path).collect();
        assert_eq!(paths, ["nodes[k-worker]", "nodes[k-worker].container", "nodes[k-worker].images[localhost/x:1]"]);
    }
}
