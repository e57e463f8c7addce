//! The cluster's OIDC provider: what lets IAM believe tokens of its service accounts.

use std::collections::BTreeMap;

use super::role::{gone, tags_of, to_tags};
use super::trust::{AUDIENCE, Place};
use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::part::{Found, Part};
use crate::work::Work;

type Tags = BTreeMap<String, String>;

/// ARNs of all OIDC providers of the account.
pub(super) async fn listed(aws: &Aws) -> Result<Vec<String>, AwsError> {
    let said = aws.iam.list_open_id_connect_providers().send().await;
    let said = said.map_err(AwsError::sdk("list the OIDC providers of IAM"))?;
    Ok(said.open_id_connect_provider_list.unwrap_or_default().into_iter().filter_map(|entry| entry.arn).collect())
}

/// The cluster's provider among them. Where the cluster, and so its issuer, is not there, the one that a former cluster left is known by
/// its marks.
pub(super) async fn observe(
    aws: &Aws,
    marks: &Marks,
    listed: Result<Vec<String>, AwsError>,
    place: &Place<'_>,
) -> Result<Option<Found>, AwsError> {
    let mut arns = listed?.into_iter();
    if let Some(wanted) = place.oidc_arn() {
        return match arns.find(|arn| *arn == wanted) {
            Some(arn) => look(aws, arn).await,
            None => Ok(None),
        };
    }
    // Issuers of EKS name their region: `oidc.eks.us-west-2.amazonaws.com/id/…`.
    let of_region = format!("oidc.eks.{}.", marks.region);
    let looks = arns.filter(|arn| arn.contains(&of_region)).map(|arn| look(aws, arn));
    let all = futures::future::try_join_all(looks).await?;
    Ok(all.into_iter().flatten().find(|found| marks.are_on(&found.tags)))
}

async fn look(aws: &Aws, arn: String) -> Result<Option<Found>, AwsError> {
    let said = aws.iam.get_open_id_connect_provider().open_id_connect_provider_arn(&arn).send().await;
    let said = match said.map_err(AwsError::sdk(format!("read the OIDC provider {arn}"))) {
        Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(None),
        said => said?,
    };
    let believed = said.client_id_list().iter().any(|client| client == AUDIENCE);
    let issues = if believed { Vec::new() } else { vec![format!("tokens for {AUDIENCE} are not believed")] };
    Ok(Some(Found { tags: tags_of(said.tags()), id: arn, part: Part::OidcProvider {}, issues }))
}

/// Makes the provider of the cluster's issuer. Thumbprints are optional since IAM trusts the authorities of S3 and EKS itself.
pub(super) async fn create(work: &Work<'_>, place: &Place<'_>, tags: &Tags) -> Result<String, AwsError> {
    let attempted = "create the OIDC provider of the cluster";
    let (Some(issuer), Some(arn)) = (place.issuer, place.oidc_arn()) else {
        return Err(AwsError::refused(attempted, "the cluster has no OIDC issuer yet"));
    };
    let call = work.aws.iam.create_open_id_connect_provider().url(issuer).client_id_list(AUDIENCE);
    let made = call.set_tags(Some(to_tags(tags, attempted)?)).send().await;
    match made.map_err(AwsError::sdk(attempted)) {
        Ok(made) => Ok(made.open_id_connect_provider_arn.unwrap_or(arn)),
        Err(error) if error.kind == AwsErrorKind::AlreadyThere => match look(work.aws, arn).await? {
            Some(found) if work.marks.are_on(&found.tags) => {
                set(work, &found, tags).await?;
                Ok(found.id)
            }
            _ => Err(error.with_hint(
                "somebody else made it for this cluster: `aws iam tag-open-id-connect-provider` with this blueprint's tags hands it over",
            )),
        },
        Err(error) => Err(error),
    }
}

pub(super) async fn set(work: &Work<'_>, found: &Found, tags: &Tags) -> Result<(), AwsError> {
    let attempted = format!("change the OIDC provider {}", found.id);
    let lacks: Tags = tags
        .iter()
        .filter(|(key, value)| found.tags.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let iam = &work.aws.iam;
    if !lacks.is_empty() {
        let call = iam.tag_open_id_connect_provider().open_id_connect_provider_arn(&found.id);
        let done = call.set_tags(Some(to_tags(&lacks, &attempted)?)).send().await;
        done.map_err(AwsError::sdk(&attempted))?;
    }
    if !found.issues.is_empty() {
        let call = iam.add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(&found.id);
        call.client_id(AUDIENCE).send().await.map_err(AwsError::sdk(&attempted)).map_err(AwsError::after_change)?;
    }
    Ok(())
}

pub(super) async fn delete(work: &Work<'_>, arn: &str) -> Result<(), AwsError> {
    let attempted = format!("delete the OIDC provider {arn}");
    let Some(found) = look(work.aws, arn.to_owned()).await? else { return Ok(()) };
    if !work.marks.are_on(&found.tags) {
        let why = "it does not carry this blueprint's tags, and what is not ours is never deleted";
        return Err(AwsError::refused(attempted, why));
    }
    let done = work.aws.iam.delete_open_id_connect_provider().open_id_connect_provider_arn(arn).send().await;
    gone(done.map(drop).map_err(AwsError::sdk(attempted)))
}
