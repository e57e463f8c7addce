//! The network: of its own by its addresses, or somebody else's by its subnets.

use std::net::Ipv4Addr;

use wbk_provider_api::EksNat;

use super::super::Report;
use super::{is_id, is_zone_of, region};
use crate::blueprint::path::steps;
use crate::blueprint::schema::EksNetworkSection;

/// The largest network that a VPC may have, and the smallest that has room for nodes and load balancers in zones of their own: each
/// zone's nodes have an eighth of it, what is public an eighth of an eighth, and AWS' smallest subnet is a /28.
const LENGTHS: std::ops::RangeInclusive<u32> = 16..=22;
/// Zones that a network is cut for.
const MOST_ZONES: usize = 7;

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let Some(network) = blueprint.cluster.eks.as_ref().and_then(|section| section.network.as_ref()) else { return };
    if network.subnets.is_empty() { own(report, network) } else { given(report, network) }
}

fn given(report: &mut Report<'_>, network: &EksNetworkSection) {
    let own = [("cidr", network.cidr.is_some()), ("zones", !network.zones.is_empty()), ("nat", network.nat.is_some())];
    for (key, set) in own {
        if set {
            report.error(
                steps!["cluster", "eks", "network", key],
                "is of a network of its own, and `subnets` are somebody else's",
                "keep one of the two",
            );
        }
    }
    let path = steps!["cluster", "eks", "network", "subnets"];
    if network.subnets.len() < 2 {
        report.error(path, "EKS wants subnets in two zones at least", "name one more, in another zone");
    }
    for (index, subnet) in network.subnets.iter().enumerate() {
        let path = steps!["cluster", "eks", "network", "subnets", index];
        if !is_id(subnet, "subnet-") {
            let hint = "write its id: `subnet-` and 17 hexadecimal digits";
            report.error(path, &format!("{subnet:?} is no subnet"), hint);
        } else if network.subnets[..index].contains(subnet) {
            report.error(path, &format!("{subnet} is there twice"), "keep one of them");
        }
    }
}

fn own(report: &mut Report<'_>, network: &EksNetworkSection) {
    if let Some(cidr) = &network.cidr {
        addresses(report, cidr);
    }
    let path = steps!["cluster", "eks", "network", "zones"];
    match network.zones.len() {
        1 => {
            report.error(path, "EKS wants two zones at least", "name one more; nodes may still be kept in one, by pool")
        }
        count if count > MOST_ZONES => {
            report.error(path, &format!("{count} zones, and a network is cut for {MOST_ZONES}"), "name fewer");
        }
        _ => {}
    }
    for (index, zone) in network.zones.iter().enumerate() {
        let path = steps!["cluster", "eks", "network", "zones", index];
        if let Some(region) = region(report).filter(|region| !is_zone_of(zone, region)) {
            report.error(path, &format!("{zone:?} is no zone of {region}"), &format!("write for example `{region}a`"));
        } else if network.zones[..index].contains(zone) {
            report.error(path, &format!("{zone} is there twice"), "keep one of them");
        }
    }
    if network.nat == Some(EksNat::None) {
        report.warning(
            steps!["cluster", "eks", "network", "nat"],
            "without NAT, nodes are in public subnets, each with a public address",
            "write `nat: one`, unless that is meant",
        );
    }
}

fn addresses(report: &mut Report<'_>, cidr: &str) {
    let path = steps!["cluster", "eks", "network", "cidr"];
    let hint = "write for example `cidr: 10.0.0.0/16`";
    // The schema's format has checked the form.
    let (address, length) = cidr.split_once('/').unwrap_or((cidr, ""));
    let (Ok(address), Ok(length)) = (address.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
        return report.error(path, "a network of EKS' nodes has IPv4 addresses", hint);
    };
    let bits = u32::from(address);
    let mask = if length == 0 { 0 } else { u32::MAX << (32 - length) };
    if bits & !mask != 0 {
        let network = Ipv4Addr::from(bits & mask);
        report.error(
            path,
            &format!("{address} is not the first address of a /{length}"),
            &format!("write `cidr: {network}/{length}`"),
        );
    } else if !LENGTHS.contains(&length) {
        let message = format!(
            "a /{length}: AWS takes /16 and smaller, and less than a /22 has no room for subnets in several zones"
        );
        report.error(path, &message, hint);
    } else if !address.is_private() && !is_shared(address) {
        report.warning(path, "these addresses are others' in the internet, who cannot be reached then", hint);
    }
}

/// 100.64.0.0/10, which providers use between themselves (RFC 6598); many give it to pods.
fn is_shared(address: Ipv4Addr) -> bool {
    u32::from(address) >> 22 == u32::from(Ipv4Addr::new(100, 64, 0, 0)) >> 22
}
