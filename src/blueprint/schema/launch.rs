//! W&B Launch: agents, the queues that they serve, and what a queue's jobs get.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AgentChart, CaBundle, ComputeAmounts, Free, GitHost, Mount, Proxy, Registry, Text};
use crate::blueprint::quantity::{Bytes, Cpu, Seconds};
use crate::desired::SecretReference;

/// W&B Launch: agents take jobs from queues and run them in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Launch {
    /// The W&B team or user whose queues they are.
    #[schemars(length(min = 1))]
    pub entity: String,
    /// The API key, by reference. It must be of somebody who may write to the entity.
    pub api_key: SecretReference,
    /// Where W&B's API is; another one for a server of your own.
    #[serde(default = "default_base_url")]
    #[schemars(regex(pattern = r"^https?://"))]
    pub base_url: String,
    /// Namespace of the agents. It is made where `namespaces` does not have it.
    #[serde(default = "default_namespace")]
    #[schemars(extend("format" = "dns-label"))]
    pub namespace: String,
    /// Version of W&B's SDK that the agents run. What works with it is checked.
    #[serde(default = "default_sdk")]
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+$"))]
    pub sdk: String,
    /// The agents' image; W&B's own of the SDK's version where nothing is said. Pin it: `wandb/launch-agent@sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// Certificates that agents, their jobs and this program trust, for a server of your own or a proxy that opens connections.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca_bundle: Option<CaBundle>,
    /// The proxy of agents and jobs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proxy: Option<Proxy>,
    /// Registries that images are pulled from: of agents, and of every pod in the namespaces of jobs.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "server"))]
    pub registries: Vec<Registry>,
    /// Agents.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub agents: Vec<Agent>,
    /// Queues. Each is one kind of job: a pool, a number of GPUs, a namespace.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub queues: Vec<Queue>,
}

/// An agent: one pod that takes items from its queues and makes a Job of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// Its name. Its Helm release is `launch-NAME`.
    #[schemars(extend("format" = "dns-label"))]
    pub name: String,
    /// Queues that it serves, by name.
    #[schemars(length(min = 1))]
    pub queues: Vec<String>,
    /// Most jobs at once; a job that waits for a node counts as well.
    #[serde(default = "default_max_jobs")]
    #[schemars(range(min = 1))]
    pub max_jobs: u32,
    /// Most schedulers of `wandb launch-sweep` at once. None where nothing is said: they work with some versions of the SDK only.
    #[serde(default)]
    pub max_schedulers: u32,
    /// How images are made of jobs that bring code and no image.
    #[serde(default)]
    pub builder: Builder,
    /// The cloud whose identity builds use.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<AgentEnvironment>,
    /// Annotations of its service account: a cloud identity.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "label-key"}))]
    pub annotations: BTreeMap<String, String>,
    /// CPU and memory that it requests.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resources: Option<ComputeAmounts>,
    /// Environment variables; never a secret.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Hosts of git repositories that it clones, with what lets it in. It clones for builds alone: without a builder the job's own pod
    /// clones, with no credentials.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "host"))]
    pub git: Vec<GitHost>,
    /// A claim in the agents' namespace with the code of jobs that bring no image; their pods mount it, so that they must run in that
    /// namespace too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "dns-subdomain"))]
    pub code_volume: Option<String>,
    /// W&B's own chart in place of this program's. A plan says what it breaks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chart: Option<AgentChart>,
}

/// How images are built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type", deny_unknown_fields)]
pub enum Builder {
    /// Not at all: jobs bring an image, or their code runs on a base image.
    Noop {},
    /// In the cluster, with kaniko.
    Kaniko {
        /// Where images go: an image name without a tag, `111122223333.dkr.ecr.us-west-2.amazonaws.com/launch`.
        destination: String,
        /// Where the code waits for the build: `s3://…`, `gs://…`, `https://ACCOUNT.blob.core.windows.net/CONTAINER`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        context_store: Option<String>,
        /// The same as a claim of the agents' namespace, which agent and build mount at once.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        #[schemars(extend("format" = "dns-subdomain"))]
        context_volume: Option<String>,
        /// kaniko's image; the maintained fork, pinned, where nothing is said.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        image: Option<String>,
        /// CPU and memory of a build; without them a namespace with a quota refuses it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        resources: Option<ComputeAmounts>,
    },
}

impl Default for Builder {
    fn default() -> Self {
        Self::Noop {}
    }
}

/// The cloud in which builds run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentEnvironment {
    /// Which cloud.
    #[serde(rename = "type")]
    pub kind: EnvironmentKind,
    /// Its region.
    pub region: String,
}

/// A cloud in W&B's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentKind {
    /// Amazon Web Services.
    Aws,
    /// Google Cloud.
    Gcp,
    /// Microsoft Azure.
    Azure,
}

/// A queue: what its jobs get and where they run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "securityContext": "agents of SDK 0.28.1 and later refuse it, and set their own",
    "serviceAccount": "agents of SDK 0.28.1 and later refuse it; jobs run as the namespace's service account `default`",
    "backoffLimit": "the agent sees the first failed pod as the job's end: 0 is the only value that works",
}))]
pub struct Queue {
    /// Its name in W&B; its Jobs carry it as a label.
    #[schemars(extend("format" = "label-value", "minLength" = 1))]
    pub name: String,
    /// The node pool on which its jobs run. Left out on an existing cluster, whose nodes `config` may select.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// GPUs of a job: of one node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpus: Option<u32>,
    /// The resource that a GPU is asked by, where the pool offers several (MIG partitions) or nothing is known of the nodes:
    /// `nvidia.com/mig-1g.5gb`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resource: Option<String>,
    /// The namespace of its jobs; the first of `namespaces` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// The priority of its jobs, of `scheduling.priorities`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub priority: Option<String>,
    /// CPU that a job requests; the GPUs' part of a node where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu: Option<Cpu>,
    /// Memory that a job requests and is limited to; the GPUs' part of a node where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory: Option<Bytes>,
    /// Size of `/dev/shm`, which data loaders fill; a quarter of the least memory that a job may
    /// have where nothing is said. It counts as memory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shared_memory: Option<Bytes>,
    /// How long a finished Job is kept.
    #[serde(default = "default_keep")]
    pub keep: Seconds,
    /// Pods of a job that start together. More than one needs `scheduling.gang: volcano`.
    #[serde(default = "default_pods")]
    #[schemars(range(min = 1))]
    pub pods: u32,
    /// Environment variables of its jobs: text, or a secret by reference. `{secret: NAMESPACE/NAME/KEY}` of the jobs' own namespace is
    /// used where it is; any other is copied into a Secret there.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "variable-name"}))]
    pub env: BTreeMap<String, Text>,
    /// Files of its jobs, by path, from secrets by reference.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "absolute-path"}))]
    pub files: BTreeMap<String, SecretReference>,
    /// Volumes of its jobs.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "path"))]
    pub volumes: Vec<Mount>,
    /// What whoever pushes a job may choose, and within which bounds. `gpus`, `cpu` and `memory` take the place of the
    /// queue's own amounts; any other stands in `config` as `{{name}}`.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// Whether items have priorities among themselves in the queue.
    #[serde(default = "yes")]
    pub prioritization: bool,
    /// Links that W&B shows beside the queue.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Anything else of the Job, merged over what is made from the above (RFC 7386).
    #[serde(default)]
    #[schemars(extend("x-free" = true))]
    pub config: Free,
}

/// A value that whoever pushes a job chooses: a JSON Schema of a plain value, as W&B takes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: VariableKind,
    /// The value of who chooses none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("x-free" = true))]
    pub default: Option<Value>,
    /// The smallest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub minimum: Option<i64>,
    /// The largest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub maximum: Option<i64>,
    /// All that may be chosen.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty", default)]
    pub choices: Vec<String>,
}

/// The type of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VariableKind {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Text.
    String,
}

/// A link beside a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// What it is called.
    pub label: String,
    /// Where it leads.
    #[schemars(regex(pattern = r"^https?://"))]
    pub url: String,
}

fn default_base_url() -> String {
    "https://api.wandb.ai".into()
}

fn default_namespace() -> String {
    "wandb".into()
}

fn default_sdk() -> String {
    crate::desired::NEWEST_SDK.into()
}

fn default_max_jobs() -> u32 {
    10
}

fn default_keep() -> Seconds {
    Seconds(3600)
}

fn default_pods() -> u32 {
    1
}

fn yes() -> bool {
    true
}
