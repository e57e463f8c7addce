//! Faults on a real control plane with simulated nodes: each check ends with the reason, well before its time is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use wbk_infra::desired::{Desired, DesiredObject, Origin};
use wbk_infra::id::ObjectId;
use wbk_infra::verify::{CheckContext, Nodes, OptIn, Outcome, Report, Suite, VerifyOptions, html, human};
use wbk_provider_api::PoolSpec;
use wbk_provider_local::simulator::NodeShape;

#[path = "support/live_server.rs"]
#[expect(dead_code, reason = "this binary's nodes are the simulator's")]
mod live;
#[path = "support/verify_platform.rs"]
mod platform;
mod support;

use support::plane::{Plane, plane};

/// Far more than any of these checks needs: who ends near it has waited for a time-out.
const DEADLINE: Duration = Duration::from_secs(90);
/// By when a reason must be there: patience, and a control plane that other tests share.
const SOON: Duration = Duration::from_secs(30);

struct World {
    _plane: Arc<Plane>,
    client: kube::Client,
    desired: Desired,
    space: String,
}

impl World {
    async fn new(test: &str) -> Self {
        let plane = tokio::task::spawn_blocking(plane).await.expect("a control plane");
        let client = kube::Client::try_from(plane.config().await).expect("a client");
        let space = format!("vf-{test}-{}", jiff::Timestamp::now().as_millisecond());
        let desired = platform::desired(&space);
        let world = Self { _plane: plane, client, desired, space };
        for manifest in platform::manifests(&world.space) {
            // The kinds that these tests are about.
            if !matches!(manifest["kind"].as_str(), Some("CustomResourceDefinition" | "Widget" | "Secret")) {
                world.send("POST", &live::collection(&manifest), &manifest).await;
            }
        }
        for pool in world.desired.wanted.pools.values() {
            for at in 0..pool.size.min {
                world.send("POST", "/api/v1/nodes", &world.node(pool, at)).await;
            }
        }
        world.settles("the GPUs are there", async || world.gpus().await == [4, 4]).await;
        world
    }

    fn node(&self, pool: &PoolSpec, at: u32) -> Value {
        let mut labels = pool.labels.clone();
        labels.insert("wbk-infra/simulated".into(), "true".into());
        let shape = serde_json::to_string(&NodeShape::of(pool)).expect("plain data");
        json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name(&pool.name, at), "labels": labels, "annotations": {"wbk-infra/shape": shape}},
            "spec": {"taints": pool.taints}})
    }

    fn name(&self, pool: &str, at: u32) -> String {
        format!("{}-{pool}-{at}", self.space)
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        live::send(&self.client, method, path, body).await
    }

    async fn nodes(&self, body: &Value) {
        for at in 0..2 {
            self.send("PATCH", &format!("/api/v1/nodes/{}", self.name("gpu", at)), body).await;
        }
    }

    async fn gpus(&self) -> Vec<i64> {
        let mut all = Vec::new();
        for at in 0..2 {
            let node = self.send("GET", &format!("/api/v1/nodes/{}", self.name("gpu", at)), &Value::Null).await;
            let count = node["status"]["allocatable"]["nvidia.com/gpu"].as_str().unwrap_or("0").to_owned();
            all.push(count.parse().expect("a number"));
        }
        all
    }

    async fn ready(&self, status: &str) -> bool {
        for at in 0..2 {
            let node = self.send("GET", &format!("/api/v1/nodes/{}", self.name("gpu", at)), &Value::Null).await;
            let of_node = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let tainted = node["spec"]["taints"].to_string().contains("node.kubernetes.io/not-ready");
            let same = of_node.iter().any(|c| c["type"] == "Ready" && c["status"] == status);
            if !same || tainted != (status == "False") {
                return false;
            }
        }
        true
    }

    async fn plugins(&self) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector=app%3Dplugin", self.space);
        let pods = self.send("GET", &path, &Value::Null).await;
        let names = pods["items"].as_array().into_iter().flatten();
        names.map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    }

    async fn settles(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            let mut rhythm = tokio::time::interval(Duration::from_millis(100));
            loop {
                rhythm.tick().await;
                if is_so().await {
                    return;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("not within 60 s: {what}"));
    }

    /// Changes the quota, and waits until its controller has made it the one in force.
    async fn quota(&self, resource: &str, amount: &str) {
        let path = format!("/api/v1/namespaces/{}/resourcequotas/sample", self.space);
        self.send("PATCH", &path, &json!({"spec": {"hard": {resource: amount}}})).await;
        self.settles("the quota is in force", async || {
            self.send("GET", &path, &Value::Null).await["status"]["hard"][resource] == amount
        })
        .await;
    }

    /// What a dry-run of a harmless pod is answered: the pod, or the refusal's words.
    async fn dry_run(&self) -> String {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dry"}, "spec": {"containers": [container()]}});
        let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", self.space);
        match live::try_send(&self.client, "POST", &path, &pod).await {
            Ok(made) => made.to_string(),
            Err(error) => error.to_string(),
        }
    }

    async fn verify(&self, options: VerifyOptions, only: &[&str]) -> Report {
        let only: Vec<String> = only.iter().map(|pattern| (*pattern).to_owned()).collect();
        let suite = Suite::derive(&self.desired).narrow(&only, &[]).expect("the patterns name checks");
        let clock: wbk_infra::verify::Clock = Arc::new(jiff::Timestamp::now);
        let desired = Arc::new(self.desired.clone());
        let cx = CheckContext::new(self.client.clone(), desired, Nodes::Simulated, options, clock);
        let (_stop, stopped) = watch::channel(false);
        suite.run(&cx, None, stopped).await
    }

    /// A container that the runtime does not start: once is a moment's trouble, twice is a fault.
    async fn start_errors(&self) {
        let cordon = |on: bool| json!({"spec": {"unschedulable": on}});
        let (one, other) = (self.name("gpu", 0), self.name("gpu", 1));
        self.send("PATCH", &format!("/api/v1/nodes/{other}"), &cordon(true)).await;
        let next = async |count: &str| {
            let body = json!({"metadata": {"annotations": {"wbk-infra/simulate-start-errors": count}}});
            self.send("PATCH", &format!("/api/v1/nodes/{one}"), &body).await;
        };
        for id in PODS {
            next("1").await;
            let report = self.verify(options(), &[id]).await;
            match &report.entries[0].outcome {
                Outcome::Pass { evidence } => {
                    for word in ["; a first try never began to run: it did not start", "StartError"] {
                        assert!(evidence.measured.contains(word), "{id} has no `{word}`: {}", evidence.measured);
                    }
                }
                other => panic!("{id} after one start error: {other:?}"),
            }
            next("2").await;
            let words = ["did not start on simulated node", "exit code 128 (StartError", "; a first try met the same"];
            self.ends("start errors", options(), id, Ends::Fails, &words).await;
        }
        let made = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwbk-infra-verify";
        for collection in ["/apis/batch/v1/namespaces/SPACE/jobs", "/api/v1/namespaces/SPACE/pods"] {
            let path = format!("{}?{made}", collection.replace("SPACE", &self.space));
            self.settles("no try is left", async || self.send("GET", &path, &Value::Null).await["items"] == json!([]))
                .await;
        }
        self.send("PATCH", &format!("/api/v1/nodes/{other}"), &cordon(false)).await;
    }

    /// Expects each check to end so, with all these words, soon.
    async fn ends(&self, fault: &str, options: VerifyOptions, id: &str, how: Ends, words: &[&str]) {
        let began = Instant::now();
        let report = self.verify(options, &[id]).await;
        let took = began.elapsed();
        let text = anstream::adapter::strip_str(&human(&report)).to_string();
        eprintln!("{fault} ({:.1} s): {text}", took.as_secs_f64());
        assert!(took < SOON, "{fault}: {id} took {took:?}\n{text}");
        for entry in &report.entries {
            let said = match (&entry.outcome, how) {
                (Outcome::Fail { evidence, .. }, Ends::Fails) => &evidence.measured,
                (Outcome::Inconclusive { reason }, Ends::Doubts) => reason,
                other => panic!("{fault}: {}: {other:?}\n{text}", entry.id),
            };
            for word in words {
                assert!(said.contains(word), "{fault}: {} has no `{word}`: {said}", entry.id);
            }
        }
        assert!(!report.entries.is_empty());
    }
}

/// A container that every level of pod security accepts.
fn container() -> Value {
    json!({"name": "c", "image": "i", "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true,
        "runAsUser": 1, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}})
}

#[derive(Debug, Clone, Copy)]
enum Ends {
    Fails,
    Doubts,
}

fn options() -> VerifyOptions {
    VerifyOptions { patience: Duration::from_secs(3), sample_deadline: DEADLINE, ..VerifyOptions::default() }
}

const PODS: [&str; 2] = ["jobs.sample/gpu", "gpus.smi/gpu"];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_nodes_ends_the_checks_with_its_reason() {
    let world = World::new("nodes").await;
    let good = world.verify(options(), &["nodes", "gpus", "jobs", "gang", "limits", "quota"]).await;
    assert_eq!(good.verdict().exit_code(), 0, "\n{}", human(&good));

    world.nodes(&json!({"spec": {"unschedulable": true}})).await;
    for id in PODS {
        world.ends("cordoned", options(), id, Ends::Fails, &["every node of pool gpu is cordoned", "gpu-0"]).await;
    }
    world.nodes(&json!({"spec": {"unschedulable": null}})).await;

    let fault = |value: Value| json!({"metadata": {"annotations": {"wbk-infra/simulate-not-ready": value}}});
    world.nodes(&fault(json!("container runtime is down"))).await;
    world.settles("the nodes are NotReady", async || world.ready("False").await).await;
    for id in PODS {
        let words = ["no node of pool gpu takes pods", "NotReady (KubeletNotReady: container runtime is down)"];
        world.ends("not ready", options(), id, Ends::Fails, &words).await;
    }
    world.ends("not ready", options(), "nodes.ready/gpu", Ends::Fails, &["0 of 2", "KubeletNotReady"]).await;
    world.nodes(&fault(Value::Null)).await;
    world.settles("the nodes are Ready", async || world.ready("True").await).await;

    let taint = |value: Value| json!({"spec": {"taints": value}});
    let more = json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "dedicated", "value": "others", "effect": "NoSchedule"}]);
    world.nodes(&taint(more)).await;
    world.ends("taint", options(), PODS[0], Ends::Fails, &["dedicated=others:NoSchedule"]).await;
    world.nodes(&taint(json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]))).await;

    world.nodes(&json!({"metadata": {"annotations": {"wbk-infra/simulate-exit-code": "9"}}})).await;
    for id in PODS {
        world.ends("driver", options(), id, Ends::Fails, &["failed on simulated node", "exit code 9"]).await;
    }
    world.nodes(&json!({"metadata": {"annotations": {"wbk-infra/simulate-exit-code": null}}})).await;

    world.start_errors().await;

    world.nodes(&json!({"metadata": {"annotations": {"wbk-infra/simulate-unhealthy-gpus": "1"}}})).await;
    world.settles("a GPU is unhealthy", async || world.gpus().await == [3, 3]).await;
    let words = ["offers 3 of 4: the others are not healthy"];
    world.ends("unhealthy", options(), "gpus.allocatable/gpu", Ends::Fails, &words).await;
    world.nodes(&json!({"metadata": {"annotations": {"wbk-infra/simulate-unhealthy-gpus": null}}})).await;
    world.settles("the GPUs are healthy", async || world.gpus().await == [4, 4]).await;

    let again = world.verify(options(), &["nodes", "gpus", "jobs"]).await;
    assert_eq!(again.verdict().exit_code(), 0, "all faults are undone\n{}", human(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_gpu_stack_and_the_namespace_ends_the_checks_with_its_reason() {
    let world = World::new("stack").await;
    let space = world.space.clone();
    let core = |rest: &str| format!("/api/v1/namespaces/{space}/{rest}");

    let unpullable = || {
        let image = Some("registry.invalid/none:1".to_owned());
        VerifyOptions { sample_image: image.clone(), gpu_image: image, ..options() }
    };
    for id in PODS {
        let words = ["cannot pull image registry.invalid/none:1", "ImagePullBackOff"];
        world.ends("image", unpullable(), id, Ends::Fails, &words).await;
    }

    let holder = |at: u32| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("holder-{space}-{at}"),
                "annotations": {"wbk-infra/simulate-duration": "1h"}},
            "spec": {"nodeName": world.name("gpu", at), "restartPolicy": "Never", "containers": [{"name": "c", "image": "i",
                "resources": {"limits": {"nvidia.com/gpu": "4"}}}]}})
    };
    for at in 0..2 {
        world.send("POST", "/api/v1/namespaces/default/pods", &holder(at)).await;
    }
    for id in PODS {
        let words = ["pool gpu has no room", "Insufficient nvidia.com/gpu", "default/holder-", "has 4"];
        world.ends("full", options(), id, Ends::Doubts, &words).await;
    }
    for at in 0..2 {
        let path = format!("/api/v1/namespaces/default/pods/holder-{space}-{at}");
        world.send("DELETE", &path, &json!({"gracePeriodSeconds": 0})).await;
    }

    let crash = json!({"metadata": {"annotations": {"wbk-infra/simulate-failure": "CrashLoopBackOff"}}});
    for pod in world.plugins().await {
        world.send("PATCH", &core(&format!("pods/{pod}")), &crash).await;
    }
    world.settles("the GPUs are gone", async || world.gpus().await == [0, 0]).await;
    for id in PODS {
        let words = ["no node of pool gpu offers nvidia.com/gpu", "device plugin: pod", "CrashLoopBackOff"];
        world.ends("plugin crashes", options(), id, Ends::Fails, &words).await;
    }
    let words = ["does not advertise", "CrashLoopBackOff"];
    world.ends("plugin crashes", options(), "gpus.advertiser/gpu", Ends::Fails, &words).await;
    world.ends("plugin crashes", options(), "gpus.allocatable/gpu", Ends::Fails, &["offers 0"]).await;

    let set = format!("/apis/apps/v1/namespaces/{space}/daemonsets/plugin");
    let tolerations = |value: Value| json!({"spec": {"template": {"spec": {"tolerations": value}}}});
    world.send("PATCH", &set, &tolerations(Value::Null)).await;
    world.settles("the plugin's pods are gone", async || world.plugins().await.is_empty()).await;
    let words = ["nothing advertises", "does not tolerate taint nvidia.com/gpu:NoSchedule"];
    world.ends("no toleration", options(), "gpus.advertiser/gpu", Ends::Fails, &words).await;
    world.ends("no toleration", options(), "gpus.smi/gpu", Ends::Fails, &["does not tolerate taint"]).await;
    world.send("PATCH", &set, &tolerations(json!([{"key": "nvidia.com/gpu", "operator": "Exists"}]))).await;
    world.settles("the GPUs are back", async || world.gpus().await == [4, 4]).await;

    let second = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("second-{space}"),
            "annotations": {"wbk-infra/simulates": "device-plugin"}},
        "spec": {"nodeName": world.name("gpu", 0), "containers": [{"name": "c", "image": "i"}]}});
    world.send("POST", "/api/v1/namespaces/default/pods", &second).await;
    let words = ["2 advertise it", "default/second-"];
    world.ends("two plugins", options(), "gpus.advertiser/gpu", Ends::Fails, &words).await;
    let path = format!("/api/v1/namespaces/default/pods/second-{space}");
    world.send("DELETE", &path, &json!({"gracePeriodSeconds": 0})).await;

    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "gpus"},
        "spec": {"limits": [{"type": "Container", "max": {"nvidia.com/gpu": "4"}}]}});
    world.send("POST", &core("limitranges"), &range).await;
    world.settles("the LimitRange is in force", async || world.dry_run().await.contains("nvidia.com/gpu")).await;
    world.ends("LimitRange", options(), "limits.gpuless", Ends::Fails, &["is given 4 nvidia.com/gpu"]).await;
    world.send("DELETE", &core("limitranges/gpus"), &Value::Null).await;

    world.quota("pods", "0").await;
    for id in PODS {
        world.ends("quota", options(), id, Ends::Doubts, &["quota has no room", "exceeded quota"]).await;
    }
    world.quota("pods", "50").await;

    let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": space}, "webhooks": [{"name": "refuses.example.org", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "timeoutSeconds": 2,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}]});
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    world.send("POST", hooks, &hook).await;
    world.settles("the webhook is in force", async || world.dry_run().await.contains("refuses.example.org")).await;
    for id in PODS {
        let words = ["failed calling webhook", "refuses.example.org"];
        world.ends("webhook", options(), id, Ends::Fails, &words).await;
    }
    world.send("DELETE", &format!("{hooks}/{space}"), &Value::Null).await;
}

/// What no plan can see: the platform was right when it was applied, and somebody changed the cluster since.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_by_hand_breaks_the_closure_and_is_told_with_its_chain_and_fix() {
    let world = World::new("closure").await;
    let space = world.space.clone();
    let dns = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": space, "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": {"k8s-app": space}}, "template": {"metadata": {"labels": {"k8s-app": space}},
            "spec": {"nodeSelector": {"wbk-infra/pool": format!("{space}-cpu")}, "containers": [container()],
                "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}}}});
    world.send("POST", &live::collection(&dns), &dns).await;
    let closure = ["gpus.closure", "workloads.closure"];
    let good = world.verify(options(), &closure).await;
    assert_eq!(good.verdict().exit_code(), 0, "\n{}", human(&good));
    assert!(html(&good).contains("What can run where"));

    let gpu = json!({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"});
    let hand = json!({"key": "dedicated", "value": "others", "effect": "NoSchedule"});
    let node = |pool: &str, at: u32| format!("/api/v1/nodes/{}", world.name(pool, at));
    let taints = |all: Value| json!({"spec": {"taints": all}});

    // On one of two nodes: the pods of checks run on the other, and only the proof sees it.
    world.send("PATCH", &node("gpu", 1), &taints(json!([gpu, hand]))).await;
    let words = ["does not tolerate the taint dedicated=others:NoSchedule", &world.name("gpu", 1)];
    world.ends("taint by hand", options(), "gpus.closure/gpu", Ends::Fails, &words).await;
    let report = world.verify(options(), &["gpus.closure/gpu", "jobs.sample/gpu"]).await;
    let Outcome::Fail { hint, .. } = &report.entries[0].outcome else { panic!("{report:?}") };
    let fix = format!("kubectl taint nodes {} dedicated:NoSchedule-", world.name("gpu", 1));
    assert!(hint.as_ref().is_some_and(|hint| hint.starts_with(&fix)), "{hint:?}");
    assert!(matches!(report.entries[1].outcome, Outcome::Pass { .. }), "{}", human(&report));
    let page = html(&report);
    assert!(page.contains("class=\"edge no\"") && page.contains("pool hurt"), "the picture is red where it breaks");
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/closure.html"), page).expect("a page to look at");
    world.send("PATCH", &node("gpu", 1), &taints(json!([gpu]))).await;

    // The node that CoreDNS and the platform's own Deployment are on.
    world.send("PATCH", &node("cpu", 0), &taints(json!([hand]))).await;
    let words =
        [&format!("Deployment.apps kube-system/{space} can run on no node"), "taint dedicated=others:NoSchedule"];
    world.ends("CoreDNS without a node", options(), "workloads.closure", Ends::Fails, &words).await;
    world.send("PATCH", &node("cpu", 0), &taints(Value::Null)).await;

    // A second advertiser that nobody knows by name.
    let second = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": space, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": space}}, "template": {"metadata": {"labels": {"app": space}}, "spec": {
            "nodeSelector": {"wbk-infra/pool": format!("{space}-gpu")}, "tolerations": [{"operator": "Exists"}],
            "volumes": [{"name": "kubelet", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}],
            "containers": [{"name": "c", "image": "example.org/mystery:1", "args": ["--resource=nvidia.com/gpu"]}]}}}});
    world.send("POST", &live::collection(&second), &second).await;
    let both =
        format!("DaemonSet.apps default/{space} and DaemonSet.apps {space}/plugin advertise nvidia.com/gpu on node");
    world.ends("a second plugin", options(), "gpus.closure/gpu", Ends::Fails, &[&both]).await;
    let path = format!("/api/v1/namespaces/default/pods?labelSelector=app%3D{space}");
    world
        .settles("the second plugin runs", async || {
            let pods = world.send("GET", &path, &Value::Null).await;
            let running = |pod: &&Value| pod["status"]["phase"] == "Running";
            pods["items"].as_array().is_some_and(|pods| pods.iter().filter(running).count() == 2)
        })
        .await;
    let words = ["2 advertise it", &format!("default/{space}-")];
    world.ends("a second plugin", options(), "gpus.advertiser/gpu", Ends::Fails, &words).await;
    let path = format!("/apis/apps/v1/namespaces/default/daemonsets/{space}");
    world.send("DELETE", &path, &Value::Null).await;

    world.quota("requests.nvidia.com/gpu", "0").await;
    let words = ["allows 0 requests.nvidia.com/gpu, and one pod of a Job with 1 nvidia.com/gpu on pool gpu asks for 1"];
    world.ends("quota by hand", options(), "gpus.closure/gpu", Ends::Fails, &words).await;
    world.quota("requests.nvidia.com/gpu", "8").await;

    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "gpus"},
        "spec": {"limits": [{"type": "Container", "max": {"nvidia.com/gpu": "4"}}]}});
    let ranges = format!("/api/v1/namespaces/{space}/limitranges");
    world.send("POST", &ranges, &range).await;
    world.ends("LimitRange", options(), "workloads.closure", Ends::Fails, &["has nvidia.com/gpu in it"]).await;
    world.send("DELETE", &format!("{ranges}/gpus"), &Value::Null).await;

    let crash = json!({"metadata": {"annotations": {"wbk-infra/simulate-failure": "CrashLoopBackOff"}}});
    for pod in world.plugins().await {
        world.send("PATCH", &format!("/api/v1/namespaces/{space}/pods/{pod}"), &crash).await;
    }
    world.settles("the GPUs are gone", async || world.gpus().await == [0, 0]).await;
    let words = ["its kubelet has been told of none"];
    world.ends("plugin crashes", options(), "gpus.closure/gpu", Ends::Fails, &words).await;
    world.send("DELETE", &format!("/apis/apps/v1/namespaces/kube-system/deployments/{space}"), &Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_may_be_empty_is_tried_while_it_has_room_and_never_made_to_grow() {
    let world = World::new("spot").await;
    let space = world.space.clone();
    let ids = ["jobs.sample/spot", "gpus.smi/spot"];
    let skipped = async |why: &str| {
        for entry in world.verify(options(), &ids).await.entries {
            assert!(matches!(&entry.outcome, Outcome::Skipped { reason } if reason.contains(why)), "{why}: {entry:?}");
        }
    };
    skipped("pool spot has no nodes now (min 0)").await;

    let spot = world.desired.wanted.pools["spot"].clone();
    world.send("POST", "/api/v1/nodes", &world.node(&spot, 0)).await;
    skipped("no nvidia.com/gpu is free on the nodes of pool spot").await;

    let all = platform::manifests(&space);
    let mut plugin = all.into_iter().find(|one| one["kind"] == "DaemonSet").expect("a device plugin");
    plugin["metadata"]["name"] = json!("plugin-spot");
    plugin["spec"]["template"]["spec"]["nodeSelector"]["wbk-infra/pool"] = json!(format!("{space}-spot"));
    for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        plugin.pointer_mut(labels).expect("labels")["app"] = json!("plugin-spot");
    }
    world.send("POST", &live::collection(&plugin), &plugin).await;
    let node = format!("/api/v1/nodes/{}", world.name("spot", 0));
    world
        .settles("the GPU is there", async || {
            world.send("GET", &node, &Value::Null).await["status"]["allocatable"]["nvidia.com/gpu"] == "1"
        })
        .await;
    let report = world.verify(options(), &["jobs.sample/spot", "gpus.smi/spot", "gpus.closure/spot"]).await;
    assert_eq!(report.summary().passed, 3, "{}", human(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_push_out_on_a_full_pool_and_only_when_asked() {
    let mut world = World::new("prio").await;
    let space = world.space.clone();
    for (name, value) in [("low", 0), ("top", 2000)] {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": format!("{space}-{name}")}, "value": value});
        world.send("POST", &live::collection(&class), &class).await;
        let id = ObjectId::new("scheduling.k8s.io/v1", "PriorityClass", None, format!("{space}-{name}").as_str());
        let origin = Origin { path: "scheduling".into(), at: None };
        world.desired.objects.push(DesiredObject { id, manifest: class.into(), secrets: vec![], origin });
    }
    let ids = ["preemption.works/gpu"];
    let unasked = world.verify(options(), &ids).await;
    assert!(
        matches!(&unasked.entries[0].outcome, Outcome::Skipped { reason } if reason.contains("--allow preemption"))
    );

    let asked = || VerifyOptions { allow: [OptIn::Preemption].into(), ..options() };
    let small = world.verify(asked(), &ids).await;
    assert!(
        matches!(&small.entries[0].outcome, Outcome::Inconclusive { reason } if reason.contains("cannot fill the pool")),
        "{small:?}"
    );
    let hard = BTreeMap::from([("requests.nvidia.com/gpu".to_owned(), "16".to_owned())]);
    world.desired.promises.quotas.insert(space.clone(), hard);
    world.quota("requests.nvidia.com/gpu", "16").await;
    // Beside the other checks that want GPUs of the same pool.
    let report = world.verify(asked(), &["preemption", "gpus.smi/gpu", "jobs.sample/gpu", "gang"]).await;
    let text = anstream::adapter::strip_str(&human(&report)).to_string();
    assert_eq!(report.verdict().exit_code(), 0, "{text}");
    assert!(text.contains("made way on node"), "{text}");
    let path =
        format!("/api/v1/namespaces/{space}/pods?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwbk-infra-verify");
    world
        .settles("nothing of the checks is left", async || {
            world.send("GET", &path, &Value::Null).await["items"] == json!([])
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_dead_runs_go_and_those_of_living_ones_stay() {
    let world = World::new("left").await;
    let space = world.space.clone();
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{space}/leases");
    let pods = format!("/api/v1/namespaces/{space}/pods");
    let labels = |run: &str| {
        json!({"app.kubernetes.io/managed-by": "wbk-infra-verify", "wbk-infra/blueprint": space,
            "wbk-infra/verify-run": run})
    };
    let pod = |run: &str, annotations: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("left-{run}"), "labels": labels(run),
                "annotations": annotations},
            "spec": {"schedulerName": "nobody", "automountServiceAccountToken": false, "containers": [container()]}})
    };
    let ago = |seconds: i64| jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
    for (run, silent) in [("living", 0), ("dead", 60)] {
        let renewed = ago(silent).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": format!("wbk-verify-{run}"), "labels": labels(run)},
            "spec": {"holderIdentity": "elsewhere/1/1", "leaseDurationSeconds": 15, "renewTime": renewed}});
        world.send("POST", &leases, &lease).await;
        let on = json!({"wbk-infra/verify-lease": format!("{space}/wbk-verify-{run}")});
        world.send("POST", &pods, &pod(run, on)).await;
    }
    let until = |seconds: i64| json!({"wbk-infra/verify-until": ago(seconds).to_string()});
    world.send("POST", &pods, &pod("late", until(60))).await;
    world.send("POST", &pods, &pod("early", until(-600))).await;

    let report = world.verify(options(), &["gang.oversized/gpu"]).await;
    let left = world.send("GET", &format!("{pods}?labelSelector=wbk-infra%2Fverify-run"), &Value::Null).await;
    let mut names: Vec<&str> =
        left["items"].as_array().expect("a list").iter().filter_map(|p| p["metadata"]["name"].as_str()).collect();
    names.retain(|name| name.starts_with("left-"));
    assert_eq!(names, ["left-early", "left-living"], "{:?}", report.notes);
    let notes = report.notes.join("\n");
    assert!(notes.contains("left-dead, left by a former run") && notes.contains("left-late"), "{notes}");
    assert!(notes.contains("goes on (run living, 1 things)"), "{notes}");
    let left = world.send("GET", &leases, &Value::Null).await;
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1), "the dead run's Lease is gone, and this run's: {left}");
}
