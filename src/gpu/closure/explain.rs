//! The chain from a workload on a kind of node to the first link that breaks, and what mends it.

use super::super::scheduler::{
    CPU, LabelValue, Refusal, Requirement, Surroundings, Truth, Verdict, is_extended, show, taint_text,
};
use wbk_provider_api::Taint;

use super::arrive::{NFD, World};
use super::proof::Link;
use super::role::Role;

/// A chain up to its first broken link, with what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The links; the last is broken.
    pub links: Vec<Link>,
    /// One concrete action.
    pub fix: String,
    /// Where the workload that is to be mended comes from.
    pub at: Option<String>,
    /// Workloads that it goes through.
    pub through: Vec<usize>,
}

/// How deep a chain may go: workload, plugin, NFD worker, and one to spare.
const DEEPEST: usize = 4;

fn holds(says: String) -> Link {
    Link { holds: true, says }
}

fn broken(says: String) -> Link {
    Link { holds: false, says }
}

impl World<'_> {
    /// Why a workload cannot be on a group. `None` where it can, or where it cannot be said.
    pub fn chain(&self, at: usize, group: usize, around: &Surroundings<'_>) -> Option<Chain> {
        self.chain_from(at, group, around, 0)
    }

    fn chain_from(&self, at: usize, group: usize, around: &Surroundings<'_>, depth: usize) -> Option<Chain> {
        let verdict = self.judge(at, group, around);
        let refusals = match &verdict {
            Verdict::Refused(refusals) => refusals,
            Verdict::Fits | Verdict::Unknown(_) => return None,
        };
        let first = refusals.first()?;
        let workload = &self.workloads[at];
        let called = &self.groups[group].called;
        let mut links = vec![holds(format!("{} asks for {}", workload.what, self.asks(at)))];
        let by = |filter: u8| refusals.iter().all(|one| one.filter() != filter);
        if by(2) && !self.nodes[group].taints.is_empty() {
            let taints: Vec<String> = self.nodes[group].taints.iter().map(taint_text).collect();
            links.push(holds(format!("it tolerates {} of {called}", taints.join(", "))));
        }
        let mut chain = Chain { links, fix: String::new(), at: workload.at.clone(), through: vec![at] };
        match first {
            Refusal::Taint(taint) => {
                chain.links.push(broken(format!("it does not tolerate the taint {} of {called}", taint_text(taint))));
                chain.fix = self.without_taint(group, taint).unwrap_or_else(|| {
                    format!(
                        "give the pods of {} the toleration {{key: {}, operator: Exists, effect: {}}}{}",
                        workload.what,
                        taint.key,
                        taint.effect.as_str(),
                        self.in_its_values(at)
                    )
                });
            }
            Refusal::Selector(key, value) => {
                let requirement = Requirement::equals(key, value);
                self.missing_label(&mut chain, at, group, &[requirement], around, depth);
            }
            Refusal::Affinity => {
                let missing = self.missing_of_affinity(at, group);
                self.missing_label(&mut chain, at, group, &missing, around, depth);
            }
            Refusal::Resource(shortage) if is_extended(shortage.resource) => {
                self.missing_resource(&mut chain, at, group, shortage.resource, around, depth);
            }
            Refusal::Resource(shortage) => {
                chain.links.push(broken(format!("{called} has too little {}: {shortage}", shortage.resource)));
                let left = shortage.allocatable - shortage.used;
                chain.fix = format!(
                    "ask for at most {} {}, or give the pool larger nodes",
                    show(shortage.resource, left.max(0)),
                    if shortage.resource == CPU { "of cpu" } else { shortage.resource }
                );
            }
            other => {
                chain.links.push(broken(format!("on {called}: {}", other.detail())));
                chain.fix = match other {
                    Refusal::Unschedulable => format!("kubectl uncordon {}", self.names(group)),
                    Refusal::Claim(_) => {
                        "give the claim a storage class with a provisioner, or make a volume for it".into()
                    }
                    Refusal::Port(_) => "take another port of the node".into(),
                    _ => "change what the pod requires, or the pool".into(),
                };
            }
        }
        Some(chain)
    }

    /// The live nodes of a group, as kubectl takes them.
    fn names(&self, group: usize) -> String {
        self.groups[group].live.as_ref().map(|live| live.names.join(" ")).unwrap_or_default()
    }

    /// What to do about a taint that somebody put on live nodes; `None` where the pool says it, so that who cannot bear it is wrong.
    fn without_taint(&self, group: usize, taint: &Taint) -> Option<String> {
        let live = self.groups[group].live.as_ref()?;
        let pool = live.pool.as_ref()?;
        if live.declared.iter().any(|one| one.key == taint.key && one.effect == taint.effect) {
            return None;
        }
        let (names, effect) = (self.names(group), taint.effect.as_str());
        if self.groups[group].is_out(&self.nodes[group]) {
            return Some(format!(
                "kubectl describe node {names}: it takes no pods for now, and its conditions say why"
            ));
        }
        Some(format!(
            "kubectl taint nodes {names} {}:{effect}- takes it away; to keep it, say it under nodePools[{pool}].taints, so that everything bears it",
            taint.key
        ))
    }

    /// What a workload asks of its node, in a few words.
    fn asks(&self, at: usize) -> String {
        let pod = &self.pods[at];
        let mut asks: Vec<String> = pod
            .requests
            .iter()
            .filter(|(_, amount)| *amount > 0)
            .map(|(resource, amount)| format!("{} {resource}", show(resource, amount)))
            .collect();
        asks.extend(pod.node_selector.iter().map(|(key, value)| format!("the label {key}={value}")));
        if let Some(affinity) = &pod.node_affinity {
            let terms: Vec<String> = affinity.terms.iter().map(|term| format!("({term})")).collect();
            asks.push(format!("labels {}", terms.join(" or ")));
        }
        if asks.is_empty() { "a place on a node".into() } else { asks.join(", ") }
    }

    /// Where values of a chart are meant.
    fn in_its_values(&self, at: usize) -> String {
        let from = &self.workloads[at].from;
        match from.strip_prefix("helm release ") {
            Some(release) => format!(", in the values of chart {}", release.rsplit('/').next().unwrap_or(release)),
            None => String::new(),
        }
    }

    /// What the term of its affinity that comes nearest lacks.
    fn missing_of_affinity(&self, at: usize, group: usize) -> Vec<Requirement> {
        let labels = &self.nodes[group].labels;
        let Some(affinity) = &self.pods[at].node_affinity else { return Vec::new() };
        let missing = |requirements: &[Requirement]| -> Vec<Requirement> {
            requirements.iter().filter(|one| one.matches(labels) == Truth::No).cloned().collect()
        };
        let terms = affinity.terms.iter().map(|term| {
            let missing = missing(&term.expressions);
            // A term that somebody could fulfil comes first.
            let hopeless = missing
                .iter()
                .filter(|one| !(0..self.workloads.len()).any(|writer| self.would_write(group, writer, &one.key)))
                .count();
            (hopeless, missing.len(), missing)
        });
        terms.min_by_key(|(hopeless, count, _)| (*hopeless, *count)).map(|(_, _, missing)| missing).unwrap_or_default()
    }

    fn missing_label(
        &self,
        chain: &mut Chain,
        at: usize,
        group: usize,
        missing: &[Requirement],
        around: &Surroundings<'_>,
        depth: usize,
    ) {
        let called = &self.groups[group].called;
        let workload = &self.workloads[at].what;
        let Some(requirement) = missing.first() else {
            chain.links.push(broken(format!("{called} meets no term of its node affinity")));
            chain.fix = "change the node affinity".into();
            return;
        };
        let there = self.nodes[group].labels.iter().find(|(key, _)| *key == requirement.key).map(|(_, value)| value);
        let has = match there {
            Some(LabelValue::Is(value)) => format!(" (it has {}={value})", requirement.key),
            Some(LabelValue::Open(_)) | None => String::new(),
        };
        let writers: Vec<usize> =
            (0..self.workloads.len()).filter(|writer| self.would_write(group, *writer, &requirement.key)).collect();
        if there.is_none() && depth < DEEPEST {
            for writer in &writers {
                let who = &self.workloads[*writer].what;
                let landed = self.groups[group].landed.contains(writer);
                if !landed && let Some(inner) = self.chain_from(*writer, group, around, depth + 1) {
                    chain.links.push(holds(format!("the label {requirement} is written on {called} by {who}")));
                    chain.links.extend(inner.links);
                    chain.fix = inner.fix;
                    chain.at = inner.at.or(chain.at.take());
                    chain.through.extend(inner.through);
                    return;
                }
                if landed && self.groups[group].live.is_some() {
                    chain.links.push(holds(format!("{who} runs on {called}")));
                    chain.through.push(*writer);
                    chain.links.push(broken(format!("{called} has no label {requirement}{has}")));
                    chain.fix = format!("see what the pods of {who} say, and who took the label away");
                    return;
                }
                if landed && self.workloads[*writer].roles.contains(&Role::NfdWorker) {
                    chain.links.push(holds(format!("{who} runs on {called}")));
                    chain.through.push(*writer);
                    if !self.discovery.master {
                        chain.links.push(broken("nobody writes what it finds: there is no nfd-master".into()));
                        chain.fix = "install Node Feature Discovery with its master (master.enable: true)".into();
                        return;
                    }
                    let writes = self.discovery.label("0302", "10de");
                    chain.links.push(broken(format!(
                        "it writes {} there, not {requirement}: it is told to name devices by {}",
                        writes.trim_start_matches(NFD),
                        self.discovery.fields.join(" and ")
                    )));
                    chain.fix =
                        "set worker.config.sources.pci.deviceLabelFields: [vendor] in the values of Node Feature Discovery".into();
                    return;
                }
            }
        }
        chain.links.push(broken(format!("{called} has no label {requirement}{has}, and nobody will write it")));
        let group = &self.groups[group];
        chain.fix = if group.live.is_some() {
            format!("label the node with {requirement}, or select by a label that it has")
        } else {
            format!(
                "give the pool the label (nodePools[{}].labels), or let {workload} select by one that the pool has: {}={}",
                group.name,
                crate::desired::POOL_LABEL,
                group.name
            )
        };
    }

    fn missing_resource(
        &self,
        chain: &mut Chain,
        at: usize,
        group: usize,
        resource: &str,
        around: &Surroundings<'_>,
        depth: usize,
    ) {
        let known = &self.groups[group];
        let called = &known.called;
        let wanted = self.pods[at].requests.get(resource);
        let there = self.nodes[group].allocatable.get(resource);
        if there > 0 {
            chain
                .links
                .push(broken(format!("a pod asks for {wanted} {resource}, and one node of {called} has {there}")));
            chain.fix =
                format!("ask for at most {there} {resource} for each pod, or make a pool with {wanted} on one node");
            return;
        }
        let has = known.gpus.as_ref().and_then(|gpus| gpus.resources.get(resource)).copied().unwrap_or(0);
        if has == 0 {
            chain.links.push(broken(format!("{called} has no {resource}")));
            chain.fix = match known.gpus.as_ref().and_then(|gpus| gpus.resources.keys().next()) {
                Some(other) => format!("ask for {other}, which {called} has, or make a pool with {resource}"),
                None => format!("make a pool with an accelerator that offers {resource}"),
            };
            return;
        }
        if wanted > has {
            chain.links.push(broken(format!("a pod asks for {wanted} {resource}, and one node of {called} has {has}")));
            chain.fix =
                format!("ask for at most {has} {resource} for each pod, or make a pool with {wanted} on one node");
            return;
        }
        let advertisers: Vec<usize> = (0..self.workloads.len())
            .filter(|one| self.workloads[*one].roles.iter().any(|role| self.would_advertise(group, role)))
            .collect();
        let runs = advertisers.iter().find(|one| known.landed.contains(one)).map(|one| &self.workloads[*one].what);
        if let Some(who) = runs.filter(|_| known.live.is_some()) {
            chain.links.push(holds(format!("{who} can run on {called}")));
            chain.links.push(broken(format!("{called} offers no {resource}: its kubelet has been told of none")));
            chain.fix = format!("see what the pods of {who} say: kubectl get pods -A -o wide, then their logs");
            return;
        }
        // What others run was never meant for these nodes.
        for one in advertisers.iter().filter(|one| self.workloads[**one].judged) {
            if depth < DEEPEST
                && let Some(inner) = self.chain_from(*one, group, around, depth + 1)
            {
                let who = &self.workloads[*one].what;
                chain.links.push(holds(format!("{resource} is advertised on {called} by {who}")));
                chain.links.extend(inner.links);
                chain.fix = inner.fix;
                chain.at = inner.at.or(chain.at.take());
                chain.through.extend(inner.through);
                return;
            }
        }
        chain.links.push(broken(format!("nobody advertises the {has} {resource} of {called}")));
        if known.live.is_some() {
            chain.fix = "apply the blueprint again: a device plugin that it installs is gone".into();
            return;
        }
        chain.fix = "let the blueprint install a device plugin: `gpu: {plugin: auto}`".into();
    }
}
