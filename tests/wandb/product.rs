//! From a blueprint to a job that ended: what `wbk-infra` makes of blueprints/launch-local.yaml, on a local cluster of its own with
//! an audit log, served by a real agent with exactly what its release gives it. The agent's pod is simulated, so the agent runs as a
//! process beside it: launch-config.yaml from the release's ConfigMap, the environment of its Deployment, its service account's token.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wbk_fake_wandb::{Config, Entity, FakeWandb};
use wbk_infra::desired::{SecretReference, WandbService};
use wbk_infra::live::{QueueFound, SecretValue};
use wbk_infra::wandb::Wandb;
use wbk_provider_local::cluster::Clusters;

use super::agent::{Agent, Given};
use super::api::Api;
use super::audit;
use super::rights::{self, Mode};
use super::sdk::Sdk;
use super::support::assets;
use super::support::home::{Home, Run};
use super::support::small::Running;

const BLUEPRINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/launch-local.yaml");
const CLUSTER: &str = "launch-local";
const ENTITY: &str = "my-team";
const PROJECT: &str = "training";
/// Where a job's end is made: W&B's image has its home here, and the chart mounts the configuration into it.
const CONFIG_FOLDER: &str = "/home/launch_agent/.config/wandb";
/// A poll every 10 s, a second agent's start and a Job controller's pause of up to a minute beside it, on busy cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// The shipped blueprint, a W&B server, a home for both.
struct Bench {
    home: Home,
    server: FakeWandb,
    overlay: String,
    runtime: tokio::runtime::Runtime,
    api: Api,
    who: String,
}

impl Bench {
    fn new(sdk: &Sdk) -> Self {
        let entities = vec![Entity::team(ENTITY)];
        let server = FakeWandb::start(Config { entities, ..Config::default() }).expect("a free port");
        let home = Home::new();
        // Whoever pushes says how long a simulated pod runs.
        let text = format!(
            "launch:\n  baseUrl: '{}'\n  sdk: '{}'\n  queues:\n    - name: l4\n      variables: {{seconds: {{type: integer, default: 1, minimum: 1}}}}\n      \
             config: {{spec: {{template: {{metadata: {{annotations: {{wbk-infra/simulate-duration: '{{{{seconds}}}}s'}}}}}}}}}}\n",
            server.url(),
            sdk.version,
        );
        let overlay = home.write("here.yaml", &text).to_str().expect("a plain path").to_owned();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let api = Api::new(&server, ENTITY);
        Self { home, server, overlay, runtime, api, who: format!("wandb {}, product", sdk.version) }
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.home.command(&[words, &["-f", BLUEPRINT, "-f", &self.overlay]].concat());
        command.env("WANDB_API_KEY", self.server.key());
        command
    }

    fn run(&self, words: &[&str]) -> Run {
        Home::finish(&mut self.command(words))
    }

    fn json(&self, words: &[&str], code: i32) -> Value {
        let run = self.run(words).expect(code);
        serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.all()))
    }

    fn get(&self, words: &[&str]) -> Value {
        let run = self.home.kubectl(CLUSTER, &[&["get", "-o", "json"], words].concat()).expect(0);
        serde_json::from_str(&run.stdout).expect("JSON")
    }

    fn clusters(&self) -> Clusters {
        let mut settings = assets::settings(self.home.state());
        settings.audit = true;
        settings.simulator = vec![env!("CARGO_BIN_EXE_wbk-infra").into(), "local".into(), "simulate".into()];
        Clusters::new(settings)
    }

    fn queues(&self) -> BTreeMap<String, QueueFound> {
        self.runtime.block_on(self.wandb().queues()).expect("the server answers")
    }

    fn wandb(&self) -> Wandb {
        let api_key = SecretReference::Env("WANDB_API_KEY".into());
        let service = WandbService { base_url: self.server.url().to_owned(), entity: ENTITY.into(), api_key, ca: None };
        Wandb::new(&service, &SecretValue::new(self.server.key().as_bytes().to_vec()))
    }

    /// Pushes an item to the queue l4 and answers its id.
    fn push(&self, more: &[&str]) -> String {
        let words = ["launch", "run", "l4", "--image", "localhost/train:1", "--project", PROJECT];
        self.run(&[&words, more].concat()).expect(0).stdout.trim().to_owned()
    }

    /// Waits until the agent has claimed an item, and answers the name of its run.
    fn claimed(&self, agent: &Agent, item: &str) -> String {
        let said = || self.runtime.block_on(self.api.item("l4", item));
        let node = until("the item to be claimed", agent, said, |node| node["state"] == "CLAIMED");
        node["associatedRunId"].as_str().expect("a claimed item has a run").to_owned()
    }

    /// The row of a run's Job in `launch status`; null where there is none.
    fn row(&self, run: &str) -> Value {
        let board = self.json(&["launch", "status", "-o", "json"], 0);
        board["jobs"].as_array().into_iter().flatten().find(|job| job["run"] == run).cloned().unwrap_or(Value::Null)
    }

    /// The Job of a run.
    fn job(&self, run: &str) -> Value {
        let selector = format!("wandb.ai/run-id={run}");
        self.get(&["jobs", "-n", "wandb-jobs", "-l", &selector])["items"][0].clone()
    }

    fn report(&self, begun: Instant, what: &str) {
        eprintln!("  {}: {:.0} s: {what}", self.who, begun.elapsed().as_secs_f64());
    }
}

/// Looks until it holds.
fn until(what: &str, agent: &Agent, look: impl Fn() -> Value, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        agent.runs();
        let seen = look();
        if holds(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "awaited in vain: {what}; last seen: {seen}");
        std::thread::sleep(Duration::from_millis(500)); // Between two looks at a condition that has a deadline.
    }
}

/// One SDK, from nothing to the end.
pub fn hold(sdk: &Sdk) {
    let begun = Instant::now();
    let bench = Bench::new(sdk);
    let clusters = bench.clusters();
    let started =
        bench.runtime.block_on(clusters.start(CLUSTER, Some("1.36"), &|progress| eprintln!("  {}", progress.0)));
    started.unwrap_or_else(|error| panic!("this test needs a control plane: {error:?}"));
    killed_and_applied(&bench);
    bench.report(begun, "applied, after a kill");

    let agent = Agent::start(sdk, &given(&bench, sdk));
    job_runs_to_its_end(&bench, &agent);
    bench.report(begun, "a job ran to its end");
    canaries_fly(&bench, &agent);
    bench.report(begun, "verified with canaries");
    edited_queue_is_mended(&bench, &agent);
    bench.report(begun, "a queue was edited and mended");
    missing_priority_is_named(&bench, &agent);
    bench.report(begun, "a missing priority class was named and mended");

    agent.runs();
    assert!(!agent.log().contains(bench.server.key()), "the agent's log has the key");
    let refused: Vec<_> =
        bench.server.log().into_iter().filter(|entry| !entry.errors.is_empty() || entry.status >= 400).collect();
    assert!(refused.is_empty(), "the W&B server refused: {refused:#?}");
    let log = clusters.audit_path(CLUSTER).expect("it runs");
    let seen = audit::of(&log, "system:serviceaccount:wandb:launch-main");
    assert!(!seen.is_empty(), "the agent's account did something");
    rights::within(Mode::Helm, &bench.who, &seen);
    let role = bench.get(&["role", "launch-main-jobs", "-n", "wandb-jobs"]);
    assert_eq!(rights::granted(&role["rules"]), rights::granted(&rights::rules(Mode::Helm)));
}

/// An apply is killed when its journal says that a queue is done; the next one finishes, and makes no queue twice.
fn killed_and_applied(bench: &Bench) {
    let journal = bench.home.state().join("journal").join(format!("{CLUSTER}@{CLUSTER}.jsonl"));
    let apply = ["apply", "--yes", "--no-verify"];
    let mut running = Running::start(&bench.home, "killed", &mut bench.command(&apply));
    let begun = Instant::now();
    let done = loop {
        let text = std::fs::read_to_string(&journal).unwrap_or_default();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut done = entries.filter(|entry| entry["entry"] == "done").filter_map(|entry| {
            ["a100", "l4"]
                .into_iter()
                .find(|name| entry["step"].as_str().is_some_and(|step| step.ends_with(&format!("launch queue {name}"))))
        });
        if let Some(queue) = done.next() {
            break queue;
        }
        assert!(running.is_running(), "the apply ended before a queue was done: {text}\n{:?}", running.output());
        assert!(begun.elapsed() < PATIENCE, "no queue was done: {text}");
        std::thread::sleep(Duration::from_micros(200)); // Between two looks at the journal.
    };
    assert!(running.is_running(), "it was still under way");
    running.kill();
    assert!(bench.queues().contains_key(done));
    let agents = bench.home.kubectl(CLUSTER, &["get", "deployments", "-n", "wandb", "-o", "name"]);
    assert_eq!(agents.stdout.trim(), "", "the agent comes after its queues");

    let applied = bench.run(&apply).expect(0);
    assert!(applied.stderr.contains("planned again: nothing to do"), "{}", applied.all());
    let names = bench.server.with(|world| world.queues.values().map(|queue| queue.name.clone()).collect::<Vec<_>>());
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(bench.queues().keys().collect::<Vec<_>>(), ["a100", "l4"]);
    let written =
        bench.server.log().into_iter().filter(|entry| {
            entry.fields.iter().any(|field| field == "upsertRunQueue") && entry.variables["queue"] == done
        });
    assert_eq!(written.count(), 1, "what was done before the kill is not done again");
}

/// What the release launch-main gives its pod.
fn given(bench: &Bench, sdk: &Sdk) -> Given {
    let pod = bench.get(&["deployment", "launch-main", "-n", "wandb"])["spec"]["template"]["spec"].clone();
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("wandb/launch-agent:{}", sdk.version));
    assert_eq!(
        container["volumeMounts"],
        json!([{"name": "launch-config", "mountPath": CONFIG_FOLDER, "readOnly": true}])
    );
    let config = pod["volumes"][0]["configMap"]["name"].as_str().expect("its configuration");
    let config = bench.get(&["configmap", config, "-n", "wandb"])["data"]["launch-config.yaml"].clone();
    let account = pod["serviceAccountName"].as_str().expect("an account");
    let mut environment = BTreeMap::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let reference = &variable["valueFrom"]["secretKeyRef"];
        let value = match (variable["value"].as_str(), reference["name"].as_str()) {
            (Some(value), _) => value.to_owned(),
            (None, Some(secret)) => {
                let secret = bench.get(&["secret", secret, "-n", "wandb"]);
                let data = secret["data"][reference["key"].as_str().expect("a key")].as_str().expect("its data");
                String::from_utf8(STANDARD.decode(data).expect("base64")).expect("text")
            }
            (None, None) => {
                assert_eq!(variable["valueFrom"]["fieldRef"]["fieldPath"], "spec.serviceAccountName", "{variable}");
                account.to_owned()
            }
        };
        environment.insert(variable["name"].as_str().expect("a name").to_owned(), value);
    }
    assert_eq!(environment["WANDB_API_KEY"], bench.server.key());
    assert_eq!(environment["WANDB_RELEASE_NAME"], "launch-main");

    let token = bench.home.kubectl(CLUSTER, &["create", "token", account, "-n", "wandb", "--duration", "2h"]).expect(0);
    let admin = kube::config::Kubeconfig::read_from(bench.home.kubeconfig(CLUSTER)).expect("a kubeconfig");
    let cluster = admin.clusters[0].cluster.clone().expect("a cluster");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "agent",
        "clusters": [{"name": "plane", "cluster": {"server": cluster.server, "certificate-authority-data": cluster.certificate_authority_data}}],
        "users": [{"name": "agent", "user": {"token": token.stdout.trim()}}],
        "contexts": [{"name": "agent", "context": {"cluster": "plane", "user": "agent", "namespace": "wandb"}}],
    });
    Given { kubeconfig, config: config.as_str().expect("a file").to_owned(), environment }
}

/// An item with a value of its own becomes a Job on a node of the pool; wandb.init is done in the place of its program.
fn job_runs_to_its_end(bench: &Bench, agent: &Agent) {
    let item = bench.push(&["--set", "memory=8Gi", "--set", "seconds=20", "--priority", "high"]);
    let run = bench.claimed(agent, &item);
    bench.runtime.block_on(bench.api.start_run(PROJECT, &run));
    let row = until("launch status to show that it runs", agent, || bench.row(&run), |row| row["state"] == "running");
    let node = row["node"].as_str().expect("a node");
    assert!(node.starts_with("l4-spot-"), "{row}");
    assert_eq!((&row["gpus"], &row["queue"], &row["namespace"]), (&json!(1), &json!("l4"), &json!("wandb-jobs")));
    let shown = bench.run(&["launch", "status"]).expect(0).stdout;
    assert!(shown.contains("running") && shown.contains(node) && shown.contains("1 GPU"), "{shown}");
    let log = agent.log();
    assert!(log.contains("Launch agent received job") && log.contains(&item), "the pop is in the agent's log:\n{log}");

    let job = bench.job(&run);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({"wbk-infra/pool": "l4-spot"}));
    assert_eq!(pod["priorityClassName"], "training");
    let taints = bench.get(&["node", node])["spec"]["taints"].clone();
    let tolerated: Vec<&Value> =
        pod["tolerations"].as_array().into_iter().flatten().map(|found| &found["key"]).collect();
    for taint in taints.as_array().into_iter().flatten() {
        assert!(tolerated.contains(&&taint["key"]), "{taint} is not among {tolerated:?}");
    }
    let resources = &pod["containers"][0]["resources"];
    assert_eq!(
        (&resources["requests"]["memory"], &resources["limits"]["nvidia.com/gpu"]),
        (&json!("8Gi"), &json!("1"))
    );
    assert_eq!(job["spec"]["backoffLimit"], 0);

    until("launch status to show its end", agent, || bench.row(&run), |row| row["state"] == "finished");
    bench.runtime.block_on(bench.api.end_run(PROJECT, &run, 0));
    assert_eq!(bench.runtime.block_on(bench.api.run_state(PROJECT, &run)), "finished");
    // The run tells how it ended; the item stays as it was.
    assert_eq!(bench.runtime.block_on(bench.api.item("l4", &item))["state"], "CLAIMED");
}

/// Verification pushes an item to each queue, and takes away what came of it.
fn canaries_fly(bench: &Bench, agent: &Agent) {
    let names = || {
        let jobs = bench.get(&["jobs", "-n", "wandb-jobs"]);
        let names = jobs["items"].as_array().into_iter().flatten().map(|job| job["metadata"]["name"].clone());
        names.collect::<Vec<Value>>()
    };
    let before = names();
    let report = bench.json(&["verify", "--only", "launch", "--allow", "canary", "-o", "json"], 0);
    for queue in ["a100", "l4"] {
        let id = format!("launch.canary/{queue}");
        let check = report["checks"].as_array().into_iter().flatten().find(|check| check["id"] == id.as_str());
        let check = check.unwrap_or_else(|| panic!("no {id} in {report:#}"));
        assert!(check["outcome"].to_string().contains("pass"), "{check:#}");
        eprintln!("  {}: {id}: {}", bench.who, check["outcome"]);
    }
    assert_eq!(names(), before, "the canaries' Jobs are gone");
    for queue in ["a100", "l4"] {
        let open = bench.runtime.block_on(bench.wandb().open_items(queue)).expect("the server answers");
        assert_eq!(open, 0, "queue {queue} has open items");
    }
    // Their runs have begun and ended, so that the agent's places are free at once: one that ends without wandb.init keeps its place
    // for 63 s more, and its item fails.
    let begun = Instant::now();
    let status = || {
        json!(bench.server.with(|world| world.agents.values().map(|agent| agent.status.clone()).collect::<Vec<_>>()))
    };
    until("the agent to have nothing to do", agent, status, |status| *status == json!(["POLLING"]));
    assert!(begun.elapsed() < Duration::from_secs(45), "the agent waited for the canaries' runs");
    let states = bench.server.with(|world| {
        let runs = world.runs.iter().filter(|(key, _)| key.project == "wbk-infra-canary");
        let items = world.items.values().map(|item| item.state.name());
        (runs.map(|(_, run)| run.state.clone()).collect::<Vec<_>>(), items.collect::<Vec<_>>())
    });
    assert_eq!(states, (vec!["finished".to_owned(); 2], vec!["CLAIMED"; 3]));
}

/// Somebody edits a queue in W&B: seen, mended, and the next item runs as the blueprint says.
fn edited_queue_is_mended(bench: &Bench, agent: &Agent) {
    let mut edited = bench.queues()["l4"].content.clone();
    edited.config["resource_args"]["kubernetes"]["spec"]["backoffLimit"] = 3.into();
    edited.config["resource_args"]["kubernetes"]["spec"]["template"]["spec"]["nodeSelector"] = json!({"pool": "gone"});
    bench.runtime.block_on(bench.wandb().upsert_queue("l4", &edited)).expect("the server takes it");
    let drift = bench.json(&["drift", "-o", "json"], 3);
    assert_eq!(drift["items"][0]["object"], "launch queue l4", "{drift:#}");
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    bench.run(&["drift"]).expect(0);
    let run = bench.claimed(agent, &bench.push(&[]));
    bench.runtime.block_on(bench.api.start_run(PROJECT, &run));
    until("its Job to succeed", agent, || bench.row(&run), |row| row["state"] == "finished");
    let job = bench.job(&run);
    assert_eq!(job["spec"]["backoffLimit"], 0);
    bench.runtime.block_on(bench.api.end_run(PROJECT, &run, 0));

    // The proof of a plan is about this very Job.
    let wanted = &super::forms::desired(BLUEPRINT).launch.expect("it has a launch section").queues[1].job;
    let pointer = "/spec/template/spec";
    let (made, wanted) = (job.pointer(pointer).expect("a pod"), wanted.pointer(pointer).expect("a pod"));
    if let Some(missing) = missing(made, wanted, "") {
        panic!("{}: the Job that was made differs from the one that a plan proves at {missing}: {made:#}", bench.who);
    }
}

/// The first place where something of `wanted` is not in `made`; image and name are each one's own, and so is what SDKs differ in.
fn missing(made: &Value, wanted: &Value, at: &str) -> Option<String> {
    match (made, wanted) {
        (_, _) if at.ends_with("/image") || at.ends_with("/name") || at.ends_with("/securityContext") => None,
        (Value::Object(made), Value::Object(wanted)) => wanted
            .iter()
            .find_map(|(key, wanted)| missing(made.get(key).unwrap_or(&Value::Null), wanted, &format!("{at}/{key}"))),
        (Value::Array(made), Value::Array(wanted)) if made.len() == wanted.len() => made
            .iter()
            .zip(wanted)
            .enumerate()
            .find_map(|(index, (made, wanted))| missing(made, wanted, &format!("{at}/{index}"))),
        (made, wanted) => (made != wanted).then(|| format!("{at}: {made}, not {wanted}")),
    }
}

/// A priority class goes: W&B shows nothing, `launch status` names it, apply mends it, and the Job runs.
fn missing_priority_is_named(bench: &Bench, agent: &Agent) {
    bench.home.kubectl(CLUSTER, &["delete", "priorityclass", "training"]).expect(0);
    let run = bench.claimed(agent, &bench.push(&[]));
    bench.runtime.block_on(bench.api.start_run(PROJECT, &run));
    let refused =
        |row: &Value| row["why"].as_str().is_some_and(|why| why.contains("no PriorityClass with name training"));
    let row = until("launch status to name what is missing", agent, || bench.row(&run), refused);
    assert_eq!(row["state"], "pending");
    eprintln!("  {}: {}", bench.who, row["why"]);
    assert!(!agent.log().contains("PriorityClass"), "the agent says it too: the documentation is wrong");
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    until("its Job to succeed", agent, || bench.row(&run), |row| row["state"] == "finished");
    bench.runtime.block_on(bench.api.end_run(PROJECT, &run, 0));
}
