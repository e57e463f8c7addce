//! What a `launch` section means, complete: agents are Helm releases and Secrets among the others; queues are W&B's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desired::{Origin, SecretReference};
use crate::id::{Digest, ReleaseId};

/// W&B Launch as it shall be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredLaunch {
    /// Where W&B is, and as whom it is spoken to.
    pub service: WandbService,
    /// Agents, sorted by name.
    pub agents: Vec<DesiredAgent>,
    /// Queues, sorted by name.
    pub queues: Vec<DesiredQueue>,
    /// What a reader of the plan should know of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notices: Vec<Notice>,
}

/// Something that a reader should know although nothing is done about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What it is about, as a plan prints it.
    pub about: String,
    /// What there is to know.
    pub says: String,
    /// One concrete action.
    pub hint: String,
}

/// A W&B server and an account there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WandbService {
    /// `https://api.wandb.ai`, without a slash at the end.
    pub base_url: String,
    /// The team or user whose queues they are.
    pub entity: String,
    /// Where the API key comes from.
    pub api_key: SecretReference,
    /// Where the certificates come from that it is trusted by; the public ones where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca: Option<SecretReference>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredAgent {
    /// Its name in the blueprint.
    pub name: String,
    /// The release that runs it.
    pub release: ReleaseId,
    /// Its service account, in the release's namespace.
    pub service_account: String,
    /// Whether its rights are those that it uses; W&B's own chart grants more.
    pub least_rights: bool,
    /// Queues that it serves.
    pub queues: Vec<String>,
    /// Namespaces in which it makes Jobs.
    pub job_namespaces: Vec<String>,
    /// Most jobs at once.
    pub max_jobs: u32,
    /// Where it comes from.
    pub origin: Origin,
}

/// One queue: what W&B shall hold of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredQueue {
    /// Its name.
    pub name: String,
    /// What W&B keeps of it.
    pub content: QueueContent,
    /// The pool of its jobs; `None` where nothing is known of the nodes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// The namespace of its jobs.
    pub namespace: String,
    /// GPUs of a job.
    pub gpus: u32,
    /// The Job that an agent makes of an item that chooses nothing: what is proven before the queue is made.
    pub job: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// What W&B keeps of a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueContent {
    /// The whole resource configuration, `{"resource_args": {"kubernetes": …}}`.
    pub config: Value,
    /// Template variables, `{"gpus": {"schema": {…}}}`; empty where there are none.
    pub variables: Value,
    /// Whether items have priorities.
    pub prioritization: bool,
    /// Links beside it.
    pub links: Vec<QueueLink>,
}

/// Label of a queue's Jobs and pods.
pub const QUEUE_LABEL: &str = "wbk-infra/launch-queue";
/// Label of a queue's Jobs: the blueprint that the queue is of.
pub const PLATFORM_LABEL: &str = "wbk-infra/launch-platform";
/// Label of a queue's Jobs: the digest of what this tool made the queue of. W&B keeps no managers of fields; whether somebody else
/// changed a queue is seen by it.
const DIGEST_LABEL: &str = "wbk-infra/launch-digest";
/// Where the Job's labels are.
const LABELS: &str = "/resource_args/kubernetes/metadata/labels";

impl QueueContent {
    /// Its digest, the mark with the digest left out; short enough for a label.
    pub fn digest(&self) -> String {
        let value = serde_json::to_value(self.clone().unmarked()).expect("a queue is plain data");
        Digest::of_json(&value).short().to_owned()
    }

    /// Without the mark.
    #[must_use]
    pub fn unmarked(mut self) -> Self {
        if let Some(labels) = self.config.pointer_mut(LABELS).and_then(Value::as_object_mut) {
            labels.remove(DIGEST_LABEL);
        }
        self
    }

    /// With the mark.
    #[must_use]
    pub fn marked(mut self) -> Self {
        let digest = self.digest();
        if let Some(labels) = self.config.pointer_mut(LABELS).and_then(Value::as_object_mut) {
            labels.insert(DIGEST_LABEL.into(), digest.into());
        }
        self
    }

    /// The digest that it is marked with.
    pub fn mark(&self) -> Option<&str> {
        self.label(DIGEST_LABEL)
    }

    /// The blueprint that it is marked with.
    pub fn platform(&self) -> Option<&str> {
        self.label(PLATFORM_LABEL)
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.config.pointer(LABELS)?.get(key)?.as_str()
    }
}

/// A link beside a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct QueueLink {
    /// What it is called.
    pub label: String,
    /// Where it leads.
    pub url: String,
}
