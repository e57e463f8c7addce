//! The describes of EC2: one request each as long as EC2 answers in one page, which it does for what one VPC has.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    Address, AvailabilityZone, Filter, InternetGateway, NatGateway, NetworkInterface, PlacementGroup, RouteTable,
    SecurityGroup, Subnet, Tag, Vpc, VpcAttributeName,
};

use crate::aws::Aws;
use crate::error::AwsError;
use crate::marks::{BLUEPRINT, CLUSTER, Marks};

type Answer<T> = Result<Vec<T>, AwsError>;

/// A filter.
pub(super) fn filter(name: impl Into<String>, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// The filters of everything that is of a blueprint and a cluster.
pub(crate) fn ours(marks: &Marks) -> Vec<Filter> {
    vec![filter(format!("tag:{BLUEPRINT}"), [&marks.blueprint]), filter(format!("tag:{CLUSTER}"), [&marks.cluster])]
}

/// Tags as a map; one without a key is none.
pub(crate) fn tags_of(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

macro_rules! paged {
    ($(#[$doc:meta])* $name:ident, $call:ident, $filters:ident, $item:ty, $attempted:literal) => {
        $(#[$doc])*
        pub(super) async fn $name(aws: &Aws, filters: Vec<Filter>) -> Answer<$item> {
            let pages = aws.ec2.$call().$filters(Some(filters)).into_paginator().items().send();
            pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk($attempted))
        }
    };
}

paged!(vpcs, describe_vpcs, set_filters, Vpc, "describe VPCs");
paged!(gateways, describe_internet_gateways, set_filters, InternetGateway, "describe internet gateways");
paged!(subnets, describe_subnets, set_filters, Subnet, "describe subnets");
paged!(nats, describe_nat_gateways, set_filter, NatGateway, "describe NAT gateways");
paged!(tables, describe_route_tables, set_filters, RouteTable, "describe route tables");
paged!(interfaces, describe_network_interfaces, set_filters, NetworkInterface, "describe network interfaces");
paged!(groups, describe_security_groups, set_filters, SecurityGroup, "describe security groups");

/// Addresses; EC2 has no pages of them.
pub(super) async fn addresses(aws: &Aws, filters: Vec<Filter>) -> Answer<Address> {
    let said = aws.ec2.describe_addresses().set_filters(Some(filters)).send().await;
    Ok(said.map_err(AwsError::sdk("describe elastic IPs"))?.addresses.unwrap_or_default())
}

/// Placement groups; EC2 has no pages of them.
pub(super) async fn placements(aws: &Aws, filters: Vec<Filter>) -> Answer<PlacementGroup> {
    let said = aws.ec2.describe_placement_groups().set_filters(Some(filters)).send().await;
    Ok(said.map_err(AwsError::sdk("describe placement groups"))?.placement_groups.unwrap_or_default())
}

/// The zones that the account may use now, local and wavelength zones left out: EKS has no control plane there.
pub(super) async fn zones(aws: &Aws) -> Answer<AvailabilityZone> {
    let filters = vec![filter("state", ["available"]), filter("zone-type", ["availability-zone"])];
    let said = aws.ec2.describe_availability_zones().set_filters(Some(filters)).send().await;
    Ok(said.map_err(AwsError::sdk("describe availability zones"))?.availability_zones.unwrap_or_default())
}

/// Whether machines of a VPC have DNS names and a resolver: two attributes, a request each.
pub(super) async fn has_dns_names(aws: &Aws, vpc: &str) -> Result<bool, AwsError> {
    let ask = |attribute: VpcAttributeName| async move {
        let said = aws.ec2.describe_vpc_attribute().vpc_id(vpc).attribute(attribute).send().await;
        let said = said.map_err(AwsError::sdk(format!("describe the attributes of the VPC {vpc}")))?;
        let value = said.enable_dns_hostnames.or(said.enable_dns_support).and_then(|answer| answer.value);
        Ok::<_, AwsError>(value.unwrap_or(false))
    };
    let (names, resolver) =
        futures::try_join!(ask(VpcAttributeName::EnableDnsHostnames), ask(VpcAttributeName::EnableDnsSupport))?;
    Ok(names && resolver)
}
