//! The picture of Launch: who serves which queue, what waits, what runs where, and why something does not. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::obstacle::Obstacle;
use super::room::Room;
use super::work::{Controller, JobRow, label, queue_of, row};
use crate::cluster::{pod_trouble, text};
use crate::desired::{DesiredAgent, DesiredLaunch, DesiredQueue};
use crate::wandb::{Item, ItemState};

/// What the picture is made from: objects as the API server has them, and each queue's items where W&B told them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Jobs of the queues' namespaces, with who makes their pods.
    pub jobs: Vec<(Controller, Value)>,
    /// Pods of the queues' and of the agents' namespaces.
    pub pods: Vec<Value>,
    /// Events about Jobs there.
    pub events: Vec<Value>,
    /// Kueue's Workloads there, where a job is suspended.
    pub workloads: Vec<Value>,
    /// Items by queue.
    pub items: BTreeMap<String, Vec<Item>>,
    /// Nodes and what is on them, where a job waits for one.
    pub room: Option<Room>,
    /// Whether nodes are simulated: no program runs there, and no agent asks.
    pub simulated: bool,
    /// What could not be asked, and why.
    pub unseen: Vec<String>,
}

/// The whole picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Board {
    /// Agents, by name.
    pub agents: Vec<AgentRow>,
    /// Queues, by name.
    pub queues: Vec<QueueRow>,
    /// Jobs, the newest first.
    pub jobs: Vec<JobRow>,
    /// What could not be asked, and why.
    pub unseen: Vec<String>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRow {
    /// Its name.
    pub name: String,
    /// Its pod, `wandb/launch-main-…`; `None` where there is none.
    pub pod: Option<String>,
    /// Whether the pod is up.
    pub up: bool,
    /// Queues that it serves.
    pub queues: Vec<String>,
    /// Unfinished Jobs of those queues.
    pub jobs: usize,
    /// Most Jobs at once.
    pub max_jobs: u32,
    /// Why it takes no items, and what mends that.
    #[serde(flatten)]
    pub obstacle: Option<Obstacle>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueRow {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: Option<String>,
    /// GPUs of a job.
    pub gpus: u32,
    /// Items that no agent has taken; `None` where W&B did not say.
    pub waiting: Option<usize>,
    /// Unfinished Jobs.
    pub jobs: usize,
    /// Why items wait, and what mends that.
    #[serde(flatten)]
    pub obstacle: Option<Obstacle>,
}

/// Draws it.
pub fn board(launch: &DesiredLaunch, sources: &Sources, now: Timestamp) -> Board {
    let mut jobs: Vec<JobRow> = sources
        .jobs
        .iter()
        .filter_map(|(controller, job)| Some(row(*controller, job, queue_of(job, &launch.queues)?, sources, now)))
        .collect();
    jobs.sort_by(|a, b| (a.age_seconds, &a.name).cmp(&(b.age_seconds, &b.name)));
    let agents: Vec<AgentRow> = launch.agents.iter().map(|agent| agent_row(agent, sources, &jobs)).collect();
    let queues = launch.queues.iter().map(|queue| queue_row(queue, sources, &agents, &jobs)).collect();
    Board { agents, queues, jobs, unseen: sources.unseen.clone() }
}

/// An agent's pod, the newest: after a change of its configuration the old one may still be going. W&B's own chart names it by another
/// label than ours.
pub(crate) fn pod_of<'a>(agent: &DesiredAgent, pods: &'a [Value]) -> Option<&'a Value> {
    let release = &agent.release;
    let theirs = format!("launch-agent-{}", release.name);
    let is_its = |pod: &&Value| {
        text(pod, "/metadata/namespace") == release.namespace
            && (label(pod, "app.kubernetes.io/instance") == release.name || label(pod, "app") == theirs)
    };
    pods.iter().filter(is_its).max_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned())
}

fn agent_row(agent: &DesiredAgent, sources: &Sources, jobs: &[JobRow]) -> AgentRow {
    let pod = pod_of(agent, &sources.pods);
    let space = &agent.release.namespace;
    let logs = || format!("wbk-infra launch logs {}", agent.name);
    let down = match pod {
        None => Some(Obstacle::new(
            "it has no pod",
            format!("wbk-infra status shows its release; kubectl -n {space} get events says why there is no pod"),
        )),
        Some(pod) => pod_trouble(pod).map(|why| Obstacle::new(why, logs())),
    };
    let up = down.is_none();
    let asleep = || {
        Obstacle::new(
            "its pod is simulated: it asks for no items",
            "run `wandb launch-agent` beside the cluster, or use a cluster with real nodes (docs/kind.md)",
        )
    };
    AgentRow {
        name: agent.name.clone(),
        pod: pod.map(|pod| format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))),
        up,
        queues: agent.queues.clone(),
        jobs: jobs.iter().filter(|job| agent.queues.contains(&job.queue) && job.state.is_open()).count(),
        max_jobs: agent.max_jobs,
        obstacle: down.or_else(|| sources.simulated.then(asleep)),
    }
}

fn queue_row(queue: &DesiredQueue, sources: &Sources, agents: &[AgentRow], jobs: &[JobRow]) -> QueueRow {
    let waiting = sources
        .items
        .get(&queue.name)
        .map(|items| items.iter().filter(|item| item.state == ItemState::Pending).count());
    let serving: Vec<&AgentRow> = agents.iter().filter(|agent| agent.queues.contains(&queue.name)).collect();
    let obstacle = match waiting {
        None | Some(0) => None,
        Some(_) => Some(why_not_taken(queue, &serving)),
    };
    QueueRow {
        name: queue.name.clone(),
        pool: queue.pool.clone(),
        gpus: queue.gpus,
        waiting,
        jobs: jobs.iter().filter(|job| job.queue == queue.name && job.state.is_open()).count(),
        obstacle,
    }
}

/// Why nobody takes what is in a queue.
fn why_not_taken(queue: &DesiredQueue, serving: &[&AgentRow]) -> Obstacle {
    let all = |words: &dyn Fn(&AgentRow) -> String| serving.iter().map(|agent| words(agent)).collect::<Vec<_>>();
    let Some(first) = serving.first() else {
        return Obstacle::new(
            "no agent of this blueprint serves it",
            format!("name {} under launch.agents[].queues", queue.name),
        );
    };
    if serving.iter().all(|agent| !agent.up) {
        let told = all(&|agent| {
            let why = agent.obstacle.as_ref().map_or("not up", |obstacle| &obstacle.why);
            format!("agent {}: {why}", agent.name)
        });
        let fix = first.obstacle.as_ref().map(|obstacle| obstacle.fix.clone()).unwrap_or_default();
        return Obstacle::new(told.join("; "), fix);
    }
    if serving.iter().all(|agent| !agent.up || agent.jobs >= agent.max_jobs as usize) {
        let told = all(&|agent| format!("all {} jobs of agent {} are taken", agent.max_jobs, agent.name));
        return Obstacle::new(
            told.join("; "),
            format!(
                "it is taken when one ends; raise launch.agents[{}].maxJobs, or give the queue an agent of its own",
                first.name
            ),
        );
    }
    if let Some(asleep) = first.obstacle.as_ref().filter(|_| serving.iter().all(|agent| agent.obstacle.is_some())) {
        return Obstacle::new(format!("agent {}: {}", first.name, asleep.why), asleep.fix.clone());
    }
    Obstacle::new("an agent asks every 10 s", format!("if it stays, see wbk-infra launch logs {}", first.name))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::super::obstacle::tests::queue;
    use super::super::work::JobState;
    use super::*;
    use crate::desired::{Origin, QUEUE_LABEL, SecretReference, WandbService};
    use crate::id::ReleaseId;

    pub fn launch() -> DesiredLaunch {
        let origin = Origin { path: "launch".into(), at: None };
        let service = WandbService {
            base_url: "https://w".into(),
            entity: "team".into(),
            api_key: SecretReference::Env("K".into()),
            ca: None,
        };
        let agent = DesiredAgent {
            name: "main".into(),
            release: ReleaseId { namespace: "wandb".into(), name: "launch-main".into() },
            service_account: "launch-main".into(),
            least_rights: true,
            queues: vec!["l4".into()],
            job_namespaces: vec!["jobs".into()],
            max_jobs: 1,
            origin: origin.clone(),
        };
        DesiredLaunch { service, agents: vec![agent], queues: vec![queue("l4"), queue("lonely")], notices: Vec::new() }
    }

    fn job(name: &str, status: Value) -> (Controller, Value) {
        let job = json!({"metadata": {"name": name, "namespace": "jobs", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {QUEUE_LABEL: "l4", "wandb.ai/run-id": "r1"}}, "status": status,
            "spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2", "memory": "1Gi"}}}]}}}});
        (Controller::Kubernetes, job)
    }

    fn drawn(sources: &Sources) -> Board {
        board(&launch(), sources, "2026-01-01T00:01:30Z".parse().unwrap())
    }

    #[test]
    fn a_job_says_why_it_does_not_run() {
        let events =
            vec![json!({"reason": "FailedCreate", "involvedObject": {"uid": "a"}, "message": "exceeded quota: q"})];
        let waiting = json!({"metadata": {"name": "b-1", "namespace": "jobs", "labels": {"batch.kubernetes.io/job-name": "b"}},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/4 nodes"}]}});
        let sources = Sources {
            jobs: vec![
                job("a", json!({})),
                job("b", json!({})),
                job("c", json!({"conditions": [{"type": "Complete", "status": "True"}]})),
            ],
            pods: vec![waiting],
            events,
            ..Sources::default()
        };
        let drawn = drawn(&sources);
        let row = |name: &str| drawn.jobs.iter().find(|job| job.name == name).unwrap();
        let why = |name: &str| row(name).obstacle.as_ref().unwrap().why.as_str();
        assert_eq!(why("a"), "its pod is refused: exceeded quota: q");
        assert_eq!(why("b"), "not scheduled: 0/4 nodes");
        assert_eq!(
            (row("c").state, row("c").obstacle.clone(), row("c").gpus, row("c").age_seconds),
            (JobState::Finished, None, 2, 90)
        );
        assert_eq!(drawn.agents[0].jobs, 2);
    }

    #[test]
    fn a_queue_says_why_its_items_wait() {
        let item = |state| Item { id: "i".into(), state, run: None };
        let agent = |phase: &str| {
            json!({"metadata": {"name": "p", "namespace": "wandb", "labels": {"app.kubernetes.io/instance": "launch-main"}},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        let items = BTreeMap::from([
            ("l4".to_owned(), vec![item(ItemState::Pending), item(ItemState::Claimed)]),
            ("lonely".to_owned(), vec![item(ItemState::Pending)]),
        ]);
        let mut sources = Sources { items, ..Sources::default() };
        let why = |sources: &Sources, queue: usize| drawn(sources).queues[queue].obstacle.clone().unwrap().why;
        assert!(why(&sources, 0).contains("agent main: it has no pod"));
        assert_eq!(why(&sources, 1), "no agent of this blueprint serves it");
        sources.pods = vec![agent("Running")];
        assert!(why(&sources, 0).contains("asks every 10 s"));
        sources.jobs = vec![job("a", json!({}))];
        assert_eq!(why(&sources, 0), "all 1 jobs of agent main are taken");
        assert_eq!(drawn(&sources).queues[0].waiting, Some(1));
        sources.jobs.clear();
        sources.simulated = true;
        assert!(why(&sources, 0).contains("simulated"), "{}", why(&sources, 0));
    }

    #[test]
    fn the_pods_of_a_volcano_job_are_counted_and_the_one_that_is_behind_is_told() {
        let volcano = json!({"metadata": {"name": "v", "namespace": "jobs", "labels": {QUEUE_LABEL: "l4"}},
            "spec": {"tasks": [{"replicas": 2, "template": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "4"}}}]}}}]},
            "status": {"state": {"phase": "Running"}}});
        let pod = |name: &str, phase: &str| {
            json!({"metadata": {"name": name, "namespace": "jobs", "labels": {"volcano.sh/job-name": "v"}},
                "spec": {"nodeName": "n"}, "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        let mut sources = Sources {
            jobs: vec![(Controller::Volcano, volcano)],
            pods: vec![pod("v-0", "Running"), pod("v-1", "Pending")],
            ..Sources::default()
        };
        let row = drawn(&sources).jobs.remove(0);
        assert_eq!((row.state, row.pods, row.running, row.gpus), (JobState::Running, 2, 1, 8));
        assert_eq!(row.pod.as_deref(), Some("v-1"));
        sources.jobs[0].1["status"]["state"]["phase"] = "Aborted".into();
        assert_eq!(drawn(&sources).jobs[0].state, JobState::Failed);
        sources.jobs[0].1["status"]["state"]["phase"] = "Completed".into();
        assert_eq!(drawn(&sources).jobs[0].obstacle, None);
    }

    #[test]
    fn an_agents_pod_is_found_by_the_labels_of_either_chart() {
        let agent = &launch().agents[0];
        let pod =
            |key: &str, value: &str| json!({"metadata": {"name": "p", "namespace": "wandb", "labels": {key: value}}});
        assert!(pod_of(agent, &[pod("app.kubernetes.io/instance", "launch-main")]).is_some());
        assert!(pod_of(agent, &[pod("app", "launch-agent-launch-main")]).is_some());
        assert!(pod_of(agent, &[pod("app", "another")]).is_none());
    }
}
