//! Objects: made, changed, adopted, replaced, or left alone, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{Disruption, FieldDiff};

use super::{
    Draft, OBJECT_DEADLINE, WORKLOAD_DEADLINE, conflicts::Settlement, is_data, removal::is_made_by_kubernetes, step_id,
};
use crate::{
    cluster::{
        ADOPTED_ANNOTATION, APPLYSET_PART_OF, BLUEPRINT_LABEL, DIGEST_ANNOTATION, MANAGED_BY_LABEL, ORIGIN_ANNOTATION,
        Owner,
    },
    desired::{ConflictChoice, Desired, DesiredObject},
    field::FieldPath,
    id::{GroupKind, ObjectId, ObjectKey},
    live::{Birth, FieldChange, Found, ObjectState, Verdict, origin, rules_for},
    plan::{
        Action, Expect, NotPlanned, ObjectStep, Payload, Phase, Step, StepId, Target, WhyNot,
        order::{Index, makes_pods},
    },
};

impl Draft<'_> {
    pub(super) fn objects(&mut self) {
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
        self.block_what_has_no_place();
        self.order_objects();
    }

    /// What was to come into a namespace, or be of a kind, that this very plan makes cannot come where that is not planned.
    fn block_what_has_no_place(&mut self) {
        let brought = kinds_brought(self.desired);
        loop {
            let missing = |holder: &ObjectId| {
                !matches!(self.live.objects.get(&holder.key()), Some(ObjectState::Present(..)))
                    && !self.steps.contains_key(&step_id(&Target::Object(holder.clone())))
            };
            let next = self.steps.values().find_map(|step| {
                let Target::Object(id) = &step.target else { return None };
                if step.expect != Expect::New {
                    return None;
                }
                let namespace = self.desired.objects.iter().map(|object| &object.id).find(|holder| {
                    holder.key().kind == GroupKind { group: String::new(), kind: "Namespace".into() }
                        && Some(&holder.name) == id.namespace.as_ref()
                });
                let definition = brought.get(&id.key().kind).copied();
                let holder = namespace.into_iter().chain(definition).find(|holder| missing(holder))?;
                Some((step.id.clone(), id.clone(), holder.clone()))
            });
            let Some((step, id, holder)) = next else { return };
            self.steps.remove(&step);
            self.skip(WhyNot::Blocked, &id, format!("it needs {holder}, which is not planned"), None);
        }
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
                if self.desired.promises.optional_kinds.contains(&object.id.gvk.group_kind()) {
                    let reason = format!("{reason}, and nothing here brings it; it is made once the cluster has it");
                    return self.skip(WhyNot::Unmanaged, &object.id, reason, None);
                }
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
        if self.is_protected(&object.id) && (adopting || !matches!(verdict, Verdict::Same)) {
            let reason = if adopting {
                "the blueprint's policy protects it, and adopting it would change it".to_owned()
            } else {
                "the blueprint's policy protects it, and it differs".to_owned()
            };
            return self.skip(WhyNot::Protected, &object.id, reason, None);
        }
        let expect = || Expect::Object { uid: found.uid.clone(), fingerprint: found.fingerprint.clone() };
        match verdict {
            Verdict::Same if !adopting => self.unchanged += 1,
            Verdict::Same => {
                let mut step =
                    self.object_step(object, Action::Adopt, "it is as wanted, and is taken over".into(), expect());
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
                let settled = Settlement::of(holders, choice, adopting);
                let stops = match choice {
                    ConflictChoice::Stop => !settled.taken.is_empty(),
                    ConflictChoice::Mend => !settled.taken.is_empty() && !was_ours && !adopting,
                    ConflictChoice::Take | ConflictChoice::Yield => false,
                };
                if stops {
                    let reason = format!("others hold fields that it sets: {}", settled.rivals());
                    let hint = "decide: --conflicts take, --conflicts yield, or an ignore rule in policy".to_owned();
                    return self.skip(WhyNot::Blocked, &object.id, reason, Some(hint));
                }
                let diff: Vec<&FieldChange> = diff.iter().filter(|field| !settled.leaves(field)).collect();
                if diff.is_empty() && settled.taken.is_empty() && !settled.yielded.is_empty() {
                    self.unchanged += 1;
                    return;
                }
                let reason = self.reason(object, found, &settled, diff.is_empty(), adopting);
                let action = if adopting { Action::Adopt } else { Action::Update };
                let mut step = self.object_step(object, action, reason, expect());
                let template = FieldPath::fields(["spec", "template"]);
                step.disruption = if makes_pods(&object.id) && diff.iter().any(|field| field.path.is_within(&template))
                {
                    Disruption::Rolling
                } else {
                    Disruption::None
                };
                // That what is taken over gets our marks is what taking over means.
                let told = diff
                    .into_iter()
                    .filter_map(|field| if adopting { without_marks(field) } else { Some(field.told()) });
                step.diff = told.collect();
                step.holders = holders.clone();
                if let Payload::Object(payload) = &mut step.payload {
                    payload.adopted = adopting || found.adopted;
                    payload.take = !settled.taken.is_empty();
                    payload.yielded = settled.left();
                }
                self.add(step);
            }
            Verdict::Immutable { diff, words } => {
                let what = object.id.to_string();
                if is_data(&object.id.key().kind) && !self.options.may_delete(&what) {
                    let reason = format!("it cannot change in place ({words}), and replacing it would lose data");
                    return self.skip(
                        WhyNot::Blocked,
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
                step.diff = diff.iter().map(FieldChange::told).collect();
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
            Owner::Blueprint(name) => Err(foreign(format!("it belongs to the blueprint {name}"))),
            Owner::Release(id) => Err(foreign(format!("it belongs to the helm release {id}"))),
            // Kubernetes makes these itself for everyone; the blueprint only adds to them.
            Owner::Copy | Owner::Stray { .. } | Owner::Foreign(_) if is_made_by_kubernetes(&object.id) => Ok(true),
            Owner::Copy => Err(foreign("it carries our labels, but this tool never applied it".into())),
            Owner::Stray { labelled, managers } => Err(foreign(format!(
                "it carries the labels of the blueprint {labelled}, but was made by {}",
                managers.join(", ")
            ))),
            Owner::Foreign(managers) => Err(foreign(format!("it is there already, made by {}", managers.join(", ")))),
        }
    }

    fn reason(
        &self,
        object: &DesiredObject,
        found: &Found,
        settled: &Settlement<'_>,
        ownership_only: bool,
        adopting: bool,
    ) -> String {
        let taken = &settled.taken;
        let changed_by = || settled.rivals();
        if adopting {
            match &found.owner {
                Owner::Blueprint(name) => format!("it is the blueprint {name}'s, and is taken over"),
                Owner::Release(id) => format!("it is the helm release {id}'s, and is taken over"),
                Owner::Stray { managers, .. } | Owner::Foreign(managers) => {
                    format!("{} made it, and it is taken over", managers.join(", "))
                }
                Owner::Ours | Owner::Copy => "it is taken over".into(),
            }
        } else if ownership_only && taken.is_empty() {
            "its content is as wanted, but the ownership of its fields is not".into()
        } else if found.applied_digest.as_deref() != Some(object.digest().0.as_str()) {
            match taken.is_empty() {
                true => "the blueprint changed".into(),
                false => format!("the blueprint changed, and others hold fields of it: {}", changed_by()),
            }
        } else if taken.is_empty() && !object.secrets.is_empty() {
            "its values are not those that its references give now".into()
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
                manifest: object.manifest.value().clone(),
                secrets: object.secrets.clone(),
                digest: Some(object.digest()),
                origin: origin(object),
                adopted: false,
                take: false,
                keep: rules_for(&self.desired.policy.ignore, &object.id).into_iter().cloned().collect(),
                yielded: Vec::new(),
            })),
            target,
        }
    }

    fn order_objects(&mut self) {
        if self.steps.is_empty() {
            return;
        }
        let (cluster, pools) = self.foundations();
        let planned: Vec<&DesiredObject> = self
            .desired
            .objects
            .iter()
            .filter(|object| self.steps.contains_key(&step_id(&Target::Object(object.id.clone()))))
            .collect();
        let ids: BTreeMap<ObjectKey, StepId> =
            planned.iter().map(|object| (object.id.key(), step_id(&Target::Object(object.id.clone())))).collect();
        let index = Index::new(planned.iter().map(|object| (&object.id, object.manifest.value())));
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
}

/// A change without the marks by which this tool knows its objects; `None` where it is nothing else.
fn without_marks(field: &FieldChange) -> Option<FieldDiff> {
    const MARKS: [&str; 6] =
        [MANAGED_BY_LABEL, APPLYSET_PART_OF, BLUEPRINT_LABEL, DIGEST_ANNOTATION, ORIGIN_ANNOTATION, ADOPTED_ANNOTATION];
    let mut told = field.told();
    for map in ["labels", "annotations"] {
        if MARKS.iter().any(|mark| field.path == FieldPath::fields(["metadata", map, mark])) {
            return None;
        }
        if field.path == FieldPath::fields(["metadata", map]) {
            // A map that was not there comes as one.
            let new = told.new.as_mut().and_then(serde_json::Value::as_object_mut)?;
            MARKS.iter().for_each(|mark| drop(new.remove(*mark)));
            if new.is_empty() && told.old.is_none() {
                return None;
            }
        }
    }
    Some(told)
}

fn position_hint(object: &DesiredObject) -> Option<String> {
    object.origin.at.as_ref().map(|at| format!("it comes from {at} ({})", object.origin.path))
}

/// The kinds that definitions of the blueprint bring, each with its definition.
pub(super) fn kinds_brought(desired: &Desired) -> BTreeMap<GroupKind, &ObjectId> {
    desired.objects.iter().filter_map(|object| Some((object.brings()?, &object.id))).collect()
}
