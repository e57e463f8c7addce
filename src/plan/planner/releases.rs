//! Helm releases: installed, upgraded, repaired, removed.

use std::collections::BTreeSet;

use wbk_provider_api::{Disruption, FieldDiff};

use super::{Draft, WORKLOAD_DEADLINE, objects::kinds_brought, step_id};
use crate::{
    helm::{ReleaseChange, ReleaseSeen, ReleaseStatus, Repair, release_change},
    id::ReleaseId,
    live::ReleaseState,
    plan::{
        Action, Expect, Payload, Phase, ReleaseAction, ReleaseStep, Step, StepId, Target, WhyNot,
        order::{is_builtin, makes_pods},
    },
};

impl Draft<'_> {
    pub(super) fn releases(&mut self) {
        let (cluster, pools) = self.foundations();
        let (waiting, late) = self.after_releases();
        for release in &self.desired.releases {
            let target = Target::Release(release.id.clone());
            let (record, inputs, drifted) = match self.live.releases.get(&release.id) {
                Some(ReleaseState::Seen { record, inputs: Some(inputs), drifted, objects: _ }) => {
                    (record, inputs, drifted)
                }
                Some(ReleaseState::Unknown(why)) => {
                    self.keep(WhyNot::Unseen, target, why.0.clone(), None);
                    continue;
                }
                Some(ReleaseState::Seen { inputs: None, .. }) | None => {
                    self.keep(WhyNot::Unseen, target, "its chart was not rendered", None);
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
            if release_action == ReleaseAction::Repair(Repair::UninstallThenInstall)
                && self.holds_data(&target, &reason)
            {
                continue;
            }
            let diff = drifted
                .iter()
                .flat_map(|(object, fields)| {
                    fields.iter().map(move |field| FieldDiff {
                        path: if field.path.is_root() { object.clone() } else { format!("{object}: {}", field.path) },
                        ..field.told()
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
                if !late.contains(id) && (in_its_namespace || is_its_namespace || serves_all) {
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
                disruption: match (release_action, self.data_of(&target)) {
                    (ReleaseAction::Install, _) => Disruption::None,
                    (ReleaseAction::Repair(Repair::UninstallThenInstall), Some(data)) => {
                        Disruption::LosesData(format!("{target}: {data}"))
                    }
                    (ReleaseAction::Upgrade | ReleaseAction::Repair(_) | ReleaseAction::Uninstall, _) => {
                        Disruption::Rolling
                    }
                },
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
        self.wait_for_kinds(&waiting);
        for (id, state) in &self.live.releases {
            if let ReleaseState::Seen { record: Some(record), inputs: None, .. } = state {
                self.uninstall(id, record, "the blueprint no longer names it");
            }
        }
    }

    /// Objects of kinds that nothing but a release can bring, and all that needs them: they wait for the releases, so no
    /// release may wait for them.
    fn after_releases(&self) -> (BTreeSet<StepId>, BTreeSet<StepId>) {
        let brought = kinds_brought(self.desired);
        let first: BTreeSet<StepId> = self
            .steps
            .values()
            .filter(|step| match &step.target {
                Target::Object(id) => {
                    let kind = id.key().kind;
                    step.expect == Expect::New
                        && !is_builtin(&kind)
                        && !brought.contains_key(&kind)
                        && !self.desired.promises.cluster_kinds.contains(&kind)
                }
                Target::Cluster(_) | Target::NodePool(_) | Target::Part(_) | Target::Release(_) | Target::Queue(_) => {
                    false
                }
            })
            .map(|step| step.id.clone())
            .collect();
        let mut late = first.clone();
        loop {
            let more: Vec<StepId> = self
                .steps
                .values()
                .filter(|step| !late.contains(&step.id) && step.needs.iter().any(|need| late.contains(need)))
                .map(|step| step.id.clone())
                .collect();
            if more.is_empty() {
                return (first, late);
            }
            late.extend(more);
        }
    }

    /// A custom resource whose kind a release may bring waits for the releases.
    fn wait_for_kinds(&mut self, waiting: &BTreeSet<StepId>) {
        let releases: Vec<StepId> = self
            .steps
            .values()
            .filter(|step| matches!(step.target, Target::Release(_)))
            .map(|step| step.id.clone())
            .collect();
        for id in waiting {
            if let Some(step) = self.steps.get_mut(id) {
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

    /// The data that goes when a release is uninstalled, in words.
    fn data_of(&self, target: &Target) -> Option<String> {
        let held = self.options.holding.get(&target.to_string()).filter(|held| !held.is_empty())?;
        Some(held.join(", "))
    }

    /// Whether uninstalling would take data that nobody named; then it is kept.
    fn holds_data(&mut self, target: &Target, reason: &str) -> bool {
        let what = target.to_string();
        let Some(data) = self.data_of(target) else { return false };
        if self.options.may_delete(&what) {
            return false;
        }
        let reason = format!("{reason}, but data would go with it: {data}");
        let hint = format!("name it to let it go: --delete {what:?}");
        self.keep(WhyNot::Protected, target.clone(), reason, Some(hint));
        true
    }

    pub(super) fn uninstall(&mut self, id: &ReleaseId, record: &ReleaseSeen, reason: &str) {
        if record.status == ReleaseStatus::Uninstalled {
            return;
        }
        let target = Target::Release(id.clone());
        if self.holds_data(&target, reason) {
            return;
        }
        let disruption = match self.data_of(&target) {
            Some(data) => Disruption::LosesData(format!("{target}: {data}")),
            None => Disruption::Stops(format!("the workloads of {target}")),
        };
        self.add(Step {
            id: step_id(&target),
            action: Action::Delete,
            reason: reason.to_owned(),
            needs: BTreeSet::new(),
            phase: Phase::Prune,
            expect: Expect::Revision(record.revision),
            disruption,
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
}
