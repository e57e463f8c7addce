//! The checks, one promise a file, and their derivation from the desired state.

mod api_server;
mod claims;
mod constraints;
mod custom_resources;
mod derive;
mod gpus;
mod limits;
mod namespaces;
mod nodes;
mod objects;
mod pod_security;
mod pools;
mod priorities;
mod quota;
mod quota_probe;
mod rbac;
mod rbac_rules;
mod releases;
mod sample_job;
mod secrets;
mod service_accounts;
mod settle;
mod workloads;

pub(super) use derive::derive;
use objects::{few, namespace, of_kind, texts};
use pools::{POOL_LABEL, pool_selector};

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
