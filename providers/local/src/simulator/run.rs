//! The one loop: watches tell what changed, each thing that changed is looked at once, and at most so many at a time.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::utils::{Backoff, WatchStreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::node::{Faults, Running};
use super::pod::{self, Next};
use super::role;
use super::{lease, node};
use crate::{LocalError, cluster, names};

/// Where the simulator says what goes wrong, one line each.
pub type SimulatorSink<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Requests under way at once; the API server's own limits are 400 reads and 200 writes.
const AT_ONCE: usize = 48;
/// As kubelet's.
const LEASES: Duration = Duration::from_secs(10);
/// After a failed request or a lost watch: the API server is on this machine, asking it costs little.
const AGAIN: Duration = Duration::from_secs(1);

/// Simulates the kubelets of the cluster that `kubeconfig` names, until `shutdown` completes.
///
/// # Errors
/// The kubeconfig cannot be used. What goes wrong later is told to `log` and tried again.
pub async fn run(
    kubeconfig: &Path,
    shutdown: impl Future<Output = ()>,
    log: SimulatorSink<'_>,
) -> Result<(), LocalError> {
    let client = cluster::client_of_file(kubeconfig).await?;
    let nodes = Api::<Node>::all(client.clone());
    let pods = Api::<Pod>::all(client.clone());
    let of_ours = watcher::Config::default().labels(&format!("{}=true", names::SIMULATED));
    let bound = watcher::Config::default().fields("spec.nodeName!=");
    let mut simulator = Simulator {
        client,
        version: String::new(),
        nodes: Store::default(),
        pods: Store::default(),
        queue: VecDeque::new(),
        queued: HashSet::new(),
        busy: HashSet::new(),
        due: BTreeSet::new(),
    };
    let nodes = watcher(nodes, of_ours).backoff(Steady).boxed();
    let pods = watcher(pods, bound).backoff(Steady).boxed();
    simulator.work(nodes, pods, shutdown, log).await;
    Ok(())
}

type Watch<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Node(String),
    Lease(String),
    Pod(String, String),
}

/// How looking at it ended.
enum Outcome {
    Done,
    LookIn(Duration),
    Failed(String),
}

struct Simulator {
    client: kube::Client,
    /// Kubernetes' version, which the nodes say they have; empty until it was read.
    version: String,
    nodes: Store<Node>,
    pods: Store<Pod>,
    queue: VecDeque<Key>,
    queued: HashSet<Key>,
    busy: HashSet<Key>,
    due: BTreeSet<(Instant, Key)>,
}

impl Simulator {
    async fn work(
        &mut self,
        mut nodes: Watch<Node>,
        mut pods: Watch<Pod>,
        shutdown: impl Future<Output = ()>,
        log: SimulatorSink<'_>,
    ) {
        let mut running: FuturesUnordered<BoxFuture<'static, (Key, Outcome)>> = FuturesUnordered::new();
        let mut leases = tokio::time::interval(LEASES);
        leases.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            self.begin(&mut running).await;
            let next_due = self.due.first().map(|(at, _)| *at);
            tokio::select! {
                () = &mut shutdown => return,
                Some(event) = nodes.next() => match event {
                    Ok(event) => self.node_event(event),
                    Err(error) => log(&format!("cannot watch nodes: {error}")),
                },
                Some(event) = pods.next() => match event {
                    Ok(event) => self.pod_event(event),
                    Err(error) => log(&format!("cannot watch pods: {error}")),
                },
                Some((key, outcome)) = running.next() => {
                    self.busy.remove(&key);
                    match outcome {
                        Outcome::Done => {}
                        Outcome::LookIn(after) => drop(self.due.insert((Instant::now() + after, key))),
                        Outcome::Failed(why) => {
                            log(&why);
                            self.due.insert((Instant::now() + AGAIN, key));
                        }
                    }
                }
                () = at(next_due) => {
                    let now = Instant::now();
                    while self.due.first().is_some_and(|(at, _)| *at <= now) {
                        let Some((_, key)) = self.due.pop_first() else { break };
                        self.enqueue(key);
                    }
                }
                _ = leases.tick() => {
                    let names: Vec<String> = self.nodes.items.keys().map(|(_, name)| name.clone()).collect();
                    names.into_iter().for_each(|name| self.enqueue(Key::Lease(name)));
                }
            }
        }
    }

    /// Begins what is queued, as far as there is room; what is under way is begun again when it is done.
    async fn begin(&mut self, running: &mut FuturesUnordered<BoxFuture<'static, (Key, Outcome)>>) {
        if self.version.is_empty() && !self.queue.is_empty() {
            // Nodes that say a wrong version are worse than nodes that come a moment later.
            match self.client.apiserver_version().await {
                Ok(info) => self.version = info.git_version.trim_start_matches('v').to_owned(),
                Err(_) => {
                    // What is queued is begun when this is over.
                    self.due.insert((Instant::now() + AGAIN, Key::Lease(String::new())));
                    return;
                }
            }
        }
        let mut waiting = VecDeque::new();
        while running.len() < AT_ONCE {
            let Some(key) = self.queue.pop_front() else { break };
            if self.busy.contains(&key) {
                waiting.push_back(key);
                continue;
            }
            self.queued.remove(&key);
            if let Some(work) = self.look(&key) {
                self.busy.insert(key.clone());
                running.push(Box::pin(async move { (key, work.await) }));
            }
        }
        self.queue.append(&mut waiting);
    }

    fn enqueue(&mut self, key: Key) {
        if self.queued.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    fn node_event(&mut self, event: Event<Node>) {
        if let Some(name) = self.nodes.take(event) {
            // Its pods may have come before it.
            let pods: Vec<Key> =
                self.pods.items.values().filter(|pod| node_of(pod) == Some(&name.1)).map(key_of).collect();
            pods.into_iter().for_each(|key| self.enqueue(key));
            self.enqueue(Key::Lease(name.1.clone()));
            self.enqueue(Key::Node(name.1));
        }
    }

    fn pod_event(&mut self, event: Event<Pod>) {
        // A pod with a role that goes or comes changes its node; which node must be known before it is gone.
        let mut affected: Vec<String> = Vec::new();
        let mut note = |pod: &Pod| {
            if role::of(pod).is_some() {
                affected.extend(node_of(pod).map(str::to_owned));
            }
        };
        match &event {
            Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod) => note(pod),
            Event::Init => {}
            Event::InitDone => self.pods.items.values().for_each(&mut note),
        }
        if let Some((namespace, name)) = self.pods.take(event) {
            self.enqueue(Key::Pod(namespace, name));
        }
        affected.into_iter().for_each(|node| self.enqueue(Key::Node(node)));
    }

    /// What is to be done about it; `None`: nothing.
    fn look(&mut self, key: &Key) -> Option<BoxFuture<'static, Outcome>> {
        match key {
            Key::Lease(name) => {
                let (client, node) = (self.client.clone(), self.nodes.get("", name)?.clone());
                Some(Box::pin(async move { outcome("renew the lease of a node", lease::renew(&client, &node).await) }))
            }
            Key::Node(name) => self.look_at_node(name),
            Key::Pod(namespace, name) => {
                let pod = self.pods.get(namespace, name)?;
                let node = self.nodes.get("", node_of(pod)?)?;
                let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
                match pod::next(pod, &Faults::of(node), Timestamp::now()) {
                    Next::NotStarted(patch) => {
                        let (nodes, node) = (Api::<Node>::all(self.client.clone()), node.clone());
                        let (pods, seen) = (api.clone(), pod.clone());
                        let failed = pod_work(api, pod, Next::Patch(patch))?;
                        Some(Box::pin(async move {
                            // One that has failed already and is not yet seen so would take a second error. The watch tells.
                            match pods.get(&seen.name_any()).await {
                                Ok(now) if now.resource_version() == seen.resource_version() => {}
                                Ok(_) => return Outcome::Done,
                                Err(error) => return outcome("look at a pod again", Err(error)),
                            }
                            let less = Patch::Merge(node::one_start_error_less(&node));
                            match nodes.patch(&node.name_any(), &params(), &less).await {
                                Ok(_) => failed.await,
                                // Where the node has changed, its pods are looked at again.
                                Err(error) => outcome("count a start error of a node", Err(error)),
                            }
                        }))
                    }
                    next => pod_work(api, pod, next),
                }
            }
        }
    }

    fn look_at_node(&self, name: &str) -> Option<BoxFuture<'static, Outcome>> {
        let found = self.nodes.get("", name)?;
        let shape = node::shape(found)?;
        let running = self.running_on(name);
        let now = Timestamp::now().to_string();
        let labels = node::label_patch(found, &shape, &running);
        let status = node::status_patch(found, &shape, &running, &self.version, &now);
        if labels.is_none() && status.is_none() {
            return None;
        }
        let (api, name) = (Api::<Node>::all(self.client.clone()), name.to_owned());
        Some(Box::pin(async move {
            if let Some(labels) = labels
                && let Err(error) = api.patch(&name, &params(), &Patch::Merge(labels)).await
            {
                return outcome("label a node", Err(error));
            }
            match status {
                Some(status) => {
                    let patched = api.patch_status(&name, &params(), &Patch::Merge(status)).await;
                    outcome("report the status of a node", patched.map(drop))
                }
                None => Outcome::Done,
            }
        }))
    }

    fn running_on(&self, node: &str) -> Running {
        let mut running = Running::default();
        let pods = self.pods.items.values().filter(|pod| node_of(pod) == Some(node) && role::is_running(pod));
        for pod in pods {
            if let Some(role) = role::of(pod) {
                running.add(role);
            }
        }
        running
    }
}

fn pod_work(api: Api<Pod>, pod: &Pod, next: Next) -> Option<BoxFuture<'static, Outcome>> {
    let name = pod.name_any();
    match next {
        Next::Nothing => None,
        Next::LookIn(after) => Some(Box::pin(async move { Outcome::LookIn(after) })),
        Next::Patch(patch) | Next::NotStarted(patch) => Some(Box::pin(async move {
            let patched: kube::Result<Pod> = api.patch_status(&name, &params(), &Patch::<Value>::Merge(patch)).await;
            outcome("report the status of a pod", patched.map(drop))
        })),
        Next::Remove => {
            let this_one = Preconditions { uid: pod.uid(), resource_version: None };
            let at_once = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default().grace_period(0) };
            Some(Box::pin(async move {
                outcome("remove a pod that was deleted", api.delete(&name, &at_once).await.map(drop))
            }))
        }
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(names::SIMULATOR_MANAGER.into()), ..PatchParams::default() }
}

/// Gone or changed meanwhile is fine: the watch tells, and it is looked at again.
fn outcome(what: &str, result: kube::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Outcome::Done,
        Err(error) => Outcome::Failed(format!("cannot {what}: {error}")),
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn key_of(pod: &Pod) -> Key {
    Key::Pod(pod.namespace().unwrap_or_default(), pod.name_any())
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What a watch has told, by namespace and name.
struct Store<K> {
    items: HashMap<(String, String), K>,
    /// Seen since a watch began anew; what is not in it when the list ends is gone.
    listed: HashSet<(String, String)>,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { items: HashMap::new(), listed: HashSet::new() }
    }
}

impl<K: Resource> Store<K> {
    fn get(&self, namespace: &str, name: &str) -> Option<&K> {
        self.items.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Takes an event in; the names of what it changed and is still there.
    fn take(&mut self, event: Event<K>) -> Option<(String, String)> {
        let name = |item: &K| (item.namespace().unwrap_or_default(), item.name_any());
        match event {
            Event::Init => {
                self.listed.clear();
                None
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.items.retain(|key, _| listed.contains(key));
                None
            }
            Event::Delete(item) => {
                self.items.remove(&name(&item));
                None
            }
            Event::InitApply(item) => {
                let name = name(&item);
                self.listed.insert(name.clone());
                self.insert(name, item)
            }
            Event::Apply(item) => {
                let name = name(&item);
                self.insert(name, item)
            }
        }
    }

    fn insert(&mut self, name: (String, String), mut item: K) -> Option<(String, String)> {
        // The largest part of an object, and nothing here reads it.
        item.meta_mut().managed_fields = None;
        self.items.insert(name.clone(), item);
        Some(name)
    }
}

/// The same pause each time.
struct Steady;

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(AGAIN)
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}
