//! The closure proof: from pool to taint, toleration, label, device plugin, allocatable and Job, on paper and on live nodes.

mod arrive;
mod directory;
mod explain;
mod group;
mod human;
mod live;
mod proof;
mod prove;
mod role;
mod workload;

pub use directory::{mounts_device_plugins, named_gpus};
pub use human::{human, one_broken, verdict as summary};
pub use live::{LiveNode, LiveObject, LiveQuestion, OF_THE_CLUSTER, prove_live};
pub use proof::{
    Broken, Can, Link, NodeLabel, NodeResource, Place, PoolProof, Proof, Rule, Standing, Unseen, WorkloadProof,
};
pub use prove::{Question, prove};
pub use workload::printed;
