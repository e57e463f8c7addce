//! GPUs and scheduling.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What makes GPUs allocatable. Tolerations follow from the pools' taints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gpu {
    /// Which device plugin.
    #[serde(default)]
    pub plugin: GpuPlugin,
    /// NVIDIA's GPU Operator in place of its device plugin and GFD: it installs drivers and partitions GPUs too.
    #[serde(default)]
    pub operator: bool,
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
#[schemars(extend("x-instead" = {
    "migStrategy": "write `profile: 1g.5gb` for partitions of one size (strategy single), `profiles: {1g.5gb: 2, 3g.20gb: 1}` for several (mixed)",
    "renameByDefault": "write `rename: true` (the default) or `rename: false`"
}))]
pub struct Sharing {
    /// The pool.
    pub pool: String,
    /// How.
    pub strategy: SharingStrategy,
    /// Pods on one GPU, for time-slicing and MPS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 2, max = 48))]
    pub replicas: Option<u32>,
    /// Whether a share is another resource than a GPU (`nvidia.com/gpu.shared`), so that who asks for a GPU gets a whole one; true
    /// when absent. For time-slicing and MPS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rename: Option<bool>,
    /// MIG: every GPU in partitions of this profile, `1g.5gb`, as many as fit; each counts as `nvidia.com/gpu` (strategy single).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "mig-profile"))]
    pub profile: Option<String>,
    /// MIG: how many partitions of which profile each GPU has; each counts as `nvidia.com/mig-1g.5gb` (strategy mixed).
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    #[schemars(extend("propertyNames" = {"format": "mig-profile"}))]
    pub profiles: BTreeMap<String, u32>,
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
