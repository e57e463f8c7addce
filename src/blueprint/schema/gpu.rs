//! GPUs and scheduling.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What makes GPUs allocatable. Tolerations follow from the pools' taints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gpu {
    /// Which device plugin.
    #[serde(default)]
    pub plugin: GpuPlugin,
    /// Whether nodes are labelled with what they have (NFD, and GFD for NVIDIA).
    #[serde(default = "yes")]
    pub discovery: bool,
    /// GPUs shared by several pods.
    #[serde(default)]
    pub sharing: Vec<Sharing>,
    /// Whether GPU metrics are exported.
    #[serde(default)]
    pub metrics: bool,
}

fn yes() -> bool {
    true
}

/// A device plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GpuPlugin {
    /// By the vendor of each pool.
    #[default]
    Auto,
    /// NVIDIA's.
    Nvidia,
    /// AMD's.
    Amd,
    /// Intel's.
    Intel,
    /// Stand-ins on simulated nodes.
    Simulated,
    /// None: GPUs are somebody else's, or there are none.
    None,
}

/// GPUs of one pool shared by several pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sharing {
    /// The pool.
    pub pool: String,
    /// How.
    pub strategy: SharingStrategy,
    /// Pods on one GPU.
    #[schemars(range(min = 2, max = 48))]
    pub replicas: u32,
}

/// How GPUs are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SharingStrategy {
    /// In turns, without isolation.
    TimeSlicing,
    /// CUDA MPS.
    Mps,
    /// MIG partitions.
    Mig,
}

/// Priorities, and how groups of pods are scheduled.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scheduling {
    /// Priority classes.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub priorities: Vec<Priority>,
    /// Who schedules pods that must start together.
    #[serde(default)]
    pub gang: Gang,
}

/// A priority class. It is never the global default: that would change every workload of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "globalDefault": "no class is the global default here; name the class in the workloads that need it",
    "preemptionPolicy": "write `preempts: false`"
}))]
pub struct Priority {
    /// Its name.
    #[schemars(extend("format" = "dns-subdomain"))]
    pub name: String,
    /// Higher goes first; at most 1000000000, above which the system's own classes are. Cannot be changed in place.
    #[schemars(range(min = -1_000_000_000, max = 1_000_000_000))]
    pub value: i32,
    /// Whether its pods push out pods of lower priority.
    #[serde(default = "yes")]
    pub preempts: bool,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

/// Who schedules pods that must start together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gang {
    /// Volcano.
    Volcano,
    /// Kueue.
    Kueue,
    /// Nobody.
    #[default]
    None,
}
