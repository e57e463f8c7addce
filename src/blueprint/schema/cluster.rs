//! The cluster and its node pools, in portable words.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wbk_provider_api::{Accelerator, Capacity, ProviderKind, Taint};

use super::{EksPoolSection, EksSection, Free};
use crate::blueprint::quantity::{Bytes, Cpu};

/// Version of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The only one so far.
    #[serde(rename = "wbk-infra/v1")]
    V1,
}

/// What the file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A platform.
    Platform,
}

/// Names the platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The platform's name: the owner written on everything made for it.
    #[schemars(extend("format" = "dns-label"))]
    pub name: String,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Who makes it, or `existing`.
    pub provider: ProviderKind,
    /// Its name; the platform's name when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "dns-label"))]
    pub name: Option<String>,
    /// Kubernetes version, in quotes: `"1.36"`; the provider's newest when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "kubernetes-version"))]
    pub version: Option<String>,
    /// A cloud's region.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    /// Kubeconfig context of an existing cluster.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub context: Option<String>,
    /// Kubeconfig file of an existing cluster; the standard search when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kubeconfig: Option<String>,
    /// The uid of the cluster's kube-system namespace: any other cluster is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "uuid"))]
    pub uid: Option<String>,
    /// What only EKS has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eks: Option<EksSection>,
    /// What only GKE has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("x-free" = true))]
    pub gke: Option<Free>,
    /// What only AKS has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("x-free" = true))]
    pub aks: Option<Free>,
    /// What only kind has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<KindSection>,
}

/// What only kind has: nodes are containers on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindSection {
    /// The node image, best with its digest: `kindest/node:v1.36.3@sha256:…`; the one that kind pins when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// The pool that the control plane is a node of; when absent, it is one more container that runs no workloads.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "dns-label"))]
    pub control_plane: Option<String>,
}

/// A group of equal nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "gpu": "describe GPUs as `accelerator: {model: nvidia-a100-40gb, count: 8}`",
    "gpus": "describe GPUs as `accelerator: {model: nvidia-a100-40gb, count: 8}`",
    "spot": "write `capacity: spot`",
    "replicas": "write `size: {min: …, max: …}`",
    "count": "write `size: {min: …, max: …}`"
}))]
pub struct NodePool {
    /// Its name, unique in the blueprint.
    #[schemars(extend("format" = "dns-label"))]
    pub name: String,
    /// A cloud's machine type, `m7i.xlarge`; chosen by shape and accelerator when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<String>,
    /// What one node offers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shape: Option<ShapeSection>,
    /// GPUs of one node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<AcceleratorSection>")]
    pub accelerator: Option<Accelerator>,
    /// Number of nodes.
    #[serde(default)]
    pub size: SizeSection,
    /// How nodes are paid for.
    #[serde(default)]
    pub capacity: Capacity,
    /// Labels of every node.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "label-key"}, "additionalProperties" = {"type": "string", "format": "label-value"}))]
    pub labels: BTreeMap<String, String>,
    /// Taints of every node, beside those that follow from GPUs and spot.
    #[serde(default)]
    #[schemars(with = "Vec<TaintSection>")]
    pub taints: Vec<Taint>,
    /// What only a managed node group of EKS has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eks: Option<EksPoolSection>,
}

/// GPUs of one node.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Accelerator")]
#[expect(dead_code, reason = "only its schema is used: Accelerator with formats, unknown keys refused")]
struct AcceleratorSection {
    /// Vendor and model: `nvidia-a100-40gb`, `amd-mi300x`, `intel-max-1550`.
    #[schemars(extend("format" = "gpu-model"))]
    model: String,
    /// GPUs on one node.
    #[schemars(range(min = 1, max = 16))]
    count: u32,
}

/// A taint.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Taint")]
#[expect(dead_code, reason = "only its schema is used: Taint with formats, unknown keys refused")]
struct TaintSection {
    /// The key, `dedicated`.
    #[schemars(extend("format" = "label-key"))]
    key: String,
    /// The value.
    #[serde(default)]
    #[schemars(extend("format" = "label-value"))]
    value: String,
    /// What it does to pods that do not tolerate it.
    effect: wbk_provider_api::TaintEffect,
}

/// What one node offers to pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShapeSection {
    /// Allocatable CPU.
    pub cpu: Cpu,
    /// Allocatable memory.
    pub memory: Bytes,
    /// Most pods on a node.
    #[serde(default = "default_pods")]
    #[schemars(range(min = 1, max = 1000))]
    pub pods: u32,
}

/// The kubelet's own default of `maxPods`.
pub(crate) fn default_pods() -> u32 {
    110
}

/// Number of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SizeSection {
    /// The fewest.
    #[serde(default = "one")]
    pub min: u32,
    /// The most; as many as `min`, and at least 1, when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max: Option<u32>,
}

fn one() -> u32 {
    1
}

impl Default for SizeSection {
    fn default() -> Self {
        Self { min: 1, max: None }
    }
}
