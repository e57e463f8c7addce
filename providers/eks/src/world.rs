//! All that was seen in AWS of one platform, typed: what [`crate::changes`] compares with what is wanted. It travels as the
//! opaque `facts` of [`wbk_provider_api::Observed`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wbk_provider_api::{PartId, Seen, Why};

use crate::facts::Facts;
use crate::part::Found;
use crate::shape::{ClusterShape, GroupShape};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct World {
    /// What the region and the account say.
    pub facts: Facts,
    /// The cluster.
    pub cluster: Seen<ClusterFound>,
    /// Node groups of the cluster, by name, ours and others'.
    pub groups: BTreeMap<String, Seen<GroupFound>>,
    /// Everything else that is ours, or under a name that is wanted.
    pub parts: BTreeMap<PartId, Found>,
    /// Sorts of parts that could not be seen, and why: none of them is made or removed.
    pub unseen: BTreeMap<String, Why>,
}

impl World {
    /// Before anything was looked at: nothing is known, and nothing can be planned.
    pub fn unknown(why: &str) -> Self {
        Self {
            facts: Facts::unknown(why),
            cluster: Seen::Unknown(Why(why.to_owned())),
            groups: BTreeMap::new(),
            parts: BTreeMap::new(),
            unseen: BTreeMap::new(),
        }
    }

    /// Zones that the region offers and EKS runs in, sorted; none where they could not be seen.
    pub fn zones(&self) -> Vec<String> {
        self.facts.zones.known().map(|zones| zones.keys().cloned().collect()).unwrap_or_default()
    }

    /// What EKS calls the default version of an add-on.
    pub fn addon_version(&self, name: &str) -> Option<String> {
        self.facts.addon_versions.known()?.get(name).cloned()
    }

    /// Whether a part is there; unknown where its sort could not be seen.
    pub fn part(&self, id: &PartId) -> Seen<&Found> {
        match (self.parts.get(id), self.unseen.get(&id.sort)) {
            (Some(found), _) => Seen::Present(found),
            (None, Some(why)) => Seen::Unknown(why.clone()),
            (None, None) => Seen::Absent,
        }
    }

    /// Groups of a pool, by name.
    pub fn groups_of<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = (&'a String, &'a GroupFound)> {
        self.groups.iter().filter_map(move |(name, group)| {
            let group = group.present()?;
            (group.pool.as_deref() == Some(pool)).then_some((name, group))
        })
    }
}

/// A cluster that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFound {
    /// Its ARN.
    pub arn: String,
    /// Whether it is this blueprint's by its tags.
    pub ours: bool,
    /// In the API's word: `ACTIVE`, `CREATING`, `UPDATING`, `FAILED`, `DELETING`.
    pub status: String,
    /// As it is.
    pub shape: ClusterShape,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Where its API server is; absent while it is made.
    pub endpoint: Option<String>,
    /// The certificate that its API server is known by, base64 of PEM.
    pub authority: Option<String>,
    /// The issuer of its service accounts' tokens.
    pub issuer: Option<String>,
    /// Its VPC.
    pub vpc: Option<String>,
    /// The security group that EKS made for it.
    #[serde(default)]
    pub security_group: Option<String>,
    /// Ids of its subnets.
    pub subnet_ids: BTreeSet<String>,
    /// What AWS says is wrong with it.
    pub issues: Vec<String>,
}

/// A node group that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupFound {
    /// The pool that it is of, by its tag; absent for somebody else's.
    pub pool: Option<String>,
    /// Whether it is somebody else's, and a pool names it.
    #[serde(default)]
    pub given: bool,
    /// In the API's word: `ACTIVE`, `CREATING`, `CREATE_FAILED`, `UPDATING`, `DEGRADED`, `DELETING`.
    pub status: String,
    /// As it is.
    pub shape: GroupShape,
    /// Nodes that it shall have now: whoever scales it says so.
    pub desired: u32,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Auto Scaling groups behind it, with those of their tags that the autoscaler reads.
    pub scaling_groups: BTreeMap<String, BTreeMap<String, String>>,
    /// What AWS says is wrong with it, in words.
    pub issues: Vec<String>,
    /// The same, in AWS' codes.
    #[serde(default)]
    pub codes: BTreeSet<String>,
    /// Pods of Jobs on its nodes, `namespace/name` by node.
    pub jobs: BTreeMap<String, Vec<String>>,
}
