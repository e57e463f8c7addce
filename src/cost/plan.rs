//! What a plan makes of the costs: its pools from the fewest to the most nodes, before and after.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wbk_provider_api::{Observed, PoolSize, PoolSpec, Seen, Wanted};

use super::facts::Cloud;
use super::money::UsdPerHour;
use super::prices::{Priced, Prices, Subject};

/// From the fewest nodes to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// With the fewest nodes.
    pub min: UsdPerHour,
    /// With the most.
    pub max: UsdPerHour,
}

/// What a plan makes of the costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanCost {
    /// Pools, by name.
    pub pools: Vec<PoolCost>,
    /// What costs by the hour and is no node, when the plan is done.
    pub fixed: UsdPerHour,
    /// What it costs now, as pools may grow and shrink.
    pub before: Range,
    /// What it costs when the plan is done.
    pub after: Range,
    /// Whether a pool has no price: then all of this is "at least".
    pub at_least: bool,
}

/// A pool's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolCost {
    /// Its name.
    pub name: String,
    /// What one node costs when the plan is done, or costs now where the pool goes; `null` where that is not known.
    pub node: Option<UsdPerHour>,
    /// Who says so, or why nobody does.
    pub priced: String,
    /// The number of its nodes now; `null` where it is not there.
    pub nodes_before: Option<PoolSize>,
    /// The number of its nodes when the plan is done; `null` where it is gone.
    pub nodes_after: Option<PoolSize>,
    /// What it costs now.
    pub before: Range,
    /// What it costs when the plan is done.
    pub after: Range,
}

/// What a plan does with a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolStep {
    /// It is, or becomes, as wanted.
    AsWanted,
    /// It goes.
    Goes,
}

/// Prices what a plan does. `steps` has the pools that it touches; a pool that it does not touch stays as it is. `None` where no
/// pool has a price and none is in a cloud: then there is nothing to say.
pub fn plan_cost(
    wanted: &Wanted,
    observed: &Observed,
    steps: &BTreeMap<String, PoolStep>,
    prices: &Prices,
) -> Option<PlanCost> {
    let cloud = Cloud::of_provider(wanted.cluster.provider);
    let region = wanted.cluster.region.as_deref();
    let names = wanted.pools.keys().chain(observed.pools.keys());
    let mut pools: Vec<PoolCost> = Vec::new();
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let there = observed.pools.get(name).and_then(Seen::present).map(|seen| &seen.spec);
        let asked = wanted.pools.get(name);
        let after = match steps.get(name) {
            Some(PoolStep::AsWanted) => asked,
            Some(PoolStep::Goes) => None,
            // Nothing to do about it: as it is seen, which is as wanted, or kept.
            None => there,
        };
        let Some(priced_as) = after.or(there).or(asked) else { continue };
        let price = |spec: &PoolSpec| prices.of(&Subject::of_pool(spec, cloud, region));
        let priced = price(priced_as);
        let range = |spec: Option<&PoolSpec>| {
            let each = spec.and_then(|spec| price(spec).price()).unwrap_or_default();
            let size = spec.map_or(PoolSize { min: 0, max: 0 }, |spec| spec.size);
            Range { min: each.times(size.min.into()), max: each.times(size.max.into()) }
        };
        pools.push(PoolCost {
            name: name.clone(),
            node: priced.price(),
            priced: match &priced {
                Priced::Own(_) => "the blueprint's own price".into(),
                Priced::Listed(quote) => format!("{} of {}", quote.source, quote.date),
                Priced::Unknown(why) => why.clone(),
            },
            nodes_before: there.map(|spec| spec.size),
            nodes_after: after.map(|spec| spec.size),
            before: range(there),
            after: range(after),
        });
    }
    if cloud.is_none() && prices.own.fixed.is_empty() && pools.iter().all(|pool| pool.node.is_none()) {
        return None;
    }
    let goes = !wanted.pools.is_empty() && pools.iter().all(|pool| pool.nodes_after.is_none());
    let fixed: UsdPerHour = prices.own.fixed.iter().map(|fixed| fixed.hourly).sum();
    let fixed = fixed + cloud.and_then(|cloud| prices.of_service(cloud)).map(|quote| quote.price).unwrap_or_default();
    let is_there = matches!(observed.cluster, Seen::Present(_));
    let sum = |of: fn(&PoolCost) -> Range, fixed: UsdPerHour| Range {
        min: pools.iter().map(|pool| of(pool).min).sum::<UsdPerHour>() + fixed,
        max: pools.iter().map(|pool| of(pool).max).sum::<UsdPerHour>() + fixed,
    };
    let after_fixed = if goes { UsdPerHour::ZERO } else { fixed };
    let before = sum(|pool| pool.before, if is_there { fixed } else { UsdPerHour::ZERO });
    let after = sum(|pool| pool.after, after_fixed);
    let at_least = pools.iter().any(|pool| pool.node.is_none());
    Some(PlanCost { pools, fixed: after_fixed, before, after, at_least })
}

impl std::fmt::Display for Range {
    /// `$1.00`, or `$1.00 to $4.00`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

impl PlanCost {
    /// One line: `$1.00 to $4.00 an hour, +$0.50 to +$2.00`.
    pub fn line(&self) -> String {
        let least = if self.at_least { "at least " } else { "" };
        if self.before == self.after {
            return format!("{least}{} an hour, as before", self.after);
        }
        let moved = |before: UsdPerHour, after: UsdPerHour| match after < before {
            true => format!("-{}", before.less(after)),
            false => format!("+{}", after.less(before)),
        };
        let (fewest, most) = (moved(self.before.min, self.after.min), moved(self.before.max, self.after.max));
        let delta = if fewest == most { fewest } else { format!("{fewest} to {most}") };
        format!("{least}{} an hour, {delta}", self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wbk_provider_api::{Capacity, ClusterSeen, ClusterSpec, KindSpec, PoolSeen, ProviderKind, Shape};

    use crate::cost::{OwnPrices, Payer, PriceRule};

    fn prices(dollars: u64) -> Prices {
        let rule = PriceRule {
            pool: Some("one".into()),
            machine: None,
            region: None,
            capacity: None,
            accelerator: None,
            price: UsdPerHour::micros(dollars * 1_000_000),
            each: Payer::Node,
        };
        Prices { own: OwnPrices { rules: vec![rule], fixed: Vec::new() }, list: None }
    }

    fn wanted(min: u32, max: u32) -> Wanted {
        let one = PoolSpec {
            name: "one".into(),
            machine: None,
            shape: Shape { cpu_millis: 4000, memory_bytes: 16 << 30, pods: 110, gpu: None },
            accelerator: None,
            size: PoolSize { min, max },
            capacity: Capacity::OnDemand,
            labels: BTreeMap::new(),
            taints: Vec::new(),
        };
        let cluster = ClusterSpec {
            provider: ProviderKind::Local,
            name: "c".into(),
            version: None,
            region: None,
            context: None,
            kubeconfig: None,
            uid: None,
            kind: KindSpec::default(),
            eks: None,
        };
        Wanted { blueprint: "b".into(), cluster, pools: BTreeMap::from([("one".to_owned(), one)]) }
    }

    fn seen(wanted: &Wanted) -> Observed {
        let seen = ClusterSeen { version: None, running: true, fingerprint: String::new(), deviations: Vec::new() };
        let pools = wanted.pools.iter().map(|(name, spec)| {
            let pool = PoolSeen {
                spec: spec.clone(),
                nodes: spec.size.min,
                deviations: Vec::new(),
                jobs: BTreeMap::new(),
                fingerprint: String::new(),
            };
            (name.clone(), Seen::Present(pool))
        });
        Observed::of(Seen::Present(seen), pools.collect())
    }

    fn line(wanted: &Wanted, observed: &Observed, step: Option<PoolStep>) -> String {
        let steps = step.map(|step| ("one".to_owned(), step)).into_iter().collect();
        plan_cost(wanted, observed, &steps, &prices(2)).unwrap().line()
    }

    #[test]
    fn a_plan_costs_from_the_fewest_nodes_to_the_most_and_says_what_it_changes() {
        let nothing = Observed::of(Seen::Absent, BTreeMap::new());
        let (now, then) = (wanted(1, 3), wanted(2, 3));
        assert_eq!(line(&now, &nothing, Some(PoolStep::AsWanted)), "$2.00 to $6.00 an hour, +$2.00 to +$6.00");
        assert_eq!(line(&now, &seen(&now), None), "$2.00 to $6.00 an hour, as before");
        assert_eq!(line(&then, &seen(&now), Some(PoolStep::AsWanted)), "$4.00 to $6.00 an hour, +$2.00 to +$0.00");
        assert_eq!(line(&then, &seen(&now), None), "$2.00 to $6.00 an hour, as before", "a pool that is kept as it is");
        assert_eq!(line(&now, &seen(&now), Some(PoolStep::Goes)), "$0.00 an hour, -$2.00 to -$6.00");
        assert_eq!(
            line(&wanted(0, 1), &seen(&wanted(1, 2)), Some(PoolStep::AsWanted)),
            "$0.00 to $2.00 an hour, -$2.00"
        );
    }

    #[test]
    fn without_any_price_nothing_is_said_and_in_a_cloud_that_it_is_not_known() {
        let nothing = Observed::of(Seen::Absent, BTreeMap::new());
        let mut asked = wanted(1, 1);
        let steps = BTreeMap::from([("one".to_owned(), PoolStep::AsWanted)]);
        assert_eq!(plan_cost(&asked, &nothing, &steps, &Prices::default()), None);
        asked.cluster.provider = ProviderKind::Eks;
        asked.cluster.region = Some("us-east-1".into());
        let cost = plan_cost(&asked, &nothing, &steps, &Prices::default()).unwrap();
        assert_eq!(cost.line(), "at least $0.10 an hour, +$0.10", "the cluster itself");
        asked.pools.get_mut("one").unwrap().machine = Some("p5.48xlarge".into());
        let cost = plan_cost(&asked, &nothing, &steps, &Prices::default()).unwrap();
        assert_eq!(cost.line(), "$55.14 an hour, +$55.14");
        assert!(cost.pools[0].priced.contains("2026-07-20"));
    }
}
