//! The checks, one promise a file, and their derivation from the desired state.

mod advertiser;
mod advertisers;
mod api_server;
mod autoscaler;
mod canary;
mod claims;
mod closure;
mod constraints;
mod custom_resources;
mod debug_pod;
mod derive;
mod gang;
mod gpus;
mod identity;
mod labels;
mod launch;
mod launch_mounts;
mod limits;
mod metrics;
mod namespaces;
mod nodes;
mod objects;
mod pod_security;
mod pods;
mod polling;
mod preemption;
mod priorities;
mod quota;
mod quota_probe;
mod rbac;
mod rbac_rules;
mod releases;
mod sample_job;
mod scale;
mod secrets;
mod server;
mod service_accounts;
mod settle;
mod shapes;
mod smi;
mod workloads;

pub(super) use advertiser::in_words as advertisers_in_words;
pub(super) use derive::derive;
pub(super) use objects::few;
use objects::{namespace, of_kind, texts};

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
pub(super) mod tests;
