//! What is written on everything that is made: whose it is, and which part. It is found again by this alone.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use wbk_provider_api::Wanted;

/// The tag that says which blueprint a thing is of.
pub const BLUEPRINT: &str = "wbk-infra/blueprint";
/// The tag that says which cluster a thing is of: one blueprint may be applied under several names and regions.
pub const CLUSTER: &str = "wbk-infra/cluster";
/// The tag that says which part a thing is, by its name.
pub const PART: &str = "wbk-infra/part";
/// The tag that says which pool a node group is of.
pub const POOL: &str = "wbk-infra/pool";

/// Longest name of an IAM role (IAM, "Names and character limits").
const ROLE_NAME: usize = 64;

/// Longest name of a launch template (botocore, ec2 LaunchTemplateName); placement and security groups take 255.
const EC2_NAME: usize = 128;

/// Whose things they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// The blueprint's name.
    pub blueprint: String,
    /// The cluster's name.
    pub cluster: String,
    /// The region.
    pub region: String,
    /// Tags that the blueprint puts on everything.
    pub tags: BTreeMap<String, String>,
}

impl Marks {
    /// Those of what is wanted.
    pub fn of(wanted: &Wanted) -> Self {
        Self {
            blueprint: wanted.blueprint.clone(),
            cluster: wanted.cluster.name.clone(),
            region: wanted.cluster.region.clone().unwrap_or_default(),
            tags: wanted.cluster.eks.as_ref().map(|eks| eks.tags.clone()).unwrap_or_default(),
        }
    }

    /// All tags of a part, `extra` its own beside those of everything.
    pub fn tags(&self, part: &str, extra: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut tags = self.tags.clone();
        tags.insert("Name".into(), format!("{}-{part}", self.cluster));
        tags.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        tags.insert(BLUEPRINT.into(), self.blueprint.clone());
        tags.insert(CLUSTER.into(), self.cluster.clone());
        tags.insert(PART.into(), part.to_owned());
        tags
    }

    /// Whether a thing with these tags is this blueprint's and this cluster's.
    pub fn are_on(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(BLUEPRINT) == Some(&self.blueprint) && tags.get(CLUSTER) == Some(&self.cluster)
    }

    /// The name in IAM of a role part. Roles are the account's, so that the region is in it.
    pub fn role_name(&self, part: &str) -> String {
        let whole = format!("{}-{}-{part}", self.cluster, self.region);
        if whole.len() <= ROLE_NAME { whole } else { format!("{}-{}", &whole[..ROLE_NAME - 9], &digest(&whole)[..8]) }
    }

    /// The name in EC2 of a part that has one there, in its account and region. Launch templates take the shortest: 128 letters.
    pub fn ec2_name(&self, part: &str) -> String {
        let whole = format!("{}-{part}", self.cluster);
        if whole.len() <= EC2_NAME { whole } else { format!("{}-{}", &whole[..EC2_NAME - 9], &digest(&whole)[..8]) }
    }

    /// The path in IAM of everything that is made there. IAM lists by path and not by tag, so that one request finds what is ours and no
    /// longer wanted; IAM is the account's, so that the region is in it. It is part of every ARN: `role/wbk-infra/us-west-2/research/…`.
    pub fn iam_path(&self) -> String {
        format!("/wbk-infra/{}/{}/", self.region, self.cluster)
    }

    /// AWS' partition of the region: the second part of every ARN.
    pub fn partition(&self) -> &'static str {
        partition_of(&self.region)
    }
}

/// AWS' partition of a region.
pub fn partition_of(region: &str) -> &'static str {
    match region.split('-').collect::<Vec<_>>()[..] {
        ["cn", ..] => "aws-cn",
        ["us", "gov", ..] => "aws-us-gov",
        _ => "aws",
    }
}

/// Hex digits of the SHA-256 of a text.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
