//! What is held to be so of a plan, and of a world before and after it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use wbk_infra::cluster::BLUEPRINT_LABEL;
use wbk_infra::desired::Desired;
use wbk_infra::id::ObjectId;
use wbk_infra::plan::{Action, Plan, PlanOptions, SavedPlan, StepId, Target};

use super::platform::{id_of, objects};
use super::world;
use super::world::Key;
use super::{BLUEPRINT, CANARY};

pub fn bytes(plan: &Plan) -> Vec<u8> {
    SavedPlan::new(plan.clone(), &[], Vec::new()).to_bytes()
}

/// Whether the object is of this blueprint, as written on it.
pub fn is_ours(object: &world::Object) -> bool {
    let label = object
        .content
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(BLUEPRINT_LABEL))
        .and_then(Value::as_str);
    let applied = object.managers.iter().any(|entry| entry.name == "wbk-infra" && entry.operation == "Apply");
    applied && label.is_none_or(|label| label == BLUEPRINT)
}

pub const MACHINERY: &str = "wbk-infra";

pub fn is_machinery(at: &Key) -> bool {
    at.2 == MACHINERY || at.3 == MACHINERY || at.3.starts_with("sh.helm.release") || at.3 == "of-rel"
}

pub fn is_data(target: &Target) -> bool {
    let Target::Object(id) = target else { return false };
    ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition", "StorageClass"].contains(&id.gvk.kind.as_str())
}

/// The laws that a plan alone must keep.
pub fn plan_is_lawful(plan: &Plan, desired: &Desired, options: &PlanOptions) -> Result<(), TestCaseError> {
    let ids: BTreeMap<&StepId, usize> = plan.steps.iter().enumerate().map(|(at, step)| (&step.id, at)).collect();
    prop_assert_eq!(ids.len(), plan.steps.len(), "each step once");
    for step in &plan.steps {
        prop_assert!(!step.reason.is_empty(), "{} has a reason", step.id);
        prop_assert!(step.deadline_seconds > 0);
        prop_assert_eq!(&step.id.0, &step.target.to_string());
        for need in &step.needs {
            let Some(at) = ids.get(need) else {
                return Err(TestCaseError::fail(format!("{} needs {need}, which is no step", step.id)));
            };
            prop_assert!(step.phase >= plan.steps[*at].phase, "{} changes after the removal {}", step.id, need);
        }
        if matches!(step.action, Action::Delete | Action::Replace) && is_data(&step.target) {
            let named = options.delete.contains("all") || options.delete.contains(&step.target.to_string());
            prop_assert!(named, "{} holds data and nobody named it", step.id);
        }
        if let Target::Object(id) = &step.target {
            let protected = desired.policy.protect.iter().any(|rule| {
                rule.kind == id.gvk.kind
                    && rule.namespace.as_ref().is_none_or(|namespace| Some(namespace) == id.namespace.as_ref())
            });
            prop_assert!(!protected || step.action == Action::Create, "{} is protected", step.id);
        }
    }
    // Taking away what nothing left needs ends with nothing: no cycle.
    let mut open: BTreeSet<&StepId> = ids.keys().copied().collect();
    while !open.is_empty() {
        let free: Vec<&StepId> = plan
            .steps
            .iter()
            .filter(|step| open.contains(&step.id) && step.needs.iter().all(|need| !open.contains(need)))
            .map(|step| &step.id)
            .collect();
        prop_assert!(!free.is_empty(), "a cycle among {open:?}");
        for id in free {
            open.remove(id);
        }
    }
    for entry in &plan.not_planned {
        prop_assert!(!entry.reason.is_empty(), "{} has a reason", entry.what);
    }
    if !plan.destroys {
        let taken = plan.steps.iter().filter(|step| matches!(step.action, Action::Delete | Action::Replace)).count();
        prop_assert!(taken <= desired.policy.max_deletes as usize, "{taken} deletions");
        let wanted = desired.objects.iter().map(|object| object.id.to_string());
        let wanted: Vec<String> = wanted
            .chain(desired.releases.iter().map(|release| Target::Release(release.id.clone()).to_string()))
            .collect();
        let mut unchanged = 0;
        for what in &wanted {
            let steps = plan.steps.iter().filter(|step| step.id.0 == *what).count();
            let reasons = plan.not_planned.iter().filter(|entry| entry.what == *what).count();
            prop_assert!(steps + reasons <= 1, "{what} is accounted for {} times", steps + reasons);
            unchanged += usize::from(steps + reasons == 0);
        }
        prop_assert_eq!(unchanged, plan.unchanged, "what is neither a step nor a reason is unchanged");
    }
    let text = bytes(plan);
    prop_assert!(!String::from_utf8_lossy(&text).contains(CANARY), "a secret's value is in the plan");
    prop_assert_eq!(&SavedPlan::from_bytes(&text).expect("it reads back").plan, plan);
    Ok(())
}

/// What is not ours, or may not be seen, is as it was; what a named namespace or definition took with it is told.
pub fn others_are_untouched(
    before: &world::Store,
    after: &world::Store,
    plan: &Plan,
    options: &PlanOptions,
) -> Result<(), TestCaseError> {
    let taken: BTreeSet<&Key> =
        after.log[before.log.len()..].iter().filter(|(verb, _)| *verb == "collateral").map(|(_, at)| at).collect();
    for (at, object) in &before.objects {
        let printed = plan_name(at);
        let adopted = options.adopt.contains(&printed) || (at.0 == "serviceaccounts" && at.3 == "default");
        let hidden = before.unseen.contains(&at.0);
        if is_machinery(at) || (!hidden && (is_ours(object) || adopted)) {
            continue;
        }
        // A namespace that was named goes with what is in it that nobody could know of: foreign objects carry no label.
        let copy = object.content.pointer("/metadata/labels").and_then(|labels| labels.get(BLUEPRINT_LABEL))
            == Some(&json!(BLUEPRINT));
        if taken.contains(at) && !hidden && !copy {
            continue;
        }
        prop_assert_eq!(
            after.objects.get(at),
            Some(object),
            "{:?} is not ours and was changed by {:#?}",
            at,
            plan.steps.iter().map(|step| (&step.action, &step.id)).collect::<Vec<_>>()
        );
    }
    Ok(())
}

pub fn plan_name(at: &Key) -> String {
    let (plural, group, namespace, name) = at;
    let manifest = objects(0).into_iter().find(|manifest| {
        let id = id_of(manifest);
        let singular = id.gvk.kind.to_lowercase();
        id.gvk.group == *group
            && (plural.starts_with(&singular) || singular.starts_with(plural.trim_end_matches("ies")))
            && id.name == *name
            && id.namespace.clone().unwrap_or_default() == *namespace
    });
    manifest.map(|manifest| id_of(&manifest).to_string()).unwrap_or_default()
}

pub fn plan_key(store: &world::Store, id: &ObjectId) -> Option<Key> {
    let manifest = json!({"apiVersion": id.gvk.api_version(), "kind": id.gvk.kind, "metadata": {"name": id.name, "namespace": id.namespace}});
    store.key_of(&manifest).filter(|at| store.objects.contains_key(at))
}

/// What is there, without what each run makes anew (uids, versions, times).
pub fn content(store: &world::Store) -> BTreeMap<Key, Value> {
    store
        .objects
        .iter()
        .filter(|(at, _)| !is_machinery(at))
        .map(|(at, object)| (at.clone(), object.content.clone()))
        .collect()
}
