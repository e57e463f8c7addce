//! EC2's answers in the words of parts. Pure.
//!
//! A thing is which part its tag says. Inside the cluster's own VPC, one whose tags somebody took away is still known, by its name tag or by
//! being just what is wanted; its missing tags are then missing in what was found. What carries another blueprint's marks is never ours.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    Address, AttachmentStatus, InternetGateway, NatGateway, NatGatewayState, Route, RouteState, RouteTable,
    RouteTableAssociationStateCode, Subnet, SubnetState, Vpc,
};
use wbk_provider_api::{PartId, Why};

use super::ask::tags_of;
use crate::marks::{BLUEPRINT, CLUSTER, Marks, PART};
use crate::part::{Found, Part, Tier, Way, sort};

/// What is known of a network before it is looked at.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    /// The VPC that the cluster is in, by its id.
    pub vpc: Option<String>,
    /// The parts that are wanted.
    pub wanted: BTreeMap<PartId, Part>,
    /// The sorts that are asked for; all where it is absent. Of the others nothing is found.
    pub only: Option<BTreeSet<&'static str>>,
}

/// The sorts of a network.
pub(crate) const SORTS: [&str; 6] =
    [sort::VPC, sort::INTERNET_GATEWAY, sort::SUBNET, sort::ELASTIC_IP, sort::NAT_GATEWAY, sort::ROUTE_TABLE];

impl Anchors {
    /// Whether a sort is asked for.
    pub(crate) fn asks(&self, sort: &str) -> bool {
        SORTS.contains(&sort) && self.only.as_ref().is_none_or(|only| only.contains(sort))
    }
}

/// What one sort of a network is told by: itself, what it is named by, and the VPC that all is in.
pub(crate) fn told_by(sort: &str) -> BTreeSet<&'static str> {
    let also: &[&'static str] = match sort {
        sort::INTERNET_GATEWAY => &[sort::INTERNET_GATEWAY],
        sort::SUBNET => &[sort::SUBNET],
        sort::ELASTIC_IP | sort::NAT_GATEWAY => &[sort::SUBNET, sort::ELASTIC_IP, sort::NAT_GATEWAY],
        sort::ROUTE_TABLE => &[sort::SUBNET, sort::ELASTIC_IP, sort::NAT_GATEWAY, sort::ROUTE_TABLE],
        _ => &[],
    };
    also.iter().copied().chain([sort::VPC]).collect()
}

/// What was seen of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSeen {
    /// What is there.
    pub found: BTreeMap<PartId, Found>,
    /// Sorts that could not be seen, and why. What is not found of the others is not there.
    pub unknown: BTreeMap<&'static str, Why>,
}

impl NetworkSeen {
    /// Whether a part was looked for and not found.
    pub(crate) fn lacks(&self, id: &PartId) -> bool {
        !self.found.contains_key(id) && !self.unknown.contains_key(id.sort.as_str())
    }

    /// AWS' id of a part that is there.
    pub fn id(&self, sort: &str, name: &str) -> Option<&str> {
        self.found.get(&PartId::new(sort, name)).map(|found| found.id.as_str())
    }
}

type Answer<T> = Result<Vec<T>, Why>;

/// What EC2 answered.
pub(super) struct Answers {
    pub vpcs: Answer<Vpc>,
    /// By VPC, whether its machines have DNS names.
    pub dns_names: Result<BTreeMap<String, bool>, Why>,
    pub gateways: Answer<InternetGateway>,
    pub subnets: Answer<Subnet>,
    pub addresses: Answer<Address>,
    pub nats: Answer<NatGateway>,
    pub tables: Answer<RouteTable>,
}

/// Something that may be a part.
struct Candidate {
    id: String,
    tags: BTreeMap<String, String>,
    part: Part,
    issues: Vec<String>,
    /// The part that it is by what uses it.
    by_use: Option<String>,
}

/// Tells what EC2 answered.
pub(super) fn describe(marks: &Marks, anchors: &Anchors, answers: Answers) -> NetworkSeen {
    let mut telling = Telling { marks, anchors, seen: NetworkSeen::default() };
    let Answers { vpcs, dns_names, gateways, subnets, addresses, nats, tables } = answers;

    let vpcs = vpcs.and_then(|vpcs| Ok((vpcs, dns_names?)));
    // Nothing tells itself by the names of these three.
    let _names =
        telling.settle(sort::VPC, vpcs.map(|(vpcs, dns)| vpcs.iter().filter_map(|vpc| of_vpc(vpc, &dns)).collect()));
    let _names = telling
        .settle(sort::INTERNET_GATEWAY, gateways.map(|gateways| gateways.iter().filter_map(of_gateway).collect()));
    let subnet_names = telling.settle(sort::SUBNET, subnets.map(|all| all.iter().filter_map(of_subnet).collect()));

    let nats = nats.map(|nats| nats.into_iter().filter(is_there).collect::<Vec<_>>());
    let by_nat = telling.addresses_by_their_nats(&nats, &subnet_names);
    let addresses = addresses.map(|all| all.iter().filter_map(|address| of_address(address, &by_nat)).collect());
    let address_names = telling.settle(sort::ELASTIC_IP, addresses);

    let nats = nats.and_then(|nats| {
        let (subnets, addresses) = (subnet_names.clone()?, address_names?);
        Ok(nats.iter().filter_map(|nat| of_nat(nat, &subnets, &addresses)).collect())
    });
    let nat_names = telling.settle(sort::NAT_GATEWAY, nats);

    let tables = tables.and_then(|tables| {
        let (subnets, nats) = (subnet_names?, nat_names?);
        Ok(tables.iter().filter_map(|table| of_table(table, &subnets, &nats)).collect())
    });
    let _names = telling.settle(sort::ROUTE_TABLE, tables);
    telling.seen
}

struct Telling<'a> {
    marks: &'a Marks,
    anchors: &'a Anchors,
    seen: NetworkSeen,
}

/// Names of parts by AWS' ids, or why they are not known.
type Names = Result<BTreeMap<String, String>, Why>;

impl Telling<'_> {
    /// Takes the candidates of one sort that are parts.
    fn settle(&mut self, sort: &'static str, candidates: Result<Vec<Candidate>, Why>) -> Names {
        let candidates = match candidates {
            Ok(candidates) => candidates,
            Err(why) => {
                self.seen.unknown.insert(sort, why.clone());
                return Err(why);
            }
        };
        let (mut named, mut nameless) = (BTreeMap::<String, Vec<Candidate>>::new(), Vec::new());
        for candidate in candidates.into_iter().filter(|candidate| !self.is_foreign(&candidate.tags)) {
            match self.name_by_tags(sort, &candidate.tags).or_else(|| candidate.by_use.clone()) {
                Some(name) => named.entry(name).or_default().push(candidate),
                None => nameless.push(candidate),
            }
        }
        if self.anchors.vpc.is_some() {
            for candidate in nameless {
                let missing = self.anchors.wanted.iter().find(|(id, part)| {
                    id.sort == sort && !named.contains_key(&id.name) && self.is_it(part, &candidate)
                });
                if let Some((id, _)) = missing {
                    named.insert(id.name.clone(), vec![candidate]);
                }
            }
        }
        let mut names = BTreeMap::new();
        for (name, mut same) in named {
            // The cluster's own first, then what has all marks, then by id: the same every time.
            let rank = |one: &Candidate| {
                let anchored = Some(&one.id) == self.anchors.vpc.as_ref();
                (!anchored, !(self.marks.are_on(&one.tags) && one.tags.contains_key(PART)), one.id.clone())
            };
            same.sort_by_key(rank);
            names.extend(same.iter().map(|one| (one.id.clone(), name.clone())));
            let mut same = same.into_iter();
            let Some(Candidate { id, part, tags, mut issues, by_use: _ }) = same.next() else { continue };
            let others: Vec<String> = same.map(|other| other.id).collect();
            if !others.is_empty() {
                issues.push(format!(
                    "{} say the same of themselves as {id}: all are the {sort} {name}",
                    others.join(", ")
                ));
            }
            self.seen.found.insert(PartId::new(sort, name), Found { id, part, tags, issues });
        }
        Ok(names)
    }

    fn is_foreign(&self, tags: &BTreeMap<String, String>) -> bool {
        let other = |key: &str, own: &str| tags.get(key).is_some_and(|value| value != own);
        other(BLUEPRINT, &self.marks.blueprint) || other(CLUSTER, &self.marks.cluster)
    }

    fn name_by_tags(&self, sort: &str, tags: &BTreeMap<String, String>) -> Option<String> {
        let is_wanted = |name: &str| self.anchors.wanted.contains_key(&PartId::new(sort, name));
        let some_mark = tags.contains_key(BLUEPRINT) || tags.contains_key(CLUSTER);
        let by_part = tags.get(PART).filter(|name| some_mark || is_wanted(name)).cloned();
        by_part.or_else(|| {
            let name = tags.get("Name")?.strip_prefix(&self.marks.cluster)?.strip_prefix('-')?;
            (some_mark || is_wanted(name)).then(|| name.to_owned())
        })
    }

    /// Whether something without its tags is what a part would be.
    fn is_it(&self, wanted: &Part, candidate: &Candidate) -> bool {
        match (wanted, &candidate.part) {
            (Part::Vpc { cidr, .. }, Part::Vpc { cidr: found, .. }) => {
                Some(&candidate.id) == self.anchors.vpc.as_ref() && cidr == found
            }
            (Part::InternetGateway { .. }, Part::InternetGateway { attached }) => *attached,
            (Part::Subnet { zone, cidr, .. }, Part::Subnet { zone: found, cidr: addresses, .. }) => {
                zone == found && cidr == addresses
            }
            (Part::RouteTable { subnets, .. }, Part::RouteTable { subnets: found, .. }) => {
                !found.is_empty() && found.is_subset(subnets)
            }
            (Part::NatGateway { .. }, Part::NatGateway { .. }) => wanted == &candidate.part,
            _ => false,
        }
    }

    /// For every address in use by a NAT gateway, the part that it would be: the one that is wanted for a NAT gateway in that subnet.
    fn addresses_by_their_nats(&self, nats: &Answer<NatGateway>, subnets: &Names) -> BTreeMap<String, String> {
        let (Ok(nats), Ok(subnets), true) = (nats, subnets, self.anchors.vpc.is_some()) else { return BTreeMap::new() };
        let wanted = |place: &str| {
            self.anchors.wanted.values().find_map(|part| match part {
                Part::NatGateway { subnet, address } if subnet == place => Some(address.clone()),
                _ => None,
            })
        };
        nats.iter()
            .filter(|nat| !self.is_foreign(&tags_of(nat.tags())))
            .filter_map(|nat| Some((allocation(nat)?.to_owned(), wanted(subnets.get(nat.subnet_id()?)?)?)))
            .collect()
    }
}

fn of_vpc(vpc: &Vpc, dns: &BTreeMap<String, bool>) -> Option<Candidate> {
    let id = vpc.vpc_id()?.to_owned();
    let cidr = vpc.cidr_block().unwrap_or_default().to_owned();
    let dns_names = dns.get(&id).copied().unwrap_or(false);
    Some(Candidate {
        id,
        tags: tags_of(vpc.tags()),
        part: Part::Vpc { cidr, dns_names },
        issues: Vec::new(),
        by_use: None,
    })
}

fn of_gateway(gateway: &InternetGateway) -> Option<Candidate> {
    let id = gateway.internet_gateway_id()?.to_owned();
    // EC2 calls the attachment of an internet gateway `available`, which its own enum does not know.
    let attached = gateway.attachments().iter().any(|attachment| {
        attachment.vpc_id().is_some()
            && !matches!(attachment.state(), Some(AttachmentStatus::Detached | AttachmentStatus::Detaching))
    });
    let part = Part::InternetGateway { attached };
    Some(Candidate { id, tags: tags_of(gateway.tags()), part, issues: Vec::new(), by_use: None })
}

fn of_subnet(subnet: &Subnet) -> Option<Candidate> {
    let id = subnet.subnet_id()?.to_owned();
    let tier = if subnet.map_public_ip_on_launch() == Some(true) { Tier::Public } else { Tier::Private };
    let part = Part::Subnet {
        zone: subnet.availability_zone().unwrap_or_default().to_owned(),
        cidr: subnet.cidr_block().unwrap_or_default().to_owned(),
        tier,
    };
    let failed = matches!(subnet.state(), Some(SubnetState::Failed | SubnetState::FailedInsufficientCapacity));
    let issues = if failed { vec!["the subnet failed to be made".into()] } else { Vec::new() };
    Some(Candidate { id, tags: tags_of(subnet.tags()), part, issues, by_use: None })
}

fn of_address(address: &Address, by_nat: &BTreeMap<String, String>) -> Option<Candidate> {
    let id = address.allocation_id()?.to_owned();
    let by_use = by_nat.get(&id).cloned();
    Some(Candidate { id, tags: tags_of(address.tags()), part: Part::ElasticIp {}, issues: Vec::new(), by_use })
}

/// A NAT gateway stays in the answers for about an hour after it was deleted.
fn is_there(nat: &NatGateway) -> bool {
    !matches!(nat.state(), Some(NatGatewayState::Deleted | NatGatewayState::Deleting))
}

/// The address of a NAT gateway, by its allocation.
pub(super) fn allocation(nat: &NatGateway) -> Option<&str> {
    nat.nat_gateway_addresses().iter().find_map(|address| address.allocation_id())
}

fn of_nat(
    nat: &NatGateway,
    subnets: &BTreeMap<String, String>,
    addresses: &BTreeMap<String, String>,
) -> Option<Candidate> {
    let id = nat.nat_gateway_id()?.to_owned();
    // What is none of ours is told by its id, and so differs from what is wanted.
    let named = |names: &BTreeMap<String, String>, id: Option<&str>| {
        let id = id.unwrap_or_default();
        names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    };
    let part = Part::NatGateway { subnet: named(subnets, nat.subnet_id()), address: named(addresses, allocation(nat)) };
    let issues = match nat.state() {
        Some(NatGatewayState::Failed) => vec![format!("it failed: {}", failure(nat))],
        _ => Vec::new(),
    };
    Some(Candidate { id, tags: tags_of(nat.tags()), part, issues, by_use: None })
}

/// Why a NAT gateway failed.
pub(super) fn failure(nat: &NatGateway) -> String {
    let parts = [nat.failure_code(), nat.failure_message()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn of_table(
    table: &RouteTable,
    subnets: &BTreeMap<String, String>,
    nats: &BTreeMap<String, String>,
) -> Option<Candidate> {
    let id = table.route_table_id()?.to_owned();
    let out = match default_route(table) {
        Some(Leads::Nat(nat)) => Way::Nat(nats.get(&nat).cloned().unwrap_or(nat)),
        Some(Leads::Internet(_)) => Way::Internet,
        // Somewhere that no part of ours leads: told by its id, so that it differs.
        Some(Leads::Elsewhere(id)) => Way::Nat(id),
        None => Way::Nowhere,
    };
    let part = Part::RouteTable {
        out,
        subnets: associated(table)
            .into_keys()
            .map(|subnet| subnets.get(&subnet).cloned().unwrap_or(subnet))
            .collect::<BTreeSet<_>>(),
    };
    Some(Candidate { id, tags: tags_of(table.tags()), part, issues: Vec::new(), by_use: None })
}

/// Where everything that is not in the network goes, by ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    Internet(String),
    Nat(String),
    Elsewhere(String),
}

pub(super) const EVERYWHERE: &str = "0.0.0.0/0";

/// The default route of a table, where it has one that leads anywhere.
pub(super) fn default_route(table: &RouteTable) -> Option<Leads> {
    let is_default = |route: &&Route| route.destination_cidr_block() == Some(EVERYWHERE);
    let route = table.routes().iter().find(is_default)?;
    let owned = |id: &str| id.to_owned();
    if let Some(nat) = route.nat_gateway_id() {
        return Some(Leads::Nat(owned(nat)));
    }
    match route.gateway_id() {
        // A gateway that was detached leaves its routes behind.
        Some(gateway) if gateway.starts_with("igw-") => {
            (route.state() != Some(&RouteState::Blackhole)).then(|| Leads::Internet(owned(gateway)))
        }
        Some(gateway) => Some(Leads::Elsewhere(owned(gateway))),
        None => {
            let elsewhere = [
                route.transit_gateway_id(),
                route.instance_id(),
                route.network_interface_id(),
                route.vpc_peering_connection_id(),
            ];
            elsewhere.into_iter().flatten().next().map(|id| Leads::Elsewhere(owned(id)))
        }
    }
}

/// The subnets that follow a table, with the id of each association.
pub(super) fn associated(table: &RouteTable) -> BTreeMap<String, String> {
    let goes = |state: Option<&RouteTableAssociationStateCode>| {
        matches!(
            state,
            Some(
                RouteTableAssociationStateCode::Disassociated
                    | RouteTableAssociationStateCode::Disassociating
                    | RouteTableAssociationStateCode::Failed
            )
        )
    };
    table
        .associations()
        .iter()
        .filter(|one| !goes(one.association_state().and_then(|state| state.state())))
        .filter_map(|one| Some((one.subnet_id()?.to_owned(), one.route_table_association_id()?.to_owned())))
        .collect()
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
