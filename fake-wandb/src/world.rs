//! Everything the server knows. It is gone with the server.

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, Entity};
use crate::queue::{Item, ItemState, Queue, ResourceConfig};
use crate::sweep::{Sweep, SweepAgent};

/// Something that was asked cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Why.
    pub message: String,
}

impl Refusal {
    /// With this reason.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
}

/// A launch agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Its name; its own run has the same.
    pub name: String,
    /// Its entity.
    pub entity: String,
    /// Its project.
    pub project: String,
    /// The ids of the queues that it serves.
    pub queues: Vec<String>,
    /// Where it runs: the pod's name.
    pub hostname: String,
    /// Its version: `wandb@0.31.0`.
    pub version: Option<String>,
    /// Its launch config.
    pub config: Value,
    /// `POLLING`, `RUNNING`, `KILLED`.
    pub status: String,
    /// It was asked to stop.
    pub stop_polling: bool,
    /// When it was last heard of.
    pub heartbeat: Timestamp,
}

/// Whose run it is, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RunKey {
    /// Its entity.
    pub entity: String,
    /// Its project.
    pub project: String,
    /// Its name, which is what users call its id.
    pub name: String,
}

impl RunKey {
    /// The key of a run.
    pub fn new(entity: &str, project: &str, name: &str) -> Self {
        Self { entity: entity.into(), project: project.into(), name: name.into() }
    }

    /// Its id in the API.
    pub fn id(&self) -> String {
        id("Run", &format!("v1:{}:{}:{}", self.name, self.project, self.entity))
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// What people call it.
    pub display_name: String,
    /// `running`, `finished`, `failed`, `pending`; of sweeps also `preempting`, `preempted`, `crashed`, `killed`.
    pub state: String,
    /// Its kind: agents' own runs are `sweep-controller`s.
    pub job_type: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// Where it runs.
    pub host: Option<String>,
    /// Its configuration, JSON.
    pub config: Option<String>,
    /// Its results, JSON.
    pub summary: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Notes on it.
    pub notes: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// Its sweep.
    pub sweep: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The code that it ended with.
    pub exit_code: Option<i64>,
    /// Somebody asked it to stop.
    pub stopped: bool,
    /// Its program said that it is about to be interrupted.
    pub preempting: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last heard of.
    pub heartbeat: Timestamp,
    /// How many lines each of its streams has: `output.log`, `wandb-history.jsonl`.
    pub lines: BTreeMap<String, u64>,
    /// Files that were uploaded: name and size.
    pub files: BTreeMap<String, u64>,
}

/// Everything the server knows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct World {
    #[serde(skip)]
    pub(crate) config: Config,
    #[serde(skip)]
    count: u64,
    /// Projects by entity and name.
    #[serde(skip)]
    pub projects: BTreeMap<(String, String), Project>,
    /// Configurations of queues, by id.
    pub configs: BTreeMap<String, ResourceConfig>,
    /// Queues, by id.
    pub queues: BTreeMap<String, Queue>,
    /// Items, by id.
    pub items: BTreeMap<String, Item>,
    /// Launch agents, by id.
    pub agents: BTreeMap<String, Agent>,
    /// Sweeps, by id.
    pub sweeps: BTreeMap<String, Sweep>,
    /// Agents of sweeps, by id.
    pub sweep_agents: BTreeMap<String, SweepAgent>,
    /// Runs.
    #[serde(skip)]
    pub runs: BTreeMap<RunKey, Run>,
    /// What was uploaded, by run and name.
    #[serde(skip)]
    pub uploads: BTreeMap<(RunKey, String), Vec<u8>>,
}

/// An id as W&B makes them.
pub(crate) fn id(kind: &str, key: &str) -> String {
    STANDARD.encode(format!("{kind}:{key}"))
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            count: 0,
            projects: BTreeMap::new(),
            configs: BTreeMap::new(),
            queues: BTreeMap::new(),
            items: BTreeMap::new(),
            agents: BTreeMap::new(),
            sweeps: BTreeMap::new(),
            sweep_agents: BTreeMap::new(),
            runs: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// A number that nothing else has.
    pub(crate) fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// The entity, if the key may use it.
    pub(crate) fn entity(&self, name: &str) -> Option<Entity> {
        if name == self.config.username {
            return Some(Entity { name: name.into(), team: false, mine: true });
        }
        self.config.entities.iter().find(|entity| entity.name == name && entity.mine).cloned()
    }

    /// The entity that a client means, if the key may use it.
    ///
    /// # Errors
    /// It may not, or there is none.
    pub(crate) fn own_entity(&self, name: Option<&str>) -> Result<String, Refusal> {
        let name = name.filter(|name| !name.is_empty()).unwrap_or(&self.config.username);
        match self.entity(name) {
            Some(entity) => Ok(entity.name),
            None => Err(Refusal::new(format!("permission denied: entity {name} is not there, or not yours"))),
        }
    }

    /// The project, which must be there.
    ///
    /// # Errors
    /// It is not, or not the key's.
    pub(crate) fn own_project(&self, entity: &str, project: &str) -> Result<(String, String), Refusal> {
        let entity = self.own_entity(Some(entity))?;
        let key = (entity, project.to_owned());
        if self.projects.contains_key(&key) {
            Ok(key)
        } else {
            Err(Refusal::new(format!("project {}/{project} is not there", key.0)))
        }
    }

    /// The project, made if it is not there; and whether it was made.
    pub(crate) fn make_project(&mut self, entity: &str, project: &str) -> bool {
        let key = (entity.to_owned(), project.to_owned());
        if self.projects.contains_key(&key) {
            return false;
        }
        let id = id("Project", &format!("v1:{project}:{entity}"));
        self.projects.insert(key, Project { id, description: None, created: Timestamp::now() });
        true
    }

    /// The queue of that name.
    pub fn queue(&self, entity: &str, project: &str, name: &str) -> Option<&Queue> {
        self.queues.values().find(|queue| queue.entity == entity && queue.project == project && queue.name == name)
    }

    /// The items of a queue, first come first.
    pub fn items_of(&self, queue: &str) -> Vec<&Item> {
        let mut items: Vec<&Item> = self.items.values().filter(|item| item.queue == queue).collect();
        items.sort_by_key(|item| item.number);
        items
    }

    /// Takes the next item of a queue for an agent.
    pub(crate) fn pop(&mut self, queue: &str, agent: Option<&str>) -> Option<Item> {
        let now = Instant::now();
        let prioritization = self.queues.get(queue)?.prioritization;
        let waiting = self.items.values_mut().filter(|item| item.queue == queue && item.waits(now));
        let item = waiting.min_by_key(|item| item.place(prioritization))?;
        item.state = ItemState::Leased;
        item.agent = agent.map(str::to_owned);
        item.leased_until = Some(now + self.config.lease);
        Some(item.clone())
    }

    /// Says that an agent was heard of.
    pub(crate) fn hear(&mut self, agent: &str) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.heartbeat = Timestamp::now();
        }
    }

    /// The key of the run with that id.
    pub(crate) fn run_key(&self, id: &str) -> Option<RunKey> {
        self.runs.keys().find(|key| key.id() == id).cloned()
    }

    /// The run, made if it is not there; and whether it was made.
    pub(crate) fn make_run(&mut self, key: &RunKey) -> (&mut Run, bool) {
        self.make_project(&key.entity, &key.project);
        let mut made = false;
        let run = self.runs.entry(key.clone()).or_insert_with(|| {
            made = true;
            Run {
                display_name: key.name.clone(),
                state: "running".into(),
                job_type: None,
                group: None,
                host: None,
                config: None,
                summary: None,
                description: None,
                notes: None,
                commit: None,
                sweep: None,
                tags: Vec::new(),
                exit_code: None,
                stopped: false,
                preempting: false,
                created: Timestamp::now(),
                heartbeat: Timestamp::now(),
                lines: BTreeMap::new(),
                files: BTreeMap::new(),
            }
        });
        (run, made)
    }

    /// What a run's stream sent: lines, and how it ended. Answers whether it was asked to stop.
    pub(crate) fn stream(&mut self, key: &RunKey, sent: &Value) -> Result<bool, Refusal> {
        let run = self.runs.get_mut(key);
        let run =
            run.ok_or_else(|| Refusal::new(format!("run {}/{}/{} is not there", key.entity, key.project, key.name)))?;
        run.heartbeat = Timestamp::now();
        for (file, part) in sent.get("files").and_then(Value::as_object).into_iter().flatten() {
            let offset = part.get("offset").and_then(Value::as_u64).unwrap_or_default(); // A client that names none begins.
            let content = part.get("content").and_then(Value::as_array).map_or(0, Vec::len) as u64;
            if file == "wandb-summary.json" {
                let last = part.get("content").and_then(Value::as_array).and_then(|lines| lines.last());
                run.summary = last.and_then(Value::as_str).map(str::to_owned).or(run.summary.take());
            }
            run.lines.insert(file.clone(), offset + content);
        }
        if sent.get("preempting").and_then(Value::as_bool) == Some(true) {
            run.preempting = true;
            run.state = "preempting".into();
        }
        let mut comes_back = false;
        if sent.get("complete").and_then(Value::as_bool) == Some(true) {
            let code = sent.get("exitcode").and_then(Value::as_i64).unwrap_or_default(); // Without one it is well.
            run.exit_code = Some(code);
            comes_back = code != 0 && run.preempting && !run.stopped;
            run.state = match code {
                0 => "finished".into(),
                _ if comes_back => "preempted".into(),
                _ => "failed".into(),
            };
        }
        let stopped = run.stopped;
        if comes_back {
            self.give_again(key);
        }
        Ok(stopped)
    }
}
