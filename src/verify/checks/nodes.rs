//! The nodes of each pool are there, Ready, and carry the pool's labels and taints.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};
use wbk_provider_api::PoolSpec;

use super::few;
use super::settle::settled;
use crate::cluster::{condition, is_true, name, text};
use crate::desired::Desired;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;
use crate::verify::placement::Placement;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        let placement = Placement::of(pool, desired);
        checks.push(Arc::new(Ready { pool: pool.clone(), placement: placement.clone() }));
        checks.push(Arc::new(Marks { pool: pool.clone(), placement }));
    }
}

const SOURCE: &str = "GET /api/v1/nodes";

struct Ready {
    pool: PoolSpec,
    placement: Placement,
}

#[async_trait]
impl Check for Ready {
    fn id(&self) -> CheckId {
        CheckId::about("nodes.ready", &self.pool.name)
    }

    fn title(&self) -> String {
        format!("nodes of pool {} are Ready", self.pool.name)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || {
            async {
                match cx.all_nodes().await {
                    Ok(nodes) => ready(&self.pool, &self.placement.nodes(&nodes), cx.nodes.noun()),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

/// Judges the nodes of a pool by number and readiness.
fn ready(pool: &PoolSpec, nodes: &[&Value], noun: &str) -> Outcome {
    let unready: Vec<String> = nodes
        .iter()
        .filter(|node| !is_true(node, "Ready"))
        .map(|node| match condition(node, "Ready").map(|ready| text(ready, "/reason")) {
            Some(reason) if !reason.is_empty() => format!("{} ({reason})", name(node)),
            Some(_) | None => name(node).to_owned(),
        })
        .collect();
    let count = nodes.len() - unready.len();
    let wanted = match (pool.size.min, pool.size.max) {
        (min, max) if min == max => format!("{min} {noun} Ready"),
        (min, max) => format!("{min} to {max} {noun} Ready"),
    };
    let mut measured = format!("{count} of {} {noun} Ready", nodes.len());
    if !unready.is_empty() {
        measured.push_str(&format!("; not Ready: {}", few(&unready)));
    }
    let data = json!({"ready": count, "nodes": nodes.len(), "min": pool.size.min, "max": pool.size.max,
        "notReady": unready, "simulated": noun.starts_with("simulated")});
    let evidence = Evidence::new(measured, wanted, SOURCE).with(data);
    let (min, max) = (pool.size.min as usize, pool.size.max as usize);
    if !unready.is_empty() {
        Outcome::fail(evidence, format!("kubectl describe node {}", unready[0].split(' ').next().unwrap_or("")))
    } else if count < min {
        let hint =
            format!("look at the provider for why pool {} has fewer nodes: capacity, quota, a stuck join", pool.name);
        Outcome::fail(evidence, hint)
    } else if nodes.len() > max {
        Outcome::fail(evidence, format!("lower pool {}'s size at the provider, or raise size.max", pool.name))
    } else {
        Outcome::pass(evidence)
    }
}

struct Marks {
    pool: PoolSpec,
    placement: Placement,
}

#[async_trait]
impl Check for Marks {
    fn id(&self) -> CheckId {
        CheckId::about("nodes.marks", &self.pool.name)
    }

    fn title(&self) -> String {
        format!("nodes of pool {} carry its labels and taints", self.pool.name)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let nodes = match cx.all_nodes().await {
            Ok(nodes) => nodes,
            Err(trouble) => return trouble.into(),
        };
        match self.placement.nodes(&nodes).as_slice() {
            [] => Outcome::skipped(format!("pool {} has no nodes now", self.pool.name)),
            nodes => marks(&self.pool, nodes, cx.nodes.noun()),
        }
    }
}

/// Judges the labels and taints of a pool's nodes. Labels and taints that others added are no fault.
fn marks(pool: &PoolSpec, nodes: &[&Value], noun: &str) -> Outcome {
    let mut faults = Vec::new();
    for node in nodes {
        for (key, value) in &pool.labels {
            match node.pointer("/metadata/labels").and_then(|labels| labels.get(key)?.as_str()) {
                Some(found) if found == value => {}
                Some(found) => faults.push(format!("{}: label {key} is `{found}`, not `{value}`", name(node))),
                None => faults.push(format!("{}: no label {key}={value}", name(node))),
            }
        }
        let taints = node.pointer("/spec/taints").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for wanted in &pool.taints {
            let same = |taint: &&Value| {
                text(taint, "/key") == wanted.key
                    && text(taint, "/effect") == wanted.effect.as_str()
                    && text(taint, "/value") == wanted.value
            };
            if !taints.iter().any(|taint| same(&taint)) {
                let value = if wanted.value.is_empty() { String::new() } else { format!("={}", wanted.value) };
                faults.push(format!("{}: no taint {}{value}:{}", name(node), wanted.key, wanted.effect.as_str()));
            }
        }
    }
    let wanted = format!("{} labels and {} taints on each node", pool.labels.len(), pool.taints.len());
    if faults.is_empty() {
        return Outcome::pass(Evidence::new(format!("all on {} {noun}", nodes.len()), wanted, SOURCE));
    }
    let evidence = Evidence::new(few(&faults), wanted, SOURCE).with(json!({"faults": faults}));
    Outcome::fail(
        evidence,
        format!(
            "set the labels and taints on pool {} itself (`wbk-infra apply`); on a node they go with it",
            pool.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{gpu_pool, node};

    fn failed(outcome: &Outcome) -> &Evidence {
        match outcome {
            Outcome::Fail { evidence, .. } => evidence,
            other => panic!("not failed: {other:?}"),
        }
    }

    #[test]
    fn the_count_is_held_to_both_ends_of_the_size() {
        let pool = gpu_pool("a100", 2, 3);
        let of = |n: usize, noun: &str| {
            let nodes = (0..n).map(|i| node(&pool, &format!("n{i}"), true)).collect::<Vec<_>>();
            ready(&pool, &nodes.iter().collect::<Vec<_>>(), noun)
        };
        assert!(matches!(of(2, "nodes"), Outcome::Pass { .. }));
        assert!(matches!(of(3, "nodes"), Outcome::Pass { .. }));
        assert_eq!(failed(&of(1, "simulated nodes")).measured, "1 of 1 simulated nodes Ready");
        failed(&of(4, "nodes"));
        failed(&ready(&pool, &[], "nodes"));
    }

    #[test]
    fn one_node_that_is_not_ready_fails_the_pool_and_is_named() {
        let pool = gpu_pool("a100", 1, 3);
        let nodes = [node(&pool, "n0", true), node(&pool, "n1", false)];
        let outcome = ready(&pool, &nodes.iter().collect::<Vec<_>>(), "nodes");
        assert_eq!(failed(&outcome).measured, "1 of 2 nodes Ready; not Ready: n1 (KubeletNotReady)");
    }

    #[test]
    fn a_lost_label_and_a_lost_taint_are_named_with_their_node() {
        let pool = gpu_pool("a100", 1, 1);
        let mut broken = node(&pool, "n0", true);
        assert!(matches!(marks(&pool, &[&broken], "nodes"), Outcome::Pass { .. }));
        broken["spec"]["taints"] = json!([{"key": "nvidia.com/gpu", "effect": "NoExecute"}]);
        broken["metadata"]["labels"] = json!({"wbk-infra/pool": "b"});
        let outcome = marks(&pool, &[&broken], "nodes");
        assert_eq!(
            failed(&outcome).measured,
            "n0: label wbk-infra/pool is `b`, not `a100`, n0: no taint nvidia.com/gpu=present:NoSchedule"
        );
    }

    #[test]
    fn marks_that_others_added_are_no_fault() {
        let pool = gpu_pool("a100", 1, 1);
        let mut node = node(&pool, "n0", true);
        node["metadata"]["labels"]["extra"] = json!("yes");
        node["spec"]["taints"].as_array_mut().expect("it has taints").push(json!({"key": "x", "effect": "NoSchedule"}));
        assert!(matches!(marks(&pool, &[&node], "nodes"), Outcome::Pass { .. }));
    }
}
