//! The trait that every provider implements.

use async_trait::async_trait;

use crate::{Capacity, Finding, Observed, Operation, ProviderKind, Wanted};

/// One way to get a cluster and its node pools.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Which it is.
    fn kind(&self) -> ProviderKind;

    /// Reads what is there. Never changes anything and never fails as a whole: what could not be read is Unknown.
    async fn observe(&self, wanted: &Wanted) -> Observed;

    /// As [`Provider::observe`], and what must be known before everything goes: what others made of it that would stay behind.
    async fn observe_to_remove(&self, wanted: &Wanted) -> Observed {
        self.observe(wanted).await
    }

    /// What is to be changed. Pure: no clock, no I/O; the same input gives the same operations.
    fn plan(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation>;

    /// What a reader of the plan should know, and what keeps `operations` from succeeding: quotas, stock, versions. Pure.
    fn preflight(&self, _wanted: &Wanted, _seen: &Observed, _operations: &[Operation]) -> Vec<Finding> {
        Vec::new()
    }

    /// What removes everything that is there and ours. Pure.
    fn plan_destroy(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation>;

    /// Makes one change and waits until it holds. Called twice with the same token, it is done once.
    ///
    /// # Errors
    /// Says what was left behind; a world that is not as `operation.expect` says is refused with nothing changed.
    async fn perform(
        &self,
        wanted: &Wanted,
        operation: &Operation,
        token: &str,
        progress: ProgressSink<'_>,
    ) -> Result<(), ProviderError>;

    /// How to reach the cluster's API server.
    ///
    /// # Errors
    /// The cluster is not there, not running, or not the pinned one.
    async fn access(&self, wanted: &Wanted) -> Result<Access, ProviderError>;

    /// What of the blueprint is still there after a destroy. Empty: nothing.
    async fn leftovers(&self, wanted: &Wanted) -> Vec<Leftover>;
}

/// Where progress goes; called from any thread.
pub type ProgressSink<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// What is being waited for now, one line for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress(pub String);

/// How to reach an API server: a kubeconfig in memory.
#[derive(Clone)]
pub struct Access {
    /// The kubeconfig; its credentials are secret, so this type prints none.
    pub kubeconfig: kube::config::Kubeconfig,
    /// The context in it to use.
    pub context: String,
    /// `true` where the nodes are simulated; everything printed about them says so.
    pub simulated_nodes: bool,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("context", &self.context)
            .field("simulated_nodes", &self.simulated_nodes)
            .finish_non_exhaustive()
    }
}

/// Something of ours that is still there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// What it is.
    pub what: String,
    /// Where, and how to remove it by hand.
    pub hint: String,
    /// What it goes on costing; absent where that is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
}

/// What something costs, in the words of lists of prices: a machine type, or a name in brackets for what is none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Costs {
    /// `g6.xlarge`, `(nat-gateway)`, `(gp3-gib)`.
    pub of: String,
    /// How it is paid for.
    pub capacity: Capacity,
    /// So many of it.
    pub count: u64,
}

/// What a failed operation left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeftBehind {
    /// Nothing was changed.
    Nothing,
    /// Some of it; the next apply finishes or removes it.
    Partial,
    /// It could not be found out.
    Unknown,
}

/// A provider could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct ProviderError {
    /// What was attempted on what: lowercase, no period, without the cause's text.
    pub attempted: String,
    /// What it left behind.
    pub left: LeftBehind,
    /// One concrete action for the user.
    pub hint: Option<String>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
