//! Proves that nothing of a name is there before it is created: where a plan creates many objects of a kind in one place, one
//! LIST of names serves them all.
//!
//! # The window that remains
//! Between the look and the write somebody may create an object of that name. No look can close this window (Kubernetes has no
//! server-side apply that only creates), and a LIST makes it no other than a GET does: a GET's answer is as old as the write
//! waits for its turn, hundreds of milliseconds when many are sent; a LIST's names are believed for [`FRESH`], no longer.
//! Nothing is lost in the window: a creation is never forced, so that the server refuses it, with the holder's name, where it
//! would change a value that somebody else set; and where it changes none, the answer is not "created", and the step fails and
//! says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    cluster::{Cluster, ClusterError, Resource},
    id::{GroupKind, ObjectId},
    plan::{Expect, Plan, Target},
};

/// How long names are believed, from before the LIST was sent. 48 writes at once, at 4 to 8 ms of server time each, wait about
/// as long for theirs.
const FRESH: Duration = Duration::from_millis(400);

/// So many creations in one place are worth a LIST; it costs the server about as much as three GETs.
const WORTH_A_LIST: usize = 4;

/// Most names in a LIST. A place with more is not worth it: each name is looked for.
const MOST: usize = 500;

/// A kind in a namespace, or in the cluster.
type Place = (GroupKind, Option<String>);

fn place_of(id: &ObjectId) -> Place {
    (id.gvk.group_kind(), id.namespace.clone())
}

/// The looks of one plan.
pub(super) struct Absences {
    /// How many objects shall be absent.
    expected: BTreeMap<Place, usize>,
    looks: Mutex<BTreeMap<Place, Arc<tokio::sync::Mutex<Option<Look>>>>>,
}

struct Look {
    began: Instant,
    /// `None` where there are too many, or they may not be listed.
    names: Option<BTreeSet<String>>,
}

impl Absences {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut expected = BTreeMap::new();
        for step in plan.steps.iter().filter(|step| step.expect == Expect::Absent) {
            if let Target::Object(id) = &step.target {
                *expected.entry(place_of(id)).or_default() += 1;
            }
        }
        Self { expected, looks: Mutex::default() }
    }

    /// Whether nothing of this name is there.
    pub(super) async fn is_absent(
        &self,
        cluster: &Cluster,
        resource: &Resource,
        id: &ObjectId,
    ) -> Result<bool, ClusterError> {
        let place = place_of(id);
        if self.expected.get(&place).is_some_and(|count| *count >= WORTH_A_LIST) {
            let look = Arc::clone(self.looks.lock().expect("no holder of this lock panics").entry(place).or_default());
            let mut look = look.lock().await;
            if look.as_ref().is_none_or(|look| look.names.is_some() && look.began.elapsed() > FRESH) {
                let began = Instant::now();
                // Whoever may not list may still look for one: any error leads to that, and there it is told.
                let names = cluster.list_names(resource, id.namespace.as_deref(), MOST).await.ok().flatten();
                *look = Some(Look { began, names });
            }
            if let Some(names) = look.as_ref().and_then(|look| look.names.as_ref()) {
                return Ok(!names.contains(&id.name));
            }
        }
        Ok(cluster.get_metadata(resource, id).await?.is_none())
    }
}
