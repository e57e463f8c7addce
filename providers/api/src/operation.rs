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
    /// Something else that they need.
    Part(PartId),
}

/// Names a thing of a provider's that is neither cluster nor node pool.
///
/// In JSON one string, `IAM role/research-node`, so that it can be a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PartId {
    /// What sort of thing it is, in the cloud's own word, as printed: `subnet`, `IAM role`, `add-on`.
    pub sort: String,
    /// Its name among its sort.
    pub name: String,
}

impl PartId {
    /// Names one.
    pub fn new(sort: &str, name: impl Into<String>) -> Self {
        Self { sort: sort.to_owned(), name: name.into() }
    }
}

impl From<PartId> for String {
    fn from(id: PartId) -> Self {
        format!("{}/{}", id.sort, id.name)
    }
}

impl TryFrom<String> for PartId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (sort, name) = text.split_once('/').ok_or_else(|| format!("{text:?} is no `sort/name`"))?;
        Ok(Self::new(sort, name))
    }
}

impl std::fmt::Display for PartId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.sort, self.name)
    }
}

impl std::fmt::Display for ProviderTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::NodePool(name) => write!(f, "node pool {name}"),
            Self::Part(id) => id.fmt(f),
        }
    }
}

/// What in the cluster waits for a provider's operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// Nothing: whatever else needs it says so itself.
    #[default]
    Nothing,
    /// Everything in the cluster: without it there is none.
    Everything,
    /// Whatever runs pods: without it they do not run, or run without what they need.
    Pods,
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
    /// What in the cluster waits for it.
    #[serde(default)]
    pub gate: Gate,
    /// What the provider works from, in its own words: complete, so that nothing is derived anew.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub content: serde_json::Value,
    /// Seconds after which it is given up; a judgement of the provider, stated where it makes it.
    pub deadline_seconds: u64,
}

impl Operation {
    /// One that needs nothing, changes no named field and disturbs nobody; what differs is said in the literal around it.
    pub fn new(
        action: OperationAction,
        target: ProviderTarget,
        reason: impl Into<String>,
        deadline_seconds: u64,
    ) -> Self {
        let gate = match (&target, action) {
            (_, OperationAction::Delete) | (ProviderTarget::Part(_), _) => Gate::Nothing,
            (ProviderTarget::Cluster(_), _) => Gate::Everything,
            (ProviderTarget::NodePool(_), OperationAction::Create | OperationAction::Replace) => Gate::Pods,
            (ProviderTarget::NodePool(_), OperationAction::Start | OperationAction::Update) => Gate::Nothing,
        };
        Self {
            action,
            target,
            reason: reason.into(),
            diff: Vec::new(),
            disruption: Disruption::None,
            expect: String::new(),
            needs: Vec::new(),
            gate,
            content: serde_json::Value::Null,
            deadline_seconds,
        }
    }
}
