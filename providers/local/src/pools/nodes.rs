//! A pool's nodes as they should be, and how the ones that are differ. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Taint as NodeTaint};
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};
use wbk_provider_api::{FieldDiff, PoolSpec, Taint, TaintEffect};

use crate::assets::arch;
use crate::names;
use crate::simulator::NodeShape;

/// Taints that the cluster itself sets and takes away.
const LIFECYCLE: [&str; 2] = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"];

/// The names of the nodes that the pool has.
pub(super) fn names_of(pool: &PoolSpec) -> Vec<String> {
    (0..pool.size.min).map(|index| format!("{}-{index}", pool.name)).collect()
}

/// The labels of one of its nodes.
pub(super) fn labels(blueprint: &str, pool: &PoolSpec, node: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), arch().to_owned()),
    ]);
    if let Some(machine) = &pool.machine {
        labels.insert("node.kubernetes.io/instance-type".into(), machine.clone());
    }
    labels.extend(pool.labels.clone());
    // By these it is found and told apart, so the pool's own cannot take their place.
    labels.insert("kubernetes.io/hostname".into(), node.into());
    labels.insert(names::POOL.into(), pool.name.clone());
    labels.insert(names::BLUEPRINT.into(), blueprint.into());
    labels.insert(names::SIMULATED.into(), "true".into());
    labels
}

fn shape_text(pool: &PoolSpec) -> String {
    serde_json::to_string(&NodeShape::of(pool)).expect("a shape is plain data")
}

/// The pool that a node was made for. The labels say it too, for pods; a label that somebody edits must not move a node to
/// a pool that never was.
pub(super) fn pool_of(node: &Node) -> Option<&str> {
    mark(node, names::POOL)
}

/// The blueprint that a node was made for.
pub(super) fn blueprint_of(node: &Node) -> Option<&str> {
    mark(node, names::BLUEPRINT)
}

fn mark<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    if !node.annotations().contains_key(names::SHAPE) {
        return None;
    }
    node.annotations().get(key).or_else(|| node.labels().get(key)).map(String::as_str)
}

/// A node to create.
pub(super) fn make(blueprint: &str, pool: &PoolSpec, name: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.into());
    node.metadata.labels = Some(labels(blueprint, pool, name));
    node.metadata.annotations = Some(BTreeMap::from([
        (names::SHAPE.to_owned(), shape_text(pool)),
        (names::POOL.to_owned(), pool.name.clone()),
        (names::BLUEPRINT.to_owned(), blueprint.to_owned()),
    ]));
    if !pool.taints.is_empty() {
        node.spec.get_or_insert_default().taints = Some(pool.taints.iter().map(to_node_taint).collect());
    }
    node
}

/// The merge patch that makes a node as the pool wants it; `None` where it is. `before` is the pool as it was: what
/// only that had is taken away. What others added (NFD's labels) stays.
pub(super) fn patch(blueprint: &str, before: &PoolSpec, pool: &PoolSpec, node: &Node) -> Option<Value> {
    let name = node.name_any();
    let wanted = labels(blueprint, pool, &name);
    let mut label_patch = Map::new();
    for (key, value) in &wanted {
        if node.labels().get(key) != Some(value) {
            label_patch.insert(key.clone(), value.clone().into());
        }
    }
    for key in labels(blueprint, before, &name).keys() {
        if !wanted.contains_key(key) && node.labels().contains_key(key) {
            label_patch.insert(key.clone(), Value::Null);
        }
    }
    let mut patch = json!({"metadata": {"uid": node.uid()}});
    let mut differs = !label_patch.is_empty();
    patch["metadata"]["labels"] = label_patch.into();
    let shape = shape_text(pool);
    if node.annotations().get(names::SHAPE) != Some(&shape) {
        differs = true;
        patch["metadata"]["annotations"] = json!({names::SHAPE: shape});
    }
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
pub(super) fn deviations(blueprint: &str, pool: &PoolSpec, nodes: &[Node]) -> Vec<FieldDiff> {
    let wanted = names_of(pool);
    let mut diff = Vec::new();
    for name in &wanted {
        match nodes.iter().find(|node| node.name_any() == *name) {
            Some(node) => of_node(blueprint, pool, node, &mut diff),
            None => diff.push(FieldDiff { path: format!("nodes[{name}]"), old: None, new: Some("node".into()) }),
        }
    }
    for node in nodes {
        let name = node.name_any();
        if !wanted.contains(&name) {
            diff.push(FieldDiff { path: format!("nodes[{name}]"), old: Some("node".into()), new: None });
        }
    }
    diff.sort_by(|left, right| left.path.cmp(&right.path));
    diff
}

fn of_node(blueprint: &str, pool: &PoolSpec, node: &Node, diff: &mut Vec<FieldDiff>) {
    let name = node.name_any();
    for (key, value) in labels(blueprint, pool, &name) {
        let has = node.labels().get(&key);
        if has != Some(&value) {
            let old = has.map(|has| has.clone().into());
            diff.push(FieldDiff { path: format!("nodes[{name}].labels[{key}]"), old, new: Some(value.into()) });
        }
    }
    let (has, wanted) = (ours(node), sorted(&pool.taints));
    let path = |taint: &Taint| format!("nodes[{name}].taints[{}:{}]", taint.key, taint.effect.as_str());
    for taint in wanted.iter().filter(|taint| !has.contains(taint)) {
        diff.push(FieldDiff { path: path(taint), old: None, new: Some(taint.value.clone().into()) });
    }
    for taint in has.iter().filter(|taint| !wanted.contains(taint)) {
        diff.push(FieldDiff { path: path(taint), old: Some(taint.value.clone().into()), new: None });
    }
    let as_value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let has = node.annotations().get(names::SHAPE);
    let wanted = shape_text(pool);
    if has != Some(&wanted) {
        let old = has.map(|has| as_value(has));
        diff.push(FieldDiff { path: format!("nodes[{name}].shape"), old, new: Some(as_value(&wanted)) });
    }
}

/// A pool without its record, as its nodes show it. Only labels that are wanted count: whose the others are, nobody
/// knows any more.
pub(super) fn rebuilt(name: &str, wanted: Option<&PoolSpec>, nodes: &[Node]) -> Option<PoolSpec> {
    let node = nodes.first()?;
    let shape: NodeShape = serde_json::from_str(node.annotations().get(names::SHAPE)?).ok()?;
    let is_wanted = |key: &String| wanted.is_some_and(|wanted| wanted.labels.contains_key(key));
    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    Some(PoolSpec {
        name: name.into(),
        machine: node.labels().get("node.kubernetes.io/instance-type").cloned(),
        shape: shape.shape,
        accelerator: wanted.and_then(|wanted| wanted.accelerator.clone()),
        size: wanted.map_or(wbk_provider_api::PoolSize { min: count, max: count }, |wanted| wanted.size),
        capacity: wanted.map(|wanted| wanted.capacity).unwrap_or_default(),
        labels: node.labels().iter().filter(|(key, _)| is_wanted(key)).map(|(k, v)| (k.clone(), v.clone())).collect(),
        taints: ours(node),
    })
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

#[cfg(test)]
mod tests {
    use wbk_provider_api::{Capacity, PoolSize, Shape};

    use super::*;

    fn pool() -> PoolSpec {
        PoolSpec {
            name: "cpu".into(),
            machine: None,
            shape: Shape { cpu_millis: 4000, memory_bytes: 1 << 34, pods: 110, gpu: None },
            accelerator: None,
            size: PoolSize { min: 2, max: 2 },
            capacity: Capacity::OnDemand,
            labels: BTreeMap::from([("team".to_owned(), "research".to_owned())]),
            taints: vec![Taint { key: "a".into(), value: String::new(), effect: TaintEffect::NoSchedule }],
        }
    }

    fn nodes() -> Vec<Node> {
        names_of(&pool()).iter().map(|name| make("b", &pool(), name)).collect()
    }

    #[test]
    fn nodes_as_made_deviate_in_nothing_and_need_no_patch() {
        assert_eq!(deviations("b", &pool(), &nodes()), []);
        assert!(nodes().iter().all(|node| patch("b", &pool(), &pool(), node).is_none()));
    }

    #[test]
    fn what_the_cluster_and_nfd_add_is_no_deviation() {
        let mut nodes = nodes();
        nodes[0].labels_mut().insert("feature.node.kubernetes.io/x".into(), "true".into());
        let not_ready = NodeTaint {
            key: "node.kubernetes.io/not-ready".into(),
            effect: "NoSchedule".into(),
            ..NodeTaint::default()
        };
        nodes[0].spec.as_mut().unwrap().taints.as_mut().unwrap().push(not_ready);
        assert_eq!(deviations("b", &pool(), &nodes), []);
    }

    #[test]
    fn edits_by_hand_are_named_one_by_one_and_mended_by_the_patch() {
        let mut nodes = nodes();
        nodes[0].labels_mut().insert("team".into(), "other".into());
        nodes[0].spec.as_mut().unwrap().taints = None;
        nodes.pop();
        let paths: Vec<String> = deviations("b", &pool(), &nodes).into_iter().map(|diff| diff.path).collect();
        assert_eq!(paths, ["nodes[cpu-0].labels[team]", "nodes[cpu-0].taints[a:NoSchedule]", "nodes[cpu-1]"]);
        let patch = patch("b", &pool(), &pool(), &nodes[0]).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"team": "research"}));
        assert_eq!(patch["spec"]["taints"][0]["key"], "a");
    }

    #[test]
    fn a_label_that_is_no_longer_wanted_is_taken_away() {
        let mut after = pool();
        after.labels.clear();
        let patch = patch("b", &pool(), &after, &nodes()[0]).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"team": null}));
    }
}
