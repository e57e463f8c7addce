//! Things by their tags, at the moment they are needed.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, NatGatewayState, ResourceType, Tag, TagSpecification};
use wbk_provider_api::PartId;

use super::ask::{self, filter, ours, tags_of};
use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::PART;
use crate::part::sort;
use crate::work::{Work, settled};

/// Tags.
pub(crate) type Tags = BTreeMap<String, String>;

/// AWS' id of something, and its tags.
pub(super) struct Thing {
    pub id: String,
    pub tags: Tags,
}

/// Things of a sort. NAT gateways that failed or go are none.
pub(super) async fn things(aws: &Aws, sort: &str, filters: Vec<Filter>) -> Result<Vec<Thing>, AwsError> {
    let thing = |id: Option<&str>, tags: &[Tag]| id.map(|id| Thing { id: id.to_owned(), tags: tags_of(tags) });
    Ok(match sort {
        sort::VPC => ask::vpcs(aws, filters).await?.iter().filter_map(|one| thing(one.vpc_id(), one.tags())).collect(),
        sort::INTERNET_GATEWAY => {
            let all = ask::gateways(aws, filters).await?;
            all.iter().filter_map(|one| thing(one.internet_gateway_id(), one.tags())).collect()
        }
        sort::SUBNET => {
            ask::subnets(aws, filters).await?.iter().filter_map(|one| thing(one.subnet_id(), one.tags())).collect()
        }
        sort::ELASTIC_IP => {
            let all = ask::addresses(aws, filters).await?;
            all.iter().filter_map(|one| thing(one.allocation_id(), one.tags())).collect()
        }
        sort::NAT_GATEWAY => {
            let lives = |state: Option<&NatGatewayState>| {
                matches!(state, Some(NatGatewayState::Available | NatGatewayState::Pending))
            };
            let all = ask::nats(aws, filters).await?;
            all.iter()
                .filter(|one| lives(one.state()))
                .filter_map(|one| thing(one.nat_gateway_id(), one.tags()))
                .collect()
        }
        sort::ROUTE_TABLE => {
            ask::tables(aws, filters).await?.iter().filter_map(|one| thing(one.route_table_id(), one.tags())).collect()
        }
        sort::SECURITY_GROUP => {
            ask::groups(aws, filters).await?.iter().filter_map(|one| thing(one.group_id(), one.tags())).collect()
        }
        sort::PLACEMENT_GROUP => {
            ask::placements(aws, filters).await?.iter().filter_map(|one| thing(one.group_id(), one.tags())).collect()
        }
        other => return Err(AwsError::refused(format!("look for a {other}"), "it is no part of a network")),
    })
}

/// The part of a name, where it is there.
///
/// # Errors
/// Several say that they are it: none is picked.
pub(super) async fn find(work: &Work<'_>, sort: &str, name: &str) -> Result<Option<Thing>, AwsError> {
    only_one(named(work, sort, name).await?, &format!("the {sort} {name}"))
}

/// All that say that they are a part.
async fn named(work: &Work<'_>, sort: &str, name: &str) -> Result<Vec<Thing>, AwsError> {
    let mut filters = ours(work.marks);
    filters.push(filter(format!("tag:{PART}"), [name]));
    let mut found = of_ours(work, sort, filters).await?;
    found.retain(|thing| thing.tags.get(PART).is_some_and(|part| part == name));
    Ok(found)
}

/// Which thing is a part of which one was made just now. EC2 has no client token for VPCs, internet gateways and addresses, and its answers
/// lag behind: the look before the creation may have missed one that a former try made, or an answer was lost and the call was sent
/// again. So it is looked again, until what was made is seen; where another one of the name is there, that one is older, and `undo`
/// removes what was made, in which nothing can be yet. Answers the id of the part.
///
/// # Errors
/// Several others say that they are it; what came back from EC2.
pub(super) async fn only<F>(
    work: &Work<'_>,
    (sort, name): (&str, &str),
    made: String,
    undo: impl FnOnce(String) -> F,
) -> Result<String, AwsError>
where
    F: Future<Output = Result<(), AwsError>>,
{
    let look = || async {
        let (own, others): (Vec<Thing>, Vec<Thing>) =
            named(work, sort, name).await?.into_iter().partition(|thing| thing.id == made);
        let other = only_one(others, &format!("the {sort} {name}"))?;
        match (other, own.is_empty()) {
            (None, true) => Err(is_missing(&format!("the {sort} {made}"))),
            (other, _) => Ok(other),
        }
    };
    match settled(look).await {
        Ok(Some(older)) => {
            undo(made).await?;
            Ok(older.id)
        }
        Ok(None) => Ok(made),
        // It was made: EC2 said so. Whatever is next waits for it again.
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(made),
        Err(error) => Err(error),
    }
}

/// Things that carry our marks. They are read again: `*` and `?` in a filter's value match more than themselves.
async fn of_ours(work: &Work<'_>, sort: &str, filters: Vec<Filter>) -> Result<Vec<Thing>, AwsError> {
    let mut found = things(work.aws, sort, filters).await?;
    found.retain(|thing| work.marks.are_on(&thing.tags));
    Ok(found)
}

/// The one VPC of the blueprint and the cluster.
///
/// # Errors
/// There is none, or there are several.
pub(super) async fn the_vpc(work: &Work<'_>) -> Result<String, AwsError> {
    the_one(work, sort::VPC).await
}

/// The one internet gateway of the blueprint and the cluster.
pub(super) async fn the_gateway(work: &Work<'_>) -> Result<String, AwsError> {
    the_one(work, sort::INTERNET_GATEWAY).await
}

async fn the_one(work: &Work<'_>, sort: &str) -> Result<String, AwsError> {
    // Found right after it was made: the describe may not know it yet.
    settled(|| async {
        let what = format!("the {sort} of {}", work.marks.cluster);
        let found = only_one(of_ours(work, sort, ours(work.marks)).await?, &what)?;
        found.map(|thing| thing.id).ok_or_else(|| is_missing(&what))
    })
    .await
}

/// The id of another part, which must be there.
pub(crate) async fn need(work: &Work<'_>, sort: &str, name: &str) -> Result<String, AwsError> {
    settled(|| async {
        let found = find(work, sort, name).await?;
        found.map(|thing| thing.id).ok_or_else(|| is_missing(&format!("the {sort} {name}")))
    })
    .await
}

fn is_missing(what: &str) -> AwsError {
    AwsError::new(format!("find {what}"), AwsErrorKind::NotFound, "nothing in EC2 carries its tags")
        .with_hint("plan again: what it needs comes first then")
}

fn only_one(mut things: Vec<Thing>, what: &str) -> Result<Option<Thing>, AwsError> {
    if things.len() > 1 {
        let ids: Vec<String> = things.into_iter().map(|thing| thing.id).collect();
        let hint = format!("take the tag {PART} off those that are not in use, or delete them");
        let words = format!("{} all carry its tags", ids.join(" and "));
        return Err(AwsError::refused(format!("tell which is {what}"), words).with_hint(hint));
    }
    Ok(things.pop())
}

/// The tags that a create gives in the same call, so that nothing is ever without them.
pub(crate) fn given(resource: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(resource).set_tags(Some(to_tags(tags))).build()
}

fn to_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Gives something the tags that it lacks. Those of others stay.
pub(crate) async fn put(work: &Work<'_>, id: &str, has: &Tags, wanted: &Tags) -> Result<(), AwsError> {
    let lacks: Tags = wanted
        .iter()
        .filter(|(key, value)| has.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if lacks.is_empty() {
        return Ok(());
    }
    let call = work.aws.ec2.create_tags().resources(id).set_tags(Some(to_tags(&lacks)));
    call.send().await.map_err(AwsError::sdk(format!("tag {id}")))?;
    Ok(())
}

/// The filter that finds one thing of a sort by AWS' id.
pub(super) fn by_id(sort: &str, id: &str) -> Filter {
    let name = match sort {
        sort::VPC => "vpc-id",
        sort::INTERNET_GATEWAY => "internet-gateway-id",
        sort::SUBNET => "subnet-id",
        sort::ELASTIC_IP => "allocation-id",
        sort::NAT_GATEWAY => "nat-gateway-id",
        sort::SECURITY_GROUP => "group-id",
        _ => "route-table-id",
    };
    filter(name, [id])
}

/// Whether something is there and ours.
///
/// # Errors
/// It is there and somebody else's.
pub(super) async fn is_there_and_ours(work: &Work<'_>, id: &PartId, aws_id: &str) -> Result<bool, AwsError> {
    let filters = match id.sort.as_str() {
        // EC2 has no filter by their ids.
        sort::PLACEMENT_GROUP => ours(work.marks),
        sort => vec![by_id(sort, aws_id)],
    };
    let found = things(work.aws, &id.sort, filters).await?;
    match found.iter().find(|thing| thing.id == aws_id) {
        None => Ok(false),
        Some(thing) if work.marks.are_on(&thing.tags) => Ok(true),
        Some(_) => Err(is_foreign(&id.sort, aws_id)),
    }
}

/// The refusal to delete what is somebody else's.
pub(super) fn is_foreign(sort: &str, id: &str) -> AwsError {
    let why = "it does not carry this blueprint's tags, and what is not ours is never deleted";
    AwsError::refused(format!("delete the {sort} {id}"), why)
}
