//! A client of the W&B API, as a user and as a job's program have one. The documents are the SDK's own (wandb 0.31.0, 0.28.2; see
//! `fake-wandb/schema.graphql`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use wbk_fake_wandb::FakeWandb;

/// The project of all queues.
const REGISTRY: &str = "model-registry";

/// A client with the key.
pub struct Api {
    client: Client<HttpConnector, String>,
    base: String,
    authorization: String,
    entity: String,
}

impl Api {
    /// For an entity.
    pub fn new(server: &FakeWandb, entity: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("api:{}", server.key())));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: server.url().into(), authorization, entity: entity.into() }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = http::Request::post(format!("{}{path}", self.base))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(body.to_string())
            .expect("a request");
        let answer = self.client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("the whole answer").to_bytes();
        assert!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).expect("JSON")
    }

    async fn ask(&self, query: &str, variables: Value) -> Value {
        let answer = self.post("/graphql", &json!({"query": query, "variables": variables})).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
        answer["data"].clone()
    }

    /// The project, made if it is not there.
    pub async fn make_project(&self, name: &str) {
        let query = "mutation CreateProject($input: UpsertModelInput!) { upsertModel(input: $input) { inserted } }";
        self.ask(query, json!({"input": {"entityName": self.entity, "name": name}})).await;
    }

    /// A queue for Kubernetes.
    pub async fn upsert_queue(&self, name: &str, config: &Value, variables: &Value) {
        let query = "mutation UpsertRunQueue($entityName: String!, $projectName: String!, $queueName: String!, $resourceType: String!, \
            $resourceConfig: JSONString!, $templateVariables: JSONString, $prioritizationMode: RunQueuePrioritizationMode) \
            { upsertRunQueue(input: {entityName: $entityName, projectName: $projectName, queueName: $queueName, resourceType: \
            $resourceType, resourceConfig: $resourceConfig, templateVariables: $templateVariables, prioritizationMode: \
            $prioritizationMode}) { success configSchemaValidationErrors } }";
        let made = self.ask(query, json!({"entityName": self.entity, "projectName": REGISTRY, "queueName": name,
            "resourceType": "kubernetes", "resourceConfig": config.to_string(), "templateVariables": variables.to_string(),
            "prioritizationMode": "V0"}));
        assert_eq!(made.await["upsertRunQueue"]["success"], true);
    }

    /// Pushes an item and answers its id.
    pub async fn push(&self, queue: &str, spec: &Value, values: &Value) -> String {
        let query = "mutation pushToRunQueueByName($entityName: String!, $projectName: String!, $queueName: String!, $runSpec: \
            JSONString!, $templateVariableValues: JSONString) { pushToRunQueueByName(input: {entityName: $entityName, projectName: \
            $projectName, queueName: $queueName, runSpec: $runSpec, templateVariableValues: $templateVariableValues}) \
            { runQueueItemId runSpec } }";
        let pushed = self.ask(
            query,
            json!({"entityName": self.entity, "projectName": REGISTRY, "queueName": queue,
            "runSpec": spec.to_string(), "templateVariableValues": values.to_string()}),
        );
        let id = pushed.await["pushToRunQueueByName"]["runQueueItemId"].as_str().expect("an id").to_owned();
        assert!(self.item(queue, &id).await["state"].is_string(), "the item is in its queue");
        id
    }

    /// An item: its state and its run.
    pub async fn item(&self, queue: &str, id: &str) -> Value {
        let query = "query GetRunQueueItem($projectName: String!, $entityName: String!, $runQueue: String!, $itemId: ID!) \
            { project(name: $projectName, entityName: $entityName) { runQueue(name: $runQueue) { runQueueItem(id: $itemId) \
            { id state associatedRunId } } } }";
        let variables = json!({"projectName": REGISTRY, "entityName": self.entity, "runQueue": queue, "itemId": id});
        self.ask(query, variables).await["project"]["runQueue"]["runQueueItem"].clone()
    }

    /// What wandb.init tells of a run; answers the run's id.
    pub async fn start_run(&self, project: &str, name: &str) -> String {
        let query = "mutation UpsertBucket($name: String, $project: String, $entity: String) { upsertBucket(input: {name: $name, \
            modelName: $project, entityName: $entity}) { bucket { id name } inserted } }";
        let made = self.ask(query, json!({"name": name, "project": project, "entity": self.entity})).await;
        made["upsertBucket"]["bucket"]["id"].as_str().expect("an id").to_owned()
    }

    /// What the SDK sends when the program ends.
    pub async fn end_run(&self, project: &str, name: &str, code: i32) {
        let path = format!("/files/{}/{project}/{name}/file_stream", self.entity);
        self.post(&path, &json!({"complete": true, "exitcode": code})).await;
    }

    /// The state of a run.
    pub async fn run_state(&self, project: &str, name: &str) -> String {
        let query = "query RunState($project: String!, $entity: String!, $name: String!) { project(name: $project, entityName: $entity) \
            { run(name: $name) { state } } }";
        let found = self.ask(query, json!({"project": project, "entity": self.entity, "name": name})).await;
        found["project"]["run"]["state"].as_str().expect("a state").to_owned()
    }

    /// What the button "stop run" does.
    pub async fn stop_run(&self, id: &str) {
        let query = "mutation StopRun($id: ID!) { stopRun(input: {id: $id}) { success } }";
        assert_eq!(self.ask(query, json!({"id": id})).await["stopRun"]["success"], true);
    }
}
