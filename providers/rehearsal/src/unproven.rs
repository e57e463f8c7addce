//! What a rehearsal of a platform does not prove, in words.

use wbk_provider_api::{ProviderKind, Wanted};

/// Every promise that a rehearsal leaves open, one sentence each; never empty.
pub fn unproven(wanted: &Wanted) -> Vec<String> {
    let provider = wanted.cluster.provider;
    let mut open = Vec::new();
    if let Some(version) = &wanted.cluster.version {
        open.push(format!(
            "that everything works on Kubernetes {version}: the rehearsal runs the version that this program brings"
        ));
    }
    match provider {
        ProviderKind::Gke | ProviderKind::Eks | ProviderKind::Aks => {
            open.push(format!("that {provider} accepts the requests: permissions, quotas and capacity of the account are not asked"));
            open.push("network, load balancers, storage drivers and cloud identities".into());
        }
        ProviderKind::Existing => open.push(
            "what the cluster has already: the rehearsal begins with an empty one, without its nodes and admission webhooks".into(),
        ),
        ProviderKind::Kind | ProviderKind::Local => {}
    }
    open.push("that images can be pulled and programs in them run: simulated nodes pull and run nothing".into());
    if wanted.pools.values().any(|pool| pool.shape.gpu.is_some()) {
        open.push("GPU drivers and the container runtime's GPU support: GPUs are simulated".into());
    }
    for (name, pool) in &wanted.pools {
        if pool.size.min == 0 {
            open.push(format!(
                "that pool {name} grows from zero: it has a node in the rehearsal, and no autoscaler was asked"
            ));
        }
    }
    open.push("the values of secrets: stand-ins are used, and nothing is read from this machine".into());
    open
}
