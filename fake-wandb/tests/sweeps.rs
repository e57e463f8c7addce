//! Sweeps over HTTP, with the documents of wandb 0.17.3 and 0.31.0 (`wandb/sdk/internal/internal_api.py`,
//! `wandb/apis/public/sweeps.py`).

mod support;

use serde_json::{Value, json};
use support::{ask, data, server};
use wbk_fake_wandb::FakeWandb;
use wbk_fake_wandb::world::RunKey;

const UPSERT: &str = "mutation UpsertSweep($id: ID, $config: String, $description: String, $entityName: String, $projectName: String, \
    $controller: JSONString, $launchScheduler: JSONString, $scheduler: JSONString, $state: String, $priorRunsFilters: JSONString) \
    { upsertSweep(input: {id: $id, config: $config, description: $description, entityName: $entityName, projectName: $projectName, \
    controller: $controller, launchScheduler: $launchScheduler, scheduler: $scheduler, state: $state, priorRunsFilters: \
    $priorRunsFilters}) { sweep { name project { id name entity { id name } } } configValidationWarnings } }";
const STATE: &str = "mutation UpsertSweep($id: ID, $state: String, $entityName: String, $projectName: String) { upsertSweep(input: {id: \
    $id, state: $state, entityName: $entityName, projectName: $projectName}) { sweep { name } } }";
const RUNS: &str = "query SweepWithRuns($entity: String, $project: String, $sweep: String!, $specs: [JSONString!]!) { project(name: \
    $project, entityName: $entity) { sweep(sweepName: $sweep) { id name method state description config createdAt heartbeatAt updatedAt \
    earlyStopJobRunning bestLoss controller scheduler runs { edges { node { name state config exitcode heartbeatAt shouldStop failed \
    stopped running summaryMetrics sampledHistory(specs: $specs) } } } } } }";
const AGENT: &str = "mutation CreateAgent($host: String! $projectName: String, $entityName: String, $sweep: String!) { \
    createAgent(input: {host: $host, projectName: $projectName, entityName: $entityName, sweep: $sweep}) { agent { id } } }";
const HEARTBEAT: &str = "mutation Heartbeat($id: ID!, $metrics: JSONString, $runState: JSONString) { agentHeartbeat(input: {id: $id, \
    metrics: $metrics, runState: $runState}) { agent { id } commands } }";
const INIT: &str = "mutation UpsertBucket($name: String, $project: String, $entity: String, $sweep: String) { upsertBucket(input: {name: \
    $name, modelName: $project, entityName: $entity, sweep: $sweep}) { bucket { id sweepName } inserted } }";

const GRID: &str = "method: grid\nprogram: train.py\nname: lr\nparameters: {lr: {values: [0.1, 0.2, 0.3]}}\n";

fn make(server: &FakeWandb, config: &str) -> String {
    let variables = json!({"config": config, "entityName": "fake-team", "projectName": "p", "description": null});
    let made = data(server, UPSERT, &variables)["upsertSweep"].clone();
    assert_eq!(made["sweep"]["project"]["entity"]["name"], "fake-team");
    made["sweep"]["name"].as_str().expect("a name").to_owned()
}

fn look(server: &FakeWandb, sweep: &str) -> Value {
    let variables = json!({"entity": "fake-team", "project": "p", "sweep": sweep, "specs": "{}"});
    data(server, RUNS, &variables)["project"]["sweep"].clone()
}

fn agent(server: &FakeWandb, sweep: &str) -> String {
    let variables = json!({"host": "pod-0", "projectName": "p", "entityName": "fake-team", "sweep": sweep});
    data(server, AGENT, &variables)["createAgent"]["agent"]["id"].as_str().expect("an id").to_owned()
}

/// What an agent is told that runs these.
fn told(server: &FakeWandb, agent: &str, runs: &[&str]) -> Vec<Value> {
    let running: Value =
        runs.iter().map(|run| ((*run).to_owned(), Value::Bool(true))).collect::<serde_json::Map<_, _>>().into();
    let variables = json!({"id": agent, "metrics": "{}", "runState": running.to_string()});
    let answer = data(server, HEARTBEAT, &variables);
    serde_json::from_str(answer["agentHeartbeat"]["commands"].as_str().expect("text")).expect("JSON")
}

fn begin(server: &FakeWandb, sweep: &str, run: &str) {
    data(server, INIT, &json!({"name": run, "project": "p", "entity": "fake-team", "sweep": sweep}));
}

/// What the SDK's stream tells of a run.
fn stream(server: &FakeWandb, run: &str, body: &Value) {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("api:{}", server.key()));
    let url = format!("{}/files/fake-team/p/{run}/file_stream", server.url());
    ureq::post(url).header("Authorization", format!("Basic {basic}")).send(body.to_string()).expect("an answer");
}

fn end(server: &FakeWandb, run: &str, code: i64) {
    stream(server, run, &json!({"complete": true, "exitcode": code}));
}

#[test]
fn an_agent_is_given_every_set_once_and_then_told_to_exit() {
    let server = server();
    let sweep = make(&server, GRID);
    assert_eq!(
        (&look(&server, &sweep)["state"], &look(&server, &sweep)["method"]),
        (&json!("PENDING"), &json!("grid"))
    );
    let agent = agent(&server, &sweep);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let told_now = told(&server, &agent, &[]);
        let command = told_now[0].clone();
        assert_eq!((&command["type"], &command["program"]), (&json!("run"), &json!("train.py")));
        let run = command["run_id"].as_str().expect("a run");
        begin(&server, &sweep, run);
        assert!(told(&server, &agent, &[run]).is_empty(), "it has enough to do");
        seen.push(command["args"]["lr"]["value"].clone());
        end(&server, run, 0);
    }
    assert_eq!(seen, [json!(0.1), json!(0.2), json!(0.3)]);
    assert_eq!(told(&server, &agent, &[])[0]["type"], "exit");
    let ended = look(&server, &sweep);
    assert_eq!(ended["state"], "FINISHED");
    let states = ended["runs"]["edges"].as_array().expect("runs").iter().map(|edge| edge["node"]["state"].clone());
    assert_eq!(states.collect::<Vec<_>>(), ["finished", "finished", "finished"]);
}

#[test]
fn a_run_that_is_interrupted_comes_back_if_it_said_so_and_else_does_not() {
    let server = server();
    let sweep = make(&server, GRID);
    let (one, other) = (agent(&server, &sweep), agent(&server, &sweep));
    let first = told(&server, &one, &[])[0].clone();
    let second = told(&server, &other, &[])[0].clone();
    let (first_run, second_run) = (first["run_id"].as_str().expect("a run"), second["run_id"].as_str().expect("a run"));
    begin(&server, &sweep, first_run);
    begin(&server, &sweep, second_run);
    stream(&server, first_run, &json!({"complete": false, "preempting": true}));
    // Both are killed: nothing is heard of them for five minutes.
    server.with(|world| {
        for run in [first_run, second_run] {
            world.lose(&RunKey::new("fake-team", "p", run));
        }
    });
    let again = agent(&server, &sweep);
    let resumed = told(&server, &again, &[])[0].clone();
    assert_eq!(
        (&resumed["type"], &resumed["run_id"], &resumed["args"]),
        (&json!("resume"), &json!(first_run), &first["args"])
    );
    begin(&server, &sweep, first_run);
    // It says so again and ends with an error: it comes back once more.
    stream(&server, first_run, &json!({"preempting": true}));
    end(&server, first_run, 143);
    let resumed = told(&server, &again, &[])[0].clone();
    assert_eq!(resumed["run_id"], first_run);
    begin(&server, &sweep, first_run);
    end(&server, first_run, 0);
    let third = told(&server, &again, &[])[0].clone();
    assert_eq!((&third["type"], &third["args"]["lr"]["value"]), (&json!("run"), &json!(0.3)));
    let states = look(&server, &sweep)["runs"]["edges"].clone();
    let states: Vec<&Value> = states.as_array().expect("runs").iter().map(|edge| &edge["node"]["state"]).collect();
    assert_eq!(states, ["finished", "crashed", "pending"]);
}

#[test]
fn a_sweep_pauses_goes_on_stops_and_is_cancelled() {
    let server = server();
    let sweep = make(&server, GRID);
    let key = look(&server, &sweep)["id"].clone();
    let state = |state: &str| {
        data(&server, STATE, &json!({"id": key, "state": state, "entityName": "fake-team", "projectName": "p"}));
    };
    let agent = agent(&server, &sweep);
    state("PAUSED");
    assert!(told(&server, &agent, &[]).is_empty());
    state("RUNNING");
    let run = told(&server, &agent, &[])[0]["run_id"].as_str().expect("a run").to_owned();
    begin(&server, &sweep, &run);
    state("FINISHED");
    assert!(told(&server, &agent, &[&run]).is_empty(), "what runs may end");
    state("CANCELED");
    assert_eq!(told(&server, &agent, &[&run]), [json!({"type": "exit"})]);
    let wrong =
        ask(&server, STATE, &json!({"id": key, "state": "TIRED", "entityName": "fake-team", "projectName": "p"}));
    assert!(wrong.body["errors"][0]["message"].as_str().expect("words").contains("TIRED"));
}

#[test]
fn sweeps_and_runs_come_in_pages() {
    let server = server();
    for _ in 0..3 {
        make(&server, GRID);
    }
    let list = "query GetSweeps($project: String!, $entity: String!, $cursor: String, $perPage: Int = 50) { project(name: $project, \
        entityName: $entity) { totalSweeps sweeps(after: $cursor, first: $perPage) { pageInfo { endCursor hasNextPage } edges { node { \
        id name displayName method state description bestLoss config createdAt updatedAt runCount runCountExpected } } } } }";
    let first = data(&server, list, &json!({"project": "p", "entity": "fake-team", "perPage": 2}))["project"].clone();
    assert_eq!((&first["totalSweeps"], &first["sweeps"]["pageInfo"]["hasNextPage"]), (&json!(3), &json!(true)));
    assert_eq!(first["sweeps"]["edges"][0]["node"]["runCountExpected"], 3);
    let cursor = first["sweeps"]["pageInfo"]["endCursor"].clone();
    let rest =
        data(&server, list, &json!({"project": "p", "entity": "fake-team", "cursor": cursor}))["project"].clone();
    assert_eq!(rest["sweeps"]["edges"].as_array().expect("sweeps").len(), 1);
    assert_eq!(rest["sweeps"]["pageInfo"]["hasNextPage"], false);
}
