//! The proof: what holds for each pool and workload, and every chain that breaks.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wbk_provider_api::{ProviderKind, system_workloads};

use super::super::scheduler::{
    EPHEMERAL, LabelValue, PODS, Quantities, Refusal, Requirement, Surroundings, Verdict, is_extended, show, stays_for,
    taint_text, verdict,
};
use super::arrive::World;
use super::group::{Group, auto_mode, of_pools};
use super::live::{LiveNode, asked, of_live};
use super::proof::{
    Broken, Can, Link, NodeLabel, NodeResource, Place, PoolProof, Proof, Rule, Standing, Unseen, WorkloadProof,
};
use super::role::Role;
use super::workload::{Context, Kind, Manifest, Workload, of_system, sample, workloads};
use crate::desired::Desired;
use crate::id::{ObjectId, ReleaseId};
use crate::quantity::Quantity;

/// Format of the document.
const FORMAT: u32 = 1;

/// What a proof is made from.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What the blueprint means.
    pub desired: &'a Desired,
    /// What its charts render to.
    pub releases: &'a [(&'a ReleaseId, &'a [(ObjectId, Value)])],
    /// Charts that were not rendered, and why.
    pub unrendered: &'a [(ReleaseId, String)],
    /// The nodes of a cluster that was there before; `None` where they are not known or not asked for.
    pub live_nodes: Option<&'a [Value]>,
    /// This machine's architecture as Kubernetes writes it, which local nodes share.
    pub arch: &'a str,
}

/// Proves a blueprint: on its pools before they are there, or on the live nodes of an existing cluster.
pub fn prove(question: &Question<'_>) -> Proof {
    let desired = question.desired;
    let existing = desired.wanted.cluster.provider == ProviderKind::Existing;
    let mut unseen: Vec<Unseen> = question
        .unrendered
        .iter()
        .map(|(id, why)| Unseen { what: format!("helm release {id}"), why: why.clone() })
        .collect();
    let manifests = manifests(question);
    let context = Context::of(&manifests, existing || !question.unrendered.is_empty());
    let mut all = workloads(&manifests, &context);
    // Auto Mode's nodes have DNS in them.
    if !auto_mode(&desired.wanted) {
        all.extend(system_workloads(desired.wanted.cluster.provider).iter().map(of_system));
    }
    let groups = match (existing, question.live_nodes) {
        (false, _) => of_pools(&desired.wanted, &desired.gpus, question.arch),
        (true, Some(nodes)) => {
            let nodes: Vec<LiveNode<'_>> = nodes.iter().map(|value| LiveNode { value, pool: None }).collect();
            of_live(&nodes, desired, &asked(&all, &context))
        }
        (true, None) => {
            let why = "the nodes of an existing cluster are known only where it can be reached".to_owned();
            unseen.push(Unseen { what: "the cluster's nodes".into(), why });
            Vec::new()
        }
    };
    let advertised = |resource: &str, group: &Group| {
        group.platform.is_some()
            || all
                .iter()
                .flat_map(|workload| &workload.roles)
                .any(|role| role.advertises() && role.vendor().is_none_or(|vendor| resource.starts_with(vendor)))
    };
    let space = desired.promises.job_namespaces.first().map_or("default", String::as_str);
    let samples: Vec<Workload> = groups
        .iter()
        .filter_map(|(group, node)| {
            let pool = desired.wanted.pools.get(&group.name)?;
            let resource = group.gpus.as_ref()?.resources.keys().next()?;
            advertised(resource, group).then(|| sample(pool, &node.taints, resource, space, &context))
        })
        .collect();
    all.extend(samples);
    let mut world = World::new(groups, all, context, &manifests);
    world.expects_more = existing;
    Prover { world: &world, platform: &desired.name, unseen }.prove()
}

/// Kinds that make pods, or that say something about them.
const READ: [&str; 17] = [
    "ClusterPolicy",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "GpuDevicePlugin",
    "Job",
    "LimitRange",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PriorityClass",
    "ReplicaSet",
    "ResourceQuota",
    "RuntimeClass",
    "StatefulSet",
    "StorageClass",
];

fn manifests<'a>(question: &Question<'a>) -> Vec<Manifest<'a>> {
    let desired = question.desired;
    // What says nothing about pods is not read: reading is most of the time.
    let matters = |id: &ObjectId| match id.gvk.kind.as_str() {
        "ConfigMap" => id.name.contains("nfd"),
        kind => READ.contains(&kind),
    };
    let own = desired.objects.iter().filter(|object| matters(&object.id)).map(|object| Manifest {
        value: &object.manifest,
        from: object.origin.path.clone(),
        at: object.origin.at.clone(),
        judged: true,
    });
    let rendered = question.releases.iter().flat_map(|(id, objects)| {
        let release = desired.releases.iter().find(|release| release.id == **id);
        let at = release.and_then(|release| release.origin.at.clone());
        objects.iter().map(move |(_, value)| Manifest {
            value,
            from: format!("helm release {id}"),
            at: at.clone(),
            judged: true,
        })
    });
    let queues = desired.launch.iter().flat_map(|launch| &launch.queues).map(|queue| Manifest {
        value: &queue.job,
        from: format!("launch queue {}", queue.name),
        at: queue.origin.at.clone(),
        judged: true,
    });
    own.chain(rendered).chain(queues).collect()
}

pub(super) struct Prover<'w> {
    pub(super) world: &'w World<'w>,
    pub(super) platform: &'w str,
    pub(super) unseen: Vec<Unseen>,
}

impl Prover<'_> {
    pub(super) fn prove(self) -> Proof {
        let (around, newborn) = (self.world.around(), self.world.at_birth());
        let mut broken = Vec::new();
        let mut proofs = Vec::new();
        for at in 0..self.world.workloads.len() {
            proofs.push(self.workload(at, (&around, &newborn), &mut broken));
        }
        for group in 0..self.world.groups.len() {
            self.pool(group, &around, &mut broken);
        }
        self.limit_ranges(&mut broken);
        // A chain that ends in one and the same broken link is told once, by its first rule.
        broken.sort_by(|one: &Broken, other: &Broken| (one.rule, &one.what).cmp(&(other.rule, &other.what)));
        let mut told: Vec<Broken> = Vec::new();
        let mut ends: BTreeMap<(Option<String>, Option<String>), usize> = BTreeMap::new();
        for one in broken {
            let end = (one.pool.clone(), one.chain.last().map(|link| link.says.clone()));
            match ends.entry(end) {
                Entry::Occupied(before) => {
                    let before = &mut told[*before.get()];
                    let more: Vec<String> =
                        one.workloads.into_iter().filter(|what| !before.workloads.contains(what)).collect();
                    before.workloads.extend(more);
                }
                Entry::Vacant(slot) => {
                    slot.insert(told.len());
                    told.push(one);
                }
            }
        }
        let broken = told;
        let pools = (0..self.world.groups.len()).map(|group| self.pool_proof(group)).collect();
        Proof {
            format: FORMAT,
            platform: self.platform.to_owned(),
            pools,
            workloads: proofs,
            broken,
            unseen: self.unseen,
        }
    }

    fn workload(
        &self,
        at: usize,
        (around, newborn): (&Surroundings<'_>, &Surroundings<'_>),
        broken: &mut Vec<Broken>,
    ) -> WorkloadProof {
        let workload = &self.world.workloads[at];
        let verdicts: Vec<Verdict<'_>> = (0..self.world.groups.len())
            .map(|group| match self.world.groups[group].landed.contains(&at) {
                true => Verdict::Fits,
                false => self.world.judge(at, group, around),
            })
            .collect();
        let fitting: Vec<usize> = (0..verdicts.len()).filter(|group| verdicts[*group].fits()).collect();
        let doubtful = verdicts.is_empty() || verdicts.iter().any(|verdict| matches!(verdict, Verdict::Unknown(_)));
        let before = broken.len();
        if workload.judged {
            self.refused_by_admission(at, broken);
        }
        let standing = if broken.len() > before {
            Standing::Broken
        } else if !fitting.is_empty() {
            self.never_there(at, &fitting, newborn, broken);
            self.too_many(at, &fitting, broken);
            if broken.len() > before { Standing::Broken } else { Standing::Runs }
        } else if doubtful {
            Standing::Unknown
        } else if workload.kind == Kind::DaemonSet {
            // Whether a pool needs it is the pool's question.
            Standing::Idle
        } else {
            broken.extend(self.nowhere(at, &verdicts, around));
            Standing::Broken
        };
        let all_places = standing == Standing::Broken || standing == Standing::Idle;
        let places = verdicts
            .iter()
            .enumerate()
            .filter(|(_, verdict)| all_places || !matches!(verdict, Verdict::Refused(_)))
            .map(|(group, verdict)| self.place(at, group, verdict))
            .collect();
        WorkloadProof {
            what: workload.what.clone(),
            from: workload.from.clone(),
            at: workload.at.clone(),
            sample_of: workload.sample_of.clone(),
            standing,
            places,
        }
    }

    fn place(&self, at: usize, group: usize, verdict: &Verdict<'_>) -> Place {
        let (can, because) = match verdict {
            Verdict::Fits => (Can::Yes, self.because(at, group)),
            Verdict::Refused(refusals) => (Can::No, refusals.iter().map(Refusal::detail).collect()),
            Verdict::Unknown(why) => (Can::Unknown, why.clone()),
        };
        Place { pool: self.world.groups[group].name.clone(), can, because }
    }

    /// Why it can run there: each taint borne, each label found, each scarce resource with its advertiser.
    fn because(&self, at: usize, group: usize) -> Vec<String> {
        let (node, known, pod) = (&self.world.nodes[group], &self.world.groups[group], &self.world.pods[at]);
        let mut because = Vec::new();
        if !node.taints.is_empty() {
            let taints: Vec<String> = node.taints.iter().map(taint_text).collect();
            because.push(format!("tolerates {}", taints.join(", ")));
        }
        let from =
            |key: &str| known.label_from.get(key).map_or_else(|| "from birth".to_owned(), |who| format!("by {who}"));
        for (key, value) in &pod.node_selector {
            because.push(format!("the label {key}={value} is there, {}", from(key)));
        }
        if let Some(term) = pod
            .node_affinity
            .iter()
            .flat_map(|affinity| &affinity.terms)
            .find(|term| term.matches(&node.labels, None) == super::super::scheduler::Truth::Yes)
        {
            let keys: Vec<String> = term.expressions.iter().map(|one| format!("{one}, {}", from(&one.key))).collect();
            because.push(format!("the labels are there: {}", keys.join("; ")));
        }
        for (resource, wanted) in pod.requests.iter().filter(|(resource, wanted)| *wanted > 0 && is_extended(resource))
        {
            let who =
                known.resource_from.get(resource).map_or_else(|| "the live node".to_owned(), |who| who.join(" and "));
            because.push(format!("{wanted} of {} {resource}, advertised by {who}", node.allocatable.get(resource)));
        }
        if let Some(seconds) = stays_for(&node.taints, &pod.tolerations, Default::default()) {
            because.push(format!("but is evicted after {seconds} s: it tolerates a NoExecute taint only so long"));
        }
        if because.is_empty() {
            because.push("there is room and nothing in the way".into());
        }
        because
    }

    fn break_of(&self, rule: Rule, at: usize, what: String, fix: String) -> Broken {
        let workload = &self.world.workloads[at];
        Broken {
            rule,
            chain: vec![Link { holds: false, says: what.clone() }],
            what,
            at: workload.at.clone(),
            fix,
            pool: None,
            workloads: vec![workload.what.clone()],
        }
    }

    /// What the API server refuses before any scheduler is asked.
    fn refused_by_admission(&self, at: usize, broken: &mut Vec<Broken>) {
        let workload = &self.world.workloads[at];
        if let Some(class) = &workload.lacks_priority {
            let what = format!("{} has the priority class {class}, which nothing makes", workload.what);
            let fix = format!("add {{name: {class}, value: …}} under scheduling.priorities, or name one that is there");
            broken.push(self.break_of(Rule::PriorityClass, at, what, fix));
        }
        let Some(hard) = self.world.context.quotas.get(&workload.pod.namespace) else { return };
        for (resource, wanted) in workload.pod.requests.iter().filter(|(_, wanted)| *wanted > 0) {
            let Some((name, limit)) = limit_of(hard, resource) else { continue };
            if amount(resource, wanted) > limit {
                let what = format!(
                    "the quota of namespace {} allows {limit} {name}, and one pod of {} asks for {}",
                    workload.pod.namespace,
                    workload.what,
                    show(resource, wanted)
                );
                let fix = format!(
                    "raise the quota of namespaces[{}] to at least {}, or ask for less",
                    workload.pod.namespace,
                    show(resource, wanted)
                );
                broken.push(self.break_of(Rule::Quota, at, what, fix));
            }
        }
    }

    /// It fits only where there are no nodes, and nothing will add any.
    fn never_there(&self, at: usize, fitting: &[usize], newborn: &Surroundings<'_>, broken: &mut Vec<Broken>) {
        let workload = &self.world.workloads[at];
        // A sample is tried where there are nodes; a DaemonSet follows them.
        if workload.kind == Kind::DaemonSet || workload.sample_of.is_some() {
            return;
        }
        if fitting.iter().any(|group| self.world.groups[*group].size.min > 0) {
            return;
        }
        let mut reasons = Vec::new();
        for group in fitting {
            let known = &self.world.groups[*group];
            if !known.grows {
                reasons.push((
                    *group,
                    format!("{} has no nodes (min 0), and nothing adds any to this cluster", known.called),
                    None,
                ));
                continue;
            }
            match verdict(&self.world.pods[at], *group, newborn) {
                Verdict::Fits | Verdict::Unknown(_) => return,
                Verdict::Refused(refusals) => {
                    let detail = refusals.first().map(Refusal::detail).unwrap_or_default();
                    let key = self.late_label(at, *group);
                    let says = match &key {
                        Some((requirement, who)) => format!(
                            "{} has no nodes yet (min 0), and the autoscaler adds one only for what a node is born with: {requirement} comes later, from {who}",
                            known.called
                        ),
                        None => format!(
                            "{} has no nodes yet (min 0), and a new one is not thought to fit: {detail}",
                            known.called
                        ),
                    };
                    reasons.push((*group, says, key));
                }
            }
        }
        let Some((group, says, _)) = reasons.into_iter().next() else { return };
        let known = &self.world.groups[group];
        let fix = if known.grows {
            format!(
                "select by a label that the pool's nodes are born with: {}={}",
                crate::desired::POOL_LABEL,
                known.name
            )
        } else {
            format!("give the pool nodes: nodePools[{}].size.min: 1", known.name)
        };
        let mut one =
            self.break_of(Rule::ScaleFromZero, at, format!("{} waits for a node that never comes", workload.what), fix);
        one.chain = vec![
            Link { holds: true, says: format!("{} could run on {}", workload.what, known.called) },
            Link { holds: false, says },
        ];
        one.pool = Some(known.name.clone());
        broken.push(one);
    }

    /// A label that it selects by and that arrives after birth, with its writer.
    fn late_label(&self, at: usize, group: usize) -> Option<(Requirement, String)> {
        let pod = &self.world.pods[at];
        let late = &self.world.groups[group].label_from;
        let selected = pod.node_selector.iter().map(|(key, value)| Requirement::equals(key, value));
        let required =
            pod.node_affinity.iter().flat_map(|affinity| &affinity.terms).flat_map(|term| &term.expressions).cloned();
        selected.chain(required).find_map(|one| Some((one.clone(), late.get(&one.key)?.clone())))
    }

    /// Pods that want to be on different nodes, and more of them than nodes.
    fn too_many(&self, at: usize, fitting: &[usize], broken: &mut Vec<Broken>) {
        let workload = &self.world.workloads[at];
        if workload.kind == Kind::DaemonSet {
            return;
        }
        let around = Surroundings::default();
        let apart = workload
            .pod
            .anti_affinity
            .iter()
            .any(|term| term.topology_key == "kubernetes.io/hostname" && term.is_about(&workload.pod, &around));
        let nodes: i64 = fitting.iter().map(|group| i64::from(self.world.groups[*group].size.max)).sum();
        if apart && workload.replicas > nodes {
            let what = format!(
                "{} wants {} pods on as many nodes, and the pools that it can run on have at most {nodes}",
                workload.what, workload.replicas
            );
            broken.push(self.break_of(
                Rule::NoPool,
                at,
                what,
                format!("ask for at most {nodes} pods, or for larger pools"),
            ));
        }
    }

    /// The chain on the pool that comes nearest.
    fn nowhere(&self, at: usize, verdicts: &[Verdict<'_>], around: &Surroundings<'_>) -> Option<Broken> {
        let workload = &self.world.workloads[at];
        let near = |group: usize| -> (usize, usize, usize, usize) {
            let Verdict::Refused(refusals) = &verdicts[group] else { return (0, 0, 0, 0) };
            let wrong_labels = refusals
                .iter()
                .filter(|one| matches!(one, Refusal::Selector(key, _) if *key == crate::desired::POOL_LABEL))
                .count();
            let without_its_gpus = self.world.pods[at].requests.iter().any(|(resource, wanted)| {
                wanted > 0
                    && is_extended(resource)
                    && self.world.nodes[group].allocatable.get(resource) == 0
                    && self.world.groups[group].gpus.as_ref().is_none_or(|gpus| !gpus.resources.contains_key(resource))
            });
            let filters: BTreeSet<u8> = refusals.iter().map(Refusal::filter).collect();
            (wrong_labels, usize::from(without_its_gpus), filters.len(), group)
        };
        let group = (0..verdicts.len()).min_by_key(|group| near(*group))?;
        let mut chain = self.world.chain(at, group, around)?;
        let live = self.world.groups[group].live.is_some();
        let tainted = verdicts.iter().all(|verdict| match verdict {
            Verdict::Refused(refusals) => matches!(refusals.first(), Some(Refusal::Taint(_))),
            Verdict::Fits | Verdict::Unknown(_) => false,
        });
        let wants_gpus =
            self.world.pods[at].requests.iter().any(|(resource, wanted)| wanted > 0 && is_extended(resource));
        if tainted && !live && !wants_gpus {
            chain.fix = format!(
                "add a pool without taints, which {} and others like it can run on: nodePools: [{{name: system, size: {{min: 1}}}}]",
                workload.what
            );
        }
        if live && self.world.expects_more {
            chain.fix.push_str("; where an autoscaler adds nodes of another kind, go on with --allow-unschedulable");
        }
        Some(Broken {
            rule: Rule::NoPool,
            what: format!("{} can run on {}", workload.what, if live { "no node that is there" } else { "no pool" }),
            at: workload.at.clone().or(chain.at),
            chain: chain.links,
            fix: chain.fix,
            pool: Some(self.world.groups[group].name.clone()),
            workloads: chain.through.iter().map(|at| self.world.workloads[*at].what.clone()).collect(),
        })
    }

    /// What a pool with GPUs needs.
    fn pool(&self, group: usize, around: &Surroundings<'_>, broken: &mut Vec<Broken>) {
        let known = &self.world.groups[group];
        for (resource, who) in known.resource_from.iter().filter(|(_, who)| who.len() > 1) {
            let what = format!("{} advertise {resource} on {}", who.join(" and "), known.called);
            broken.push(Broken {
                rule: Rule::TwoAdvertisers,
                chain: vec![Link {
                    holds: false,
                    says: format!("{what}: the kubelet believes one of them, and which is chance"),
                }],
                what,
                at: self.at_of(who),
                fix: format!("keep one of them away from {}, or remove it", known.called),
                pool: Some(known.name.clone()),
                workloads: who.clone(),
            });
        }
        let Some(gpus) = &known.gpus else { return };
        for at in &known.landed {
            let workload = &self.world.workloads[*at];
            let foreign = workload
                .roles
                .iter()
                // What else the pool has is no GPU of anybody.
                .filter(|role| !matches!(role, Role::Advertises(resource) if known.others.contains_key(resource)))
                .find(|role| role.advertises() && role.vendor().is_some_and(|vendor| vendor != gpus.vendor));
            if foreign.is_some() {
                let what = format!(
                    "{} lands on {}, whose GPUs are of another vendor ({})",
                    workload.what,
                    known.called,
                    gpus.vendor.trim_end_matches('/')
                );
                let mut one = self.break_of(
                    Rule::WrongVendor,
                    *at,
                    what,
                    format!(
                        "keep it on its own pools, by a node selector or by fewer tolerations ({}=…)",
                        crate::desired::POOL_LABEL
                    ),
                );
                one.pool = Some(known.name.clone());
                broken.push(one);
            }
        }
        // A node that takes no pods for now breaks everything and proves nothing.
        if !known.is_out(&self.world.nodes[group]) {
            self.components(group, gpus, around, broken);
            self.sample_on(group, around, broken);
        }
    }

    /// A Job with a GPU has to fit each live node of its pool, not only one of them.
    fn sample_on(&self, group: usize, around: &Surroundings<'_>, broken: &mut Vec<Broken>) {
        let known = &self.world.groups[group];
        let Some(pool) = known.live.as_ref().and_then(|live| live.pool.as_deref()) else { return };
        let is_of_pool = |workload: &Workload| workload.sample_of.as_deref() == Some(pool);
        let Some(at) = self.world.workloads.iter().position(is_of_pool) else { return };
        let Some(chain) = self.world.chain(at, group, around) else { return };
        let through: Vec<String> = chain.through.iter().map(|at| self.world.workloads[*at].what.clone()).collect();
        broken.push(Broken {
            rule: Rule::NoPool,
            what: format!("{} cannot run on {}", self.world.workloads[at].what, known.called),
            at: chain.at,
            chain: chain.links,
            fix: chain.fix,
            pool: Some(known.name.clone()),
            workloads: through,
        });
    }

    /// DaemonSets that a GPU pool needs and that do not land there.
    fn components(&self, group: usize, gpus: &super::group::Gpus, around: &Surroundings<'_>, broken: &mut Vec<Broken>) {
        let known = &self.world.groups[group];
        let advertised = gpus.resources.keys().all(|resource| known.resource_from.contains_key(resource));
        for at in 0..self.world.workloads.len() {
            let workload = &self.world.workloads[at];
            let needed = workload.judged
                && workload.kind == Kind::DaemonSet
                && !known.landed.contains(&at)
                && workload.roles.iter().any(|role| {
                    role.is_of_gpus()
                        && role.vendor().is_none_or(|vendor| vendor == gpus.vendor)
                        && !(role.advertises() && (advertised || !self.world.would_advertise(group, role)))
                });
            if !needed || self.is_kept_away(at, group, around) {
                continue;
            }
            let Some(chain) = self.world.chain(at, group, around) else { continue };
            let advertises = workload.roles.iter().any(super::role::Role::advertises);
            broken.push(Broken {
                rule: if advertises { Rule::GpusNotAdvertised } else { Rule::DaemonSetCannotLand },
                what: match advertises {
                    true => {
                        format!("no pod will get the GPUs of {}: {} cannot land there", known.called, workload.what)
                    }
                    false => format!("{} cannot land on {}", workload.what, known.called),
                },
                at: chain.at.or_else(|| workload.at.clone()),
                chain: chain.links,
                fix: chain.fix,
                pool: Some(known.name.clone()),
                workloads: chain.through.iter().map(|at| self.world.workloads[*at].what.clone()).collect(),
            });
        }
    }

    /// Whether somebody keeps it away on purpose: it selects by labels of birth that other pools have, and lands there.
    fn is_kept_away(&self, at: usize, group: usize, around: &Surroundings<'_>) -> bool {
        let Verdict::Refused(refusals) = self.world.judge(at, group, around) else { return true };
        let by_labels = refusals.iter().any(|one| matches!(one, Refusal::Selector(..) | Refusal::Affinity));
        let pool = |known: &Group| known.live.as_ref().and_then(|live| live.pool.clone());
        let here = pool(&self.world.groups[group]);
        let lands = |known: &&Group| known.landed.contains(&at);
        let elsewhere = self.world.groups.iter().any(|group| lands(&group));
        // On some nodes of one pool and not on others is no purpose.
        if here.is_some() && self.world.groups.iter().filter(lands).any(|other| pool(other) == here) {
            return false;
        }
        let missing: Vec<String> = {
            let pod = &self.world.pods[at];
            let selected = pod.node_selector.iter().map(|(key, _)| key.clone());
            let required = pod
                .node_affinity
                .iter()
                .flat_map(|affinity| &affinity.terms)
                .flat_map(|term| &term.expressions)
                .map(|one| one.key.clone());
            selected.chain(required).collect()
        };
        let nobody_writes = missing
            .iter()
            .all(|key| !(0..self.world.workloads.len()).any(|writer| self.world.would_write(group, writer, key)));
        by_labels && elsewhere && nobody_writes
    }

    fn at_of(&self, who: &[String]) -> Option<String> {
        self.world.workloads.iter().filter(|one| who.contains(&one.what)).find_map(|one| one.at.clone())
    }

    fn limit_ranges(&self, broken: &mut Vec<Broken>) {
        for manifest in self.world.manifests.iter().filter(|manifest| manifest.value["kind"] == "LimitRange") {
            let limits = manifest.value["spec"]["limits"].as_array().into_iter().flatten().filter_map(Value::as_object);
            let gpu = limits
                .flat_map(|limit| limit.values())
                .filter_map(Value::as_object)
                .flat_map(|amounts| amounts.keys())
                .find(|name| is_extended(name));
            let Some(gpu) = gpu else { continue };
            let metadata = &manifest.value["metadata"];
            let text = |key: &str| metadata[key].as_str().unwrap_or("default");
            let name = format!("LimitRange {}/{}", text("namespace"), text("name"));
            broken.push(Broken {
                rule: Rule::LimitRange,
                what: format!("{name} of {} has {gpu} in it", manifest.from),
                at: manifest.at.clone(),
                chain: vec![Link {
                    holds: false,
                    says: format!("{name} makes containers without GPUs ask for {gpu}, or has them refused"),
                }],
                fix: format!("bound GPUs with a quota, `requests.{gpu}`, and take {gpu} out of the LimitRange"),
                pool: None,
                workloads: Vec::new(),
            });
        }
    }

    fn pool_proof(&self, group: usize) -> PoolProof {
        let (known, node) = (&self.world.groups[group], &self.world.nodes[group]);
        let labels = node.labels.iter().map(|(key, value)| NodeLabel {
            key: key.to_owned(),
            value: match value {
                LabelValue::Is(value) => Some(value.clone()),
                LabelValue::Open(_) => None,
            },
            from: known.label_from.get(key).cloned().unwrap_or_else(|| "birth".into()),
            at_birth: !known.label_from.contains_key(key),
        });
        let used = node.used();
        let resources = node.allocatable.iter().filter(|(name, _)| !(known.disk_unknown && *name == EPHEMERAL)).map(
            |(name, amount)| {
                let taken = if name == PODS { i64::try_from(node.pods.len()).unwrap_or(0) } else { used.get(name) };
                NodeResource {
                    name: name.to_owned(),
                    allocatable: show(name, amount),
                    left: show(name, amount - taken),
                    from: known.resource_from.get(name).map_or_else(|| "the node".to_owned(), |who| who.join(" and ")),
                }
            },
        );
        PoolProof {
            name: known.name.clone(),
            pool: known.live.as_ref().and_then(|live| live.pool.clone()),
            min: known.size.min,
            max: known.size.max,
            accelerator: known
                .gpus
                .as_ref()
                .map(|gpus| gpus.model.clone().unwrap_or_else(|| gpus.vendor.trim_end_matches('/').to_owned())),
            taints: node.taints.iter().map(taint_text).collect(),
            labels: labels.collect(),
            resources: resources.collect(),
            daemon_sets: known.landed.iter().map(|at| self.world.workloads[*at].what.clone()).collect(),
        }
    }
}

/// The bound that a quota puts on a resource, under whichever of its names.
fn limit_of<'q>(hard: &'q Quantities, resource: &str) -> Option<(&'q str, Quantity)> {
    let names = [format!("requests.{resource}"), resource.to_owned()];
    hard.iter()
        .filter(|(name, _)| names.contains(name) && **name != PODS)
        .min_by_key(|(_, limit)| **limit)
        .map(|(name, limit)| (name.as_str(), *limit))
}

fn amount(resource: &str, amount: i64) -> Quantity {
    if resource == "cpu" { Quantity::millis(amount) } else { Quantity::whole(amount) }
}
