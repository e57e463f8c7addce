//! What a provider knows about operations before any of them is run.

use serde::{Deserialize, Serialize};

use crate::ProviderTarget;

/// Something that a reader of the plan should know about one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub target: ProviderTarget,
    /// What follows from it.
    pub weight: Weight,
    /// What there is to know, one sentence.
    pub says: String,
    /// One concrete action.
    pub hint: String,
}

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The operation would fail: it is not planned, and nothing that needs it is.
    Blocks,
    /// It is good to know.
    Advice,
}
