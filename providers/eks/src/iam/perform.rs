//! One part of IAM made, changed or removed. Each may be called again after its answer was lost.

use std::collections::BTreeMap;

use wbk_provider_api::PartId;

use super::trust::Place;
use super::{oidc, role};
use crate::error::AwsError;
use crate::part::{Found, Part, sort};
use crate::work::Work;

type Tags = BTreeMap<String, String>;

/// Makes a role or the OIDC provider; one of ours that is there is finished. Answers its ARN.
///
/// # Errors
/// Somebody else's has the name; what came back from IAM; a part that is not IAM's.
pub async fn create(
    work: &Work<'_>,
    id: &PartId,
    (part, tags): (&Part, &Tags),
    place: &Place<'_>,
) -> Result<String, AwsError> {
    match part {
        Part::Role(role) => role::create(work, &id.name, (role, place), tags).await,
        Part::OidcProvider {} => oidc::create(work, place, tags).await,
        _ => Err(not_here(id, "create")),
    }
}

/// Makes a part that was found what it should be.
///
/// # Errors
/// What came back from IAM; a part that is not IAM's.
pub async fn update(
    work: &Work<'_>,
    id: &PartId,
    found: &Found,
    (part, tags): (&Part, &Tags),
    place: &Place<'_>,
) -> Result<(), AwsError> {
    match part {
        Part::Role(role) => role::set(work, &found.id, (role, place), tags).await,
        Part::OidcProvider {} => oidc::set(work, found, tags).await,
        _ => Err(not_here(id, "change")),
    }
}

/// Removes a part; what is not there is done.
///
/// # Errors
/// It does not carry this blueprint's marks; it is in use until the deadline; what came back from IAM.
pub async fn delete(work: &Work<'_>, id: &PartId, arn: &str) -> Result<(), AwsError> {
    match id.sort.as_str() {
        sort::ROLE => role::delete(work, arn).await,
        sort::OIDC_PROVIDER => oidc::delete(work, arn).await,
        _ => Err(not_here(id, "delete")),
    }
}

fn not_here(id: &PartId, verb: &str) -> AwsError {
    AwsError::refused(format!("{verb} the {} {}", id.sort, id.name), "it is no part of IAM")
}
