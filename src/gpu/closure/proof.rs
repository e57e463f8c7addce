//! What the closure proof says: about each pool, each workload, and every chain that breaks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is proven of a platform. The schema is published in docs/proof.schema.json and kept current by a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Format of this document.
    pub format: u32,
    /// The blueprint's name.
    pub platform: String,
    /// Every kind of node: the pools, before they are there, or the nodes that are.
    pub pools: Vec<PoolProof>,
    /// Every workload.
    pub workloads: Vec<WorkloadProof>,
    /// Every chain that breaks.
    pub broken: Vec<Broken>,
    /// What could not be looked at, and why.
    pub unseen: Vec<Unseen>,
}

impl Proof {
    /// Whether nothing is broken.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }
}

/// The nodes of one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolProof {
    /// The pool, or the node that stands for those like it.
    pub name: String,
    /// The blueprint's pool that live nodes are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The fewest nodes.
    pub min: u32,
    /// The most nodes.
    pub max: u32,
    /// The accelerator's model, where it has one.
    pub accelerator: Option<String>,
    /// Taints, as kubectl writes them.
    pub taints: Vec<String>,
    /// Labels, with whoever writes each.
    pub labels: Vec<NodeLabel>,
    /// What a node offers.
    pub resources: Vec<NodeResource>,
    /// DaemonSets that land there.
    pub daemon_sets: Vec<String>,
}

/// A label of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeLabel {
    /// The key.
    pub key: String,
    /// The value; absent where only the live node knows it.
    pub value: Option<String>,
    /// Who writes it.
    pub from: String,
    /// Whether it is there from birth: what arrives later is not seen by a cluster autoscaler.
    pub at_birth: bool,
}

/// A resource of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeResource {
    /// Its name.
    pub name: String,
    /// What the node offers.
    pub allocatable: String,
    /// What is left of it beside the DaemonSets.
    pub left: String,
    /// Who advertises it.
    pub from: String,
}

/// What is proven of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It can run.
    Runs,
    /// It cannot run.
    Broken,
    /// It cannot be said.
    Unknown,
    /// A DaemonSet that lands nowhere and that nothing needs.
    Idle,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadProof {
    /// Which, as printed: `Deployment.apps team/tools`.
    pub what: String,
    /// Where it comes from.
    pub from: String,
    /// Where in the blueprint: `file:line:column`.
    pub at: Option<String>,
    /// The pool that it is tried on: verification's own Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_of: Option<String>,
    /// What is proven.
    pub standing: Standing,
    /// Where it can run, and where not where that matters.
    pub places: Vec<Place>,
}

/// A workload on a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The pool.
    pub pool: String,
    /// Whether it can run there.
    pub can: Can,
    /// Why, or why not.
    pub because: Vec<String>,
}

/// Whether a workload can run somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Can {
    /// It can.
    Yes,
    /// It cannot.
    No,
    /// It cannot be said.
    Unknown,
}

/// What sort of chain breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// GPUs of a pool that no pod can have.
    GpusNotAdvertised,
    /// A DaemonSet that a GPU pool needs does not land there.
    DaemonSetCannotLand,
    /// A workload that no pool can run.
    NoPool,
    /// A workload that only nodes can run that no autoscaler will ever add.
    ScaleFromZero,
    /// Two advertisers of one resource on one node.
    TwoAdvertisers,
    /// An advertiser of one vendor on nodes of another.
    WrongVendor,
    /// A quota that is smaller than one pod.
    Quota,
    /// A LimitRange with GPUs.
    LimitRange,
    /// A priority class that nothing makes.
    PriorityClass,
}

/// A chain that breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Broken {
    /// What sort.
    pub rule: Rule,
    /// What cannot be, in one line.
    pub what: String,
    /// Where in the blueprint: `file:line:column`.
    pub at: Option<String>,
    /// The chain up to its first broken link.
    pub chain: Vec<Link>,
    /// One concrete action.
    pub fix: String,
    /// The pool that the chain ends on, for the picture.
    pub pool: Option<String>,
    /// The workloads that it goes through, for the picture.
    pub workloads: Vec<String>,
}

/// One link of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Whether it holds.
    pub holds: bool,
    /// What it says.
    pub says: String,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unseen {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}
