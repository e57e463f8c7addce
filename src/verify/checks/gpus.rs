//! The nodes of each GPU pool offer as many GPUs to the scheduler as was computed for their shape.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};
use wbk_provider_api::{GpuShape, PoolSpec};

use super::settle::settled;
use super::{few, pool_selector};
use crate::cluster::name;
use crate::desired::Desired;
use crate::quantity::Quantity;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        if let Some(gpu) = &pool.shape.gpu {
            checks.push(Arc::new(Allocatable { pool: pool.clone(), gpu: gpu.clone() }));
        }
    }
}

struct Allocatable {
    pool: PoolSpec,
    gpu: GpuShape,
}

#[async_trait]
impl Check for Allocatable {
    fn id(&self) -> CheckId {
        CheckId::about("gpus.allocatable", &self.pool.name)
    }

    fn title(&self) -> String {
        format!("{} × {} on each node of pool {}", self.gpu.count, self.gpu.resource, self.pool.name)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || {
            async {
                match cx.api().list("/api/v1/nodes", &pool_selector(&self.pool)).await {
                    Ok(nodes) => allocatable(&self.pool, &self.gpu, &nodes, cx.nodes.adjective()),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

/// What one node offers of a resource, in whole units.
pub(super) fn offered(node: &Value, resource: &str) -> i128 {
    node.pointer("/status/allocatable")
        .and_then(|allocatable| Quantity::of(allocatable.get(resource)?))
        .map_or(0, Quantity::units_rounded_up)
}

/// Judges what the nodes of a pool offer.
fn allocatable(pool: &PoolSpec, gpu: &GpuShape, nodes: &[Value], adjective: &str) -> Outcome {
    if nodes.is_empty() && pool.size.min == 0 {
        return Outcome::skipped(format!("pool {} has no nodes now (min 0), so nothing advertises GPUs", pool.name));
    }
    let each = i128::from(gpu.count);
    let nodes_wanted = nodes.len().max(pool.size.min as usize);
    let found: i128 = nodes.iter().map(|node| offered(node, &gpu.resource)).sum();
    let total = each * nodes_wanted as i128;
    let short: Vec<String> = nodes
        .iter()
        .map(|node| (name(node), offered(node, &gpu.resource)))
        .filter(|(_, offers)| *offers != each)
        .map(|(name, offers)| format!("{name} offers {offers}"))
        .collect();
    let mut measured = format!("{found} {adjective}{} on {} {adjective}nodes", gpu.resource, nodes.len());
    if !short.is_empty() {
        measured.push_str(&format!("; {}", few(&short)));
    }
    let wanted = format!("{total}: {each} on each of {nodes_wanted} nodes");
    let data = json!({"resource": gpu.resource, "allocatable": found.to_string(), "wanted": total.to_string(),
        "nodes": nodes.len(), "deviating": short, "simulated": !adjective.is_empty()});
    let evidence = Evidence::new(measured, wanted, "GET /api/v1/nodes, status.allocatable").with(data);
    if short.is_empty() && nodes.len() >= nodes_wanted {
        return Outcome::pass(evidence);
    }
    let hint = if nodes.len() < nodes_wanted {
        format!("pool {} lacks nodes: see nodes.ready/{}", pool.name, pool.name)
    } else {
        format!(
            "see that a device plugin pod for {} runs on each node of pool {} (it must tolerate the pool's taints) \
             and what its log says",
            gpu.resource, pool.name
        )
    };
    Outcome::fail(evidence, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{gpu_pool, node};

    fn judged(pool: &PoolSpec, nodes: &[Value]) -> Outcome {
        allocatable(pool, pool.shape.gpu.as_ref().expect("a GPU pool"), nodes, "simulated ")
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
                assert!(hint.expect("a hint").contains("device plugin"));
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
