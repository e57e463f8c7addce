//! Facts on what is somebody else's: given subnets, and the zones of the region.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ask::{self, filter, tags_of};
use super::describe::{Leads, associated, default_route};
use crate::aws::Aws;
use crate::error::AwsError;

/// Zones, by id, in which EKS runs no control plane (EKS user guide, "Network requirements": subnets in them are refused).
const WITHOUT_CONTROL_PLANE: [&str; 3] = ["use1-az3", "usw1-az2", "cac1-az3"];

/// Subnets that a blueprint names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// Those that are there, by id.
    pub subnets: BTreeMap<String, SubnetFacts>,
    /// Those that are not.
    pub missing: BTreeSet<String>,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetFacts {
    /// `us-west-2a`.
    pub zone: String,
    /// `usw2-az1`: the same place in every account.
    pub zone_id: String,
    /// The VPC that it is in.
    pub vpc: String,
    /// Its addresses.
    pub cidr: String,
    /// Addresses that are free.
    pub free_addresses: u32,
    /// Whether its machines get public addresses.
    pub maps_public_addresses: bool,
    /// Whether its default route leads to an internet gateway; `None` where its routes could not be seen.
    pub public: Option<bool>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A zone of the region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneFacts {
    /// `us-west-2a`.
    pub name: String,
    /// `usw2-az1`.
    pub id: String,
    /// Whether EKS runs control planes in it.
    pub control_plane: bool,
}

/// Looks at subnets that a blueprint names: two requests.
///
/// # Errors
/// The subnets could not be described. Routes that could not be seen are no error.
pub async fn given(aws: &Aws, ids: &BTreeSet<String>) -> Result<Given, AwsError> {
    // As a filter, so that one that is missing does not hide the others.
    let subnets = ask::subnets(aws, vec![filter("subnet-id", ids)]).await?;
    let vpcs: BTreeSet<&str> = subnets.iter().filter_map(|subnet| subnet.vpc_id()).collect();
    let tables = if vpcs.is_empty() { Ok(Vec::new()) } else { ask::tables(aws, vec![filter("vpc-id", vpcs)]).await };
    let public = |subnet: &str, vpc: &str| {
        let tables = tables.as_ref().ok()?;
        let is_main = |table: &&aws_sdk_ec2::types::RouteTable| {
            table.vpc_id() == Some(vpc) && table.associations().iter().any(|one| one.main() == Some(true))
        };
        let explicit = tables.iter().find(|table| associated(table).contains_key(subnet));
        let table = explicit.or_else(|| tables.iter().find(is_main))?;
        Some(matches!(default_route(table), Some(Leads::Internet(_))))
    };
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let subnets: BTreeMap<String, SubnetFacts> = subnets
        .iter()
        .filter_map(|subnet| {
            let (id, vpc) = (subnet.subnet_id()?, text(subnet.vpc_id()));
            let facts = SubnetFacts {
                zone: text(subnet.availability_zone()),
                zone_id: text(subnet.availability_zone_id()),
                cidr: text(subnet.cidr_block()),
                free_addresses: subnet.available_ip_address_count().map_or(0, i32::unsigned_abs),
                maps_public_addresses: subnet.map_public_ip_on_launch() == Some(true),
                public: public(id, &vpc),
                tags: tags_of(subnet.tags()),
                vpc,
            };
            Some((id.to_owned(), facts))
        })
        .collect();
    let missing = ids.iter().filter(|id| !subnets.contains_key(*id)).cloned().collect();
    Ok(Given { subnets, missing })
}

/// The zones that the account may use now, by name.
///
/// # Errors
/// They could not be described.
pub async fn zones(aws: &Aws) -> Result<Vec<ZoneFacts>, AwsError> {
    let mut zones: Vec<ZoneFacts> = ask::zones(aws)
        .await?
        .into_iter()
        .filter_map(|zone| {
            let (name, id) = (zone.zone_name?, zone.zone_id.unwrap_or_default());
            let control_plane = !WITHOUT_CONTROL_PLANE.contains(&id.as_str());
            Some(ZoneFacts { name, id, control_plane })
        })
        .collect();
    zones.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(zones)
}
