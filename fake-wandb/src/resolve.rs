//! What each field of an answer holds.

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonValue;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::mutation;
use crate::queue::{Item, Queue, ResourceConfig};
use crate::search::Method;
use crate::server::Shared;
use crate::sweep::{Sweep, SweepAgent};
use crate::world::{Agent, Refusal, Run, RunKey, World, id};

/// As many as the SDK asks for (`runQueueItems(first: 100)`), and runs of a page.
const PAGE: usize = 100;

/// What an object of an answer is.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Query,
    Mutation,
    Entity(String),
    Project(String, String),
    Queue(String),
    Run(RunKey),
    Sweep(String),
    SweepAgent(String),
    /// All its fields are at hand; one that is not named is null.
    Plain(&'static str, Vec<(&'static str, Part)>),
}

/// What a field holds.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Null,
    Leaf(Value),
    Object(What),
    List(Vec<What>),
}

/// A field without fields of its own.
pub(crate) fn leaf(value: impl Into<Value>) -> Part {
    Part::Leaf(value.into())
}

/// An object, and the world it is in.
pub(crate) struct Object<'s> {
    pub(crate) shared: &'s Shared,
    pub(crate) what: What,
}

impl ObjectValue for Object<'_> {
    fn type_name(&self) -> &str {
        match &self.what {
            What::Query => "Query",
            What::Mutation => "Mutation",
            What::Entity(_) => "Entity",
            What::Project(..) => "Project",
            What::Queue(_) => "RunQueue",
            What::Run(_) => "Run",
            What::Sweep(_) => "Sweep",
            What::SweepAgent(_) => "Agent",
            What::Plain(name, _) => name,
        }
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Result<ResolvedValue<'a>, FieldError> {
        let arguments =
            serde_json::to_value(info.arguments()).map_err(|error| FieldError { message: error.to_string() })?;
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let found = self.shared.with(|world| match &self.what {
            What::Mutation => mutation::perform(world, info.field_name(), &arguments, &self.shared.base),
            other => read(world, other, info.field_name(), &arguments),
        });
        match found {
            Ok(Part::Null) => Ok(ResolvedValue::null()),
            Ok(Part::Leaf(Value::Array(items))) if info.field_definition().ty.is_list() => {
                let leaves = items.into_iter().map(|item| ResolvedValue::Leaf(JsonValue::from(item)));
                Ok(ResolvedValue::list(leaves.collect::<Vec<_>>()))
            }
            Ok(Part::Leaf(value)) => Ok(ResolvedValue::Leaf(JsonValue::from(value))),
            Ok(Part::Object(what)) => Ok(ResolvedValue::object(Object { shared: self.shared, what })),
            Ok(Part::List(items)) => {
                let shared = self.shared;
                Ok(ResolvedValue::list(
                    items.into_iter().map(move |what| ResolvedValue::object(Object { shared, what })),
                ))
            }
            Err(Refusal { message }) => Err(FieldError { message }),
        }
    }
}

fn read(world: &World, what: &What, field: &str, arguments: &Map<String, Value>) -> Result<Part, Refusal> {
    match what {
        What::Query => query(world, field, arguments),
        What::Mutation => Err(Refusal::new("a mutation is not read")),
        What::Entity(name) => Ok(entity(world, name, field, arguments)),
        What::Project(owner, name) => project(world, (owner, name), field, arguments),
        What::Queue(id) => match world.queues.get(id) {
            Some(queue) => Ok(queue_field(world, queue, field, arguments)),
            None => Err(Refusal::new(format!("run queue {id} is gone"))),
        },
        What::Run(key) => match world.runs.get(key) {
            Some(run) => Ok(run_field(key, run, field)),
            None => Err(Refusal::new(format!("run {} is gone", key.name))),
        },
        What::Sweep(id) => match world.sweeps.get(id) {
            Some(sweep) => Ok(sweep_field(world, sweep, field, arguments)),
            None => Err(Refusal::new(format!("sweep {id} is gone"))),
        },
        What::SweepAgent(id) => match world.sweep_agents.get(id) {
            Some(agent) => Ok(sweep_agent_field(agent, field)),
            None => Err(Refusal::new(format!("agent {id} is gone"))),
        },
        What::Plain(_, fields) => {
            let found = fields.iter().find(|(name, _)| *name == field);
            Ok(found.map_or(Part::Null, |(_, part)| part.clone()))
        }
    }
}

fn query(world: &World, field: &str, arguments: &Map<String, Value>) -> Result<Part, Refusal> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    Ok(match field {
        "viewer" => Part::Object(viewer(world)),
        "serverInfo" => Part::Object(server_info()),
        "entity" => match world.entity(text("name").unwrap_or(&world.config.username)) {
            Some(entity) => Part::Object(What::Entity(entity.name)),
            None => Part::Null,
        },
        "project" | "model" => {
            let owner = text("entityName").filter(|name| !name.is_empty()).unwrap_or(&world.config.username);
            let key = (owner.to_owned(), text("name").unwrap_or_default().to_owned());
            let there = world.entity(owner).is_some() && world.projects.contains_key(&key);
            if there { Part::Object(What::Project(key.0, key.1)) } else { Part::Null }
        }
        "models" => {
            let owner = world.own_entity(text("entityName"))?;
            let names = world.projects.keys().filter(|(entity, _)| *entity == owner);
            connection(
                "ProjectConnection",
                "ProjectEdge",
                names.map(|(entity, name)| What::Project(entity.clone(), name.clone())),
            )
        }
        "launchAgent" => {
            let agent = text("id").and_then(|id| world.agents.get(id));
            match agent.filter(|agent| world.entity(&agent.entity).is_some()) {
                Some(agent) => Part::Object(agent_object(agent)),
                None => Part::Null,
            }
        }
        // No artifact is kept, and no organization.
        _ => Part::Null,
    })
}

fn connection(name: &'static str, edge: &'static str, nodes: impl Iterator<Item = What>) -> Part {
    let edges = nodes
        .enumerate()
        .map(|(at, node)| What::Plain(edge, vec![("node", Part::Object(node)), ("cursor", leaf(at.to_string()))]));
    let page = What::Plain("PageInfo", vec![("hasNextPage", leaf(false)), ("endCursor", Part::Null)]);
    Part::Object(What::Plain(name, vec![("edges", Part::List(edges.collect())), ("pageInfo", Part::Object(page))]))
}

/// A page of a connection. A cursor is the place of its node, plus one.
fn paged((name, edge): (&'static str, &'static str), nodes: Vec<What>, arguments: &Map<String, Value>) -> Part {
    let after = arguments.get("after").and_then(Value::as_str).and_then(|cursor| cursor.parse::<usize>().ok());
    let (after, total) = (after.unwrap_or(0), nodes.len());
    let edges: Vec<What> = nodes
        .into_iter()
        .enumerate()
        .skip(after)
        .take(page(arguments))
        .map(|(at, node)| What::Plain(edge, vec![("node", Part::Object(node)), ("cursor", leaf((at + 1).to_string()))]))
        .collect();
    let end = after + edges.len();
    let cursor = if edges.is_empty() { Part::Null } else { leaf(end.to_string()) };
    let more = What::Plain("PageInfo", vec![("hasNextPage", leaf(end < total)), ("endCursor", cursor)]);
    Part::Object(What::Plain(name, vec![("edges", Part::List(edges)), ("pageInfo", Part::Object(more))]))
}

/// The sweeps of a project, the newest first.
fn sweeps<'w>(world: &'w World, (owner, name): (&str, &str)) -> Vec<&'w Sweep> {
    let mut found: Vec<&Sweep> =
        world.sweeps.values().filter(|sweep| sweep.entity == owner && sweep.project == name).collect();
    found.sort_by(|one, other| (other.created, &other.name).cmp(&(one.created, &one.name)));
    found
}

fn sweep_field(world: &World, sweep: &Sweep, field: &str, arguments: &Map<String, Value>) -> Part {
    let agents = || world.sweep_agents.values().filter(|agent| agent.sweep == sweep.id);
    match field {
        "id" => leaf(sweep.id.clone()),
        "name" => leaf(sweep.name.clone()),
        "displayName" => leaf(sweep.display_name.clone()),
        "method" => leaf(match sweep.search.method {
            Method::Grid => "grid",
            Method::Random => "random",
        }),
        "state" => leaf(sweep.state.clone()),
        "description" => leaf(sweep.description.clone()),
        "config" => leaf(sweep.config.clone()),
        "createdAt" => leaf(time(sweep.created)),
        "updatedAt" => leaf(time(sweep.updated)),
        "heartbeatAt" => agents().map(|agent| agent.heartbeat).max().map_or(Part::Null, |at| leaf(time(at))),
        "earlyStopJobRunning" => leaf(false),
        "controller" => leaf(sweep.controller.clone()),
        "scheduler" => leaf(sweep.scheduler.clone()),
        "runCount" => leaf(sweep.runs.len()),
        "runCountExpected" => leaf(sweep.search.expected()),
        "project" => Part::Object(What::Project(sweep.entity.clone(), sweep.project.clone())),
        "runs" => {
            let runs = sweep.runs.iter().map(|name| sweep.run(name)).filter(|key| world.runs.contains_key(key));
            paged(("RunConnection", "RunEdge"), runs.map(What::Run).collect(), arguments)
        }
        "agents" => {
            connection("AgentConnection", "AgentEdge", agents().map(|agent| What::SweepAgent(agent.id.clone())))
        }
        _ => Part::Null,
    }
}

fn sweep_agent_field(agent: &SweepAgent, field: &str) -> Part {
    match field {
        "id" | "name" => leaf(agent.id.clone()),
        "host" => leaf(agent.host.clone()),
        "state" => leaf(if agent.told_to_exit { "FINISHED" } else { "RUNNING" }),
        "totalRuns" => leaf(agent.total),
        "createdAt" => leaf(time(agent.created)),
        "heartbeatAt" => leaf(time(agent.heartbeat)),
        _ => Part::Null,
    }
}

fn viewer(world: &World) -> What {
    let name = &world.config.username;
    let own = std::iter::once(name.clone());
    let teams =
        world.config.entities.iter().filter(|entity| entity.mine && entity.team).map(|entity| entity.name.clone());
    let key = What::Plain("ApiKey", vec![("id", leaf(id("ApiKey", "1"))), ("name", leaf("***"))]);
    What::Plain(
        "User",
        vec![
            ("id", leaf(id("User", "1"))),
            ("name", leaf(name.clone())),
            ("username", leaf(name.clone())),
            ("email", leaf(format!("{name}@example.com"))),
            ("admin", leaf(false)),
            ("flags", leaf("{}")),
            ("entity", leaf(name.clone())),
            ("apiKeys", connection("ApiKeyConnection", "ApiKeyEdge", std::iter::once(key))),
            ("teams", connection("EntityConnection", "EntityEdge", own.chain(teams).map(What::Entity))),
        ],
    )
}

/// No feature is on: the SDK takes its older ways, which every server has.
fn server_info() -> What {
    What::Plain(
        "ServerInfo",
        vec![("cliVersionInfo", leaf(json!({"max_cli_version": "99.0.0"}))), ("features", Part::List(Vec::new()))],
    )
}

fn entity(world: &World, name: &str, field: &str, arguments: &Map<String, Value>) -> Part {
    let found = world.entity(name);
    match field {
        "id" => leaf(id("Entity", name)),
        "name" => leaf(name),
        "isTeam" => leaf(found.is_some_and(|entity| entity.team)),
        "xxhashDigestsEnabled" => leaf(false),
        "defaultResourceConfig" => {
            let config = arguments.get("id").and_then(Value::as_str).and_then(|id| world.configs.get(id));
            config
                .filter(|config| config.entity == name)
                .map_or(Part::Null, |config| Part::Object(config_object(config)))
        }
        _ => Part::Null,
    }
}

fn config_object(config: &ResourceConfig) -> What {
    let variables = config.variables.iter().map(|variable| {
        let fields = vec![("name", leaf(variable.name.clone())), ("schema", leaf(variable.text.clone()))];
        What::Plain("TemplateVariable", fields)
    });
    What::Plain(
        "DefaultResourceConfig",
        vec![
            ("config", leaf(config.config.clone())),
            ("resource", leaf(config.resource.clone())),
            ("templateVariables", Part::List(variables.collect())),
        ],
    )
}

fn project(
    world: &World,
    (owner, name): (&str, &str),
    field: &str,
    arguments: &Map<String, Value>,
) -> Result<Part, Refusal> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let key = (owner.to_owned(), name.to_owned());
    let Some(project) = world.projects.get(&key) else { return Ok(Part::Null) };
    let run = |name: &str| {
        let key = RunKey::new(owner, &key.1, name);
        if world.runs.contains_key(&key) { Part::Object(What::Run(key)) } else { Part::Null }
    };
    Ok(match field {
        "id" => leaf(project.id.clone()),
        "name" => leaf(name),
        "entityName" => leaf(owner),
        "description" => leaf(project.description.clone()),
        "access" => leaf("PRIVATE"),
        "createdAt" => leaf(time(project.created)),
        "isBenchmark" | "readOnly" => leaf(false),
        "entity" => Part::Object(What::Entity(owner.to_owned())),
        "user" => Part::Object(viewer(world)),
        "runQueues" => {
            let mut queues: Vec<&Queue> =
                world.queues.values().filter(|queue| queue.entity == owner && queue.project == name).collect();
            queues.sort_by(|one, other| one.name.cmp(&other.name));
            Part::List(queues.into_iter().map(|queue| What::Queue(queue.id.clone())).collect())
        }
        "runQueue" => {
            let queue = text("name").and_then(|wanted| world.queue(owner, name, wanted));
            queue.map_or(Part::Null, |queue| Part::Object(What::Queue(queue.id.clone())))
        }
        "run" | "bucket" => text("name").map_or(Part::Null, run),
        "runs" => {
            let keys = runs(world, (owner, name), text("filters"))?;
            paged(("RunConnection", "RunEdge"), keys.into_iter().map(What::Run).collect(), arguments)
        }
        "sweep" => {
            let found = text("sweepName").and_then(|wanted| world.sweep(owner, name, wanted));
            found.map_or(Part::Null, |sweep| Part::Object(What::Sweep(sweep.id.clone())))
        }
        "sweeps" => {
            let found = sweeps(world, (owner, name)).into_iter().map(|sweep| What::Sweep(sweep.id.clone()));
            paged(("SweepConnection", "SweepEdge"), found.collect(), arguments)
        }
        "totalSweeps" => leaf(sweeps(world, (owner, name)).len()),
        "runCount" => leaf(runs(world, (owner, name), text("filters"))?.len()),
        _ => Part::Null,
    })
}

fn page(arguments: &Map<String, Value>) -> usize {
    let first = arguments.get("first").and_then(Value::as_u64);
    first.and_then(|first| usize::try_from(first).ok()).unwrap_or(PAGE)
}

/// The runs of a project that a filter names. Of MongoDB's language only `$and` and equality are known: of the fields `state`,
/// `jobType`, `name`, `displayName`, `group`, `host`, `sweep`.
fn runs(world: &World, (owner, name): (&str, &str), filters: Option<&str>) -> Result<Vec<RunKey>, Refusal> {
    let filters = filters.map(|text| crate::queue::parse_object("the filter", text)).transpose()?.unwrap_or_default();
    let mut filters: Vec<(String, Value)> = filters.into_iter().collect();
    if let Some(at) = filters.iter().position(|(field, _)| field == "$and") {
        let (_, all) = filters.remove(at);
        let more = all.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
        filters.extend(more.map(|(field, wanted)| (field.clone(), wanted.clone())));
    }
    let known = ["state", "jobType", "name", "displayName", "group", "host", "sweep"];
    if let Some((field, value)) =
        filters.iter().find(|(field, value)| !known.contains(&field.as_str()) || !value.is_string())
    {
        return Err(Refusal::new(format!("the filter {field}: {value} is more than this server understands")));
    }
    let fits = |key: &RunKey, run: &Run| {
        filters.iter().all(|(field, wanted)| {
            match run_field(key, run, if field == "sweep" { "sweepName" } else { field }) {
                Part::Leaf(value) => value == *wanted,
                Part::Null | Part::Object(_) | Part::List(_) => false,
            }
        })
    };
    let of_project = world.runs.iter().filter(|(key, _)| key.entity == owner && key.project == name);
    Ok(of_project.filter(|(key, run)| fits(key, run)).map(|(key, _)| key.clone()).collect())
}

fn queue_field(world: &World, queue: &Queue, field: &str, arguments: &Map<String, Value>) -> Part {
    match field {
        "id" => leaf(queue.id.clone()),
        "name" => leaf(queue.name.clone()),
        "createdBy" => leaf(queue.created_by.clone()),
        "access" => leaf(queue.access.clone()),
        "defaultResourceConfigID" => leaf(queue.config.clone()),
        "prioritizationMode" => leaf(queue.prioritization.name()),
        "externalLinks" => leaf(queue.links.clone()),
        "runQueueItems" => {
            let items = world.items_of(&queue.id).into_iter().take(page(arguments)).map(item_object);
            connection("RunQueueItemConnection", "RunQueueItemEdge", items)
        }
        "runQueueItem" => {
            let item = arguments.get("id").and_then(Value::as_str).and_then(|id| world.items.get(id));
            item.filter(|item| item.queue == queue.id).map_or(Part::Null, |item| Part::Object(item_object(item)))
        }
        _ => Part::Null,
    }
}

fn item_object(item: &Item) -> What {
    let fields = vec![
        ("id", leaf(item.id.clone())),
        ("state", leaf(item.state.name())),
        ("associatedRunId", leaf(item.run.clone())),
    ];
    What::Plain("RunQueueItem", fields)
}

fn agent_object(agent: &Agent) -> What {
    What::Plain(
        "LaunchAgent",
        vec![
            ("id", leaf(agent.id.clone())),
            ("name", leaf(agent.name.clone())),
            ("runQueues", leaf(agent.queues.clone())),
            ("hostname", leaf(agent.hostname.clone())),
            ("agentStatus", leaf(agent.status.clone())),
            ("stopPolling", leaf(agent.stop_polling)),
            ("heartbeatAt", leaf(time(agent.heartbeat))),
        ],
    )
}

/// As W&B writes times.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn run_field(key: &RunKey, run: &Run, field: &str) -> Part {
    let lines = |file: &str| leaf(run.lines.get(file).copied().unwrap_or_default());
    match field {
        "id" => leaf(key.id()),
        "name" => leaf(key.name.clone()),
        "displayName" => leaf(run.display_name.clone()),
        "description" => leaf(run.description.clone()),
        "notes" => leaf(run.notes.clone()),
        "tags" => leaf(run.tags.clone()),
        "state" => leaf(run.state.clone()),
        "config" => leaf(run.config.clone().unwrap_or_else(|| "{}".into())),
        "summaryMetrics" => leaf(run.summary.clone().unwrap_or_else(|| "{}".into())),
        "systemMetrics" => leaf("{}"),
        "sweepName" => leaf(run.sweep.clone()),
        "group" => leaf(run.group.clone()),
        "jobType" => leaf(run.job_type.clone()),
        "host" => leaf(run.host.clone()),
        "commit" => leaf(run.commit.clone()),
        "readOnly" => leaf(false),
        "createdAt" => leaf(time(run.created)),
        "heartbeatAt" => leaf(time(run.heartbeat)),
        "project" => Part::Object(What::Project(key.entity.clone(), key.project.clone())),
        "stopped" | "shouldStop" => leaf(run.stopped),
        "failed" => leaf(run.state == "failed"),
        "running" => leaf(run.state == "running"),
        "exitcode" => leaf(run.exit_code),
        "logLineCount" => lines("output.log"),
        "historyLineCount" => lines("wandb-history.jsonl"),
        "eventsLineCount" => lines("wandb-events.jsonl"),
        "historyTail" | "eventsTail" => leaf("[]"),
        "historyKeys" => leaf(json!({})),
        "sampledHistory" => leaf(Vec::<Value>::new()),
        "wandbConfig" => leaf("{}"),
        _ => Part::Null,
    }
}
