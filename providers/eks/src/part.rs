//! The things in AWS that a platform is made of beside its cluster and its node groups, each as a plain description. What is
//! wanted and what is found are told in the same words, so that comparing them needs no cases. Things name each other by their
//! part's name, never by an id: ids are known when things exist.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wbk_provider_api::PartId;

use crate::shape::RoleRef;
use crate::template::Template;

/// One thing in AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Part {
    /// The network.
    Vpc {
        /// Its addresses.
        cidr: String,
        /// Whether its machines have DNS names and a resolver: nodes find a private API server by them.
        dns_names: bool,
    },
    /// The network's way to and from the internet.
    InternetGateway {
        /// Whether it is the network's: one that is attached to nothing leads nowhere.
        attached: bool,
    },
    /// Addresses of one zone.
    Subnet {
        /// `us-west-2a`.
        zone: String,
        /// Its addresses.
        cidr: String,
        /// Who is in it.
        tier: Tier,
    },
    /// A public address, for a NAT gateway.
    ElasticIp {},
    /// The way out of private subnets.
    NatGateway {
        /// Name of the public subnet that it is in.
        subnet: String,
        /// Name of its address.
        address: String,
    },
    /// The routes of subnets.
    RouteTable {
        /// Where all that is not in the network goes.
        out: Way,
        /// Names of the subnets that follow it.
        subnets: BTreeSet<String>,
    },
    /// Who lets whom in.
    SecurityGroup {
        /// Whether everything goes between those that are in it, both ways.
        itself: bool,
    },
    /// Machines near each other.
    PlacementGroup {
        /// `cluster`: in one part of one zone, where the network is fastest.
        strategy: String,
    },
    /// What the machines of a node group are made from, beyond what the group itself can say.
    LaunchTemplate(Template),
    /// Somebody in IAM.
    Role(Role),
    /// The cluster's tokens, known to IAM. Its URL is the cluster's own.
    OidcProvider {},
    /// Somebody who gets into the cluster.
    AccessEntry {
        /// ARN of a user or a role.
        principal: String,
        /// Kubernetes groups.
        groups: BTreeSet<String>,
        /// Access policies by name; the namespaces of each, none for the whole cluster.
        policies: BTreeMap<String, BTreeSet<String>>,
    },
    /// Auto Mode's nodes get into the cluster as this role.
    NodeAccess {
        /// It.
        role: RoleRef,
    },
    /// An add-on that EKS runs.
    Addon {
        /// `v1.20.0-eksbuild.1`.
        version: String,
        /// By the add-on's own schema.
        configuration: Option<Value>,
    },
    /// The role of a service account, through EKS Pod Identity.
    PodIdentity {
        /// Its namespace.
        namespace: String,
        /// Its name.
        service_account: String,
        /// Name of the part that is its role.
        role: String,
    },
    /// What a controller in the cluster made for an object; only looked for before the cluster goes.
    LoadBalancer {
        /// `Service` or `Ingress`.
        kind: String,
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
        /// Where it is reached, once it is.
        address: Option<String>,
    },
    /// A disk that a driver in the cluster made for a claim; only looked for before the cluster goes.
    Volume {
        /// `vol-…`.
        disk: String,
        /// `20Gi`.
        size: Option<String>,
        /// `namespace/name` of the claim.
        claim: Option<String>,
        /// Whether the disk stays when the claim goes.
        retained: bool,
    },
}

/// Who is in a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tier {
    /// Load balancers, NAT gateways, and nodes where there is no NAT: public addresses.
    Public,
    /// Nodes.
    Private,
}

impl Tier {
    /// As it is written in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// Where a route goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// Through the internet gateway.
    Internet,
    /// Through a NAT gateway, by its name.
    Nat(String),
    /// Nowhere.
    Nowhere,
}

/// Somebody in IAM: who may be it, and what it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Who may be it.
    pub trust: Trust,
    /// ARNs of managed policies.
    pub managed: BTreeSet<String>,
    /// Policies of its own, by name.
    pub inline: BTreeMap<String, Value>,
}

/// Who may be a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Trust {
    /// The control plane: `eks.amazonaws.com`.
    ControlPlane,
    /// The control plane of Auto Mode, which tags what it makes: with `sts:TagSession`.
    AutoMode,
    /// Nodes: `ec2.amazonaws.com`.
    Nodes,
    /// Pods, through EKS Pod Identity: `pods.eks.amazonaws.com`, with `sts:TagSession`.
    Pods,
    /// Pods of one service account, through the cluster's OIDC issuer.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Somebody else: what was found and is none of these.
    Other(Value),
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// AWS' own name of it, an id or an ARN.
    pub id: String,
    /// What it is.
    pub part: Part,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What is wrong with it, in AWS' words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<String>,
}

/// Sorts of parts, as they are printed.
pub mod sort {
    /// [`super::Part::Vpc`].
    pub const VPC: &str = "VPC";
    /// [`super::Part::InternetGateway`].
    pub const INTERNET_GATEWAY: &str = "internet gateway";
    /// [`super::Part::Subnet`].
    pub const SUBNET: &str = "subnet";
    /// [`super::Part::ElasticIp`].
    pub const ELASTIC_IP: &str = "elastic IP";
    /// [`super::Part::NatGateway`].
    pub const NAT_GATEWAY: &str = "NAT gateway";
    /// [`super::Part::RouteTable`].
    pub const ROUTE_TABLE: &str = "route table";
    /// [`super::Part::SecurityGroup`].
    pub const SECURITY_GROUP: &str = "security group";
    /// [`super::Part::PlacementGroup`].
    pub const PLACEMENT_GROUP: &str = "placement group";
    /// [`super::Part::LaunchTemplate`].
    pub const LAUNCH_TEMPLATE: &str = "launch template";
    /// [`super::Part::Role`].
    pub const ROLE: &str = "IAM role";
    /// [`super::Part::OidcProvider`].
    pub const OIDC_PROVIDER: &str = "OIDC provider";
    /// [`super::Part::AccessEntry`].
    pub const ACCESS_ENTRY: &str = "access entry";
    /// [`super::Part::NodeAccess`].
    pub const NODE_ACCESS: &str = "access of nodes";
    /// [`super::Part::Addon`].
    pub const ADDON: &str = "add-on";
    /// [`super::Part::PodIdentity`].
    pub const POD_IDENTITY: &str = "pod identity";
    /// [`super::Part::LoadBalancer`].
    pub const LOAD_BALANCER: &str = "load balancer";
    /// [`super::Part::Volume`].
    pub const VOLUME: &str = "volume";
}

impl Part {
    /// Its sort, as printed.
    pub fn sort(&self) -> &'static str {
        match self {
            Self::Vpc { .. } => sort::VPC,
            Self::InternetGateway { .. } => sort::INTERNET_GATEWAY,
            Self::Subnet { .. } => sort::SUBNET,
            Self::ElasticIp {} => sort::ELASTIC_IP,
            Self::NatGateway { .. } => sort::NAT_GATEWAY,
            Self::RouteTable { .. } => sort::ROUTE_TABLE,
            Self::SecurityGroup { .. } => sort::SECURITY_GROUP,
            Self::PlacementGroup { .. } => sort::PLACEMENT_GROUP,
            Self::LaunchTemplate(_) => sort::LAUNCH_TEMPLATE,
            Self::Role(_) => sort::ROLE,
            Self::OidcProvider {} => sort::OIDC_PROVIDER,
            Self::AccessEntry { .. } => sort::ACCESS_ENTRY,
            Self::NodeAccess { .. } => sort::NODE_ACCESS,
            Self::Addon { .. } => sort::ADDON,
            Self::PodIdentity { .. } => sort::POD_IDENTITY,
            Self::LoadBalancer { .. } => sort::LOAD_BALANCER,
            Self::Volume { .. } => sort::VOLUME,
        }
    }

    /// It, under a name.
    pub fn id(&self, name: impl Into<String>) -> PartId {
        PartId::new(self.sort(), name)
    }
}
