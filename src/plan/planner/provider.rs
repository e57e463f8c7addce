//! The provider's part: the cluster and its node pools.

use std::collections::BTreeSet;

use wbk_provider_api::{Disruption, Gate, Operation, OperationAction, ProviderTarget, Seen, Weight};

use super::{Draft, Ground, step_id};
use crate::{
    live::ClusterState,
    plan::{Action, Expect, Payload, Phase, Step, StepId, Target, WhyNot},
};

impl Draft<'_> {
    pub(super) fn provider(&mut self, operations: &[Operation]) -> Ground {
        let blocked = self.blocked(operations);
        for operation in operations {
            let target = provider_target(&operation.target);
            if blocked.contains(&operation.target) {
                continue;
            }
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
                payload: Payload::Provider(Box::new(operation.clone())),
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
        for (id, part) in &self.live.provider.parts {
            if let Seen::Unknown(why) = part {
                self.skip(WhyNot::Unseen, id, why.0.clone(), None);
            }
        }
        let gates = operations.iter().filter(|operation| operation.gate == Gate::Everything);
        let lost = gates
            .clone()
            .any(|operation| operation.action == OperationAction::Create && blocked.contains(&operation.target));
        if lost { Ground::Missing } else { Ground::There }
    }

    /// What a finding keeps from being planned, with all that needs it; each is named with its reason.
    fn blocked(&mut self, operations: &[Operation]) -> BTreeSet<ProviderTarget> {
        let mut blocked = BTreeSet::new();
        for finding in self.options.findings.iter().filter(|finding| finding.weight == Weight::Blocks) {
            if operations.iter().any(|operation| operation.target == finding.target) {
                let target = provider_target(&finding.target);
                self.skip(WhyNot::Blocked, target, finding.says.clone(), Some(finding.hint.clone()));
                blocked.insert(finding.target.clone());
            }
        }
        loop {
            let next = operations.iter().find_map(|operation| {
                let need = operation.needs.iter().find(|need| blocked.contains(need))?;
                (!blocked.contains(&operation.target)).then_some((operation, need.clone()))
            });
            let Some((operation, need)) = next else { return blocked };
            let reason = format!("it needs {}, which is not planned", provider_target(&need));
            self.skip(WhyNot::Blocked, provider_target(&operation.target), reason, None);
            blocked.insert(operation.target.clone());
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
            // What is kept is what nobody asks for any more; what is wanted otherwise waits for a decision.
            let (why, so_that) = match operation.action {
                OperationAction::Replace => (WhyNot::Blocked, "have it made anew"),
                _ => (WhyNot::Protected, "let it go"),
            };
            let hint = format!("name it to {so_that}: --delete {what:?}");
            self.skip(why, &what, operation.reason.clone(), Some(hint));
            return true;
        }
        false
    }

    /// The cluster and its pools go last, and only when nothing was kept back in them.
    pub(super) fn provider_removal(&mut self, operations: &[Operation]) {
        let unseen = self.goes_unseen(operations);
        let kept: Vec<String> = self
            .not_planned
            .iter()
            .filter(|entry| matches!(entry.why, WhyNot::Protected | WhyNot::Unseen | WhyNot::Blocked))
            .map(|entry| entry.what.clone())
            .chain(self.live.unseen.keys().cloned())
            .collect();
        let inside: Vec<StepId> = self.steps.keys().cloned().collect();
        let mut kept_here: Vec<String> = Vec::new();
        for operation in from_the_inside(operations) {
            let target = provider_target(&operation.target);
            // What a thing of the provider's needs to be gone first is what it holds.
            let holds_kept = operation.needs.iter().any(|need| kept_here.contains(&provider_target(need).to_string()));
            if !kept.is_empty() || holds_kept {
                let inside: Vec<&str> = kept.iter().chain(&kept_here).map(String::as_str).collect();
                let reason = format!("it still holds what is kept: {}", inside.join(", "));
                let hint = if self.options.delete.contains("all") {
                    "let those go first"
                } else {
                    "let those go first, or all of it: --delete all"
                };
                self.skip(WhyNot::Protected, &target, reason, Some(hint.into()));
                if kept.is_empty() {
                    kept_here.push(target.to_string());
                }
                continue;
            }
            if self.is_protected_provider(&target, operation) {
                // A pool that stays keeps its cluster, and a cluster its network.
                kept_here.push(target.to_string());
                continue;
            }
            let mut needs: BTreeSet<StepId> =
                operation.needs.iter().map(|need| step_id(&provider_target(need))).collect();
            needs.extend(inside.iter().cloned());
            let reason = match (&unseen, &target) {
                (Some(unseen), Target::Cluster(_)) => format!("{}; {unseen}", operation.reason),
                _ => operation.reason.clone(),
            };
            self.add(Step {
                id: step_id(&target),
                action: provider_action(operation.action),
                reason,
                needs,
                phase: Phase::Prune,
                expect: Expect::Provider,
                disruption: operation.disruption.clone(),
                diff: Vec::new(),
                holders: Vec::new(),
                estimated: None,
                at: None,
                deadline_seconds: operation.deadline_seconds,
                payload: Payload::Provider(Box::new(operation.clone())),
                target,
            });
        }
    }
}

/// Operations, each after those that it needs.
fn from_the_inside(operations: &[Operation]) -> Vec<&Operation> {
    let mut order: Vec<&Operation> = Vec::new();
    let mut left: Vec<&Operation> = operations.iter().collect();
    while !left.is_empty() {
        let waits =
            |operation: &&Operation| operation.needs.iter().any(|need| left.iter().any(|other| other.target == *need));
        let (later, ready): (Vec<&Operation>, Vec<&Operation>) = left.iter().partition(|operation| waits(operation));
        // A circle of needs cannot be: whoever made one gets them in the order they came.
        let ready = if ready.is_empty() { later.clone() } else { ready };
        left.retain(|operation| !ready.iter().any(|done| done.target == operation.target));
        order.extend(ready);
    }
    order
}

impl Draft<'_> {
    /// A cluster that does not answer goes with all that could not be looked at in it, where it is named, the provider alone
    /// can take it away, and the policy protects nothing that may be in it. What is said of it then.
    fn goes_unseen(&mut self, operations: &[Operation]) -> Option<String> {
        let ClusterState::Unknown(why) = &self.live.cluster else { return None };
        let cluster = operations.iter().find(|operation| {
            operation.action == OperationAction::Delete && matches!(operation.target, ProviderTarget::Cluster(_))
        })?;
        let what = provider_target(&cluster.target).to_string();
        if !self.options.may_delete(&what) || !self.desired.policy.protect.is_empty() {
            return None;
        }
        let (objects, releases) = (self.desired.objects.len(), self.desired.releases.len());
        let text = format!(
            "it could not be looked into ({}): the blueprint's {objects} objects and {releases} releases go with it as far as \
             they are there, and so does what others have in it",
            why.0
        );
        self.not_planned.retain(|entry| entry.why != WhyNot::Unseen);
        self.kept.clear();
        Some(text)
    }
}

pub(super) fn provider_target(target: &ProviderTarget) -> Target {
    match target {
        ProviderTarget::Cluster(name) => Target::Cluster(name.clone()),
        ProviderTarget::NodePool(name) => Target::NodePool(name.clone()),
        ProviderTarget::Part(id) => Target::Part(id.clone()),
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
