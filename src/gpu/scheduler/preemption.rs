//! Preemption: what leaves a node so that a pod of higher priority can be placed there.
//!
//! Source: plugin defaultpreemption and `pickOneNodeForPreemption` of pkg/scheduler (Kubernetes 1.36). Disruption budgets are
//! not modelled: with one that covers a victim, the order in which pods are spared may be another.

use super::filter::{Verdict, is_resolvable, verdict, verdict_among};
use super::node::{Node, Surroundings};
use super::pod::Pod;

/// A node on which a pod can be placed after others left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preemption {
    /// Which node of the surroundings.
    pub node: usize,
    /// The pods that leave, by their place on the node; the most important first.
    pub victims: Vec<usize>,
}

/// Every node on which pods that leave make room. Empty where preemption does not help.
pub fn preemptions(pod: &Pod, around: &Surroundings<'_>) -> Vec<Preemption> {
    if !pod.preempts {
        return Vec::new();
    }
    (0..around.nodes.len())
        .filter(|at| match verdict(pod, *at, around) {
            Verdict::Refused(refusals) => is_resolvable(&refusals),
            Verdict::Fits | Verdict::Unknown(_) => false,
        })
        .filter_map(|at| Some(Preemption { node: at, victims: victims(pod, at, around)? }))
        .collect()
}

/// The nodes that the scheduler chooses among: the least important victims, then the fewest. Among those left it takes the one
/// whose victims started last.
pub fn best<'p>(found: &'p [Preemption], around: &Surroundings<'_>) -> Vec<&'p Preemption> {
    let priorities = |one: &Preemption| -> Vec<i64> {
        one.victims.iter().map(|at| around.nodes[one.node].pods[*at].pod.priority).collect()
    };
    let key = |one: &Preemption| {
        let priorities = priorities(one);
        let offset = i64::from(i32::MAX) + 1;
        let sum: i128 = priorities.iter().map(|priority| i128::from(priority + offset)).sum();
        // The scheduler looks at the first victim.
        (priorities.first().copied(), sum, priorities.len())
    };
    let least = found.iter().map(key).min();
    found.iter().filter(|one| Some(key(one)) == least).collect()
}

/// The pods that must leave a node; `None` where that does not help.
pub fn victims(pod: &Pod, at: usize, around: &Surroundings<'_>) -> Option<Vec<usize>> {
    let node = &around.nodes[at];
    let lower: Vec<usize> =
        (0..node.pods.len()).filter(|index| node.pods[*index].pod.priority < pod.priority).collect();
    if lower.is_empty() {
        return None;
    }
    let mut gone = lower.clone();
    if !fits_without(pod, at, &gone, around) {
        return None;
    }
    let mut by_importance = lower;
    by_importance.sort_by_key(|index| std::cmp::Reverse(node.pods[*index].pod.priority));
    let mut victims = Vec::new();
    for index in by_importance {
        gone.retain(|other| *other != index);
        if !fits_without(pod, at, &gone, around) {
            gone.push(index);
            victims.push(index);
        }
    }
    Some(victims)
}

fn fits_without(pod: &Pod, at: usize, gone: &[usize], around: &Surroundings<'_>) -> bool {
    let mut nodes: Vec<Node> = around.nodes.to_vec();
    let mut index = 0;
    nodes[at].pods.retain(|_| {
        index += 1;
        !gone.contains(&(index - 1))
    });
    verdict_among(pod, &nodes[at], &nodes, around).fits()
}
