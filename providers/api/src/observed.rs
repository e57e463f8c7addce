//! What was seen of a cluster and its node pools.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{PartId, PoolSpec};

/// Something looked for: not there, there, or not to be seen. Unknown is never treated as absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "value")]
pub enum Seen<T> {
    /// Looked for and not there.
    Absent,
    /// There.
    Present(T),
    /// Could not be seen, and why.
    Unknown(Why),
}

impl<T> Seen<T> {
    /// The thing, where it is there.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// Why something could not be seen: one sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Why(pub String);

/// All that a provider saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The cluster.
    pub cluster: Seen<ClusterSeen>,
    /// Node pools by name: those wanted, and those that are ours by their marks.
    pub pools: BTreeMap<String, Seen<PoolSeen>>,
    /// Everything else that is wanted or ours: networks, roles, add-ons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<PartId, Seen<PartSeen>>,
    /// What somebody else put where only the blueprint's things should be, a node group in its cluster: drift, and never touched.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub foreign: BTreeSet<PartId>,
    /// What the provider looked up for its own planning (what the region offers, quotas); its own shape.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub facts: serde_json::Value,
}

impl Observed {
    /// A cluster and its pools, and nothing beside them.
    pub fn of(cluster: Seen<ClusterSeen>, pools: BTreeMap<String, Seen<PoolSeen>>) -> Self {
        Self { cluster, pools, parts: BTreeMap::new(), foreign: BTreeSet::new(), facts: serde_json::Value::Null }
    }
}

/// A network, a role, an add-on that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSeen {
    /// The cloud's own name of it: an id or an ARN.
    pub id: String,
    /// What of it is in the way, in words: a state that failed, an issue that the cloud reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<String>,
    /// What a stale write is refused by.
    pub fingerprint: String,
}

/// A cluster that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSeen {
    /// Kubernetes version, `1.36.3`.
    pub version: Option<String>,
    /// Whether its API server can be asked now; a stopped local cluster is there and not running.
    pub running: bool,
    /// What the cloud would refuse a stale write by (etag, generation); empty where there is none.
    pub fingerprint: String,
    /// What of it is not as wanted and cannot be changed while it lives: only making it anew does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<crate::FieldDiff>,
}

/// A node pool that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSeen {
    /// As it was found, in the words of what is wanted; parts that could not be read are those of the nodes.
    pub spec: PoolSpec,
    /// Nodes that exist.
    pub nodes: u32,
    /// Differences between single nodes and the pool, in words: a label edited by hand, a missing node.
    pub deviations: Vec<crate::FieldDiff>,
    /// Pods of Jobs that run on its nodes, `namespace/name` by node: whom removing a node would stop.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<String, Vec<String>>,
    /// What a stale write is refused by.
    pub fingerprint: String,
}
