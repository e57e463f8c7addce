//! The labels that discovery writes on GPU nodes after their birth: affinities of plugins and workloads wait for them.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::few;
use super::settle::settled;
use crate::cluster::name;
use crate::desired::Desired;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, Nodes};
use crate::verify::placement::{Placement, WantedLabel, wanted_labels};

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        let labels = wanted_labels(pool, desired);
        if !labels.is_empty() {
            checks.push(Arc::new(Discovered { placement: Placement::of(pool, desired), labels }));
        }
    }
}

struct Discovered {
    placement: Placement,
    labels: Vec<WantedLabel>,
}

#[async_trait]
impl Check for Discovered {
    fn id(&self) -> CheckId {
        CheckId::about("gpus.labels", &self.placement.pool)
    }

    fn title(&self) -> String {
        format!("discovery has labelled the nodes of pool {}", self.placement.pool)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let labels: Vec<WantedLabel> =
            self.labels.iter().filter(|label| cx.nodes == Nodes::Real || label.simulated).cloned().collect();
        if labels.is_empty() {
            return Outcome::skipped("what writes these labels reads hardware: on simulated nodes nobody does");
        }
        settled(cx, || {
            async {
                match cx.all_nodes().await {
                    Ok(nodes) => judge(&self.placement, &labels, &self.placement.nodes(&nodes), cx.nodes.noun()),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

fn judge(placement: &Placement, labels: &[WantedLabel], nodes: &[&Value], noun: &str) -> Outcome {
    if nodes.is_empty() {
        return Outcome::skipped(format!("pool {} has no nodes now", placement.pool));
    }
    let mut faults = Vec::new();
    let mut writers: Vec<&str> = Vec::new();
    for node in nodes {
        for label in labels {
            let found = node.pointer("/metadata/labels").and_then(|all| all.get(&label.key)?.as_str());
            let fault = match (found, &label.value) {
                (None, _) => format!("{}: no label {} (written by {})", name(node), label.key, label.writer),
                (Some(found), Some(wanted)) if found != wanted => {
                    format!("{}: label {} is `{found}`, not `{wanted}`", name(node), label.key)
                }
                (Some(_), _) => continue,
            };
            faults.push(fault);
            if !writers.contains(&label.writer.as_str()) {
                writers.push(&label.writer);
            }
        }
    }
    let keys: Vec<&str> = labels.iter().map(|label| label.key.as_str()).collect();
    let evidence =
        |measured: String| Evidence::new(measured, format!("{} on each node", few(&keys)), "GET /api/v1/nodes");
    if faults.is_empty() {
        return Outcome::pass(evidence(format!("{} labels on each of {} {noun}", labels.len(), nodes.len())));
    }
    let hint = format!(
        "see that {} runs on each node of pool {}: it must tolerate the pool's taints",
        writers.join(" and "),
        placement.pool
    );
    Outcome::fail(evidence(few(&faults)).with(json!({"faults": faults})), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{desired, gpu_pool, node};

    #[test]
    fn a_label_that_nobody_wrote_is_named_with_its_writer() {
        let pool = gpu_pool("a", 1, 1);
        let placement = Placement::of(&pool, &desired(vec![]));
        let label = |key: &str, value: Option<&str>| WantedLabel {
            key: key.into(),
            value: value.map(str::to_owned),
            writer: "NFD".into(),
            simulated: true,
        };
        let mut found = node(&pool, "n0", true);
        found["metadata"]["labels"]["any"] = json!("x");
        found["metadata"]["labels"]["exact"] = json!("other");
        let measured = |labels: &[WantedLabel]| match judge(&placement, labels, &[&found], "nodes") {
            Outcome::Fail { evidence, .. } => evidence.measured,
            Outcome::Pass { .. } => "pass".into(),
            other => panic!("{other:?}"),
        };
        assert_eq!(measured(&[label("any", None)]), "pass");
        assert_eq!(measured(&[label("exact", Some("true"))]), "n0: label exact is `other`, not `true`");
        assert_eq!(measured(&[label("gone", None)]), "n0: no label gone (written by NFD)");
    }
}
