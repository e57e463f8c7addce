//! The scheduler's filters, in its order: whether a pod can be placed on a node, and every reason why not.
//!
//! Source: `getDefaultPlugins` and the plugins' `Filter` functions of pkg/scheduler (Kubernetes 1.36).

use wbk_provider_api::Taint;

use super::labels::Truth;
use super::node::{Node, Surroundings};
use super::pod::Pod;
use super::ports::HostPort;
use super::resources::{Amounts, CPU, EPHEMERAL, MEMORY, PODS, show};
use super::taints::first_untolerated;
use super::topology::{Count, pods_near, spread};
use super::volumes::Claim;

/// What is known about a pod on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It can be placed there.
    Fits,
    /// It cannot; every reason, in the scheduler's order. The scheduler says the first.
    Refused(Vec<Refusal<'a>>),
    /// It cannot be said, and why.
    Unknown(Vec<String>),
}

impl Verdict<'_> {
    /// Whether it can be placed there.
    pub fn fits(&self) -> bool {
        *self == Self::Fits
    }
}

/// One filter's reason to refuse a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The node is cordoned.
    Unschedulable,
    /// The pod names another node.
    NodeName(&'a str),
    /// The node has a taint that the pod does not bear.
    Taint(&'a Taint),
    /// The node lacks a label of the pod's selector.
    Selector(&'a str, &'a str),
    /// No term of the required affinity holds.
    Affinity,
    /// A port of the node is taken.
    Port(&'a HostPort),
    /// The node has as many pods as it may.
    Pods(i64),
    /// There is not enough of a resource.
    Resource(Shortage<'a>),
    /// A claim cannot be bound there; the scheduler's words.
    Claim(&'a str),
    /// A volume is for other nodes.
    VolumeNode(&'a str),
    /// A volume is in another zone.
    VolumeZone(&'a str),
    /// The node is in no domain of this label.
    NoDomain(&'a str),
    /// A domain of this label would have too many.
    Skewed(&'a str),
    /// The pods that must be near are not.
    NotNear(String),
    /// Pods that must not be near are.
    TooNear(String),
    /// A pod there wants none like this near.
    Unwanted,
}

/// How much of a resource is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage<'a> {
    /// The resource.
    pub resource: &'a str,
    /// What the pod asks for.
    pub wanted: i64,
    /// What the node offers.
    pub allocatable: i64,
    /// What the pods there use of it.
    pub used: i64,
}

impl Refusal<'_> {
    /// The scheduler's words for it, as they stand in a pod's condition.
    pub fn words(&self) -> String {
        match self {
            Self::Unschedulable => "node(s) were unschedulable".into(),
            Self::NodeName(_) => "node(s) didn't match the requested node name".into(),
            Self::Taint(_) => "node(s) had untolerated taint(s)".into(),
            Self::Selector(..) | Self::Affinity => "node(s) didn't match Pod's node affinity/selector".into(),
            Self::Port(_) => "node(s) didn't have free ports for the requested pod ports".into(),
            Self::Pods(_) => "Too many pods".into(),
            Self::Resource(shortage) => format!("Insufficient {}", shortage.resource),
            Self::Claim(words) => (*words).to_owned(),
            Self::VolumeNode(_) => "node(s) didn't match PersistentVolume's node affinity".into(),
            Self::VolumeZone(_) => "node(s) had no available volume zone".into(),
            Self::NoDomain(_) => "node(s) didn't match pod topology spread constraints (missing required label)".into(),
            Self::Skewed(_) => "node(s) didn't match pod topology spread constraints".into(),
            Self::NotNear(_) => "node(s) didn't match pod affinity rules".into(),
            Self::TooNear(_) => "node(s) didn't match pod anti-affinity rules".into(),
            Self::Unwanted => "node(s) didn't satisfy existing pods anti-affinity rules".into(),
        }
    }

    /// What exactly is in the way.
    pub fn detail(&self) -> String {
        match self {
            Self::Unschedulable => "it is cordoned".into(),
            Self::NodeName(name) => format!("the pod asks for the node {name}"),
            Self::Taint(taint) => format!("taint {} is not tolerated", taint_text(taint)),
            Self::Selector(key, value) => format!("no label {key}={value}"),
            Self::Affinity => "no term of the required node affinity holds".into(),
            Self::Port(port) => format!("port {port} of the node is taken"),
            Self::Pods(most) => format!("it has {most} pods already, as many as it may"),
            Self::Resource(shortage) => shortage.to_string(),
            Self::Claim(words) => (*words).to_owned(),
            Self::VolumeNode(claim) => format!("the volume of claim {claim} is for other nodes"),
            Self::VolumeZone(claim) => format!("the volume of claim {claim} is in another zone"),
            Self::NoDomain(key) => format!("pods are spread over {key}, a label that it lacks"),
            Self::Skewed(key) => format!("its domain of {key} has too many of these pods"),
            Self::NotNear(pods) => format!("no pod {pods} is near"),
            Self::TooNear(pods) => format!("a pod {pods} is near"),
            Self::Unwanted => "a pod there wants none like this near".into(),
        }
    }

    /// Whether pods of lower priority that leave could help.
    pub fn is_resolvable(&self) -> bool {
        match self {
            Self::Port(_) | Self::Pods(_) | Self::Skewed(_) | Self::TooNear(_) | Self::Unwanted => true,
            Self::Resource(shortage) => shortage.wanted <= shortage.allocatable,
            Self::Unschedulable
            | Self::NodeName(_)
            | Self::Taint(_)
            | Self::Selector(..)
            | Self::Affinity
            | Self::Claim(_)
            | Self::VolumeNode(_)
            | Self::VolumeZone(_)
            | Self::NoDomain(_)
            | Self::NotNear(_) => false,
        }
    }

    /// Which filter it is of: the scheduler stops at the first that refuses.
    pub fn filter(&self) -> u8 {
        match self {
            Self::Unschedulable => 0,
            Self::NodeName(_) => 1,
            Self::Taint(_) => 2,
            Self::Selector(..) | Self::Affinity => 3,
            Self::Port(_) => 4,
            Self::Pods(_) | Self::Resource(_) => 5,
            Self::Claim(_) | Self::VolumeNode(_) => 6,
            Self::VolumeZone(_) => 7,
            Self::NoDomain(_) | Self::Skewed(_) => 8,
            Self::NotNear(_) | Self::TooNear(_) | Self::Unwanted => 9,
        }
    }
}

impl std::fmt::Display for Shortage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resource, wanted, allocatable, used } = *self;
        let amount = |amount| show(resource, amount);
        if wanted <= allocatable {
            let (wanted, allocatable, used) = (amount(wanted), amount(allocatable), amount(used));
            write!(f, "{wanted} {resource} asked, {allocatable} there, {used} of it in use")
        } else if allocatable == 0 {
            write!(f, "{} {resource} asked, none there", amount(wanted))
        } else {
            write!(f, "{} {resource} asked, {} there", amount(wanted), amount(allocatable))
        }
    }
}

/// `key=value:Effect`, as kubectl writes a taint.
pub fn taint_text(taint: &Taint) -> String {
    let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
    format!("{}{value}:{}", taint.key, taint.effect.as_str())
}

/// What the scheduler says of the first filter that refuses.
pub fn first_words(refusals: &[Refusal<'_>]) -> Vec<String> {
    let first = refusals.first().map(Refusal::filter);
    let mut words: Vec<String> = Vec::new();
    for refusal in refusals.iter().filter(|refusal| Some(refusal.filter()) == first) {
        let said = refusal.words();
        // Each once, however many of the node's labels are wrong.
        if !words.contains(&said) {
            words.push(said);
        }
    }
    words
}

/// Whether pods that leave could help: no reason of the first filter that refuses is beyond them.
pub fn is_resolvable(refusals: &[Refusal<'_>]) -> bool {
    let first = refusals.first().map(Refusal::filter);
    first.is_some() && refusals.iter().filter(|one| Some(one.filter()) == first).all(Refusal::is_resolvable)
}

/// Whether a node is one that the pod's selector and required affinity ask for.
pub fn requires_node(pod: &Pod, node: &Node) -> Truth {
    let by_selector =
        pod.node_selector.iter().fold(Truth::Yes, |so_far, (key, value)| so_far.and(|| node.labels.has(key, value)));
    by_selector.and(|| match &pod.node_affinity {
        Some(affinity) => affinity.matches(&node.labels, node.name.as_deref()),
        None => Truth::Yes,
    })
}

/// Whether the scheduler can place a pod on `around.nodes[at]`.
pub fn verdict<'a>(pod: &'a Pod, at: usize, around: &'a Surroundings<'_>) -> Verdict<'a> {
    let nodes = around.nodes;
    match nodes.get(at) {
        Some(node) => match around.used.get(at) {
            Some(used) => judge(pod, (node, used), nodes, around),
            None => verdict_among(pod, node, nodes, around),
        },
        None => Verdict::Unknown(vec!["there is no such node".into()]),
    }
}

/// The same on a node that stands for `around.nodes[at]` with other pods on it.
pub(super) fn verdict_among<'a>(
    pod: &'a Pod,
    node: &'a Node,
    nodes: &[Node],
    around: &'a Surroundings<'_>,
) -> Verdict<'a> {
    judge(pod, (node, &node.used()), nodes, around)
}

fn judge<'a>(
    pod: &'a Pod,
    (node, used): (&'a Node, &Amounts),
    nodes: &[Node],
    around: &'a Surroundings<'_>,
) -> Verdict<'a> {
    let mut refusals = Vec::new();
    let mut unknown: Vec<String> = pod.unmodelled.clone();
    if node.unschedulable {
        let cordon =
            [Taint { key: CORDON.into(), value: String::new(), effect: wbk_provider_api::TaintEffect::NoSchedule }];
        if first_untolerated(&cordon, &pod.tolerations, around.comparison).is_some() {
            refusals.push(Refusal::Unschedulable);
        }
    }
    by_name(pod, node, &mut refusals, &mut unknown);
    if let Some(taint) = first_untolerated(&node.taints, &pod.tolerations, around.comparison) {
        refusals.push(Refusal::Taint(taint));
    }
    by_labels(pod, node, &mut refusals, &mut unknown);
    let taken = pod
        .ports
        .iter()
        .find(|port| node.pods.iter().any(|placed| placed.pod.ports.iter().any(|other| port.conflicts(other))));
    refusals.extend(taken.map(Refusal::Port));
    by_resources(pod, (node, used), &mut refusals);
    by_volumes(pod, node, around, &mut refusals, &mut unknown);
    if !pod.spread.is_empty() {
        counted(spread(pod, node, nodes, around), &mut refusals, &mut unknown);
    }
    counted(pods_near(pod, node, nodes, around), &mut refusals, &mut unknown);
    match (refusals.is_empty(), unknown.is_empty()) {
        (false, _) => Verdict::Refused(refusals),
        (true, true) => Verdict::Fits,
        (true, false) => Verdict::Unknown(unknown),
    }
}

const CORDON: &str = "node.kubernetes.io/unschedulable";

fn by_name<'a>(pod: &'a Pod, node: &Node, refusals: &mut Vec<Refusal<'a>>, unknown: &mut Vec<String>) {
    match (pod.node_name.as_deref(), node.name.as_deref()) {
        (Some(wanted), Some(name)) if wanted != name => refusals.push(Refusal::NodeName(wanted)),
        (Some(wanted), None) => unknown.push(format!("whether a node of that name ({wanted}) comes is not known")),
        (Some(_), Some(_)) | (None, _) => {}
    }
}

fn by_labels<'a>(pod: &'a Pod, node: &Node, refusals: &mut Vec<Refusal<'a>>, unknown: &mut Vec<String>) {
    let mut refused = false;
    for (key, value) in &pod.node_selector {
        match node.labels.has(key, value) {
            Truth::Yes => {}
            Truth::No => {
                refused = true;
                refusals.push(Refusal::Selector(key, value));
            }
            Truth::Unknown(why) => unknown.push(why),
        }
    }
    match pod.node_affinity.as_ref().map(|affinity| affinity.matches(&node.labels, node.name.as_deref())) {
        None | Some(Truth::Yes) => {}
        Some(Truth::No) => refusals.push(Refusal::Affinity),
        Some(Truth::Unknown(why)) if !refused => unknown.push(why),
        Some(Truth::Unknown(_)) => {}
    }
}

fn by_resources<'a>(pod: &'a Pod, (node, used): (&Node, &Amounts), refusals: &mut Vec<Refusal<'a>>) {
    let most = node.allocatable.get(PODS);
    if i64::try_from(node.pods.len()).unwrap_or(i64::MAX) >= most {
        refusals.push(Refusal::Pods(most));
    }
    if pod.requests.is_nothing() {
        return;
    }
    let first = [CPU, MEMORY, EPHEMERAL];
    let others = pod.requests.iter().map(|(name, _)| name).filter(|name| !first.contains(name));
    for resource in first.into_iter().chain(others) {
        let wanted = pod.requests.get(resource);
        let (allocatable, used) = (node.allocatable.get(resource), used.get(resource));
        if wanted > 0 && wanted > allocatable - used {
            refusals.push(Refusal::Resource(Shortage { resource, wanted, allocatable, used }));
        }
    }
}

fn by_volumes<'a>(
    pod: &'a Pod,
    node: &Node,
    around: &'a Surroundings<'_>,
    refusals: &mut Vec<Refusal<'a>>,
    unknown: &mut Vec<String>,
) {
    if pod.claims.is_empty() {
        return;
    }
    let mut zones = Vec::new();
    for name in &pod.claims {
        match around.claims.get(&(pod.namespace.clone(), name.clone())) {
            None => unknown.push(format!("its claim {name} is not known")),
            Some(Claim::Unknown(why)) => unknown.push(why.clone()),
            Some(Claim::Never { words, .. }) => refusals.push(Refusal::Claim(words)),
            Some(Claim::Later { topologies }) => {
                match topologies.as_ref().map(|allowed| allowed.matches(&node.labels, node.name.as_deref())) {
                    None | Some(Truth::Yes) => {}
                    Some(Truth::No) => {
                        refusals.push(Refusal::Claim("node(s) didn't find available persistent volumes to bind"));
                    }
                    Some(Truth::Unknown(why)) => unknown.push(why),
                }
            }
            Some(Claim::Bound(volume)) => {
                let affinity = volume.node_affinity.as_ref();
                match affinity.map(|affinity| affinity.matches(&node.labels, node.name.as_deref())) {
                    None | Some(Truth::Yes) => {}
                    Some(Truth::No) => refusals.push(Refusal::VolumeNode(name)),
                    Some(Truth::Unknown(why)) => unknown.push(why),
                }
                match volume.zone_fits(&node.labels) {
                    Truth::Yes => {}
                    Truth::No => zones.push(Refusal::VolumeZone(name)),
                    Truth::Unknown(why) => unknown.push(why),
                }
            }
        }
    }
    refusals.extend(zones.into_iter().take(1));
}

fn counted<'a>(count: Count<'a>, refusals: &mut Vec<Refusal<'a>>, unknown: &mut Vec<String>) {
    match count {
        Count::Fits => {}
        Count::NotNear(term) => refusals.push(Refusal::NotNear(term.selector.to_string())),
        Count::TooNear(term) => refusals.push(Refusal::TooNear(term.selector.to_string())),
        Count::Unwanted => refusals.push(Refusal::Unwanted),
        Count::Skewed(key) => refusals.push(Refusal::Skewed(key)),
        Count::NoDomain(key) => refusals.push(Refusal::NoDomain(key)),
        Count::Unknown(why) => unknown.push(why),
    }
}
