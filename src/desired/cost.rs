//! Prices that a blueprint brings, and what it may cost at most.

use serde::Serialize;

use crate::blueprint::schema::{Blueprint, FixedPrice, NodePrice};
use crate::cost::{FixedCost, OwnPrices, Payer, PriceRule, UsdPerHour};

/// Prices that a blueprint brings, and what it may cost at most.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredCost {
    /// Its own prices.
    pub prices: OwnPrices,
    /// Most that the platform may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<UsdPerHour>,
}

impl DesiredCost {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty() && self.most.is_none()
    }
}

/// What the sections `cost` and `policy` say. A price that is none, the schema and the rules have refused.
pub(super) fn cost(blueprint: &Blueprint) -> DesiredCost {
    DesiredCost {
        prices: OwnPrices {
            rules: blueprint.cost.prices.iter().filter_map(rule).collect(),
            fixed: blueprint.cost.fixed.iter().filter_map(fixed).collect(),
        },
        most: blueprint.policy.max_hourly_cost.and_then(UsdPerHour::dollars),
    }
}

fn rule(section: &NodePrice) -> Option<PriceRule> {
    let NodePrice { pool, machine, region, capacity, accelerator, hourly, gpu_hourly } = section;
    let (dollars, each) = match (hourly, gpu_hourly) {
        (Some(dollars), _) => (*dollars, Payer::Node),
        (None, Some(dollars)) => (*dollars, Payer::Gpu),
        (None, None) => return None,
    };
    Some(PriceRule {
        pool: pool.clone(),
        machine: machine.clone(),
        region: region.clone(),
        capacity: *capacity,
        accelerator: accelerator.clone(),
        price: UsdPerHour::dollars(dollars)?,
        each,
    })
}

fn fixed(section: &FixedPrice) -> Option<FixedCost> {
    Some(FixedCost { name: section.name.clone(), hourly: UsdPerHour::dollars(section.hourly)? })
}
