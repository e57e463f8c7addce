//! The checks, one promise a file, and their derivation from the desired state.

mod api_server;
mod claims;
mod constraints;
mod custom_resources;
mod gpus;
mod limits;
mod namespaces;
mod nodes;
mod pod_security;
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

use std::sync::Arc;

use serde_json::Value;
use wbk_provider_api::PoolSpec;

use super::check::Check;
use crate::desired::{Desired, DesiredObject};

/// Every check that the desired state gives something to prove, in the order of reports.
pub(super) fn derive(desired: &Desired) -> Vec<Arc<dyn Check>> {
    let mut checks = Vec::new();
    api_server::derive(desired, &mut checks);
    nodes::derive(desired, &mut checks);
    gpus::derive(desired, &mut checks);
    namespaces::derive(desired, &mut checks);
    priorities::derive(desired, &mut checks);
    quota::derive(desired, &mut checks);
    limits::derive(desired, &mut checks);
    pod_security::derive(desired, &mut checks);
    service_accounts::derive(desired, &mut checks);
    rbac::derive(desired, &mut checks);
    secrets::derive(desired, &mut checks);
    claims::derive(desired, &mut checks);
    custom_resources::derive(desired, &mut checks);
    releases::derive(desired, &mut checks);
    workloads::derive(desired, &mut checks);
    sample_job::derive(desired, &mut checks);
    checks
}

/// The desired objects of one kind.
fn of_kind<'a>(desired: &'a Desired, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a DesiredObject> {
    desired.objects.iter().filter(move |object| object.id.gvk.group == group && object.id.gvk.kind == kind)
}

/// The namespace of a desired object; `default` where a namespaced one names none, as the API server reads it.
fn namespace(object: &DesiredObject) -> &str {
    object.id.namespace.as_deref().unwrap_or("default")
}

/// The label that says to which pool of a blueprint a node belongs.
const POOL_LABEL: &str = "wbk-infra/pool";

/// The selector that takes in the nodes of a pool: the pool label, or all its labels where the pool has no such label.
fn pool_selector(pool: &PoolSpec) -> String {
    match pool.labels.get(POOL_LABEL) {
        Some(value) => format!("{POOL_LABEL}={value}"),
        None => pool.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","),
    }
}

/// Names for a sentence: the first few, and how many more.
fn few<S: AsRef<str>>(names: &[S]) -> String {
    /// As many as a line of a terminal holds.
    const SHOWN: usize = 5;
    let mut out = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        out.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    out
}

/// A map of texts at a pointer of an object.
fn texts(object: &Value, pointer: &str) -> std::collections::BTreeMap<String, String> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
