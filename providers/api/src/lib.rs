//! The vocabulary that the planner and every provider share: what a cluster and its node pools are wanted to be
//! ([`ClusterSpec`], [`PoolSpec`]), what was seen of them ([`Seen`]), and the one trait through which a provider
//! reads ([`Provider::observe`]), plans ([`Provider::plan`], pure) and acts ([`Provider::perform`]).
//!
//! Not here: anything of one cloud, any SDK, anything about objects inside a cluster.

mod birth;
#[cfg(feature = "contract")]
pub mod contract;
mod diff;
mod eks;
mod finding;
mod node;
mod observed;
mod operation;
mod provider;
mod spec;
mod words;

pub use birth::{
    Birth, SystemWorkload, birth, gce_accelerator, is_graviton, node_taints, rehearsed_place, system_workloads,
};
pub use diff::differences;
pub use eks::{
    EksAccess, EksAddon, EksAuthentication, EksAutoscaler, EksDisk, EksEndpoint, EksIdentity, EksIdentityWay, EksNat,
    EksNetwork, EksPool, EksSpec, EksSupport,
};
pub use finding::{Finding, Weight};
pub use node::{NodeMarks, taints_of, to_node_taints};
pub use observed::{ClusterSeen, Observed, PartSeen, PoolSeen, Seen, Why};
pub use operation::{Disruption, FieldDiff, Gate, Operation, OperationAction, PartId, ProviderTarget};
pub use provider::{Access, Costs, LeftBehind, Leftover, Progress, ProgressSink, Provider, ProviderError};
pub use spec::{
    Accelerator, Capacity, ClusterSpec, GpuShape, KindSpec, PoolSize, PoolSpec, ProviderKind, Shape, Taint,
    TaintEffect, Wanted,
};
pub use words::{ServerWords, in_words, server_words};
