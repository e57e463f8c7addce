//! Credentials of image registries: one Secret in each namespace of agents and jobs, which every pod there uses.
//!
//! It hangs on the namespace's service account `default` and not on the queue's jobs: agents of SDK 0.28.1 and later run every job as
//! `default`, an agent with the old `registry:` block replaces what a queue says, and pods that no queue makes (a sweep, a debug pod)
//! pull from the same places. A pod that names pull secrets itself gets those alone (Kubernetes' service account admission).

use crate::blueprint::schema::Launch;
use crate::desired::{SecretSlot, SlotForm};

/// The Secret.
pub(super) const SECRET: &str = "wandb-registries";
/// Its type, and its only key.
pub(super) const KIND: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// What it holds.
pub(super) fn slots(launch: &Launch) -> Vec<SecretSlot> {
    let of = |registry: &crate::blueprint::schema::Registry| SecretSlot {
        form: SlotForm::Registry { server: registry.server.clone(), username: registry.username.clone() },
        ..SecretSlot::new(KEY, registry.password.clone())
    };
    launch.registries.iter().map(of).collect()
}

/// Whether a build's images go to one of the registries: then it logs in with the same Secret.
pub(in crate::desired) fn pushes_to(launch: &Launch, destination: &str) -> bool {
    let host = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        rest.split('/').next().unwrap_or_default().to_owned()
    };
    launch.registries.iter().any(|registry| host(&registry.server) == host(destination))
}
