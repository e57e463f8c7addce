//! One writer at a time: a Lease in the cluster, renewed while the apply runs, with an epoch that grows with each holder.
//!
//! A killed apply leaves its Lease until it runs out. A later one on the same machine sees that the holder's process is
//! gone and takes over at once; on another machine it watches the Lease for one term and takes over if nobody renewed it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use super::event::{Event, EventSink};
use crate::{
    cluster::{Cluster, ClusterError, ErrorKind, Marks, system_namespace},
    holder::{Holder, spoken},
};

/// How long a holder may be silent. Renewals come three times in a term, so that one lost request does not lose the Lease;
/// a busy 2-core API server answered within 1 s in all runs, and 15 s leaves room for its restart.
const TERM: Duration = Duration::from_secs(15);

/// How long an emptied namespace takes to go: 5 to 11 s were seen on a busy machine.
const NAMESPACE_REMOVAL: Duration = Duration::from_secs(60);

/// The Lease cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else applies this blueprint now.
    #[error("another apply of this blueprint is under way: {holder}, since {since}")]
    Held {
        /// Host and process.
        holder: String,
        /// When it began.
        since: String,
    },
    /// The API server.
    #[error("hold the lease of this blueprint")]
    Cluster(#[source] ClusterError),
}

impl From<ClusterError> for LeaseError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

/// A held Lease. Dropping it stops the renewal; [`Lease::release`] hands it back.
#[derive(Debug)]
pub struct Lease {
    cluster: Cluster,
    path: String,
    identity: String,
    epoch: u64,
    lost: Arc<AtomicBool>,
    renewal: tokio::task::JoinHandle<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Lease {
    /// Takes the Lease of a blueprint, making its namespace where there is none.
    ///
    /// # Errors
    /// [`LeaseError::Held`] when a living holder renews it.
    pub async fn take(
        cluster: &Cluster,
        marks: &Marks,
        holder: &Holder,
        events: EventSink<'_>,
    ) -> Result<Self, LeaseError> {
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", system_namespace());
        let path = format!("{collection}/{}", marks.parent_name());
        let identity = holder.identity();
        let attempted = "take the lease of the blueprint";
        let mut watched: Option<(String, Instant)> = None;
        let begun = Instant::now();
        loop {
            let now = jiff::Timestamp::now();
            let found = match cluster.request(Method::GET, &path, None, attempted).await {
                Ok(found) => Some(found),
                Err(error) if error.kind == ErrorKind::NotFound => None,
                Err(error) => return Err(error.into()),
            };
            let Some(found) = found else {
                let body = lease(marks, &identity, 1, now, None);
                match cluster.request(Method::POST, &collection, Some(&body), attempted).await {
                    Ok(made) => return Ok(Self::held(cluster, path, identity, 1, made)),
                    Err(error) if error.kind == ErrorKind::Stale => continue, // Somebody was faster; look again.
                    Err(error) if error.kind == ErrorKind::NotFound => make_namespace(cluster).await?,
                    // A destroy just took the namespace away; it is gone in seconds.
                    Err(error) if error.words().contains("being terminated") && begun.elapsed() < NAMESPACE_REMOVAL => {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                    Err(error) => return Err(error.into()),
                }
                continue;
            };
            let text = |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (current, version) = (text("/spec/holderIdentity"), text("/metadata/resourceVersion"));
            let free = current.is_empty()
                || current == identity
                || holder.is_gone(&current)
                || watched.as_ref().is_some_and(|(seen, since)| *seen == version && since.elapsed() > TERM);
            if free {
                let epoch = found.pointer("/spec/leaseTransitions").and_then(Value::as_u64).unwrap_or(0) + 1;
                let body = lease(marks, &identity, epoch, now, Some(&version));
                match cluster.request(Method::PUT, &path, Some(&body), attempted).await {
                    Ok(made) => return Ok(Self::held(cluster, path, identity, epoch, made)),
                    Err(error) if error.kind == ErrorKind::Stale => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            match &watched {
                Some((seen, _)) if *seen != version => {
                    return Err(LeaseError::Held { holder: spoken(&current), since: text("/spec/acquireTime") });
                }
                Some(_) => {}
                None => {
                    let note = format!(
                        "{} holds the lease of this blueprint; waiting up to {} s to see whether it lives",
                        spoken(&current),
                        TERM.as_secs()
                    );
                    events(Event::Note(note));
                    watched = Some((version, Instant::now()));
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await; // Polls a condition that has a bound: one term.
        }
    }

    fn held(cluster: &Cluster, path: String, identity: String, epoch: u64, mut current: Value) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let (task_cluster, task_path, task_lost) = (cluster.clone(), path.clone(), Arc::clone(&lost));
        let renewal = tokio::spawn(async move {
            let mut renewed = Instant::now();
            loop {
                tokio::time::sleep(TERM / 3).await;
                current["spec"]["renewTime"] = micro(jiff::Timestamp::now()).into();
                match task_cluster.request(Method::PUT, &task_path, Some(&current), "renew the lease").await {
                    Ok(next) => {
                        current = next;
                        renewed = Instant::now();
                    }
                    // Another holder wrote it, or it was deleted.
                    Err(error) if matches!(error.kind, ErrorKind::Stale | ErrorKind::NotFound) => {
                        task_lost.store(true, Ordering::SeqCst);
                        return;
                    }
                    Err(_) if renewed.elapsed() > TERM => {
                        task_lost.store(true, Ordering::SeqCst);
                        return;
                    }
                    Err(_) => {} // Tried again before the term is over.
                }
            }
        });
        Self { cluster: cluster.clone(), path, identity, epoch, lost, renewal }
    }

    /// Whether somebody else may write now: then nothing more is started.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Grows with each holder.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Hands the Lease back. Failing to do so is no error: it runs out by itself.
    pub async fn release(self) {
        self.renewal.abort();
        let attempted = "hand back the lease";
        if let Ok(mut found) = self.cluster.request(Method::GET, &self.path, None, attempted).await
            && found.pointer("/spec/holderIdentity").and_then(Value::as_str) == Some(&self.identity)
        {
            found["spec"]["holderIdentity"] = "".into();
            // The reason to lose this result: the Lease then runs out after its term.
            let _ = self.cluster.request(Method::PUT, &self.path, Some(&found), attempted).await;
        }
    }
}

/// Makes the namespace that holds Lease and ApplySet parent.
async fn make_namespace(cluster: &Cluster) -> Result<(), LeaseError> {
    let body = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": system_namespace(), "labels": { "app.kubernetes.io/managed-by": "wbk-infra" } },
    });
    match cluster.request(Method::POST, "/api/v1/namespaces", Some(&body), "make the namespace of the lease").await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::Stale => Ok(()), // AlreadyExists is a 409 too.
        Err(error) => Err(error.into()),
    }
}

fn lease(marks: &Marks, identity: &str, epoch: u64, now: jiff::Timestamp, version: Option<&str>) -> Value {
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": marks.parent_name(), "namespace": system_namespace() },
        "spec": {
            "holderIdentity": identity, "leaseDurationSeconds": TERM.as_secs(), "leaseTransitions": epoch,
            "acquireTime": micro(now), "renewTime": micro(now),
        },
    });
    if let Some(version) = version {
        lease["metadata"]["resourceVersion"] = version.into();
    }
    lease
}

/// Kubernetes' MicroTime: six digits of a second.
fn micro(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
