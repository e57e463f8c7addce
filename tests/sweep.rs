//! `wbk-infra sweep` on a real control plane, against a W&B server of our own. The agents themselves are tried in tests/wandb, which
//! needs Python: nodes here are simulated and run no programs.

mod support;

use serde_json::{Value, json};
use support::home::{Home, Run};
use support::small::until;
use wbk_fake_wandb::{Config, Entity, FakeWandb};
use wbk_infra::desired::{SecretReference, WandbService};
use wbk_infra::live::SecretValue;
use wbk_infra::sweep::{Mark, read_sweep_file};
use wbk_infra::wandb::Wandb;

const BLUEPRINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/launch-local.yaml");
const SWEEP: &str = "\
program: train.py
name: lr-search
project: training
method: grid
metric: {name: loss, goal: minimize}
parameters: {lr: {values: [0.1, 0.01, 0.001]}, size: {values: [1, 2]}}
";

struct Bench {
    home: Home,
    server: FakeWandb,
    overlay: String,
}

impl Bench {
    fn new() -> Self {
        let entities = vec![Entity::team("my-team")];
        let server = FakeWandb::start(Config { entities, ..Config::default() }).unwrap();
        let home = Home::new();
        // Simulated pods of Jobs end by themselves after a while; agents stay.
        let text = format!(
            "launch:\n  baseUrl: '{}'\n  queues:\n    - name: l4\n      config: {{spec: {{template: {{metadata: {{annotations: {{wbk-infra/simulate-duration: 1h}}}}}}}}}}\n",
            server.url()
        );
        let overlay = home.write("here.yaml", &text);
        home.write("sweep.yaml", SWEEP);
        Self { overlay: overlay.to_str().unwrap().to_owned(), home, server }
    }

    fn run_with(&self, words: &[&str], overlays: &[&str]) -> Run {
        let mut all = [words, &["-f", BLUEPRINT, "-f", &self.overlay]].concat();
        for overlay in overlays {
            all.extend(["-f", overlay]);
        }
        let run = Home::finish(self.home.command(&all).env("WANDB_API_KEY", self.server.key()));
        assert!(!run.all().contains(self.server.key()), "the key is printed");
        run
    }

    fn sweep(&self, words: &[&str]) -> Run {
        self.run_with(&[&["sweep"], words].concat(), &[])
    }

    /// `sweep run` of the file above with two agents.
    fn begin(&self, more: &[&str]) -> Run {
        let words = ["run", "l4", "--config", "sweep.yaml", "--image", "me/train:1", "--agents", "2"];
        self.sweep(&[&words, more].concat())
    }

    fn job(&self) -> Option<Value> {
        let found =
            self.home.kubectl("launch-local", &["-n", "wandb-jobs", "get", "job", "sweep-lr-search", "-o", "json"]);
        (found.code == 0).then(|| serde_json::from_str(&found.stdout).unwrap())
    }

    fn status(&self, more: &[&str]) -> Value {
        let run = self.sweep(&[&["status", "-o", "json"], more].concat()).expect(0);
        serde_json::from_str::<Value>(&run.stdout).unwrap()["sweeps"].clone()
    }

    fn sweeps(&self) -> Vec<wbk_fake_wandb::sweep::Sweep> {
        self.server.with(|world| world.sweeps.values().cloned().collect())
    }

    fn state(&self) -> String {
        let sweeps = self.sweeps();
        assert_eq!(sweeps.len(), 1, "{sweeps:#?}");
        sweeps[0].state.clone()
    }
}

#[test]
fn a_sweep_is_made_once_runs_as_one_job_goes_on_and_ends() {
    let bench = Bench::new();
    let early = bench.begin(&[]);
    assert!(early.code == 1 && early.stderr.contains("reach the cluster"), "{}", early.all());
    bench.run_with(&["apply", "--yes", "--no-verify"], &[]).expect(0);

    // One that was killed when it had made the sweep and no Job: as it would have made it.
    let file = read_sweep_file(SWEEP, "sweep.yaml").unwrap().with("lr-search", None);
    let mark = Mark::new("launch-local", "lr-search", &file.text());
    let service = WandbService {
        base_url: bench.server.url().to_owned(),
        entity: "my-team".into(),
        api_key: SecretReference::Env("WANDB_API_KEY".into()),
        ca: None,
    };
    let wandb = Wandb::new(&service, &SecretValue::new(bench.server.key().as_bytes().to_vec()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (id, warnings) = runtime.block_on(wandb.make_sweep("training", &file.text(), &mark.after(""))).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");

    let begun = bench.begin(&[]).expect(0);
    assert_eq!(begun.stdout.trim(), format!("my-team/training/{id}"), "{}", begun.all());
    assert_eq!(bench.sweeps().len(), 1);
    let job = bench.job().unwrap();
    assert_eq!((&job["spec"]["parallelism"], &job["spec"]["completions"]), (&json!(2), &json!(2)));
    assert_eq!((&job["spec"]["completionMode"], &job["spec"]["backoffLimitPerIndex"]), (&json!("Indexed"), &json!(3)));
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(
        (&pod["nodeSelector"], &pod["priorityClassName"]),
        (&json!({"wbk-infra/pool": "l4-spot"}), &json!("training"))
    );
    let container = &pod["containers"][0];
    assert_eq!(container["args"], json!([format!("my-team/training/{id}")]));
    assert_eq!(container["env"][0]["valueFrom"]["secretKeyRef"]["name"], "wandb-api-key-launch-main");
    assert!(!job.to_string().contains(bench.server.key()));

    // Its agents run on the pool's nodes, each on a GPU of its own.
    let nodes = until("two agents on two nodes", || {
        let rows = bench.status(&[]);
        let agents = rows[0]["agents"].as_array().unwrap().clone();
        let on: std::collections::BTreeSet<String> = agents
            .iter()
            .filter(|agent| agent["state"] == "running")
            .filter_map(|agent| agent["node"].as_str().map(str::to_owned))
            .collect();
        (on.len() == 2).then_some(on)
    });
    assert!(nodes.iter().all(|node| node.starts_with("l4-spot-")), "{nodes:?}");
    let shown = bench.sweep(&["status", "lr-search"]).expect(0).stdout;
    assert!(shown.contains("0 of 6 runs") && shown.contains("wandb-jobs/sweep-lr-search, 2 agents"), "{shown}");
    // No launch agent's place is taken by it.
    let launch: Value = serde_json::from_str(&bench.run_with(&["launch", "status", "-o", "json"], &[]).stdout).unwrap();
    assert_eq!(launch["jobs"], json!([]));

    // The same again is nothing to do.
    let again = bench.begin(&[]).expect(0);
    assert!(again.stderr.contains("has 2 agents already"), "{}", again.all());
    assert_eq!((bench.sweeps().len(), &bench.job().unwrap()["metadata"]["uid"]), (1, &job["metadata"]["uid"]));
    // Another search under the same name is refused.
    let other = bench.begin(&["--runs", "4"]);
    assert!(other.code == 1 && other.stderr.contains("made of another configuration"), "{}", other.all());

    // The Job is deleted: the same command goes on with the same sweep.
    bench.home.kubectl("launch-local", &["-n", "wandb-jobs", "delete", "job", "sweep-lr-search"]).expect(0);
    assert_eq!(bench.status(&[]), json!([]));
    let jobless = bench.status(&["--project", "training"]);
    assert!(jobless[0]["notes"][0].as_str().unwrap().contains("has no agents"), "{jobless:#}");
    bench.begin(&[]).expect(0);
    assert_eq!(bench.sweeps().len(), 1);
    let second = bench.job().unwrap();
    assert_ne!(second["metadata"]["uid"], job["metadata"]["uid"]);

    // Paused, running again, stopped, ended for good.
    bench.sweep(&["pause", "lr-search"]).expect(0);
    assert_eq!(bench.state(), "PAUSED");
    assert!(bench.status(&[])[0]["notes"][0].as_str().unwrap().contains("sweep resume lr-search"));
    bench.sweep(&["resume", "lr-search"]).expect(0);
    assert_eq!(bench.state(), "RUNNING");
    bench.sweep(&["stop", "lr-search"]).expect(0);
    assert_eq!(bench.state(), "FINISHED");
    let over = bench.begin(&[]).expect(0);
    assert!(over.stderr.contains("nothing to do"), "{}", over.all());
    let paused = bench.sweep(&["pause", "lr-search"]);
    assert!(paused.code == 1 && paused.stderr.contains("it is finished"), "{}", paused.all());
    bench.sweep(&["resume", "lr-search"]).expect(0);
    bench.sweep(&["cancel", "lr-search"]).expect(0);
    assert_eq!(bench.state(), "CANCELED");
    until("its Job to go", || bench.job().is_none().then_some(()));
    let dead = bench.begin(&[]);
    assert!(dead.code == 1 && dead.stderr.contains("is canceled"), "{}", dead.all());
    let nowhere = bench.sweep(&["stop", "lr-search"]).expect(2);
    assert!(nowhere.stderr.contains("--project"), "{}", nowhere.all());
    let refused: Vec<_> =
        bench.server.log().into_iter().filter(|entry| !entry.errors.is_empty() || entry.status >= 400).collect();
    assert!(refused.is_empty(), "the W&B server refused: {refused:#?}");
}

#[test]
fn agents_that_ended_before_their_sweep_are_made_again() {
    let bench = Bench::new();
    let short = "launch: {queues: [{name: l4, config: {spec: {template: {metadata: {annotations: {wbk-infra/simulate-duration: 1s}}}}}}]}\n";
    let short = bench.home.write("short.yaml", short);
    let short = [short.to_str().unwrap()];
    bench.run_with(&["apply", "--yes", "--no-verify"], &short).expect(0);
    let words = [
        "sweep",
        "run",
        "l4",
        "--config",
        "sweep.yaml",
        "--image",
        "me/train:1",
        "--count",
        "1",
        "--set",
        "memory=8Gi",
    ];
    bench.run_with(&words, &short).expect(0);
    let ended = |job: &Value| {
        job["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|one| one["type"] == "Complete" && one["status"] == "True")
    };
    let first = until("its Job to end", || bench.job().filter(ended));
    let container = &first["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], "8Gi");
    assert_eq!(container["args"].as_array().unwrap()[..2], [json!("--count"), json!("1")]);
    let notes = bench.status(&[])[0]["notes"][0].as_str().unwrap().to_owned();
    assert!(notes.contains("ended before it"), "{notes}");
    bench.run_with(&words, &short).expect(0);
    assert_ne!(bench.job().unwrap()["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(bench.sweeps().len(), 1);
}

#[test]
fn what_could_not_run_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    bench.run_with(&["apply", "--yes", "--no-verify"], &[]).expect(0);
    let refused = |run: Run, code: i32, words: &[&str]| {
        assert_eq!(run.code, code, "{}", run.all());
        for word in words {
            assert!(run.stderr.contains(word), "{word} is not in {}", run.all());
        }
        assert!(bench.sweeps().is_empty() && bench.job().is_none(), "{}", run.all());
    };
    let queue = |queue: &str, more: &[&str]| {
        bench.sweep(&[&["run", queue, "--config", "sweep.yaml", "--image", "i"], more].concat())
    };
    refused(queue("l5", &[]), 2, &["there is no queue l5; there is a100, l4"]);
    refused(queue("l4", &["--set", "memory=1Ti"]), 2, &["none of 8Gi, 16Gi, 24Gi"]);
    refused(queue("l4", &["--name", "Learning Rate"]), 2, &["no name for a sweep"]);
    refused(queue("l4", &["--agents", "7"]), 1, &["7 agents for 6 runs", "6 agents at most"]);
    refused(queue("l4", &["--agents", "5"]), 1, &["there is room for 4", "pool l4-spot has at most 4 nodes"]);
    // 18 GPUs are the namespace's, and a job of this queue has 8.
    refused(queue("a100", &["--agents", "3"]), 1, &["there is room for 2", "ask for fewer"]);
    refused(
        queue("l4", &["--agents-per-gpu", "4"]),
        1,
        &["4 agents on one GPU cannot be had", "strategy: time-slicing, replicas: 4"],
    );
    bench.home.write(
        "random.yaml",
        "program: t.py\nname: r\nproject: p\nmethod: random\nparameters: {lr: {min: 0.1, max: 0.2}}\n",
    );
    let file = |file: &str| bench.sweep(&["run", "l4", "--config", file, "--image", "i"]);
    refused(file("random.yaml"), 1, &["has no end", "--runs 50"]);
    bench.home.write("wrong.yaml", "name: w\nproject: p\nmethod: gird\nparameters: {lr: {min: 0.1}}\n");
    refused(file("wrong.yaml"), 1, &["the sweep file has 3 problems", "wrong.yaml:3:9", "no such search method"]);
    refused(file("nowhere.yaml"), 1, &["read the sweep file nowhere.yaml"]);
    bench.home.write("other.yaml", &format!("{SWEEP}entity: other-team\n"));
    refused(file("other.yaml"), 2, &["other-team"]);
    // The API server's own word: a priority class that is gone.
    bench.home.kubectl("launch-local", &["delete", "priorityclass", "training"]).expect(0);
    refused(queue("l4", &[]), 1, &["does not take the pod of an agent", "PriorityClass"]);
}

#[test]
fn agents_share_a_gpu_where_the_pool_does() {
    let bench = Bench::new();
    let shared = "\
gpu: {sharing: [{pool: l4-spot, strategy: time-slicing, replicas: 3}]}
launch: {queues: [{name: l4, memory: 6Gi, cpu: 1, variables: {memory: null}}]}
";
    let shared = bench.home.write("shared.yaml", shared);
    let shared = [shared.to_str().unwrap()];
    bench.run_with(&["apply", "--yes", "--no-verify"], &shared).expect(0);
    let words =
        ["sweep", "run", "l4", "--config", "sweep.yaml", "--image", "me/train:1", "--agents", "6", "--agents-per-gpu"];
    let wrong = bench.run_with(&[&words[..], &["2"]].concat(), &shared);
    assert!(wrong.code == 1 && wrong.stderr.contains("say --agents-per-gpu 3"), "{}", wrong.all());
    bench.run_with(&[&words[..], &["3"]].concat(), &shared).expect(0);
    let job = bench.job().unwrap();
    let limits = &job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(limits["nvidia.com/gpu.shared"], "1", "{limits}");
    // Two nodes have one GPU each: three agents on each of them.
    let counts = until("six agents on two nodes", || {
        let rows = bench.run_with(&["sweep", "status", "-o", "json"], &shared).expect(0);
        let rows: Value = serde_json::from_str(&rows.stdout).unwrap();
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for agent in rows["sweeps"][0]["agents"].as_array().unwrap().iter().filter(|agent| agent["state"] == "running")
        {
            *counts.entry(agent["node"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        (counts.values().sum::<usize>() == 6).then_some(counts)
    });
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [3, 3], "{counts:?}");
}
