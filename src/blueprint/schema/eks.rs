//! What only EKS has: the cluster's own section, that of a node pool, and rights in AWS.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wbk_provider_api::{EksAuthentication, EksAutoscaler, EksIdentityWay, EksNat, EksSupport};

use super::Free;
use crate::blueprint::quantity::Bytes;

/// What only an EKS cluster has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "vpc": "write `network: {cidr: 10.0.0.0/16}`, or `network: {subnets: [subnet-…]}`",
    "subnets": "write `network: {subnets: [subnet-…]}`",
    "nodeGroups": "node groups are `nodePools`",
    "fargateProfiles": "Fargate runs no GPUs and no DaemonSets; give the pods a node pool"
}))]
pub struct EksSection {
    /// The AWS account, twelve digits in quotes: any other is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "aws-account"))]
    pub account: Option<String>,
    /// ARN of a cluster that exists already and stays whose it is: what the blueprint says of it is kept so, and nothing of it is tagged,
    /// replaced or deleted. `wbk-infra import eks` writes such a blueprint.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "arn"))]
    pub given: Option<String>,
    /// How users get in.
    #[serde(default)]
    pub authentication: EksAuthentication,
    /// The cluster's network; one of its own at 10.0.0.0/16 when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<EksNetworkSection>,
    /// From where the API server is reached; from the internet and from the network when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<EksEndpointSection>,
    /// Who gets in beside whoever makes the cluster.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "principal"))]
    pub access: Vec<EksAccessSection>,
    /// Control plane logs that go to CloudWatch.
    #[serde(default)]
    pub logging: Vec<EksLog>,
    /// ARN of the KMS key that Secrets are encrypted with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "arn"))]
    pub encryption_key: Option<String>,
    /// What happens at the end of a version's standard support.
    #[serde(default)]
    pub support: EksSupport,
    /// Whether AWS refuses to delete the cluster.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Add-ons that EKS runs, beside vpc-cni, coredns, kube-proxy and eks-pod-identity-agent, which are always there.
    #[serde(default)]
    pub addons: Vec<EksAddonEntry>,
    /// Who adds and removes nodes; Cluster Autoscaler where a pool's sizes differ, nobody otherwise, when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub autoscaler: Option<EksAutoscaler>,
    /// ARN of a role for the control plane that exists already; one is made when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "arn"))]
    pub cluster_role: Option<String>,
    /// ARN of a role for the nodes that exists already; one is made when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "arn"))]
    pub node_role: Option<String>,
    /// Tags on everything that is made.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Refused: Fargate runs no GPUs, no DaemonSets and no pods with EKS Pod Identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-free" = true))]
    pub fargate: Vec<Free>,
}

/// The network of an EKS cluster: of its own by its addresses, or somebody else's by its subnets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksNetworkSection {
    /// Addresses of a network of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "cidr"))]
    pub cidr: Option<String>,
    /// Zones of a network of its own, `us-west-2a`; three of the region's when absent.
    #[serde(default)]
    pub zones: Vec<String>,
    /// How nodes of a network of its own reach the internet; by one NAT gateway when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nat: Option<EksNat>,
    /// Subnets that exist already, in two zones at least.
    #[serde(default)]
    pub subnets: Vec<String>,
}

/// From where the API server is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksEndpointSection {
    /// From the internet.
    #[serde(default = "yes")]
    pub public: bool,
    /// From the network.
    #[serde(default = "yes")]
    pub private: bool,
    /// From where in the internet; from everywhere when absent.
    #[serde(default)]
    pub public_cidrs: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Default for EksEndpointSection {
    fn default() -> Self {
        Self { public: true, private: true, public_cidrs: Vec::new() }
    }
}

/// Somebody who gets into the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksAccessSection {
    /// ARN of a user or a role.
    #[schemars(extend("format" = "arn"))]
    pub principal: String,
    /// An EKS access policy, `AmazonEKSClusterAdminPolicy`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// Namespaces that the policy holds in; the whole cluster when absent.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Kubernetes groups, for bindings of the blueprint's own.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A control plane log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EksLog {
    /// Requests to the API server.
    Api,
    /// Who did what.
    Audit,
    /// Who was let in.
    Authenticator,
    /// Controllers.
    ControllerManager,
    /// The scheduler.
    Scheduler,
}

impl EksLog {
    /// The API's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Audit => "audit",
            Self::Authenticator => "authenticator",
            Self::ControllerManager => "controllerManager",
            Self::Scheduler => "scheduler",
        }
    }
}

/// An add-on: its name, or more about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EksAddonEntry {
    /// Its name.
    Name(String),
    /// More about it.
    Full(EksAddonSection),
}

/// More about an add-on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksAddonSection {
    /// Its name.
    pub name: String,
    /// `v1.20.0-eksbuild.1`; what EKS calls the default for the cluster's version when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Its configuration, by the add-on's own schema.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("x-free" = true))]
    pub configuration: Option<Free>,
}

/// What only a managed node group has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksPoolSection {
    /// Name of a node group of a given cluster that exists already and stays whose it is: labels, taints, sizes and version of it are kept
    /// as they are written here, and nothing else is added.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// Kubernetes minor version of the nodes, in quotes; the cluster's when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "kubernetes-version"))]
    pub version: Option<String>,
    /// Instance types that serve as well as `machine`, for spot: more kinds are more chances to get one.
    #[serde(default)]
    pub also: Vec<String>,
    /// The image, in the API's word, `BOTTLEROCKET_x86_64_NVIDIA`; Amazon Linux 2023 that fits the machine when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ami: Option<String>,
    /// The disk for images and containers: its size, or more about it; 100 GiB, with GPUs 200 GiB, when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<EksDiskEntry>,
    /// Whether nodes have elastic fabric adapters, as many as their machine takes, in a placement group.
    #[serde(default)]
    pub efa: bool,
    /// Id of a capacity block, `cr-…`, that the nodes are in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capacity_block: Option<String>,
    /// Zones that the nodes may be in; all of the network when absent.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Nodes that may be away at once during an update.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub max_unavailable: u32,
    /// Whether EKS replaces nodes that it finds broken.
    #[serde(default)]
    pub repair: bool,
}

/// A node's disk: its size, or more about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EksDiskEntry {
    /// Its size.
    Size(Bytes),
    /// More about it.
    Full(EksDiskSection),
}

impl EksDiskEntry {
    /// Its size, where one is said.
    pub fn size(&self) -> Option<Bytes> {
        match self {
            Self::Size(size) => Some(*size),
            Self::Full(full) => full.size,
        }
    }

    /// More about it, where anything is said.
    pub fn full(&self) -> Option<&EksDiskSection> {
        match self {
            Self::Size(_) => None,
            Self::Full(full) => Some(full),
        }
    }
}

/// More about a node's disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksDiskSection {
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<Bytes>,
    /// Its sort; `gp3` when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<EksVolume>,
    /// MiB a second, of gp3; 125 when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub throughput: Option<u32>,
    /// Operations a second; 3000 of gp3 when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iops: Option<u32>,
    /// ARN of the KMS key that it is encrypted with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "arn"))]
    pub key: Option<String>,
}

/// A sort of volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EksVolume {
    /// What most want: its throughput and its operations are bought on their own.
    Gp3,
    /// The fastest, and the most expensive.
    Io2,
}

impl EksVolume {
    /// The API's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gp3 => "gp3",
            Self::Io2 => "io2",
        }
    }
}

fn one() -> u32 {
    1
}

/// Rights in a cloud, by provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grants {
    /// In AWS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eks: Option<EksGrants>,
    /// In Google Cloud.
    #[serde(default, skip_serializing_if = "Free::is_empty")]
    #[schemars(extend("x-free" = true))]
    pub gke: Free,
    /// In Azure.
    #[serde(default, skip_serializing_if = "Free::is_empty")]
    #[schemars(extend("x-free" = true))]
    pub aks: Free,
}

impl Grants {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Rights in AWS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksGrants {
    /// How pods get their credentials.
    #[serde(default)]
    pub via: EksIdentityWay,
    /// Managed policies: names of AWS' own, or ARNs.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Policies of the role's own, by name: IAM policy documents.
    #[serde(default)]
    #[schemars(extend("x-free" = true))]
    pub inline: Free,
    /// Repositories of images, of the cluster's own account and region. Nodes pull from all of them without a word, and an agent that builds
    /// images pushes to its `destination`.
    #[serde(default)]
    pub ecr: Vec<EcrGrant>,
}

/// What somebody may do with a repository of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EcrGrant {
    /// Its name, `team/train`; `team/*` for all of them under it.
    pub repository: String,
    /// What.
    #[serde(default)]
    pub access: EcrAccess,
}

/// What somebody may do with a repository of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum EcrAccess {
    /// Read images.
    #[default]
    Pull,
    /// Read and write images.
    Push,
}
