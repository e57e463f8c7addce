//! Addresses of a network's subnets. What exists keeps its place, so that a zone more never moves another's.

use std::collections::{BTreeMap, BTreeSet};

use crate::part::Tier;

/// A network of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cidr {
    base: u32,
    length: u32,
}

/// Most zones that a network has room for: seven of its eighths are for nodes, the last is cut again for what is public.
pub const MOST_ZONES: usize = 7;

/// The subnet of each tier and zone. A /16 gives nodes of each zone a /19 (8,190 addresses: the VPC CNI takes one for each pod), and
/// what is public a /22. `there` are the subnets that exist. Nothing is given where the network is no network or is full.
pub fn layout(
    network: &str,
    zones: &[String],
    tiers: &[Tier],
    there: &BTreeMap<(Tier, String), String>,
) -> BTreeMap<(Tier, String), String> {
    let mut laid = BTreeMap::new();
    let Some(network) = Cidr::parse(network) else { return laid };
    let taken: BTreeSet<Cidr> = there.values().filter_map(|cidr| Cidr::parse(cidr)).collect();
    for tier in tiers {
        let mut free =
            blocks(network, *tier).into_iter().filter(|block| !taken.iter().any(|other| other.meets(*block)));
        for zone in zones {
            let key = (*tier, zone.clone());
            match there.get(&key) {
                Some(cidr) => {
                    laid.insert(key, cidr.clone());
                }
                None => laid.extend(free.next().map(|block| (key, block.to_string()))),
            }
        }
    }
    laid
}

/// The places that a tier has in a network.
fn blocks(network: Cidr, tier: Tier) -> Vec<Cidr> {
    let eighths = network.cut();
    match (tier, eighths.split_last()) {
        (Tier::Private, Some((_, nodes))) => nodes.to_vec(),
        (Tier::Public, Some((last, _))) => last.cut().into_iter().take(MOST_ZONES).collect(),
        (_, None) => Vec::new(),
    }
}

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let base = u32::from(address.parse::<std::net::Ipv4Addr>().ok()?);
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        Some(Self { base, length })
    }

    /// Its eighths; none where they would be smaller than AWS' smallest subnet, a /28.
    fn cut(self) -> Vec<Self> {
        let length = self.length + 3;
        if length > 28 {
            return Vec::new();
        }
        (0..8).map(|index| Self { base: self.base + (index << (32 - length)), length }).collect()
    }

    fn meets(self, other: Self) -> bool {
        let length = self.length.min(other.length);
        let mask = if length == 0 { 0 } else { u32::MAX << (32 - length) };
        self.base & mask == other.base & mask
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", std::net::Ipv4Addr::from(self.base), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn nodes_have_most_of_the_network_and_nothing_overlaps() {
        let laid = layout("10.0.0.0/16", &zones(&["a", "b", "c"]), &[Tier::Private, Tier::Public], &BTreeMap::new());
        assert_eq!(laid[&(Tier::Private, "a".to_owned())], "10.0.0.0/19");
        assert_eq!(laid[&(Tier::Private, "c".to_owned())], "10.0.64.0/19");
        assert_eq!(laid[&(Tier::Public, "a".to_owned())], "10.0.224.0/22");
        assert_eq!(laid[&(Tier::Public, "b".to_owned())], "10.0.228.0/22");
        let all: Vec<Cidr> = laid.values().map(|cidr| Cidr::parse(cidr).unwrap()).collect();
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| !one.meets(*other)));
        }
    }

    #[test]
    fn a_zone_more_moves_nobody() {
        let tiers = [Tier::Private, Tier::Public];
        let before = layout("10.0.0.0/16", &zones(&["b", "c"]), &tiers, &BTreeMap::new());
        let after = layout("10.0.0.0/16", &zones(&["a", "b", "c"]), &tiers, &before);
        assert!(before.iter().all(|(key, cidr)| after[key] == *cidr));
        assert_eq!(after[&(Tier::Private, "a".to_owned())], "10.0.64.0/19");
        assert_eq!(after.len(), 6);
    }

    #[test]
    fn a_network_without_room_gives_less() {
        assert!(layout("10.0.0.0/26", &zones(&["a"]), &[Tier::Private], &BTreeMap::new()).is_empty());
        let many: Vec<String> = (0..9).map(|index| format!("z{index}")).collect();
        assert_eq!(layout("10.0.0.0/16", &many, &[Tier::Private], &BTreeMap::new()).len(), MOST_ZONES);
    }
}
