//! A real API server and a real kube-scheduler, asked with cases.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use http::Request;
use serde_json::{Value, json};
use wbk_infra::gpu::scheduler::{
    Admission, Node, Placed, Pod, Surroundings, Verdict, best, claims, preemptions, unschedulable_words, verdict,
};
use wbk_provider_local::assets::Program;

use super::case::{Case, Outcome};
use super::support;

/// How long a verdict may take: the scheduler decides in milliseconds, and other tests run beside this one.
const PATIENCE: Duration = Duration::from_secs(60);
/// A pod that room was made for is bound within a second; one that waits this long waits for news.
const STUCK: Duration = Duration::from_secs(8);
/// How many requests are on their way at once.
const AT_ONCE: usize = 24;

/// A real API server and a real kube-scheduler.
pub struct World {
    client: kube::Client,
    cases: AtomicUsize,
    _scheduler: Scheduler,
    _cluster: Arc<support::Cluster>,
}

struct Scheduler(Child);

impl Drop for Scheduler {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A case with names, as it is on the server.
struct Asked {
    name: String,
    nodes: Vec<String>,
    invalid: Option<String>,
}

impl World {
    pub async fn start() -> Self {
        let cluster = support::cluster();
        let client = cluster.client().await;
        let log = std::fs::File::create(cluster.kubeconfig.with_file_name("scheduler.log")).expect("a log file");
        let scheduler = Command::new(support::assets::program(Program::Scheduler))
            .arg(format!("--kubeconfig={}", cluster.kubeconfig.display()))
            .args(["--leader-elect=false", "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("kube-scheduler starts");
        let world = Self { client, cases: AtomicUsize::new(0), _scheduler: Scheduler(scheduler), _cluster: cluster };
        for (at, policy) in (0..7).map(|at| (at, "PreemptLowerPriority")) {
            world.must(&priority_class(&format!("p{at}"), at * 10, policy)).await;
        }
        world.must(&priority_class("never", 60, "Never")).await;
        world
            .must(&json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"},
                "handler": "heavy", "overhead": {"podFixed": {"cpu": "250m", "memory": "64Mi"}}}))
            .await;
        world
            .must(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "static"},
                "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}))
            .await;
        world
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(bytes);
        self.client.request::<Value>(request.expect("a request")).await.map_err(|error| error.to_string())
    }

    async fn create(&self, object: &Value) -> Result<Value, String> {
        self.send("POST", &collection(object), object).await
    }

    async fn must(&self, object: &Value) {
        if let Err(error) = self.create(object).await {
            panic!("{object}: {error}");
        }
    }

    /// Asks all the cases at once. Before that, everything of the cases before is gone.
    pub async fn ask(&self, cases: &[Case]) -> Vec<Outcome> {
        self.clear().await;
        let named: Vec<(String, &Case)> =
            cases.iter().map(|case| (format!("c{}", self.cases.fetch_add(1, Ordering::Relaxed)), case)).collect();
        let asked: Vec<Asked> = stream::iter(named.iter().map(|(name, case)| self.prepare(name.clone(), case)))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let all: usize = self.list("/api/v1/nodes").await.len();
        self.seen_by_scheduler(all).await;
        let before = Before::read(self).await;
        let answers: Vec<Outcome> =
            stream::iter(named.iter().zip(&asked).map(|((name, case), asked)| self.judge(name, case, asked, &before)))
                .buffered(AT_ONCE)
                .collect()
                .await;
        answers
    }

    async fn clear(&self) {
        let pods = self.list("/api/v1/pods").await;
        let gone = pods.iter().map(|pod| format!("{}/{}?gracePeriodSeconds=0", collection(pod), name(pod)));
        let mut paths: Vec<String> = gone.collect();
        paths.extend(self.list("/api/v1/nodes").await.iter().map(|node| format!("/api/v1/nodes/{}", name(node))));
        stream::iter(paths)
            .for_each_concurrent(AT_ONCE, |path| async move {
                // Gone already is as good.
                let _ = self.send("DELETE", &path, &Value::Null).await;
            })
            .await;
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let kind = if path.ends_with("pods") { "Pod" } else { "Node" };
        let list = self.send("GET", path, &Value::Null).await.expect("a list");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items
            .into_iter()
            .map(|mut item| {
                item["apiVersion"] = json!("v1");
                item["kind"] = json!(kind);
                item
            })
            .collect()
    }

    /// Makes everything of a case but its pod.
    async fn prepare(&self, case_name: String, case: &Case) -> Asked {
        let named = |value: &Value| -> Value {
            serde_json::from_str(&value.to_string().replace("CASE", &case_name)).expect("JSON stays JSON")
        };
        let mut asked = Asked { name: case_name.clone(), nodes: Vec::new(), invalid: None };
        for namespace in [case_name.clone(), format!("{case_name}-other")] {
            self.must(&json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"team": namespace}}}))
                .await;
        }
        for (at, node) in case.nodes.iter().enumerate() {
            let node = named(node);
            let node_name = format!("{case_name}-node-{at}");
            let mut labels = node["labels"].clone();
            labels["case"] = json!(case_name);
            labels["kubernetes.io/hostname"] = json!(node_name);
            let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name, "labels": labels},
                "spec": {"unschedulable": node["unschedulable"]},
                "status": {"allocatable": node["allocatable"], "capacity": node["allocatable"]}});
            // The API server taints new nodes as not ready; what a case says of its taints is all there shall be.
            let taints = json!({"spec": {"taints": node["taints"]}});
            let made = match self.create(&object).await {
                Ok(_) => self.send("PATCH", &format!("/api/v1/nodes/{node_name}"), &taints).await,
                Err(error) => Err(error),
            };
            asked.nodes.push(node_name);
            if let Err(error) = made {
                asked.invalid = Some(error);
            }
        }
        for (at, (node, occupant)) in case.occupants.iter().enumerate() {
            let mut pod = named(occupant);
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["name"] = json!(format!("occupant-{at}"));
            pod["spec"]["nodeName"] = json!(asked.nodes[*node]);
            if pod["metadata"]["namespace"].is_null() {
                pod["metadata"]["namespace"] = json!(case_name);
            }
            if let Err(error) = self.create(&pod).await {
                asked.invalid = Some(error);
            }
        }
        if let Some(volume) = &case.volume
            && let Err(error) = self.volume(&case_name, &named(volume)).await
        {
            asked.invalid = Some(error);
        }
        asked
    }

    /// A claim bound to a volume, as the controller leaves it.
    async fn volume(&self, case: &str, volume: &Value) -> Result<(), String> {
        let size = json!({"storage": "1Gi"});
        let mut spec = json!({"capacity": size, "accessModes": ["ReadWriteOnce"], "storageClassName": "static",
            "hostPath": {"path": "/none"}, "claimRef": {"kind": "PersistentVolumeClaim", "namespace": case, "name": "data"}});
        if !volume["nodeAffinity"].is_null() {
            spec["nodeAffinity"] = volume["nodeAffinity"].clone();
        }
        self.create(&json!({"apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": case, "labels": volume["labels"]}, "spec": spec}))
            .await?;
        self.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": case, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": case, "accessModes": ["ReadWriteOnce"], "storageClassName": "static",
                "resources": {"requests": size}}}))
            .await?;
        Ok(())
    }

    /// Waits until the scheduler counts this many nodes: by then it has seen every pod before, too.
    async fn seen_by_scheduler(&self, nodes: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let name = format!("canary-{}", self.cases.fetch_add(1, Ordering::Relaxed));
            let path = format!("/api/v1/namespaces/default/pods/{name}");
            self.must(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": [{"name": "main", "image": "none"}], "nodeSelector": {"nobody": "has"},
                    "preemptionPolicy": "Never", "priorityClassName": "never"}}))
                .await;
            let said = self.verdict_of(&path).await;
            self.send("DELETE", &format!("{path}?gracePeriodSeconds=0"), &Value::Null).await.expect("a canary goes");
            let counts = said["message"].as_str().unwrap_or_default();
            if counts.starts_with(&format!("0/{nodes} ")) || nodes == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "the scheduler does not see {nodes} nodes: {counts}");
        }
    }

    /// The condition of a pod once the scheduler has decided; `node` where it is bound.
    async fn verdict_of(&self, path: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut looked = Instant::now();
        loop {
            let pod = self.send("GET", path, &Value::Null).await.expect("the pod is there");
            let node = &pod["spec"]["nodeName"];
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let condition = conditions.into_iter().find(|condition| condition["type"] == "PodScheduled");
            match condition {
                _ if !node.is_null() => return json!({"node": node}),
                Some(condition)
                    if condition["reason"] == "Unschedulable" && pod["status"]["nominatedNodeName"].is_null() =>
                {
                    return condition;
                }
                Some(_) if looked.elapsed() > STUCK => {
                    looked = Instant::now();
                    self.nudge(&pod).await;
                }
                Some(_) | None => {}
            }
            assert!(Instant::now() < deadline, "the scheduler does not decide about {path}: {}", pod["status"]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes the scheduler look again at a pod that it has made room for: now and then it misses that its victim has gone, and would
    /// look after five minutes. A pod like it that goes from its node is such news.
    async fn nudge(&self, pod: &Value) {
        let mut like = json!({"apiVersion": "v1", "kind": "Pod", "spec": pod["spec"],
            "metadata": {"name": "nudge", "namespace": pod["metadata"]["namespace"]}});
        like["spec"]["nodeName"] = pod["status"]["nominatedNodeName"].clone();
        eprintln!("nudged the scheduler: {} waits on {}", pod["metadata"]["namespace"], like["spec"]["nodeName"]);
        self.must(&like).await;
        let path =
            format!("/api/v1/namespaces/{}/pods/nudge", pod["metadata"]["namespace"].as_str().unwrap_or_default());
        self.send("DELETE", &format!("{path}?gracePeriodSeconds=0"), &Value::Null).await.expect("a nudge goes");
    }

    async fn judge(&self, case_name: &str, case: &Case, asked: &Asked, before: &Before) -> Outcome {
        if let Some(why) = &asked.invalid {
            return Outcome::Invalid(why.clone());
        }
        let mut pod: Value =
            serde_json::from_str(&case.pod.to_string().replace("CASE", case_name)).expect("JSON stays JSON");
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!("asked");
        pod["metadata"]["namespace"] = json!(case_name);
        pod["spec"]["nodeSelector"]["case"] = json!(case_name);
        let raw = pod.clone();
        let path = format!("/api/v1/namespaces/{case_name}/pods");
        let made = match self.create(&pod).await {
            Ok(made) => made,
            Err(error) => return Outcome::Invalid(error),
        };
        // What the model makes of the written pod must be what it makes of the defaulted one.
        let admission = |pod: &Value| Admission {
            defaults: None,
            priority: pod["spec"]["priority"].as_i64(),
            preempts: Some(pod["spec"]["preemptionPolicy"] != "Never"),
        };
        let model = Pod::of(&made, case_name, &admission(&made));
        let mut written = raw;
        written["spec"]["overhead"] = made["spec"]["overhead"].clone();
        let of_written = Pod::of(&written, case_name, &admission(&made));
        if of_written.requests != model.requests {
            let model_says = format!("{:?}", of_written.requests);
            return Outcome::Differs { model: model_says, real: format!("{:?}", model.requests) };
        }
        let expected = before.expect(&model);
        let said = self.verdict_of(&format!("{path}/asked")).await;
        let left = self.left_behind(asked).await;
        expected.compare(&said, &left)
    }

    /// Pods that are still on the nodes of a case, `namespace/name`.
    async fn left_behind(&self, asked: &Asked) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        for namespace in [asked.name.clone(), format!("{}-other", asked.name)] {
            for pod in self.list(&format!("/api/v1/namespaces/{namespace}/pods")).await {
                left.insert(format!("{namespace}/{}", name(&pod)));
            }
        }
        left.remove(&format!("{}/asked", asked.name));
        left
    }
}

/// The world as it was before the pods were asked about.
struct Before {
    nodes: Vec<Value>,
    pods: Vec<Value>,
    namespaces: Vec<Value>,
    storage: Vec<Value>,
}

/// What the model says will happen.
enum Expected {
    Bound { nodes: Vec<String>, pods: BTreeSet<String> },
    Preempts { choices: Vec<(String, BTreeSet<String>)> },
    Refused { words: String },
    Unknown(Vec<String>),
}

impl Before {
    async fn read(world: &World) -> Self {
        let mut storage = Vec::new();
        for (kind, path) in [
            ("PersistentVolume", "/api/v1/persistentvolumes"),
            ("PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
            ("StorageClass", "/apis/storage.k8s.io/v1/storageclasses"),
        ] {
            let list = world.send("GET", path, &Value::Null).await.expect("a list");
            for mut item in list["items"].as_array().cloned().unwrap_or_default() {
                item["kind"] = json!(kind);
                storage.push(item);
            }
        }
        Self {
            nodes: world.list("/api/v1/nodes").await,
            pods: world.list("/api/v1/pods").await,
            namespaces: world.list("/api/v1/namespaces").await,
            storage,
        }
    }

    fn expect(&self, pod: &Pod) -> Expected {
        let mut nodes: Vec<Node> = self.nodes.iter().map(Node::of).collect();
        for occupant in &self.pods {
            let Some(at) = nodes.iter().position(|node| node.name.as_deref() == occupant["spec"]["nodeName"].as_str())
            else {
                continue;
            };
            let namespace = occupant["metadata"]["namespace"].as_str().unwrap_or_default();
            let pod = Rc::new(Pod::of(occupant, namespace, &Admission::default()));
            nodes[at].pods.push(Placed { pod, terminating: false });
        }
        let labels_of = |namespace: &Value| -> BTreeMap<String, String> {
            let labels = namespace["metadata"]["labels"].as_object().into_iter().flatten();
            labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        };
        let mut around = Surroundings::new(&nodes);
        around.namespaces = Rc::new(
            self.namespaces.iter().map(|namespace| (name(namespace).to_owned(), labels_of(namespace))).collect(),
        );
        around.claims = Rc::new(claims(self.storage.iter()));
        let place = |pod: &Pod| format!("{}/{}", pod.namespace, pod.name);
        let own = |around: &Surroundings<'_>| -> BTreeSet<String> {
            let case = pod.namespace.as_str();
            let of_case =
                |other: &&Placed| other.pod.namespace == case || other.pod.namespace == format!("{case}-other");
            around.nodes.iter().flat_map(|node| &node.pods).filter(of_case).map(|placed| place(&placed.pod)).collect()
        };
        let mut fitting = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            match verdict(pod, at, &around) {
                Verdict::Fits => fitting.push(node.name.clone().unwrap_or_default()),
                Verdict::Refused(_) => {}
                Verdict::Unknown(why) => return Expected::Unknown(why),
            }
        }
        if !fitting.is_empty() {
            return Expected::Bound { nodes: fitting, pods: own(&around) };
        }
        if let Some(words) = unschedulable_words(pod, &around) {
            return Expected::Refused { words };
        }
        let found = preemptions(pod, &around);
        let choices = best(&found, &around).into_iter().map(|one| {
            let mut left = own(&around);
            for victim in &one.victims {
                left.remove(&place(&nodes[one.node].pods[*victim].pod));
            }
            (nodes[one.node].name.clone().unwrap_or_default(), left)
        });
        Expected::Preempts { choices: choices.collect() }
    }
}

impl Expected {
    fn compare(self, said: &Value, left: &BTreeSet<String>) -> Outcome {
        let node = said["node"].as_str();
        let real = || match node {
            Some(node) => format!("bound to {node}, beside {left:?}"),
            None => said["message"].as_str().unwrap_or_default().to_owned(),
        };
        match self {
            Self::Bound { nodes, pods } => match node {
                Some(node) if nodes.iter().any(|one| one == node) && pods == *left => Outcome::Bound,
                _ => Outcome::Differs { model: format!("bound to one of {nodes:?}, beside {pods:?}"), real: real() },
            },
            Self::Preempts { choices } => {
                if choices.iter().any(|(one, pods)| Some(one.as_str()) == node && pods == left) {
                    return Outcome::Preempted;
                }
                Outcome::Differs { model: format!("after preemption, one of {choices:?}"), real: real() }
            }
            Self::Refused { words } if node.is_none() && said["message"] == words.as_str() => Outcome::Refused,
            Self::Refused { words } => Outcome::Differs { model: words, real: real() },
            Self::Unknown(why) => Outcome::Differs { model: format!("unknown: {why:?}"), real: real() },
        }
    }
}

fn priority_class(name: &str, value: i64, policy: &str) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
        "preemptionPolicy": policy})
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn collection(object: &Value) -> String {
    let api = object["apiVersion"].as_str().expect("apiVersion");
    let kind = object["kind"].as_str().expect("kind").to_lowercase();
    let plural = if kind.ends_with("class") { format!("{kind}es") } else { format!("{kind}s") };
    let root = if api.contains('/') { format!("/apis/{api}") } else { format!("/api/{api}") };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}
