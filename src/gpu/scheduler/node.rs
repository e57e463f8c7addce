//! A node as the scheduler sees it, there or still to come, and all that a verdict depends on beside pod and node.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use wbk_provider_api::{Taint, TaintEffect};

use super::labels::Labels;
use super::pod::{Pod, text_map};
use super::resources::{Amounts, quantities};
use super::taints::Comparison;
use super::volumes::Claim;

/// A node, or every node of a kind: those of a pool are alike before they are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name; `None` before it is there.
    pub name: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What it offers.
    pub allocatable: Amounts,
    /// Pods on it that have not ended.
    pub pods: Vec<Placed>,
}

/// A pod on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The pod.
    pub pod: Rc<Pod>,
    /// Whether it is going.
    pub terminating: bool,
}

impl Node {
    /// Reads a live node.
    pub fn of(node: &Value) -> Self {
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        Self {
            name: node["metadata"]["name"].as_str().map(str::to_owned),
            labels: Labels::of(&text_map(&node["metadata"]["labels"])),
            taints: taints.filter_map(taint).collect(),
            unschedulable: node["spec"]["unschedulable"] == true,
            allocatable: Amounts::of(&quantities(&node["status"]["allocatable"])),
            pods: Vec::new(),
        }
    }

    /// What the pods on it ask for.
    pub fn used(&self) -> Amounts {
        let mut used = Amounts::default();
        for placed in &self.pods {
            used.add(&placed.pod.requests);
        }
        used
    }
}

fn taint(value: &Value) -> Option<Taint> {
    let effect = match value["effect"].as_str()? {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => return None,
    };
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Some(Taint { key: text("key"), value: text("value"), effect })
}

/// Everything that a verdict depends on beside the pod and the node.
#[derive(Debug, Clone, Default)]
pub struct Surroundings<'a> {
    /// All nodes, for what is counted over topology domains; the node asked about is one of them.
    pub nodes: &'a [Node],
    /// Labels of the namespaces.
    pub namespaces: Rc<BTreeMap<String, BTreeMap<String, String>>>,
    /// Claims, by namespace and name.
    pub claims: Rc<BTreeMap<(String, String), Claim>>,
    /// Whether tolerations may compare numbers.
    pub comparison: Comparison,
    /// Whether a pod on any of the nodes wants others away.
    pub(super) distance: bool,
    /// What the pods on each node ask for: added up once, not for each pod that is judged.
    pub(super) used: Vec<Amounts>,
}

impl<'a> Surroundings<'a> {
    /// Nodes with the pods on them; no namespace has labels and no claim is known.
    pub fn new(nodes: &'a [Node]) -> Self {
        let distance = nodes.iter().any(|node| node.pods.iter().any(|placed| !placed.pod.anti_affinity.is_empty()));
        let used = nodes.iter().map(Node::used).collect();
        Self { nodes, distance, used, ..Self::default() }
    }
}
