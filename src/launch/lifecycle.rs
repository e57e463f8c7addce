//! The life of an item in one picture: from W&B's queue over agent, admission, scheduler and kubelet to its end; where it stands,
//! why it waits, and what mends that. Pure.

use serde::Serialize;
use serde_json::Value;

use super::board::{AgentRow, Board, Sources};
use super::obstacle::Obstacle;
use super::work::{Controller, JobRow, JobState, Step};
use crate::desired::{DesiredLaunch, DesiredQueue, POOL_LABEL};
use crate::gpu::scheduler::is_extended;
use crate::wandb::{Item, ItemState};

/// The life of the items of a queue, or of one of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Of what, in words: `queue l4`, `Job wandb-jobs/launch-x of queue l4`.
    pub of: String,
    /// Where it stands, in a sentence.
    pub verdict: String,
    /// Every step, in order.
    pub stages: Vec<Stage>,
    /// What could not be asked, and why.
    pub unseen: Vec<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Which.
    pub step: Step,
    /// How it stands.
    pub state: StageState,
    /// What happens there.
    pub says: String,
    /// What is there now.
    pub here: Vec<Held>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StageState {
    /// It is behind.
    Done,
    /// Something is there, and goes on by itself.
    Here,
    /// Something is there, and waits or has failed.
    Stuck,
    /// It is to come; of a queue: nothing is there.
    Ahead,
    /// It cannot be said.
    Unknown,
}

/// Something that is at a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// What.
    pub what: String,
    /// Why it does not go on, and what mends that.
    #[serde(flatten)]
    pub obstacle: Option<Obstacle>,
}

/// Ended jobs of a queue that are named.
const ENDED: usize = 3;

/// The life of a queue's items: what is at each step now.
pub fn of_queue(launch: &DesiredLaunch, queue: &DesiredQueue, sources: &Sources, board: &Board) -> Lifecycle {
    let about = About { launch, queue, sources, board };
    let mut stages = about.stages();
    let held = |what: String, obstacle: Option<Obstacle>| Held { what, obstacle };
    let row = board.queues.iter().find(|row| row.name == queue.name);
    if let Some((row, waiting)) = row.and_then(|row| Some((row, row.waiting.filter(|waiting| *waiting > 0)?))) {
        at(&mut stages, Step::Taken).here.push(held(items(waiting), row.obstacle.clone()));
    } else {
        // What would keep the next item is told before there is one.
        let down = about.agents().filter(|agent| agent.obstacle.is_some());
        at(&mut stages, Step::Taken)
            .here
            .extend(down.map(|agent| held(format!("agent {}", agent.name), agent.obstacle.clone())));
    }
    let leased = about.items().filter(|item| item.state == ItemState::Leased).count();
    if leased > 0 {
        at(&mut stages, Step::Made).here.push(held(items(leased), None));
    }
    let given_up = about.items().filter(|item| item.state == ItemState::Failed).count();
    if given_up > 0 {
        at(&mut stages, Step::Made).here.push(held(items(given_up), Some(about.given_up())));
    }
    let (open, ended): (Vec<&JobRow>, Vec<&JobRow>) =
        board.jobs.iter().filter(|job| job.queue == queue.name).partition(|job| job.state.is_open());
    for job in &open {
        at(&mut stages, job.step).here.push(held(job.name.clone(), job.obstacle.clone()));
    }
    let failed = ended.iter().filter(|job| job.state == JobState::Failed).take(ENDED);
    let failed: Vec<Held> = failed.map(|job| held(job.name.clone(), job.obstacle.clone())).collect();
    let finished = ended.iter().filter(|job| job.state == JobState::Finished).count();
    let last = at(&mut stages, Step::Ended);
    if finished > 0 {
        last.here.push(held(format!("{finished} finished"), None));
    }
    last.here.extend(failed);
    for stage in &mut stages {
        stage.state = match &stage.here {
            here if here.iter().any(|held| held.obstacle.is_some()) => StageState::Stuck,
            here if here.is_empty() => StageState::Ahead,
            _ => StageState::Here,
        };
    }
    if row.is_some_and(|row| row.waiting.is_none()) {
        at(&mut stages, Step::Queued).state = StageState::Unknown;
    }
    let verdict = match stages.iter().find(|stage| stage.state == StageState::Stuck && stage.step != Step::Ended) {
        Some(stage) => {
            let held = stage.here.iter().find(|held| held.obstacle.is_some());
            let why = held.and_then(|held| held.obstacle.as_ref()).map_or("", |obstacle| &obstacle.why);
            format!("it waits at `{}`: {why}", stage.step.word())
        }
        None => format!("nothing is in the way; {} open", count(open.len(), "job")),
    };
    Lifecycle { of: format!("queue {}", queue.name), verdict, stages, unseen: sources.unseen.clone() }
}

/// The life of one item, by the name of its job, its run or itself; `None` where there is no such.
pub fn of_job(launch: &DesiredLaunch, sources: &Sources, board: &Board, named: &str) -> Option<Lifecycle> {
    let job = board.jobs.iter().find(|job| job.name == named || job.run.as_deref() == Some(named));
    let item_of = |queue: &str, of: &dyn Fn(&Item) -> bool| -> Option<Item> {
        sources.items.get(queue)?.iter().find(|item| of(item)).cloned()
    };
    let (queue, item, job) = match job {
        Some(job) => {
            let of_run = |item: &Item| job.run.is_some() && item.run == job.run;
            (job.queue.clone(), item_of(&job.queue, &of_run), Some(job))
        }
        None => {
            let of_name = |item: &Item| item.id == named || item.run.as_deref() == Some(named);
            let (queue, item) =
                sources.items.keys().find_map(|queue| Some((queue.clone(), item_of(queue, &of_name)?)))?;
            let job = board.jobs.iter().find(|job| job.run.is_some() && job.run == item.run);
            (queue, Some(item), job)
        }
    };
    let queue = launch.queues.iter().find(|found| found.name == queue)?;
    let about = About { launch, queue, sources, board };
    let (step, state, held) = about.stands(item.as_ref(), job);
    let mut stages = about.stages();
    for stage in &mut stages {
        stage.state = match stage.step.cmp(&step) {
            std::cmp::Ordering::Less => StageState::Done,
            std::cmp::Ordering::Equal => state,
            std::cmp::Ordering::Greater => StageState::Ahead,
        };
    }
    if let Some(job) = job {
        let since = age(job.age_seconds);
        let item = item.as_ref().map_or_else(|| "an item".to_owned(), |item| format!("item {}", item.id));
        at(&mut stages, Step::Queued).says = format!("{item} in queue {} of {}", queue.name, launch.service.entity);
        at(&mut stages, Step::Made).says =
            format!("{} {}/{}, {since} ago", job.controller.noun(), job.namespace, job.name);
        if let Some(node) = &job.node {
            at(&mut stages, Step::Placed).says = format!("pod {} on node {node}", job.pod.as_deref().unwrap_or("?"));
        }
    }
    let verdict = match (&held.obstacle, state) {
        (Some(obstacle), _) if step == Step::Ended => format!("it failed: {}", obstacle.why),
        (Some(obstacle), _) => format!("it waits at `{}`: {}", step.word(), obstacle.why),
        (None, _) => held.what.clone(),
    };
    at(&mut stages, step).here.push(held);
    let of = match (job, &item) {
        (Some(job), _) => format!("{} {}/{} of queue {}", job.controller.noun(), job.namespace, job.name, queue.name),
        (None, Some(item)) => format!("item {} of queue {}", item.id, queue.name),
        (None, None) => queue.name.clone(),
    };
    Some(Lifecycle { of, verdict, stages, unseen: sources.unseen.clone() })
}

/// What a picture is of, and from.
struct About<'a> {
    launch: &'a DesiredLaunch,
    queue: &'a DesiredQueue,
    sources: &'a Sources,
    board: &'a Board,
}

impl About<'_> {
    fn items(&self) -> impl Iterator<Item = &Item> {
        self.sources.items.get(&self.queue.name).into_iter().flatten()
    }

    fn agents(&self) -> impl Iterator<Item = &AgentRow> {
        self.board.agents.iter().filter(|agent| agent.queues.contains(&self.queue.name))
    }

    fn given_up(&self) -> Obstacle {
        let agents: Vec<&str> = self.agents().map(|agent| agent.name.as_str()).collect();
        Obstacle::new(
            "the agent gave it up",
            format!("W&B says why beside the item, and so does wbk-infra launch logs {}", agents.join(" or ")),
        )
    }

    /// Where an item stands.
    fn stands(&self, item: Option<&Item>, job: Option<&JobRow>) -> (Step, StageState, Held) {
        if let Some(job) = job {
            let what = match (job.state, &job.node) {
                (JobState::Running, Some(node)) => {
                    format!("it runs on node {node}, {} after it was made", age(job.age_seconds))
                }
                (state, _) => state.word().to_owned(),
            };
            let state = match (&job.obstacle, job.state) {
                (Some(_), _) => StageState::Stuck,
                (None, JobState::Finished) => StageState::Done,
                (None, _) => StageState::Here,
            };
            return (job.step, state, Held { what, obstacle: job.obstacle.clone() });
        }
        let held = |what: &str, obstacle: Option<Obstacle>| Held { what: what.into(), obstacle };
        let Some(item) = item else { return (Step::Queued, StageState::Unknown, held("it is not known", None)) };
        match item.state {
            ItemState::Pending | ItemState::Other => {
                let row = self.board.queues.iter().find(|row| row.name == self.queue.name);
                let obstacle = row.and_then(|row| row.obstacle.clone());
                (Step::Taken, StageState::Stuck, held("it waits for an agent", obstacle))
            }
            ItemState::Leased => (Step::Made, StageState::Here, held("an agent took it and makes its job", None)),
            ItemState::Failed => (Step::Made, StageState::Stuck, held("it was given up", Some(self.given_up()))),
            ItemState::Claimed => {
                let what = "its job is no longer there: it has ended and was cleared away, or somebody deleted it; W&B's run says which";
                (Step::Ended, StageState::Unknown, held(what, None))
            }
        }
    }

    /// What happens at each step for this queue.
    fn stages(&self) -> Vec<Stage> {
        let says = |step: Step| match step {
            Step::Queued => self.queued(),
            Step::Taken => self.taken(),
            Step::Made => {
                let noun = Controller::of(self.queue).noun();
                format!("the agent makes a Secret with the key and a {noun} in namespace {}", self.queue.namespace)
            }
            Step::Admitted => self.admitted(),
            Step::Placed => self.placed(),
            Step::Started => match self.resource() {
                Some((resource, _)) => {
                    format!("the kubelet pulls the image; the device plugin hands it its {resource}")
                }
                None => "the kubelet pulls the image".to_owned(),
            },
            Step::Runs => "the program runs; wandb.init tells W&B so".to_owned(),
            Step::Ended => match self.queue.job.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_i64) {
                Some(keep) => format!("the agent sees the end; the job stays for {}", age(keep)),
                None => "the agent sees the end".to_owned(),
            },
        };
        let stage = |step: Step| Stage { step, state: StageState::Ahead, says: says(step), here: Vec::new() };
        Step::ALL.into_iter().map(stage).collect()
    }

    fn queued(&self) -> String {
        let waiting = self.board.queues.iter().find(|row| row.name == self.queue.name).and_then(|row| row.waiting);
        let entity = &self.launch.service.entity;
        match waiting {
            Some(waiting) => format!("{} in queue {} of {entity}", items(waiting), self.queue.name),
            None => format!("queue {} of {entity}; how many wait is not known", self.queue.name),
        }
    }

    fn taken(&self) -> String {
        let agents: Vec<String> = self
            .agents()
            .map(|agent| format!("agent {} ({} of {} jobs)", agent.name, agent.jobs, agent.max_jobs))
            .collect();
        if agents.is_empty() {
            "no agent serves it".to_owned()
        } else {
            format!("by {}, each asks every 10 s", agents.join(" or "))
        }
    }

    fn admitted(&self) -> String {
        let spec = &self.queue.job["spec"]["template"]["spec"];
        let priority = match spec["priorityClassName"].as_str() {
            Some(priority) => format!(", priority {priority}"),
            None => String::new(),
        };
        format!("quota, limits and Pod Security of namespace {}{priority}", self.queue.namespace)
    }

    fn placed(&self) -> String {
        let pool = match &self.queue.pool {
            Some(pool) => format!("a node of pool {pool}"),
            None => "a node".to_owned(),
        };
        let asked = match self.resource() {
            Some((resource, amount)) => format!("{pool} with {amount} {resource}"),
            None => pool,
        };
        match (&self.sources.room, &self.queue.pool, self.resource()) {
            (Some(room), Some(pool), Some((resource, _))) => {
                let found = room.free((POOL_LABEL, pool), &resource);
                format!("{asked}; {} of {} are free on {} now", found.free, found.all, count(found.nodes, "node"))
            }
            _ => asked,
        }
    }

    /// The GPUs that its jobs ask for.
    fn resource(&self) -> Option<(String, String)> {
        let limits = self.queue.job.pointer("/spec/template/spec/containers/0/resources/limits")?.as_object()?;
        let (resource, amount) = limits.iter().find(|(resource, _)| is_extended(resource))?;
        Some((resource.clone(), amount.as_str().map_or_else(|| amount.to_string(), str::to_owned)))
    }
}

fn at(stages: &mut [Stage], step: Step) -> &mut Stage {
    &mut stages[step as usize]
}

fn items(count: usize) -> String {
    if count == 1 { "1 item waits".to_owned() } else { format!("{count} items wait") }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// How long something takes or took, in a person's words: `90 s`, `12 min`, `3 h`.
pub(crate) fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::board::tests::launch;
    use super::super::board::{Sources, board};
    use super::*;
    use crate::desired::QUEUE_LABEL;

    fn item(id: &str, state: ItemState, run: Option<&str>) -> Item {
        Item { id: id.into(), state, run: run.map(str::to_owned) }
    }

    fn sources() -> Sources {
        let agent = json!({"metadata": {"name": "p", "namespace": "wandb", "labels": {"app.kubernetes.io/instance": "launch-main"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let job = json!({"metadata": {"name": "a", "namespace": "jobs", "uid": "a", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {QUEUE_LABEL: "l4", "wandb.ai/run-id": "r1"}}, "spec": {}, "status": {}});
        let pod = json!({"metadata": {"name": "a-1", "namespace": "jobs", "labels": {"batch.kubernetes.io/job-name": "a"}},
            "spec": {"nodeName": "n"}, "status": {"phase": "Pending", "containerStatuses": [
                {"name": "c", "image": "me/none:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]}});
        Sources {
            jobs: vec![(Controller::Kubernetes, job)],
            pods: vec![agent, pod],
            items: [(
                "l4".to_owned(),
                vec![
                    item("i1", ItemState::Claimed, Some("r1")),
                    item("i2", ItemState::Pending, None),
                    item("i3", ItemState::Failed, None),
                ],
            )]
            .into(),
            ..Sources::default()
        }
    }

    fn drawn(sources: &Sources) -> (DesiredLaunch, Board) {
        let launch = launch();
        let board = board(&launch, sources, "2026-01-01T00:01:30Z".parse().unwrap());
        (launch, board)
    }

    fn states(life: &Lifecycle) -> String {
        life.stages
            .iter()
            .map(|stage| match stage.state {
                StageState::Done => 'd',
                StageState::Here => 'h',
                StageState::Stuck => 's',
                StageState::Ahead => 'a',
                StageState::Unknown => 'u',
            })
            .collect()
    }

    #[test]
    fn a_job_stands_where_its_pod_is_with_the_fix() {
        let sources = sources();
        let (launch, board) = drawn(&sources);
        for name in ["a", "r1", "i1"] {
            let life = of_job(&launch, &sources, &board, name).unwrap();
            assert_eq!((states(&life).as_str(), life.of.as_str()), ("dddddsaa", "Job jobs/a of queue l4"), "{name}");
            let held = &life.stages[5].here[0];
            assert!(held.obstacle.as_ref().unwrap().fix.contains("me/none:1"), "{held:?}");
            assert!(life.verdict.contains("ErrImagePull"), "{}", life.verdict);
        }
        assert_eq!(of_job(&launch, &sources, &board, "nothing"), None);
    }

    #[test]
    fn an_item_without_a_job_stands_with_the_agent() {
        let mut sources = sources();
        let life = |sources: &Sources, name: &str| {
            let (launch, board) = drawn(sources);
            of_job(&launch, sources, &board, name).unwrap()
        };
        assert_eq!(states(&life(&sources, "i2")), "dsaaaaaa");
        assert!(life(&sources, "i2").verdict.contains("all 1 jobs of agent main are taken"));
        assert_eq!(states(&life(&sources, "i3")), "ddsaaaaa");
        sources.jobs.clear();
        assert_eq!(states(&life(&sources, "i1")), "dddddddu");
    }

    #[test]
    fn a_queue_shows_what_is_at_each_step() {
        let sources = sources();
        let (launch, board) = drawn(&sources);
        let life = of_queue(&launch, &launch.queues[0], &sources, &board);
        assert_eq!(states(&life), "assaasaa");
        assert!(life.stages[0].says.contains("1 item waits in queue l4 of team"), "{}", life.stages[0].says);
        assert!(life.verdict.starts_with("it waits at `taken`"), "{}", life.verdict);
        let svg = super::super::picture::svg(&life);
        assert!(svg.contains("me/none:1") && svg.matches("<circle").count() == 8);
    }
}
