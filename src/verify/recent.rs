//! Lists that several checks read at the same time are read once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::api::{Api, Trouble};

/// How long a list counts as of now. Checks begin together, and the shortest pause of those that look again is 200 ms:
/// nobody sees the same list twice.
const FRESH: Duration = Duration::from_millis(150);

type Answer = Result<Arc<Vec<Value>>, Trouble>;
type Slot = Arc<Mutex<Option<(Instant, Answer)>>>;

/// The lists of one run.
#[derive(Clone, Default)]
pub(super) struct Recent {
    slots: Arc<StdMutex<BTreeMap<String, Slot>>>,
}

impl Recent {
    /// All objects at a path with a field selector (empty: all): what was read a moment ago, or read now. Who asks while
    /// it is being read gets that answer, also where it is a refusal.
    pub(super) async fn list(&self, api: &Api, path: &str, fields: &str) -> Answer {
        let slot = {
            // A map of slots is whole after any panic between its operations.
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(format!("{path}?{fields}")).or_default().clone()
        };
        let mut last = slot.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = api.list_by_field(path, fields).await.map(Arc::new);
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
