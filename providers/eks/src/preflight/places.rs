//! Zones, machines in them, and addresses.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{EksNetwork, EksPool, Finding, OperationAction, ProviderTarget, Weight};

use super::Situation;
use crate::catalog::{ZONES_WITHOUT_EKS, machine};
use crate::facts::SubnetFact;

/// Free addresses that a cluster's subnet needs for the control plane's network interfaces (EKS user guide, "Subnet requirements for
/// clusters").
const CONTROL_PLANE: u64 = 6;
/// Addresses of every subnet that AWS keeps (VPC user guide, "Subnet CIDR blocks").
const KEPT: u64 = 5;

pub(super) fn findings(situation: &Situation<'_>) -> Vec<Finding> {
    let mut found = zones(situation);
    found.extend(subnets(situation));
    for (name, pool) in situation.eks().into_iter().flat_map(|eks| &eks.pools) {
        found.extend(offered(situation, name, pool));
    }
    found.extend(addresses(situation));
    found
}

fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    items.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Zones of the network that the region does not have, or EKS is not in.
fn zones(situation: &Situation<'_>) -> Vec<Finding> {
    let Some(known) = situation.facts.zones.known() else { return Vec::new() };
    let usable = |id: &&String| !ZONES_WITHOUT_EKS.contains(&id.as_str());
    let others: Vec<&String> = known.iter().filter(|(_, id)| usable(id)).map(|(name, _)| name).collect();
    let hint = format!("write `cluster.eks.network.zones` with two or more of {}", list(others));
    situation
        .zones
        .iter()
        .filter_map(|zone| {
            let says = match known.get(zone) {
                None => format!("{} has no zone {zone} for this account", situation.region()),
                Some(id) if !usable(&id) => format!("EKS has no control plane in {zone} ({id})"),
                Some(_) => return None,
            };
            Some(situation.against(situation.cluster(), says, hint.clone()))
        })
        .collect()
}

/// Somebody else's subnets.
fn subnets(situation: &Situation<'_>) -> Vec<Finding> {
    let (Some(known), Some(EksNetwork::Given { subnets })) =
        (situation.facts.subnets.known(), situation.eks().map(|eks| &eks.network))
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let cluster = || situation.cluster();
    for id in subnets.iter().filter(|id| !known.contains_key(*id)) {
        let says = format!("{} has no subnet {id}", situation.region());
        let hint = format!("`aws ec2 describe-subnets --region {}` lists them", situation.region());
        found.push(situation.against(cluster(), says, hint));
    }
    let there: Vec<(&String, &SubnetFact)> = known.iter().filter(|(id, _)| subnets.contains(*id)).collect();
    let zones: BTreeSet<&String> = there.iter().map(|(_, subnet)| &subnet.zone).collect();
    if zones.len() == 1 && there.len() == subnets.len() {
        let says = format!("all subnets are in {}, and EKS wants two zones", list(zones.iter().copied()));
        found.push(situation.against(cluster(), says, "name a subnet in another zone".into()));
    }
    let creates = situation.planned(&cluster()).is_some_and(|operation| operation.action == OperationAction::Create);
    for (id, subnet) in there.iter().filter(|(_, subnet)| creates && subnet.free < CONTROL_PLANE) {
        let says = format!("{id} has {} free addresses, and the control plane takes {CONTROL_PLANE}", subnet.free);
        found.push(situation.against(cluster(), says, "name a larger subnet".into()));
    }
    found
}

/// Machines that the zones of a pool do not have.
fn offered(situation: &Situation<'_>, name: &str, pool: &EksPool) -> Option<Finding> {
    let offered = situation.facts.offered.known()?;
    let own: BTreeSet<&String> =
        if pool.zones.is_empty() { situation.zones.iter().collect() } else { pool.zones.iter().collect() };
    let nowhere = BTreeSet::new();
    let zones_of = |machine: &String| offered.get(machine).unwrap_or(&nowhere);
    let target = ProviderTarget::NodePool(name.to_owned());
    let region = situation.region();
    let all = list(&pool.machines);
    let (absent, there): (Vec<&String>, Vec<&String>) =
        pool.machines.iter().partition(|machine| zones_of(machine).is_empty());
    if there.is_empty() {
        let says = format!("{region} does not have {all}");
        return Some(situation.against(target, says, "name another machine, or another region".into()));
    }
    let has: BTreeSet<&String> = there.iter().flat_map(|machine| zones_of(machine)).collect();
    let both: BTreeSet<&String> = has.iter().filter(|zone| own.contains(*zone)).copied().collect();
    if both.is_empty() && !own.is_empty() {
        let key = if pool.zones.is_empty() { "cluster.eks.network.zones" } else { "eks.zones" };
        let says =
            format!("{all} is in {}, and the pool is in {}", list(has.iter().copied()), list(own.iter().copied()));
        return Some(situation.against(target, says, format!("write `{key}` with one of {}", list(has))));
    }
    let advice = |says: String, hint: &str| {
        Some(Finding { target: target.clone(), weight: Weight::Advice, says, hint: hint.to_owned() })
    };
    if !absent.is_empty() {
        return advice(format!("{region} does not have {}", list(absent)), "remove them from `eks.also`");
    }
    if both.len() < own.len() {
        let says = format!("of the pool's zones, only {} has {all}", list(both.iter().copied()));
        return advice(says, "no action is needed; a second zone would be a second chance to get one");
    }
    None
}

/// Addresses for all nodes and their pods at once: the VPC CNI gives each pod one of the subnet's.
fn addresses(situation: &Situation<'_>) -> Option<Finding> {
    let eks = situation.eks()?;
    let free = match &eks.network {
        EksNetwork::Given { subnets } => {
            let known: &BTreeMap<String, SubnetFact> = situation.facts.subnets.known()?;
            known.iter().filter(|(id, _)| subnets.contains(*id)).map(|(_, subnet)| subnet.free).sum()
        }
        EksNetwork::Own { cidr, .. } => {
            let length: u32 = cidr.split_once('/')?.1.parse().ok()?;
            // Nodes of each zone have an eighth of the network.
            let each = 1_u64.checked_shl(32_u32.checked_sub(length + 3)?)?;
            each.saturating_sub(KEPT) * situation.zones.len() as u64
        }
    };
    let mut need = 0;
    let mut at_least = 0;
    for pool in situation.wanted.pools.values() {
        let pods = eks
            .pools
            .get(&pool.name)
            .and_then(|eks| machine(eks.machines.first()?))
            .map_or(110, |machine| machine.pods());
        need += u64::from(pool.size.max) * (1 + u64::from(pods));
        at_least += u64::from(pool.size.min);
    }
    let says = |what: &str, count: u64| format!("the subnets have {free} free addresses, and {what} take {count}");
    let hint = "name larger subnets, or let vpc-cni give out prefixes (`ENABLE_PREFIX_DELEGATION`)";
    if free < at_least {
        let says = says("the fewest nodes, with one each, would", at_least);
        return Some(situation.against(situation.cluster(), says, hint.into()));
    }
    (free < need).then(|| Finding {
        target: situation.cluster(),
        weight: Weight::Advice,
        says: says("all nodes full of pods would", need),
        hint: hint.into(),
    })
}
