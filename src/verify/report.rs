//! What a verification found, and its formats.

pub(super) mod ctrf;
pub(super) mod html;
pub(super) mod human;
pub(super) mod json;
pub(super) mod junit;
pub(super) mod markdown;
mod picture;
mod sight;

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::check::{Check, CheckId, Outcome};
use crate::cost::CostReport;
use crate::desired::Origin;
use crate::gpu::Proof;
pub use sight::{Landing, NodeGpus, NodeSight, PoolSight};

/// One check's result.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Entry {
    /// Which check.
    pub id: CheckId,
    /// Its promise.
    pub title: String,
    /// Where the promise stands in the blueprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    #[serde(rename = "durationMs", serialize_with = "as_millis")]
    #[schemars(with = "u64")]
    pub duration: Duration,
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

/// Milliseconds of a duration; a run of 500 million years would be cut.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Entry {
    /// The entry of a check that ended so, after so long.
    pub fn new(check: &dyn Check, outcome: Outcome, duration: Duration) -> Self {
        Self { id: check.id(), title: check.title(), origin: check.origin(), outcome, duration }
    }
}

/// All results of one verification.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The blueprint's name.
    pub blueprint: String,
    /// The provider of its cluster.
    pub provider: String,
    /// The cluster's name.
    pub cluster: String,
    /// Whether the nodes are simulated; what is proved on such nodes is the control plane's part.
    pub nodes_simulated: bool,
    /// When it began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started: Timestamp,
    /// When it ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished: Timestamp,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// What else a person should know: leftovers found, leftovers left.
    pub notes: Vec<String>,
    /// The pools and their nodes as they were at the end.
    pub pools: Vec<PoolSight>,
    /// Where pods of checks landed.
    pub landings: Vec<Landing>,
    /// The closure proof on the live nodes, for the picture; a document of its own, which `explain gpu` prints of the paper.
    #[serde(skip)]
    pub proof: Option<Proof>,
    /// What the platform costs, for the picture; a document of its own, which `cost` prints.
    #[serde(skip)]
    pub cost: Option<CostReport>,
    /// The checks, in the suite's order.
    #[serde(rename = "checks")]
    pub entries: Vec<Entry>,
}

/// Numbers of outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Summary {
    /// Promises that hold.
    pub passed: usize,
    /// Promises that do not.
    pub failed: usize,
    /// Promises that could not be proved or disproved.
    pub inconclusive: usize,
    /// Checks with nothing to prove.
    pub skipped: usize,
}

/// What a verification says as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every promise that could be looked at holds, and each could be.
    Pass,
    /// At least one promise does not hold.
    Fail,
    /// None is broken, and at least one could not be looked at.
    Inconclusive,
}

impl Verdict {
    /// The process' exit code: 0, 5 for a failed check, 6 for a doubt.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 5,
            Self::Inconclusive => 6,
        }
    }
}

impl Report {
    /// Counts the outcomes.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for entry in &self.entries {
            match entry.outcome {
                Outcome::Pass { .. } => summary.passed += 1,
                Outcome::Fail { .. } => summary.failed += 1,
                Outcome::Inconclusive { .. } => summary.inconclusive += 1,
                Outcome::Skipped { .. } => summary.skipped += 1,
            }
        }
        summary
    }

    /// Any failure makes it fail; else any doubt makes it inconclusive. Nothing looked at at all is a pass only where
    /// there was nothing to look at.
    pub fn verdict(&self) -> Verdict {
        let Summary { passed: _, failed, inconclusive, skipped: _ } = self.summary();
        match (failed, inconclusive) {
            (0, 0) => Verdict::Pass,
            (0, _) => Verdict::Inconclusive,
            (_, _) => Verdict::Fail,
        }
    }

    /// The entries by section, sections in the order in which they first come.
    pub fn sections(&self) -> Vec<(&str, Vec<&Entry>)> {
        let mut sections: Vec<(&str, Vec<&Entry>)> = Vec::new();
        for entry in &self.entries {
            let name = entry.id.section();
            match sections.iter_mut().find(|(section, _)| *section == name) {
                Some((_, entries)) => entries.push(entry),
                None => sections.push((name, vec![entry])),
            }
        }
        sections
    }
}

/// One line that sums up: `12 passed, 1 failed, 0 inconclusive, 2 skipped`.
impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, failed, inconclusive, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {inconclusive} inconclusive, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests;
