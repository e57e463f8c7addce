//! A rehearsed cloud: the cluster is a real control plane of the local provider, its nodes are simulated with the labels and
//! taints that the cloud's nodes would have ([`wbk_provider_api::birth`]), what the cloud itself runs in a cluster is there
//! as stand-ins, and its verbs fail as a cloud's do where that was asked for ([`Fault`]).
//!
//! Not here: prices, quotas of accounts, IAM, drivers. What a rehearsal cannot prove is listed by [`unproven`].

mod fault;
mod provider;
mod shape;
mod system;
mod unproven;

pub use fault::{Fault, FaultError};
pub use provider::{Rehearsal, RehearsalProvider};
pub use shape::rehearsed;
pub use system::install;
pub use unproven::unproven;
