//! What EKS keeps for a cluster: add-ons, who gets in, and which service accounts are which roles.

pub(crate) mod access;
pub(crate) mod addons;
pub(crate) mod identities;

use std::collections::BTreeMap;

use wbk_provider_api::{PartId, Why};

use crate::aws::Aws;
use crate::error::AwsError;
use crate::marks::Marks;
use crate::names::{self, Names};
use crate::part::{Found, Part, sort};
use crate::work::Work;

/// What was seen, and the sorts that could not be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsideSeen {
    /// The parts.
    pub found: BTreeMap<PartId, Found>,
    /// Sorts that could not be seen.
    pub unknown: BTreeMap<&'static str, Why>,
}

/// What of these sorts is ours or wanted: all, or one. A cluster that is not there has none.
pub async fn observe(
    aws: &Aws,
    marks: &Marks,
    names: &Names,
    (wanted, only): (&BTreeMap<PartId, Part>, Option<&PartId>),
) -> InsideSeen {
    let one = |sort: &str| only.filter(|id| id.sort == sort).map(|id| id.name.as_str());
    let asked = |sort: &str| only.is_none_or(|id| id.sort == sort);
    let (addons, access, identities) = futures::join!(
        when(asked(sort::ADDON), addons::observe(aws, marks, wanted, one(sort::ADDON))),
        when(
            asked(sort::ACCESS_ENTRY) || asked(sort::NODE_ACCESS),
            access::observe(aws, marks, names, wanted, one(sort::ACCESS_ENTRY))
        ),
        when(asked(sort::POD_IDENTITY), identities::observe(aws, marks, names, one(sort::POD_IDENTITY)))
    );
    let mut seen = InsideSeen::default();
    for (sort, found) in [(sort::ADDON, addons), (sort::ACCESS_ENTRY, access), (sort::POD_IDENTITY, identities)] {
        match found {
            Ok(found) => seen.found.extend(found),
            Err(error) => {
                seen.unknown.insert(sort, error.why());
            }
        }
    }
    seen
}

type Parts = BTreeMap<PartId, Found>;

/// Nothing, where it is not asked for.
async fn when(asked: bool, look: impl Future<Output = Result<Parts, AwsError>>) -> Result<Parts, AwsError> {
    if asked { look.await } else { Ok(Parts::new()) }
}

/// Makes one, or finds that a former try did, and waits for it.
///
/// # Errors
/// AWS' words.
pub async fn create(work: &Work<'_>, part: &Part, tags: &BTreeMap<String, String>, name: &str) -> Result<(), AwsError> {
    match part {
        Part::Addon { version, configuration } => {
            addons::create(work, name, version, configuration.as_ref(), tags).await
        }
        Part::AccessEntry { principal, groups, policies } => {
            access::create(work, principal, groups, policies, tags).await
        }
        Part::NodeAccess { role } => access::admit_nodes(work, role, tags).await,
        Part::PodIdentity { namespace, service_account, role } => {
            identities::create(work, (namespace, service_account), role, tags).await
        }
        other => Err(AwsError::refused(format!("make {}", other.id(name)), "it is not in a cluster")),
    }
}

/// Makes one so.
///
/// # Errors
/// AWS' words.
pub async fn update(work: &Work<'_>, part: &Part, tags: &BTreeMap<String, String>, name: &str) -> Result<(), AwsError> {
    match part {
        Part::Addon { version, configuration } => {
            addons::update(work, name, version, configuration.as_ref(), tags).await
        }
        Part::AccessEntry { principal, groups, policies } => {
            access::update(work, principal, groups, policies, tags).await
        }
        Part::NodeAccess { role } => access::admit_nodes(work, role, tags).await,
        Part::PodIdentity { namespace, service_account, role } => {
            identities::update(work, (namespace, service_account), role, tags).await
        }
        other => Err(AwsError::refused(format!("change {}", other.id(name)), "it is not in a cluster")),
    }
}

/// Removes one and waits until it is gone.
///
/// # Errors
/// AWS' words.
pub async fn delete(work: &Work<'_>, part: &Part, name: &str) -> Result<(), AwsError> {
    match part {
        Part::Addon { .. } => addons::delete(work, name).await,
        Part::AccessEntry { principal, .. } => access::delete(work, principal).await,
        Part::NodeAccess { role } => access::delete(work, &names::role_arn(work, role).await?).await,
        Part::PodIdentity { namespace, service_account, .. } => {
            identities::delete(work, namespace, service_account).await
        }
        other => Err(AwsError::refused(format!("remove {}", other.id(name)), "it is not in a cluster")),
    }
}

/// Puts the tags on something of the cluster's that lack.
async fn tag(work: &Work<'_>, arn: Option<&str>, tags: &BTreeMap<String, String>, what: &str) -> Result<(), AwsError> {
    let Some(arn) = arn else { return Ok(()) };
    let request = work.aws.eks.tag_resource().resource_arn(arn).set_tags(Some(tags.clone().into_iter().collect()));
    request.send().await.map(drop).map_err(AwsError::sdk(format!("tag {what}")))
}
