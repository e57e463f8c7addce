//! What goes: objects that the blueprint no longer names, or all of them; what is kept, and in which order the rest goes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wbk_provider_api::Disruption;

use super::{Draft, REMOVAL_DEADLINE, is_data, step_id};
use crate::{
    cluster::Owner,
    desired::{DesiredObject, DesiredRelease},
    id::ObjectId,
    live::{ClusterState, Extra, Found, ObjectState, ReleaseState},
    plan::{
        Action, Expect, ObjectStep, Payload, Phase, Step, StepId, Target, WhyNot,
        order::{makes_pods, removal_wave},
    },
};

/// Releases go when workloads go.
const RELEASE_WAVE: u8 = 2;
/// The first wave that only waits for its own namespace.
const FIRST_LOCAL_WAVE: u8 = 2;

impl Draft<'_> {
    pub(super) fn extras(&mut self) {
        for extra in &self.live.extras {
            self.remove(
                &extra.id,
                &extra.found,
                &extra.controllers,
                "it carries this blueprint's marks and is not in the blueprint",
            );
        }
        self.keep_what_holds_others(&self.desired.objects, &self.desired.releases);
        self.bound_deletes();
        self.order_removals();
    }

    fn remove(&mut self, id: &ObjectId, found: &Found, controllers: &[String], reason: &str) {
        let target = Target::Object(id.clone());
        let what = id.to_string();
        match &found.owner {
            Owner::Ours | Owner::Copy => {}
            Owner::Blueprint(_) | Owner::Release(_) | Owner::Stray { .. } | Owner::Foreign(_) => return,
        }
        if !controllers.is_empty() {
            let reason = format!("it goes with its owner {}", controllers.join(", "));
            return self.skip(WhyNot::Unmanaged, &what, reason, None);
        }
        if found.owner == Owner::Copy {
            let reason = "it carries this blueprint's labels, but this tool never applied it: a copy";
            let hint = "remove its labels, or delete it by hand".to_owned();
            return self.keep(WhyNot::Unmanaged, target, reason, Some(hint));
        }
        if let Some(finalizers) = &found.deleting {
            let reason = format!("it is being deleted already and waits for the finalizers {}", finalizers.join(", "));
            return self.keep(WhyNot::Blocked, target, reason, None);
        }
        if self.is_protected(id) {
            return self.keep(WhyNot::Protected, target, "the blueprint's policy protects it", None);
        }
        let disowned = found.adopted || is_made_by_kubernetes(id);
        if is_data(&id.key().kind) && !disowned && !self.options.may_delete(&what) {
            let hint = format!("name it to let it go: --delete {what:?}");
            return self.keep(WhyNot::Protected, target, format!("{reason}, but it holds data"), Some(hint));
        }
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
                yielded: Vec::new(),
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

    /// A namespace takes all that is in it with it, and a definition all its custom resources: where something in them
    /// stays, or could not be seen, they stay too. `objects` and `releases` are what is wanted to be there.
    fn keep_what_holds_others(&mut self, objects: &[DesiredObject], releases: &[DesiredRelease]) {
        if !self.steps.values().any(|step| matches!(step.action, Action::Delete | Action::Replace)) {
            return;
        }
        let mut staying = self.kept.clone();
        staying.extend(objects.iter().map(|object| Target::Object(object.id.clone())));
        staying.extend(releases.iter().map(|release| Target::Release(release.id.clone())));
        let doomed: Vec<ObjectId> = self
            .steps
            .values()
            .filter(|step| matches!(step.action, Action::Delete | Action::Replace))
            .filter_map(|step| match &step.target {
                Target::Object(id) => Some(id.clone()),
                Target::Cluster(_) | Target::NodePool(_) | Target::Part(_) | Target::Release(_) | Target::Queue(_) => {
                    None
                }
            })
            .collect();
        for id in doomed {
            let target = Target::Object(id.clone());
            let mut inside: Vec<String> =
                staying.iter().filter(|other| **other != target && holds(&id, other)).map(Target::to_string).collect();
            inside.extend(self.live.unseen.keys().filter(|kind| self.may_hold_unseen(&id, kind)).cloned());
            if !inside.is_empty() {
                let reason = format!("it would take what is kept with it: {}", inside.join(", "));
                self.steps.remove(&step_id(&target));
                self.keep(WhyNot::Protected, target, reason, None);
            }
        }
    }

    /// Whether objects of a kind that could not be listed may go with a namespace or a definition.
    fn may_hold_unseen(&self, id: &ObjectId, unseen: &str) -> bool {
        match id.gvk.kind.as_str() {
            "Namespace" => !self
                .desired
                .objects
                .iter()
                .any(|object| object.id.namespace.is_none() && object.id.key().kind.to_string() == unseen),
            "CustomResourceDefinition" => {
                id.name.split_once('.').is_some_and(|(_, group)| unseen.ends_with(&format!(".{group}")))
            }
            _ => false,
        }
    }

    /// What goes later needs what goes earlier: in its own namespace and among what has none, or everywhere for what has
    /// none. What intercepts requests and custom resources go before the rest everywhere: their controllers may be anywhere.
    fn order_removals(&mut self) {
        let mut waves: BTreeMap<Option<String>, BTreeMap<u8, Vec<StepId>>> = BTreeMap::new();
        let mut placed: Vec<(StepId, u8, Option<String>)> = Vec::new();
        for step in self.steps.values().filter(|step| step.phase == Phase::Prune) {
            let (wave, place) = match &step.target {
                Target::Object(id) => {
                    let namespace =
                        if id.gvk.kind == "Namespace" { Some(id.name.clone()) } else { id.namespace.clone() };
                    (removal_wave(&id.gvk.group_kind()), namespace)
                }
                Target::Release(id) => (RELEASE_WAVE, Some(id.namespace.clone())),
                Target::Cluster(_) | Target::NodePool(_) | Target::Part(_) | Target::Queue(_) => continue,
            };
            waves.entry(place.clone()).or_default().entry(wave).or_default().push(step.id.clone());
            placed.push((step.id.clone(), wave, place));
        }
        for (id, wave, place) in placed {
            let mut needs: BTreeSet<StepId> = BTreeSet::new();
            for (other, waves) in &waves {
                let below = if place.is_none() || other.is_none() || *other == place {
                    wave
                } else {
                    wave.min(FIRST_LOCAL_WAVE)
                };
                // The nearest earlier wave of a place stands for those before it.
                if let Some((_, nearest)) = waves.range(..below).next_back() {
                    needs.extend(nearest.iter().cloned());
                }
            }
            if let Some(step) = self.steps.get_mut(&id) {
                step.needs.extend(needs);
            }
        }
    }

    pub(super) fn remove_everything(&mut self) {
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
                    self.keep(WhyNot::Unseen, Target::Release(id.clone()), why.0.clone(), None)
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
                Some(ObjectState::Unknown(why)) => {
                    self.keep(WhyNot::Unseen, Target::Object(object.id.clone()), why.0.clone(), None)
                }
                Some(ObjectState::Present(..) | ObjectState::Absent(_)) | None => {}
            }
        }
        self.keep_what_holds_others(&[], &[]);
        self.order_removals();
    }
}

/// Whether Kubernetes makes an object itself, in every cluster or every namespace.
pub(crate) fn is_made_by_kubernetes(id: &ObjectId) -> bool {
    match id.gvk.kind.as_str() {
        "ServiceAccount" => id.name == "default",
        "Namespace" => ["default", "kube-system", "kube-public", "kube-node-lease"].contains(&id.name.as_str()),
        _ => false,
    }
}

/// Whether removing an object takes another thing with it.
fn holds(holder: &ObjectId, other: &Target) -> bool {
    match (holder.gvk.kind.as_str(), other) {
        ("Namespace", Target::Object(id)) => id.namespace.as_ref() == Some(&holder.name),
        ("Namespace", Target::Release(id)) => id.namespace == holder.name,
        // The definition is named `plural.group`.
        ("CustomResourceDefinition", Target::Object(id)) => {
            holder.name.split_once('.').is_some_and(|(_, group)| id.gvk.group == group)
        }
        _ => false,
    }
}
