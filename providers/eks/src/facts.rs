//! What was looked up about an account and a region before a plan is run: each fact known, or unknown and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wbk_provider_api::{Capacity, Why};

/// Something looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact<T> {
    /// Answered.
    Known(T),
    /// Not answered, and why.
    Unknown(Why),
}

impl<T> Fact<T> {
    /// Not answered.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(Why(why.into()))
    }

    /// The answer, where there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    fn not_asked() -> Self {
        Self::unknown("it was not asked")
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(why) => Some(&why.0),
        }
    }
}

/// All that was looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The account of the credentials (sts GetCallerIdentity).
    pub account: Fact<String>,
    /// Zones of the region, with their ids: `us-east-1a` is another place for each account, `use1-az3` is not (ec2
    /// DescribeAvailabilityZones).
    pub zones: Fact<BTreeMap<String, String>>,
    /// Zones that have each of the machines that were asked about; a machine that the region does not have has none (ec2
    /// DescribeInstanceTypeOfferings).
    pub offered: Fact<BTreeMap<String, BTreeSet<String>>>,
    /// Quotas by code (servicequotas GetServiceQuota). One that the account does not have is absent.
    pub quotas: Fact<BTreeMap<String, QuotaFact>>,
    /// Kubernetes versions that EKS has, `1.34` (eks DescribeClusterVersions).
    pub versions: Fact<BTreeMap<String, VersionFact>>,
    /// Versions of add-ons that EKS calls the default for the wanted Kubernetes version (eks DescribeAddonVersions), or, of an add-on that
    /// keeps the version that it has, that one; an add-on without one is absent.
    pub addon_versions: Fact<BTreeMap<String, String>>,
    /// Images that there are for the wanted Kubernetes version, in the API's words, with their releases.
    pub images: Fact<BTreeMap<String, String>>,
    /// Capacity blocks that the blueprint names (ec2 DescribeCapacityReservations); one that is not there is absent.
    #[serde(default = "Fact::not_asked")]
    pub blocks: Fact<BTreeMap<String, BlockFact>>,
    /// Subnets that the blueprint names (ec2 DescribeSubnets); one that is not there is absent.
    pub subnets: Fact<BTreeMap<String, SubnetFact>>,
}

impl Facts {
    /// Nothing was looked up.
    pub fn unknown(why: &str) -> Self {
        Self {
            account: Fact::unknown(why),
            zones: Fact::unknown(why),
            offered: Fact::unknown(why),
            quotas: Fact::unknown(why),
            versions: Fact::unknown(why),
            addon_versions: Fact::unknown(why),
            images: Fact::unknown(why),
            blocks: Fact::unknown(why),
            subnets: Fact::unknown(why),
        }
    }

    /// What is not known, by its name, and why.
    pub fn gaps(&self) -> Vec<(&'static str, &str)> {
        let Self { account, zones, offered, quotas, versions, addon_versions, images: _, blocks, subnets } = self;
        // Which images there are is told by Systems Manager alone, which is not asked: no gap, as nobody waits for it.
        [
            ("the account", account.why()),
            ("the region's zones", zones.why()),
            ("which zones have the machines", offered.why()),
            ("quotas", quotas.why()),
            ("the versions that EKS has", versions.why()),
            ("add-on versions", addon_versions.why()),
            ("capacity blocks", blocks.why()),
            ("the subnets", subnets.why()),
        ]
        .into_iter()
        .filter_map(|(name, why)| Some((name, why?)))
        .collect()
    }
}

/// A quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaFact {
    /// vCPUs that the account may run at once.
    pub limit: u64,
    /// vCPUs that run now, whoever's they are, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// A capacity reservation, as far as a capacity block is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockFact {
    /// The machine.
    pub machine: String,
    /// The zone.
    pub zone: String,
    /// Machines in it.
    pub total: u32,
    /// In the API's word: `scheduled`, `active`, `expired`, `cancelled`, `payment-pending`, …
    pub state: String,
    /// Whether it is a capacity block, and no other reservation.
    pub block: bool,
    /// When it begins, `2026-12-01T11:30Z`.
    pub begins: Option<String>,
    /// When it ends.
    pub ends: Option<String>,
}

impl BlockFact {
    /// How it is with it now, one clause.
    pub fn words(&self, id: &str) -> String {
        let at = |time: &Option<String>| time.clone().unwrap_or_else(|| "a time that AWS does not tell".to_owned());
        match self.state.as_str() {
            "active" => format!("capacity block {id} is there until {}", at(&self.ends)),
            "scheduled" | "pending" | "assessing" | "delayed" => {
                format!("capacity block {id} has not begun: it is {}, and begins at {}", self.state, at(&self.begins))
            }
            "payment-pending" => format!("capacity block {id} is not paid yet; it begins at {}", at(&self.begins)),
            "expired" => format!("capacity block {id} ended at {}", at(&self.ends)),
            other => format!("capacity block {id} is {other}"),
        }
    }

    /// Whether it will never have machines again.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "expired" | "cancelled" | "failed" | "payment-failed" | "unsupported")
    }
}

/// A Kubernetes version of EKS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionFact {
    /// How it is supported.
    pub status: VersionStatus,
    /// The day on which standard support ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_until: Option<String>,
    /// The day on which extended support ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_until: Option<String>,
}

/// How EKS supports a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionStatus {
    /// For the usual price.
    Standard,
    /// For six times the price.
    Extended,
    /// No more.
    Ended,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetFact {
    /// Its zone.
    pub zone: String,
    /// Addresses that nobody has.
    pub free: u64,
}

/// A node group that exists, as far as quotas depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNow {
    /// The pool that it is of.
    pub pool: String,
    /// Its machines.
    pub machines: Vec<String>,
    /// How they are paid for.
    pub capacity: Capacity,
    /// Whether they are in a capacity block, and so in no quota.
    pub block: bool,
    /// Nodes that it has, or is getting.
    pub desired: u32,
}
