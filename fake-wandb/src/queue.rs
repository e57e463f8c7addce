//! Run queues and what is in them.
//!
//! An item is pending, leased to the agent that popped it, claimed once that agent acknowledged it, and failed when an agent says so.
//! There is no more to its life: that its run has begun or ended is told by the run.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::template;
use crate::world::Refusal;

/// What a run queue may serve (`create_run_queue` in wandb 0.31.0, `wandb/apis/public/api.py`).
pub const RESOURCES: [&str; 5] = ["local-container", "local-process", "kubernetes", "sagemaker", "gcp-vertex"];
/// The longest name of a queue (same place).
const NAME_LIMIT: usize = 64;
/// The priority of an item that names none: `medium` of critical, high, medium, low (`wandb/cli/cli.py`, 0.31.0).
const MEDIUM: i64 = 2;

/// How items of a queue are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Prioritization {
    /// First come, first served.
    #[serde(rename = "DISABLED")]
    Disabled,
    /// By priority, then first come.
    V0,
}

impl Prioritization {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::V0 => "V0",
        }
    }

    /// The one of that name; the schema has let no other through.
    pub(crate) fn of(name: &str) -> Self {
        if name == "V0" { Self::V0 } else { Self::Disabled }
    }
}

/// A template variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its JSON schema.
    pub schema: Value,
    /// The same as compact text, in the order that was given: the server answers it so.
    pub text: String,
}

/// A queue's configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResourceConfig {
    /// Its id.
    pub id: String,
    /// The entity that owns it.
    pub entity: String,
    /// What the queue serves: `kubernetes`.
    pub resource: String,
    /// `{"resource_args": {RESOURCE: {…}}}`.
    pub config: Value,
    /// What an item may fill in.
    pub variables: Vec<Variable>,
}

/// A run queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queue {
    /// Its id.
    pub id: String,
    /// Its entity.
    pub entity: String,
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Who made it.
    pub created_by: String,
    /// `PROJECT` or `USER`.
    pub access: String,
    /// The id of its configuration.
    pub config: Option<String>,
    /// How its items are ordered.
    pub prioritization: Prioritization,
    /// `{"links": [{"label", "url"}]}`.
    pub links: Value,
}

/// Where an item is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ItemState {
    /// It waits.
    Pending,
    /// An agent has popped it.
    Leased,
    /// An agent has acknowledged it.
    Claimed,
    /// An agent has given it up.
    Failed,
}

impl ItemState {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Leased => "LEASED",
            Self::Claimed => "CLAIMED",
            Self::Failed => "FAILED",
        }
    }
}

/// What an agent said of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its words.
    pub message: String,
    /// At which stage: `agent`, `run`, `Kubernetes`.
    pub stage: String,
    /// Files of the agent's run that tell more.
    pub files: Vec<String>,
}

/// One item of a queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// The id of its queue.
    pub queue: String,
    /// Its place in the order of coming.
    pub number: u64,
    /// 0 is the highest.
    pub priority: i64,
    /// What to run, with the queue's configuration filled in.
    pub run_spec: Value,
    /// Where it is in its life.
    pub state: ItemState,
    /// The agent that popped it.
    pub agent: Option<String>,
    /// The name of its run, once claimed.
    pub run: Option<String>,
    /// Why it failed.
    pub error: Option<Note>,
    /// What an agent warned of.
    pub warnings: Vec<Note>,
    /// When a lease of it ends.
    #[serde(skip)]
    pub leased_until: Option<Instant>,
}

impl Item {
    /// Whether it may be popped now.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        let expired = self.leased_until.is_none_or(|until| until <= now);
        self.state == ItemState::Pending || (self.state == ItemState::Leased && expired)
    }

    /// Its place in the line of its queue.
    pub(crate) fn place(&self, prioritization: Prioritization) -> (i64, u64) {
        match prioritization {
            Prioritization::Disabled => (0, self.number),
            Prioritization::V0 => (self.priority, self.number),
        }
    }
}

/// A name that a queue may have.
///
/// # Errors
/// It is empty or too long.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.chars().count() > NAME_LIMIT {
        return Err(Refusal::new(format!(
            "a queue's name has 1 to {NAME_LIMIT} characters, not {}",
            name.chars().count()
        )));
    }
    Ok(())
}

/// A configuration as a client gave it.
///
/// # Errors
/// The resource is none that W&B knows, or the texts are not what they must be.
pub(crate) fn parse_config(resource: &str, config: &str) -> Result<Value, Refusal> {
    if !RESOURCES.contains(&resource) {
        return Err(Refusal::new(format!("{resource} is no resource type: {}", RESOURCES.join(", "))));
    }
    let config = parse_object("the resource config", config)?;
    let args = config.get("resource_args").and_then(Value::as_object);
    if args.is_none_or(|args| !args.is_empty() && !args.contains_key(resource)) {
        let shape = format!("the resource config must be {{\"resource_args\": {{\"{resource}\": {{…}}}}}}");
        return Err(Refusal::new(shape));
    }
    Ok(Value::Object(config))
}

/// Template variables as a client gave them: `{NAME: {"schema": {…}}}`.
///
/// # Errors
/// They are something else.
pub(crate) fn parse_variables(text: Option<&str>) -> Result<Vec<Variable>, Refusal> {
    let Some(text) = text else { return Ok(Vec::new()) };
    // This map keeps the order that was given, which the server's answer has too.
    type Ordered = apollo_compiler::response::JsonMap;
    let parsed: Ordered = serde_json::from_str(text)
        .map_err(|error| Refusal::new(format!("the template variables are no JSON object: {error}")))?;
    let mut variables = Vec::new();
    for (name, value) in &parsed {
        let name = name.as_str().to_owned();
        let schema = value.as_object().and_then(|fields| fields.get("schema"));
        let schema = schema.ok_or_else(|| Refusal::new(format!("template variable {name} has no schema")))?;
        let text = schema.to_string();
        let schema: Value =
            serde_json::from_str(&text).map_err(|error| Refusal::new(format!("the schema of {name}: {error}")))?;
        if !schema.is_object() {
            return Err(Refusal::new(format!("the schema of template variable {name} is no object")));
        }
        variables.push(Variable { name, schema, text });
    }
    Ok(variables)
}

/// JSON text that must be an object.
///
/// # Errors
/// It is not.
pub(crate) fn parse_object(what: &str, text: &str) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Refusal::new(format!("{what} is no JSON object: {other}"))),
        Err(error) => Err(Refusal::new(format!("{what} is no JSON: {error}"))),
    }
}

/// What an item runs: the client's specification, with the queue's resource and its configuration filled in where the client gave
/// none of its own. (That the server does this is seen in the answer of `pushToRunQueueByName`; what it does with a client's own
/// arguments is not known.)
///
/// # Errors
/// The specification or a value is not what it must be.
pub(crate) fn run_spec(spec: &str, values: Option<&str>, config: Option<&ResourceConfig>) -> Result<Value, Refusal> {
    let mut spec = parse_object("the run spec", spec)?;
    let given = values.map(|text| parse_object("the template variable values", text)).transpose()?.unwrap_or_default();
    let Some(config) = config else {
        return match given.keys().next() {
            Some(name) => Err(Refusal::new(format!("template variable {name}: the queue has no configuration"))),
            None => Ok(Value::Object(spec)),
        };
    };
    let schemas: Vec<(String, Value)> =
        config.variables.iter().map(|variable| (variable.name.clone(), variable.schema.clone())).collect();
    let values = template::values(&schemas, &given)?;
    if spec.get("resource").is_none_or(Value::is_null) {
        spec.insert("resource".into(), Value::String(config.resource.clone()));
    }
    let own = spec.get("resource_args").and_then(Value::as_object).is_some_and(|args| !args.is_empty());
    if !own && let Some(args) = config.config.get("resource_args") {
        spec.insert("resource_args".into(), template::fill(args, &values));
    }
    Ok(Value::Object(spec))
}

/// The priority of an item.
///
/// # Errors
/// There is none of that number.
pub(crate) fn priority(number: Option<i64>) -> Result<i64, Refusal> {
    match number {
        None => Ok(MEDIUM),
        Some(number @ 0..=3) => Ok(number),
        Some(other) => Err(Refusal::new(format!("{other} is no priority: 0 (critical) to 3 (low)"))),
    }
}
