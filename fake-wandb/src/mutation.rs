//! What changes the world. Each function is one field of the schema's `Mutation`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::queue::{self, Item, ItemState, Note, Prioritization, Queue, ResourceConfig};
use crate::resolve::{Part, What, leaf};
use crate::sweep;
use crate::world::{Agent, Refusal, RunKey, World, id};

/// The fields of an input object. Its shape was checked against the schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Input<'a> {
    pub(crate) fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A field that the schema requires.
    fn required(self, name: &str) -> Result<&'a str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::new(format!("{name} is required")))
    }

    fn texts(self, name: &str) -> Vec<String> {
        let items = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn number(self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }
}

type Answer = Result<Vec<(&'static str, Part)>, Refusal>;

/// Does it, and answers the payload.
///
/// # Errors
/// It cannot be done; nothing is changed then.
pub(crate) fn perform(
    world: &mut World,
    field: &str,
    arguments: &Map<String, Value>,
    base: &str,
) -> Result<Part, Refusal> {
    let empty = Map::new();
    let input = Input(arguments.get("input").and_then(Value::as_object).unwrap_or(&empty));
    let (payload, answer): (&'static str, Answer) = match field {
        "createDefaultResourceConfig" => ("CreateDefaultResourceConfigPayload", create_config(world, input)),
        "createRunQueue" => ("CreateRunQueuePayload", create_queue(world, input)),
        "upsertRunQueue" => ("UpsertRunQueuePayload", upsert_queue(world, input)),
        "deleteRunQueues" => ("DeleteRunQueuesPayload", delete_queues(world, input)),
        "pushToRunQueue" => ("PushToRunQueuePayload", push(world, input)),
        "pushToRunQueueByName" => ("PushToRunQueueByNamePayload", push_by_name(world, input)),
        "popFromRunQueue" => match pop(world, input)? {
            Some(payload) => ("PopFromRunQueuePayload", Ok(payload)),
            None => return Ok(Part::Null),
        },
        "ackRunQueueItem" => ("AckRunQueueItemPayload", ack(world, input)),
        "failRunQueueItem" => ("FailRunQueueItemPayload", fail(world, input)),
        "updateRunQueueItemWarning" => ("UpdateRunQueueItemWarningPayload", warn(world, input)),
        "deleteFromRunQueue" => ("DeleteFromRunQueuePayload", delete_item(world, input)),
        "createLaunchAgent" => ("CreateLaunchAgentPayload", create_agent(world, input)),
        "updateLaunchAgent" => ("UpdateLaunchAgentPayload", update_agent(world, input)),
        "upsertModel" => ("UpsertModelPayload", upsert_project(world, input)),
        "upsertBucket" => ("UpsertBucketPayload", upsert_run(world, input)),
        "createRunFiles" => ("CreateRunFilesPayload", create_files(world, input, base)),
        "markRunFilesUploaded" => ("MarkRunFilesUploadedPayload", mark_uploaded(world, input)),
        "stopRun" => ("StopRunPayload", stop_run(world, input)),
        "upsertSweep" => ("UpsertSweepPayload", upsert_sweep(world, input)),
        "createAgent" => ("CreateAgentPayload", create_sweep_agent(world, input)),
        "agentHeartbeat" => ("AgentHeartbeatPayload", sweep_heartbeat(world, input)),
        other => {
            return Err(Refusal::new(format!("{other} is in the schema and nobody answers it: a bug of this server")));
        }
    };
    let mut fields = answer?;
    fields.push(("clientMutationId", leaf(input.text("clientMutationId"))));
    Ok(Part::Object(What::Plain(payload, fields)))
}

fn success() -> Answer {
    Ok(vec![("success", leaf(true))])
}

fn create_config(world: &mut World, input: Input<'_>) -> Answer {
    let entity = world.own_entity(input.text("entityName"))?;
    let resource = input.required("resource")?;
    let config = queue::parse_config(resource, input.required("config")?)?;
    let variables = queue::parse_variables(input.text("templateVariables"))?;
    let id = id("DefaultResourceConfig", &world.next().to_string());
    let made = ResourceConfig { id: id.clone(), entity, resource: resource.into(), config, variables };
    world.configs.insert(id.clone(), made);
    Ok(vec![("success", leaf(true)), ("defaultResourceConfigID", leaf(id))])
}

fn create_queue(world: &mut World, input: Input<'_>) -> Answer {
    let (entity, project) = world.own_project(input.required("entityName")?, input.required("projectName")?)?;
    let name = input.required("queueName")?;
    queue::check_name(name)?;
    if world.queue(&entity, &project, name).is_some() {
        return Err(Refusal::new(format!("run queue {entity}/{project}/{name} is there already")));
    }
    let config = input.text("defaultResourceConfigID").map(str::to_owned);
    if let Some(config) = &config
        && world.configs.get(config).is_none_or(|found| found.entity != entity)
    {
        return Err(Refusal::new(format!("default resource config {config} is not there")));
    }
    let prioritization = Prioritization::of(input.text("prioritizationMode").unwrap_or_default());
    let made = Queue {
        id: id("RunQueue", &world.next().to_string()),
        entity,
        project,
        name: name.into(),
        created_by: world.config.username.clone(),
        access: input.required("access")?.into(),
        config,
        prioritization,
        links: json!({"links": []}),
    };
    let id = made.id.clone();
    world.queues.insert(id.clone(), made);
    Ok(vec![("success", leaf(true)), ("queueID", leaf(id))])
}

fn upsert_queue(world: &mut World, input: Input<'_>) -> Answer {
    let (entity, project) = world.own_project(input.required("entityName")?, input.required("projectName")?)?;
    let name = input.required("queueName")?;
    queue::check_name(name)?;
    let resource = input.required("resourceType")?;
    let config = queue::parse_config(resource, input.required("resourceConfig")?)?;
    let variables = queue::parse_variables(input.text("templateVariables"))?;
    let links = input.text("externalLinks").map(|text| queue::parse_object("the external links", text)).transpose()?;
    let links = links.map(Value::Object);
    let prioritization = input.text("prioritizationMode").map(Prioritization::of);
    let found = world.queue(&entity, &project, name).cloned();
    let mut queue = match found {
        Some(queue) => queue,
        None => Queue {
            id: id("RunQueue", &world.next().to_string()),
            entity: entity.clone(),
            project,
            name: name.into(),
            created_by: world.config.username.clone(),
            access: "PROJECT".into(),
            config: None,
            prioritization: Prioritization::Disabled,
            links: json!({"links": []}),
        },
    };
    let config_id = match &queue.config {
        Some(config) => config.clone(),
        None => id("DefaultResourceConfig", &world.next().to_string()),
    };
    let made = ResourceConfig { id: config_id.clone(), entity, resource: resource.into(), config, variables };
    queue.config = Some(config_id.clone());
    queue.prioritization = prioritization.unwrap_or(queue.prioritization);
    queue.links = links.unwrap_or(queue.links);
    world.configs.insert(config_id, made);
    world.queues.insert(queue.id.clone(), queue);
    Ok(vec![("success", leaf(true)), ("configSchemaValidationErrors", Part::Null)])
}

/// The queue of that id, if the key may use it.
fn own_queue(world: &World, id: &str) -> Result<Queue, Refusal> {
    let queue = world.queues.get(id).filter(|queue| world.entity(&queue.entity).is_some());
    queue.cloned().ok_or_else(|| Refusal::new(format!("run queue {id} is not there")))
}

fn own_item<'w>(world: &'w mut World, input: Input<'_>) -> Result<&'w mut Item, Refusal> {
    let id = input.required("runQueueItemId")?;
    let gone = || Refusal::new(format!("run queue item {id} is not there"));
    let queue = world.items.get(id).map(|item| item.queue.clone()).ok_or_else(gone)?;
    own_queue(world, &queue)?;
    world.items.get_mut(id).ok_or_else(gone)
}

fn delete_queues(world: &mut World, input: Input<'_>) -> Answer {
    let queues = input.texts("queueIDs").iter().map(|id| own_queue(world, id)).collect::<Result<Vec<_>, _>>()?;
    for queue in queues {
        world.queues.remove(&queue.id);
        world.items.retain(|_, item| item.queue != queue.id);
        if let Some(config) = queue.config {
            world.configs.remove(&config);
        }
    }
    success()
}

fn enqueue(world: &mut World, queue: &Queue, input: Input<'_>) -> Result<Item, Refusal> {
    let config = queue.config.as_ref().and_then(|config| world.configs.get(config));
    let run_spec = queue::run_spec(input.required("runSpec")?, input.text("templateVariableValues"), config)?;
    let priority = queue::priority(input.number("priority"))?;
    let number = world.next();
    let item = Item {
        id: id("RunQueueItem", &number.to_string()),
        queue: queue.id.clone(),
        number,
        priority,
        run_spec,
        state: ItemState::Pending,
        agent: None,
        run: None,
        error: None,
        warnings: Vec::new(),
        leased_until: None,
    };
    world.items.insert(item.id.clone(), item.clone());
    Ok(item)
}

/// Pushes what the server itself makes.
pub(crate) fn push_to(
    world: &mut World,
    (entity, project, name): (&str, &str, &str),
    input: Input<'_>,
) -> Result<(), Refusal> {
    let queue = world.queue(entity, project, name).cloned();
    let queue = queue.ok_or_else(|| Refusal::new(format!("run queue {entity}/{project}/{name} is not there")))?;
    enqueue(world, &queue, input).map(drop)
}

fn push(world: &mut World, input: Input<'_>) -> Answer {
    let queue = own_queue(world, input.required("queueID")?)?;
    let item = enqueue(world, &queue, input)?;
    Ok(vec![("runQueueItemId", leaf(item.id))])
}

fn push_by_name(world: &mut World, input: Input<'_>) -> Answer {
    let queue = named_queue(world, input)?;
    let item = enqueue(world, &queue, input)?;
    Ok(vec![("runQueueItemId", leaf(item.id)), ("runSpec", leaf(item.run_spec.to_string()))])
}

fn named_queue(world: &World, input: Input<'_>) -> Result<Queue, Refusal> {
    let (entity, project) = world.own_project(input.required("entityName")?, input.required("projectName")?)?;
    let name = input.required("queueName")?;
    let queue = world.queue(&entity, &project, name).cloned();
    queue.ok_or_else(|| Refusal::new(format!("run queue {entity}/{project}/{name} is not there")))
}

fn pop(world: &mut World, input: Input<'_>) -> Result<Option<Vec<(&'static str, Part)>>, Refusal> {
    let queue = named_queue(world, input)?;
    let agent = input.text("launchAgentId");
    if let Some(agent) = agent {
        world.hear(agent);
    }
    let item = world.pop(&queue.id, agent);
    Ok(item.map(|item| vec![("runQueueItemId", leaf(item.id)), ("runSpec", leaf(item.run_spec))]))
}

fn ack(world: &mut World, input: Input<'_>) -> Answer {
    let item = own_item(world, input)?;
    let leased = item.state == ItemState::Leased;
    if leased {
        item.state = ItemState::Claimed;
        item.leased_until = None;
        item.run = Some(input.required("runName")?.to_owned());
    }
    Ok(vec![("success", leaf(leased))])
}

fn note(input: Input<'_>) -> Note {
    let text = |name| input.text(name).unwrap_or_default().to_owned();
    Note { message: text("message"), stage: text("stage"), files: input.texts("filePaths") }
}

fn fail(world: &mut World, input: Input<'_>) -> Answer {
    let item = own_item(world, input)?;
    item.state = ItemState::Failed;
    item.error = Some(note(input));
    success()
}

fn warn(world: &mut World, input: Input<'_>) -> Answer {
    own_item(world, input)?.warnings.push(note(input));
    success()
}

fn delete_item(world: &mut World, input: Input<'_>) -> Answer {
    let queue = own_queue(world, input.required("queueID")?)?;
    let item = own_item(world, input)?;
    if item.queue != queue.id {
        return Err(Refusal::new(format!("run queue item {} is of another queue", item.id)));
    }
    let waits = item.state == ItemState::Pending;
    let id = item.id.clone();
    if waits {
        world.items.remove(&id);
    }
    Ok(vec![("success", leaf(waits))])
}

fn create_agent(world: &mut World, input: Input<'_>) -> Answer {
    let (entity, project) = world.own_project(input.required("entityName")?, input.required("projectName")?)?;
    let queues = input.texts("runQueues");
    for queue in &queues {
        own_queue(world, queue)?;
    }
    let config = input.text("agentConfig").map(|text| queue::parse_object("the agent config", text)).transpose()?;
    let number = world.next();
    let agent = Agent {
        id: id("LaunchAgent", &number.to_string()),
        name: format!("fake-agent-{number}"),
        entity,
        project,
        queues,
        hostname: input.required("hostname")?.into(),
        version: input.text("version").map(str::to_owned),
        config: config.map_or(Value::Null, Value::Object),
        status: "POLLING".into(),
        stop_polling: false,
        heartbeat: Timestamp::now(),
    };
    let id = agent.id.clone();
    world.agents.insert(id.clone(), agent);
    Ok(vec![("success", leaf(true)), ("launchAgentId", leaf(id))])
}

fn update_agent(world: &mut World, input: Input<'_>) -> Answer {
    let id = input.required("launchAgentId")?;
    let agent = world.agents.get_mut(id).ok_or_else(|| Refusal::new(format!("launch agent {id} is not there")))?;
    if let Some(status) = input.text("agentStatus") {
        agent.status = status.into();
    }
    agent.heartbeat = Timestamp::now();
    success()
}

fn upsert_project(world: &mut World, input: Input<'_>) -> Answer {
    let entity = world.own_entity(input.text("entityName"))?;
    let name = input.required("name")?;
    let inserted = world.make_project(&entity, name);
    if let Some(project) = world.projects.get_mut(&(entity.clone(), name.to_owned()))
        && let Some(description) = input.text("description")
    {
        project.description = Some(description.into());
    }
    let project = || Part::Object(What::Project(entity.clone(), name.to_owned()));
    Ok(vec![("project", project()), ("model", project()), ("inserted", leaf(inserted))])
}

fn upsert_run(world: &mut World, input: Input<'_>) -> Answer {
    let key = match input.text("id") {
        Some(id) => world.run_key(id).ok_or_else(|| Refusal::new(format!("run {id} is not there")))?,
        None => {
            let entity = world.own_entity(input.text("entityName"))?;
            let project = input.text("modelName").unwrap_or("uncategorized").to_owned();
            let name = input.text("name").map_or_else(|| format!("run{}", world.next()), str::to_owned);
            RunKey { entity, project, name }
        }
    };
    let (run, inserted) = world.make_run(&key);
    run.heartbeat = Timestamp::now();
    let own = |name: &str| input.text(name).map(str::to_owned);
    if let Some(display_name) = own("displayName") {
        run.display_name = display_name;
    }
    if let Some(state) = own("state") {
        run.state = state;
    } else if ["pending", "preempted", "crashed"].contains(&run.state.as_str()) {
        run.state = "running".into();
    }
    run.job_type = own("jobType").or(run.job_type.take());
    run.group = own("groupName").or(run.group.take());
    run.host = own("host").or(run.host.take());
    run.config = own("config").or(run.config.take());
    run.summary = own("summaryMetrics").or(run.summary.take());
    run.description = own("description").or(run.description.take());
    run.notes = own("notes").or(run.notes.take());
    run.commit = own("commit").or(run.commit.take());
    run.sweep = own("sweep").or(run.sweep.take());
    let tags = input.texts("tags");
    if !tags.is_empty() {
        run.tags = tags;
    }
    let settings = What::Plain("ServerSettings", vec![("serverMessages", Part::List(Vec::new()))]);
    Ok(vec![
        ("bucket", Part::Object(What::Run(key))),
        ("inserted", leaf(inserted)),
        ("serverSettings", Part::Object(settings)),
    ])
}

fn named_run(world: &World, input: Input<'_>) -> Result<RunKey, Refusal> {
    let entity = world.own_entity(input.text("entityName"))?;
    let key = RunKey::new(&entity, input.required("projectName")?, input.required("runName")?);
    if world.runs.contains_key(&key) {
        Ok(key)
    } else {
        Err(Refusal::new(format!("run {entity}/{}/{} is not there", key.project, key.name)))
    }
}

fn create_files(world: &mut World, input: Input<'_>, base: &str) -> Answer {
    let key = named_run(world, input)?;
    let files = input.texts("files").into_iter().map(|name| {
        let url = format!("{base}/storage/{}/{}/{}/{name}", key.entity, key.project, key.name);
        What::Plain("RunFile", vec![("name", leaf(name)), ("uploadUrl", leaf(url))])
    });
    Ok(vec![
        ("files", Part::List(files.collect())),
        ("runID", leaf(key.id())),
        ("uploadHeaders", leaf(Vec::<Value>::new())),
    ])
}

fn mark_uploaded(world: &mut World, input: Input<'_>) -> Answer {
    let key = named_run(world, input)?;
    let missing =
        input.texts("files").into_iter().find(|file| !world.uploads.contains_key(&(key.clone(), file.clone())));
    match missing {
        Some(file) => Err(Refusal::new(format!("{file} was not uploaded"))),
        None => success(),
    }
}

fn stop_run(world: &mut World, input: Input<'_>) -> Answer {
    let id = input.required("id")?;
    let key = world.run_key(id).filter(|key| world.entity(&key.entity).is_some());
    let run = key.and_then(|key| world.runs.get_mut(&key));
    run.ok_or_else(|| Refusal::new(format!("run {id} is not there")))?.stopped = true;
    success()
}

fn upsert_sweep(world: &mut World, input: Input<'_>) -> Answer {
    let (id, warnings) = sweep::upsert(world, input)?;
    Ok(vec![("sweep", Part::Object(What::Sweep(id))), ("configValidationWarnings", leaf(warnings))])
}

fn create_sweep_agent(world: &mut World, input: Input<'_>) -> Answer {
    Ok(vec![("agent", Part::Object(What::SweepAgent(sweep::register(world, input)?)))])
}

fn sweep_heartbeat(world: &mut World, input: Input<'_>) -> Answer {
    let commands = sweep::heartbeat(world, input)?;
    let agent = input.text("id").unwrap_or_default().to_owned();
    Ok(vec![("agent", Part::Object(What::SweepAgent(agent))), ("commands", leaf(commands))])
}
