//! Every Deployment, StatefulSet and DaemonSet of the blueprint is rolled out.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::settle::settled;
use super::{namespace, of_kind, texts};
use crate::cluster::{Rollout, workload};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;
use crate::verify::explain;

/// The kinds that roll out, with their names in paths.
pub(super) const KINDS: [(&str, &str); 3] =
    [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")];

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for (kind, plural) in KINDS {
        for object in of_kind(desired, "apps", kind) {
            checks.push(Arc::new(RolledOut { kind, plural, object: object.clone() }));
        }
    }
}

struct RolledOut {
    kind: &'static str,
    plural: &'static str,
    object: DesiredObject,
}

#[async_trait]
impl Check for RolledOut {
    fn id(&self) -> CheckId {
        let subject = format!("{}/{}/{}", self.kind.to_lowercase(), namespace(&self.object), self.object.id.name);
        CheckId::about("workloads.ready", &subject)
    }

    fn title(&self) -> String {
        format!("{} {}/{} is rolled out", self.kind, namespace(&self.object), self.object.id.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.object.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let outcome = settled(cx, || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await;
        match outcome {
            Outcome::Fail { evidence, .. } => {
                explained(cx, namespace(&self.object), &self.object.manifest, evidence).await
            }
            outcome => outcome,
        }
    }
}

impl RolledOut {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let path =
            format!("/apis/apps/v1/namespaces/{}/{}/{}", namespace(&self.object), self.plural, self.object.id.name);
        let found: Option<Value> = cx.api().find(&path).await?;
        Ok(judge(self.kind, found.as_ref(), cx.nodes.adjective(), &format!("GET {path}")))
    }
}

fn judge(kind: &str, found: Option<&Value>, adjective: &str, source: &str) -> Outcome {
    let wanted = "rolled out, every replica available";
    let Some(found) = found else {
        return Outcome::fail(Evidence::new("not there", wanted, source), "wbk-infra apply");
    };
    let joint = if adjective.is_empty() { "" } else { " (simulated)" };
    match workload(kind, found) {
        Rollout::Ready(words) => Outcome::pass(Evidence::new(format!("{words}{joint}"), wanted, source)),
        Rollout::NotReady(words) => Outcome::Fail {
            evidence: Evidence::new(format!("{words}{joint}"), wanted, source).with(json!({"status": found["status"]})),
            hint: None,
        },
    }
}

/// A failure with the reason that its pods give.
pub(super) async fn explained(cx: &CheckContext, space: &str, object: &Value, mut evidence: Evidence) -> Outcome {
    let labels = texts(object, "/spec/selector/matchLabels");
    let selector = labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    let why = if selector.is_empty() { None } else { explain::pods(cx, space, &selector).await };
    if let Some(why) = why {
        evidence.measured.push_str("; ");
        evidence.measured.push_str(&why);
    }
    let hint = if selector.is_empty() {
        format!("kubectl --namespace {space} get events")
    } else {
        format!("kubectl --namespace {space} describe pods --selector {selector}")
    };
    Outcome::fail(evidence, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_workload_fails_and_a_simulated_one_says_so() {
        assert!(matches!(judge("Deployment", None, "", ""), Outcome::Fail { .. }));
        let ready = json!({"metadata": {}, "spec": {"replicas": 0}});
        match judge("Deployment", Some(&ready), "simulated ", "") {
            Outcome::Pass { evidence } => assert_eq!(evidence.measured, "0 of 0 replicas available (simulated)"),
            other => panic!("{other:?}"),
        }
    }
}
