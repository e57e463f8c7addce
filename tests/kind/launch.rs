//! W&B Launch on real kubelets: the real agent in its own pod, as the product's chart makes it, registers with a W&B server on this machine,
//! asks its queues and makes Jobs whose containers train with the real SDK on fake GPUs. Images are made of installed SDKs
//! (scripts/launch-agent-image.py), so that no registry is needed.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wbk_fake_wandb::{Config, Entity, FakeWandb};

use crate::platform::Platform;
use crate::sdk::{NEWEST, OLDEST, Sdk};
use crate::support::home::Home;

const ENTITY: &str = "my-team";
/// A poll every 10 s, images of 1 GB on busy disks, a first import of the SDK.
const PATIENCE: Duration = Duration::from_secs(240);

/// A program as a user writes it.
const TRAINING: &str = "
import os, wandb
with wandb.init(config={'steps': 3}) as run:
    for step in range(3):
        run.log({'loss': 1 / (step + 1)})
    print('trained', run.id, 'on', os.environ['NVIDIA_VISIBLE_DEVICES'], flush=True)
";

/// The images of one SDK. They go with this value: a gigabyte each.
struct Images {
    agent: String,
    training: String,
}

impl Images {
    fn of(sdk: &Sdk) -> Self {
        let agent = format!("localhost/wbk-test-launch-agent:{}", sdk.version);
        let training = format!("localhost/wbk-test-training:{}", sdk.version);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/launch-agent-image.py");
        Home::finish(Command::new(sdk.bin.join("python")).args([script, &agent])).expect(0);
        let images = Self { agent, training };
        let entry = serde_json::json!(["python3", "-c", TRAINING]);
        let mut build = engine(&["build", "--tag", &images.training, "-"]);
        let mut building = build.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the engine starts");
        let recipe = format!("FROM {}\nENTRYPOINT {entry}\n", images.agent);
        building.stdin.take().expect("it is piped").write_all(recipe.as_bytes()).expect("it reads");
        assert!(building.wait().expect("it ends").success(), "no image for training");
        images
    }

    /// Puts an image onto the nodes of a pool.
    fn load(platform: &Platform, image: &str, pool: &str) {
        let nodes = platform.kubectl(&format!("get nodes -l wbk-infra/pool={pool} -o name")).stdout;
        for node in nodes.lines().filter_map(|node| node.strip_prefix("node/")) {
            let mut save = engine(&["save", image]).stdout(Stdio::piped()).spawn().expect("the engine starts");
            let archive = save.stdout.take().expect("it is piped");
            let import = ["exec", "--interactive", node, "ctr", "--namespace=k8s.io", "images", "import", "-"];
            Home::finish(engine(&import).stdin(archive)).expect(0);
            assert!(save.wait().expect("it ends").success(), "{image} cannot be saved");
        }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let run = Home::finish(&mut engine(&["image", "rm", "--force", &self.training, &self.agent]));
        if run.code != 0 {
            eprintln!("left behind: {}", run.all());
        }
    }
}

fn engine(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("KIND_EXPERIMENTAL_PROVIDER").unwrap_or_else(|_| "docker".into()));
    command.args(arguments);
    command
}

/// The address of this machine on the network of kind's containers.
fn gateway(platform: &Platform) -> IpAddr {
    let network = std::env::var("KIND_EXPERIMENTAL_DOCKER_NETWORK").unwrap_or_else(|_| "kind".into());
    let format = "--format={{range .IPAM.Config}}{{.Gateway}} {{end}}";
    let run = platform.engine(&["network", "inspect", &network, format]).expect(0);
    let found = run.stdout.split_whitespace().filter_map(|word| word.parse().ok()).find(IpAddr::is_ipv4);
    found.unwrap_or_else(|| panic!("the network {network} has no IPv4 gateway: {}", run.stdout))
}

fn overlay(server: &FakeWandb, sdk: &Sdk, agent: &str) -> String {
    // Nothing is told to anybody outside this machine, and no artifact is made of a run: the server keeps none.
    let quiet = "env: {WANDB_ERROR_REPORTING: 'false', WANDB_DISABLE_JOB_CREATION: 'true'}";
    format!(
        "launch:
  entity: {ENTITY}
  apiKey: {{env: WANDB_API_KEY}}
  baseUrl: '{}'
  sdk: '{}'
  image: '{agent}'
  agents:
    - {{name: main, queues: [a100, l4], maxJobs: 4, resources: {{cpu: 100m, memory: 1Gi}}, {quiet}}}
  queues:
    - {{name: a100, pool: a100, gpus: 8, cpu: 500m, memory: 1Gi, priority: training-high, {quiet}}}
    - {{name: l4, pool: l4-spot, gpus: 1, cpu: 250m, memory: 1Gi, priority: training, {quiet}}}
",
        server.url(),
        sdk.version,
    )
}

/// Both SDKs, one after the other, on one cluster.
pub fn hold() {
    let begun = Instant::now();
    let told = |what: &str| eprintln!("{:>4} s  {what}", begun.elapsed().as_secs());
    let mut platform = Platform::new("launch");
    platform.engine(&["version"]).expect(0);
    let sdks = [NEWEST, OLDEST].map(Sdk::provide);
    platform.run("apply", &["--yes", "--no-verify"]).expect(0);
    let config = Config { address: gateway(&platform), entities: vec![Entity::team(ENTITY)], ..Config::default() };
    let server = FakeWandb::start(config).expect("a free port at the gateway of kind's network");
    platform.give("WANDB_API_KEY", server.key());
    told("a cluster, a W&B server");
    for sdk in &sdks {
        let images = Images::of(sdk);
        Images::load(&platform, &images.agent, "system");
        Images::load(&platform, &images.training, "l4-spot");
        platform.lay("launch.yaml", &overlay(&server, sdk, &images.agent));
        told(&format!("{}: images of the SDK on their nodes", sdk.version));
        let applied = platform.run("apply", &["--yes", "--no-verify"]).expect(0);
        assert!(applied.stderr.contains("planned again: nothing to do"), "{}", applied.all());
        everything_is_proved(&platform);
        told(&format!("{}: applied, all of it verified, canaries flown", sdk.version));
        // Agents make a Job's name of it, and leave digits out.
        let project = if sdk.version == NEWEST { "newest" } else { "oldest" };
        a_training_ends(&platform, &server, &images.training, project);
        told(&format!("{}: a training ended", sdk.version));
        a_misled_agent_is_caught(&platform);
        told(&format!("{}: a misled agent was caught and mended", sdk.version));
    }
    let refused: Vec<_> =
        server.log().into_iter().filter(|entry| !entry.errors.is_empty() || entry.status >= 400).collect();
    // Measurements of the SDK for its makers, which no client waits for.
    let refused: Vec<_> = refused.iter().filter(|entry| !entry.name.starts_with("POST /sdk/otel/")).collect();
    assert!(refused.is_empty(), "the W&B server refused: {refused:#?}");
    let destroyed = platform.run("destroy", &["--delete", "all", "--yes"]).expect(0);
    assert!(destroyed.all().contains("Left: nothing"), "{}", destroyed.all());
    told("all of it");
}

/// `verify` with everything in it leaves nothing in doubt.
fn everything_is_proved(platform: &Platform) {
    let run = platform.run("verify", &["--allow", "canary", "--output", "json"]).expect(0);
    let report: Value = serde_json::from_str(&run.stdout).expect("a report");
    let checks = report["checks"].as_array().expect("checks");
    let outcome = |id: &str| checks.iter().find(|check| check["id"] == id).map(|check| check["outcome"].clone());
    for id in ["launch.polling/main", "launch.canary/a100", "launch.canary/l4", "launch.rights/main"] {
        assert_eq!(outcome(id), Some("pass".into()), "{id}: {}", run.all());
    }
    let polling = checks.iter().find(|check| check["id"] == "launch.polling/main").expect("it is there");
    eprintln!("        {}", polling["evidence"]["measured"]);
}

/// An item becomes a container that trains on its GPU and tells W&B so.
fn a_training_ends(platform: &Platform, server: &FakeWandb, image: &str, project: &str) {
    platform.say(&["launch", "run", "l4", "--image", image, "--project", project]).expect(0);
    let of_it = format!("launch-{ENTITY}-{project}-");
    let begun = Instant::now();
    let job = loop {
        let run = platform.say(&["launch", "status", "--output", "json"]).expect(0);
        let board: Value = serde_json::from_str(&run.stdout).expect("a board");
        let named = |job: &&Value| job["name"].as_str().is_some_and(|name| name.starts_with(&of_it));
        match board["jobs"].as_array().expect("jobs").iter().find(named) {
            Some(job) if job["state"] == "finished" => break job.clone(),
            Some(job) => assert_ne!(job["state"], "failed", "{job}"),
            None => {}
        }
        assert!(begun.elapsed() < PATIENCE, "no job of it has ended: {board}");
        std::thread::sleep(Duration::from_secs(1)); // Between two looks at a condition that has a deadline.
    };
    let (name, run) = (job["name"].as_str().expect("a name"), job["run"].as_str().expect("a run"));
    let node = job["node"].as_str().expect("a node");
    let of_pool = platform.kubectl("get nodes -l wbk-infra/pool=l4-spot -o name").stdout;
    assert!(of_pool.lines().any(|line| line == format!("node/{node}")), "{node} is not of {of_pool}");
    let log = platform.say(&["launch", "logs", name]).expect(0).stdout;
    assert!(log.contains(&format!("trained {run} on GPU-")), "{log}");
    let state = server.with(|world| {
        let mut runs = world.runs.iter().filter(|(key, _)| key.project == project && key.name == run);
        runs.next().map(|(_, run)| (run.state.clone(), run.summary.clone().unwrap_or_default()))
    });
    let (state, summary) = state.unwrap_or_else(|| panic!("W&B heard nothing of the run {run}"));
    assert_eq!(state, "finished");
    assert!(summary.contains("loss"), "{summary}");
    let told = platform.say(&["launch", "logs", "main"]).expect(0).stdout;
    assert!(!told.contains(server.key()), "the agent's log has the key");
}

/// What an agent asks is what its configuration said at its start. Nobody edits that in place; an agent that was given another one behind
/// our back says so itself, and `apply` mends both.
fn a_misled_agent_is_caught(platform: &Platform) {
    let claim = "get deployment launch-main -n wandb -o jsonpath='{.spec.template.spec.volumes[0].configMap.name}'";
    let config = platform.kubectl(claim).stdout;
    let admin = "kubectl --kubeconfig=/etc/kubernetes/admin.conf -n wandb";
    let edit =
        format!("{admin} get configmap {config} -o yaml | sed 's/- a100/- other/' | {admin} replace -f - 2>&1 || true");
    let said = platform.on_node("control-plane", &edit).stdout;
    assert!(said.contains("immutable"), "{said}");

    let other = format!(
        "{admin} get configmap {config} -o yaml | sed -e '/^    - a100$/d' -e 's/  name: {config}/  name: other/' -e '/uid:\\|resourceVersion:/d' | {admin} create -f -"
    );
    platform.on_node("control-plane", &other);
    let volume = r#"[{"op":"replace","path":"/spec/template/spec/volumes/0/configMap/name","value":"other"}]"#;
    platform.kubectl(&format!("-n wandb patch deployment launch-main --type=json -p '{volume}'"));
    platform.kubectl("-n wandb rollout status deployment launch-main --timeout=180s");
    let verdict = || platform.verdicts(&["launch.polling/main"]).remove(0);
    let begun = Instant::now();
    loop {
        // Until the new pod has said its first words there is none that says them.
        let (outcome, words) = verdict();
        if outcome == "fail" && words.contains("asks l4") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{words}");
    }
    let drift = platform.run("drift", &[]).expect(3);
    assert!(drift.stdout.contains("Deployment.apps wandb/launch-main"), "{}", drift.all());
    platform.run("apply", &["--yes", "--no-verify"]).expect(0);
    let (outcome, words) = verdict();
    assert_eq!(outcome, "pass", "{words}");
    platform.kubectl("-n wandb delete configmap other");
}
