//! One change that a provider makes: data, so that it can be printed, saved and run later.

use serde::{Deserialize, Serialize};

/// What a provider changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "name")]
pub enum ProviderTarget {
    /// The cluster.
    Cluster(String),
    /// A node pool.
    NodePool(String),
}

impl std::fmt::Display for ProviderTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::NodePool(name) => write!(f, "node pool {name}"),
        }
    }
}

/// How a provider changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationAction {
    /// It is not there and shall be.
    Create,
    /// It is there and not running.
    Start,
    /// It changes in place.
    Update,
    /// It cannot change in place.
    Replace,
    /// It shall not be there.
    Delete,
}

impl OperationAction {
    /// The word for it in a sentence: "cannot create …".
    pub fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Delete => "delete",
        }
    }
}

/// Whom a change disturbs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "what")]
pub enum Disruption {
    /// Nobody.
    None,
    /// Pods restart one after the other.
    Rolling,
    /// Running pods are stopped; the text says which.
    Stops(String),
    /// Data is lost; the text says what.
    LosesData(String),
}

/// One field that differs. Values are JSON; a secret's are never here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDiff {
    /// Path as a person writes it: `spec.replicas`, `containers[main].image`.
    pub path: String,
    /// What is there; `None` where nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<serde_json::Value>,
    /// What shall be there; `None` where nothing shall be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<serde_json::Value>,
}

/// One change, ready to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What it does.
    pub action: OperationAction,
    /// To what.
    pub target: ProviderTarget,
    /// Why, one sentence.
    pub reason: String,
    /// The fields that differ.
    pub diff: Vec<FieldDiff>,
    /// Whom it disturbs.
    pub disruption: Disruption,
    /// What the world must still look like (a fingerprint of [`crate::Observed`]); empty where nothing is there yet.
    pub expect: String,
    /// Targets that must be done before, of this provider.
    pub needs: Vec<ProviderTarget>,
    /// Seconds after which it is given up; a judgement of the provider, stated where it makes it.
    pub deadline_seconds: u64,
}
