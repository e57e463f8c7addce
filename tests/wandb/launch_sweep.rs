//! `wandb launch-sweep` with a real agent, as far as it is known to work: with the oldest SDK a sweep runs to its end, each run a Job;
//! with the newest it ends as canceled, which is what lint refuses. An SDK that mends it makes this test fail, and the known data can
//! go (`src/desired/launch/sdk.rs`).

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;
use wbk_fake_wandb::{Config, FakeWandb};

use super::agent::Agent;
use super::api::Api;
use super::place::Place;
use super::rights::Mode;
use super::sdk::{self, Sdk};
use super::support::plane::Plane;
use super::{Case, ENTITY, PROJECT, given, until};

const SWEEP: &str = "\
image_uri: localhost/train:1
method: grid
metric: {name: loss, goal: minimize}
parameters: {lr: {values: [0.1, 0.01]}}
scheduler: {num_workers: 2}
";

/// Pushes the sweep's scheduler, with the SDK's own program.
fn begin(sdk: &Sdk, server: &FakeWandb) {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("sweep.yaml");
    std::fs::write(&file, SWEEP).expect("a file");
    let done = Command::new(sdk.wandb())
        .args(["launch-sweep", "--queue", "gpu", "--entity", ENTITY, "--project", PROJECT])
        .arg(&file)
        .current_dir(home.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", sdk.bin.display()))
        .env("HOME", home.path())
        .env("WANDB_BASE_URL", server.url())
        .env("WANDB_API_KEY", server.key())
        .env("WANDB_ERROR_REPORTING", "false")
        .env("NO_PROXY", "127.0.0.1,localhost")
        .stdin(Stdio::null())
        .output()
        .expect("the SDK's program starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("Scheduler added to launch queue"), "wandb {}: {said}", sdk.version);
}

/// Names of the sweep's runs, with their state.
fn runs(server: &FakeWandb) -> Vec<(String, String)> {
    server.with(|world| {
        let sweep = world.sweeps.values().next();
        let runs = sweep.into_iter().flat_map(|sweep| sweep.runs.iter().map(|name| (name.clone(), sweep.run(name))));
        runs.filter_map(|(name, key)| Some((name, world.runs.get(&key)?.state.clone()))).collect()
    })
}

fn state(server: &FakeWandb) -> Value {
    server.with(|world| world.sweeps.values().next().map(|sweep| sweep.state.clone())).into()
}

/// One SDK.
pub async fn hold(plane: &Plane, sdk: &Sdk) {
    let server = FakeWandb::start(Config::default()).expect("a free port");
    let name = format!("sweep-{}", sdk.version.replace('.', "-"));
    let place = Place::make(plane, &name, Mode::Plain, server.key()).await;
    let case = Case { place: &place, api: Api::new(&server, ENTITY), queue: "gpu".into() };
    case.make_queue().await;
    let mut wanted = given(&place, &server, &case.queue);
    wanted.config.push_str("max_schedulers: 1\n");
    let agent = Agent::start(sdk, &wanted);
    let version = &sdk.version;
    begin(sdk, &server);
    if sdk.version != sdk::OLDEST {
        let ended = async || state(&server);
        until("the broken sweep to end", ended, |state| state == "CANCELED" || state == "FINISHED").await;
        assert_eq!(state(&server), "CANCELED", "wandb {version} runs launch sweeps: mend the known data");
        assert!(runs(&server).is_empty(), "{:?}", runs(&server));
        return;
    }
    let (mut begun, mut ended) = (BTreeSet::new(), BTreeSet::new());
    let patience = std::time::Instant::now();
    while state(&server) != "FINISHED" {
        agent.runs();
        let log = || format!("{:?}\n{}", runs(&server), agent.log());
        assert!(patience.elapsed() < super::PATIENCE, "awaited in vain: the sweep's end; {}", log());
        // What wandb.init does in each job's pod, done in its place.
        for (run, _) in runs(&server) {
            let job = case.job(&run).await;
            if !job.is_null() && begun.insert(run.clone()) {
                case.api.start_run(PROJECT, &run).await;
            }
            if job["status"]["succeeded"] == 1 && ended.insert(run.clone()) {
                case.api.end_run(PROJECT, &run, 0).await;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await; // Between two looks at a condition that has a deadline.
    }
    assert_eq!((begun.len(), ended.len()), (2, 2), "{:?}", runs(&server));
    let refused: Vec<_> =
        server.log().into_iter().filter(|entry| !entry.errors.is_empty() || entry.status >= 400).collect();
    assert!(refused.is_empty(), "wandb {version}: the W&B server refused: {refused:#?}");
}
