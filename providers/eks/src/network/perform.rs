//! One part of a network made, changed or removed. Each may be called again after its answer was lost.

use wbk_provider_api::PartId;

use super::tagged::{self, Tags};
use super::{fabric, nat, routes, subnet, vpc};
use crate::error::AwsError;
use crate::part::{Found, Part};
use crate::work::Work;

/// Makes a part and waits until it works; one that is there by its tags is finished. Answers AWS' id.
///
/// # Errors
/// What came back from EC2; a part of something else than a network.
pub async fn create(work: &Work<'_>, id: &PartId, part: &Part, tags: &Tags) -> Result<String, AwsError> {
    match part {
        Part::Vpc { cidr, dns_names: _ } => vpc::create(work, &id.name, cidr, tags).await,
        Part::InternetGateway { attached: _ } => vpc::create_gateway(work, &id.name, tags).await,
        Part::Subnet { .. } => subnet::create(work, &id.name, part, tags).await,
        Part::ElasticIp {} => nat::create_address(work, &id.name, tags).await,
        Part::NatGateway { subnet, address } => nat::create(work, &id.name, (subnet, address), tags).await,
        Part::RouteTable { out, subnets } => routes::create(work, &id.name, (out, subnets), tags).await,
        Part::SecurityGroup { itself: _ } => fabric::create_security_group(work, &id.name, tags).await,
        Part::PlacementGroup { strategy } => fabric::create_placement_group(work, &id.name, strategy, tags).await,
        Part::LaunchTemplate(_)
        | Part::Role(_)
        | Part::OidcProvider {}
        | Part::AccessEntry { .. }
        | Part::NodeAccess { .. }
        | Part::Addon { .. }
        | Part::PodIdentity { .. }
        | Part::LoadBalancer { .. }
        | Part::Volume { .. } => Err(not_here(id, "create")),
    }
}

/// Makes a part that was found what it should be: its tags, a VPC's DNS names, an internet gateway's attachment, a subnet's tier, a route
/// table's route and subnets. Addresses and zones cannot change.
///
/// # Errors
/// What came back from EC2; a difference that only making it anew removes.
pub async fn update(work: &Work<'_>, id: &PartId, found: &Found, wanted: (&Part, &Tags)) -> Result<(), AwsError> {
    let (part, tags) = wanted;
    // Tags first: what comes next finds the part by them.
    tagged::put(work, &found.id, &found.tags, tags).await?;
    let done = match (part, &found.part) {
        (Part::Vpc { cidr, dns_names }, Part::Vpc { cidr: has, dns_names: given }) if cidr == has => {
            if *dns_names && !given { vpc::give_dns_names(work, &found.id).await } else { Ok(()) }
        }
        (Part::InternetGateway { .. }, Part::InternetGateway { .. }) => vpc::attach(work, &found.id).await,
        (Part::Subnet { zone, cidr, tier }, Part::Subnet { zone: in_zone, cidr: has, tier: of })
            if zone == in_zone && cidr == has =>
        {
            if tier == of {
                Ok(())
            } else {
                subnet::set_tier(work, &found.id, *tier).await
            }
        }
        (Part::ElasticIp {}, Part::ElasticIp {}) => Ok(()),
        (Part::NatGateway { .. }, has) if part == has => Ok(()),
        (Part::RouteTable { out, subnets }, Part::RouteTable { .. }) => {
            routes::set(work, &found.id, out, subnets).await
        }
        (Part::SecurityGroup { itself }, Part::SecurityGroup { itself: has }) => {
            if *itself && !has {
                fabric::let_itself(work, &found.id).await
            } else {
                Ok(())
            }
        }
        (Part::PlacementGroup { .. }, has) if part == has => Ok(()),
        (Part::Vpc { .. } | Part::Subnet { .. } | Part::NatGateway { .. } | Part::PlacementGroup { .. }, _) => {
            Err(AwsError::refused(
                format!("change the {} {}", id.sort, id.name),
                "what differs cannot change while it lives",
            ))
        }
        _ => return Err(not_here(id, "change")),
    };
    done.map_err(AwsError::after_change)
}

/// Removes a part and waits until it is gone; what is not there is done.
///
/// # Errors
/// It does not carry this blueprint's marks; something is in it until the deadline; what came back from EC2.
pub async fn delete(work: &Work<'_>, id: &PartId, aws_id: &str) -> Result<(), AwsError> {
    use crate::part::sort;
    if id.sort == sort::NAT_GATEWAY {
        return nat::delete(work, aws_id).await;
    }
    if !tagged::is_there_and_ours(work, id, aws_id).await? {
        return Ok(());
    }
    match id.sort.as_str() {
        sort::VPC => vpc::delete(work, aws_id).await,
        sort::INTERNET_GATEWAY => vpc::delete_gateway(work, aws_id).await,
        sort::SUBNET => subnet::delete(work, aws_id).await,
        sort::ELASTIC_IP => nat::delete_address(work, aws_id).await,
        sort::ROUTE_TABLE => routes::delete(work, aws_id).await,
        sort::SECURITY_GROUP => fabric::delete_security_group(work, aws_id).await,
        sort::PLACEMENT_GROUP => fabric::delete_placement_group(work, aws_id).await,
        _ => Err(not_here(id, "delete")),
    }
}

fn not_here(id: &PartId, verb: &str) -> AwsError {
    AwsError::refused(format!("{verb} the {} {}", id.sort, id.name), "it is no part of a network")
}
