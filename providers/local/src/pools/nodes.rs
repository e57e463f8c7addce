//! A pool's nodes as they should be, and how the ones that are differ. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use wbk_provider_api::{FieldDiff, NodeMarks, PoolSpec, taints_of, to_node_taints};

use crate::assets::arch;
use crate::names;
use crate::simulator::NodeShape;

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
    // Pods find nodes by these two; whose a node is, its annotations say. A played cloud's groups have labels of their own here.
    labels.insert(names::POOL.into(), pool.name.clone());
    labels.insert(names::BLUEPRINT.into(), blueprint.into());
    labels.extend(pool.labels.clone());
    // By these it is found and told apart, so the pool's own cannot take their place.
    labels.insert("kubernetes.io/hostname".into(), node.into());
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
        node.spec.get_or_insert_default().taints = Some(to_node_taints(&pool.taints));
    }
    node
}

/// The merge patch that makes a node as the pool wants it; `None` where it is. `before` is the pool as it was.
pub(super) fn patch(blueprint: &str, before: &PoolSpec, pool: &PoolSpec, node: &Node) -> Option<Value> {
    let name = node.name_any();
    let wanted = NodeMarks { labels: &labels(blueprint, pool, &name), taints: &pool.taints };
    let marks = wanted.patch(&labels(blueprint, before, &name), node);
    let shape = shape_text(pool);
    if node.annotations().get(names::SHAPE) == Some(&shape) {
        return marks;
    }
    let mut patch = marks.unwrap_or_else(|| json!({"metadata": {"uid": node.uid()}}));
    patch["metadata"]["annotations"] = json!({names::SHAPE: shape});
    Some(patch)
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
    let wanted = NodeMarks { labels: &labels(blueprint, pool, &name), taints: &pool.taints };
    diff.extend(wanted.deviations(node));
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
        taints: taints_of(node),
    })
}

#[cfg(test)]
mod tests {
    use wbk_provider_api::{Capacity, PoolSize, Shape, Taint, TaintEffect};

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
