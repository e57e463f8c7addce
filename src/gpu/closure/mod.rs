//! The closure proof: from pool to taint, toleration, label, device plugin, allocatable and Job, on paper.

mod arrive;
mod explain;
mod group;
mod human;
mod proof;
mod prove;
mod role;
mod workload;

pub use human::{human, one_broken, verdict as summary};
pub use proof::{
    Broken, Can, Link, NodeLabel, NodeResource, Place, PoolProof, Proof, Rule, Standing, Unseen, WorkloadProof,
};
pub use prove::{Question, prove, prove_live};
