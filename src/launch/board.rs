//! The picture of Launch: who serves which queue, what waits, what runs where, and why something does not. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{pod_trouble, text};
use crate::desired::{DesiredAgent, DesiredLaunch, DesiredQueue, QUEUE_LABEL};
use crate::wandb::{Item, ItemState};

/// What the picture is made from: objects as the API server has them, and each queue's items where W&B told them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Jobs of the queues' namespaces.
    pub jobs: Vec<Value>,
    /// Pods of the queues' and of the agents' namespaces.
    pub pods: Vec<Value>,
    /// Events about Jobs there.
    pub events: Vec<Value>,
    /// Items by queue.
    pub items: BTreeMap<String, Vec<Item>>,
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
    /// Why it is not up.
    pub why: Option<String>,
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
    /// Why items wait.
    pub why: Option<String>,
}

/// How far a Job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// No pod of it runs.
    Pending,
    /// A pod runs.
    Running,
    /// It succeeded.
    Finished,
    /// It failed.
    Failed,
}

impl JobState {
    /// The word for a person.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// A Job of a queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRow {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its queue.
    pub queue: String,
    /// W&B's id of the run.
    pub run: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// Its pod.
    pub pod: Option<String>,
    /// The pod's node.
    pub node: Option<String>,
    /// GPUs that it asks for.
    pub gpus: u64,
    /// Seconds since it was made.
    pub age_seconds: i64,
    /// Why it does not run, or why it failed.
    pub why: Option<String>,
}

/// Draws it.
pub fn board(launch: &DesiredLaunch, sources: &Sources, now: Timestamp) -> Board {
    let mut jobs: Vec<JobRow> = sources
        .jobs
        .iter()
        .filter_map(|job| {
            let queue = launch.queues.iter().find(|queue| queue.name == label(job, QUEUE_LABEL))?;
            Some(job_row(job, queue, sources, now))
        })
        .collect();
    jobs.sort_by(|a, b| (a.age_seconds, &a.name).cmp(&(b.age_seconds, &b.name)));
    let agents: Vec<AgentRow> = launch.agents.iter().map(|agent| agent_row(agent, sources, &jobs)).collect();
    let queues = launch.queues.iter().map(|queue| queue_row(queue, sources, &agents, &jobs)).collect();
    Board { agents, queues, jobs, unseen: sources.unseen.clone() }
}

fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}

fn is_open(state: JobState) -> bool {
    matches!(state, JobState::Pending | JobState::Running)
}

fn agent_row(agent: &DesiredAgent, sources: &Sources, jobs: &[JobRow]) -> AgentRow {
    let pods = sources.pods.iter().filter(|pod| {
        text(pod, "/metadata/namespace") == agent.release.namespace
            && label(pod, "app.kubernetes.io/instance") == agent.release.name
    });
    // After a change of its configuration the old one may still be going.
    let pod = pods.max_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
    let why = match pod {
        None => {
            Some(format!("it has no pod: see wbk-infra status, and kubectl -n {} get events", agent.release.namespace))
        }
        Some(pod) => pod_trouble(pod),
    };
    AgentRow {
        name: agent.name.clone(),
        pod: pod.map(|pod| format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))),
        up: why.is_none(),
        queues: agent.queues.clone(),
        jobs: jobs.iter().filter(|job| agent.queues.contains(&job.queue) && is_open(job.state)).count(),
        max_jobs: agent.max_jobs,
        why,
    }
}

fn queue_row(queue: &DesiredQueue, sources: &Sources, agents: &[AgentRow], jobs: &[JobRow]) -> QueueRow {
    let waiting = sources
        .items
        .get(&queue.name)
        .map(|items| items.iter().filter(|item| item.state == ItemState::Pending).count());
    let serving: Vec<&AgentRow> = agents.iter().filter(|agent| agent.queues.contains(&queue.name)).collect();
    let why = match (waiting, serving.as_slice()) {
        (None | Some(0), _) => None,
        (_, []) => Some("no agent of this blueprint serves it".to_owned()),
        (_, serving) if serving.iter().all(|agent| !agent.up) => {
            let reasons: Vec<String> = serving
                .iter()
                .map(|agent| format!("agent {}: {}", agent.name, agent.why.as_deref().unwrap_or("not up")))
                .collect();
            Some(reasons.join("; "))
        }
        (_, serving) if serving.iter().all(|agent| !agent.up || agent.jobs >= agent.max_jobs as usize) => Some(
            serving
                .iter()
                .map(|agent| format!("all {} jobs of agent {} are taken", agent.max_jobs, agent.name))
                .collect::<Vec<_>>()
                .join("; "),
        ),
        _ => Some("an agent asks every 10 s; if this stays, see its log".to_owned()),
    };
    QueueRow {
        name: queue.name.clone(),
        pool: queue.pool.clone(),
        gpus: queue.gpus,
        waiting,
        jobs: jobs.iter().filter(|job| job.queue == queue.name && is_open(job.state)).count(),
        why,
    }
}

fn job_row(job: &Value, queue: &DesiredQueue, sources: &Sources, now: Timestamp) -> JobRow {
    let (name, namespace) = (text(job, "/metadata/name"), text(job, "/metadata/namespace"));
    let pod = sources
        .pods
        .iter()
        .filter(|pod| {
            text(pod, "/metadata/namespace") == namespace && label(pod, "batch.kubernetes.io/job-name") == name
        })
        .max_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
    let state = state_of(job, pod);
    let made = text(job, "/metadata/creationTimestamp").parse::<Timestamp>().unwrap_or(now);
    JobRow {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        queue: queue.name.clone(),
        run: Some(label(job, "wandb.ai/run-id").to_owned()).filter(|run| !run.is_empty()),
        state,
        pod: pod.map(|pod| text(pod, "/metadata/name").to_owned()),
        node: pod.map(|pod| text(pod, "/spec/nodeName").to_owned()).filter(|node| !node.is_empty()),
        gpus: gpus(job),
        age_seconds: now.as_second() - made.as_second(),
        why: match state {
            JobState::Finished => None,
            JobState::Running => pod.and_then(pod_trouble),
            JobState::Pending | JobState::Failed => why(job, pod, sources),
        },
    }
}

fn state_of(job: &Value, pod: Option<&Value>) -> JobState {
    let holds = |kind: &str| {
        let conditions = job["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|found| found["type"] == kind && found["status"] == "True")
    };
    if holds("Complete") || holds("SuccessCriteriaMet") {
        JobState::Finished
    } else if holds("Failed") || holds("FailureTarget") {
        JobState::Failed
    } else if pod.is_some_and(|pod| text(pod, "/status/phase") == "Running") {
        JobState::Running
    } else {
        JobState::Pending
    }
}

fn why(job: &Value, pod: Option<&Value>, sources: &Sources) -> Option<String> {
    if let Some(pod) = pod {
        return pod_trouble(pod);
    }
    if job["spec"]["suspend"] == true {
        return Some("it is suspended: Kueue has not admitted it yet".into());
    }
    // A quota, Pod Security or a missing priority class refuses the pod; the agent and W&B say nothing of it.
    let refused = sources
        .events
        .iter()
        .filter(|event| event["reason"] == "FailedCreate" && event["involvedObject"]["uid"] == job["metadata"]["uid"])
        .max_by_key(|event| text(event, "/lastTimestamp").to_owned());
    match refused {
        Some(event) => Some(format!("its pod is refused: {}", text(event, "/message"))),
        None => Some("it has no pod yet".into()),
    }
}

/// GPUs of all containers of a Job's pod, shares and partitions counted as such.
fn gpus(job: &Value) -> u64 {
    let containers = job.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let is_gpu = |name: &str| name.contains('/') && (name.contains("gpu") || name.contains("/mig-"));
    let amount = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.pointer("/resources/limits")?.as_object())
        .flat_map(|limits| limits.iter().filter(|(name, _)| is_gpu(name)).map(|(_, value)| amount(value)))
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::{Origin, QueueContent, SecretReference, WandbService};
    use crate::id::ReleaseId;

    fn launch() -> DesiredLaunch {
        let origin = Origin { path: "launch".into(), at: None };
        let queue = |name: &str| DesiredQueue {
            name: name.into(),
            content: QueueContent { config: json!({}), variables: json!({}), prioritization: true, links: Vec::new() },
            pool: Some("l4".into()),
            namespace: "jobs".into(),
            gpus: 1,
            job: Value::Null,
            origin: origin.clone(),
        };
        let service = WandbService {
            base_url: "https://w".into(),
            entity: "team".into(),
            api_key: SecretReference::Env("K".into()),
        };
        let agent = DesiredAgent {
            name: "main".into(),
            release: ReleaseId { namespace: "wandb".into(), name: "launch-main".into() },
            queues: vec!["l4".into()],
            job_namespaces: vec!["jobs".into()],
            max_jobs: 1,
            origin: origin.clone(),
        };
        DesiredLaunch { service, agents: vec![agent], queues: vec![queue("l4"), queue("lonely")] }
    }

    fn job(name: &str, status: Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "jobs", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {QUEUE_LABEL: "l4", "wandb.ai/run-id": "r1"}}, "status": status,
            "spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2", "memory": "1Gi"}}}]}}}})
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
        assert_eq!(row("a").why.as_deref(), Some("its pod is refused: exceeded quota: q"));
        assert_eq!(row("b").why.as_deref(), Some("not scheduled: 0/4 nodes"));
        assert_eq!(
            (row("c").state, row("c").why.clone(), row("c").gpus, row("c").age_seconds),
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
        let why = |sources: &Sources, queue: usize| drawn(sources).queues[queue].why.clone().unwrap();
        assert!(why(&sources, 0).contains("agent main: it has no pod"));
        assert_eq!(why(&sources, 1), "no agent of this blueprint serves it");
        sources.pods = vec![agent("Running")];
        assert!(why(&sources, 0).contains("asks every 10 s"));
        sources.jobs = vec![job("a", json!({}))];
        assert_eq!(why(&sources, 0), "all 1 jobs of agent main are taken");
        assert_eq!(drawn(&sources).queues[0].waiting, Some(1));
    }
}
