//! The provider's part: the cluster and its node pools.

use std::collections::BTreeSet;

use wbk_provider_api::{Disruption, Operation, OperationAction, ProviderTarget, Seen};

use super::{Draft, step_id};
use crate::{
    live::ClusterState,
    plan::{Action, Expect, Payload, Phase, Step, StepId, Target, WhyNot},
};

impl Draft<'_> {
    pub(super) fn provider(&mut self, operations: &[Operation]) {
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
        let (pools, clusters): (Vec<&Operation>, Vec<&Operation>) =
            operations.iter().partition(|operation| matches!(operation.target, ProviderTarget::NodePool(_)));
        let mut kept_pools: Vec<String> = Vec::new();
        for operation in pools.into_iter().chain(clusters) {
            let target = provider_target(&operation.target);
            let holds_pools = matches!(target, Target::Cluster(_)) && !kept_pools.is_empty();
            if !kept.is_empty() || holds_pools {
                let inside: Vec<&str> = kept.iter().chain(&kept_pools).map(String::as_str).collect();
                let reason = format!("it still holds what is kept: {}", inside.join(", "));
                let hint = if self.options.delete.contains("all") {
                    "let those go first"
                } else {
                    "let those go first, or all of it: --delete all"
                };
                self.skip(WhyNot::Protected, &target, reason, Some(hint.into()));
                continue;
            }
            if self.is_protected_provider(&target, operation) {
                // A pool that stays keeps its cluster.
                kept_pools.push(target.to_string());
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
                payload: Payload::Provider(operation.clone()),
                target,
            });
        }
    }
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
