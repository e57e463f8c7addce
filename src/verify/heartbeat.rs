//! One Lease for each run that makes something, renewed while the run lives: whoever finds its objects later can tell a
//! run that was killed from one that goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;

use super::context::CheckContext;
use super::marks;
use crate::cluster::text;
use crate::holder::Holder;

/// How long a run may be silent. Renewals come five times in a term, so that one lost request, or a clock that is ten
/// seconds off, makes no living run look dead.
const TERM: Duration = Duration::from_secs(15);

/// The run's Lease: none as long as nothing was made.
#[derive(Clone, Default)]
pub(super) struct Heartbeat {
    lease: Arc<OnceCell<Option<String>>>,
    renewal: Arc<Renewal>,
}

#[derive(Default)]
struct Renewal(Mutex<Option<AbortHandle>>);

impl Renewal {
    fn set(&self, next: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.set(None);
    }
}

impl Heartbeat {
    /// The run's Lease as `namespace/name`, made at the first call in that call's namespace; `None` where the caller may
    /// make none: then the deadline on each object alone says when it may be removed.
    pub(super) async fn begin(&self, cx: &CheckContext, space: &str) -> Option<String> {
        self.lease.get_or_init(|| self.make(cx, space)).await.clone()
    }

    async fn make(&self, cx: &CheckContext, space: &str) -> Option<String> {
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{space}/leases");
        let name = format!("wbk-verify-{}", cx.run);
        let path = format!("{collection}/{name}");
        let holder = cx.options.holder.as_ref().map_or_else(|| cx.run.clone(), Holder::identity);
        let now = micro(cx.now());
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": space, "labels": marks::labels(cx)},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": TERM.as_secs(), "acquireTime": now,
                "renewTime": now},
        });
        cx.litter.note(path.clone());
        // Without a right to make it, what this run makes has only its deadline.
        let made = cx.api().post(&collection, &lease).await.ok()?;
        lease["metadata"]["resourceVersion"] = made.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
        let (api, clock) = (cx.api(), cx.clock.clone());
        let renewal = tokio::spawn(async move {
            loop {
                tokio::time::sleep(TERM / 5).await;
                lease["spec"]["renewTime"] = micro(clock()).into();
                // Lost, or taken away: a run whose Lease is gone is taken for dead, and its objects with it.
                if let Ok(next) = api.put(&path, &lease).await {
                    lease["metadata"]["resourceVersion"] =
                        next.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
                }
            }
        });
        self.renewal.set(Some(renewal.abort_handle()));
        Some(format!("{space}/{name}"))
    }

    /// Stops renewing; the Lease itself is removed with everything else that was made.
    pub(super) fn stop(&self) {
        self.renewal.set(None);
    }
}

/// Whether the run that holds a Lease has ended without removing it.
pub(super) fn is_dead(lease: &Value, me: Option<&Holder>, now: Timestamp) -> bool {
    if me.is_some_and(|me| me.is_gone(text(lease, "/spec/holderIdentity"))) {
        return true;
    }
    let Ok(renewed) = text(lease, "/spec/renewTime").parse::<Timestamp>() else {
        return true; // Nobody ever renewed it.
    };
    let silent = now.duration_since(renewed);
    Duration::try_from(silent).is_ok_and(|silent| silent > TERM)
}

/// Kubernetes' MicroTime: six digits of a second.
fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_dead_when_its_lease_ran_out_or_its_process_is_gone() {
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).expect("a time");
        let lease = |holder: &str| json!({"spec": {"holderIdentity": holder, "renewTime": micro(at(0))}});
        assert!(!is_dead(&lease("x"), None, at(10)));
        assert!(!is_dead(&lease("x"), None, at(-60)), "a clock that is behind makes nobody dead");
        assert!(is_dead(&lease("x"), None, at(16)));
        let me = Holder::this_process("host");
        assert!(!is_dead(&lease(&me.identity()), Some(&me), at(1)));
        assert!(is_dead(&lease(&format!("host/{}/1", me.pid)), Some(&me), at(1)), "killed a second ago");
        assert!(is_dead(&json!({}), None, at(0)));
    }
}
