//! What keeps operations from succeeding, and what is good to know, from facts that were looked up. Pure.

mod blocks;
mod places;
mod quotas;
mod versions;

use wbk_provider_api::{EksSpec, Finding, Operation, OperationAction, ProviderTarget, Wanted, Weight};

use crate::facts::{Facts, GroupNow};

/// What is known when a plan is made.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// What was looked up.
    pub facts: &'a Facts,
    /// Node groups of this platform's that are there.
    pub groups: &'a [GroupNow],
    /// Zones that the platform's nodes may be in: those of its network.
    pub zones: &'a [String],
    /// What is planned.
    pub operations: &'a [Operation],
}

impl Situation<'_> {
    fn cluster(&self) -> ProviderTarget {
        ProviderTarget::Cluster(self.wanted.cluster.name.clone())
    }

    fn region(&self) -> &str {
        self.wanted.cluster.region.as_deref().unwrap_or("REGION")
    }

    fn eks(&self) -> Option<&EksSpec> {
        self.wanted.cluster.eks.as_deref()
    }

    /// What is planned for a target; nothing for one that is removed.
    fn planned(&self, target: &ProviderTarget) -> Option<&Operation> {
        let alive = |operation: &&Operation| operation.action != OperationAction::Delete;
        self.operations.iter().filter(alive).find(|operation| operation.target == *target)
    }

    /// A finding that blocks where something is planned for the target, and is advice where nothing is.
    fn against(&self, target: ProviderTarget, says: String, hint: String) -> Finding {
        let weight = if self.planned(&target).is_some() { Weight::Blocks } else { Weight::Advice };
        Finding { target, weight, says, hint }
    }
}

/// All of it, the account first: with another account's credentials nothing else means anything.
pub fn findings(situation: &Situation<'_>) -> Vec<Finding> {
    if let Some(other) = account(situation) {
        return vec![other];
    }
    let mut found = versions::findings(situation);
    found.extend(places::findings(situation));
    found.extend(blocks::findings(situation));
    found.extend(quotas::findings(situation));
    found.extend(gaps(situation));
    found
}

fn account(situation: &Situation<'_>) -> Option<Finding> {
    let pinned = situation.eks()?.account.as_ref()?;
    let own = situation.facts.account.known()?;
    (own != pinned).then(|| Finding {
        target: situation.cluster(),
        weight: Weight::Blocks,
        says: format!("the credentials are of account {own}, and the blueprint is pinned to {pinned}"),
        hint: format!("use credentials of account {pinned} (AWS_PROFILE), or change `cluster.eks.account`"),
    })
}

/// What could not be looked up, in one sentence: whatever depends on it is not proved.
fn gaps(situation: &Situation<'_>) -> Option<Finding> {
    let gaps = situation.facts.gaps();
    let (_, why) = *gaps.first().filter(|_| !situation.operations.is_empty())?;
    let names: Vec<&str> = gaps.iter().map(|(name, _)| *name).collect();
    Some(Finding {
        target: situation.cluster(),
        weight: Weight::Advice,
        says: format!("not looked up, and so not checked: {} ({why})", names.join(", ")),
        hint: "give the credentials the rights that the message names".into(),
    })
}

#[cfg(test)]
mod tests;
