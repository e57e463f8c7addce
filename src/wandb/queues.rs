//! Queues: read all at once, made, changed, removed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use wbk_provider_api::Why;

use super::client::{Wandb, WandbError};
use crate::desired::{DesiredLaunch, QueueContent, QueueLink};
use crate::live::{QueueFound, QueueState};

/// The project in which W&B keeps every queue of an entity.
pub const PROJECT: &str = "model-registry";

const QUEUES: &str = "query LaunchQueues($entity: String!, $project: String!) {
  entity(name: $entity) { id name }
  project(name: $project, entityName: $entity) {
    runQueues { id name defaultResourceConfigID prioritizationMode externalLinks }
  }
}";
const PROJECT_MADE: &str = "mutation LaunchProject($entity: String!, $project: String!) {
  upsertModel(input: {name: $project, entityName: $entity}) { project { id } }
}";
const UPSERT: &str = "mutation LaunchQueueUpsert(
  $entity: String!, $project: String!, $queue: String!, $config: JSONString!, $variables: JSONString,
  $mode: RunQueuePrioritizationMode, $links: JSONString
) {
  upsertRunQueue(input: {
    entityName: $entity, projectName: $project, queueName: $queue, resourceType: \"kubernetes\", resourceConfig: $config,
    templateVariables: $variables, prioritizationMode: $mode, externalLinks: $links
  }) { success configSchemaValidationErrors }
}";
const DELETE: &str =
    "mutation LaunchQueueDelete($ids: [ID!]!) { deleteRunQueues(input: {queueIDs: $ids}) { success } }";

/// Looks at the queues of a blueprint and at those that it made before. W&B that cannot be asked is no error here: what could not
/// be seen is said of each queue. Of those that may go, the items are counted.
///
/// # Errors
/// The key is refused, or there is no such entity for it: nothing that was planned on that would work.
pub async fn look(
    wandb: &Wandb,
    launch: &DesiredLaunch,
    blueprint: &str,
    goes: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, QueueState>, WandbError> {
    match wandb.queues().await {
        Ok(mut found) => {
            let wanted: Vec<&str> = launch.queues.iter().map(|queue| queue.name.as_str()).collect();
            found.retain(|name, queue| wanted.contains(&name.as_str()) || queue.is_of(blueprint));
            for (name, queue) in &mut found {
                if goes(name) {
                    // What cannot be counted is not let go.
                    queue.items = wandb.open_items(name).await.ok();
                }
            }
            let mut states: BTreeMap<String, QueueState> =
                found.into_iter().map(|(name, queue)| (name, QueueState::Present(Box::new(queue)))).collect();
            for name in wanted {
                states.entry(name.to_owned()).or_insert(QueueState::Absent);
            }
            Ok(states)
        }
        Err(error @ (WandbError::Unreachable { .. } | WandbError::Strange(_))) => {
            let why = Why(error.to_string());
            Ok(launch.queues.iter().map(|queue| (queue.name.clone(), QueueState::Unknown(why.clone()))).collect())
        }
        Err(error) => Err(error),
    }
}

impl Wandb {
    /// Every queue of the entity, by name.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; no such entity.
    pub async fn queues(&self) -> Result<BTreeMap<String, QueueFound>, WandbError> {
        let variables = json!({"entity": self.entity, "project": PROJECT});
        let data = self.ask("list the queues", QUEUES, variables).await?;
        if data["entity"].is_null() {
            return Err(WandbError::Refused {
                what: "list the queues".into(),
                words: format!("there is no entity {:?} that this API key may see", self.entity),
            });
        }
        let listed: Vec<&Value> = data["project"]["runQueues"].as_array().into_iter().flatten().collect();
        let configs = self.configs(&listed).await?;
        let mut queues = BTreeMap::new();
        for (queue, config) in listed.into_iter().zip(configs) {
            let name = queue["name"].as_str().unwrap_or_default().to_owned();
            queues.insert(name, found(queue, &config)?);
        }
        Ok(queues)
    }

    /// The resource configurations of queues, in their order; `null` where a queue has none.
    async fn configs(&self, queues: &[&Value]) -> Result<Vec<Value>, WandbError> {
        let ids: Vec<Option<&str>> = queues.iter().map(|queue| queue["defaultResourceConfigID"].as_str()).collect();
        let mut variables = json!({"entity": self.entity});
        let (mut declared, mut fields) = (String::new(), String::new());
        for (index, id) in ids.iter().enumerate() {
            if let Some(id) = id {
                variables[format!("c{index}")] = (*id).into();
                declared.push_str(&format!(", $c{index}: ID!"));
                fields.push_str(&format!(
                    "c{index}: defaultResourceConfig(id: $c{index}) {{ config resource templateVariables {{ name schema }} }}\n"
                ));
            }
        }
        if fields.is_empty() {
            return Ok(vec![Value::Null; queues.len()]);
        }
        let document =
            format!("query LaunchQueueConfigs($entity: String!{declared}) {{ entity(name: $entity) {{ {fields} }} }}");
        let data = self.ask("read the queues", &document, variables).await?;
        Ok((0..queues.len()).map(|index| data["entity"][format!("c{index}")].clone()).collect())
    }

    /// Makes a queue or changes it.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; W&B says that it did not.
    pub async fn upsert_queue(&self, name: &str, content: &QueueContent) -> Result<(), WandbError> {
        // What every client does first; it is there already in all but new teams.
        let project = json!({"entity": self.entity, "project": PROJECT});
        self.ask("make the project of the queues", PROJECT_MADE, project).await?;
        let links = json!({"links": content.links});
        let variables = json!({
            "entity": self.entity,
            "project": PROJECT,
            "queue": name,
            "config": content.config.to_string(),
            "variables": content.variables.to_string(),
            "mode": if content.prioritization { "V0" } else { "DISABLED" },
            "links": links.to_string(),
        });
        let what = format!("write the queue {name}");
        let data = self.ask(&what, UPSERT, variables).await?;
        let answer = &data["upsertRunQueue"];
        if answer["success"] == true {
            return Ok(());
        }
        let words: Vec<&str> =
            answer["configSchemaValidationErrors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let words = if words.is_empty() { "it says no reason".to_owned() } else { words.join("; ") };
        Err(WandbError::Refused { what, words })
    }

    /// Removes a queue with all its items.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; W&B says that it did not.
    pub async fn delete_queue(&self, name: &str, id: &str) -> Result<(), WandbError> {
        let what = format!("remove the queue {name}");
        let data = self.ask(&what, DELETE, json!({"ids": [id]})).await?;
        if data["deleteRunQueues"]["success"] == true {
            return Ok(());
        }
        Err(WandbError::Refused { what, words: "it says no reason".into() })
    }
}

fn found(queue: &Value, config: &Value) -> Result<QueueFound, WandbError> {
    let mut variables = Map::new();
    for variable in config["templateVariables"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        variables.insert(name, json!({"schema": parsed(&variable["schema"])?}));
    }
    let links = parsed(&queue["externalLinks"])?;
    let links = links["links"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|link| serde_json::from_value::<QueueLink>(link.clone()).ok()) // Of another form: not one of ours.
        .collect();
    Ok(QueueFound {
        id: queue["id"].as_str().unwrap_or_default().to_owned(),
        resource: config["resource"].as_str().unwrap_or_default().to_owned(),
        content: QueueContent {
            config: parsed(&config["config"])?,
            variables: Value::Object(variables),
            prioritization: queue["prioritizationMode"] == "V0",
            links,
        },
        items: None,
    })
}

/// JSON, or JSON as text.
fn parsed(value: &Value) -> Result<Value, WandbError> {
    match value {
        Value::String(text) => {
            serde_json::from_str(text).map_err(|_| WandbError::Strange("a queue's configuration is no JSON".into()))
        }
        other => Ok(other.clone()),
    }
}
