//! News of workloads that many steps wait for: one WATCH of each kind, instead of GET after GET of each object.
//!
//! A WATCH is a convenience and no truth: where there is none, or it ends, or it is silent, whoever waits looks for himself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use super::waiting::is_gated;
use crate::{
    cluster::{Cluster, Marks, Resource},
    id::{GroupKind, ObjectId},
    plan::{Action, Plan, Target, makes_pods},
};

/// So many waits are worth a WATCH: fewer are over after two or three GETs each.
const WORTH_A_WATCH: usize = 8;

/// A WATCH begins with all that is there. It is worth that while at most so many times as much as is waited for is there.
const MOST_UNCHANGED: usize = 8;

/// The WATCHes of one apply.
pub(super) struct Newsroom {
    selector: String,
    /// How many steps wait for objects of a kind.
    waits: BTreeMap<GroupKind, usize>,
    unchanged: usize,
    open: Mutex<BTreeMap<GroupKind, Arc<Board>>>,
}

/// What one WATCH has told, by namespace and name.
struct Board {
    seats: Arc<Seats>,
    task: JoinHandle<()>,
}

type Seats = Mutex<Option<BTreeMap<(String, String), watch::Sender<Option<Seen>>>>>;

#[derive(Clone)]
struct Seen {
    version: u64,
    object: Arc<Value>,
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// News of one object, from one version of it on.
pub(super) struct News {
    seat: watch::Receiver<Option<Seen>>,
    from: u64,
}

impl News {
    /// The object when it has changed; `None` when there is no more news.
    pub(super) async fn next(&mut self) -> Option<Arc<Value>> {
        loop {
            // An object of before the write may look ready and not be.
            let from = self.from;
            let seen = self.seat.wait_for(|seen| seen.as_ref().is_some_and(|seen| seen.version >= from)).await.ok()?;
            let Some(seen) = seen.clone() else { continue };
            self.from = seen.version + 1;
            return Some(seen.object);
        }
    }
}

impl Newsroom {
    pub(super) fn new(plan: &Plan, marks: &Marks) -> Self {
        let mut waits = BTreeMap::new();
        for step in &plan.steps {
            let waits_for = match step.action {
                Action::Create | Action::Update | Action::Adopt | Action::Replace => true,
                Action::Start | Action::Disown | Action::Delete => false,
            };
            if let Target::Object(id) = &step.target
                && waits_for
                && makes_pods(id)
                && is_gated(&id.gvk.group_kind())
            {
                *waits.entry(id.gvk.group_kind()).or_default() += 1;
            }
        }
        Self { selector: marks.selector(), waits, unchanged: plan.unchanged, open: Mutex::default() }
    }

    /// Opens the WATCH of a kind, where it is worth one; before the first write, so that nothing is missed.
    pub(super) fn expect(&self, cluster: &Cluster, resource: &Resource, kind: &GroupKind) {
        let waits = self.waits.get(kind).copied().unwrap_or(0);
        if waits < WORTH_A_WATCH || self.unchanged > waits * MOST_UNCHANGED {
            return;
        }
        self.open.lock().expect("no holder of this lock panics").entry(kind.clone()).or_insert_with(|| {
            let seats = Arc::new(Mutex::new(Some(BTreeMap::new())));
            let task =
                tokio::spawn(watch(cluster.clone(), resource.clone(), self.selector.clone(), Arc::clone(&seats)));
            Arc::new(Board { seats, task })
        });
    }

    /// News of an object that was just written and has this version; `None` where there is no WATCH.
    pub(super) fn of(&self, id: &ObjectId, version: &str) -> Option<News> {
        // Versions are opaque to clients before Kubernetes 1.35, and decimal numbers that grow on every server; where they
        // are not, there is no news.
        let from = version.parse().ok()?;
        let board = Arc::clone(self.open.lock().expect("no holder of this lock panics").get(&id.gvk.group_kind())?);
        let mut seats = board.seats.lock().expect("no holder of this lock panics");
        let key = (id.namespace.clone().unwrap_or_default(), id.name.clone());
        let seat = seats.as_mut()?.entry(key).or_insert_with(|| watch::Sender::new(None)).subscribe();
        Some(News { seat, from })
    }
}

/// Puts what the WATCH tells on the board until it ends; then the board is closed, and nobody waits for it.
async fn watch(cluster: Cluster, resource: Resource, selector: String, seats: Arc<Seats>) {
    if let Ok(mut watch) = cluster.watch(&resource, &selector).await {
        while let Some(object) = watch.next().await {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let Ok(version) = text("/metadata/resourceVersion").parse::<u64>() else { break };
            let key = (text("/metadata/namespace"), text("/metadata/name"));
            let mut seats = seats.lock().expect("no holder of this lock panics");
            let Some(seats) = seats.as_mut() else { break };
            let seat = seats.entry(key).or_insert_with(|| watch::Sender::new(None));
            seat.send_replace(Some(Seen { version, object: Arc::new(object) }));
        }
    }
    *seats.lock().expect("no holder of this lock panics") = None;
}
