//! Labels and taints of the Node objects that a provider keeps as their pool says. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Taint as NodeTaint};
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};

use crate::{FieldDiff, Taint, TaintEffect};

/// Taints that the cluster itself sets and takes away.
const LIFECYCLE: [&str; 2] = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"];

/// What a provider writes on a node.
#[derive(Debug, Clone, Copy)]
pub struct NodeMarks<'a> {
    /// Every label that is the provider's or the pool's.
    pub labels: &'a BTreeMap<String, String>,
    /// The pool's taints.
    pub taints: &'a [Taint],
}

impl NodeMarks<'_> {
    /// The merge patch that gives them to a node; `None` where it has them. `before` are the labels that it had from us before: what
    /// only those had is taken away. What others added (NFD's labels) stays.
    pub fn patch(&self, before: &BTreeMap<String, String>, node: &Node) -> Option<Value> {
        let mut labels = Map::new();
        for (key, value) in self.labels {
            if node.labels().get(key) != Some(value) {
                labels.insert(key.clone(), value.clone().into());
            }
        }
        for key in before.keys() {
            if !self.labels.contains_key(key) && node.labels().contains_key(key) {
                labels.insert(key.clone(), Value::Null);
            }
        }
        let mut differs = !labels.is_empty();
        let mut patch = json!({"metadata": {"uid": node.uid(), "labels": labels}});
        if taints_of(node) != sorted(self.taints) {
            differs = true;
            let mut taints: Vec<NodeTaint> =
                all_taints(node).iter().filter(|taint| is_lifecycle(taint)).cloned().collect();
            taints.extend(to_node_taints(self.taints));
            patch["spec"] = json!({"taints": taints});
            // The list is replaced whole; a change by the cluster in between must not be lost.
            patch["metadata"]["resourceVersion"] = node.resource_version().into();
        }
        differs.then_some(patch)
    }

    /// How a node differs from them, one entry for each label and each taint of one key and effect.
    pub fn deviations(&self, node: &Node) -> Vec<FieldDiff> {
        let name = node.name_any();
        let mut diff = Vec::new();
        for (key, value) in self.labels {
            let has = node.labels().get(key);
            if has != Some(value) {
                let (old, new) = (has.map(|has| has.clone().into()), Some(value.clone().into()));
                diff.push(FieldDiff { path: format!("nodes[{name}].labels[{key}]"), old, new });
            }
        }
        let (has, wanted) = (taints_of(node), sorted(self.taints));
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
        diff
    }
}

/// A node's taints without the cluster's own, sorted.
pub fn taints_of(node: &Node) -> Vec<Taint> {
    let effect = |text: &str| match text {
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => TaintEffect::NoSchedule,
    };
    let taints: Vec<Taint> = all_taints(node)
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

/// Taints as a Node object has them.
pub fn to_node_taints(taints: &[Taint]) -> Vec<NodeTaint> {
    let one = |taint: &Taint| NodeTaint {
        key: taint.key.clone(),
        value: (!taint.value.is_empty()).then(|| taint.value.clone()),
        effect: taint.effect.as_str().into(),
        time_added: None,
    };
    taints.iter().map(one).collect()
}

fn all_taints(node: &Node) -> &[NodeTaint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn is_lifecycle(taint: &NodeTaint) -> bool {
    LIFECYCLE.iter().any(|prefix| taint.key.starts_with(prefix))
}

fn sorted(taints: &[Taint]) -> Vec<Taint> {
    let mut taints = taints.to_vec();
    taints.sort();
    taints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn taint(value: &str) -> Taint {
        Taint { key: "a".into(), value: value.into(), effect: TaintEffect::NoSchedule }
    }

    fn node(labels: BTreeMap<String, String>, taints: &[Taint]) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some("n".into());
        node.metadata.labels = Some(labels);
        node.metadata.resource_version = Some("7".into());
        node.spec.get_or_insert_default().taints = Some(to_node_taints(taints));
        node
    }

    #[test]
    fn what_the_cluster_and_nfd_add_is_no_deviation() {
        let (wanted, taints) = (labels(&[("team", "research")]), [taint("")]);
        let marks = NodeMarks { labels: &wanted, taints: &taints };
        let mut node = node(wanted.clone(), &taints);
        node.labels_mut().insert("feature.node.kubernetes.io/x".into(), "true".into());
        let key = "node.kubernetes.io/not-ready".into();
        let not_ready = NodeTaint { key, effect: "NoSchedule".into(), ..NodeTaint::default() };
        node.spec.as_mut().unwrap().taints.as_mut().unwrap().push(not_ready);
        assert_eq!(marks.deviations(&node), []);
        assert_eq!(marks.patch(&wanted, &node), None);
    }

    #[test]
    fn edits_by_hand_are_named_one_by_one_and_the_patch_keeps_the_clusters_taints() {
        let (wanted, taints) = (labels(&[("team", "research")]), [taint("")]);
        let marks = NodeMarks { labels: &wanted, taints: &taints };
        let mut node = node(labels(&[("team", "other"), ("old", "1")]), &[taint("wrong")]);
        let key = "node.kubernetes.io/unschedulable".into();
        let cordoned = NodeTaint { key, effect: "NoSchedule".into(), ..NodeTaint::default() };
        node.spec.as_mut().unwrap().taints.as_mut().unwrap().push(cordoned);
        let diff = marks.deviations(&node);
        let paths: Vec<&str> = diff.iter().map(|diff| diff.path.as_str()).collect();
        assert_eq!(paths, ["nodes[n].labels[team]", "nodes[n].taints[a:NoSchedule]"]);
        assert_eq!((&diff[1].old, &diff[1].new), (&Some("wrong".into()), &Some("".into())), "one change, not two");
        let patch = marks.patch(&labels(&[("old", "1")]), &node).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"team": "research", "old": null}));
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let after = json!([{"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable"}, {"effect": "NoSchedule", "key": "a"}]);
        assert_eq!(patch["spec"]["taints"], after);
    }
}
