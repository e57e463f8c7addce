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
        && let Some(name @ ("gke" | "aks")) = provider.as_str()
    {
        refuse(provider, format!("cluster.provider {name}"), "supported: eks, local, kind, existing");
    }
    for key in ["gke", "aks"] {
        if let Some(section) = tree.find(steps!["cluster", key]).filter(|node| is_set(node)) {
            refuse(
                section,
                format!("cluster.{key}"),
                "remove it; supported providers are eks, local, kind and existing",
            );
        }
    }
    for (index, namespace) in tree.get("namespaces").map(Node::items).unwrap_or_default().iter().enumerate() {
        for (number, identity) in namespace.get("identities").map(Node::items).unwrap_or_default().iter().enumerate() {
            for cloud in ["gke", "aks"] {
                let section = identity.get("grants").and_then(|grants| grants.get(cloud));
                if let Some(section) = section.filter(|node| !node.entries().is_empty()) {
                    let steps: [Step<'_>; 6] = [
                        "namespaces".into(),
                        index.into(),
                        "identities".into(),
                        number.into(),
                        "grants".into(),
                        cloud.into(),
                    ];
                    refuse(section, tree.show(&steps), "remove it; write the cloud identity's `annotations` instead");
                }
            }
        }
    }
    problems
}

fn is_set(node: &Node) -> bool {
    node.content != Content::Null
}
