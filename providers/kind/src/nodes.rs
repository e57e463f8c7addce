//! A pool's nodes as they should be, and how the ones that are differ. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use serde_json::Value;
use wbk_provider_api::{FieldDiff, NodeMarks, PoolSpec, taints_of};

/// Label of nodes: the pool's name.
pub(crate) const POOL: &str = "wbk-infra/pool";
/// Label of nodes and annotation of the record: the blueprint that they belong to.
pub(crate) const BLUEPRINT: &str = "wbk-infra/blueprint";

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

/// The merge patch that makes a node as the pool wants it; `None` where it is. `before` is the pool as it was.
pub(crate) fn patch(blueprint: &str, before: &PoolSpec, pool: &PoolSpec, node: &Node) -> Option<Value> {
    let wanted = NodeMarks { labels: &labels(blueprint, pool), taints: &pool.taints };
    wanted.patch(&labels(blueprint, before), node)
}

/// How the nodes differ from what their pool says, sorted by path.
pub(crate) fn deviations(blueprint: &str, pool: &PoolSpec, found: &[Found<'_>]) -> Vec<FieldDiff> {
    let wanted = NodeMarks { labels: &labels(blueprint, pool), taints: &pool.taints };
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
            Some(node) => diff.extend(wanted.deviations(node)),
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
        taints: first.node.map(taints_of).unwrap_or_default(),
    }))
}

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// It says so, and the controllers have believed it: the taint that they put on new nodes is gone.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        && !node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).any(|taint| taint.key == NOT_READY)
}

#[cfg(test)]
pub(crate) mod tests {
    use kube::ResourceExt as _;
    use serde_json::json;
    use wbk_provider_api::{
        Capacity, ClusterSpec, KindSpec, PoolSize, ProviderKind, Shape, Taint, TaintEffect, Wanted, to_node_taints,
    };

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
                region: None,
                context: None,
                kubeconfig: None,
                uid: None,
                kind: KindSpec::default(),
                eks: None,
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
        node.spec.get_or_insert_default().taints = Some(to_node_taints(&pool.taints));
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
