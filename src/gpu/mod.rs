//! Whether GPU Jobs will run, before any node is paid for: a model of the scheduler ([`scheduler`]), and what it says about a
//! blueprint ([`prove`]) or about a live cluster ([`prove_live`]).
//!
//! Pure: the same blueprint and charts give the same proof. Not here: rendering charts, reading clusters, printing.

mod closure;
mod picture;
pub mod scheduler;

pub use closure::{
    Broken, Can, Link, LiveNode, LiveObject, LiveQuestion, NodeLabel, NodeResource, OF_THE_CLUSTER, Place, PoolProof,
    Proof, Question, Rule, Standing, Unseen, WorkloadProof, human, mounts_device_plugins, named_gpus, one_broken,
    printed, prove, prove_live, summary,
};
pub use picture::{html as picture_html, svg as picture_svg};
