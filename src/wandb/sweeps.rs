//! Sweeps: listed, made, their state changed, their runs read.

use serde_json::{Value, json};

use super::client::{Wandb, WandbError};

/// Sweeps and runs of one answer, as the SDK asks for them (`wandb/apis/public/{sweeps,runs}.py`).
const PAGE: u32 = 50;

const SWEEPS: &str = "query SweepsOfProject($entity: String!, $project: String!, $cursor: String, $first: Int) {
  entity(name: $entity) { id name }
  project(name: $project, entityName: $entity) {
    sweeps(after: $cursor, first: $first) {
      pageInfo { endCursor hasNextPage }
      edges { node { id name displayName state description config createdAt runCount runCountExpected } }
    }
  }
}";
const MAKE: &str = "mutation SweepMake(
  $config: String, $description: String, $entity: String, $project: String
) {
  upsertSweep(input: {config: $config, description: $description, entityName: $entity, projectName: $project}) {
    sweep { name }
    configValidationWarnings
  }
}";
const STATE: &str = "mutation SweepState($id: ID, $state: String, $entity: String, $project: String) {
  upsertSweep(input: {id: $id, state: $state, entityName: $entity, projectName: $project}) { sweep { name } }
}";
const RUNS: &str = "query SweepRuns(
  $entity: String!, $project: String!, $filters: JSONString, $cursor: String, $first: Int
) {
  project(name: $project, entityName: $entity) {
    runs(filters: $filters, after: $cursor, first: $first) {
      pageInfo { endCursor hasNextPage }
      edges { node { name state config summaryMetrics } }
    }
  }
}";

/// How far a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SweepState {
    /// No agent has asked yet.
    Pending,
    /// Agents are given sets.
    Running,
    /// Agents are given nothing, and may be again.
    Paused,
    /// It has ended: nothing is left to try, or somebody stopped it.
    Finished,
    /// Somebody ended it with all its runs.
    Canceled,
    /// It broke.
    Crashed,
    /// A word that this program does not know.
    Other,
}

impl SweepState {
    fn of(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            "PAUSED" => Self::Paused,
            "FINISHED" => Self::Finished,
            "CANCELED" | "CANCELLED" => Self::Canceled,
            "CRASHED" | "FAILED" => Self::Crashed,
            _ => Self::Other,
        }
    }

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Canceled => "canceled",
            Self::Crashed => "crashed",
            Self::Other => "in an unknown state",
        }
    }
}

/// A sweep in W&B.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepFound {
    /// W&B's id of it.
    pub id: String,
    /// Eight letters and digits: what users call its id.
    pub name: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// What it says of itself.
    pub description: String,
    /// How far it is.
    pub state: SweepState,
    /// Its configuration, YAML.
    pub config: String,
    /// When it was made, as W&B writes times.
    pub created: String,
    /// Runs so far.
    pub runs: u64,
    /// Runs that there will be, where there is an end.
    pub expected: Option<u64>,
}

/// A run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRun {
    /// Its name.
    pub name: String,
    /// `running`, `finished`, `failed`, `crashed`, `killed`, `preempting`, `preempted`, `pending`.
    pub state: String,
    /// Its configuration, `{"lr": {"value": 0.1}}`.
    pub config: Value,
    /// Its results.
    pub summary: Value,
}

impl Wandb {
    /// Every sweep of a project; none where there is no such project.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; no such entity.
    pub async fn sweeps(&self, project: &str) -> Result<Vec<SweepFound>, WandbError> {
        let what = format!("list the sweeps of {project}");
        let mut variables = json!({"entity": self.entity, "project": project, "first": PAGE});
        let mut sweeps = Vec::new();
        loop {
            let data = self.ask(&what, SWEEPS, variables.clone()).await?;
            if data["entity"].is_null() {
                let words = format!("there is no entity {:?} that this API key may see", self.entity);
                return Err(WandbError::Refused { what, words });
            }
            let page = &data["project"]["sweeps"];
            sweeps.extend(page["edges"].as_array().into_iter().flatten().map(|edge| sweep(&edge["node"])));
            match next(page) {
                Some(cursor) => variables["cursor"] = cursor,
                None => return Ok(sweeps),
            }
        }
    }

    /// Makes a sweep: its name, and what W&B finds strange in its configuration.
    ///
    /// # Errors
    /// See [`Wandb::ask`]; W&B's words where it does not take the configuration.
    pub async fn make_sweep(
        &self,
        project: &str,
        config: &str,
        description: &str,
    ) -> Result<(String, Vec<String>), WandbError> {
        let variables =
            json!({"config": config, "description": description, "entity": self.entity, "project": project});
        let what = format!("make a sweep in {project}");
        let data = self.ask(&what, MAKE, variables).await?;
        let made = &data["upsertSweep"];
        let Some(name) = made["sweep"]["name"].as_str() else {
            return Err(WandbError::Refused { what, words: "it says no reason".into() });
        };
        let warnings = made["configValidationWarnings"].as_array().into_iter().flatten();
        Ok((name.to_owned(), warnings.filter_map(Value::as_str).map(str::to_owned).collect()))
    }

    /// Changes the state of a sweep.
    ///
    /// # Errors
    /// See [`Wandb::ask`].
    pub async fn set_sweep_state(&self, project: &str, sweep: &SweepFound, state: &str) -> Result<(), WandbError> {
        let variables = json!({"id": sweep.id, "state": state, "entity": self.entity, "project": project});
        self.ask(&format!("change the state of sweep {}", sweep.name), STATE, variables).await.map(drop)
    }

    /// Every run of a sweep.
    ///
    /// # Errors
    /// See [`Wandb::ask`].
    pub async fn sweep_runs(&self, project: &str, sweep: &str) -> Result<Vec<SweepRun>, WandbError> {
        let filters = json!({"$and": [{"sweep": sweep}]}).to_string();
        let mut variables = json!({"entity": self.entity, "project": project, "filters": filters, "first": PAGE});
        let mut runs = Vec::new();
        loop {
            let data = self.ask(&format!("list the runs of sweep {sweep}"), RUNS, variables.clone()).await?;
            let page = &data["project"]["runs"];
            runs.extend(page["edges"].as_array().into_iter().flatten().map(|edge| run(&edge["node"])));
            match next(page) {
                Some(cursor) => variables["cursor"] = cursor,
                None => return Ok(runs),
            }
        }
    }
}

/// Where the next page begins.
fn next(page: &Value) -> Option<Value> {
    let more = page["pageInfo"]["hasNextPage"] == true && page["pageInfo"]["endCursor"].is_string();
    more.then(|| page["pageInfo"]["endCursor"].clone())
}

fn sweep(node: &Value) -> SweepFound {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    SweepFound {
        id: text("id"),
        name: text("name"),
        display_name: node["displayName"].as_str().map(str::to_owned),
        description: text("description"),
        state: SweepState::of(&text("state")),
        config: text("config"),
        created: text("createdAt"),
        runs: node["runCount"].as_u64().unwrap_or_default(),
        expected: node["runCountExpected"].as_u64(),
    }
}

fn run(node: &Value) -> SweepRun {
    // W&B answers JSON as text; of another form it is nothing that is shown.
    let parsed = |key: &str| serde_json::from_str(node[key].as_str().unwrap_or("{}")).unwrap_or(Value::Null);
    SweepRun {
        name: node["name"].as_str().unwrap_or_default().to_owned(),
        state: node["state"].as_str().unwrap_or_default().to_owned(),
        config: parsed("config"),
        summary: parsed("summaryMetrics"),
    }
}
