//! What a verification creates, it removes: at its end, when it is interrupted, and what dead runs left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use super::api::{Api, Trouble};
use super::context::CheckContext;
use super::{heartbeat, marks};
use crate::cluster::text;

/// Covers the removal at the end: one DELETE for each thing, all at once. Small, because a person who pressed Ctrl-C
/// waits for it; what it does not reach ends by its own deadline, and goes with the next verification.
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
            // Nobody is left to be told; the next verification removes what this does not.
            let _attempts = join_all(paths.iter().map(|path| api.delete(path))).await;
        });
    }
}

/// The kinds that checks make, as group and plural; all are namespaced. PodGroups are there only where Volcano is.
const KINDS: [(&str, &str); 4] = [
    ("/apis/batch/v1", "jobs"),
    ("/api/v1", "pods"),
    ("/apis/scheduling.volcano.sh/v1beta1", "podgroups"),
    ("/apis/coordination.k8s.io/v1", "leases"),
];

/// What looking for leftovers found.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// What was removed, `Job namespace/name`-like.
    pub(super) removed: Vec<String>,
    /// Runs that go on, with the number of things that they have now.
    pub(super) alive: BTreeMap<String, usize>,
    /// What could not be looked for or removed, and why.
    pub(super) troubles: Vec<String>,
}

/// Removes what dead runs for this blueprint left, in every namespace that the caller may see, so that it neither holds
/// GPUs nor counts against a quota. What belongs to a run that goes on is left alone.
pub(super) async fn sweep(cx: &CheckContext) -> Swept {
    let api = cx.api();
    let selector = marks::selector(&cx.desired.name);
    // Leases last: a run makes its Lease before anything else, so that an object of a living run is never seen here
    // without it.
    let (last, first) = KINDS.split_last().expect("there are kinds");
    let mut lists = join_all(first.iter().map(|(root, plural)| listed(cx, &api, root, plural, &selector))).await;
    lists.push(listed(cx, &api, last.0, last.1, &selector).await);
    let mut swept = Swept::default();
    let mut found: Vec<Vec<Value>> = Vec::new();
    for ((_, plural), list) in KINDS.iter().zip(lists) {
        found.push(list.unwrap_or_else(|trouble| {
            swept.troubles.push(format!("could not look for {plural} of former runs: {trouble}"));
            Vec::new()
        }));
    }
    let leases: Vec<Value> = found[KINDS.len() - 1].clone();
    for (objects, (root, plural)) in found.into_iter().zip(KINDS) {
        let mut dead = Vec::new();
        for object in objects {
            // The pods of a Job go with their Job.
            if object.pointer("/metadata/ownerReferences").is_some() {
                continue;
            }
            let run = object.pointer("/metadata/labels").and_then(|labels| labels.get(marks::RUN)?.as_str());
            match run {
                Some(run) if run == cx.run => {}
                Some(run) if is_alive(cx, &object, &leases) => {
                    *swept.alive.entry(run.to_owned()).or_default() += usize::from(plural != "leases");
                }
                Some(_) | None => dead.push(object),
            }
        }
        let removals = join_all(dead.iter().map(|object| {
            let (space, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
            let (api, path) = (&api, format!("{root}/namespaces/{space}/{plural}/{name}"));
            async move { (format!("{plural} {space}/{name}"), api.delete(&path).await) }
        }));
        for (what, removal) in removals.await {
            match removal {
                Ok(()) if plural == "leases" => {}
                Ok(()) => swept.removed.push(what),
                Err(trouble) => swept.troubles.push(format!("could not remove {what} of a former run: {trouble}")),
            }
        }
    }
    swept
}

/// Whether the run that made an object goes on: by its Lease, or by the deadline on the object where it has none.
fn is_alive(cx: &CheckContext, object: &Value, leases: &[Value]) -> bool {
    let annotation = |key: &str| object.pointer("/metadata/annotations").and_then(|all| all.get(key)?.as_str());
    let now: Timestamp = cx.now();
    let run = |object: &Value| object.pointer("/metadata/labels").and_then(|labels| labels.get(marks::RUN)).cloned();
    let held = leases.iter().find(|lease| run(lease) == run(object));
    match (held, annotation(marks::LEASE)) {
        (Some(lease), _) => !heartbeat::is_dead(lease, cx.options.holder.as_ref(), now),
        // Its run ended, and this was left.
        (None, Some(_)) => false,
        (None, None) => annotation(marks::UNTIL).and_then(|until| until.parse().ok()).is_some_and(|until| now < until),
    }
}

/// Objects of verifications in all namespaces; in those where Jobs run where the caller may not see all. Leases are read
/// whole, since when they were renewed is what counts.
async fn listed(cx: &CheckContext, api: &Api, root: &str, plural: &str, selector: &str) -> Result<Vec<Value>, Trouble> {
    let list = async |path: String| match plural {
        "leases" => api.list(&path, selector).await,
        _ => api.list_metadata(&path, selector).await,
    };
    match list(format!("{root}/{plural}")).await {
        Err(Trouble::NotFound { .. }) => Ok(Vec::new()),
        Err(Trouble::Forbidden { .. }) => {
            let mut all = Vec::new();
            for space in &cx.desired.promises.job_namespaces {
                match list(format!("{root}/namespaces/{space}/{plural}")).await {
                    Ok(found) => all.extend(found),
                    Err(Trouble::NotFound { .. }) => {}
                    Err(trouble) => return Err(trouble),
                }
            }
            Ok(all)
        }
        result => result,
    }
}
