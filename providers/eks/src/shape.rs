//! The cluster and its node groups as plain descriptions: wanted and found in the same words, as [`crate::part`] has the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wbk_provider_api::{Capacity, EksEndpoint, EksSupport, Taint};

use crate::template::Template;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterShape {
    /// Kubernetes minor version, `1.34`.
    pub version: String,
    /// The control plane's role.
    pub role: RoleRef,
    /// The subnets that its network interfaces are in.
    pub subnets: BTreeSet<SubnetRef>,
    /// From where the API server is reached.
    pub endpoint: EksEndpoint,
    /// How users get in, in the API's word: `API`, `API_AND_CONFIG_MAP`, `CONFIG_MAP`.
    pub authentication: String,
    /// Logs that go to CloudWatch.
    pub logging: BTreeSet<String>,
    /// ARN of the KMS key that Secrets are encrypted with.
    pub encryption_key: Option<String>,
    /// What happens at the end of standard support.
    pub support: EksSupport,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
    /// Whether AWS makes its nodes, volumes and load balancers: Auto Mode.
    #[serde(default)]
    pub auto_mode: bool,
}

/// A managed node group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupShape {
    /// Kubernetes minor version.
    pub version: String,
    /// Instance types.
    pub machines: BTreeSet<String>,
    /// The image, in the API's word.
    pub ami: String,
    /// How nodes are paid for.
    pub capacity: Capacity,
    /// GiB of the disk, where no launch template says it.
    pub disk_gib: Option<u32>,
    /// The capacity block that they are in.
    pub capacity_block: Option<String>,
    /// The launch template that they are made from.
    pub launch_template: Option<TemplateRef>,
    /// What it says, in the version that the group follows.
    pub template: Option<Template>,
    /// The subnets that nodes may be in.
    pub subnets: BTreeSet<SubnetRef>,
    /// The nodes' role.
    pub role: RoleRef,
    /// The fewest nodes.
    pub min: u32,
    /// The most; EKS knows no less than one.
    pub max: u32,
    /// Labels of nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of nodes, in Kubernetes' spelling.
    pub taints: BTreeSet<Taint>,
    /// Nodes that may be away at once during an update.
    pub max_unavailable: u32,
    /// Whether EKS replaces nodes that it finds broken.
    pub repair: bool,
}

impl GroupShape {
    /// What is wanted of a group that is somebody else's: what the blueprint's words say of it, and all else as it is there.
    pub fn of_given(self, there: &Self) -> Self {
        // What its launch template says, EKS does not.
        let told_elsewhere =
            |told: String, there: &str| if there.is_empty() || there == "CUSTOM" { there.to_owned() } else { told };
        Self {
            // EKS knows no version of nodes with an image of somebody's own.
            version: if there.ami == "CUSTOM" {
                there.version.clone()
            } else {
                told_elsewhere(self.version, &there.version)
            },
            machines: if there.machines.is_empty() { BTreeSet::new() } else { self.machines },
            ami: told_elsewhere(self.ami, &there.ami),
            capacity: self.capacity,
            min: self.min,
            max: self.max,
            labels: self.labels,
            taints: self.taints,
            // 0: it is told as a percentage.
            max_unavailable: if there.max_unavailable == 0 { 0 } else { self.max_unavailable },
            repair: self.repair,
            ..there.clone()
        }
    }
}

/// Fields of a [`GroupShape`] that only a new group has otherwise, by their names in a difference.
pub const GROUP_FIXED: [&str; 8] =
    ["machines", "ami", "capacity", "diskGib", "capacityBlock", "launchTemplate", "subnets", "role"];

/// A launch template: by the name of its part, or by its id where it is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TemplateRef {
    /// One of ours.
    Part(String),
    /// `lt-…`.
    Id(String),
}

/// A subnet: by the name of its part, or by its id where it is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubnetRef {
    /// One of ours.
    Part(String),
    /// `subnet-…`.
    Id(String),
}

/// A role: by the name of its part, or by its ARN where it is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RoleRef {
    /// One of ours.
    Part(String),
    /// `arn:aws:iam::…`.
    Arn(String),
}
