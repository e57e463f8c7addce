//! The library on a real API server: look, plan, apply, drift, with every request counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use wbk_infra::cluster::{Cluster, Discovery, Marks, Provenance, connect};
use wbk_infra::desired::{ConflictChoice, Desired, DesiredCost, DesiredObject, Policy, Promises};
use wbk_infra::drift::{Moved, Surroundings, drift};
use wbk_infra::execute::{Event, Execution, Holder, Journal, Limits, PlatformActuator, Stop, execute};
use wbk_infra::id::{Digest, ObjectId, ObjectKey};
use wbk_infra::live::{Addition, EarlyLists, Memory, Observer, Reach, SecretValue, SecretValues, Sight, additions};
use wbk_infra::plan::{Plan, PlanOptions, destroy, plan};
use wbk_provider_api::{ClusterSpec, Provider, ProviderKind, Wanted};
use wbk_provider_existing::ExistingProvider;

use super::support::plane::{Plane, plane};

/// A blueprint of its own on the shared control plane.
pub struct World {
    pub plane: Arc<Plane>,
    pub desired: Desired,
    pub memory: Memory,
    pub values: SecretValues,
    /// For what the test itself does.
    pub raw: kube::Client,
    cluster: Cluster,
    provider: ExistingProvider,
    folder: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

/// A client that notes every request.
fn counted(client: kube::Client, requests: Arc<Mutex<Vec<String>>>) -> kube::Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        let line = format!("{} {}", request.method(), request.uri());
        requests.lock().expect("no holder panics").push(line);
        async move { client.send(request).await }
    });
    kube::Client::new(service, "default")
}

pub fn policy() -> Policy {
    Policy { max_deletes: 1000, protect: vec![], ignore: vec![], conflicts: ConflictChoice::Mend }
}

/// A desired state on the shared control plane.
pub fn desired(name: &str, objects: Vec<DesiredObject>) -> Desired {
    let cluster = ClusterSpec {
        provider: ProviderKind::Existing,
        name: name.into(),
        version: None,
        region: None,
        context: None,
        kubeconfig: None,
        uid: None,
        kind: Default::default(),
        eks: None,
    };
    let mut objects = objects;
    objects.sort_by(|one, other| one.id.cmp(&other.id));
    Desired {
        name: name.into(),
        wanted: Wanted { blueprint: name.into(), cluster, pools: BTreeMap::new() },
        objects,
        releases: vec![],
        gpus: BTreeMap::new(),
        launch: None,
        promises: Promises::default(),
        policy: policy(),
        cost: DesiredCost::default(),
    }
}

impl World {
    pub async fn new(name: &str, objects: Vec<DesiredObject>) -> Self {
        let plane = tokio::task::spawn_blocking(plane).await.expect("a control plane");
        let access = plane.access();
        let client = connect(&access).await.expect("a client");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let cluster = Cluster::new(counted(client.clone(), requests.clone()), 64, Duration::from_secs(30));
        let provider = ExistingProvider::new(vec![plane.kubeconfig()], None);
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::load(&folder.path().join("none"));
        let values = objects.iter().flat_map(|object| &object.secrets);
        let values = values.map(|slot| (slot.from.clone(), SecretValue::new(format!("value of {}", slot.from).into())));
        let values = SecretValues::new(values.collect());
        let desired = desired(name, objects);
        Self { plane, desired, memory, values, raw: client, cluster, provider, folder, requests }
    }

    pub async fn discover(&self) -> Discovery {
        self.cluster.discover().await.expect("the server tells its kinds")
    }

    /// An empty memory: as after its file was deleted.
    pub fn forgotten(&self) -> Memory {
        Memory::load(&self.folder.path().join("none"))
    }

    /// Looks with a memory; the requests that this took, discovery left out.
    pub async fn look(&self, memory: Memory) -> (Sight, Vec<String>) {
        self.look_through(&self.cluster, memory).await
    }

    /// Looks over another connection.
    pub async fn look_through(&self, cluster: &Cluster, memory: Memory) -> (Sight, Vec<String>) {
        let observed = self.provider.observe(&self.desired.wanted).await;
        let discovery = cluster.discover().await.expect("the server tells its kinds");
        self.requests.lock().expect("no holder panics").clear();
        let observer = Observer {
            desired: &self.desired,
            releases: &[],
            memory,
            values: &self.values,
            early: EarlyLists::default(),
        };
        let reach = Reach::Cluster { cluster, discovery: &discovery, context: "test" };
        let sight = observer.observe(observed, reach).await;
        let requests = self.requests.lock().expect("no holder panics").clone();
        (sight, requests)
    }

    /// Looks with what is remembered, remembers, and plans.
    pub async fn plan(&mut self, options: &PlanOptions) -> (Plan, Sight, Vec<String>) {
        let (sight, requests) = self.look(self.memory.clone()).await;
        self.memory = sight.memory.clone();
        (plan(&self.desired, &sight.live, &[], options), sight, requests)
    }

    /// The plan without any memory.
    pub async fn plan_forgetful(&self, options: &PlanOptions) -> Plan {
        let (sight, _) = self.look(self.forgotten()).await;
        plan(&self.desired, &sight.live, &[], options)
    }

    pub async fn plan_destroy(&mut self, options: &PlanOptions) -> Plan {
        let (sight, _) = self.look(self.memory.clone()).await;
        destroy(&self.desired, &sight.live, &[], options)
    }

    /// Carries a plan out.
    pub async fn apply(&mut self, plan: &Plan) -> Execution {
        let say = |event: Event| {
            if std::env::var_os("FIDELITY_VERBOSE").is_some() {
                eprintln!("    {event:?}");
            }
        };
        let limits = Limits { parallel: 64, timeout: Duration::from_secs(30) };
        let salt = self.memory.salt.clone();
        let actuator = PlatformActuator::new(
            plan,
            &self.provider,
            (&self.values, salt),
            limits,
            (Holder::this_process("test"), &say),
        )
        .with_cluster(self.cluster.clone(), self.discover().await);
        let digest = Digest::of_json(&serde_json::to_value(plan).expect("a plan is JSON"));
        let path = self.folder.path().join("journal");
        let (journal, _) = Journal::begin(&path, &digest, plan.steps.len(), "").expect("a journal");
        let (_stop, stopped) = watch::channel(Stop::No);
        let fence = || actuator.may_write();
        let execution =
            execute(plan, &digest, &actuator, (&journal, &say), (&fence, stopped)).await.expect("a journal");
        actuator.end(execution.is_complete()).await.expect("the apply ends");
        for (key, value) in actuator.remembered() {
            match value {
                Some(value) => self.memory.objects.insert(key, value),
                None => self.memory.objects.remove(&key),
            };
        }
        execution
    }

    /// Applies until done; fails the test with what failed.
    #[track_caller]
    pub fn complete(execution: &Execution) {
        let failed: Vec<String> =
            execution.failed.iter().map(|(id, error)| format!("{id}: {}", error.line())).collect();
        assert!(execution.is_complete(), "failed: {failed:#?}\nblocked: {:#?}", execution.blocked);
    }

    /// What moved.
    pub async fn drift(&self, sight: &Sight) -> Moved {
        let discovery = self.discover().await;
        let added: Vec<(ObjectKey, Vec<Addition>)> = sight
            .live
            .objects
            .keys()
            .filter_map(|key| Some((key.clone(), additions(sight.metas.get(key)?, &[]))))
            .filter(|(_, found)| !found.is_empty())
            .collect();
        let discovery = &discovery;
        let added = stream::iter(added)
            .map(|(key, found)| async move {
                let resource = discovery.preferred(&key.kind)?;
                let id =
                    ObjectId { gvk: resource.gvk.clone(), namespace: key.namespace.clone(), name: key.name.clone() };
                let body = self.cluster.get(resource, &id).await.expect("it can be read")?;
                Some((key, (found, body)))
            })
            .buffer_unordered(16)
            .filter_map(|found| async move { found })
            .collect()
            .await;
        let around = Surroundings {
            metas: &sight.metas,
            additions: &added,
            applied_before: &|_| true,
            value_changed: &|_| false,
            operations: &[],
        };
        drift(&self.desired, &sight.live, &around)
    }

    /// The live objects of these ids.
    pub async fn bodies(&self, ids: &[ObjectId]) -> BTreeMap<ObjectKey, Value> {
        let discovery = &self.discover().await;
        stream::iter(ids)
            .map(|id| async move {
                let resource = discovery.find(&id.gvk).expect("the kind is served");
                let body = self.cluster.get(resource, id).await.expect("it can be read")?;
                Some((id.key(), body))
            })
            .buffer_unordered(32)
            .filter_map(|found| async move { found })
            .collect()
            .await
    }

    /// The manifest as the product sends it.
    pub fn marked(&self, object: &DesiredObject) -> Value {
        Marks::new(&self.desired.name).mark(
            &self.values.fill(object),
            &object.digest(),
            &object.origin.path,
            Provenance::Made,
        )
    }

    /// Sends a request of somebody else.
    pub async fn send(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value, kube::Error> {
        let bytes = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(bytes);
        let text = self.raw.request_text(request.expect("a request")).await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null)) // Some answers are no JSON; nobody reads those.
    }

    /// The server's clock, in whole seconds.
    pub async fn server_second(&self) -> i64 {
        let request = Request::get("/version").body(Body::empty()).expect("a request");
        let answer = self.raw.send(request).await.expect("an answer");
        let date = answer.headers()["date"].to_str().expect("text");
        jiff::fmt::rfc2822::parse(date).expect("a date").timestamp().as_second()
    }

    /// Waits until the server's clock shows another second: entries of before then bear another time than those of after.
    pub async fn next_second(&self) -> i64 {
        let begun = self.server_second().await;
        loop {
            let now = self.server_second().await;
            if now > begun {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The path of an object.
pub fn path(discovery: &Discovery, id: &ObjectId) -> String {
    let resource = discovery.find(&id.gvk).expect("the kind is served");
    let root = match id.gvk.group.is_empty() {
        true => format!("/api/{}", id.gvk.version),
        false => format!("/apis/{}/{}", id.gvk.group, id.gvk.version),
    };
    match &id.namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{}/{}", resource.plural, id.name),
        None => format!("{root}/{}/{}", resource.plural, id.name),
    }
}

/// Group kinds of a desired state, as many as the LISTs of a look: its kinds, Namespaces and ConfigMaps.
pub fn kinds(desired: &Desired) -> usize {
    let mut kinds: BTreeSet<String> =
        desired.objects.iter().map(|object| object.id.gvk.group_kind().to_string()).collect();
    kinds.extend(["Namespace".to_owned(), "ConfigMap".to_owned()]);
    kinds.len()
}

/// Nothing of a manifest but what is wanted, for others to apply or create.
pub fn bare(live: &Value) -> Value {
    let mut bare = live.clone();
    if let Some(root) = bare.as_object_mut() {
        root.remove("status");
    }
    if let Some(metadata) = bare["metadata"].as_object_mut() {
        for key in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"] {
            metadata.remove(key);
        }
    }
    bare
}

/// For messages.
pub fn short(value: &Value) -> String {
    json!(value).to_string().chars().take(300).collect()
}
