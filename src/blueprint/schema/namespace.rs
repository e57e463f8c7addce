//! A namespace and everything that belongs to it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Binding, Grants, Role};
use crate::blueprint::quantity::{Bytes, Cpu, Quantity};
use crate::desired::SecretReference;

/// A namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Namespace {
    /// Its name.
    #[schemars(extend("format" = "dns-label"))]
    pub name: String,
    /// Labels of the namespace.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "label-key"}, "additionalProperties" = {"type": "string", "format": "label-value"}))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the namespace.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "label-key"}))]
    pub annotations: BTreeMap<String, String>,
    /// The Pod Security Standard that its pods keep.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod_security: Option<PodSecurity>,
    /// Most that all its pods may request together.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quota: Option<Quota>,
    /// What a container requests that says nothing: a LimitRange. Never GPUs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub defaults: Option<ComputeAmounts>,
    /// What a container is limited to that says nothing: a LimitRange. Never GPUs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<ComputeAmounts>,
    /// Volumes.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub storage: Vec<Volume>,
    /// Secrets, by reference only.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub secrets: Vec<SecretSection>,
    /// Service accounts.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "serviceAccount"))]
    pub identities: Vec<Identity>,
    /// Roles.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub roles: Vec<Role>,
    /// Who has which role here.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub bindings: Vec<Binding>,
    /// Which connections its pods take and make.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network_policy: Option<NetworkPolicy>,
}

/// A Pod Security Standard: one level for all three modes, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PodSecurity {
    /// Enforced, warned about and audited.
    Level(PodSecurityLevel),
    /// Each mode by itself.
    Levels(PodSecurityLevels),
}

/// Levels by mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodSecurityLevels {
    /// Pods below it are refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enforce: Option<PodSecurityLevel>,
    /// Whoever makes a pod below it is warned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub warn: Option<PodSecurityLevel>,
    /// Pods below it are marked in the audit log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub audit: Option<PodSecurityLevel>,
}

/// A level of the Pod Security Standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurityLevel {
    /// Anything goes.
    Privileged,
    /// Nothing known to be dangerous.
    Baseline,
    /// Hardened.
    Restricted,
}

impl PodSecurityLevel {
    /// Kubernetes' word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A quota. GPUs, CPU, memory and storage count what pods and claims request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// GPUs, of the vendor that the pools have.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<u32>,
    /// Requested CPU.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu: Option<Cpu>,
    /// Requested memory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory: Option<Bytes>,
    /// Pods that have not finished.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pods: Option<u32>,
    /// Requested storage of all claims.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub storage: Option<Bytes>,
    /// Anything else, in Kubernetes' words: `count/jobs.batch: 100`, `requests.amd.com/gpu: 8`.
    #[serde(default)]
    pub extra: BTreeMap<String, Quantity>,
}

/// CPU and memory of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "gpu": "GPUs never belong in a LimitRange: every container would request them; bound them with `quota: {gpu: …}`",
    "gpus": "GPUs never belong in a LimitRange: every container would request them; bound them with `quota: {gpu: …}`",
    "nvidia.com/gpu": "GPUs never belong in a LimitRange: every container would request them; bound them with `quota: {gpu: …}`"
}))]
pub struct ComputeAmounts {
    /// CPU.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu: Option<Cpu>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory: Option<Bytes>,
}

/// A volume claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Its name.
    #[schemars(extend("format" = "dns-subdomain"))]
    pub name: String,
    /// Its size.
    pub size: Bytes,
    /// Who may mount it.
    #[serde(default)]
    pub access: AccessMode,
    /// The storage class; the cluster's default when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<String>,
    /// A file system or a raw device.
    #[serde(default)]
    pub mode: VolumeMode,
    /// What it is a copy of; empty when absent. A claim that is `ReadOnlyMany` can be filled in no other way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<VolumeSource>,
}

/// What a volume is a copy of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {"pvc": "write `claim:`"}))]
pub struct VolumeSource {
    /// Another claim of the namespace, of the same storage class: the driver clones it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "dns-subdomain"))]
    pub claim: Option<String>,
    /// A VolumeSnapshot of the namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "dns-subdomain"))]
    pub snapshot: Option<String>,
}

/// Who may mount a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// One node, read and write.
    #[default]
    ReadWriteOnce,
    /// One pod, read and write.
    ReadWriteOncePod,
    /// Many nodes, read and write.
    ReadWriteMany,
    /// Many nodes, read only.
    ReadOnlyMany,
}

/// What a pod sees of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum VolumeMode {
    /// A directory.
    #[default]
    Filesystem,
    /// A raw device.
    Block,
}

/// A Secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "data": "write `keys:` with references, for example `keys: {token: {env: TOKEN}}`",
    "stringData": "write `keys:` with references, for example `keys: {token: {env: TOKEN}}`"
}))]
pub struct SecretSection {
    /// Its name.
    #[schemars(extend("format" = "dns-subdomain"))]
    pub name: String,
    /// Its type, `kubernetes.io/dockerconfigjson`; `Opaque` when absent. Cannot be changed in place.
    #[serde(default = "opaque", rename = "type")]
    pub kind: String,
    /// Its keys, each by reference.
    #[schemars(extend("propertyNames" = {"format": "secret-key"}, "minProperties" = 1))]
    pub keys: BTreeMap<String, SecretReference>,
}

fn opaque() -> String {
    "Opaque".into()
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// Its name; `default` for the one that pods get which name none.
    #[schemars(extend("format" = "dns-subdomain"))]
    pub service_account: String,
    /// Labels.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "label-key"}, "additionalProperties" = {"type": "string", "format": "label-value"}))]
    pub labels: BTreeMap<String, String>,
    /// Annotations, such as a cloud identity's.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "label-key"}))]
    pub annotations: BTreeMap<String, String>,
    /// Secrets with which images are pulled.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// Whether pods get its token; Kubernetes' default (yes) when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub automount_token: Option<bool>,
    /// Rights in a cloud, by provider.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants,
}

/// Which connections pods take and make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NetworkPolicy {
    /// A policy with a name.
    Preset(NetworkPreset),
    /// Lists of what is allowed.
    Rules(NetworkRules),
}

/// A network policy with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkPreset {
    /// Pods take no connection.
    DenyAllIngress,
    /// Pods make no connection, not even to DNS.
    DenyAllEgress,
    /// Pods neither take nor make one.
    DenyAll,
}

/// What is allowed; a direction that is absent stays open, an empty list closes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkRules {
    /// Connections that pods take.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ingress: Option<Vec<Direction>>,
    /// Connections that pods make.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub egress: Option<Vec<Direction>>,
}

/// One allowed connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Direction {
    /// With whom; anybody when empty.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// TCP ports; any when empty.
    #[serde(default)]
    #[schemars(inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
    /// UDP ports.
    #[serde(default)]
    #[schemars(inner(range(min = 1, max = 65535)))]
    pub udp_ports: Vec<u16>,
}

/// One side of a connection. `namespace` and `pods` together mean those pods of that namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Pods of this namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// Pods with these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub pods: BTreeMap<String, String>,
    /// Addresses.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "cidr"))]
    pub cidr: Option<String>,
}
