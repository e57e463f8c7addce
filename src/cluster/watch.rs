//! A WATCH: objects as they are now, and again whenever they change.

use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;

/// A running WATCH; it ends when dropped.
pub struct Watch {
    body: Body,
    /// What came of a line that is not whole yet.
    begun: Vec<u8>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    sort: String,
    object: Value,
}

impl Watch {
    pub(super) fn new(body: Body) -> Self {
        Self { body, begun: Vec::new() }
    }

    /// The next object that was added or changed; `None` when the server ended the WATCH, or it broke.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                // A line that is no event ends the WATCH like a broken connection: whoever waits looks for himself.
                let event: Event = serde_json::from_slice(&line).ok()?;
                match event.sort.as_str() {
                    "ADDED" | "MODIFIED" => return Some(event.object),
                    "DELETED" | "BOOKMARK" => {}
                    _ => return None,
                }
            }
            // As above for a connection that broke.
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.begun.extend_from_slice(&data);
            }
        }
    }
}
