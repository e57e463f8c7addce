//! One job of a queue as its controller has it: a Job of Kubernetes, or one of Volcano where several pods start together. Pure.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::board::Sources;
use super::kueue::{is_suspended, keeps};
use super::obstacle::{Obstacle, of_pod, of_refusal};
use crate::cluster::{condition, is_true, one_line, text};
use crate::desired::{DesiredQueue, QUEUE_LABEL};

/// Label of W&B's run on a job.
const RUN_LABEL: &str = "wandb.ai/run-id";

/// Who makes the pods of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// Kubernetes: `batch/v1`.
    Kubernetes,
    /// Volcano: `batch.volcano.sh/v1alpha1`.
    Volcano,
}

impl Controller {
    /// Who makes the pods of a queue's jobs.
    pub fn of(queue: &DesiredQueue) -> Self {
        let group = queue.content.config.pointer("/resource_args/kubernetes/apiVersion").and_then(Value::as_str);
        match group {
            Some(group) if group.starts_with("batch.volcano.sh/") => Self::Volcano,
            Some(_) | None => Self::Kubernetes,
        }
    }

    /// Where jobs of a namespace are.
    pub fn path(self, namespace: &str) -> String {
        let group = match self {
            Self::Kubernetes => "batch/v1",
            Self::Volcano => "batch.volcano.sh/v1alpha1",
        };
        format!("/apis/{group}/namespaces/{namespace}/jobs")
    }

    /// What such a job is called.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Kubernetes => "Job",
            Self::Volcano => "Volcano Job",
        }
    }

    fn pod_label(self) -> &'static str {
        match self {
            Self::Kubernetes => "batch.kubernetes.io/job-name",
            Self::Volcano => "volcano.sh/job-name",
        }
    }
}

/// How far a job is.
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

    /// Whether it has not ended.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// The steps of an item's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It is in W&B's queue.
    Queued,
    /// An agent takes it.
    Taken,
    /// The agent makes a job of it.
    Made,
    /// Admission takes the job's pods.
    Admitted,
    /// The scheduler finds a node.
    Placed,
    /// The kubelet pulls the image and starts the container.
    Started,
    /// The program runs.
    Runs,
    /// It has ended.
    Ended,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Queued, Self::Taken, Self::Made, Self::Admitted, Self::Placed, Self::Started, Self::Runs, Self::Ended];

    /// The word for a person.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Taken => "taken",
            Self::Made => "made",
            Self::Admitted => "admitted",
            Self::Placed => "placed",
            Self::Started => "started",
            Self::Runs => "runs",
            Self::Ended => "ended",
        }
    }
}

/// A job of a queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRow {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its queue.
    pub queue: String,
    /// Who makes its pods.
    pub controller: Controller,
    /// W&B's id of the run.
    pub run: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// The step that it is at.
    pub step: Step,
    /// Its pod; of several the one that is behind.
    pub pod: Option<String>,
    /// The pod's node.
    pub node: Option<String>,
    /// Pods that it wants.
    pub pods: u64,
    /// Pods of it that run.
    pub running: u64,
    /// GPUs that all its pods ask for.
    pub gpus: u64,
    /// Seconds since it was made.
    pub age_seconds: i64,
    /// Why it does not run, or why it failed; and what mends that.
    #[serde(flatten)]
    pub obstacle: Option<Obstacle>,
}

impl JobRow {
    /// Where it is in the API.
    pub fn path(&self) -> String {
        format!("{}/{}", self.controller.path(&self.namespace), self.name)
    }
}

pub(super) fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}

/// The queue that a job is of.
pub(super) fn queue_of<'a>(job: &Value, queues: &'a [DesiredQueue]) -> Option<&'a DesiredQueue> {
    let named = label(job, QUEUE_LABEL);
    queues.iter().find(|queue| queue.name == named)
}

/// What can be told of a job.
pub(super) fn row(
    controller: Controller,
    job: &Value,
    queue: &DesiredQueue,
    sources: &Sources,
    now: Timestamp,
) -> JobRow {
    let (name, namespace) = (text(job, "/metadata/name"), text(job, "/metadata/namespace"));
    let pods: Vec<&Value> = sources
        .pods
        .iter()
        .filter(|pod| text(pod, "/metadata/namespace") == namespace && label(pod, controller.pod_label()) == name)
        .collect();
    let state = state_of(controller, job, &pods);
    let pod = behind(&pods, state);
    let made = text(job, "/metadata/creationTimestamp").parse::<Timestamp>().unwrap_or(now);
    let (wanted, gpus) = asks(controller, job);
    let step = match (state, pod) {
        (JobState::Finished | JobState::Failed, _) => Step::Ended,
        (JobState::Running, _) => Step::Runs,
        (JobState::Pending, None) => Step::Admitted,
        (JobState::Pending, Some(pod)) if text(pod, "/spec/nodeName").is_empty() => Step::Placed,
        (JobState::Pending, Some(_)) => Step::Started,
    };
    JobRow {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        queue: queue.name.clone(),
        controller,
        run: Some(label(job, RUN_LABEL).to_owned()).filter(|run| !run.is_empty()),
        state,
        step,
        pod: pod.map(|pod| text(pod, "/metadata/name").to_owned()),
        node: pod.map(|pod| text(pod, "/spec/nodeName").to_owned()).filter(|node| !node.is_empty()),
        pods: wanted,
        running: pods.iter().filter(|pod| text(pod, "/status/phase") == "Running").count() as u64,
        gpus,
        age_seconds: now.as_second() - made.as_second(),
        obstacle: match state {
            JobState::Finished => None,
            JobState::Running => pod.and_then(|pod| of_pod(pod, queue)),
            JobState::Pending | JobState::Failed => Some(obstacle(job, &pods, (pod, step, queue), sources)),
        },
    }
}

fn state_of(controller: Controller, job: &Value, pods: &[&Value]) -> JobState {
    let holds = |kind: &str| is_true(job, kind);
    let phase = text(job, "/status/state/phase");
    let (finished, failed) = match controller {
        Controller::Kubernetes => {
            (holds("Complete") || holds("SuccessCriteriaMet"), holds("Failed") || holds("FailureTarget"))
        }
        Controller::Volcano => (phase == "Completed", matches!(phase, "Failed" | "Aborted" | "Terminated")),
    };
    if finished {
        JobState::Finished
    } else if failed {
        JobState::Failed
    } else if pods.iter().any(|pod| text(pod, "/status/phase") == "Running") {
        JobState::Running
    } else {
        JobState::Pending
    }
}

/// The pod that says how far the job is: the one that is least far, the newest of equals.
fn behind<'a>(pods: &[&'a Value], state: JobState) -> Option<&'a Value> {
    let far = |pod: &Value| match (text(pod, "/status/phase"), text(pod, "/spec/nodeName").is_empty()) {
        // While the job goes on another one takes its place.
        ("Failed", _) if state.is_open() => 4,
        ("Failed", _) => 0,
        ("Succeeded", _) => 3,
        ("Running", _) => 2,
        (_, true) => 0,
        (_, false) => 1,
    };
    let newest = |pod: &Value| text(pod, "/metadata/creationTimestamp").to_owned();
    pods.iter().copied().min_by(|a, b| far(a).cmp(&far(b)).then_with(|| newest(b).cmp(&newest(a))))
}

fn obstacle(
    job: &Value,
    pods: &[&Value],
    (pod, step, queue): (Option<&Value>, Step, &DesiredQueue),
    sources: &Sources,
) -> Obstacle {
    let homeless: Vec<&Value> = pods.iter().copied().filter(|pod| text(pod, "/spec/nodeName").is_empty()).collect();
    let of_room = || sources.room.as_ref()?.refuses(&homeless, queue);
    let found = match pod {
        Some(pod) if step == Step::Placed => of_room().or_else(|| of_pod(pod, queue)),
        Some(pod) => of_pod(pod, queue),
        None => None,
    };
    let warned = sources
        .events
        .iter()
        .filter(|event| event["type"] == "Warning" || event["reason"] == "FailedCreate")
        .filter(|event| event["involvedObject"]["uid"] == job["metadata"]["uid"])
        .max_by_key(|event| text(event, "/lastTimestamp").to_owned());
    let space = &queue.namespace;
    found.unwrap_or_else(|| {
        if is_suspended(job) {
            return keeps(job, &sources.workloads, queue);
        }
        if let Some(failed) = condition(job, "Failed").filter(|found| text(found, "/status") == "True") {
            let words = format!("{} ({})", one_line(text(failed, "/message")), text(failed, "/reason"));
            return Obstacle::new(words, "wbk-infra launch logs, as long as its pod is there; then push it again");
        }
        match warned {
            Some(event) if event["reason"] == "FailedCreate" => of_refusal(text(event, "/message"), queue),
            Some(event) => Obstacle::new(
                format!("{}: {}", text(event, "/reason"), one_line(text(event, "/message"))),
                format!("kubectl -n {space} get events says more"),
            ),
            None => Obstacle::new("it has no pod yet", "its controller makes one within seconds; look again"),
        }
    })
}

/// Pods that a job wants, and GPUs of all of them, shares and partitions counted as such.
fn asks(controller: Controller, job: &Value) -> (u64, u64) {
    let is_gpu = |name: &str| name.contains('/') && (name.contains("gpu") || name.contains("/mig-"));
    let amount = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    let of_pod = |template: &Value| -> u64 {
        let containers = template["spec"]["containers"].as_array();
        containers
            .into_iter()
            .flatten()
            .filter_map(|container| container.pointer("/resources/limits")?.as_object())
            .flat_map(|limits| limits.iter().filter(|(name, _)| is_gpu(name)).map(|(_, value)| amount(value)))
            .sum()
    };
    match controller {
        Controller::Kubernetes => {
            let pods = job["spec"]["parallelism"].as_u64().unwrap_or(1);
            (pods, pods * of_pod(&job["spec"]["template"]))
        }
        Controller::Volcano => {
            let tasks = job["spec"]["tasks"].as_array();
            tasks.into_iter().flatten().fold((0, 0), |(pods, gpus), task| {
                let replicas = task["replicas"].as_u64().unwrap_or(1);
                (pods + replicas, gpus + replicas * of_pod(&task["template"]))
            })
        }
    }
}
