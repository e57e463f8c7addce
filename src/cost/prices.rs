//! What one node costs, and who says so: the blueprint's own rules first, then lists.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wbk_provider_api::{Capacity, PoolSpec};

use super::facts::{Cloud, NodeFacts};
use super::list::{NoQuote, PriceList, Quote};
use super::money::UsdPerHour;

/// What a price is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payer {
    /// A whole node.
    Node,
    /// Each of its GPUs.
    Gpu,
}

/// A price of one's own, for the nodes that are all that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceRule {
    /// Of this pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Of this machine type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<String>,
    /// In this region.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    /// Paid for like this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capacity: Option<Capacity>,
    /// With this accelerator.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accelerator: Option<String>,
    /// The price.
    pub price: UsdPerHour,
    /// What it is for.
    pub each: Payer,
}

/// Something that costs by the hour and is no node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedCost {
    /// What it is.
    pub name: String,
    /// What it costs.
    pub hourly: UsdPerHour,
}

/// Prices that a blueprint brings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OwnPrices {
    /// Of nodes; the first that fits holds.
    pub rules: Vec<PriceRule>,
    /// Of everything else.
    pub fixed: Vec<FixedCost>,
}

impl OwnPrices {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.fixed.is_empty()
    }
}

/// A node, or one that will be, as far as its price depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its pool.
    pub pool: Option<&'a str>,
    /// Its cloud.
    pub cloud: Option<Cloud>,
    /// Its region.
    pub region: Option<&'a str>,
    /// Its machine type.
    pub machine: Option<&'a str>,
    /// How it is paid for.
    pub capacity: Capacity,
    /// Paid for ahead.
    pub prepaid: bool,
    /// The model of its GPUs.
    pub model: Option<&'a str>,
    /// GPUs that are in it; `None` where it offers shares or partitions, so that nobody says how many there are.
    pub gpus: Option<u64>,
}

impl<'a> Subject<'a> {
    /// A live node. `counted` is how many GPUs are in each node of its pool, where the blueprint says it.
    pub fn of_node(facts: &'a NodeFacts, counted: Option<u64>) -> Self {
        let whole = ["nvidia.com/gpu", "amd.com/gpu"];
        let offered = facts.gpus();
        let all_whole = offered.keys().all(|resource| whole.contains(&resource.as_str()));
        Self {
            pool: facts.pool.as_deref(),
            cloud: facts.cloud,
            region: facts.region.as_deref(),
            machine: facts.machine.as_deref(),
            capacity: facts.capacity,
            prepaid: facts.prepaid,
            model: facts.model.as_deref(),
            gpus: counted.or_else(|| all_whole.then(|| offered.values().sum())),
        }
    }

    /// A node that a pool would have.
    pub fn of_pool(pool: &'a PoolSpec, cloud: Option<Cloud>, region: Option<&'a str>) -> Self {
        Self {
            pool: Some(&pool.name),
            cloud,
            region,
            machine: pool.machine.as_deref(),
            capacity: pool.capacity,
            prepaid: false,
            model: pool.accelerator.as_ref().map(|accelerator| accelerator.model.as_str()),
            gpus: Some(pool.accelerator.as_ref().map_or(0, |accelerator| u64::from(accelerator.count))),
        }
    }
}

/// What a node costs, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Priced {
    /// It has a price of the blueprint's own.
    Own(UsdPerHour),
    /// It has the price of a list.
    Listed(Quote),
    /// It has none, and why, in words that follow its name.
    Unknown(String),
}

impl Priced {
    /// The price, where there is one.
    pub fn price(&self) -> Option<UsdPerHour> {
        match self {
            Self::Own(price) => Some(*price),
            Self::Listed(quote) => Some(quote.price),
            Self::Unknown(_) => None,
        }
    }
}

/// All prices in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    /// The blueprint's.
    pub own: OwnPrices,
    /// A list of the user's.
    pub list: Option<Arc<PriceList>>,
}

/// How the list names a cloud's Kubernetes service itself.
const SERVICE: &str = "(cluster)";

impl Prices {
    /// What a node costs.
    pub fn of(&self, node: &Subject<'_>) -> Priced {
        if let Some(found) = self.own.rules.iter().find_map(|rule| rule.price(node)) {
            return found;
        }
        let Some(machine) = node.machine else {
            return Priced::Unknown(match node.cloud {
                Some(_) => "its machine type is not said".into(),
                None => "it is of no cloud, and `cost.prices` has nothing for it".into(),
            });
        };
        if node.prepaid {
            return Priced::Unknown(format!(
                "{machine} is reserved and paid for ahead; `cost.prices` may say what it costs"
            ));
        }
        let mut why = NoQuote::Cloud;
        for list in self.list.as_deref().into_iter().chain([PriceList::shipped()]) {
            match list.quote(node.cloud, (machine, node.region), node.capacity) {
                Ok(quote) => return Priced::Listed(quote),
                Err(found) => why = why.max(found),
            }
        }
        let cloud = node.cloud.map_or("no cloud", Cloud::as_str);
        let region = node.region.unwrap_or("an unknown region");
        Priced::Unknown(match why {
            NoQuote::Cloud => format!("there is no price of {machine}: the node is of no cloud that has a list"),
            NoQuote::Machine => format!("the list has no {machine} of {cloud}"),
            NoQuote::Region => format!("the list has no price of {machine} in {region} ({cloud})"),
            NoQuote::Spot(on_demand) => {
                format!("the list has no spot price of {machine} in {region} ({cloud}); on demand it costs {on_demand}")
            }
        })
    }

    /// What a cloud asks for its Kubernetes service itself, where the list says it.
    pub(super) fn of_service(&self, cloud: Cloud) -> Option<Quote> {
        let lists = self.list.as_deref().into_iter().chain([PriceList::shipped()]);
        lists.into_iter().find_map(|list| list.quote(Some(cloud), (SERVICE, None), Capacity::OnDemand).ok())
    }
}

impl PriceRule {
    /// What the node costs by this rule; `None` where it says nothing about it.
    fn price(&self, node: &Subject<'_>) -> Option<Priced> {
        let Self { pool, machine, region, capacity, accelerator, price, each } = self;
        let fits = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        let all = fits(pool, node.pool)
            && fits(machine, node.machine)
            && fits(region, node.region)
            && fits(accelerator, node.model)
            && capacity.is_none_or(|capacity| capacity == node.capacity);
        if !all {
            return None;
        }
        Some(match (each, node.gpus) {
            (Payer::Node, _) => Priced::Own(*price),
            (Payer::Gpu, Some(gpus)) => Priced::Own(price.times(gpus)),
            (Payer::Gpu, None) => {
                Priced::Unknown("its price is that of its GPUs, and it offers shares or partitions of them".into())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject<'static> {
        Subject {
            pool: Some("a100"),
            cloud: Some(Cloud::Aws),
            region: Some("us-east-1"),
            machine: Some("p4d.24xlarge"),
            capacity: Capacity::OnDemand,
            prepaid: false,
            model: Some("nvidia-a100-40gb"),
            gpus: Some(8),
        }
    }

    fn rule(price: u64, each: Payer) -> PriceRule {
        let price = UsdPerHour::micros(price * 1_000_000);
        PriceRule { pool: None, machine: None, region: None, capacity: None, accelerator: None, price, each }
    }

    #[test]
    fn a_price_of_ones_own_comes_before_the_list_and_the_first_that_fits_holds() {
        let spot = PriceRule { capacity: Some(Capacity::Spot), ..rule(1, Payer::Node) };
        let elsewhere = PriceRule { region: Some("eu-west-1".into()), ..rule(2, Payer::Node) };
        let each = PriceRule { accelerator: Some("nvidia-a100-40gb".into()), ..rule(2, Payer::Gpu) };
        let own = OwnPrices { rules: vec![spot, elsewhere, each, rule(3, Payer::Node)], fixed: Vec::new() };
        let prices = Prices { own, list: None };
        let shown = |node: &Subject<'_>| prices.of(node).price().map(|price| price.to_string());
        assert_eq!(shown(&subject()).as_deref(), Some("$16.00"));
        assert_eq!(shown(&Subject { capacity: Capacity::Spot, ..subject() }).as_deref(), Some("$1.00"));
        assert_eq!(shown(&Subject { model: None, ..subject() }).as_deref(), Some("$3.00"));
        assert!(matches!(prices.of(&Subject { gpus: None, ..subject() }), Priced::Unknown(_)));
        let listed = Prices::default().of(&subject());
        assert!(matches!(&listed, Priced::Listed(quote) if quote.price.to_string() == "$21.96"), "{listed:?}");
    }

    #[test]
    fn a_list_of_the_users_comes_before_the_shipped_one() {
        let text = "cloud,aws,2026-11-01,ours\nmachine,cpus,GiB,gpu,gpus,*\np4d.24xlarge,,,,,10\n";
        let prices = Prices { own: OwnPrices::default(), list: Some(Arc::new(PriceList::parse(text).unwrap())) };
        let Priced::Listed(quote) = prices.of(&subject()) else { panic!() };
        assert_eq!((quote.price.to_string(), quote.source), ("$10.00".into(), "ours".into()));
        let Priced::Listed(quote) = prices.of(&Subject { machine: Some("m7i.xlarge"), ..subject() }) else { panic!() };
        assert!(quote.source.contains("karpenter"));
        // What the user's list has is told of, rather than that the other one lacks it.
        let why = prices.of(&Subject { capacity: Capacity::Spot, ..subject() });
        assert_eq!(
            why,
            Priced::Unknown(
                "the list has no spot price of p4d.24xlarge in us-east-1 (aws); on demand it costs $21.96".into()
            )
        );
    }

    #[test]
    fn a_node_without_a_price_says_why() {
        let why = |node: Subject<'_>| match Prices::default().of(&node) {
            Priced::Unknown(why) => why,
            known => panic!("{known:?}"),
        };
        assert!(why(Subject { machine: None, cloud: None, ..subject() }).contains("of no cloud"));
        assert!(why(Subject { machine: None, ..subject() }).contains("not said"));
        assert!(why(Subject { machine: Some("x9.huge"), ..subject() }).contains("no x9.huge of aws"));
        assert!(why(Subject { prepaid: true, ..subject() }).contains("ahead"));
        assert!(why(Subject { cloud: None, ..subject() }).contains("no cloud that has a list"));
    }

    #[test]
    fn the_service_itself_has_a_price_where_the_list_says_it() {
        let of = |cloud| Prices::default().of_service(cloud).map(|quote| quote.price.to_string());
        assert_eq!((of(Cloud::Aws), of(Cloud::Gcp)), (Some("$0.10".into()), Some("$0.10".into())));
        assert_eq!(of(Cloud::Azure), None);
    }
}
