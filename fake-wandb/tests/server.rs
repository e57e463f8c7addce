//! The server over HTTP: the documents of wandb's own clients are understood, and nothing else is.

mod support;

use serde_json::{Value, json};
use support::{ask, ask_as, data, server};
use wbk_fake_wandb::{Config, FakeWandb, Fault, Trouble};

const PROJECT: &str =
    "mutation CreateProject($input: UpsertModelInput!) { upsertModel(input: $input) { project { id name } inserted } }";
/// As wandb 0.17.3 makes one (`wandb/apis/public/api.py`).
const OLD_PROJECT: &str = "mutation upsertModel($description: String, $entityName: String, $id: String, $name: String, $framework: String, \
    $access: String, $views: JSONString) { upsertModel(input: {description: $description, entityName: $entityName, id: $id, name: \
    $name, framework: $framework, access: $access, views: $views}) { project { id name entityName description access views } \
    inserted } }";
const UPSERT: &str = "mutation UpsertRunQueue($entityName: String!, $projectName: String!, $queueName: String!, $resourceType: String!, \
    $resourceConfig: JSONString!, $templateVariables: JSONString, $prioritizationMode: RunQueuePrioritizationMode, \
    $externalLinks: JSONString, $clientMutationId: String) { upsertRunQueue(input: {entityName: $entityName, projectName: $projectName, \
    queueName: $queueName, resourceType: $resourceType, resourceConfig: $resourceConfig, templateVariables: $templateVariables, \
    prioritizationMode: $prioritizationMode, externalLinks: $externalLinks, clientMutationId: $clientMutationId}) \
    { success configSchemaValidationErrors } }";
const LIST: &str = "query ProjectRunQueues($entity: String!, $projectName: String!){ project(entityName: $entity, name: $projectName) \
    { runQueues { id name createdBy access } } }";
const QUEUE: &str = "query GetRunQueueMetadata($projectName: String!, $entityName: String!, $runQueue: String!) { project(name: \
    $projectName, entityName: $entityName) { runQueue(name: $runQueue) { id access defaultResourceConfigID prioritizationMode \
    externalLinks } } }";
const CONFIG: &str = "query GetDefaultResourceConfig($entityName: String!, $id: ID!) { entity(name: $entityName) \
    { defaultResourceConfig(id: $id) { config resource templateVariables { name schema } } } }";
const PUSH: &str = "mutation pushToRunQueueByName($entityName: String!, $projectName: String!, $queueName: String!, $runSpec: \
    JSONString!, $priority: Int, $templateVariableValues: JSONString) { pushToRunQueueByName(input: {entityName: $entityName, \
    projectName: $projectName, queueName: $queueName, runSpec: $runSpec, priority: $priority, templateVariableValues: \
    $templateVariableValues}) { runQueueItemId runSpec } }";
const POP: &str = "mutation popFromRunQueue($entity: String!, $project: String!, $queueName: String!, $launchAgentId: ID) \
    { popFromRunQueue(input: {entityName: $entity, projectName: $project, queueName: $queueName, launchAgentId: $launchAgentId}) \
    { runQueueItemId runSpec } }";
const ACK: &str = "mutation ackRunQueueItem($itemId: ID!, $runId: String!) { ackRunQueueItem(input: { runQueueItemId: $itemId, \
    runName: $runId }) { success } }";
const ITEMS: &str = "query GetRunQueueItem($projectName: String!, $entityName: String!, $runQueue: String!) { project(name: \
    $projectName, entityName: $entityName) { runQueue(name:$runQueue) { runQueueItems { edges { node { id state associatedRunId } } } } } }";

fn make_queue(server: &FakeWandb, mode: Option<&str>) -> Value {
    data(server, PROJECT, &json!({"input": {"entityName": "fake-team", "name": "model-registry"}}));
    let config = json!({"resource_args": {"kubernetes": {"spec": {"gpus": "{{gpus}}"}}}}).to_string();
    let variables = json!({
        "entityName": "fake-team", "projectName": "model-registry", "queueName": "gpu", "resourceType": "kubernetes",
        "resourceConfig": config, "prioritizationMode": mode,
        "templateVariables": "{\"gpus\": {\"schema\": {\"type\": \"integer\", \"minimum\": 1, \"default\": 1}}}",
        "externalLinks": "{\"links\": [{\"label\": \"grafana\", \"url\": \"https://example.com\"}]}",
    });
    data(server, UPSERT, &variables)
}

fn of_queue() -> Value {
    json!({"entityName": "fake-team", "projectName": "model-registry", "runQueue": "gpu"})
}

fn push(server: &FakeWandb, name: &str, priority: Option<i64>) -> Value {
    let spec = json!({"entity": "fake-team", "project": "p", "name": name, "resource": null}).to_string();
    let values = "{\"gpus\": 2}";
    let variables = json!({
        "entityName": "fake-team", "projectName": "model-registry", "queueName": "gpu", "runSpec": spec, "priority": priority,
        "templateVariableValues": values,
    });
    data(server, PUSH, &variables)
}

fn pop(server: &FakeWandb) -> Value {
    let variables =
        json!({"entity": "fake-team", "project": "model-registry", "queueName": "gpu", "launchAgentId": null});
    data(server, POP, &variables)["popFromRunQueue"].clone()
}

#[test]
fn a_queue_is_made_read_back_changed_and_deleted() {
    let server = server();
    assert_eq!(make_queue(&server, None)["upsertRunQueue"]["success"], true);
    let again = data(&server, OLD_PROJECT, &json!({"entityName": "fake-team", "name": "model-registry"}));
    assert_eq!(again["upsertModel"]["inserted"], false);
    let listed = data(&server, LIST, &json!({"entity": "fake-team", "projectName": "model-registry"}));
    let listed = &listed["project"]["runQueues"][0];
    assert_eq!(
        (&listed["name"], &listed["access"], &listed["createdBy"]),
        (&json!("gpu"), &json!("PROJECT"), &json!("fake-user"))
    );
    let queue = data(&server, QUEUE, &of_queue())["project"]["runQueue"].clone();
    assert_eq!(queue["prioritizationMode"], "DISABLED");
    assert_eq!(queue["externalLinks"]["links"][0]["label"], "grafana");
    let config = data(&server, CONFIG, &json!({"entityName": "fake-team", "id": queue["defaultResourceConfigID"]}));
    let config = &config["entity"]["defaultResourceConfig"];
    assert_eq!(config["resource"], "kubernetes");
    assert_eq!(config["config"]["resource_args"]["kubernetes"]["spec"]["gpus"], "{{gpus}}");
    // As wandb's system tests expect of the real server: compact text, in the order that was given.
    let schema = "{\"type\":\"integer\",\"minimum\":1,\"default\":1}";
    assert_eq!(config["templateVariables"], json!([{"name": "gpus", "schema": schema}]));

    make_queue(&server, Some("V0"));
    let changed = data(&server, QUEUE, &of_queue())["project"]["runQueue"].clone();
    assert_eq!((&changed["id"], &changed["prioritizationMode"]), (&queue["id"], &json!("V0")));

    let delete =
        "mutation DeleteRunQueue($id: ID!) { deleteRunQueues(input: {queueIDs: [$id]}) { success clientMutationId } }";
    assert_eq!(data(&server, delete, &json!({"id": queue["id"]}))["deleteRunQueues"]["success"], true);
    assert!(data(&server, QUEUE, &of_queue())["project"]["runQueue"].is_null());
}

#[test]
fn an_item_is_pending_leased_claimed_and_filled_from_its_queue() {
    let server = server();
    make_queue(&server, Some("V0"));
    let low = push(&server, "low", Some(3));
    let high = push(&server, "high", Some(0));
    let state = |id: &Value| {
        let edges = data(&server, ITEMS, &of_queue())["project"]["runQueue"]["runQueueItems"]["edges"].clone();
        let nodes = edges.as_array().cloned().unwrap_or_default();
        let node = nodes.iter().map(|edge| edge["node"].clone()).find(|node| node["id"] == *id).expect("it is there");
        (node["state"].clone(), node["associatedRunId"].clone())
    };
    let (low, high) = (&low["pushToRunQueueByName"]["runQueueItemId"], &high["pushToRunQueueByName"]["runQueueItemId"]);
    assert_eq!(state(high), (json!("PENDING"), Value::Null));
    let popped = pop(&server);
    assert_eq!(popped["runQueueItemId"], *high, "the higher priority comes first");
    assert_eq!(popped["runSpec"]["resource"], "kubernetes");
    assert_eq!(popped["runSpec"]["resource_args"]["kubernetes"]["spec"]["gpus"], 2);
    assert_eq!(state(high), (json!("LEASED"), Value::Null));
    let acked = data(&server, ACK, &json!({"itemId": high, "runId": "r1"}));
    assert_eq!(acked["ackRunQueueItem"]["success"], true);
    assert_eq!(state(high), (json!("CLAIMED"), json!("r1")));
    let again = data(&server, ACK, &json!({"itemId": high, "runId": "r2"}));
    assert_eq!(again["ackRunQueueItem"]["success"], false, "it was acknowledged before");
    assert_eq!(pop(&server)["runQueueItemId"], *low);
    assert!(pop(&server).is_null(), "the queue is empty");
}

#[test]
fn an_agent_registers_polls_and_is_told_to_stop() {
    let server = server();
    make_queue(&server, None);
    let queue = data(&server, QUEUE, &of_queue())["project"]["runQueue"]["id"].clone();
    let create = "mutation createLaunchAgent($entity: String!, $project: String!, $queues: [ID!]!, $hostname: String!, $agentConfig: \
        JSONString, $version: String) { createLaunchAgent(input: {entityName: $entity, projectName: $project, runQueues: $queues, \
        hostname: $hostname, agentConfig: $agentConfig, version: $version}) { launchAgentId } }";
    let variables = json!({"entity": "fake-team", "project": "model-registry", "queues": [queue], "hostname": "pod-1",
        "agentConfig": "{\"max_jobs\": 2}", "version": "wandb@0.31.0"});
    let id = data(&server, create, &variables)["createLaunchAgent"]["launchAgentId"].clone();
    let update = "mutation updateLaunchAgent($agentId: ID!, $agentStatus: String){ updateLaunchAgent( input: { launchAgentId: $agentId \
        agentStatus: $agentStatus } ) { success } }";
    data(&server, update, &json!({"agentId": id, "agentStatus": "RUNNING"}));
    let get = "query LaunchAgent($agentId: ID!) { launchAgent(id: $agentId) { id name runQueues hostname agentStatus stopPolling \
        heartbeatAt } }";
    let agent = || data(&server, get, &json!({"agentId": id}))["launchAgent"].clone();
    assert_eq!((&agent()["agentStatus"], &agent()["stopPolling"]), (&json!("RUNNING"), &json!(false)));
    assert_eq!((&agent()["runQueues"], &agent()["hostname"]), (&json!([queue]), &json!("pod-1")));
    server.with(|world| world.agents.values_mut().for_each(|agent| agent.stop_polling = true));
    assert_eq!(agent()["stopPolling"], true);
}

#[test]
fn a_lease_that_nobody_acknowledges_ends() {
    let config = Config { lease: std::time::Duration::ZERO, ..Config::default() };
    let server = FakeWandb::start(config).expect("a free port");
    make_queue(&server, None);
    push(&server, "one", None);
    let first = pop(&server);
    assert_eq!(first["runQueueItemId"], pop(&server)["runQueueItemId"]);
}

#[test]
fn what_is_not_in_the_schema_is_refused_with_its_name() {
    let server = server();
    let nothing = json!({});
    for (query, variables, named) in [
        ("{ viewer { id shoeSize } }", &nothing, "shoeSize"),
        ("mutation { deleteEverything { success } }", &nothing, "deleteEverything"),
        ("{ entity(name: \"fake-team\", colour: 1) { id } }", &nothing, "colour"),
        ("mutation { deleteRunQueues(input: {queueIDs: [], force: true}) { success } }", &nothing, "force"),
        ("query Q($n: String!) { entity(name: $n) { id } }", &nothing, "$n"),
        ("{ viewer { id } }", &json!({"extra": 1}), "extra"),
    ] {
        let answer = ask(&server, query, variables);
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert!(answer.body["errors"].to_string().contains(named.trim_start_matches('$')), "{query}: {}", answer.body);
        assert_eq!(server.log().last().expect("it is logged").status, 400);
    }
}

#[test]
fn only_the_key_opens_it_and_it_is_not_in_the_log() {
    let server = server();
    for user in ["api:wrong", &format!("root:{}", server.key()), ""] {
        assert_eq!(ask_as(&server, user, "{ viewer { id } }", &json!({})).status, 401, "{user}");
    }
    let spec = json!({"queueID": "none", "spec": format!("{{\"k\": \"{}\"}}", server.key())});
    let push = "mutation P($queueID: ID!, $spec: JSONString!) { pushToRunQueue(input: {queueID: $queueID, runSpec: $spec}) { runQueueItemId } }";
    assert!(ask(&server, push, &spec).body["errors"][0]["message"].to_string().contains("run queue none is not there"));
    let log = serde_json::to_string(&server.log()).expect("JSON");
    assert!(log.contains("pushToRunQueue") && !log.contains(server.key()), "{log}");
}

#[test]
fn of_another_entity_it_tells_nothing() {
    let server = server();
    make_queue(&server, None);
    let listed = data(&server, LIST, &json!({"entity": "other-team", "projectName": "model-registry"}));
    assert!(listed["project"].is_null());
    assert!(data(&server, "{ entity(name: \"other-team\") { id } }", &json!({}))["entity"].is_null());
    let refused = ask(&server, PROJECT, &json!({"input": {"entityName": "other-team", "name": "p"}}));
    assert!(refused.body["errors"][0]["message"].to_string().contains("permission denied"), "{}", refused.body);
}

#[test]
fn faults_are_met_and_healed() {
    let server = server();
    let viewer = || ask(&server, "{ viewer { id } }", &json!({})).status;
    server.plant(Fault::next(2, Trouble::Status(503)).on("viewer"));
    assert_eq!([viewer(), viewer(), viewer()], [503, 503, 200]);
    server.plant(Fault::always(Trouble::Status(401)));
    assert_eq!(viewer(), 401);
    server.heal();
    assert_eq!(viewer(), 200);

    server.be_unreachable();
    let address = server.url().trim_start_matches("http://").to_owned();
    let listens = || std::net::TcpStream::connect(&address).is_ok();
    await_that("nobody listens", || !listens());
    server.heal();
    await_that("somebody listens again", listens);
    assert_eq!(viewer(), 200);
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "awaited in vain: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_run_lives_from_its_upsert_to_the_end_of_its_stream() {
    let server = server();
    let upsert = "mutation UpsertBucket($project: String, $entity: String, $name: String!, $state: String) { upsertBucket(input: \
        {modelName: $project, entityName: $entity, name: $name, state: $state}) { bucket { project { name entity { name } } id name } inserted } }";
    let made = data(&server, upsert, &json!({"project": "p", "entity": "fake-team", "name": "r1"}));
    assert_eq!(made["upsertBucket"]["inserted"], true);
    let state = "query RunState($project: String!, $entity: String!, $name: String!) { project(name: $project, entityName: $entity) \
        { run(name: $name) { state } } }";
    let of = |name: &str| {
        data(&server, state, &json!({"project": "p", "entity": "fake-team", "name": name}))["project"]["run"].clone()
    };
    assert_eq!(of("r1")["state"], "running");
    assert!(of("r2").is_null());
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("api:{}", server.key()));
    let sent = ureq::post(format!("{}/files/fake-team/p/r1/file_stream", server.url()))
        .header("Authorization", format!("Basic {basic}"))
        .send(json!({"complete": true, "exitcode": 3}).to_string());
    assert_eq!(sent.expect("it takes it").status(), 200);
    assert_eq!(of("r1")["state"], "failed");
}

#[test]
fn the_oldest_sdk_finds_by_introspection_what_it_looks_for() {
    let server = server();
    let probe = "query Probe { QueryType: __type(name: \"Query\") { ...fieldData } ServerSettingsType: __type(name: \"ServerSettings\") \
        { ...fieldData } Push: __type(name: \"PushToRunQueueInput\") { name inputFields { name } } \
        LaunchAgentType: __type(name: \"LaunchAgent\") { name } } fragment fieldData on __Type { fields { name } }";
    let found = data(&server, probe, &json!({}));
    assert!(found["Push"]["inputFields"].to_string().contains("templateVariableValues"), "{found}");
    assert_eq!(found["LaunchAgentType"]["name"], "LaunchAgent");
}
