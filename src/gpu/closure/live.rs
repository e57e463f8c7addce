//! The proof on a cluster that is there: its nodes and objects as they are, held to what the blueprint promises. It finds what no plan
//! can: what somebody did by hand after the apply.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wbk_provider_api::{PoolSize, node_taints};

use super::super::scheduler::{LabelValue, Node, text_map};
use super::arrive::World;
use super::group::{Group, LiveNodes, gpus_of, grows, of_pools, platform_of, the_platform};
use super::proof::{Proof, Unseen};
use super::prove::Prover;
use super::workload::{Context, Manifest, Workload, sample, workloads};
use crate::desired::{Advertiser, Desired, POOL_LABEL};

/// Where what the cluster's platform runs of its own comes from, in words: its device plugin is the platform's, not a second one.
pub const OF_THE_CLUSTER: &str = "the cluster's own";

/// What a proof on a live cluster is made from.
#[derive(Debug, Clone)]
pub struct LiveQuestion<'a> {
    /// What the blueprint means.
    pub desired: &'a Desired,
    /// Every node of the cluster.
    pub nodes: Vec<LiveNode<'a>>,
    /// What makes pods, and what says something about those that do, as the cluster has it.
    pub objects: Vec<LiveObject<'a>>,
    /// What could not be read, and why: of that nothing is claimed.
    pub unseen: Vec<Unseen>,
    /// The architecture of nodes that a pool without any would get.
    pub arch: &'a str,
}

/// A node of the cluster.
#[derive(Debug, Clone, Copy)]
pub struct LiveNode<'a> {
    /// The node.
    pub value: &'a Value,
    /// The pool of the blueprint that it is of.
    pub pool: Option<&'a str>,
}

/// An object of the cluster.
#[derive(Debug, Clone)]
pub struct LiveObject<'a> {
    /// The object.
    pub value: &'a Value,
    /// Whether it is of the platform; of what others run only its room and what it does for nodes count.
    pub of_platform: bool,
    /// Where it comes from, in words.
    pub from: String,
    /// Where in the blueprint: `file:line:column`.
    pub at: Option<String>,
}

/// Proves the platform on its live nodes. A pool that has none now is taken as its nodes would be born.
pub fn prove_live(question: &LiveQuestion<'_>) -> Proof {
    let desired = question.desired;
    let manifests: Vec<Manifest<'_>> = question
        .objects
        .iter()
        .map(|object| Manifest {
            value: object.value,
            from: object.from.clone(),
            at: object.at.clone(),
            judged: object.of_platform,
        })
        .collect();
    let context = Context::of(&manifests, !question.unseen.is_empty());
    let mut all = workloads(&manifests, &context);
    all.extend(samples(question, &context));
    let mut groups = of_live(&question.nodes, desired, &asked(&all, &context));
    let there: BTreeSet<&str> = question.nodes.iter().filter_map(|node| node.pool).collect();
    groups.extend(
        of_pools(&desired.wanted, &desired.gpus, question.arch).into_iter().filter(|(group, _)| {
            desired.wanted.pools.contains_key(&group.name) && !there.contains(group.name.as_str())
        }),
    );
    let world = World::new(groups, all, context, &manifests);
    Prover { world: &world, platform: &desired.name, unseen: question.unseen.clone() }.prove()
}

/// One Job for each pool with GPUs that has nodes and somebody to advertise them. It bears the taints that the pool says, as a
/// queue's Jobs do, and no other.
fn samples(question: &LiveQuestion<'_>, context: &Context) -> Vec<Workload> {
    let desired = question.desired;
    let space = desired.promises.job_namespaces.first().map_or("default", String::as_str);
    let pools = desired.wanted.pools.values().filter(|pool| {
        let nobody = |known: &crate::desired::PoolGpus| matches!(known.advertiser, Advertiser::None { .. });
        question.nodes.iter().any(|node| node.pool == Some(&pool.name))
            && !desired.gpus.get(&pool.name).is_some_and(nobody)
    });
    pools
        .filter_map(|pool| {
            let gpus = gpus_of(pool, desired.gpus.get(&pool.name))?;
            let resource = gpus.resources.keys().next()?;
            Some(sample(pool, &node_taints(desired.wanted.cluster.provider, pool), resource, space, context))
        })
        .collect()
}

/// Keys of labels that anything asks nodes for. In other labels nodes may differ and still be alike.
pub(super) fn asked(workloads: &[Workload], context: &Context) -> BTreeSet<String> {
    let mut keys = BTreeSet::from([POOL_LABEL.to_owned()]);
    for workload in workloads {
        let pod = &workload.pod;
        keys.extend(pod.node_selector.iter().map(|(key, _)| key.clone()));
        let terms = pod.node_affinity.iter().flat_map(|affinity| &affinity.terms);
        keys.extend(terms.flat_map(|term| &term.expressions).map(|one| one.key.clone()));
    }
    if !context.claims.is_empty() {
        keys.extend(context.claims.values().flat_map(super::super::scheduler::Claim::keys));
    }
    keys
}

/// Live nodes, those alike together: in taints, in what they offer, and in the labels that anything asks for.
pub(super) fn of_live(nodes: &[LiveNode<'_>], desired: &Desired, asked: &BTreeSet<String>) -> Vec<(Group, Node)> {
    let mut found: BTreeMap<String, (Group, Node)> = BTreeMap::new();
    for LiveNode { value, pool } in nodes {
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let labels = text_map(&value["metadata"]["labels"]);
        let telling: BTreeMap<_, _> = labels.iter().filter(|(key, _)| asked.contains(*key)).collect();
        let likeness = json!([
            pool,
            telling,
            value["spec"]["taints"],
            value["spec"]["unschedulable"],
            value["status"]["allocatable"]
        ]);
        let (group, node) = found.entry(likeness.to_string()).or_insert_with(|| one(value, *pool, desired));
        if let Some(live) = &mut group.live {
            live.names.push(name);
        }
        // What is told of all is what all have.
        let own: Vec<String> = node
            .labels
            .iter()
            .filter(|(key, value)| match value {
                LabelValue::Is(value) => labels.get(*key) != Some(value),
                LabelValue::Open(_) => false,
            })
            .map(|(key, _)| key.to_owned())
            .collect();
        own.iter().for_each(|key| node.labels.remove(key));
    }
    let mut all: Vec<(Group, Node)> = found.into_values().collect();
    all.iter_mut().for_each(|(group, _)| call(group));
    all.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    let provider = desired.wanted.cluster.provider;
    for pool in desired.wanted.pools.values().filter(|_| grows(provider)) {
        let of_pool = |group: &Group| group.live.as_ref().is_some_and(|live| live.pool.as_deref() == Some(&pool.name));
        let there: u32 = all.iter().filter(|(group, _)| of_pool(group)).map(|(group, _)| group.size.max).sum();
        // What the pool may still grow by is like the first of its nodes.
        if let Some((group, _)) = all.iter_mut().find(|(group, _)| of_pool(group)) {
            group.size.max += pool.size.max.saturating_sub(there);
        }
    }
    all
}

fn one(value: &Value, pool: Option<&str>, desired: &Desired) -> (Group, Node) {
    let mut node = Node::of(value);
    node.name = None;
    let spec = pool.and_then(|pool| desired.wanted.pools.get(pool));
    let known = spec.and_then(|spec| desired.gpus.get(&spec.name));
    let gpus = spec.and_then(|spec| gpus_of(spec, known));
    let platform = known.and_then(platform_of);
    let advertised = node.allocatable.iter().map(|(resource, _)| resource).filter(|name| name.contains('/'));
    let resource_from = advertised
        .filter_map(|resource| {
            let is_of_pool = gpus.as_ref().is_some_and(|gpus| gpus.resources.contains_key(resource));
            match (&platform, is_of_pool) {
                (Some(why), true) => Some((resource.to_owned(), vec![the_platform(why)])),
                // Its DaemonSets are still to be found.
                (None, true) => None,
                (_, false) => Some((resource.to_owned(), vec!["the live node".to_owned()])),
            }
        })
        .collect();
    let group = Group {
        name: String::new(),
        called: String::new(),
        size: PoolSize { min: 0, max: 0 },
        grows: grows(desired.wanted.cluster.provider) && spec.is_some(),
        gpus,
        // Whatever it has is on the node.
        others: BTreeMap::new(),
        template: node.clone(),
        label_from: BTreeMap::new(),
        resource_from,
        platform,
        landed: Vec::new(),
        disk_unknown: false,
        live: Some(LiveNodes {
            names: Vec::new(),
            pool: spec.map(|spec| spec.name.clone()),
            declared: spec.map(|spec| node_taints(desired.wanted.cluster.provider, spec)).unwrap_or_default(),
        }),
    };
    (group, node)
}

/// Gives a group its names, once all its nodes are known.
fn call(group: &mut Group) {
    let Some(live) = &group.live else { return };
    let first = live.names.first().map_or("", String::as_str);
    group.called = match live.names.len() {
        1 => format!("node {first}"),
        many => format!("node {first} and {} like it", many - 1),
    };
    let pool = live.pool.as_deref();
    group.name = pool.map_or_else(|| first.to_owned(), |pool| format!("{pool} ({first})"));
    let count = u32::try_from(live.names.len()).unwrap_or(u32::MAX);
    group.size = PoolSize { min: count, max: count };
}
