//! Items of queues: listed, pushed.

use serde_json::{Value, json};

use super::client::{Wandb, WandbError};
use super::queues::PROJECT;

/// Items of one queue that are looked at; the oldest first, as agents take them.
const MOST: u32 = 100;

const ITEMS: &str = "query LaunchQueueItems($entity: String!, $project: String!, $queue: String!, $first: Int) {
  project(name: $project, entityName: $entity) {
    runQueue(name: $queue) { runQueueItems(first: $first) { edges { node { id state associatedRunId } } } }
  }
}";
const REMOVE: &str = "mutation LaunchItemRemove($queue: ID!, $item: ID!) {
  deleteFromRunQueue(input: {queueID: $queue, runQueueItemId: $item}) { success }
}";
const PUSH: &str = "mutation LaunchPush(
  $entity: String!, $project: String!, $queue: String!, $spec: JSONString!, $values: JSONString, $priority: Int
) {
  pushToRunQueueByName(input: {
    entityName: $entity, projectName: $project, queueName: $queue, runSpec: $spec, templateVariableValues: $values,
    priority: $priority
  }) { runQueueItemId }
}";

/// How far an item is. What became of its run is told by the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// Nobody has taken it.
    Pending,
    /// An agent took it and makes a Job of it.
    Leased,
    /// An agent made a Job of it.
    Claimed,
    /// An agent gave it up.
    Failed,
    /// A word that this program does not know.
    Other,
}

/// An item of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// W&B's id of it.
    pub id: String,
    /// How far it is.
    pub state: ItemState,
    /// The run that was made of it.
    pub run: Option<String>,
}

/// Something to be run by a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Push<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The project of the run.
    pub project: &'a str,
    /// The image.
    pub image: &'a str,
    /// The run's name; W&B's own choice without.
    pub name: Option<&'a str>,
    /// The program in place of the image's own; the image's where it is empty.
    pub command: &'a [&'a str],
    /// Arguments in place of the image's own.
    pub arguments: &'a [String],
    /// Values of the queue's template variables.
    pub values: &'a Value,
    /// 0 (critical) to 3 (low), where the queue has priorities.
    pub priority: Option<u8>,
}

impl Wandb {
    /// The items of a queue, as far as the first hundred.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; there is no such queue.
    pub async fn items(&self, queue: &str) -> Result<Vec<Item>, WandbError> {
        let variables = json!({"entity": self.entity, "project": PROJECT, "queue": queue, "first": MOST});
        let what = format!("list the items of queue {queue}");
        let data = self.ask(&what, ITEMS, variables).await?;
        let found = &data["project"]["runQueue"];
        if found.is_null() {
            return Err(WandbError::Refused { what, words: "there is no such queue".into() });
        }
        let edges = found["runQueueItems"]["edges"].as_array();
        Ok(edges.into_iter().flatten().map(|edge| item(&edge["node"])).collect())
    }

    /// Items of a queue that nobody has made a Job of yet, as far as the first hundred.
    ///
    /// # Errors
    /// See [`Wandb::items`].
    pub async fn open_items(&self, queue: &str) -> Result<u64, WandbError> {
        let open = |item: &&Item| matches!(item.state, ItemState::Pending | ItemState::Leased | ItemState::Other);
        Ok(self.items(queue).await?.iter().filter(open).count() as u64)
    }

    /// Pushes an item; its id. The form is the smallest that agents of every version ran.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; W&B's words where a value is outside of the queue's bounds.
    pub async fn push(&self, push: &Push<'_>) -> Result<String, WandbError> {
        let mut overrides = json!({});
        // Agents put it in the place of the container's `command` (SDK 0.17.3 to 0.31.0, `inject_entrypoint_and_args`).
        if !push.command.is_empty() {
            overrides["entry_point"] = push.command.into();
        }
        if !push.arguments.is_empty() {
            overrides["args"] = push.arguments.into();
        }
        let mut spec = json!({
            "docker": {"docker_image": push.image},
            "entity": self.entity,
            "overrides": overrides,
            "project": push.project,
            "resource": "kubernetes",
        });
        if let Some(name) = push.name {
            spec["name"] = name.into();
        }
        let values = push.values.as_object().filter(|values| !values.is_empty()).map(|_| push.values.to_string());
        let variables = json!({
            "entity": self.entity,
            "project": PROJECT,
            "queue": push.queue,
            "spec": spec.to_string(),
            "values": values,
            "priority": push.priority,
        });
        let what = format!("push to queue {}", push.queue);
        let data = self.ask(&what, PUSH, variables).await?;
        match data["pushToRunQueueByName"]["runQueueItemId"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(WandbError::Refused { what, words: "it says no reason: is there such a queue?".into() }),
        }
    }
}

impl Wandb {
    /// Removes an item that nobody took.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; there is no such queue, or W&B says that it did not.
    pub async fn remove_item(&self, queue: &str, item: &str) -> Result<(), WandbError> {
        let what = format!("remove an item of queue {queue}");
        let refused = |words: &str| WandbError::Refused { what: what.clone(), words: words.into() };
        let queues = self.queues().await?;
        let id = &queues.get(queue).ok_or_else(|| refused("there is no such queue"))?.id;
        let data = self.ask(&what, REMOVE, json!({"queue": id, "item": item})).await?;
        if data["deleteFromRunQueue"]["success"] == true { Ok(()) } else { Err(refused("it says no reason")) }
    }
}

fn item(node: &Value) -> Item {
    let state = match node["state"].as_str() {
        Some("PENDING") => ItemState::Pending,
        Some("LEASED") => ItemState::Leased,
        Some("CLAIMED") => ItemState::Claimed,
        Some("FAILED") => ItemState::Failed,
        Some(_) | None => ItemState::Other,
    };
    Item {
        id: node["id"].as_str().unwrap_or_default().to_owned(),
        state,
        run: node["associatedRunId"].as_str().map(str::to_owned),
    }
}
