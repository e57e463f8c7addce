//! Filters that count pods over topology domains: affinity between pods, and spreading.
//!
//! Source: plugins interpodaffinity and podtopologyspread of pkg/scheduler (Kubernetes 1.36).

use std::collections::BTreeMap;

use super::filter::requires_node;
use super::labels::{Found, Labels, Truth};
use super::node::{Node, Surroundings};
use super::pod::{Pod, PodTerm};
use super::taints::first_untolerated;

/// What counting found out about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Count<'a> {
    Fits,
    /// The pods that must be near are not.
    NotNear(&'a PodTerm),
    /// Pods that must not be near are.
    TooNear(&'a PodTerm),
    /// A pod there wants none like this near.
    Unwanted,
    /// A domain would have too many.
    Skewed(&'a str),
    /// The node is in no domain.
    NoDomain(&'a str),
    Unknown(String),
}

/// The domain of a node under a key.
enum Domain<'a> {
    In(&'a str),
    None,
    Unknown(String),
}

fn domain<'a>(labels: &'a Labels, key: &str) -> Domain<'a> {
    match labels.get(key) {
        Found::Is(value) => Domain::In(value),
        Found::Absent => Domain::None,
        Found::Open(_) | Found::Perhaps(_) => {
            Domain::Unknown(format!("which domain of {key} the node is in is known only on the live node"))
        }
    }
}

impl PodTerm {
    /// Whether a pod is one of those the term is about.
    pub(crate) fn is_about(&self, pod: &Pod, around: &Surroundings<'_>) -> bool {
        let none = BTreeMap::new();
        let of_namespace = || {
            self.namespace_selector.as_ref().is_some_and(|selector| {
                selector.is_everything() || selector.matches(around.namespaces.get(&pod.namespace).unwrap_or(&none))
            })
        };
        (self.namespaces.contains(&pod.namespace) || of_namespace()) && self.selector.matches(&pod.labels)
    }
}

fn is_about_all(terms: &[PodTerm], pod: &Pod, around: &Surroundings<'_>) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.is_about(pod, around))
}

/// Nodes in the same domain as this one.
fn near<'a>(node: &'a Node, nodes: &'a [Node], key: &'a str) -> Result<Option<impl Iterator<Item = &'a Node>>, String> {
    match domain(&node.labels, key) {
        Domain::Unknown(why) => Err(why),
        Domain::None => Ok(None),
        Domain::In(value) => Ok(Some(
            nodes.iter().filter(move |other| matches!(domain(&other.labels, key), Domain::In(found) if found == value)),
        )),
    }
}

/// Affinity and anti-affinity between pods. `node` is one of `nodes`.
pub(super) fn pods_near<'a>(pod: &'a Pod, node: &Node, nodes: &[Node], around: &Surroundings<'_>) -> Count<'a> {
    if !around.distance && pod.affinity.is_empty() && pod.anti_affinity.is_empty() {
        return Count::Fits;
    }
    let mut unknown = None;
    match satisfies_affinity(pod, node, nodes, around) {
        Ok(None) => {}
        Ok(Some(term)) => return Count::NotNear(term),
        Err(why) => unknown = Some(why),
    }
    for term in &pod.anti_affinity {
        match near(node, nodes, &term.topology_key) {
            Err(why) => unknown = Some(why),
            Ok(None) => {}
            Ok(Some(mut near)) => {
                let taken = near.any(|node| node.pods.iter().any(|placed| term.is_about(&placed.pod, around)));
                if taken {
                    return Count::TooNear(term);
                }
            }
        }
    }
    for other in nodes.iter().filter(|_| around.distance) {
        for term in other.pods.iter().flat_map(|placed| &placed.pod.anti_affinity) {
            if !term.is_about(pod, around) {
                continue;
            }
            match (domain(&node.labels, &term.topology_key), domain(&other.labels, &term.topology_key)) {
                (Domain::In(here), Domain::In(there)) if here == there => return Count::Unwanted,
                (Domain::In(_) | Domain::None, Domain::In(_) | Domain::None) => {}
                (Domain::Unknown(why), _) | (_, Domain::Unknown(why)) => unknown = Some(why),
            }
        }
    }
    unknown.map_or(Count::Fits, Count::Unknown)
}

/// The term that is not met.
fn satisfies_affinity<'a>(
    pod: &'a Pod,
    node: &Node,
    nodes: &[Node],
    around: &Surroundings<'_>,
) -> Result<Option<&'a PodTerm>, String> {
    let mut missing = None;
    for term in &pod.affinity {
        match near(node, nodes, &term.topology_key)? {
            None => return Ok(Some(term)),
            // A pod counts where it meets all the terms.
            Some(mut near) => {
                let there =
                    near.any(|node| node.pods.iter().any(|placed| is_about_all(&pod.affinity, &placed.pod, around)));
                if !there {
                    missing = missing.or(Some(term));
                }
            }
        }
    }
    if missing.is_none() {
        return Ok(None);
    }
    // The first of a group that wants to be together has nobody to join.
    let anybody = nodes.iter().any(|node| {
        let somewhere = |term: &PodTerm| !matches!(domain(&node.labels, &term.topology_key), Domain::None);
        pod.affinity.iter().any(somewhere)
            && node.pods.iter().any(|placed| is_about_all(&pod.affinity, &placed.pod, around))
    });
    let first = !anybody && is_about_all(&pod.affinity, pod, around);
    Ok(if first { None } else { missing })
}

/// Topology spread. `node` is one of `nodes`.
pub(super) fn spread<'a>(pod: &'a Pod, node: &Node, nodes: &[Node], around: &Surroundings<'_>) -> Count<'a> {
    let mut unknown = None;
    for constraint in &pod.spread {
        let key = constraint.topology_key.as_str();
        let here = match domain(&node.labels, key) {
            Domain::In(value) => value,
            Domain::None => return Count::NoDomain(key),
            Domain::Unknown(why) => {
                unknown = Some(why);
                continue;
            }
        };
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for other in nodes {
            let mut domains = Vec::with_capacity(pod.spread.len());
            for one in &pod.spread {
                domains.push(domain(&other.labels, &one.topology_key));
            }
            if domains.iter().any(|domain| matches!(domain, Domain::None)) {
                continue;
            }
            let excluded = constraint.honor_taints
                && first_untolerated(&other.taints, &pod.tolerations, around.comparison).is_some();
            if excluded {
                continue;
            }
            if constraint.honor_affinity {
                match requires_node(pod, other) {
                    Truth::Yes => {}
                    Truth::No => continue,
                    Truth::Unknown(why) => unknown = Some(why),
                }
            }
            let Domain::In(value) = domain(&other.labels, key) else {
                unknown = Some(format!("which domain of {key} other nodes are in is known only on live nodes"));
                continue;
            };
            let counted = if constraint.selector.is_everything() {
                0
            } else {
                other
                    .pods
                    .iter()
                    .filter(|placed| {
                        !placed.terminating
                            && placed.pod.namespace == pod.namespace
                            && constraint.selector.matches(&placed.pod.labels)
                    })
                    .count()
            };
            *counts.entry(value).or_default() += i64::try_from(counted).unwrap_or(i64::MAX);
        }
        let domains = i64::try_from(counts.len()).unwrap_or(i64::MAX);
        let least = if domains < constraint.min_domains {
            0
        } else {
            counts.values().min().copied().unwrap_or(i64::from(i32::MAX))
        };
        let own = i64::from(constraint.selector.matches(&pod.labels));
        if counts.get(here).copied().unwrap_or(0) + own - least > constraint.max_skew {
            return Count::Skewed(key);
        }
    }
    unknown.map_or(Count::Fits, Count::Unknown)
}
