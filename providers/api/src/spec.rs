//! What is wanted of a cluster and its node pools: complete, every default filled.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EksSpec;

/// The ways to get a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Google Kubernetes Engine.
    Gke,
    /// Amazon Elastic Kubernetes Service.
    Eks,
    /// Azure Kubernetes Service.
    Aks,
    /// Kubernetes in Docker: real kubelets on this machine.
    Kind,
    /// A real control plane on this machine with simulated nodes.
    Local,
    /// Any cluster that a kubeconfig context names.
    Existing,
}

impl ProviderKind {
    /// The word a blueprint uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gke => "gke",
            Self::Eks => "eks",
            Self::Aks => "aks",
            Self::Kind => "kind",
            Self::Local => "local",
            Self::Existing => "existing",
        }
    }
}

impl std::fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything that a provider is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The blueprint's name; the owner written on everything made for it.
    pub blueprint: String,
    /// The cluster.
    pub cluster: ClusterSpec,
    /// The node pools, by name.
    pub pools: BTreeMap<String, PoolSpec>,
}

/// A cluster as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Which provider makes or finds it.
    pub provider: ProviderKind,
    /// The cluster's name (the blueprint's name unless it gives another).
    pub name: String,
    /// Kubernetes minor version, `1.36`; `None` where the provider does not choose it.
    pub version: Option<String>,
    /// The cloud's region, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The kubeconfig context of an existing cluster.
    pub context: Option<String>,
    /// The kubeconfig file of an existing cluster; `None` for the standard search.
    pub kubeconfig: Option<String>,
    /// The uid of the kube-system namespace that the blueprint pins the cluster to.
    pub uid: Option<String>,
    /// What only kind has.
    #[serde(default, skip_serializing_if = "KindSpec::is_empty")]
    pub kind: KindSpec,
    /// What only EKS has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eks: Option<Box<EksSpec>>,
}

/// What only a kind cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindSpec {
    /// The node image; pinned by the provider or by kind itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The pool that the control plane is a node of; a node of its own that runs no workloads when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<String>,
    /// Images that no registry has and that every node must hold.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub load: BTreeSet<String>,
}

impl KindSpec {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A node pool as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Its name, unique in the blueprint.
    pub name: String,
    /// A provider's machine type, where one was named.
    pub machine: Option<String>,
    /// What one node offers.
    pub shape: Shape,
    /// The accelerator, where the pool has one.
    pub accelerator: Option<Accelerator>,
    /// Number of nodes.
    pub size: PoolSize,
    /// How nodes are paid for.
    pub capacity: Capacity,
    /// Labels that every node is born with, the tool's own included.
    pub labels: BTreeMap<String, String>,
    /// Taints that every node is born with, the derived GPU and spot taints included.
    pub taints: Vec<Taint>,
}

/// Number of nodes of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolSize {
    /// The fewest.
    pub min: u32,
    /// The most.
    pub max: u32,
}

/// How nodes are paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    /// Kept until deleted.
    #[default]
    OnDemand,
    /// Cheaper, and may be taken away.
    Spot,
}

/// What one node offers to pods, before DaemonSets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Allocatable CPU, in thousandths of a core.
    pub cpu_millis: u64,
    /// Allocatable memory, in bytes.
    pub memory_bytes: u64,
    /// Most pods on a node.
    pub pods: u32,
    /// GPUs of a node, where it has any.
    pub gpu: Option<GpuShape>,
}

/// The GPUs of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuShape {
    /// The extended resource that the device plugin advertises, `nvidia.com/gpu`.
    pub resource: String,
    /// The PCI vendor id, as NFD writes it in labels, `10de`.
    pub pci_vendor: String,
    /// GPUs on one node.
    pub count: u32,
}

/// The accelerator of a pool, in portable words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accelerator {
    /// Model in portable spelling, `nvidia-a100-40gb`.
    pub model: String,
    /// GPUs on one node.
    pub count: u32,
}

/// A taint, in Kubernetes' spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Taint {
    /// The key, `nvidia.com/gpu`.
    pub key: String,
    /// The value; empty where there is none.
    #[serde(default)]
    pub value: String,
    /// The effect.
    pub effect: TaintEffect,
}

impl Taint {
    /// It as Kubernetes writes it (core/v1): without a value where there is none.
    pub fn written(&self) -> serde_json::Value {
        let mut written = serde_json::json!({"key": self.key, "effect": self.effect.as_str()});
        if !self.value.is_empty() {
            written["value"] = self.value.clone().into();
        }
        written
    }

    /// The toleration that workloads and checks get: by key and effect, whatever the value.
    pub fn toleration(&self) -> serde_json::Value {
        serde_json::json!({"key": self.key, "operator": "Exists", "effect": self.effect.as_str()})
    }
}

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// Not scheduled here.
    NoSchedule,
    /// Scheduled here only where nothing else fits.
    PreferNoSchedule,
    /// Not scheduled here, and evicted.
    NoExecute,
}

impl TaintEffect {
    /// Kubernetes' word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}
