//! The nodes of each GPU pool offer as many GPUs to the scheduler as was computed for their shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};
use wbk_provider_api::PoolSize;

use super::few;
use super::settle::settled;
use crate::cluster::name;
use crate::desired::Desired;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;
use crate::verify::placement::{self, Placement, amount, offered};
use crate::verify::quantity::Quantity;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        let each = placement::allocatable(pool, desired);
        if !each.is_empty() {
            checks.push(Arc::new(Allocatable { placement: Placement::of(pool, desired), each }));
        }
    }
}

struct Allocatable {
    placement: Placement,
    /// Resource to count on one node.
    each: BTreeMap<String, u64>,
}

#[async_trait]
impl Check for Allocatable {
    fn id(&self) -> CheckId {
        CheckId::about("gpus.allocatable", &self.placement.pool)
    }

    fn title(&self) -> String {
        let each: Vec<String> = self.each.iter().map(|(resource, count)| format!("{count} × {resource}")).collect();
        format!("{} on each node of pool {}", each.join(" and "), self.placement.pool)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || {
            async {
                match cx.all_nodes().await {
                    Ok(nodes) => {
                        let of_pool = Pool { name: &self.placement.pool, size: self.placement.size, each: &self.each };
                        judge(&of_pool, &self.placement.nodes(&nodes), cx.nodes.adjective())
                    }
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

/// What a pool's nodes shall offer.
struct Pool<'a> {
    name: &'a str,
    size: PoolSize,
    each: &'a BTreeMap<String, u64>,
}

/// Judges what the nodes of a pool offer.
fn judge(pool: &Pool<'_>, nodes: &[&Value], adjective: &str) -> Outcome {
    if nodes.is_empty() && pool.size.min == 0 {
        return Outcome::skipped(format!("pool {} has no nodes now (min 0), so nothing advertises GPUs", pool.name));
    }
    let nodes_wanted = nodes.len().max(pool.size.min as usize);
    let (mut short, mut totals, mut wanted, mut data) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (resource, each) in pool.each {
        let each = i128::from(*each);
        let found: i128 = nodes.iter().map(|node| offered(node, resource)).sum();
        let total = each * nodes_wanted as i128;
        totals.push(format!("{found} {adjective}{resource}"));
        wanted.push(format!("{total} {resource}: {each} on each of {nodes_wanted} nodes"));
        data.push(json!({"resource": resource, "allocatable": found.to_string(), "wanted": total.to_string()}));
        short.extend(nodes.iter().filter(|node| offered(node, resource) != each).map(|node| {
            let (offers, has) = (offered(node, resource), amount(node, "/status/capacity", resource));
            let more = has.map(Quantity::units_rounded_up).filter(|has| *has > offers);
            let unhealthy = more.map(|has| format!(" of {has}: the others are not healthy")).unwrap_or_default();
            format!("{} offers {offers}{unhealthy}", name(node))
        }));
    }
    let mut measured = format!("{} on {} {adjective}nodes", totals.join(", "), nodes.len());
    if !short.is_empty() {
        measured.push_str(&format!("; {}", few(&short)));
    }
    let data = json!({"resources": data, "nodes": nodes.len(), "deviating": short, "simulated": !adjective.is_empty()});
    let evidence = Evidence::new(measured, wanted.join("; "), "GET /api/v1/nodes, status.allocatable").with(data);
    if short.is_empty() && nodes.len() >= nodes_wanted {
        return Outcome::pass(evidence);
    }
    let hint = if nodes.len() < nodes_wanted {
        format!("pool {} lacks nodes: see nodes.ready/{}", pool.name, pool.name)
    } else {
        format!("see gpus.advertiser/{}: what advertises them on each node, and what its log says", pool.name)
    };
    Outcome::fail(evidence, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{desired, gpu_pool, node};
    use wbk_provider_api::PoolSpec;

    fn judged(pool: &PoolSpec, nodes: &[Value]) -> Outcome {
        let each = placement::allocatable(pool, &desired(vec![]));
        let pool = Pool { name: &pool.name, size: pool.size, each: &each };
        judge(&pool, &nodes.iter().collect::<Vec<_>>(), "simulated ")
    }

    #[test]
    fn as_many_as_computed_pass() {
        let pool = gpu_pool("a", 2, 4);
        let nodes = [node(&pool, "n0", true), node(&pool, "n1", true)];
        match judged(&pool, &nodes) {
            Outcome::Pass { evidence } => {
                assert_eq!(evidence.measured, "16 simulated nvidia.com/gpu on 2 simulated nodes");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_node_without_its_plugin_is_named() {
        let pool = gpu_pool("a", 2, 4);
        let mut nodes = [node(&pool, "n0", true), node(&pool, "n1", true)];
        nodes[1]["status"]["allocatable"] = json!({"cpu": "16"});
        match judged(&pool, &nodes) {
            Outcome::Fail { evidence, hint } => {
                assert!(evidence.measured.ends_with("; n1 offers 0"), "{}", evidence.measured);
                assert!(hint.expect("a hint").contains("gpus.advertiser/a"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_gpu_that_is_not_healthy_is_said_to_be_there() {
        let pool = gpu_pool("a", 1, 1);
        let mut nodes = [node(&pool, "n0", true)];
        nodes[0]["status"]["allocatable"]["nvidia.com/gpu"] = json!("7");
        nodes[0]["status"]["capacity"] = json!({"nvidia.com/gpu": "8"});
        match judged(&pool, &nodes) {
            Outcome::Fail { evidence, .. } => {
                assert!(
                    evidence.measured.ends_with("n0 offers 7 of 8: the others are not healthy"),
                    "{}",
                    evidence.measured
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn more_than_computed_is_no_proof_either() {
        let pool = gpu_pool("a", 1, 1);
        let mut nodes = [node(&pool, "n0", true)];
        nodes[0]["status"]["allocatable"]["nvidia.com/gpu"] = json!("32");
        assert!(matches!(judged(&pool, &nodes), Outcome::Fail { .. }));
    }

    #[test]
    fn missing_nodes_are_missing_gpus_and_min_zero_is_skipped() {
        assert!(matches!(judged(&gpu_pool("a", 1, 1), &[]), Outcome::Fail { .. }));
        assert!(matches!(judged(&gpu_pool("a", 0, 1), &[]), Outcome::Skipped { .. }));
    }
}
