//! What an operation works from: complete, so that `perform` derives nothing anew.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::part::Part;
use crate::shape::{ClusterShape, GroupShape};

/// The content of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Content {
    /// A part as it shall be; for a deletion, as it is.
    Part {
        /// It.
        part: Part,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// The cluster as it shall be.
    Cluster {
        /// It.
        shape: ClusterShape,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// A node group as it shall be.
    Group(Box<GroupContent>),
    /// Node groups of a pool that go, by name.
    Groups(BTreeSet<String>),
    /// The cluster goes, or is waited for.
    Nothing,
}

/// A node group as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupContent {
    /// Its name.
    pub name: String,
    /// It.
    pub shape: GroupShape,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What the autoscaler reads on the Auto Scaling group behind it.
    pub scaling_tags: BTreeMap<String, String>,
    /// Groups of the same pool that go when it is there and their pods have moved, by name.
    pub replaces: BTreeSet<String>,
    /// Groups of the same pool that failed before they had a node, and go before anything is made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub clears: BTreeSet<String>,
    /// Where else such nodes may be had, should EC2 have none: what to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
}
