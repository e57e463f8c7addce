//! The planner: reads like a table of contents. Provider first, then objects, then releases, then what goes; each part
//! adds steps and reasons for what it did not plan.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wbk_provider_api::{Disruption, Operation, OperationAction, ProviderTarget, Seen};

use super::{
    Action, Expect, NotPlanned, ObjectStep, Payload, Phase, Plan, ReleaseAction, ReleaseStep, Step, StepId, Target,
    WhyNot,
    order::{Index, makes_pods, removal_wave},
};
use crate::{
    cluster::Owner,
    desired::{ConflictChoice, Desired, DesiredObject, IgnoreRule},
    helm::{ReleaseChange, ReleaseSeen, ReleaseStatus, release_change},
    id::{GroupKind, ObjectId, ObjectKey},
    live::{Birth, ClusterState, Extra, Found, Holder, Live, ObjectState, ReleaseState, Verdict, origin, rules_for},
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
const DATA: [(&str, &str); 5] = [
    ("", "Namespace"),
    ("", "PersistentVolumeClaim"),
    ("", "PersistentVolume"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("storage.k8s.io", "StorageClass"),
];

fn is_data(kind: &GroupKind) -> bool {
    DATA.iter().any(|(group, name)| kind.group == *group && kind.kind == *name)
}

/// What makes the live state the desired one, and why not the rest.
pub fn plan(desired: &Desired, live: &Live, operations: &[Operation], options: &PlanOptions) -> Plan {
    let mut draft = Draft::new(desired, live, options);
    draft.provider(operations);
    draft.objects();
    draft.releases();
    draft.extras();
    draft.unseen();
    draft.finish(false)
}

/// What takes the platform away. `desired` names what may still be there; `operations` are the provider's.
pub fn destroy(desired: &Desired, live: &Live, operations: &[Operation], options: &PlanOptions) -> Plan {
    let mut draft = Draft::new(desired, live, options);
    draft.remove_everything();
    draft.provider_removal(operations);
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
}

fn step_id(target: &Target) -> StepId {
    StepId(target.to_string())
}

impl<'a> Draft<'a> {
    fn new(desired: &'a Desired, live: &'a Live, options: &'a PlanOptions) -> Self {
        Self { desired, live, options, steps: BTreeMap::new(), not_planned: BTreeSet::new(), unchanged: 0 }
    }

    fn skip(&mut self, why: WhyNot, what: impl std::fmt::Display, reason: impl Into<String>, hint: Option<String>) {
        self.not_planned.insert(NotPlanned { why, what: what.to_string(), reason: reason.into(), hint });
    }

    fn add(&mut self, step: Step) {
        self.steps.insert(step.id.clone(), step);
    }

    // --- the provider's part ---------------------------------------------------------------------------------------

    fn provider(&mut self, operations: &[Operation]) {
        for operation in operations {
            let target = provider_target(&operation.target);
            if self.is_protected_provider(&target, operation) {
                continue;
            }
            self.add(Step {
                id: step_id(&target),
                action: provider_action(operation.action),
                reason: operation.reason.clone(),
                needs: operation.needs.iter().map(|need| step_id(&provider_target(need))).collect(),
                phase: if operation.action == OperationAction::Delete { Phase::Prune } else { Phase::Change },
                expect: Expect::Provider,
                disruption: operation.disruption.clone(),
                diff: operation.diff.clone(),
                holders: Vec::new(),
                estimated: None,
                at: None,
                deadline_seconds: operation.deadline_seconds,
                payload: Payload::Provider(operation.clone()),
                target,
            });
        }
        if let Seen::Unknown(why) = &self.live.provider.cluster {
            self.skip(WhyNot::Unseen, format!("cluster {}", self.desired.wanted.cluster.name), why.0.clone(), None);
        }
        for (name, pool) in &self.live.provider.pools {
            if let Seen::Unknown(why) = pool {
                self.skip(WhyNot::Unseen, format!("node pool {name}"), why.0.clone(), None);
            }
        }
    }

    /// A cluster or a pool that runs Jobs goes only when named.
    fn is_protected_provider(&mut self, target: &Target, operation: &Operation) -> bool {
        let takes_away = matches!(operation.action, OperationAction::Delete | OperationAction::Replace);
        let disturbs = match operation.disruption {
            Disruption::Stops(_) | Disruption::LosesData(_) => true,
            Disruption::None | Disruption::Rolling => false,
        };
        let what = target.to_string();
        if takes_away && (disturbs || matches!(target, Target::Cluster(_))) && !self.options.may_delete(&what) {
            self.skip(
                WhyNot::Protected,
                &what,
                operation.reason.clone(),
                Some(format!("name it to let it go: --delete {what:?}")),
            );
            return true;
        }
        false
    }

    // --- objects ---------------------------------------------------------------------------------------------------

    fn objects(&mut self) {
        for object in &self.desired.objects {
            match self.live.objects.get(&object.id.key()) {
                None => self.skip(WhyNot::Unseen, &object.id, "it was not looked for", None),
                Some(ObjectState::Unknown(why)) => {
                    self.skip(
                        WhyNot::Unseen,
                        &object.id,
                        why.0.clone(),
                        Some("nothing is planned for what cannot be seen".into()),
                    );
                }
                Some(ObjectState::Absent(birth)) => self.create(object, birth),
                Some(ObjectState::Present(found, verdict)) => self.change(object, found, verdict),
            }
        }
        self.order_objects();
    }

    fn create(&mut self, object: &DesiredObject, birth: &Birth) {
        let (expect, estimated) = match birth {
            Birth::Tried => (Expect::Absent, None),
            Birth::Estimated(why) => (Expect::New, Some(why.clone())),
            Birth::Refused(words) => {
                return self.skip(
                    WhyNot::Blocked,
                    &object.id,
                    format!("the server refuses it: {words}"),
                    position_hint(object),
                );
            }
            Birth::NoKind => {
                let reason =
                    format!("the cluster has no kind {} in {}", object.id.gvk.kind, object.id.gvk.api_version());
                let hint =
                    "add its CustomResourceDefinition to objects:, or the chart that brings it to charts:".to_owned();
                return self.skip(WhyNot::Blocked, &object.id, reason, Some(hint));
            }
        };
        let reason = "it is in the blueprint and not in the cluster".to_owned();
        let step = self.object_step(object, Action::Create, reason, expect);
        self.add(Step { estimated, ..step });
    }

    fn change(&mut self, object: &DesiredObject, found: &Found, verdict: &Verdict) {
        if let Some(finalizers) = &found.deleting {
            let reason = if finalizers.is_empty() {
                "it is being deleted".to_owned()
            } else {
                format!("it is being deleted and waits for the finalizers {}", finalizers.join(", "))
            };
            return self.skip(WhyNot::Blocked, &object.id, reason, Some("plan again when it is gone".into()));
        }
        let adopting = match self.ownership(object, found) {
            Ok(adopting) => adopting,
            Err(skip) => {
                self.not_planned.insert(skip);
                return;
            }
        };
        if self.is_protected(&object.id) && !matches!(verdict, Verdict::Same) {
            let reason = "the blueprint's policy protects it, and it differs".to_owned();
            return self.skip(WhyNot::Protected, &object.id, reason, None);
        }
        let expect = || Expect::Object { uid: found.uid.clone(), fingerprint: found.fingerprint.clone() };
        match verdict {
            Verdict::Same if !adopting => self.unchanged += 1,
            Verdict::Same => {
                let mut step =
                    self.object_step(object, Action::Adopt, "it is as wanted; it becomes ours".into(), expect());
                if let Payload::Object(payload) = &mut step.payload {
                    payload.adopted = true;
                }
                self.add(step);
            }
            Verdict::Refused(words) => {
                self.skip(
                    WhyNot::Blocked,
                    &object.id,
                    format!("the server refuses the change: {words}"),
                    position_hint(object),
                );
            }
            Verdict::Differs { diff, holders } => {
                let choice = self.options.conflicts.unwrap_or(self.desired.policy.conflicts);
                let was_ours = found.applied_digest.as_deref() == Some(object.digest().0.as_str());
                let (kept, taken): (Vec<&Holder>, Vec<&Holder>) =
                    holders.iter().partition(|holder| yields(choice, holder, adopting));
                let stops = match choice {
                    ConflictChoice::Stop => !taken.is_empty(),
                    ConflictChoice::Mend => !taken.is_empty() && !was_ours && !adopting,
                    ConflictChoice::Take | ConflictChoice::Yield => false,
                };
                if stops {
                    let held = taken.iter().map(|holder| describe(holder)).collect::<Vec<_>>().join("; ");
                    let reason = format!("others hold fields that it sets: {held}");
                    let hint = "decide: --conflicts take, --conflicts yield, or an ignore rule in policy".to_owned();
                    return self.skip(WhyNot::Blocked, &object.id, reason, Some(hint));
                }
                let keep: Vec<IgnoreRule> = kept.iter().map(|holder| keep_rule(object, holder)).collect();
                let diff: Vec<_> = diff
                    .iter()
                    .filter(|field| !kept.iter().any(|holder| same_field(&field.path, &holder.conflict.field)))
                    .cloned()
                    .collect();
                if diff.is_empty() && taken.is_empty() && !kept.is_empty() {
                    self.unchanged += 1;
                    return;
                }
                let reason = self.reason(object, found, &taken, diff.is_empty(), adopting);
                let action = if adopting { Action::Adopt } else { Action::Update };
                let mut step = self.object_step(object, action, reason, expect());
                step.disruption =
                    if makes_pods(&object.id) && diff.iter().any(|field| field.path.starts_with("spec.template")) {
                        Disruption::Rolling
                    } else {
                        Disruption::None
                    };
                step.diff = diff;
                step.holders = holders.clone();
                if let Payload::Object(payload) = &mut step.payload {
                    payload.adopted = adopting || found.adopted;
                    payload.take = !taken.is_empty();
                    payload.keep.extend(keep);
                }
                self.add(step);
            }
            Verdict::Immutable { diff, words } => {
                let what = object.id.to_string();
                if is_data(&object.id.key().kind) && !self.options.may_delete(&what) {
                    let reason = format!("it cannot change in place ({words}), and replacing it would lose data");
                    return self.skip(
                        WhyNot::Protected,
                        &what,
                        reason,
                        Some(format!("name it to replace it: --delete {what:?}")),
                    );
                }
                let reason = format!("it cannot change in place: {words}");
                let mut step = self.object_step(object, Action::Replace, reason, expect());
                step.disruption = if is_data(&object.id.key().kind) {
                    Disruption::LosesData(what)
                } else if makes_pods(&object.id) {
                    Disruption::Stops(format!("the pods of {what}"))
                } else {
                    Disruption::None
                };
                step.diff = diff.clone();
                if let Payload::Object(payload) = &mut step.payload {
                    payload.take = true;
                }
                self.add(step);
            }
        }
    }

    /// Whether the object is to be adopted; an error where it is not ours and nobody said so.
    fn ownership(&self, object: &DesiredObject, found: &Found) -> Result<bool, NotPlanned> {
        let what = object.id.to_string();
        let foreign = |reason: String| NotPlanned {
            why: WhyNot::Blocked,
            what: what.clone(),
            reason,
            hint: Some(format!("rename it in the blueprint, or take it over: --adopt {what:?}")),
        };
        match &found.owner {
            Owner::Ours => Ok(false),
            _ if self.options.adopt.contains(&what) => Ok(true),
            // Kubernetes makes these itself for everyone; the blueprint only adds to them.
            _ if is_made_by_kubernetes(&object.id) => Ok(true),
            Owner::Blueprint(name) => Err(foreign(format!("it belongs to the blueprint {name}"))),
            Owner::Release(id) => Err(foreign(format!("it belongs to the helm release {id}"))),
            Owner::Copy => Err(foreign("it carries our labels, but this tool never applied it".into())),
            Owner::Foreign(managers) => Err(foreign(format!("it is there already, made by {}", managers.join(", ")))),
        }
    }

    fn reason(
        &self,
        object: &DesiredObject,
        found: &Found,
        taken: &[&Holder],
        ownership_only: bool,
        adopting: bool,
    ) -> String {
        let changed_by = || taken.iter().map(|holder| describe(holder)).collect::<Vec<_>>().join("; ");
        if adopting {
            "it was somebody else's and becomes ours".into()
        } else if ownership_only && taken.is_empty() {
            "its content is as wanted, but the ownership of its fields is not".into()
        } else if found.applied_digest.as_deref() != Some(object.digest().0.as_str()) {
            match taken.is_empty() {
                true => "the blueprint changed".into(),
                false => format!("the blueprint changed, and others hold fields of it: {}", changed_by()),
            }
        } else if taken.is_empty() {
            "it was changed in the cluster".into()
        } else {
            format!("it was changed in the cluster: {}", changed_by())
        }
    }

    fn object_step(&self, object: &DesiredObject, action: Action, reason: String, expect: Expect) -> Step {
        let target = Target::Object(object.id.clone());
        Step {
            id: step_id(&target),
            action,
            reason,
            needs: BTreeSet::new(),
            phase: Phase::Change,
            expect,
            disruption: Disruption::None,
            diff: Vec::new(),
            holders: Vec::new(),
            estimated: None,
            at: object.origin.at.clone(),
            deadline_seconds: if makes_pods(&object.id) { WORKLOAD_DEADLINE } else { OBJECT_DEADLINE },
            payload: Payload::Object(Box::new(ObjectStep {
                manifest: object.manifest.clone(),
                secrets: object.secrets.clone(),
                digest: Some(object.digest()),
                origin: origin(object),
                adopted: false,
                take: false,
                keep: rules_for(&self.desired.policy.ignore, &object.id).into_iter().cloned().collect(),
            })),
            target,
        }
    }

    fn is_protected(&self, id: &ObjectId) -> bool {
        self.desired.policy.protect.iter().any(|rule| {
            rule.kind == id.gvk.kind
                && rule.namespace.as_ref().is_none_or(|namespace| Some(namespace) == id.namespace.as_ref())
                && rule.name.as_ref().is_none_or(|name| *name == id.name)
        })
    }

    /// Steps of the provider that stand before everything in the cluster, and those that bring nodes.
    fn foundations(&self) -> (Vec<StepId>, Vec<StepId>) {
        let mut cluster = Vec::new();
        let mut pools = Vec::new();
        for step in self.steps.values().filter(|step| step.phase == Phase::Change) {
            match (&step.target, step.action) {
                (Target::Cluster(_), _) => cluster.push(step.id.clone()),
                (Target::NodePool(_), Action::Create | Action::Replace) => pools.push(step.id.clone()),
                _ => {}
            }
        }
        (cluster, pools)
    }

    fn order_objects(&mut self) {
        let (cluster, pools) = self.foundations();
        let planned: Vec<&DesiredObject> = self
            .desired
            .objects
            .iter()
            .filter(|object| self.steps.contains_key(&step_id(&Target::Object(object.id.clone()))))
            .collect();
        let ids: BTreeMap<ObjectKey, StepId> =
            planned.iter().map(|object| (object.id.key(), step_id(&Target::Object(object.id.clone())))).collect();
        let index = Index::new(planned.iter().map(|object| (&object.id, &object.manifest)));
        for object in planned {
            let mut needs: BTreeSet<StepId> =
                index.needs(&object.id, &object.manifest).iter().filter_map(|key| ids.get(key).cloned()).collect();
            if makes_pods(&object.id) {
                needs.extend(pools.iter().cloned());
            }
            if needs.is_empty() {
                needs.extend(cluster.iter().cloned());
            }
            if let Some(step) = self.steps.get_mut(&step_id(&Target::Object(object.id.clone()))) {
                step.needs = needs;
            }
        }
    }

    // --- releases --------------------------------------------------------------------------------------------------

    fn releases(&mut self) {
        let (cluster, pools) = self.foundations();
        for release in &self.desired.releases {
            let target = Target::Release(release.id.clone());
            let (record, inputs, drifted) = match self.live.releases.get(&release.id) {
                Some(ReleaseState::Seen { record, inputs: Some(inputs), drifted, objects: _ }) => {
                    (record, inputs, drifted)
                }
                Some(ReleaseState::Unknown(why)) => {
                    self.skip(WhyNot::Unseen, &target, why.0.clone(), None);
                    continue;
                }
                Some(ReleaseState::Seen { inputs: None, .. }) | None => {
                    self.skip(WhyNot::Unseen, &target, "its chart was not rendered", None);
                    continue;
                }
            };
            let adopted = record.as_ref().map(|record| self.adopted(record, &target));
            let (release_action, reason) = match release_change(release, inputs, &self.desired.name, adopted.as_ref()) {
                ReleaseChange::None if drifted.is_empty() => {
                    self.unchanged += 1;
                    continue;
                }
                ReleaseChange::None => {
                    (ReleaseAction::Upgrade, format!("{} of its objects are not as it renders them", drifted.len()))
                }
                ReleaseChange::Install { reason } => (ReleaseAction::Install, reason),
                ReleaseChange::Upgrade { from: _, reason } => (ReleaseAction::Upgrade, reason),
                ReleaseChange::Repair { how, reason } => (ReleaseAction::Repair(how), reason),
                ReleaseChange::Foreign { reason } => {
                    let what = target.to_string();
                    self.skip(
                        WhyNot::Blocked,
                        &what,
                        reason,
                        Some(format!("rename it in the blueprint, or take it over: --adopt {what:?}")),
                    );
                    continue;
                }
            };
            let diff = drifted
                .iter()
                .flat_map(|(object, fields)| {
                    fields.iter().map(move |field| wbk_provider_api::FieldDiff {
                        path: if field.path.is_empty() { object.clone() } else { format!("{object}: {}", field.path) },
                        ..field.clone()
                    })
                })
                .collect();
            let mut needs: BTreeSet<StepId> = pools.iter().cloned().collect();
            for (id, step) in &self.steps {
                let Target::Object(object) = &step.target else { continue };
                let in_its_namespace =
                    object.namespace.as_deref() == Some(&release.id.namespace) && !makes_pods(object);
                let is_its_namespace = object.gvk.kind == "Namespace" && object.name == release.id.namespace;
                let serves_all =
                    matches!(object.gvk.kind.as_str(), "CustomResourceDefinition" | "PriorityClass" | "StorageClass");
                // A custom resource may be of a kind that this very release brings: it waits for the release, not the release for it.
                if (in_its_namespace && step.estimated.as_deref().is_none_or(|why| !why.contains("kind")))
                    || is_its_namespace
                    || serves_all
                {
                    needs.insert(id.clone());
                }
            }
            if needs.is_empty() {
                needs.extend(cluster.iter().cloned());
            }
            let action = match release_action {
                ReleaseAction::Install => Action::Create,
                ReleaseAction::Upgrade | ReleaseAction::Repair(_) => Action::Update,
                ReleaseAction::Uninstall => Action::Delete,
            };
            self.add(Step {
                id: step_id(&target),
                action,
                reason,
                needs,
                phase: Phase::Change,
                expect: Expect::Revision(record.as_ref().map_or(0, |record| record.revision)),
                disruption: if action == Action::Create { Disruption::None } else { Disruption::Rolling },
                diff,
                holders: Vec::new(),
                estimated: None,
                at: release.origin.at.clone(),
                deadline_seconds: WORKLOAD_DEADLINE,
                payload: Payload::Release(Box::new(ReleaseStep {
                    action: release_action,
                    desired: Some(release.clone()),
                    inputs: Some(inputs.clone()),
                })),
                target,
            });
        }
        self.wait_for_kinds();
        for (id, state) in &self.live.releases {
            if let ReleaseState::Seen { record: Some(record), inputs: None, .. } = state {
                self.uninstall(id, record, "the blueprint no longer names it");
            }
        }
    }

    /// A custom resource whose kind a release may bring waits for the releases.
    fn wait_for_kinds(&mut self) {
        let releases: Vec<StepId> = self
            .steps
            .values()
            .filter(|step| matches!(step.target, Target::Release(_)))
            .map(|step| step.id.clone())
            .collect();
        for step in self.steps.values_mut() {
            if step.estimated.as_deref().is_some_and(|why| why.contains("a release of this plan may bring it")) {
                step.needs.extend(releases.iter().cloned());
            }
        }
    }

    /// A record that the user said to adopt counts as ours.
    fn adopted(&self, record: &ReleaseSeen, target: &Target) -> ReleaseSeen {
        let mut record = record.clone();
        if self.options.adopt.contains(&target.to_string()) {
            record.blueprint = Some(self.desired.name.clone());
        }
        record
    }

    fn uninstall(&mut self, id: &crate::id::ReleaseId, record: &ReleaseSeen, reason: &str) {
        if record.status == ReleaseStatus::Uninstalled {
            return;
        }
        let target = Target::Release(id.clone());
        self.add(Step {
            id: step_id(&target),
            action: Action::Delete,
            reason: reason.to_owned(),
            needs: BTreeSet::new(),
            phase: Phase::Prune,
            expect: Expect::Revision(record.revision),
            disruption: Disruption::Stops(format!("the workloads of {target}")),
            diff: Vec::new(),
            holders: Vec::new(),
            estimated: None,
            at: None,
            deadline_seconds: WORKLOAD_DEADLINE,
            payload: Payload::Release(Box::new(ReleaseStep {
                action: ReleaseAction::Uninstall,
                desired: None,
                inputs: None,
            })),
            target,
        });
    }

    // --- what goes -------------------------------------------------------------------------------------------------

    fn extras(&mut self) {
        for extra in &self.live.extras {
            self.remove(
                &extra.id,
                &extra.found,
                &extra.controllers,
                "it carries this blueprint's marks and is not in the blueprint",
            );
        }
        self.bound_deletes();
        self.order_removals();
    }

    fn remove(&mut self, id: &ObjectId, found: &Found, controllers: &[String], reason: &str) {
        let what = id.to_string();
        match &found.owner {
            Owner::Ours => {}
            Owner::Copy => {
                let reason = "it carries this blueprint's labels, but this tool never applied it: a copy".to_owned();
                return self.skip(
                    WhyNot::Unmanaged,
                    &what,
                    reason,
                    Some("remove its labels, or delete it by hand".into()),
                );
            }
            Owner::Blueprint(_) | Owner::Release(_) | Owner::Foreign(_) => return,
        }
        if !controllers.is_empty() {
            let reason = format!("it goes with its owner {}", controllers.join(", "));
            return self.skip(WhyNot::Unmanaged, &what, reason, None);
        }
        if let Some(finalizers) = &found.deleting {
            let reason = format!("it is being deleted already and waits for the finalizers {}", finalizers.join(", "));
            return self.skip(WhyNot::Blocked, &what, reason, None);
        }
        if self.is_protected(id) {
            return self.skip(WhyNot::Protected, &what, "the blueprint's policy protects it", None);
        }
        let disowned = found.adopted || is_made_by_kubernetes(id);
        if is_data(&id.key().kind) && !disowned && !self.options.may_delete(&what) {
            let hint = format!("name it to let it go: --delete {what:?}");
            return self.skip(WhyNot::Protected, &what, format!("{reason}, but it holds data"), Some(hint));
        }
        let target = Target::Object(id.clone());
        self.add(Step {
            id: step_id(&target),
            action: if disowned { Action::Disown } else { Action::Delete },
            reason: if disowned {
                format!("{reason}; it was there before, so only our fields go")
            } else {
                reason.to_owned()
            },
            needs: BTreeSet::new(),
            phase: Phase::Prune,
            expect: Expect::Object { uid: found.uid.clone(), fingerprint: found.fingerprint.clone() },
            disruption: if disowned {
                Disruption::None
            } else if is_data(&id.key().kind) {
                Disruption::LosesData(what.clone())
            } else if makes_pods(id) {
                Disruption::Stops(format!("the pods of {what}"))
            } else {
                Disruption::None
            },
            diff: Vec::new(),
            holders: Vec::new(),
            estimated: None,
            at: None,
            deadline_seconds: REMOVAL_DEADLINE,
            payload: Payload::Object(Box::new(ObjectStep {
                manifest: Value::Null,
                secrets: Vec::new(),
                digest: None,
                origin: String::new(),
                adopted: found.adopted,
                take: false,
                keep: Vec::new(),
            })),
            target,
        });
    }

    /// Past the policy's limit nothing at all is deleted: a plan that deletes that much is more likely a mistake.
    fn bound_deletes(&mut self) {
        let limit = self.desired.policy.max_deletes as usize;
        let doomed: Vec<StepId> = self
            .steps
            .values()
            .filter(|step| matches!(step.action, Action::Delete | Action::Replace))
            .map(|step| step.id.clone())
            .collect();
        if doomed.len() <= limit {
            return;
        }
        for id in doomed.iter() {
            self.steps.remove(id);
            let reason =
                format!("the plan would delete or replace {} things, and policy.maxDeletes is {limit}", doomed.len());
            self.skip(WhyNot::OverBudget, id, reason, Some("raise policy.maxDeletes if all of them shall go".into()));
        }
        for step in self.steps.values_mut() {
            step.needs.retain(|need| !doomed.contains(need));
        }
    }

    /// A namespace takes all that is in it with it, and a definition all its custom resources: where something in them is
    /// kept, or could not be seen, they are kept too.
    fn keep_what_holds_data(&mut self) {
        let kept: Vec<NotPlanned> = self
            .not_planned
            .iter()
            .filter(|entry| {
                matches!(entry.why, WhyNot::Protected | WhyNot::Unseen | WhyNot::Blocked | WhyNot::OverBudget)
            })
            .cloned()
            .collect();
        let doomed: Vec<(StepId, ObjectId)> = self
            .steps
            .values()
            .filter(|step| step.action == Action::Delete)
            .filter_map(|step| match &step.target {
                Target::Object(id) => Some((step.id.clone(), id.clone())),
                Target::Cluster(_) | Target::NodePool(_) | Target::Release(_) => None,
            })
            .collect();
        for (step, id) in doomed {
            let holds = |entry: &&NotPlanned| match id.gvk.kind.as_str() {
                "Namespace" => {
                    entry.what.split_once(' ').is_some_and(|(_, place)| place.starts_with(&format!("{}/", id.name)))
                }
                // `Kind.group name`: the definition is named `plural.group`.
                "CustomResourceDefinition" => id.name.split_once('.').is_some_and(|(_, group)| {
                    entry.what.split_once(' ').is_some_and(|(kind, _)| kind.ends_with(&format!(".{group}")))
                }),
                _ => false,
            };
            let inside: Vec<&str> = kept.iter().filter(holds).map(|entry| entry.what.as_str()).collect();
            if !inside.is_empty() {
                let reason = format!("it would take what is kept with it: {}", inside.join(", "));
                self.steps.remove(&step);
                self.skip(WhyNot::Protected, &id, reason, None);
            }
        }
    }

    /// What goes later needs what goes earlier: in its own namespace, or everywhere for what has none.
    fn order_removals(&mut self) {
        self.keep_what_holds_data();
        let waves: Vec<(StepId, u8, Option<String>)> = self
            .steps
            .values()
            .filter(|step| step.phase == Phase::Prune)
            .filter_map(|step| match &step.target {
                Target::Object(id) => {
                    let namespace =
                        if id.gvk.kind == "Namespace" { Some(id.name.clone()) } else { id.namespace.clone() };
                    Some((step.id.clone(), removal_wave(&id.gvk.group_kind()), namespace))
                }
                Target::Release(id) => Some((step.id.clone(), 2, Some(id.namespace.clone()))),
                Target::Cluster(_) | Target::NodePool(_) => None,
            })
            .collect();
        for (id, wave, namespace) in &waves {
            let scope = |other: &Option<String>| namespace.is_none() || other.is_none() || other == namespace;
            let earlier = waves.iter().filter(|(_, before, place)| before < wave && scope(place));
            // The nearest earlier wave stands for those before it.
            let nearest = earlier.clone().map(|(_, before, _)| *before).max();
            let needs: Vec<StepId> =
                earlier.filter(|(_, before, _)| Some(*before) == nearest).map(|(id, _, _)| id.clone()).collect();
            if let Some(step) = self.steps.get_mut(id) {
                step.needs.extend(needs);
            }
        }
    }

    fn remove_everything(&mut self) {
        if let ClusterState::Unknown(why) = &self.live.cluster {
            self.skip(WhyNot::Unseen, format!("the objects of {}", self.desired.name), why.0.clone(), None);
        }
        for (id, state) in &self.live.releases {
            match state {
                ReleaseState::Seen { record: Some(record), .. }
                    if record.blueprint.as_deref() == Some(&self.desired.name) =>
                {
                    self.uninstall(id, record, "the platform is taken away");
                }
                ReleaseState::Seen { .. } => {}
                ReleaseState::Unknown(why) => {
                    self.skip(WhyNot::Unseen, Target::Release(id.clone()), why.0.clone(), None)
                }
            }
        }
        let reason = "the platform is taken away";
        let extras: Vec<Extra> = self.live.extras.clone();
        for extra in &extras {
            self.remove(&extra.id, &extra.found, &extra.controllers, reason);
        }
        for object in &self.desired.objects {
            match self.live.objects.get(&object.id.key()) {
                Some(ObjectState::Present(found, _)) if found.owner == Owner::Ours => {
                    self.remove(&object.id, found, &[], reason)
                }
                Some(ObjectState::Unknown(why)) => self.skip(WhyNot::Unseen, &object.id, why.0.clone(), None),
                Some(ObjectState::Present(..) | ObjectState::Absent(_)) | None => {}
            }
        }
        self.order_removals();
    }

    /// The cluster and its pools go last, and only when nothing was kept back in them.
    fn provider_removal(&mut self, operations: &[Operation]) {
        let kept: Vec<String> = self
            .not_planned
            .iter()
            .filter(|entry| matches!(entry.why, WhyNot::Protected | WhyNot::Unseen | WhyNot::Blocked))
            .map(|entry| entry.what.clone())
            .collect();
        let inside: Vec<StepId> = self.steps.keys().cloned().collect();
        for operation in operations {
            let target = provider_target(&operation.target);
            if !kept.is_empty() {
                let reason = format!("it still holds what is kept: {}", kept.join(", "));
                self.skip(
                    WhyNot::Protected,
                    &target,
                    reason,
                    Some("let those go first, or all of it: --delete all".into()),
                );
                continue;
            }
            if self.is_protected_provider(&target, operation) {
                continue;
            }
            let mut needs: BTreeSet<StepId> =
                operation.needs.iter().map(|need| step_id(&provider_target(need))).collect();
            needs.extend(inside.iter().cloned());
            self.add(Step {
                id: step_id(&target),
                action: provider_action(operation.action),
                reason: operation.reason.clone(),
                needs,
                phase: Phase::Prune,
                expect: Expect::Provider,
                disruption: operation.disruption.clone(),
                diff: Vec::new(),
                holders: Vec::new(),
                estimated: None,
                at: None,
                deadline_seconds: operation.deadline_seconds,
                payload: Payload::Provider(operation.clone()),
                target,
            });
        }
    }

    fn unseen(&mut self) {
        for (what, why) in &self.live.unseen {
            let reason = format!("objects of this kind could not be listed, so none of them is deleted: {}", why.0);
            self.skip(WhyNot::Unseen, what, reason, None);
        }
    }

    fn finish(mut self, destroys: bool) -> Plan {
        // A step whose need was not planned cannot run; its need says why.
        let ids: BTreeSet<StepId> = self.steps.keys().cloned().collect();
        for step in self.steps.values_mut() {
            step.needs.retain(|need| ids.contains(need));
        }
        let mut steps: Vec<Step> = self.steps.into_values().collect();
        steps.sort_by(|one, other| (one.phase, &one.target).cmp(&(other.phase, &other.target)));
        let kinds = self
            .desired
            .objects
            .iter()
            .map(|object| object.id.gvk.group_kind())
            .chain(
                (!self.desired.releases.is_empty()).then(|| GroupKind { group: String::new(), kind: "Secret".into() }),
            )
            .collect();
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
            destroys,
        }
    }
}

/// Whether a field is left to its holder.
fn yields(choice: ConflictChoice, holder: &Holder, adopting: bool) -> bool {
    match choice {
        ConflictChoice::Yield => !adopting,
        // A HorizontalPodAutoscaler scales through the controller manager; taking replicas back would fight it for ever.
        ConflictChoice::Mend => holder.subresource == "scale" && holder.conflict.manager == "kube-controller-manager",
        ConflictChoice::Take | ConflictChoice::Stop => false,
    }
}

fn describe(holder: &Holder) -> String {
    let when = if holder.time.is_empty() { String::new() } else { format!(" since {}", holder.time) };
    format!("{} holds {}{when}", holder.conflict.manager, holder.conflict.field.trim_start_matches('.'))
}

/// The server writes `.spec.template.spec.containers[name="main"].image`, a diff `spec.template.spec.containers[main].image`.
fn same_field(path: &str, conflict: &str) -> bool {
    let plain: String = conflict.trim_start_matches('.').replace("name=", "").replace('"', "");
    path == plain || path.starts_with(&format!("{plain}.")) || path.starts_with(&format!("{plain}["))
}

/// A field without list items, as a JSON pointer whose live value is kept.
fn keep_rule(object: &DesiredObject, holder: &Holder) -> IgnoreRule {
    IgnoreRule {
        kind: object.id.gvk.kind.clone(),
        namespace: object.id.namespace.clone(),
        name: Some(object.id.name.clone()),
        path: holder.conflict.field.replace('.', "/"),
        reason: format!("{} holds it", holder.conflict.manager),
        until: None,
    }
}

fn is_made_by_kubernetes(id: &ObjectId) -> bool {
    match id.gvk.kind.as_str() {
        "ServiceAccount" => id.name == "default",
        "Namespace" => ["default", "kube-system", "kube-public", "kube-node-lease"].contains(&id.name.as_str()),
        _ => false,
    }
}

fn position_hint(object: &DesiredObject) -> Option<String> {
    object.origin.at.as_ref().map(|at| format!("it comes from {at} ({})", object.origin.path))
}

fn provider_target(target: &ProviderTarget) -> Target {
    match target {
        ProviderTarget::Cluster(name) => Target::Cluster(name.clone()),
        ProviderTarget::NodePool(name) => Target::NodePool(name.clone()),
    }
}

fn provider_action(action: OperationAction) -> Action {
    match action {
        OperationAction::Create => Action::Create,
        OperationAction::Start => Action::Start,
        OperationAction::Update => Action::Update,
        OperationAction::Replace => Action::Replace,
        OperationAction::Delete => Action::Delete,
    }
}
