//! What is wanted of an EKS cluster beside what every cluster has: complete, every default filled. Plain data; what AWS calls
//! are made for it is the provider's own.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What only an EKS cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EksSpec {
    /// The AWS account that the blueprint is pinned to: any other is refused. Twelve digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// ARN of the cluster, where it is somebody else's and named to be kept as the blueprint says: nothing of it is tagged, replaced or
    /// deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// The network.
    pub network: EksNetwork,
    /// From where the API server is reached.
    pub endpoint: EksEndpoint,
    /// How users get in.
    pub authentication: EksAuthentication,
    /// Who gets in beside whoever makes the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<EksAccess>,
    /// Control plane logs that go to CloudWatch: `api`, `audit`, `authenticator`, `controllerManager`, `scheduler`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub logging: BTreeSet<String>,
    /// ARN of the KMS key that Secrets are encrypted with; AWS' own key otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<String>,
    /// What happens at the end of a version's standard support.
    pub support: EksSupport,
    /// Whether AWS refuses to delete the cluster.
    pub deletion_protection: bool,
    /// Add-ons that EKS runs, by name.
    pub addons: BTreeMap<String, EksAddon>,
    /// Who adds and removes nodes within the sizes of the pools.
    pub autoscaler: EksAutoscaler,
    /// ARN of a role for the control plane that exists already; one is made otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_role: Option<String>,
    /// ARN of a role for the nodes that exists already; one is made otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_role: Option<String>,
    /// Whether the cluster's OIDC issuer is known to IAM: identities with `via: irsa` need it.
    pub oidc: bool,
    /// Tags on everything that is made, beside the tool's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What only a node group has, by pool.
    pub pools: BTreeMap<String, EksPool>,
    /// Service accounts that are somebody in AWS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<EksIdentity>,
}

/// The network of an EKS cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EksNetwork {
    /// Made and kept.
    Own {
        /// Addresses of the VPC, `10.0.0.0/16`.
        cidr: String,
        /// Zones, `us-west-2a`; empty: as many as [`EksNetwork::ZONES`] of those that the region offers.
        zones: Vec<String>,
        /// How nodes reach the internet.
        nat: EksNat,
    },
    /// Somebody else's, by the ids of subnets in two zones at least.
    Given {
        /// `subnet-…`.
        subnets: BTreeSet<String>,
    },
}

impl EksNetwork {
    /// Zones of a network whose blueprint names none. EKS asks for two; a third lets GPUs be found in one more.
    pub const ZONES: usize = 3;
}

/// How nodes in private subnets reach the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum EksNat {
    /// One NAT gateway: the cheapest; its zone is a single point of failure.
    #[default]
    One,
    /// One NAT gateway in each zone.
    PerZone,
    /// None: nodes have public addresses, in public subnets.
    None,
}

/// From where the API server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EksEndpoint {
    /// From the internet.
    pub public: bool,
    /// From the network.
    pub private: bool,
    /// From where in the internet, `0.0.0.0/0`.
    pub public_cidrs: BTreeSet<String>,
}

/// How users get into an EKS cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum EksAuthentication {
    /// Access entries.
    #[default]
    Api,
    /// Access entries and the aws-auth map.
    ApiAndConfigMap,
    /// The aws-auth map alone, as old clusters have it; only of a given cluster.
    ConfigMap,
}

/// Somebody who gets into the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EksAccess {
    /// ARN of a user or a role.
    pub principal: String,
    /// Name of an EKS access policy, `AmazonEKSClusterAdminPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Namespaces that the policy holds in; empty: the whole cluster.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub namespaces: BTreeSet<String>,
    /// Kubernetes groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
}

/// What happens at the end of a version's standard support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum EksSupport {
    /// EKS upgrades the cluster by itself.
    #[default]
    Standard,
    /// The cluster stays, for six times the price.
    Extended,
}

/// An add-on that EKS runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct EksAddon {
    /// `v1.20.0-eksbuild.1`; what EKS calls the default for the cluster's version otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its configuration, by the add-on's own schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Value>,
}

/// Who adds and removes nodes within the sizes of the pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
#[schemars(extend("x-instead" = {
    "karpenter": "Karpenter of one's own is one more thing to install, grant and upgrade before there is a node to run it on; write `auto-mode`, where AWS runs it, or `cluster-autoscaler`"
}))]
pub enum EksAutoscaler {
    /// Cluster Autoscaler, run in the cluster.
    ClusterAutoscaler,
    /// EKS Auto Mode: AWS makes nodes as pods ask for them, from a Karpenter NodePool for each pool; there are no node groups.
    AutoMode,
    /// Nobody: pools keep the number of nodes that they have.
    #[default]
    None,
}

/// What only a managed node group has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EksPool {
    /// Name of the node group that it is, where that is somebody else's and named to be kept as the blueprint says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kubernetes minor version of its nodes; the cluster's otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Instance types, the first the one that the pool's shape is of. Several only for spot.
    pub machines: Vec<String>,
    /// The image, in the API's word: `AL2023_x86_64_NVIDIA`.
    pub ami: String,
    /// The disk of a node.
    pub disk: EksDisk,
    /// Whether nodes have elastic fabric adapters in a placement group, as training over several nodes wants.
    pub efa: bool,
    /// Id of the capacity block that the nodes are in, `cr-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_block: Option<String>,
    /// Zones that the nodes may be in; empty: all of the network.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<String>,
    /// Nodes that may be away at once during an update.
    pub max_unavailable: u32,
    /// Whether EKS replaces nodes that it finds broken.
    pub repair: bool,
    /// What a node offers once its device plugin runs, sharing counted: what an autoscaler must know of a pool without nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub advertised: BTreeMap<String, u64>,
}

impl EksPool {
    /// Whether its nodes are more than a node group can say by itself, so that a launch template says it.
    pub fn needs_template(&self) -> bool {
        self.efa || self.capacity_block.is_some() || !self.disk.is_plain()
    }
}

/// The disk of a node: images, containers and what they write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EksDisk {
    /// Its size.
    pub gib: u32,
    /// Sort of volume; EC2's own default otherwise, which is `gp3`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// MiB a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<u32>,
    /// Operations a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// ARN of the KMS key that it is encrypted with; what the account does with every volume otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl EksDisk {
    /// One of which nothing is said but its size.
    pub fn of(gib: u32) -> Self {
        Self { gib, kind: None, throughput: None, iops: None, key: None }
    }

    /// Whether nothing is said but its size.
    pub fn is_plain(&self) -> bool {
        *self == Self::of(self.gib)
    }
}

/// A service account that is somebody in AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EksIdentity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// How its pods get their credentials.
    pub via: EksIdentityWay,
    /// Managed policies: names of AWS' own, or ARNs.
    pub policies: BTreeSet<String>,
    /// Policies of the role's own, by name: IAM policy documents.
    pub inline: BTreeMap<String, Value>,
}

/// How pods get AWS credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum EksIdentityWay {
    /// EKS Pod Identity: an association and an agent on each node.
    #[default]
    PodIdentity,
    /// IAM roles for service accounts: an annotation and the cluster's OIDC issuer.
    Irsa,
}
