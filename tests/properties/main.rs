//! The laws of planning and applying, on random blueprints, worlds and policies: the product's own observer, planner,
//! executor and actuator on a cluster in memory.

mod case;
mod deeds;
mod judge;
mod law;
mod platform;

#[path = "../support/world/mod.rs"]
mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;
use wbk_infra::cluster::ADOPTED_ANNOTATION;
use wbk_infra::desired::Policy;
use wbk_infra::live::{ObjectState, Verdict};
use wbk_infra::plan::{Action, Phase, PlanOptions, StepId, Target};

use case::{Case, case};
use deeds::{Deed, deed, is_mild, perform};
use judge::{bytes, content, is_machinery, is_ours, others_are_untouched, plan_is_lawful, plan_key};
use law::law;
use platform::{desired, open_policy};
use world::{Fault, Key};

const BLUEPRINT: &str = "research";
/// A secret's value: it must be told nowhere.
const CANARY: &str = "canary-7f3a9c-do-not-tell";

#[test]
fn a_plan_is_lawful_and_its_apply_does_it_and_nothing_else() {
    law(60, case, async |case: Case| {
        let rig = case.rig().await;
        let now = desired(&case.now, &case.policy);
        let seen = rig.look(&now).await;
        let plan = wbk_infra::plan::plan(&now, &seen.live, &seen.operations, &case.options);
        // Law 1: the same input gives the same bytes.
        let again = wbk_infra::plan::plan(&now, &seen.live, &seen.operations, &case.options);
        prop_assert_eq!(bytes(&plan), bytes(&again));
        // Laws 3 and 12.
        plan_is_lawful(&plan, &now, &case.options)?;
        // Law 4: ignorance plans nothing.
        for object in &now.objects {
            let state = &seen.live.objects[&object.id.key()];
            let step = plan.steps.iter().find(|step| step.target == Target::Object(object.id.clone()));
            match state {
                ObjectState::Unknown(_) => prop_assert!(step.is_none(), "{} could not be seen", object.id),
                ObjectState::Present(_, Verdict::Same) => {
                    prop_assert!(step.is_none_or(|step| step.action == Action::Adopt), "{} is as wanted", object.id);
                }
                ObjectState::Absent(_) | ObjectState::Present(..) => {}
            }
        }
        let before = rig.store().clone();
        let applied = rig.apply(&plan, Fault::None).await;
        let after = rig.store().clone();
        let execution = applied.execution.as_ref().expect("nobody killed it");
        // Law 2: the plan is the program.
        let planned: BTreeSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
        prop_assert_eq!(
            applied.began.iter().collect::<BTreeSet<_>>().len(),
            applied.began.len(),
            "each step began once"
        );
        let accounted: BTreeSet<&StepId> = execution
            .done
            .iter()
            .chain(execution.failed.iter().map(|(id, _)| id))
            .chain(execution.blocked.iter().map(|(id, _)| id))
            .collect();
        prop_assert_eq!(&accounted, &planned, "every step has an outcome");
        prop_assert!(execution.abandoned.is_empty());
        for (at, step) in applied.began.iter().enumerate() {
            let step = plan.steps.iter().find(|planned| planned.id == *step).expect("it was planned");
            for need in &step.needs {
                prop_assert!(applied.began[..at].contains(need), "{} began before {need}", step.id);
            }
            if step.phase == Phase::Prune {
                let late =
                    plan.steps.iter().find(|other| other.phase == Phase::Change && !execution.done.contains(&other.id));
                prop_assert!(
                    late.is_none(),
                    "{} is taken away although {:?} is not done",
                    step.id,
                    late.map(|step| &step.id)
                );
            }
        }
        // Law 5.
        if case.cluster_is_there {
            others_are_untouched(&before, &after, &plan, &case.options)?;
        }
        // Law 9.
        prop_assert!(!applied.told.contains(CANARY), "a secret's value was told");
        // A plan that the server tried must succeed: nothing moved since.
        for (id, error) in &execution.failed {
            let step = plan.steps.iter().find(|step| step.id == *id).expect("it was planned");
            let excused = step.estimated.is_some()
                || step.action == Action::Delete
                || step.action == Action::Replace
                || matches!(step.target, Target::Release(_));
            prop_assert!(excused, "{id} failed although the server had tried it: {}", error.line());
        }
        // Law 7: planning right after a complete apply gives an empty plan.
        if execution.is_complete() && case.cluster_is_there {
            let next = rig.plan(&now, &case.options).await;
            prop_assert!(
                next.is_empty(),
                "not empty after a complete apply: {:#?}",
                next.steps.iter().map(|step| (&step.action, &step.id, &step.reason, &step.diff)).collect::<Vec<_>>()
            );
            rig.forget();
            prop_assert!(rig.plan(&now, &case.options).await.is_empty(), "not empty without a memory");
        }
        Ok(())
    });
}

#[test]
fn a_world_that_moved_stops_the_step_with_nothing_wrong_written() {
    law(
        120,
        || (case(), prop::collection::vec(deed(), 1..4)),
        async |(mut case, meanwhile): (Case, Vec<Deed>)| {
            case.cluster_is_there = true;
            let rig = case.rig().await;
            let now = desired(&case.now, &case.policy);
            let plan = rig.plan(&now, &case.options).await;
            let planned_on = rig.store().clone();
            for deed in meanwhile.iter().filter(|deed| !matches!(deed, Deed::Hide(_) | Deed::Refuse(_))) {
                perform(&rig, deed);
            }
            let before = rig.store().clone();
            let applied = rig.apply(&plan, Fault::None).await;
            let after = rig.store().clone();
            let execution = applied.execution.expect("nobody killed it");
            for step in &plan.steps {
                let Target::Object(id) = &step.target else { continue };
                let at = plan_key(&before, id).or_else(|| plan_key(&planned_on, id));
                let Some(at) = at else { continue };
                let moved = planned_on.objects.get(&at) != before.objects.get(&at);
                let is_new = step.expect == wbk_infra::plan::Expect::New;
                if moved && !is_new && before.objects.contains_key(&at) {
                    prop_assert!(!execution.done.contains(&step.id), "{} moved and its step was done", step.id);
                    let collateral =
                        after.log[before.log.len()..].iter().any(|(verb, other)| *verb == "collateral" && *other == at);
                    prop_assert!(
                        collateral || after.objects.get(&at) == before.objects.get(&at),
                        "{} moved and was written",
                        step.id
                    );
                }
            }
            prop_assert!(!applied.told.contains(CANARY));
            Ok(())
        },
    );
}

#[test]
fn killed_or_failed_anywhere_the_next_apply_finishes_the_work() {
    let fault = || {
        prop_oneof![
            (0_usize..30).prop_map(Fault::FailStep),
            (0_usize..40).prop_map(Fault::DieBefore),
            (0_usize..40).prop_map(Fault::DieAfter)
        ]
    };
    law(
        160,
        || (case(), prop::collection::vec(fault(), 1..3)),
        async |(mut case, faults): (Case, Vec<Fault>)| {
            case.since.retain(is_mild);
            case.policy = Policy { conflicts: case.policy.conflicts, ..open_policy() };
            let now = desired(&case.now, &case.policy);
            let undisturbed = case.rig().await;
            let plan = undisturbed.plan(&now, &case.options).await;
            let straight = undisturbed.apply(&plan, Fault::None).await;
            if !straight.execution.as_ref().expect("nobody killed it").is_complete() {
                return Ok(());
            }
            let rig = case.rig().await;
            for fault in &faults {
                let plan = rig.plan(&now, &case.options).await;
                plan_is_lawful(&plan, &now, &case.options)?;
                let applied = rig.apply(&plan, *fault).await;
                prop_assert!(!applied.told.contains(CANARY));
            }
            let last = rig.plan(&now, &case.options).await;
            let applied = rig.apply(&last, Fault::None).await;
            let execution = applied.execution.expect("nobody killed it");
            let failed: Vec<String> =
                execution.failed.iter().map(|(id, error)| format!("{id}: {}", error.line())).collect();
            prop_assert!(execution.is_complete(), "the next apply does not finish: {failed:?}");
            prop_assert!(rig.plan(&now, &case.options).await.is_empty(), "it does not converge");
            prop_assert_eq!(
                content(&rig.store()),
                content(&undisturbed.store()),
                "another world than without the fault"
            );
            Ok(())
        },
    );
}

#[test]
fn destroying_all_leaves_nothing_of_ours() {
    law(
        120,
        || (case(), prop::bool::weighted(0.7)),
        async |(mut case, all): (Case, bool)| {
            case.cluster_is_there = true;
            case.policy = open_policy();
            let rig = case.rig().await;
            let wanted = desired(&case.first, &case.policy);
            let mut options = case.options.clone();
            if all {
                options.delete.insert("all".into());
            }
            let plan = rig.destroy(&wanted, &options).await;
            plan_is_lawful(&plan, &wanted, &options)?;
            let before = rig.store().clone();
            let applied = rig.apply(&plan, Fault::None).await;
            let execution = applied.execution.expect("nobody killed it");
            let cluster_goes = plan.steps.iter().any(|step| matches!(step.target, Target::Cluster(_)));
            if !cluster_goes {
                others_are_untouched(&before, &rig.store(), &plan, &PlanOptions::default())?;
            }
            let kept = plan
                .not_planned
                .iter()
                .any(|entry| entry.hint.is_none() || entry.why != wbk_infra::plan::WhyNot::Unmanaged);
            if execution.is_complete() && options.delete.contains("all") && !kept {
                let left: Vec<Key> = rig
                    .store()
                    .objects
                    .iter()
                    .filter(|(at, object)| is_ours(object) && !is_machinery(at))
                    .map(|(at, _)| at.clone())
                    .collect();
                prop_assert_eq!(left, Vec::<Key>::new(), "left behind");
                prop_assert!(rig.destroy(&wanted, &options).await.is_empty());
                for (at, object) in &rig.store().objects {
                    let adopted =
                        object.content.pointer("/metadata/annotations").and_then(|all| all.get(ADOPTED_ANNOTATION));
                    prop_assert!(adopted.is_none(), "{at:?} still says that it is adopted");
                }
            }
            Ok(())
        },
    );
}
