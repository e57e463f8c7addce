//! From the desired state to its checks.

use std::sync::Arc;

use super::{
    advertiser, api_server, autoscaler, canary, claims, closure, custom_resources, gang, gpus, identity, labels,
    launch, launch_mounts, limits, metrics, namespaces, nodes, pod_security, polling, preemption, priorities, quota,
    rbac, releases, sample_job, scale, secrets, server, service_accounts, shapes, smi, workloads,
};
use crate::desired::Desired;
use crate::verify::check::Check;

/// Every check that the desired state gives something to prove, in the order of reports.
pub(in crate::verify) fn derive(desired: &Desired) -> Vec<Arc<dyn Check>> {
    let mut checks = Vec::new();
    api_server::derive(desired, &mut checks);
    nodes::derive(desired, &mut checks);
    autoscaler::derive(desired, &mut checks);
    shapes::derive(desired, &mut checks);
    gpus::derive(desired, &mut checks);
    advertiser::derive(desired, &mut checks);
    labels::derive(desired, &mut checks);
    closure::derive_of_pools(desired, &mut checks);
    smi::derive(desired, &mut checks);
    metrics::derive(desired, &mut checks);
    namespaces::derive(desired, &mut checks);
    priorities::derive(desired, &mut checks);
    quota::derive(desired, &mut checks);
    limits::derive(desired, &mut checks);
    pod_security::derive(desired, &mut checks);
    service_accounts::derive(desired, &mut checks);
    identity::derive(desired, &mut checks);
    rbac::derive(desired, &mut checks);
    secrets::derive(desired, &mut checks);
    claims::derive(desired, &mut checks);
    custom_resources::derive(desired, &mut checks);
    releases::derive(desired, &mut checks);
    workloads::derive(desired, &mut checks);
    closure::derive_of_workloads(desired, &mut checks);
    server::derive(desired, &mut checks);
    launch::derive(desired, &mut checks);
    launch_mounts::derive(desired, &mut checks);
    polling::derive(desired, &mut checks);
    canary::derive(desired, &mut checks);
    sample_job::derive(desired, &mut checks);
    gang::derive(desired, &mut checks);
    preemption::derive(desired, &mut checks);
    scale::derive(desired, &mut checks);
    checks
}
