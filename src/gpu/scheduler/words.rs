//! What kube-scheduler writes into a pod's condition where no node will do.
//!
//! Source: `FitError.Error` of pkg/scheduler/framework and `Preempt` of its preemption (Kubernetes 1.36).

use std::collections::BTreeMap;

use super::filter::{Verdict, first_words, is_resolvable, verdict, verdict_among};
use super::node::Surroundings;
use super::pod::Pod;
use super::preemption::victims;
use super::volumes::Claim;

/// The condition's message; `None` where some node will do or something is not known.
pub fn unschedulable_words(pod: &Pod, around: &Surroundings<'_>) -> Option<String> {
    let all = around.nodes.len();
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let mut afterwards: BTreeMap<String, usize> = BTreeMap::new();
    let note = |list: &mut BTreeMap<String, usize>, words: &str| *list.entry(words.to_owned()).or_default() += 1;
    const NO_HELP: &str = "Preemption is not helpful for scheduling";
    const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
    let of_pod = before_the_nodes(pod, around);
    let only = pod.node_affinity.as_ref().and_then(|affinity| affinity.names());
    for at in 0..all {
        if of_pod.is_some() {
            note(&mut afterwards, NO_HELP);
            continue;
        }
        let name = around.nodes[at].name.as_deref().unwrap_or_default();
        if only.as_ref().is_some_and(|names| !names.contains(&name)) {
            note(&mut said, "node(s) didn't satisfy plugin(s) [NodeAffinity]");
            note(&mut afterwards, NO_HELP);
            continue;
        }
        let refusals = match verdict(pod, at, around) {
            Verdict::Refused(refusals) => refusals,
            Verdict::Fits | Verdict::Unknown(_) => return None,
        };
        for words in first_words(&refusals) {
            note(&mut said, &words);
        }
        if !is_resolvable(&refusals) {
            note(&mut afterwards, NO_HELP);
            continue;
        }
        if pod.preempts && victims(pod, at, around).is_some() {
            // It is nominated for that node, and the condition says nothing of preemption.
            return None;
        }
        let lower = around.nodes[at].pods.iter().any(|placed| placed.pod.priority < pod.priority);
        if !lower {
            note(&mut afterwards, NO_VICTIMS);
            continue;
        }
        for words in without_lower(pod, at, around) {
            note(&mut afterwards, &words);
        }
    }
    let list = |said: &BTreeMap<String, usize>| {
        let mut parts: Vec<String> = said.iter().map(|(words, count)| format!("{count} {words}")).collect();
        parts.sort();
        parts.join(", ")
    };
    let first = of_pod.unwrap_or_else(|| list(&said));
    let preemption = if pod.preempts {
        format!("preemption: 0/{all} nodes are available: {}.", list(&afterwards))
    } else {
        "preemption: not eligible due to preemptionPolicy=Never.".to_owned()
    };
    // The plugin for dynamic resources speaks first, whether or not the pod has claims.
    Some(format!("0/{all} nodes are available: {first}. no new claims to deallocate, {preemption}"))
}

/// What keeps a pod from being looked at on any node.
fn before_the_nodes(pod: &Pod, around: &Surroundings<'_>) -> Option<String> {
    if pod.node_affinity.as_ref().and_then(|affinity| affinity.names()).is_some_and(|names| names.is_empty()) {
        return Some("pod affinity terms conflict".into());
    }
    pod.claims.iter().find_map(|name| match around.claims.get(&(pod.namespace.clone(), name.clone()))? {
        Claim::Never { words, of_each_node: false } => Some(words.clone()),
        Claim::Never { .. } | Claim::Bound(_) | Claim::Later { .. } | Claim::Unknown(_) => None,
    })
}

/// What is said of a node that refuses even where every pod of lower priority has left.
fn without_lower(pod: &Pod, at: usize, around: &Surroundings<'_>) -> Vec<String> {
    let mut nodes = around.nodes.to_vec();
    nodes[at].pods.retain(|placed| placed.pod.priority >= pod.priority);
    match verdict_among(pod, &nodes[at], &nodes, around) {
        Verdict::Refused(refusals) => first_words(&refusals),
        Verdict::Fits | Verdict::Unknown(_) => Vec::new(),
    }
}
