//! The nodes of each pool offer at least the CPU, memory and pods that the blueprint counts on.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};
use wbk_provider_api::{PoolSpec, ProviderKind};

use super::few;
use super::settle::settled;
use crate::cluster::name;
use crate::desired::Desired;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, VerifyOptions};
use crate::verify::placement::{Placement, amount};
use crate::verify::quantity::Quantity;

/// How much less than counted on is no fault on machines of a cloud, in hundredths: what a cloud reserves for itself differs
/// between versions, and the blueprint's shape is an estimate of it.
const TOLERANCE: i64 = 10;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        checks.push(Arc::new(Offers { placement: Placement::of(pool, desired), pool: pool.clone() }));
    }
}

struct Offers {
    pool: PoolSpec,
    placement: Placement,
}

#[async_trait]
impl Check for Offers {
    fn id(&self) -> CheckId {
        CheckId::about("nodes.shape", &self.pool.name)
    }

    fn title(&self) -> String {
        format!("nodes of pool {} offer the CPU, memory and pods counted on", self.pool.name)
    }

    fn applies(&self, desired: &Desired, _options: &VerifyOptions) -> Applicability {
        match desired.wanted.cluster.provider {
            ProviderKind::Kind => Applicability::Skipped(
                "all nodes of a kind cluster share this machine: their shape is no promise".into(),
            ),
            _ => Applicability::Applies,
        }
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let least = match cx.desired.wanted.cluster.provider {
            ProviderKind::Local => 100,
            _ => 100 - TOLERANCE,
        };
        settled(cx, || {
            async {
                match cx.all_nodes().await {
                    Ok(nodes) => judge(&self.pool, &self.placement.nodes(&nodes), least, cx.nodes.noun()),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

fn judge(pool: &PoolSpec, nodes: &[&Value], least: i64, noun: &str) -> Outcome {
    if nodes.is_empty() {
        return Outcome::skipped(format!("pool {} has no nodes now", pool.name));
    }
    let whole = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
    let wanted = [
        ("cpu", Quantity::millis(whole(pool.shape.cpu_millis))),
        ("memory", Quantity::whole(whole(pool.shape.memory_bytes))),
        ("pods", Quantity::whole(i64::from(pool.shape.pods))),
    ];
    let mut faults = Vec::new();
    for node in nodes {
        for (resource, counted) in &wanted {
            let offers = amount(node, "/status/allocatable", resource).unwrap_or_default();
            if offers < counted.hundredths(least) {
                faults.push(format!("{} offers {resource} {offers}, not {counted}", name(node)));
            }
        }
    }
    let words = wanted.map(|(resource, counted)| format!("{resource} {counted}")).join(", ");
    let promise = match least {
        100 => format!("at least {words} on each node"),
        _ => format!("about {words} on each node (at least {least} %)"),
    };
    let source = "GET /api/v1/nodes, status.allocatable";
    if faults.is_empty() {
        return Outcome::pass(Evidence::new(format!("all of it on {} {noun}", nodes.len()), promise, source));
    }
    let hint =
        "see the machine type of the pool, and what its kubelet reserves; or write the shape that nodes really have";
    Outcome::fail(Evidence::new(few(&faults), promise, source).with(json!({"faults": faults})), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{gpu_pool, node};

    #[test]
    fn less_than_counted_on_is_named_and_a_clouds_own_share_is_not() {
        let pool = gpu_pool("a", 1, 1);
        let mut small = node(&pool, "n0", true);
        small["status"]["allocatable"] = json!({"cpu": "15", "memory": "64Gi", "pods": "110"});
        assert!(matches!(judge(&pool, &[&small], 90, "nodes"), Outcome::Pass { .. }));
        match judge(&pool, &[&small], 100, "nodes") {
            Outcome::Fail { evidence, .. } => assert_eq!(evidence.measured, "n0 offers cpu 15, not 16"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(judge(&pool, &[], 100, "nodes"), Outcome::Skipped { .. }));
    }
}
