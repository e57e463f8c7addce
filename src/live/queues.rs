//! Queues of W&B Launch as they were seen.

use serde_json::{Value, json};
use wbk_provider_api::Why;

use super::diff::{FieldChange, differences};
use crate::desired::{DesiredQueue, QueueContent};

/// What was found under the name of a queue.
#[derive(Debug, Clone, PartialEq)]
pub enum QueueState {
    /// Nothing.
    Absent,
    /// A queue.
    Present(Box<QueueFound>),
    /// It could not be seen.
    Unknown(Why),
}

/// A queue that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueFound {
    /// W&B's id of it.
    pub id: String,
    /// `kubernetes`, `sagemaker`, …
    pub resource: String,
    /// What W&B keeps of it.
    pub content: QueueContent,
    /// Items that wait or run; asked only of a queue that may go.
    pub items: Option<u64>,
}

impl QueueFound {
    /// Whether it is of a blueprint of this name.
    pub fn is_of(&self, blueprint: &str) -> bool {
        self.content.platform() == Some(blueprint)
    }

    /// Whether somebody else changed what this tool made of it.
    pub fn is_edited(&self) -> bool {
        self.content.mark().is_some_and(|mark| mark != self.content.digest())
    }

    /// Where it differs from what is wanted.
    pub fn differences(&self, wanted: &DesiredQueue) -> Vec<FieldChange> {
        differences(&shown(&self.resource, &self.content), &shown("kubernetes", &wanted.content))
    }
}

/// A queue as a reader knows it, with short paths.
fn shown(resource: &str, content: &QueueContent) -> Value {
    let content = content.clone().unmarked();
    let job = content.config.pointer("/resource_args/kubernetes").unwrap_or(&content.config);
    json!({
        "resource": resource,
        "config": job,
        "variables": content.variables,
        "prioritization": content.prioritization,
        "links": content.links,
    })
}
