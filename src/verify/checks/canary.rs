//! A queue works from end to end: an item is pushed, an agent makes a Job of it, the Job runs on the queue's pool and ends. Opt-in
//! (`--allow canary`): it takes the place of a real job for as long.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{name, text};
use crate::desired::{Desired, DesiredQueue, Origin, POOL_LABEL};
use crate::launch::{Controller, JobRow, JobState, Obstacle, Sources, board, is_suspended, workloads_path};
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::{CheckContext, OptIn, VerifyOptions};
use crate::verify::placement::Placement;
use crate::wandb::{ItemState, Push, Wandb, WandbError};

/// The W&B project of the runs.
const PROJECT: &str = "wbk-infra-canary";
/// Between two looks; an agent asks every 10 s.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for queue in desired.launch.iter().flat_map(|launch| &launch.queues) {
        checks.push(Arc::new(Canary { queue: queue.clone() }));
    }
}

struct Canary {
    queue: DesiredQueue,
}

/// Why a canary has no verdict.
enum Stop {
    Cluster(Trouble),
    Wandb(WandbError),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Cluster(trouble)
    }
}

impl From<WandbError> for Stop {
    fn from(error: WandbError) -> Self {
        Self::Wandb(error)
    }
}

/// What has become of the item.
enum Seen {
    /// Nobody has taken it, and why.
    Waits(Obstacle),
    /// An agent gave it up before it made a Job.
    GivenUp,
    /// There is a Job.
    Job(Box<JobRow>),
}

fn waits(why: &str) -> Seen {
    Seen::Waits(Obstacle::new(why, "wbk-infra launch status, and launch logs of the agent"))
}

#[async_trait]
impl Check for Canary {
    fn id(&self) -> CheckId {
        CheckId::about("launch.canary", &self.queue.name)
    }

    fn title(&self) -> String {
        format!("an item of queue {} becomes a Job that runs and ends", self.queue.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.queue.origin.clone())
    }

    fn applies(&self, _: &Desired, options: &VerifyOptions) -> Applicability {
        match options.allows(OptIn::Canary) {
            true => Applicability::Applies,
            false => Applicability::Skipped("it pushes an item to the queue: ask for it with --allow canary".into()),
        }
    }

    fn makes(&self) -> bool {
        true
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        // Waiting for room as well, which others of this run hold at most as long as theirs lasts.
        cx.options.sample_deadline * 2 + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let Some(wandb) = cx.wandb() else {
            return Outcome::inconclusive("the API key could not be read, so nothing was pushed");
        };
        match self.fly(cx, wandb).await {
            Ok(outcome) => outcome,
            Err(Stop::Cluster(trouble)) => trouble.into(),
            Err(Stop::Wandb(error)) => Outcome::from(&error),
        }
    }
}

impl Canary {
    async fn fly(&self, cx: &CheckContext, wandb: &Wandb) -> Result<Outcome, Stop> {
        let _room = match self.queue.pool.as_ref().and_then(|pool| cx.desired.wanted.pools.get(pool)) {
            Some(pool) => {
                let placement = Placement::of(pool, &cx.desired);
                Some(cx.rooms(&placement, &self.queue.namespace, self.queue.gpus.max(1)).await)
            }
            None => None,
        };
        let item = wandb
            .push(&Push {
                queue: &self.queue.name,
                project: PROJECT,
                image: cx.image(),
                name: Some("wbk-infra canary"),
                // What an image does by itself is its own: the sample Jobs run the same.
                command: &["true"],
                arguments: &[],
                values: &Value::Null,
                priority: None,
            })
            .await?;
        let mut run = None;
        let outcome = self.follow(cx, wandb, &item, &mut run).await;
        // Also where it could not be followed: what was made is taken away.
        let ended = match &run {
            Some(run) => wandb.end_run(PROJECT, run, u8::from(!matches!(outcome, Ok(Outcome::Pass { .. })))).await,
            None => Ok(()),
        };
        let tidied = self.tidy(cx, wandb, &item).await;
        let outcome = outcome?;
        ended?;
        tidied?;
        Ok(outcome)
    }

    /// Until it ends or the time is up.
    async fn follow(
        &self,
        cx: &CheckContext,
        wandb: &Wandb,
        item: &str,
        run: &mut Option<String>,
    ) -> Result<Outcome, Stop> {
        let begun = Instant::now();
        let wanted = format!("a Job on pool {} that ends well", self.queue.pool.as_deref().unwrap_or("any"));
        let source = format!("queue {} of W&B, Jobs of namespace {}", self.queue.name, self.queue.namespace);
        let evidence = |measured: String| Evidence::new(measured, wanted.clone(), source.clone());
        let mut taken = None;
        let outcome = loop {
            let seen = self.look(cx, wandb, item).await?;
            // The sample's image has no SDK: what wandb.init would tell is told for it.
            if let (Seen::Job(job), None) = (&seen, &run)
                && let Some(name) = &job.run
            {
                wandb.begin_run(PROJECT, name).await?;
                *run = Some(name.clone());
            }
            let late = begun.elapsed() > cx.options.sample_deadline;
            match seen {
                Seen::Waits(Obstacle { why, fix }) if late => {
                    break Outcome::fail(
                        evidence(format!("nobody took the item in {} s: {why}", begun.elapsed().as_secs())),
                        fix,
                    );
                }
                Seen::GivenUp => {
                    break Outcome::fail(
                        evidence("the agent gave the item up before it made a Job".into()),
                        "the reason is in W&B beside the item, and in the agent's log: wbk-infra launch logs",
                    );
                }
                Seen::Job(job) if job.state == JobState::Finished => {
                    let at = taken.unwrap_or_else(|| begun.elapsed());
                    break self.landed(cx, &job, (at, begun.elapsed()), &evidence).await?;
                }
                Seen::Job(job) if job.state == JobState::Failed => {
                    let obstacle = job.obstacle.clone();
                    let Obstacle { why, fix } =
                        obstacle.unwrap_or_else(|| Obstacle::new("no reason is told", "wbk-infra launch logs"));
                    break Outcome::fail(evidence(format!("the Job {} failed: {why}", job.name)), fix);
                }
                Seen::Job(job) if late => {
                    let obstacle = job.obstacle.clone();
                    let Obstacle { why, fix } =
                        obstacle.unwrap_or_else(|| Obstacle::new("it runs", "give it longer: --sample-deadline"));
                    let measured =
                        format!("the Job {} has not ended in {} s: {why}", job.name, begun.elapsed().as_secs());
                    break Outcome::fail(evidence(measured), fix);
                }
                Seen::Job(_) => {
                    taken.get_or_insert_with(|| begun.elapsed());
                }
                Seen::Waits(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        };
        Ok(outcome)
    }

    async fn sources(&self, cx: &CheckContext) -> Result<Sources, Trouble> {
        let (api, space) = (cx.api(), &self.queue.namespace);
        let mut pods = api.list(&format!("/api/v1/namespaces/{space}/pods"), "").await?;
        let agents = cx.desired.launch.iter().flat_map(|launch| &launch.agents).map(|agent| &agent.release.namespace);
        let mut others: Vec<&String> = agents.filter(|namespace| *namespace != space).collect();
        others.sort_unstable();
        others.dedup();
        for namespace in others {
            pods.extend(api.list(&format!("/api/v1/namespaces/{namespace}/pods"), "").await?);
        }
        let controller = Controller::of(&self.queue);
        let jobs = api.list(&controller.path(space), "").await?;
        let workloads = match jobs.iter().any(is_suspended) {
            true => match api.list(&workloads_path(space), "").await {
                Ok(found) => found,
                // Nobody has Kueue: somebody suspended the Job by hand.
                Err(Trouble::NotFound { .. }) => Vec::new(),
                Err(trouble) => return Err(trouble),
            },
            false => Vec::new(),
        };
        Ok(Sources {
            jobs: jobs.into_iter().map(|job| (controller, job)).collect(),
            events: api.list(&format!("/api/v1/namespaces/{space}/events"), "").await?,
            pods,
            workloads,
            ..Sources::default()
        })
    }

    async fn look(&self, cx: &CheckContext, wandb: &Wandb, item: &str) -> Result<Seen, Stop> {
        let Some(launch) = &cx.desired.launch else { return Ok(waits("the blueprint has no Launch")) };
        let items = wandb.items(&self.queue.name).await?;
        let found = items.iter().find(|found| found.id == item).cloned();
        let mut sources = self.sources(cx).await?;
        sources.items.insert(self.queue.name.clone(), items);
        let drawn = board(launch, &sources, cx.now());
        let Some(found) = found else { return Ok(waits("W&B does not list it")) };
        let job = drawn.jobs.into_iter().find(|job| job.run.is_some() && job.run == found.run);
        Ok(match (job, found.state) {
            (Some(job), _) => Seen::Job(Box::new(job)),
            (None, ItemState::Failed) => Seen::GivenUp,
            (None, ItemState::Claimed) => waits("an agent took it, and its Job is not there"),
            (None, ItemState::Leased) => waits("an agent took it and has made no Job yet"),
            (None, ItemState::Pending | ItemState::Other) => {
                let queue = drawn.queues.into_iter().find(|queue| queue.name == self.queue.name);
                queue.and_then(|queue| queue.obstacle).map_or_else(|| waits("no agent asked"), Seen::Waits)
            }
        })
    }

    /// It ended well: on a node of its pool?
    async fn landed(
        &self,
        cx: &CheckContext,
        job: &JobRow,
        (taken, ended): (Duration, Duration),
        evidence: &(dyn Fn(String) -> Evidence + Sync),
    ) -> Result<Outcome, Trouble> {
        let node = job.node.as_deref().unwrap_or_default();
        let nodes = cx.all_nodes().await?;
        let pool = nodes
            .iter()
            .find(|found| name(found) == node)
            .map(|found| text(found, &format!("/metadata/labels/{}", POOL_LABEL.replace('/', "~1"))).to_owned());
        let data = json!({"job": job.name, "node": node, "takenAfterSeconds": taken.as_secs(), "endedAfterSeconds": ended.as_secs()});
        let measured = format!("taken after {} s, ended on node {node} after {} s", taken.as_secs(), ended.as_secs());
        Ok(match (&self.queue.pool, pool) {
            (Some(wanted), Some(pool)) if *wanted != pool => Outcome::fail(
                evidence(format!("it ended on node {node}, which is of pool {pool}")).with(data),
                "wbk-infra drift shows whether the queue or the node's labels were changed",
            ),
            (Some(_) | None, _) => Outcome::pass(evidence(measured).with(data)),
        })
    }

    /// The Job goes; an item that nobody took goes as well. What became of the run stays in W&B, in a project of its own.
    async fn tidy(&self, cx: &CheckContext, wandb: &Wandb, item: &str) -> Result<(), Stop> {
        match self.look(cx, wandb, item).await? {
            Seen::Job(job) => match cx.api().delete(&job.path()).await {
                Ok(()) | Err(Trouble::NotFound { .. }) => Ok(()),
                Err(trouble) => Err(trouble.into()),
            },
            Seen::Waits(_) => Ok(wandb.remove_item(&self.queue.name, item).await?),
            Seen::GivenUp => Ok(()),
        }
    }
}
