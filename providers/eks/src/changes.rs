//! What has to be done in AWS so that what is there becomes what is wanted, and what keeps that from succeeding. Pure.

mod clusters;
mod destroy;
mod groups;
mod parts;

pub use destroy::removal;
pub(crate) use groups::{pool_fingerprint, pool_seen, pools};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wbk_provider_api::{FieldDiff, Finding, Operation, ProviderTarget, Seen, Wanted, Weight};

use crate::marks::{Marks, digest};
use crate::wanted::{Platform, platform};
use crate::world::{ClusterFound, World};

/// Seconds after which a wait is given up. AWS says that a control plane takes ten minutes and more and a node group about five; half an
/// hour covers a slow day. A NAT gateway takes two to three minutes; IAM and addresses answer at once and settle within seconds.
const CLUSTER_SECONDS: u64 = 45 * 60;
const GROUP_SECONDS: u64 = 40 * 60;
const ADDON_SECONDS: u64 = 20 * 60;
const GATEWAY_SECONDS: u64 = 15 * 60;
const PART_SECONDS: u64 = 5 * 60;

/// Operations, and what is known about them beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The operations.
    pub operations: Vec<Operation>,
    /// What keeps them from succeeding, and what is good to know.
    pub findings: Vec<Finding>,
}

/// Works out what is to be done.
pub fn changes(wanted: &Wanted, world: &World) -> Changes {
    let mut draft = Draft {
        wanted,
        world,
        platform: platform(wanted, world),
        marks: Marks::of(wanted),
        changes: Changes::default(),
    };
    if let Seen::Unknown(_) = world.cluster {
        // Whatever is done needs to know whether there is a cluster.
        return draft.changes;
    }
    // Between node groups and Auto Mode everything differs: what serves the one is not taken away for the other.
    let turns = |found: &ClusterFound| found.ours && found.shape.auto_mode != draft.platform.cluster.auto_mode;
    if world.cluster.present().is_some_and(turns) {
        draft.cluster();
        return draft.changes;
    }
    draft.parts();
    draft.cluster();
    draft.groups();
    draft.gaps();
    draft.unseen_needs();
    draft.met_needs();
    draft.changes
}

struct Draft<'a> {
    wanted: &'a Wanted,
    world: &'a World,
    platform: Platform,
    marks: Marks,
    changes: Changes,
}

impl Draft<'_> {
    /// Whether the cluster is somebody else's, and the blueprint names it.
    fn is_given(&self) -> bool {
        self.spec_given().is_some()
    }

    /// The ARN by which the blueprint names it.
    fn spec_given(&self) -> Option<&str> {
        self.wanted.cluster.eks.as_ref().and_then(|eks| eks.given.as_deref())
    }

    fn cluster_target(&self) -> ProviderTarget {
        ProviderTarget::Cluster(self.wanted.cluster.name.clone())
    }

    fn block(&mut self, target: ProviderTarget, says: impl Into<String>, hint: impl Into<String>) {
        self.find(target, Weight::Blocks, says, hint);
    }

    fn advise(&mut self, target: ProviderTarget, says: impl Into<String>, hint: impl Into<String>) {
        self.find(target, Weight::Advice, says, hint);
    }

    fn find(&mut self, target: ProviderTarget, weight: Weight, says: impl Into<String>, hint: impl Into<String>) {
        self.changes.findings.push(Finding { target, weight, says: says.into(), hint: hint.into() });
    }

    /// What could not be worked out keeps a cluster from being made; one that is there only stays as it is.
    fn gaps(&mut self) {
        let hint = "look at what could not be seen, above, and plan again";
        for gap in self.platform.gaps.clone() {
            match self.world.cluster {
                Seen::Absent => self.block(self.cluster_target(), gap, hint),
                Seen::Present(_) | Seen::Unknown(_) => self.advise(self.cluster_target(), gap, hint),
            }
        }
        if !self.platform.gaps.is_empty() && self.world.cluster == Seen::Absent {
            // Nothing is paid for while it is open what the rest will be.
            let open: Vec<ProviderTarget> = self
                .changes
                .operations
                .iter()
                .filter(|operation| matches!(operation.target, ProviderTarget::Part(_)))
                .map(|operation| operation.target.clone())
                .collect();
            for target in open {
                self.block(target, "the cluster that it is for is not planned", hint);
            }
        }
    }

    /// An operation that needs what could not be seen is not run.
    fn unseen_needs(&mut self) {
        let mut found: BTreeMap<ProviderTarget, String> = BTreeMap::new();
        for operation in &self.changes.operations {
            for need in &operation.needs {
                if let ProviderTarget::Part(id) = need
                    && let Seen::Unknown(why) = self.world.part(id)
                {
                    found
                        .insert(operation.target.clone(), format!("it needs {id}, which could not be seen: {}", why.0));
                }
            }
        }
        for (target, says) in found {
            self.block(target, says, "give the rights that are missing, and plan again");
        }
    }

    /// What needs something that has no operation finds it there.
    fn met_needs(&mut self) {
        let targets: BTreeSet<ProviderTarget> =
            self.changes.operations.iter().map(|operation| operation.target.clone()).collect();
        for operation in &mut self.changes.operations {
            operation.needs.retain(|need| targets.contains(need));
        }
    }

    fn push(&mut self, operation: Operation) {
        self.changes.operations.push(operation);
    }
}

/// What a stale write is refused by: a digest of what was found.
pub(crate) fn fingerprint(found: &impl Serialize) -> String {
    digest(&serde_json::to_string(found).expect("what is found is plain data"))
}

/// Tags that are missing or say something else; foreign ones stay.
fn tag_differences(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>, at: &str) -> Vec<FieldDiff> {
    wanted
        .iter()
        .filter(|(key, value)| found.get(*key) != Some(value))
        .map(|(key, value)| FieldDiff {
            path: format!("{at}[{key}]"),
            old: found.get(key).map(|old| old.clone().into()),
            new: Some(value.clone().into()),
        })
        .collect()
}
