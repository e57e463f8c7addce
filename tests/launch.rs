//! W&B Launch from a blueprint: on a real control plane, against a W&B server of our own that refuses what W&B's schema does not
//! have. The agent itself is tried in tests/wandb, which needs Python.

mod support;

use serde_json::{Value, json};
use support::home::{Home, Run};
use wbk_fake_wandb::{Config, Entity, FakeWandb, Fault, Trouble};
use wbk_infra::desired::{SecretReference, WandbService};
use wbk_infra::live::SecretValue;
use wbk_infra::wandb::Wandb;

const BLUEPRINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/launch-local.yaml");

/// The shipped blueprint, a server, and a home for both.
struct Bench {
    home: Home,
    server: FakeWandb,
    overlay: String,
}

impl Bench {
    fn new() -> Self {
        let entities = vec![Entity::team("my-team"), Entity::foreign("other-team")];
        let server = FakeWandb::start(Config { entities, ..Config::default() }).unwrap();
        let home = Home::new();
        let overlay = home.write("here.yaml", &format!("launch: {{baseUrl: '{}'}}\n", server.url()));
        Self { overlay: overlay.to_str().unwrap().to_owned(), home, server }
    }

    fn run_with(&self, arguments: &[&str], overlays: &[&str], key: &str) -> Run {
        let mut all = vec![arguments[0], "-f", BLUEPRINT, "-f", &self.overlay];
        for overlay in overlays {
            all.extend(["-f", overlay]);
        }
        all.extend(&arguments[1..]);
        Home::finish(self.home.command(&all).env("WANDB_API_KEY", key))
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let key = self.server.key().to_owned();
        self.run_with(arguments, &[], &key)
    }

    fn wandb(&self) -> Wandb {
        let service = WandbService {
            base_url: self.server.url().to_owned(),
            entity: "my-team".into(),
            api_key: SecretReference::Env("WANDB_API_KEY".into()),
            ca: None,
        };
        Wandb::new(&service, &SecretValue::new(self.server.key().as_bytes().to_vec()))
    }

    fn queues(&self) -> std::collections::BTreeMap<String, wbk_infra::live::QueueFound> {
        run(self.wandb().queues()).unwrap()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.all()))
}

#[test]
fn agents_and_queues_come_stay_and_go() {
    let bench = Bench::new();
    let applied = bench.run(&["apply", "-o", "json", "--yes", "--no-verify"]).expect(0);
    assert!(!applied.all().contains(bench.server.key()), "the key is printed");

    // What W&B has is what agents take: no name, no security context, one pod, the pool's taints tolerated.
    let queues = bench.queues();
    assert_eq!(queues.keys().collect::<Vec<_>>(), ["a100", "l4"]);
    let job = &queues["a100"].content.config["resource_args"]["kubernetes"];
    assert_eq!(job["metadata"]["namespace"], "wandb-jobs");
    assert_eq!((&job["metadata"]["name"], &job["spec"]["backoffLimit"]), (&Value::Null, &json!(0)));
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({"wbk-infra/pool": "a100"}));
    assert_eq!(pod["tolerations"], json!([{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]));
    assert_eq!(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "8");
    assert!(!job.to_string().contains("securityContext"));
    let l4 = &queues["l4"];
    let resources =
        &l4.content.config["resource_args"]["kubernetes"]["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(resources["requests"]["memory"], "{{memory}}");
    assert_eq!(l4.content.variables["memory"]["schema"]["default"], "16Gi");
    assert!(l4.content.prioritization && l4.content.links[0].label == "runbook");

    // The agent's Secrets are in both namespaces, its rights in that of the jobs.
    for namespace in ["wandb", "wandb-jobs"] {
        let secret = bench
            .home
            .kubectl("launch-local", &["-n", namespace, "get", "secret", "wandb-api-key-launch-main", "-o", "json"]);
        let secret: Value = serde_json::from_str(&secret.expect(0).stdout).unwrap();
        assert_eq!(secret["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["password"], "{namespace}");
    }
    let account = "--as=system:serviceaccount:wandb:launch-main";
    let can = |words: &[&str]| {
        let run = bench.home.kubectl("launch-local", &[&["auth", "can-i", account][..], words].concat());
        run.stdout.trim() == "yes"
    };
    assert!(can(&["watch", "jobs.batch", "-n", "wandb-jobs"]) && can(&["create", "secrets", "-n", "wandb-jobs"]));
    assert!(can(&["get", "secrets/wandb-api-key-launch-main", "-n", "wandb-jobs"]));
    for refused in [
        &["get", "secrets", "-n", "wandb-jobs"][..],
        &["create", "pods", "-n", "wandb-jobs"],
        &["create", "jobs.batch", "-n", "wandb"],
        &["list", "nodes"],
    ] {
        assert!(!can(refused), "the agent may {refused:?}");
    }

    // As it should be.
    bench.run(&["plan", "--exit-code"]).expect(0);
    bench.run(&["drift"]).expect(0);

    // Somebody edits a queue in W&B.
    let mut edited = bench.queues()["a100"].content.clone();
    edited.config["resource_args"]["kubernetes"]["spec"]["backoffLimit"] = 3.into();
    run(bench.wandb().upsert_queue("a100", &edited)).unwrap();
    let drift = json(&bench.run(&["drift", "-o", "json"]).expect(3));
    let item = &drift["items"][0];
    assert_eq!((&item["object"], &item["field"]), (&json!("launch queue a100"), &json!("config.spec.backoffLimit")));
    assert_eq!((&item["old"], &item["new"]), (&json!(0), &json!(3)), "{drift:#}");
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    assert_eq!(bench.queues()["a100"].content.config["resource_args"]["kubernetes"]["spec"]["backoffLimit"], 0);

    // The blueprint wants a queue otherwise: a plan, no drift.
    let other = bench.home.write("other.yaml", "launch: {queues: [{name: l4, keep: 2h}]}\n");
    let (other, key) = (other.to_str().unwrap(), bench.server.key().to_owned());
    bench.run_with(&["drift"], &[other], &key).expect(0);
    let plan = bench.run_with(&["plan"], &[other], &key).expect(0);
    assert!(
        plan.stdout.contains("launch queue l4") && plan.stdout.contains("ttlSecondsAfterFinished"),
        "{}",
        plan.all()
    );

    // An agent reads its configuration once, and knows its Jobs in memory alone.
    let fewer = bench.home.write("fewer.yaml", "launch: {agents: [{name: main, maxJobs: 3}]}\n");
    let plan = bench.run_with(&["plan"], &[fewer.to_str().unwrap()], &key).expect(0);
    assert!(plan.stdout.contains("stops agent main: the Jobs that run go on"), "{}", plan.all());

    // One that the blueprint no longer has goes when it is named and empty.
    let less = "launch: {agents: [{name: main, queues: [a100]}], queues: [{name: l4, $patch: delete}]}\n";
    let less = bench.home.write("less.yaml", less);
    let less = [less.to_str().unwrap()];
    let kept = bench.run_with(&["plan"], &less, &key).expect(0);
    assert!(kept.stdout.contains("what waits in it would go with it"), "{}", kept.all());
    bench.run_with(&["apply", "--yes", "--no-verify"], &less, &key).expect(0);
    assert!(bench.queues().contains_key("l4"));
    bench.run_with(&["apply", "--yes", "--no-verify", "--delete", "launch queue l4"], &less, &key).expect(0);
    assert!(!bench.queues().contains_key("l4"));

    // All of it goes; what others made stays.
    run(bench.wandb().upsert_queue(
        "by-hand",
        &wbk_infra::desired::QueueContent {
            config: json!({"resource_args": {"kubernetes": {}}}),
            variables: json!({}),
            prioritization: false,
            links: Vec::new(),
        },
    ))
    .unwrap();
    let gone = bench.run(&["destroy", "--yes", "--delete", "all"]).expect(0);
    assert!(gone.all().contains("launch queue a100"), "{}", gone.all());
    assert_eq!(bench.queues().keys().collect::<Vec<_>>(), ["by-hand"]);
}

#[test]
fn a_wandb_that_fails_stops_what_needs_it_and_nothing_else() {
    let bench = Bench::new();
    // A few failures pass by themselves.
    bench.server.plant(Fault { trouble: Trouble::Status(503), times: Some(2), field: None });
    let plan = bench.run(&["plan"]).expect(0);
    assert!(plan.stdout.contains("launch queue a100"), "{}", plan.all());

    // A key that is none, and an entity that is not the key's: said before anything is made.
    let refused = bench.run_with(&["plan"], &[], "wrong0wrong0wrong0wrong0wrong0wrong0wrong");
    assert!(refused.code == 1 && refused.stderr.contains("does not take the API key"), "{}", refused.all());
    let other = bench.home.write("entity.yaml", "launch: {entity: other-team}\n");
    let key = bench.server.key().to_owned();
    let refused = bench.run_with(&["plan"], &[other.to_str().unwrap()], &key);
    assert!(refused.code == 1 && refused.stderr.contains("other-team"), "{}", refused.all());
    let keyless =
        Home::finish(bench.home.command(&["plan", "-f", BLUEPRINT, "-f", &bench.overlay]).env_remove("WANDB_API_KEY"));
    assert!(keyless.code == 1 && keyless.stderr.contains("WANDB_API_KEY"), "{}", keyless.all());

    // Nobody answers: the cluster is made, agents wait.
    bench.server.be_unreachable();
    let applied = bench.run(&["apply", "--yes", "--no-verify"]);
    assert!(applied.all().contains("whether queue a100 is there is not known"), "{}", applied.all());
    let nodes = bench.home.kubectl("launch-local", &["get", "nodes", "-o", "name"]).expect(0);
    assert_eq!(nodes.stdout.lines().count(), 4);
    let agents = bench.home.kubectl("launch-local", &["-n", "wandb", "get", "deployments", "-o", "name"]).expect(0);
    assert_eq!(agents.stdout.trim(), "");
    bench.server.heal();
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    bench.home.kubectl("launch-local", &["-n", "wandb", "get", "deployment", "launch-main"]).expect(0);
}

#[test]
fn a_queue_of_somebody_else_is_taken_over_only_by_name() {
    let bench = Bench::new();
    let foreign = wbk_infra::desired::QueueContent {
        config: json!({"resource_args": {"kubernetes": {"spec": {"backoffLimit": 1}}}}),
        variables: json!({}),
        prioritization: false,
        links: Vec::new(),
    };
    run(bench.wandb().upsert_queue("l4", &foreign)).unwrap();
    let plan = bench.run(&["plan"]).expect(0);
    assert!(plan.stdout.contains("somebody else made a queue of this name"), "{}", plan.all());
    assert!(plan.stdout.contains("it would take the jobs of queue l4"), "{}", plan.all());
    let adopted = bench.run(&["plan", "--adopt", "launch queue l4"]).expect(0);
    assert!(adopted.stdout.contains("adopt"), "{}", adopted.all());
}

/// The life of a queue and of a job, in words and as pictures.
fn explained(bench: &Bench) {
    let explain = |words: &[&str]| {
        let mut command = bench.home.command(&[&["explain"], words, &["-f", BLUEPRINT, "-f", &bench.overlay]].concat());
        Home::finish(command.env("WANDB_API_KEY", bench.server.key()))
    };
    let page = bench.home.write("job.html", "");
    let job = explain(&["job", "too-large", "--html", page.to_str().unwrap()]).expect(0);
    let words = &job.stdout;
    assert!(words.contains("✗ placed") && words.contains("✓ admitted") && words.contains("· runs"), "{words}");
    assert!(words.contains("fix: let the job ask for at most 1 nvidia.com/gpu"), "{words}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("at most 1 nvidia.com/gpu"), "{page}");
    let queue = json(&explain(&["queue", "l4", "-o", "json"]).expect(0));
    let stage = |name: &str| {
        let stages = queue["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["step"] == name).unwrap().clone()
    };
    assert!(stage("queued")["says"].as_str().unwrap().contains("1 item waits"), "{queue:#}");
    assert_eq!((&stage("taken")["state"], &stage("runs")["state"]), (&json!("stuck"), &json!("ahead")), "{queue:#}");
    assert!(stage("placed")["says"].as_str().unwrap().contains("of 2 are free on 2 nodes"), "{queue:#}");
    assert_eq!(stage("placed")["here"][0]["what"], "too-large", "{queue:#}");
    let nothing = explain(&["job", "nothing"]).expect(2);
    assert!(nothing.stderr.contains("there is too-large"), "{}", nothing.all());
    explain(&["queue"]).expect(2);
}

#[test]
fn what_goes_on_is_shown_and_something_is_pushed() {
    let bench = Bench::new();
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    let launch = |words: &[&str]| {
        let mut command = bench.home.command(&[&["launch"], words, &["-f", BLUEPRINT, "-f", &bench.overlay]].concat());
        Home::finish(command.env("WANDB_API_KEY", bench.server.key()))
    };
    let pushed = launch(&["run", "l4", "--image", "me/train:1", "--set", "memory=8Gi", "--priority", "high"]).expect(0);
    assert!(!pushed.stdout.trim().is_empty());
    let refused = launch(&["run", "l4", "--image", "me/train:1", "--set", "memory=1Ti"]);
    assert_eq!(refused.code, 1, "{}", refused.all());
    let refused = launch(&["run", "l5", "--image", "x"]).expect(2);
    assert!(refused.stderr.contains("there is a100, l4"), "{}", refused.all());
    // A Job as an agent makes it, too large for the pool's nodes.
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "too-large", "namespace": "wandb-jobs", "labels": {"wbk-infra/launch-queue": "l4"}},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"wbk-infra/pool": "l4-spot"},
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "c", "resources": {
                "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": "2", "memory": "1Gi"}}}],
        }}},
    });
    let file = bench.home.write("job.json", &job.to_string());
    bench.home.kubectl("launch-local", &["apply", "-f", file.to_str().unwrap()]).expect(0);
    let begun = std::time::Instant::now();
    let board = loop {
        let board = json(&launch(&["status", "-o", "json"]).expect(0));
        let why = board["jobs"][0]["why"].as_str().unwrap_or_default();
        if why.contains("nvidia.com/gpu asked") || begun.elapsed().as_secs() > 60 {
            break board;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    };
    let why = board["jobs"][0]["why"].as_str().unwrap();
    assert!(why.contains("2 nvidia.com/gpu asked, 1 there"), "{board:#}");
    assert!(board["jobs"][0]["fix"].as_str().unwrap().contains("at most 1 nvidia.com/gpu"), "{board:#}");
    assert_eq!((&board["jobs"][0]["state"], &board["jobs"][0]["gpus"]), (&json!("pending"), &json!(2)));
    assert_eq!((&board["agents"][0]["up"], &board["agents"][0]["jobs"]), (&json!(true), &json!(1)));
    assert_eq!((&board["queues"][1]["name"], &board["queues"][1]["waiting"]), (&json!("l4"), &json!(1)));
    let shown = launch(&["status"]).expect(0).stdout;
    assert!(shown.contains("1 waiting") && shown.contains("pending"), "{shown}");
    // The agent's own pod runs on a simulated node, and does not ask.
    assert!(board["queues"][1]["why"].as_str().unwrap().contains("simulated"), "{board:#}");
    explained(&bench);
    let log = launch(&["logs", "main"]);
    assert!(log.stderr.contains("simulated nodes run no programs"), "{}", log.all());

    // The Jobs that an agent would forget are named before it begins anew.
    let fewer = bench.home.write("fewer.yaml", "launch: {agents: [{name: main, maxJobs: 3}]}\n");
    let key = bench.server.key().to_owned();
    let plan = bench.run_with(&["plan"], &[fewer.to_str().unwrap()], &key).expect(0);
    assert!(plan.stdout.contains("1 now: wandb-jobs/too-large"), "{}", plan.all());

    // Verification asks W&B, asks for rights, and tries a pod of each queue.
    let checked = bench.run(&["verify", "-o", "json", "--only", "launch"]).expect(0);
    let checks = json(&checked)["checks"].as_array().unwrap().clone();
    let outcome = |id: &str| {
        let check = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {checks:#?}"));
        check["outcome"].as_str().map(str::to_owned).unwrap_or_else(|| check["outcome"]["outcome"].to_string())
    };
    for id in
        ["launch.key", "launch.queue/a100", "launch.queue/l4", "launch.job/a100", "launch.job/l4", "launch.rights/main"]
    {
        assert!(outcome(id).contains("pass"), "{id}: {}", checked.all());
    }
    assert!(outcome("launch.canary/l4").contains("skipped"));
    // A queue in which something waits stays, and keeps nothing else.
    let gone = bench.run(&["destroy", "--yes", "--delete", "all"]);
    assert!(
        gone.all().contains("launch queue l4 (the platform goes, but 1 of its items have not ended)"),
        "{}",
        gone.all()
    );
    assert_eq!(bench.queues().keys().collect::<Vec<_>>(), ["l4"]);
    assert_eq!(bench.home.run(&["local", "list"]).expect(0).stdout.trim(), "no local clusters");
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);

    // What a canary tells in the place of wandb.init and of its end.
    run(bench.wandb().begin_run("canary", "r1")).unwrap();
    run(bench.wandb().end_run("canary", "r1", 1)).unwrap();
    let state = bench.server.with(|world| world.runs.values().map(|run| run.state.clone()).collect::<Vec<_>>());
    assert_eq!(state, ["failed"]);
    assert!(run(bench.wandb().end_run("canary", "never-begun", 0)).is_err());
    bench.server.be_unreachable();
    let blind = json(&bench.run(&["verify", "-o", "json", "--only", "launch"]).expect(6));
    assert!(blind["checks"].to_string().contains("cannot be asked"), "{blind:#}");
}
