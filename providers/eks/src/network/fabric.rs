//! What fabric adapters need beside interfaces: a security group whose members reach each other in every way, and machines near each other.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{IpPermission, PlacementStrategy, ResourceType, SecurityGroup, UserIdGroupPair};
use wbk_provider_api::PartId;

use super::ask::{self, filter, ours, tags_of};
use super::remove::remove;
use super::tagged::{self, Tags};
use super::vpc::nameless;
use crate::aws::Aws;
use crate::cluster;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::{Marks, PART};
use crate::part::{Found, Part, sort};
use crate::work::{Work, settled};

/// Every protocol, in EC2's word.
const EVERYTHING: &str = "-1";

type Parts = BTreeMap<PartId, Found>;

/// The security groups of ours.
///
/// # Errors
/// They could not be described.
pub(crate) async fn security_groups(aws: &Aws, marks: &Marks) -> Result<Parts, AwsError> {
    let groups = ask::groups(aws, ours(marks)).await?;
    let found = groups.into_iter().filter_map(|group| {
        let tags = tags_of(group.tags());
        let name = tags.get(PART).filter(|_| marks.are_on(&tags))?.clone();
        let part = Part::SecurityGroup { itself: lets_itself(&group) };
        let found = Found { id: group.group_id?, part, tags, issues: Vec::new() };
        Some((PartId::new(sort::SECURITY_GROUP, name), found))
    });
    Ok(found.collect())
}

/// The placement groups of ours.
///
/// # Errors
/// They could not be described.
pub(crate) async fn placement_groups(aws: &Aws, marks: &Marks) -> Result<Parts, AwsError> {
    let groups = ask::placements(aws, ours(marks)).await?;
    let found = groups.into_iter().filter_map(|group| {
        let tags = tags_of(group.tags());
        let name = tags.get(PART).filter(|_| marks.are_on(&tags))?.clone();
        let strategy = group.strategy.map(|strategy| strategy.as_str().to_owned()).unwrap_or_default();
        let found = Found { id: group.group_id?, part: Part::PlacementGroup { strategy }, tags, issues: Vec::new() };
        Some((PartId::new(sort::PLACEMENT_GROUP, name), found))
    });
    Ok(found.collect())
}

/// Whether everything goes between its members, both ways: what fabric adapters ask for (EC2 user guide, "Prepare an EFA-enabled security
/// group"). What else it lets in or out is not looked at.
fn lets_itself(group: &SecurityGroup) -> bool {
    let among = |permissions: &[IpPermission]| {
        permissions.iter().any(|one| {
            one.ip_protocol() == Some(EVERYTHING)
                && one.user_id_group_pairs().iter().any(|pair| pair.group_id() == group.group_id())
        })
    };
    among(group.ip_permissions()) && among(group.ip_permissions_egress())
}

pub(super) async fn create_security_group(work: &Work<'_>, name: &str, tags: &Tags) -> Result<String, AwsError> {
    let attempted = format!("create the security group {name}");
    let id = match tagged::find(work, sort::SECURITY_GROUP, name).await? {
        Some(thing) => thing.id,
        None => {
            // The cluster's, whoever made it.
            let found = cluster::describe(work.aws, work.marks).await?;
            let vpc = found.and_then(|found| found.resources_vpc_config?.vpc_id).ok_or_else(|| {
                AwsError::new(&attempted, AwsErrorKind::NotFound, "the cluster that it is for has no network yet")
            })?;
            let call = work.aws.ec2.create_security_group().group_name(work.marks.ec2_name(name)).vpc_id(&vpc);
            let call = call.description("everything between its members, as fabric adapters need it");
            let made = call.tag_specifications(tagged::given(ResourceType::SecurityGroup, tags)).send().await;
            made.map_err(AwsError::sdk(&attempted))?.group_id.ok_or_else(|| nameless(&attempted))?
        }
    };
    let_itself(work, &id).await.map_err(AwsError::after_change)?;
    Ok(id)
}

/// Lets everything go between its members. What others let in stays.
pub(super) async fn let_itself(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let attempted = format!("let the members of the security group {id} reach each other");
    let pair = UserIdGroupPair::builder().group_id(id).build();
    let among = IpPermission::builder().ip_protocol(EVERYTHING).user_id_group_pairs(pair).build();
    let inward = settled(|| async {
        let call = work.aws.ec2.authorize_security_group_ingress().group_id(id).ip_permissions(among.clone());
        call.send().await.map(drop).map_err(AwsError::sdk(&attempted))
    });
    there_or_done(inward.await)?;
    let outward = settled(|| async {
        let call = work.aws.ec2.authorize_security_group_egress().group_id(id).ip_permissions(among.clone());
        call.send().await.map(drop).map_err(AwsError::sdk(&attempted))
    });
    there_or_done(outward.await)
}

fn there_or_done(done: Result<(), AwsError>) -> Result<(), AwsError> {
    match done {
        Err(error) if error.kind == AwsErrorKind::AlreadyThere => Ok(()),
        done => done,
    }
}

pub(super) async fn delete_security_group(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let what = format!("the security group {id}");
    remove(work, &what, Some(filter("group-id", [id])), || async {
        let done = work.aws.ec2.delete_security_group().group_id(id).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("delete {what}")))
    })
    .await
}

pub(super) async fn create_placement_group(
    work: &Work<'_>,
    name: &str,
    strategy: &str,
    tags: &Tags,
) -> Result<String, AwsError> {
    if let Some(thing) = tagged::find(work, sort::PLACEMENT_GROUP, name).await? {
        return Ok(thing.id);
    }
    let own = work.marks.ec2_name(name);
    let call = work.aws.ec2.create_placement_group().group_name(&own).strategy(PlacementStrategy::from(strategy));
    let made = call.tag_specifications(tagged::given(ResourceType::PlacementGroup, tags)).send().await;
    match made.map_err(AwsError::sdk(format!("create the placement group {own}"))) {
        Ok(said) => said
            .placement_group
            .and_then(|group| group.group_id)
            .ok_or_else(|| nameless(&format!("create the placement group {own}"))),
        // A former try's answer was lost; by now its tags are seen.
        Err(error) if error.kind == AwsErrorKind::AlreadyThere => {
            let found = tagged::find(work, sort::PLACEMENT_GROUP, name).await?;
            let hint = "delete it if nobody uses it, or give the cluster another name (cluster.name)";
            found.map(|thing| thing.id).ok_or_else(|| error.with_hint(hint))
        }
        Err(error) => Err(error),
    }
}

/// EC2 deletes it by its name, and by nothing else.
pub(super) async fn delete_placement_group(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let groups = ask::placements(work.aws, ours(work.marks)).await?;
    let Some(group) = groups.into_iter().find(|group| group.group_id() == Some(id)) else { return Ok(()) };
    let name = group.group_name.unwrap_or_default();
    let what = format!("the placement group {name}");
    remove(work, &what, None, || async {
        let done = work.aws.ec2.delete_placement_group().group_name(&name).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("delete {what}")))
    })
    .await
}
