//! What a verification creates, it removes: at its end, when it is interrupted, and what former runs left behind.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use serde_json::Value;

use super::api::{Api, Trouble};
use super::context::CheckContext;

/// Says on an object that a verification made it.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "wbk-infra-verify");
/// Says on an object for which blueprint it was made.
pub(super) const BLUEPRINT: &str = "wbk-infra/blueprint";

/// Covers the removal at the end: one DELETE for each sample Job, all at once. Small, because a person who pressed
/// Ctrl-C waits for it; what it does not reach ends and goes by the Job's own deadline and TTL.
const CLEAN_BOUND: Duration = Duration::from_secs(10);

/// Paths of objects that this run may have created and has not removed yet.
#[derive(Clone)]
pub(super) struct Litter {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    paths: Mutex<BTreeSet<String>>,
}

impl Litter {
    pub(super) fn new(client: Client) -> Self {
        Self { shared: Arc::new(Shared { client, paths: Mutex::default() }) }
    }

    /// Notes an object before its creation is asked for, so that no instant exists in which it would be forgotten.
    pub(super) fn note(&self, path: String) {
        self.shared.paths().insert(path);
    }

    /// Strikes out an object that its check removed itself.
    pub(super) fn forget(&self, path: &str) {
        self.shared.paths().remove(path);
    }

    /// Removes everything noted; what could not be removed stays noted and is returned with the reason.
    pub(super) async fn remove(&self) -> Vec<(String, Trouble)> {
        let paths: Vec<String> = self.shared.paths().iter().cloned().collect();
        let api = Api::new(self.shared.client.clone(), CLEAN_BOUND);
        let results = join_all(paths.into_iter().map(|path| async {
            let result = api.delete(&path).await;
            (path, result)
        }))
        .await;
        let mut left = Vec::new();
        for (path, result) in results {
            match result {
                Ok(()) => {
                    self.shared.paths().remove(&path);
                }
                Err(trouble) => left.push((path, trouble)),
            }
        }
        left
    }
}

impl Shared {
    fn paths(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // A set of strings is whole after any panic between its operations.
        self.paths.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Shared {
    /// The run's future was dropped before it could clean up: tries once more beside whatever goes on.
    fn drop(&mut self) {
        let paths = std::mem::take(&mut *self.paths());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if paths.is_empty() {
            return;
        }
        let api = Api::new(self.client.clone(), CLEAN_BOUND);
        runtime.spawn(async move {
            // Nobody is left to be told; the Jobs' own deadline and TTL remove what this does not.
            let _attempts = join_all(paths.iter().map(|path| api.delete(path))).await;
        });
    }
}

/// Removes the Jobs of former runs for this blueprint, finished or not, so that they neither hold GPUs nor count
/// against a quota. Two verifications of one blueprint at the same time therefore end each other's Jobs; the one
/// that loses a Job reports that as inconclusive. Returns what was removed, as `namespace/name`.
pub(super) async fn sweep(cx: &CheckContext, namespace: &str) -> Result<Vec<String>, Trouble> {
    let api = cx.api();
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let selector = format!("{}={},{BLUEPRINT}={}", MANAGED_BY.0, MANAGED_BY.1, label_value(&cx.desired.name));
    let mut removed = Vec::new();
    for job in api.list_metadata(&path, &selector).await? {
        if let Some(name) = job.pointer("/metadata/name").and_then(Value::as_str) {
            api.delete(&format!("{path}/{name}")).await?;
            removed.push(format!("{namespace}/{name}"));
        }
    }
    Ok(removed)
}

/// A blueprint's name as a label's value: at most 63 characters of those allowed.
pub(super) fn label_value(name: &str) -> String {
    let kept: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(63)
        .collect();
    kept.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_always_allowed_ones() {
        assert_eq!(label_value("research"), "research");
        assert_eq!(label_value("-a b-"), "a-b");
        assert_eq!(label_value(&"x".repeat(80)).len(), 63);
    }
}
