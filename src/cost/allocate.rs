//! Who pays for a node. A pod pays for the greatest of its shares of what the node offers (CPU, memory, GPUs): that much of the node
//! nobody else can have. Where these shares are more than the node, each pays in proportion; where they are less, the rest is idle.
//! docs/design/0012-cost.md tells why.

use crate::gpu::scheduler::{Amounts, CPU, MEMORY};

use super::facts::{gpu_weight, gpus_of};
use super::money::UsdPerHour;

/// A whole node; shares are counted in this many parts, so that no sum rounds.
const WHOLE: u128 = 1_000_000_000_000;

/// The price of a node, split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    /// What each pod pays, in their order.
    pub pods: Vec<UsdPerHour>,
    /// What nobody pays.
    pub idle: UsdPerHour,
}

/// Splits the price of a node among its pods by what they request. The parts and what is idle add up to the price.
pub(super) fn split(price: UsdPerHour, allocatable: &Amounts, pods: &[&Amounts]) -> Split {
    let mut weights: Vec<u128> = pods.iter().map(|requests| share(allocatable, requests)).collect();
    let asked: u128 = weights.iter().sum();
    weights.push(WHOLE.saturating_sub(asked));
    let mut parts = price.split(&weights);
    let idle = parts.pop().unwrap_or_default();
    Split { pods: parts, idle }
}

/// The greatest of a pod's shares of a node.
fn share(allocatable: &Amounts, requests: &Amounts) -> u128 {
    let of = |resource: &str| ratio(amount(requests, resource), amount(allocatable, resource));
    of(CPU).max(of(MEMORY)).max(ratio(slices(requests), slices(allocatable)))
}

/// The part of a node's GPUs that is in use, of [`WHOLE`]; `None` where it offers none.
pub(super) fn gpus_idle(price: UsdPerHour, allocatable: &Amounts, used: &Amounts) -> Option<UsdPerHour> {
    let all = slices(allocatable);
    (all > 0).then(|| price.part(all.saturating_sub(slices(used)), all))
}

fn slices(amounts: &Amounts) -> u128 {
    gpus_of(amounts).iter().map(|(resource, count)| gpu_weight(resource) * u128::from(*count)).sum()
}

fn amount(amounts: &Amounts, resource: &str) -> u128 {
    u128::try_from(amounts.get(resource)).unwrap_or(0)
}

/// At most the whole: a node that offers less than a pod on it asks for (its GPUs fell off) is that pod's.
fn ratio(part: u128, whole: u128) -> u128 {
    match whole {
        0 => 0,
        whole => (part.saturating_mul(WHOLE) / whole).min(WHOLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::scheduler::quantities;
    use proptest::prelude::*;
    use serde_json::json;

    fn amounts(cpu: &str, memory: &str, gpus: u32) -> Amounts {
        Amounts::of(&quantities(&json!({"cpu": cpu, "memory": memory, "nvidia.com/gpu": gpus})))
    }

    fn shown(price: u64, node: &Amounts, pods: &[&Amounts]) -> Vec<String> {
        let split = split(UsdPerHour::micros(price * 1_000_000), node, pods);
        split.pods.iter().chain([&split.idle]).map(ToString::to_string).collect()
    }

    #[test]
    fn a_pod_pays_for_the_greatest_of_its_shares_and_the_rest_is_idle() {
        let node = amounts("96", "680Gi", 8);
        assert_eq!(
            shown(32, &node, &[&amounts("8", "68Gi", 4), &amounts("24", "68Gi", 0)]),
            ["$16.00", "$8.00", "$8.00"]
        );
        assert_eq!(shown(32, &node, &[]), ["$32.00"]);
        assert_eq!(shown(32, &node, &[&amounts("0", "0", 0)]), ["$0.00", "$32.00"]);
        // All GPUs for one, half of the CPU for the other: nothing is idle, and each pays its part.
        assert_eq!(shown(32, &node, &[&amounts("1", "1Gi", 8), &amounts("48", "0", 0)]), ["$21.33", "$10.67", "$0.00"]);
        // The plugin died, and the pod with the GPUs goes on.
        assert_eq!(shown(32, &amounts("96", "680Gi", 0), &[&amounts("8", "0", 8)]), ["$2.67", "$29.33"]);
    }

    #[test]
    fn partitions_are_counted_by_their_size() {
        let node = Amounts::of(&quantities(&json!({"nvidia.com/mig-3g.40gb": 1, "nvidia.com/mig-1g.10gb": 4})));
        let pod = Amounts::of(&quantities(&json!({"nvidia.com/mig-3g.40gb": 1})));
        assert_eq!(shown(7, &node, &[&pod]), ["$3.00", "$4.00"]);
        assert_eq!(gpus_idle(UsdPerHour::micros(7_000_000), &node, &pod), Some(UsdPerHour::micros(4_000_000)));
        assert_eq!(gpus_idle(UsdPerHour::micros(7), &amounts("1", "1", 0), &pod), None);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_price_and_more_requests_never_pay_less(
            price in 0..400_000_000_u64,
            node in (1..400_u32, 1..4_000_u32, 0..16_u32),
            pods in proptest::collection::vec((0..500_u32, 0..5_000_u32, 0..20_u32), 0..30),
        ) {
            let of = |(cpu, gib, gpus): (u32, u32, u32)| amounts(&cpu.to_string(), &format!("{gib}Gi"), gpus);
            let all: Vec<Amounts> = pods.iter().copied().map(of).collect();
            let found = split(UsdPerHour::micros(price), &of(node), &all.iter().collect::<Vec<_>>());
            let sum = found.pods.iter().copied().sum::<UsdPerHour>() + found.idle;
            prop_assert_eq!(sum, UsdPerHour::micros(price));
            for (a, first) in pods.iter().zip(&found.pods) {
                for (b, second) in pods.iter().zip(&found.pods) {
                    if a.0 <= b.0 && a.1 <= b.1 && a.2 <= b.2 {
                        // Equals may differ by the millionth that division leaves over.
                        prop_assert!(first.as_micros() <= second.as_micros() + 1);
                    }
                }
            }
        }
    }
}
