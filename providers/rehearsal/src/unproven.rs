//! What a rehearsal of a platform does not prove, in words.

use wbk_provider_api::{ProviderKind, Wanted};

/// Every promise that a rehearsal on this version of Kubernetes (`1.36.3`, where a control plane came up) leaves open, one
/// sentence each; never empty.
pub fn unproven(wanted: &Wanted, kubernetes: Option<&str>) -> Vec<String> {
    let provider = wanted.cluster.provider;
    let mut open = Vec::new();
    let is_played = |version: &str| {
        kubernetes.is_some_and(|played| {
            played.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    if let Some(version) = wanted.cluster.version.as_deref().filter(|version| !is_played(version)) {
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
