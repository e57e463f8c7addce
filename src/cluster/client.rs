//! The requests this tool makes of an API server, with their retries.

use std::{collections::BTreeSet, time::Duration};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use super::{
    ClusterError, Discovery, ErrorKind, FIELD_MANAGER, Meta, Resource, gate::Gate, metadata, protobuf, watch::Watch,
};
use crate::id::{Gvk, ObjectId};

/// Asks for metadata alone, in protobuf where the kind has it.
const METADATA_LIST: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                             application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const METADATA_ONE: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                            application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Who asks, in the API server's audit log.
const USER_AGENT: &str = concat!("wbk-infra/", env!("CARGO_PKG_VERSION"));

/// Objects in one page of a LIST. kubectl's page is 500; metadata is small, and each page costs a round trip.
const PAGE: usize = 5_000;

/// Tries of a request that the server throttled or failed; with the waits below they span about 15 s, longer than the
/// re-initialising of a storage after a restart of the API server (1 to 5 s seen).
const TRIES: u32 = 6;

/// A connection to one API server.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    gate: std::sync::Arc<Gate>,
    timeout: Duration,
    urgency: u32,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Whether an apply changes the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMode {
    /// It does.
    Write,
    /// It is only tried: the answer is what would be.
    DryRun,
}

/// What an apply does about fields of other managers, and under whose name it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The field manager.
    pub manager: String,
    /// Take fields that others hold; without it such a field is an error that names them.
    pub force: bool,
}

impl Guard {
    /// Our own manager; others' fields are an error.
    pub fn ours() -> Self {
        Self { manager: FIELD_MANAGER.into(), force: false }
    }

    /// Our own manager; others' fields are taken.
    pub fn taking() -> Self {
        Self { manager: FIELD_MANAGER.into(), force: true }
    }
}

/// The answer to an apply.
#[derive(Debug, Clone)]
pub struct Applied<T> {
    /// Whether the object was not there before.
    pub created: bool,
    /// The object as it is now.
    pub object: T,
}

/// What happens to an object's dependants when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Deleted by the garbage collector, after it.
    Background,
    /// Deleted before it.
    Foreground,
}

impl Cluster {
    /// Wraps a client. `parallel` is the most requests at once; `timeout` bounds each.
    pub fn new(client: kube::Client, parallel: usize, timeout: Duration) -> Self {
        Self { client, gate: Gate::new(parallel), timeout, urgency: 0 }
    }

    /// The same connection; its requests go before less urgent ones where more wait than the server is asked at once.
    #[must_use]
    pub fn urgent(&self, urgency: u32) -> Self {
        Self { urgency, ..self.clone() }
    }

    /// The client itself, for watches and for requests that only one caller makes.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// Every kind that the server has.
    ///
    /// # Errors
    /// The server does not answer, or is older than Kubernetes 1.27.
    pub async fn discover(&self) -> Result<Discovery, ClusterError> {
        let mut discovery = Discovery::default();
        let (core, groups) = futures::try_join!(
            self.get_bytes("/api", DISCOVERY, "discover the core kinds"),
            self.get_bytes("/apis", DISCOVERY, "discover the kinds of all groups")
        )?;
        for body in [core, groups] {
            discovery
                .add(&body)
                .map_err(|words| ClusterError::new("read the list of kinds", ErrorKind::Garbled, words))?;
        }
        Ok(discovery)
    }

    /// The metadata of every object of a kind, in all namespaces or one, that a label selector admits.
    ///
    /// # Errors
    /// As the server answers; a page that cannot be read fails the whole.
    pub async fn list_metadata(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Meta>, ClusterError> {
        let attempted = format!("list the {}", resource.plural);
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut query = vec![("limit", PAGE.to_string())];
            if !selector.is_empty() {
                query.push(("labelSelector", selector.to_owned()));
            }
            if let Some(token) = next.take() {
                query.push(("continue", token));
            }
            let path = format!("{}?{}", collection_path(resource, namespace), encode(&query));
            let (body, is_protobuf) = self
                .read(Method::GET, &path, METADATA_LIST, None, &attempted)
                .await
                .map(|answer| (answer.body, answer.protobuf))?;
            let decoded = if is_protobuf { protobuf::decode_list(&body) } else { metadata::decode_list(&body) };
            let (items, more) =
                decoded.map_err(|words| ClusterError::new(attempted.clone(), ErrorKind::Garbled, words))?;
            all.extend(items);
            match more {
                Some(token) => next = Some(token),
                None => return Ok(all),
            }
        }
    }

    /// The names of all objects of a kind, in all namespaces or one; `None` where there are more than `most`.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn list_names(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        most: usize,
    ) -> Result<Option<BTreeSet<String>>, ClusterError> {
        let attempted = format!("list the {}", resource.plural);
        let path = format!("{}?limit={most}", collection_path(resource, namespace));
        let answer = self.read(Method::GET, &path, METADATA_LIST, None, &attempted).await?;
        let decoded =
            if answer.protobuf { protobuf::decode_list(&answer.body) } else { metadata::decode_list(&answer.body) };
        let (items, more) = decoded.map_err(|words| ClusterError::new(attempted, ErrorKind::Garbled, words))?;
        Ok(more.is_none().then(|| items.into_iter().map(|meta| meta.name).collect()))
    }

    /// Watches the objects of a kind, in all namespaces, that a label selector admits: those that are there first.
    ///
    /// # Errors
    /// As the server answers. It is tried once: whoever waits for news can also look.
    pub async fn watch(&self, resource: &Resource, selector: &str) -> Result<Watch, ClusterError> {
        let attempted = format!("watch the {}", resource.plural);
        let query = [("watch", "true".to_owned()), ("labelSelector", selector.to_owned())];
        let path = format!("{}?{}", collection_path(resource, None), encode(&query));
        let request = Request::builder()
            .uri(&path)
            .header("accept", "application/json")
            .header("user-agent", USER_AGENT)
            .body(Body::empty())
            .map_err(|source| ClusterError::caused(attempted.clone(), ErrorKind::Refused, source))?;
        let broken = |source| ClusterError::caused(attempted.clone(), ErrorKind::Unreachable, source);
        let (parts, body) = self.client.send(request).await.map_err(broken)?.into_parts();
        if parts.status.is_success() {
            return Ok(Watch::new(body));
        }
        let bytes = body.collect().await.map_err(broken)?.to_bytes();
        Err(ClusterError::from_status(attempted.clone(), &path, parts.status.as_u16(), &bytes))
    }

    /// The whole object, or `None` where there is none.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn get(&self, resource: &Resource, id: &ObjectId) -> Result<Option<Value>, ClusterError> {
        let attempted = format!("read {id}");
        absent(self.read(Method::GET, &object_path(resource, id), "application/json", None, &attempted).await)?
            .map(|answer| json(&attempted, &answer.body))
            .transpose()
    }

    /// The object's metadata, or `None` where there is none.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn get_metadata(&self, resource: &Resource, id: &ObjectId) -> Result<Option<Meta>, ClusterError> {
        let attempted = format!("look for {id}");
        absent(self.read(Method::GET, &object_path(resource, id), METADATA_ONE, None, &attempted).await)?
            .map(|answer| one(&attempted, &answer))
            .transpose()
    }

    /// Tries an apply on the server without changing anything, and answers the whole object that would be.
    ///
    /// # Errors
    /// [`ErrorKind::FieldConflict`] without `force` where others hold fields; [`ErrorKind::Refused`] with the server's words.
    pub async fn try_apply(
        &self,
        resource: &Resource,
        id: &ObjectId,
        manifest: &Value,
        guard: &Guard,
    ) -> Result<Applied<Value>, ClusterError> {
        let attempted = format!("try {id} on the server");
        let answer =
            self.patch(resource, id, manifest, guard, ApplyMode::DryRun, "application/json", &attempted).await?;
        Ok(Applied { created: answer.created, object: json(&attempted, &answer.body)? })
    }

    /// Applies an object with strict field validation, and answers its metadata.
    ///
    /// # Errors
    /// As [`Cluster::try_apply`]; [`ErrorKind::Stale`] where the manifest's uid or resourceVersion is not the live one.
    pub async fn apply(
        &self,
        resource: &Resource,
        id: &ObjectId,
        manifest: &Value,
        guard: &Guard,
    ) -> Result<Applied<Meta>, ClusterError> {
        let attempted = format!("apply {id}");
        let answer = self.patch(resource, id, manifest, guard, ApplyMode::Write, METADATA_ONE, &attempted).await?;
        Ok(Applied { created: answer.created, object: one(&attempted, &answer)? })
    }

    /// Deletes the object with this uid; `false` where it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] where an object of this name has another uid or another resourceVersion.
    pub async fn delete(
        &self,
        resource: &Resource,
        id: &ObjectId,
        uid: &str,
        resource_version: Option<&str>,
        propagation: Propagation,
    ) -> Result<bool, ClusterError> {
        let policy = match propagation {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        };
        let mut preconditions = serde_json::json!({ "uid": uid });
        if let Some(version) = resource_version {
            preconditions["resourceVersion"] = version.into();
        }
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy, "preconditions": preconditions,
        });
        let attempted = format!("delete {id}");
        let body = Some(("application/json", options.to_string().into_bytes()));
        Ok(absent(self.read(Method::DELETE, &object_path(resource, id), "application/json", body, &attempted).await)?
            .is_some())
    }

    /// A request of another shape: a review, an event list, a subresource. `body` is JSON.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        attempted: &str,
    ) -> Result<Value, ClusterError> {
        let body = body.map(|value| ("application/json", value.to_string().into_bytes()));
        let answer = self.read(method, path, "application/json", body, attempted).await?;
        json(attempted, &answer.body)
    }

    async fn get_bytes(&self, path: &str, accept: &str, attempted: &str) -> Result<Vec<u8>, ClusterError> {
        Ok(self.read(Method::GET, path, accept, None, attempted).await?.body)
    }

    #[expect(clippy::too_many_arguments, reason = "private; both callers stand above and name every argument")]
    async fn patch(
        &self,
        resource: &Resource,
        id: &ObjectId,
        manifest: &Value,
        guard: &Guard,
        mode: ApplyMode,
        accept: &str,
        attempted: &str,
    ) -> Result<Answer, ClusterError> {
        let mut query = vec![
            ("fieldManager", guard.manager.clone()),
            ("fieldValidation", "Strict".to_owned()),
            ("force", guard.force.to_string()),
        ];
        if mode == ApplyMode::DryRun {
            query.push(("dryRun", "All".to_owned()));
        }
        let path = format!("{}?{}", object_path(resource, id), encode(&query));
        // JSON is YAML: the body needs no YAML writer.
        let body = Some((APPLY_PATCH, manifest.to_string().into_bytes()));
        self.read(Method::PATCH, &path, accept, body, attempted).await
    }

    /// Sends a request until it is served, refused, or out of tries.
    async fn read(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
        attempted: &str,
    ) -> Result<Answer, ClusterError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let place = self.gate.enter(self.urgency).await;
            let outcome =
                tokio::time::timeout(self.timeout, self.once(&method, path, accept, body.as_ref(), attempted)).await;
            drop(place);
            let (error, wait) = match outcome {
                Ok(Ok(answer)) => {
                    self.gate.served();
                    return Ok(answer);
                }
                Ok(Err(failure)) => failure,
                Err(_elapsed) => {
                    let words = format!("no answer within {} s", self.timeout.as_secs());
                    return Err(ClusterError::new(attempted, ErrorKind::Timeout, words));
                }
            };
            // A write that broke off may have arrived. Every write here is idempotent (an apply of the same content, a delete
            // bound to a uid), so it is repeated like a read.
            let again = match error.kind {
                ErrorKind::Throttled => {
                    self.gate.throttled();
                    true
                }
                ErrorKind::QuotaContended => true,
                ErrorKind::Server | ErrorKind::Unreachable => tried < 4,
                _ => false,
            };
            if !again || tried >= TRIES {
                return Err(error);
            }
            let backoff = Duration::from_millis(100) * 2_u32.pow(tried);
            tokio::time::sleep(wait.unwrap_or(backoff).min(Duration::from_secs(10))).await;
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        accept: &str,
        body: Option<&(&str, Vec<u8>)>,
        attempted: &str,
    ) -> Result<Answer, (ClusterError, Option<Duration>)> {
        let unreachable = |source: kube::Error| {
            let error = match source {
                kube::Error::Auth(source) => ClusterError::caused(attempted, ErrorKind::Local, source),
                // Its own text is "ServiceError: " and the cause.
                kube::Error::Service(source) => ClusterError::caused(attempted, ErrorKind::Unreachable, source),
                source => ClusterError::caused(attempted, ErrorKind::Unreachable, source),
            };
            (error, None)
        };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("accept", accept)
            .header("user-agent", USER_AGENT);
        let bytes = match body {
            Some((content_type, bytes)) => {
                request = request.header("content-type", *content_type);
                bytes.clone()
            }
            None => Vec::new(),
        };
        let request = request
            .body(Body::from(bytes))
            .map_err(|source| (ClusterError::caused(attempted, ErrorKind::Refused, source), None))?;
        let response: Response<Body> = self.client.send(request).await.map_err(unreachable)?;
        let (parts, body) = response.into_parts();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let wait = header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let protobuf = header("content-type")
            .is_some_and(|content_type| content_type.starts_with("application/vnd.kubernetes.protobuf"));
        let bytes = body
            .collect()
            .await
            .map_err(|source| (ClusterError::caused(attempted, ErrorKind::Unreachable, source), None))?
            .to_bytes()
            .to_vec();
        if parts.status.is_success() {
            Ok(Answer { created: parts.status == http::StatusCode::CREATED, protobuf, body: bytes })
        } else {
            Err((ClusterError::from_status(attempted.to_owned(), path, parts.status.as_u16(), &bytes), wait))
        }
    }
}

struct Answer {
    created: bool,
    protobuf: bool,
    body: Vec<u8>,
}

fn one(attempted: &str, answer: &Answer) -> Result<Meta, ClusterError> {
    let decoded = if answer.protobuf { protobuf::decode_one(&answer.body) } else { metadata::decode_one(&answer.body) };
    decoded.map_err(|words| ClusterError::new(attempted, ErrorKind::Garbled, words))
}

fn json(attempted: &str, body: &[u8]) -> Result<Value, ClusterError> {
    serde_json::from_slice(body).map_err(|source| ClusterError::caused(attempted, ErrorKind::Garbled, source))
}

fn absent<T>(outcome: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn group_path(gvk: &Gvk) -> String {
    if gvk.group.is_empty() { format!("/api/{}", gvk.version) } else { format!("/apis/{}/{}", gvk.group, gvk.version) }
}

fn collection_path(resource: &Resource, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if resource.namespaced => {
            format!("{}/namespaces/{namespace}/{}", group_path(&resource.gvk), resource.plural)
        }
        Some(_) | None => format!("{}/{}", group_path(&resource.gvk), resource.plural),
    }
}

fn object_path(resource: &Resource, id: &ObjectId) -> String {
    // Names of RBAC objects may hold colons and other characters that a path must not.
    format!("{}/{}", collection_path(resource, id.namespace.as_deref()), escape(&id.name))
}

fn encode(query: &[(&str, String)]) -> String {
    query.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect::<Vec<_>>().join("&")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
