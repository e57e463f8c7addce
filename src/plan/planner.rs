//! The planner: reads like a table of contents. Provider first, then objects, then releases, then what goes; each part
//! adds steps and reasons for what it did not plan.

mod conflicts;
mod objects;
mod provider;
mod queues;
mod releases;
mod removal;

pub(crate) use removal::is_made_by_kubernetes;

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{Finding, Gate, Operation, OperationAction, ProviderTarget, Weight};

use super::{Advice, NotPlanned, Payload, Phase, Plan, Step, StepId, Target, WhyNot};
use crate::{
    desired::{ConflictChoice, Desired, Notice},
    id::{GroupKind, ObjectId},
    live::{ClusterState, Live, ReleaseState},
};

/// What the user decided beyond the blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Things to be adopted, as they are printed: `Deployment.apps wandb/agent`, `helm release wandb/agent`.
    pub adopt: BTreeSet<String>,
    /// Data that may go, as it is printed; `all` for everything of this blueprint.
    pub delete: BTreeSet<String>,
    /// Overrides the blueprint's choice about fields that others hold.
    pub conflicts: Option<ConflictChoice>,
    /// Data that goes with a release when it is uninstalled, by release, both as they are printed.
    pub holding: BTreeMap<String, Vec<String>>,
    /// Jobs that an agent of Launch would forget if it began anew, by its release as it is printed.
    pub running: BTreeMap<String, Vec<String>>,
    /// Digests of charts that nobody pinned, by release as it is printed.
    pub unpinned: BTreeMap<String, String>,
    /// What the provider knows about its operations before any is run.
    pub findings: Vec<Finding>,
}

impl PlanOptions {
    fn may_delete(&self, what: &str) -> bool {
        self.delete.contains("all") || self.delete.contains(what)
    }
}

/// How long a step may take, its readiness included. An object is there at once; pods pull images and start: 10 minutes is
/// what Helm and kubectl wait for a rollout at most by default (5 and 10). Custom resources have controllers of their own.
const OBJECT_DEADLINE: u64 = 120;
const WORKLOAD_DEADLINE: u64 = 600;
/// What a removal may take while finalizers run.
const REMOVAL_DEADLINE: u64 = 300;

/// Kinds that hold data, or that take data with them; they go only when named.
const DATA: [(&str, &str); 6] = [
    ("", "Namespace"),
    ("", "PersistentVolumeClaim"),
    // A W&B server: its operator takes database and volumes in the cluster away with it.
    ("apps.wandb.com", "WeightsAndBiases"),
    ("", "PersistentVolume"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("storage.k8s.io", "StorageClass"),
];

/// Whether objects of a kind hold data, or take data with them.
pub(crate) fn is_data(kind: &GroupKind) -> bool {
    DATA.iter().any(|(group, name)| kind.group == *group && kind.kind == *name)
}

/// What makes the live state the desired one, and why not the rest.
pub fn plan(desired: &Desired, live: &Live, operations: &[Operation], options: &PlanOptions) -> Plan {
    // What is in a cluster that is made anew goes with it, and is made again.
    let emptied = replaces_cluster(operations, options).then(|| live.emptied("the cluster is made anew"));
    let live = emptied.as_ref().unwrap_or(live);
    let mut draft = Draft::new(desired, live, options);
    if draft.provider(operations) == Ground::Missing {
        return draft.finish(false);
    }
    draft.objects();
    draft.queues();
    draft.releases();
    draft.agents_after_queues();
    draft.extras();
    draft.unseen();
    draft.finish(false)
}

fn replaces_cluster(operations: &[Operation], options: &PlanOptions) -> bool {
    operations.iter().any(|operation| match &operation.target {
        ProviderTarget::Cluster(name) => {
            operation.action == OperationAction::Replace
                && options.may_delete(&Target::Cluster(name.clone()).to_string())
        }
        ProviderTarget::NodePool(_) | ProviderTarget::Part(_) => false,
    })
}

/// What takes the platform away. `desired` names what may still be there; `operations` are the provider's.
pub fn destroy(desired: &Desired, live: &Live, operations: &[Operation], options: &PlanOptions) -> Plan {
    let mut draft = Draft::new(desired, live, options);
    draft.remove_everything();
    let queues = draft.remove_queues();
    draft.provider_removal(operations);
    draft.not_planned.extend(queues);
    draft.unseen();
    draft.finish(true)
}

struct Draft<'a> {
    desired: &'a Desired,
    live: &'a Live,
    options: &'a PlanOptions,
    steps: BTreeMap<StepId, Step>,
    not_planned: BTreeSet<NotPlanned>,
    unchanged: usize,
    /// What is there and stays although a step was looked for: whatever holds it stays too.
    kept: BTreeSet<Target>,
}

/// Whether there is, or will be, a cluster that everything else can be planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    There,
    Missing,
}

fn step_id(target: &Target) -> StepId {
    StepId(target.to_string())
}

impl<'a> Draft<'a> {
    fn new(desired: &'a Desired, live: &'a Live, options: &'a PlanOptions) -> Self {
        Self {
            desired,
            live,
            options,
            steps: BTreeMap::new(),
            not_planned: BTreeSet::new(),
            unchanged: 0,
            kept: BTreeSet::new(),
        }
    }

    fn skip(&mut self, why: WhyNot, what: impl std::fmt::Display, reason: impl Into<String>, hint: Option<String>) {
        self.not_planned.insert(NotPlanned { why, what: what.to_string(), reason: reason.into(), hint });
    }

    /// Plans nothing for something that stays as it is, and with it all that holds it.
    fn keep(&mut self, why: WhyNot, target: Target, reason: impl Into<String>, hint: Option<String>) {
        self.skip(why, &target, reason, hint);
        self.kept.insert(target);
    }

    fn add(&mut self, step: Step) {
        self.steps.insert(step.id.clone(), step);
    }

    fn is_protected(&self, id: &ObjectId) -> bool {
        self.desired.policy.protect.iter().any(|rule| {
            rule.kind == id.gvk.kind
                && rule.namespace.as_ref().is_none_or(|namespace| Some(namespace) == id.namespace.as_ref())
                && rule.name.as_ref().is_none_or(|name| *name == id.name)
        })
    }

    /// Steps of the provider that stand before everything in the cluster, and those that pods wait for.
    fn foundations(&self) -> (Vec<StepId>, Vec<StepId>) {
        let mut cluster = Vec::new();
        let mut pods = Vec::new();
        for step in self.steps.values().filter(|step| step.phase == Phase::Change) {
            let Payload::Provider(operation) = &step.payload else { continue };
            match operation.gate {
                Gate::Everything => cluster.push(step.id.clone()),
                Gate::Pods => pods.push(step.id.clone()),
                Gate::Nothing => {}
            }
        }
        (cluster, pods)
    }

    fn unseen(&mut self) {
        for (what, why) in &self.live.unseen {
            let reason = format!("objects of this kind could not be listed, so none of them is deleted: {}", why.0);
            self.skip(WhyNot::Unseen, what, reason, None);
        }
    }

    /// Kinds that must be looked for next time: those of the blueprint, and those of what stays although it is not in it.
    fn kinds(&self, steps: &BTreeSet<StepId>) -> BTreeSet<GroupKind> {
        let secret = || GroupKind { group: String::new(), kind: "Secret".into() };
        let stays = |target: Target| !steps.contains(&step_id(&target));
        let wanted = self.desired.objects.iter().map(|object| object.id.gvk.group_kind());
        let staying = self
            .live
            .extras
            .iter()
            .filter(|extra| stays(Target::Object(extra.id.clone())))
            .map(|extra| extra.id.gvk.group_kind());
        let unseen = self.live.unseen.keys().filter(|what| !what.contains(' ')).map(|what| {
            let (kind, group) = what.split_once('.').unwrap_or((what, ""));
            GroupKind { group: group.into(), kind: kind.into() }
        });
        let releases = self.live.releases.iter().any(|(id, state)| match state {
            ReleaseState::Seen { record, .. } => record.is_some() && stays(Target::Release(id.clone())),
            ReleaseState::Unknown(_) => true,
        });
        let records = (releases || !self.desired.releases.is_empty()).then(secret);
        wanted.chain(staying).chain(unseen).chain(records).collect()
    }

    fn finish(mut self, destroys: bool) -> Plan {
        // A need without a step is met already: what it names is there and stays as it is.
        let ids: BTreeSet<StepId> = self.steps.keys().cloned().collect();
        for step in self.steps.values_mut() {
            step.needs.retain(|need| ids.contains(need));
        }
        let kinds = self.kinds(&ids);
        let mut steps: Vec<Step> = self.steps.into_values().collect();
        steps.sort_by(|one, other| (one.phase, &one.target).cmp(&(other.phase, &other.target)));
        Plan {
            blueprint: self.desired.name.clone(),
            wanted: self.desired.wanted.clone(),
            world: match &self.live.cluster {
                ClusterState::Reached(world) => Some(world.clone()),
                ClusterState::Absent | ClusterState::Unknown(_) => None,
            },
            steps,
            not_planned: self.not_planned.into_iter().collect(),
            unchanged: self.unchanged,
            kinds,
            advice: if destroys { Vec::new() } else { advice(self.desired, self.options) },
            destroys,
            leaves_broken: Vec::new(),
            cost: None,
        }
    }
}

/// What a reader should know although nothing is done about it: charts that are whatever a server sends, and what W&B's own breaks.
fn advice(desired: &Desired, options: &PlanOptions) -> Vec<Advice> {
    let notices = desired.launch.iter().flat_map(|launch| &launch.notices).map(|notice| {
        let Notice { about, says, hint } = notice.clone();
        Advice { about, says, hint }
    });
    desired
        .releases
        .iter()
        .filter_map(|release| {
            let about = Target::Release(release.id.clone()).to_string();
            let digest = options.unpinned.get(&about)?;
            // A chart that a section stands for is in the program's list, and has no words in the blueprint.
            let place = match &release.origin.at {
                Some(at) if release.origin.path.starts_with("charts") => format!(" at {at}"),
                _ => " in a list of your own, --chart-lock FILE".into(),
            };
            Some(Advice {
                about,
                says: format!("its chart is not pinned; it was found with the digest sha256:{digest}"),
                hint: format!("pin it{place}: digest: sha256:{digest}"),
            })
        })
        .chain(notices)
        .chain(options.findings.iter().filter(|finding| finding.weight == Weight::Advice).map(|finding| Advice {
            about: provider::provider_target(&finding.target).to_string(),
            says: finding.says.clone(),
            hint: finding.hint.clone(),
        }))
        .collect()
}
