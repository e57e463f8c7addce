//! Who advertises a pool's GPUs, and what a node shows once everything that writes on it has written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The GPUs of one pool's nodes: who advertises them, and what a node must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolGpus {
    /// Who made them.
    pub vendor: GpuVendor,
    /// Model in portable spelling, `nvidia-a100-40gb`.
    pub model: String,
    /// Physical GPUs of one node.
    pub devices: u32,
    /// Who tells the kubelet of them.
    pub advertiser: Advertiser,
    /// Resource to count on one node, sharing and partitions counted; empty where nobody advertises.
    pub allocatable: BTreeMap<String, u64>,
    /// Labels that arrive after a node's birth, sorted by key.
    pub labels: Vec<ExpectedLabel>,
}

/// A label that something writes on a node after its birth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedLabel {
    /// The key, `feature.node.kubernetes.io/pci-10de.present`.
    pub key: String,
    /// The value; `None` where only the node itself knows it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
    /// Who writes it.
    pub writer: LabelWriter,
}

/// What writes labels on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelWriter {
    /// Node Feature Discovery, or its stand-in.
    Nfd,
    /// NVIDIA's GPU Feature Discovery.
    Gfd,
    /// AMD's node labeller.
    AmdLabeller,
}

/// What tells the kubelet of a node that it has GPUs. Exactly one for each vendor and node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Advertiser {
    /// The platform brings its own; nothing is installed.
    Platform {
        /// Which, one clause: "GKE runs its own device plugin on GPU nodes".
        why: String,
    },
    /// NVIDIA's device plugin.
    NvidiaPlugin,
    /// NVIDIA's GPU Operator, which runs the same device plugin.
    GpuOperator,
    /// AMD's device plugin.
    AmdPlugin,
    /// Intel's device plugin.
    IntelPlugin,
    /// A pod that does nothing, on whose nodes the simulator advertises GPUs.
    StandIn,
    /// The plugin of `charts/fake-gpu`, on real kubelets.
    FakePlugin,
    /// Nobody: no pod can have these GPUs.
    None {
        /// Why, one clause.
        why: String,
    },
}

/// Who made a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GpuVendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
}
