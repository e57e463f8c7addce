//! The server: its start and end, its routes, and what a test may ask of it.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use apollo_compiler::Schema;
use apollo_compiler::validation::Valid;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{any, get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::config::Config;
use crate::fault::{Fault, Faults, Trouble};
use crate::graphql::{self, Checked, Request};
use crate::oplog::{Operation, without_secrets};
use crate::world::{RunKey, World};

/// The user of basic authentication; the password is the key.
const USER: &str = "api";
/// The largest upload: logs of agents and of test jobs.
const BODY_LIMIT: usize = 64 << 20;

/// What all requests share.
pub(crate) struct Shared {
    /// Its own URL.
    pub(crate) base: String,
    schema: Valid<Schema>,
    began: Instant,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    log: Mutex<Vec<Operation>>,
    key: String,
}

/// What becomes of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Closed,
    Gone,
}

/// A running server. It ends with this value.
pub struct FakeWandb {
    shared: Arc<Shared>,
    door: watch::Sender<Door>,
    thread: Option<JoinHandle<()>>,
}

impl Shared {
    /// Does something with the world.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        // A test that failed inside left the world as it was.
        work(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, operation: Operation) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    fn meet(&self, fields: &[String]) -> Option<Trouble> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).meet(fields)
    }
}

impl FakeWandb {
    /// Starts it on a thread of its own; it answers when this returns.
    ///
    /// # Errors
    /// The port is taken, or no thread can be had.
    pub fn start(config: Config) -> std::io::Result<Self> {
        let listener = listen(SocketAddr::new(config.address, config.port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            base: format!("http://{address}"),
            schema: graphql::schema(),
            began: Instant::now(),
            key: config.key.clone(),
            world: Mutex::new(World::new(config)),
            faults: Mutex::default(),
            log: Mutex::default(),
        });
        let (door, watched) = watch::channel(Door::Open);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-wandb".into())
            .spawn(move || runtime.block_on(serve(listener, address, served, watched)))?;
        Ok(Self { shared, door, thread: Some(thread) })
    }

    /// Where it is: `WANDB_BASE_URL`.
    pub fn url(&self) -> &str {
        &self.shared.base
    }

    /// The key that it accepts.
    pub fn key(&self) -> &str {
        &self.shared.key
    }

    /// Every request so far.
    pub fn log(&self) -> Vec<Operation> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the world, or changes it behind its users' backs.
    pub fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        self.shared.with(work)
    }

    /// Plants a fault.
    pub fn plant(&self, fault: Fault) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).plant(fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.door.send_replace(Door::Open);
    }

    /// From soon on nobody listens at its port, until [`Self::heal`].
    pub fn be_unreachable(&self) {
        self.door.send_replace(Door::Closed);
    }
}

impl Drop for FakeWandb {
    fn drop(&mut self) {
        self.door.send_replace(Door::Gone);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the fake W&B server ended with a panic");
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>, mut door: watch::Receiver<Door>) {
    let mut listener = Some(listener);
    loop {
        let state = *door.borrow_and_update();
        match (state, listener.take()) {
            (Door::Gone, _) => return,
            (Door::Closed, _) => {
                if door.changed().await.is_err() {
                    return;
                }
            }
            (Door::Open, Some(open)) => {
                let Ok(open) = tokio::net::TcpListener::from_std(open) else { return };
                let mut until = door.clone();
                let closed = async move {
                    // The sender is gone: so is the server.
                    let _ = until.wait_for(|state| *state != Door::Open).await;
                };
                // Idle connections are ended, others after their answer.
                let serving = axum::serve(open, routes(Arc::clone(&shared))).with_graceful_shutdown(closed);
                if serving.await.is_err() {
                    return;
                }
            }
            (Door::Open, None) => match listen(address) {
                Ok(again) => listener = Some(again),
                Err(error) => {
                    eprintln!("the fake W&B server cannot listen at {address} again: {error}");
                    return;
                }
            },
        }
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/graphql", post(answer))
        .route("/files/{entity}/{project}/{run}/file_stream", post(stream))
        .route("/storage/{entity}/{project}/{run}/{*file}", put(upload).get(download))
        .route("/_fake/log", get(tell_log))
        .route("/_fake/state", get(tell_state))
        .route("/_fake/faults", post(plant).delete(heal))
        .fallback(any(unknown))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(shared)
}

/// Who asks, and when: what the log says of every request.
fn operation(shared: &Shared, headers: &HeaderMap, name: String) -> Operation {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Operation {
        at_ms: u64::try_from(shared.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        name,
        fields: Vec::new(),
        variables: Value::Null,
        status: 0,
        errors: Vec::new(),
        agent: agent.to_owned(),
    }
}

/// Answers, and writes it down.
fn end(shared: &Shared, mut operation: Operation, status: StatusCode, body: Value) -> Response {
    operation.status = status.as_u16();
    if operation.errors.is_empty() && !status.is_success() {
        let said = body.get("errors").and_then(Value::as_array).into_iter().flatten();
        let said = said.filter_map(|error| error.get("message")?.as_str().map(str::to_owned));
        operation.errors = said.collect();
    }
    shared.note(operation);
    (status, Json(body)).into_response()
}

fn authenticated(shared: &Shared, headers: &HeaderMap) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{}", shared.key)));
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) == Some(expected.as_str())
}

/// Waits or refuses, as a fault says.
async fn trouble(shared: &Shared, fields: &[String]) -> Option<(StatusCode, Value)> {
    let trouble = shared.meet(fields)?;
    if let Some(delay) = trouble.delay() {
        tokio::time::sleep(delay).await;
    }
    match trouble {
        Trouble::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some((status, graphql::refused(&["this was asked for: a planted fault".into()])))
        }
        Trouble::SlowMs(_) => None,
    }
}

fn unauthorized() -> (StatusCode, Value) {
    (StatusCode::UNAUTHORIZED, graphql::refused(&["user is not logged in".into()]))
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut entry = operation(&shared, &headers, "graphql".into());
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err(wrong) => return end(&shared, entry, StatusCode::BAD_REQUEST, graphql::refused(&wrong)),
    };
    entry.variables = without_secrets(&request.variables(), &shared.key);
    let checked = request.check(&shared.schema);
    if let Ok(Checked { name, fields, .. }) = &checked {
        entry.name.clone_from(name);
        entry.fields.clone_from(fields);
    }
    if let Some((status, body)) = trouble(&shared, &entry.fields).await {
        return end(&shared, entry, status, body);
    }
    if !authenticated(&shared, &headers) {
        let (status, body) = unauthorized();
        return end(&shared, entry, status, body);
    }
    let executed = checked.and_then(|checked| checked.execute(&shared.schema, &shared));
    match executed {
        Ok((body, errors)) => {
            entry.errors = errors;
            end(&shared, entry, StatusCode::OK, body)
        }
        Err(wrong) => end(&shared, entry, StatusCode::BAD_REQUEST, graphql::refused(&wrong)),
    }
}

/// A run's stream (`core/internal/filestream` of wandb 0.28.2): lines of its files, and how it ended.
async fn stream(
    State(shared): State<Arc<Shared>>,
    Path((entity, project, run)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut entry = operation(&shared, &headers, "file_stream".into());
    entry.variables = json!({"entity": entity, "project": project, "run": run});
    if let Some((status, body)) = trouble(&shared, &["file_stream".into()]).await {
        return end(&shared, entry, status, body);
    }
    if !authenticated(&shared, &headers) {
        let (status, body) = unauthorized();
        return end(&shared, entry, status, body);
    }
    let sent = match unzipped(&headers, &body).and_then(|body| Ok(serde_json::from_slice::<Value>(&body)?)) {
        Ok(sent) => sent,
        Err(error) => return end(&shared, entry, StatusCode::BAD_REQUEST, graphql::refused(&[error.to_string()])),
    };
    for part in ["complete", "exitcode"] {
        if let Some(value) = sent.get(part) {
            entry.variables[part] = value.clone();
        }
    }
    let key = RunKey::new(&entity, &project, &run);
    match shared.with(|world| world.stream(&key, &sent)) {
        Ok(stopped) => end(&shared, entry, StatusCode::OK, json!({"limits": {}, "stopped": stopped})),
        Err(refusal) => end(&shared, entry, StatusCode::NOT_FOUND, graphql::refused(&[refusal.to_string()])),
    }
}

fn unzipped(headers: &HeaderMap, body: &Bytes) -> std::io::Result<Vec<u8>> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_ref()).take(BODY_LIMIT as u64).read_to_end(&mut plain)?;
        return Ok(plain);
    }
    Ok(body.to_vec())
}

/// An upload to the address that `createRunFiles` gave. As W&B's signed addresses it asks for no key.
async fn upload(
    State(shared): State<Arc<Shared>>,
    Path((entity, project, run, file)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut entry = operation(&shared, &headers, "upload".into());
    entry.variables = json!({"entity": entity, "project": project, "run": run, "file": file, "bytes": body.len()});
    if let Some((status, body)) = trouble(&shared, &["upload".into()]).await {
        return end(&shared, entry, status, body);
    }
    let key = RunKey::new(&entity, &project, &run);
    let kept = shared.with(|world| {
        let run = world.runs.get_mut(&key)?;
        run.files.insert(file.clone(), body.len() as u64);
        world.uploads.insert((key, file), body.to_vec());
        Some(())
    });
    match kept {
        Some(()) => end(&shared, entry, StatusCode::OK, json!({})),
        None => end(&shared, entry, StatusCode::NOT_FOUND, graphql::refused(&["there is no such run".into()])),
    }
}

async fn download(
    State(shared): State<Arc<Shared>>,
    Path((entity, project, run, file)): Path<(String, String, String, String)>,
) -> Response {
    let key = (RunKey::new(&entity, &project, &run), file);
    match shared.with(|world| world.uploads.get(&key).cloned()) {
        Some(bytes) => bytes.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn tell_log(State(shared): State<Arc<Shared>>) -> Response {
    let log = shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Json(log).into_response()
}

async fn tell_state(State(shared): State<Arc<Shared>>) -> Response {
    let state = shared.with(|world| {
        let runs: Vec<Value> = world.runs.iter().map(|(key, run)| json!({"key": key, "run": run})).collect();
        let world = serde_json::to_value(&*world).unwrap_or_default(); // Every part of it is JSON.
        json!({"world": world, "runs": runs})
    });
    Json(without_secrets(&state, &shared.key)).into_response()
}

async fn plant(State(shared): State<Arc<Shared>>, Json(fault): Json<Fault>) -> StatusCode {
    shared.faults.lock().unwrap_or_else(PoisonError::into_inner).plant(fault);
    StatusCode::NO_CONTENT
}

async fn heal(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    StatusCode::NO_CONTENT
}

async fn unknown(State(shared): State<Arc<Shared>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let entry = operation(&shared, &headers, format!("{method} {}", uri.path()));
    let said = "this server has no such address".to_owned();
    end(&shared, entry, StatusCode::NOT_FOUND, graphql::refused(&[said]))
}
