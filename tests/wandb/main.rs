//! The real `wandb launch-agent`, newest and oldest SDK, with a service account's own token against a real control plane and the W&B
//! server of `fake-wandb/`: it registers, pops, makes the Job, follows it on a simulated node to each of its ends; and what it asked of
//! the API server is held to the rights that docs/launch-rbac.md lists: none refused, none granted in vain.
//!
//! It installs the SDKs from the user's package index and takes minutes, so the agents run only when asked for (`-- --ignored`,
//! scripts/wandb-tests.sh); then the test fails where it cannot run.

mod agent;
mod api;
mod audit;
mod forms;
mod launch_sweep;
mod place;
mod product;
mod rights;
mod sdk;
mod sweep;

#[expect(dead_code, reason = "its played kubelets are for other tests")]
#[path = "../support/live_server.rs"]
mod live;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use wbk_fake_wandb::{Config, FakeWandb};

use agent::{Agent, Given};
use api::Api;
use place::Place;
use rights::Mode;
use sdk::Sdk;
use support::plane::Plane;

/// From the push of the items to the last of their ends: 75 s on an idle machine (an agent fails a job that never called wandb.init
/// 63 s after its end), several times that where four agents import their SDK on busy cores.
const PATIENCE: Duration = Duration::from_secs(420);
/// Longer than any of it: the job that is stopped.
const FOR_EVER: u32 = 3600;

/// Where the items of one agent stand, each pushed for one way to end.
struct Case<'a> {
    place: &'a Place,
    api: Api,
    queue: String,
}

const ENTITY: &str = "fake-team";
const PROJECT: &str = "training";

impl Case<'_> {
    async fn make_queue(&self) {
        self.api.make_project("model-registry").await;
        let config = json!({"resource_args": {"kubernetes": {
            "metadata": {"namespace": self.place.jobs},
            "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 3600, "template": {
                "metadata": {"annotations": {"wbk-infra/simulate-duration": "{{seconds}}s"}},
                "spec": {"restartPolicy": "Never", "containers": [{"resources": {"requests": {"cpu": "10m"}}}]},
            }},
        }}});
        let variables = json!({"seconds": {"schema": {"type": "integer", "minimum": 1, "default": 1}}});
        self.api.upsert_queue(&self.queue, &config, &variables).await;
    }

    async fn push(&self, seconds: u32) -> String {
        let spec = json!({"entity": ENTITY, "project": PROJECT, "docker": {"docker_image": "localhost/train:1"}, "overrides": {},
            "resource": "kubernetes"});
        self.api.push(&self.queue, &spec, &json!({"seconds": seconds})).await
    }

    /// Waits until an agent has claimed the item, and answers the name of its run.
    async fn claimed(&self, item: &str) -> String {
        let said = || async { self.api.item(&self.queue, item).await };
        let node = until("the item is claimed", said, |node| node["state"] == "CLAIMED").await;
        node["associatedRunId"].as_str().expect("a claimed item has a run").to_owned()
    }

    /// The Job of a run; null where there is none.
    async fn job(&self, run: &str) -> Value {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs?labelSelector=wandb.ai/run-id%3D{run}", self.place.jobs);
        let list = live::send(&self.place.admin, "GET", &path, &Value::Null).await;
        list["items"].get(0).cloned().unwrap_or(Value::Null)
    }

    /// What wandb.init does in a job's pod, done in its place; the program ends well when its Job has.
    async fn finishes(&self) {
        let item = self.push(5).await;
        let run = self.claimed(&item).await;
        self.api.start_run(PROJECT, &run).await;
        let job = until("its Job succeeds", || self.job(&run), |job| job["status"]["succeeded"] == 1).await;
        assert_eq!(job["metadata"]["labels"]["wandb.ai/monitor"], "true");
        let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
        let names: Vec<&str> = env.as_array().into_iter().flatten().filter_map(|var| var["name"].as_str()).collect();
        for name in ["WANDB_RUN_ID", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_LAUNCH"] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
        self.api.end_run(PROJECT, &run, 0).await;
        assert_eq!(self.api.run_state(PROJECT, &run).await, "finished");
        // The run tells how it ended; the item stays as it was.
        assert_eq!(self.api.item(&self.queue, &item).await["state"], "CLAIMED");
    }

    /// The pod ends well and never called wandb.init.
    async fn is_silent(&self, server: &FakeWandb) {
        let item = self.push(1).await;
        let said = || async { self.api.item(&self.queue, &item).await };
        until("the item fails", said, |node| node["state"] == "FAILED").await;
        let error = server.with(|world| world.items[&item].error.clone()).expect("it says why");
        assert_eq!(error.message, "The submitted job exited successfully but failed to call wandb.init");
    }

    /// Somebody stops the run in W&B, and the program does not care.
    async fn is_stopped(&self) {
        let item = self.push(FOR_EVER).await;
        let run = self.claimed(&item).await;
        let id = self.api.start_run(PROJECT, &run).await;
        until("its Job runs", || self.job(&run), |job| job["status"]["ready"] == 1).await;
        self.api.stop_run(&id).await;
        until(
            "its Job is deleted",
            || self.job(&run),
            |job| job.is_null() || !job["metadata"]["deletionTimestamp"].is_null(),
        )
        .await;
    }
}

/// Looks until it holds.
async fn until<F: Future<Output = Value>>(what: &str, look: impl Fn() -> F, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    let mut rhythm = tokio::time::interval(Duration::from_millis(500));
    loop {
        rhythm.tick().await;
        let seen = look().await;
        if holds(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "awaited in vain: {what}; last seen: {seen}");
    }
}

/// What an agent by hand is given.
fn given(place: &Place, server: &FakeWandb, queue: &str) -> Given {
    let mut environment = BTreeMap::from([
        ("WANDB_BASE_URL".to_owned(), server.url().to_owned()),
        ("WANDB_API_KEY".to_owned(), server.key().to_owned()),
    ]);
    if place.mode == Mode::Helm {
        environment.insert("WANDB_RELEASE_NAME".into(), place::RELEASE.into());
    }
    let config = format!(
        "entity: {ENTITY}\nqueues: [{queue}]\nmax_jobs: 4\nstopped_run_timeout: 5\nbuilder: {{type: noop}}\nverbosity: 2\n"
    );
    Given { kubeconfig: place.kubeconfig.clone(), config, environment }
}

/// One agent of one SDK, with every end that a job can have; answers what it asked of the API server.
async fn run_agent(plane: &Plane, sdk: &Sdk, mode: Mode) -> BTreeMap<audit::Request, audit::Answers> {
    let name = format!("{}-{}", mode.name(), sdk.version.replace('.', "-"));
    let server = FakeWandb::start(Config::default()).expect("a free port");
    let place = Place::make(plane, &name, mode, server.key()).await;
    let case = Case { place: &place, api: Api::new(&server, ENTITY), queue: "gpu".into() };
    case.make_queue().await;
    let begun = Instant::now();
    let agent = Agent::start(sdk, &given(&place, &server, &case.queue));
    let ends = async { tokio::join!(case.finishes(), case.is_silent(&server), case.is_stopped()) };
    tokio::select! {
        _ = ends => {}
        why = agent.ended() => panic!("the agent ended: {why}"),
    }
    eprintln!("  {name}: every end after {:.0} s", begun.elapsed().as_secs_f64());
    // The agent takes a failed item's Secret away after it has failed it.
    let user = place.user();
    let wanted = rights::of(mode);
    let asked = || async {
        let seen = audit::of(&plane.audit_log(), &user);
        let missing = wanted.iter().filter(|right| !seen.keys().any(|request| right.is(request)));
        json!(missing.map(|right| format!("{} {}", right.verb, right.resource)).collect::<Vec<_>>())
    };
    until("every right is used", asked, |missing| missing == &json!([])).await;
    drop(agent);
    let refused: Vec<_> =
        server.log().into_iter().filter(|entry| !entry.errors.is_empty() || entry.status >= 400).collect();
    assert!(refused.is_empty(), "{name}: the W&B server refused: {refused:#?}");
    let polls = server.log().iter().filter(|entry| entry.fields.contains(&"popFromRunQueue".to_owned())).count();
    assert!(polls >= 3, "{name} polled {polls} times");
    audit::of(&plane.audit_log(), &user)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs two SDKs and takes minutes: scripts/wandb-tests.sh"]
async fn real_agents_run_their_items_to_the_end_with_exactly_the_rights_that_are_written_down() {
    let begun = Instant::now();
    let sdks: Vec<Sdk> = [sdk::NEWEST, sdk::OLDEST].into_iter().map(Sdk::provide).collect();
    eprintln!("  SDKs after {:.0} s", begun.elapsed().as_secs_f64());
    let plane = tokio::task::spawn_blocking(Plane::audited).await.expect("a control plane");
    place::make_node(&plane).await;
    let plane = &plane;
    let runs = sdks.iter().flat_map(|sdk| {
        [Mode::Plain, Mode::Helm].map(|mode| async move { (mode, &sdk.version, run_agent(plane, sdk, mode).await) })
    });
    for (mode, version, seen) in join_all(runs).await {
        rights::hold(mode, &format!("wandb {version}"), &seen);
    }
    eprintln!("  all of it: {:.0} s", begun.elapsed().as_secs_f64());
}

#[test]
#[ignore = "installs two SDKs and takes minutes: scripts/wandb-tests.sh"]
fn what_a_blueprint_makes_serves_real_agents() {
    let sdks: Vec<Sdk> = [sdk::NEWEST, sdk::OLDEST].into_iter().map(Sdk::provide).collect();
    std::thread::scope(|scope| {
        for sdk in &sdks {
            scope.spawn(|| product::hold(sdk));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs two SDKs and takes minutes: scripts/wandb-tests.sh"]
async fn launch_sweeps_end_with_each_sdk_as_lint_says() {
    let sdks: Vec<Sdk> = [sdk::NEWEST, sdk::OLDEST].into_iter().map(Sdk::provide).collect();
    let plane = tokio::task::spawn_blocking(Plane::audited).await.expect("a control plane");
    place::make_node(&plane).await;
    join_all(sdks.iter().map(|sdk| launch_sweep::hold(&plane, sdk))).await;
}

#[test]
#[ignore = "installs two SDKs and takes minutes: scripts/wandb-tests.sh"]
fn a_sweep_goes_on_after_its_agents_were_killed_and_tries_every_set_once() {
    let sdks: Vec<Sdk> = [sdk::NEWEST, sdk::OLDEST].into_iter().map(Sdk::provide).collect();
    std::thread::scope(|scope| {
        for sdk in &sdks {
            scope.spawn(|| sweep::hold(sdk));
        }
    });
}

#[test]
#[ignore = "installs two SDKs: scripts/wandb-tests.sh"]
fn what_a_blueprint_makes_passes_the_validators_of_the_sdks() {
    for version in [sdk::NEWEST, sdk::OLDEST] {
        forms::hold(&Sdk::provide(version));
    }
}

#[test]
fn the_documented_rights_are_those_that_the_agents_are_given() {
    rights::document();
}

#[test]
fn the_charts_role_is_what_was_measured() {
    rights::chart();
}
