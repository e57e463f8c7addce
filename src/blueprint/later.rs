//! Refuses by name what the language knows and the tool cannot do yet. Nothing is ever ignored silently.

use super::load::Ground;
use super::path::{Step, steps};
use super::problem::Problem;
use super::yaml::{Content, Node};

/// Finds everything that is written and not supported yet.
pub(super) fn refuse(tree: &Node, ground: Ground) -> Vec<Problem> {
    let mut problems = match ground {
        Ground::Real => clouds(tree),
        Ground::Rehearsed => Vec::new(),
    };
    let mut refuse = |at: &Node, what: String, hint: &str| {
        problems.push(Problem::error(&at.at, format!("not supported yet: {what}")).hint(hint));
    };
    let provider = tree.find(steps!["cluster", "provider"]).and_then(Node::as_str);
    for key in ["launch", "monitoring"] {
        if let Some(section) = tree.get(key).filter(|node| is_set(node)) {
            refuse(section, key.into(), "remove the section");
        }
    }
    if let Some(gpu) = tree.get("gpu").filter(|node| is_set(node)) {
        match gpu.get("plugin").filter(|node| is_set(node)) {
            None if provider == Some("kind") => {}
            None => refuse(gpu, "gpu.plugin auto (the default)".into(), "write `plugin: simulated` or `plugin: none`"),
            Some(plugin) => {
                if let Some(name @ ("auto" | "nvidia" | "amd" | "intel")) = plugin.as_str()
                    && (provider, name) != (Some("kind"), "auto")
                {
                    refuse(plugin, format!("gpu.plugin {name}"), "supported: simulated, none");
                }
            }
        }
    }
    if let Some(sharing) = tree.find(steps!["gpu", "sharing"]).filter(|node| !node.items().is_empty()) {
        refuse(sharing, "gpu.sharing".into(), "remove it");
    }
    if let Some(metrics) = tree.find(steps!["gpu", "metrics"]).filter(|node| node.content == Content::Bool(true)) {
        refuse(metrics, "gpu.metrics".into(), "remove it");
    }
    if let Some(gang) = tree.find(steps!["scheduling", "gang"])
        && let Some(name @ ("volcano" | "kueue")) = gang.as_str()
    {
        refuse(gang, format!("scheduling.gang {name}"), "write `gang: none`, or remove it");
    }
    if provider == Some("existing")
        && let Some(pools) = tree.get("nodePools").filter(|node| !node.items().is_empty())
    {
        refuse(
            pools,
            "nodePools of an existing cluster".into(),
            "remove them; nodes of an existing cluster are not made here",
        );
    }
    problems
}

/// What only a cloud has, and no cloud can be asked for yet. Its shape can be rehearsed.
fn clouds(tree: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |at: &Node, what: String, hint: &str| {
        problems.push(Problem::error(&at.at, format!("not supported yet: {what}")).hint(hint));
    };
    if let Some(provider) = tree.find(steps!["cluster", "provider"])
        && let Some(name @ ("eks" | "gke" | "aks")) = provider.as_str()
    {
        refuse(provider, format!("cluster.provider {name}"), "supported: local, kind, existing");
    }
    for key in ["eks", "gke", "aks", "region"] {
        if let Some(section) = tree.find(steps!["cluster", key]).filter(|node| is_set(node)) {
            refuse(section, format!("cluster.{key}"), "remove it; supported providers are local, kind and existing");
        }
    }
    if let Some(cost) = tree.find(steps!["policy", "maxHourlyCost"]).filter(|node| is_set(node)) {
        refuse(cost, "policy.maxHourlyCost".into(), "remove it; local, kind and existing clusters have no price");
    }
    for (index, namespace) in tree.get("namespaces").map(Node::items).unwrap_or_default().iter().enumerate() {
        for (number, identity) in namespace.get("identities").map(Node::items).unwrap_or_default().iter().enumerate() {
            if let Some(grants) = identity.get("grants").filter(|node| !node.entries().is_empty()) {
                let steps: [Step<'_>; 5] =
                    ["namespaces".into(), index.into(), "identities".into(), number.into(), "grants".into()];
                refuse(grants, tree.show(&steps), "remove it; write the cloud identity's `annotations` instead");
            }
        }
    }
    problems
}

fn is_set(node: &Node) -> bool {
    node.content != Content::Null
}
