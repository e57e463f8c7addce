//! Persistent volume claims are bound, or wait for their first consumer as their storage class says.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::settle::settled;
use super::{namespace, of_kind};
use crate::cluster::{going, name, text};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, Nodes};
use crate::verify::explain::last_event;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for claim in of_kind(desired, "", "PersistentVolumeClaim") {
        checks.push(Arc::new(Bound { claim: claim.clone() }));
    }
}

const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";

struct Bound {
    claim: DesiredObject,
}

#[async_trait]
impl Check for Bound {
    fn id(&self) -> CheckId {
        CheckId::about("storage.bound", &format!("{}/{}", namespace(&self.claim), self.claim.id.name))
    }

    fn title(&self) -> String {
        format!("claim {}/{} is bound or waits for its first consumer", namespace(&self.claim), self.claim.id.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.claim.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let outcome = settled(cx, || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await;
        match (outcome, cx.nodes) {
            (Outcome::Fail { evidence, .. }, Nodes::Simulated) if evidence.data["phase"] == json!("Pending") => {
                Outcome::skipped(format!("simulated cluster, nothing provisions volumes here: {}", evidence.measured))
            }
            (outcome, Nodes::Simulated | Nodes::Real) => outcome,
        }
    }
}

impl Bound {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let api = cx.api();
        let (space, claim_name) = (namespace(&self.claim), self.claim.id.name.as_str());
        let path = format!("/api/v1/namespaces/{space}/persistentvolumeclaims/{claim_name}");
        let Some(claim) = api.find::<Value>(&path).await? else {
            let evidence = Evidence::new("no such claim", "Bound", format!("GET {path}"));
            return Ok(Outcome::fail(evidence, "wbk-infra apply"));
        };
        if let Some(words) = going(&claim) {
            let evidence = Evidence::new(words, "Bound", format!("GET {path}"));
            return Ok(Outcome::fail(evidence, "its data goes with it; copy it before the pods that hold it end"));
        }
        if text(&claim, "/status/phase") != "Pending" {
            return Ok(settled_phase(&claim, &format!("GET {path}")));
        }
        let classes = api.list(CLASSES, "").await?;
        let event = last_event(cx, space, "PersistentVolumeClaim", claim_name).await;
        Ok(pending(&claim, &classes, event.as_deref(), &format!("GET {path} and {CLASSES}")))
    }
}

/// Judges a claim in any phase but Pending.
fn settled_phase(claim: &Value, source: &str) -> Outcome {
    let phase = text(claim, "/status/phase");
    let volume = text(claim, "/spec/volumeName");
    let size = text(claim, "/status/capacity/storage");
    let evidence = |measured: String| Evidence::new(measured, "Bound", source).with(json!({"phase": phase}));
    match phase {
        "Bound" => Outcome::pass(evidence(format!("Bound to {volume} ({size})"))),
        "Lost" => Outcome::fail(
            evidence(format!("Lost: volume {volume} is gone")),
            "its data is gone with the volume; restore it, then delete and apply the claim",
        ),
        other => Outcome::inconclusive(format!("{source}: phase `{other}` is not known to this check")),
    }
}

/// Judges a claim that is Pending, by its class.
fn pending(claim: &Value, classes: &[Value], event: Option<&str>, source: &str) -> Outcome {
    let wanted = "Bound, or waiting for its first consumer";
    let fail = |measured: String, hint: String| {
        let event = event.map(|event| format!("; last event: {event}")).unwrap_or_default();
        let evidence = Evidence::new(format!("{measured}{event}"), wanted, source).with(json!({"phase": "Pending"}));
        Outcome::fail(evidence, hint)
    };
    let is_default = |class: &&Value| {
        class.pointer("/metadata/annotations/storageclass.kubernetes.io~1is-default-class") == Some(&json!("true"))
    };
    let class = match claim.pointer("/spec/storageClassName").and_then(Value::as_str) {
        Some("") => {
            return fail(
                "Pending: it names no storage class and waits for a volume made by hand".into(),
                "create a PersistentVolume that fits, or name a storage class".into(),
            );
        }
        Some(named) => match classes.iter().find(|class| name(class) == named) {
            Some(class) => class,
            None => {
                return fail(
                    format!("Pending: it waits for storage class {named}, which is not there"),
                    format!("create storage class {named}, or name one of: {}", names(classes)),
                );
            }
        },
        None => match classes.iter().find(is_default) {
            Some(class) => class,
            None => {
                return fail(
                    "Pending: it names no storage class and the cluster has no default one".into(),
                    format!("name a storage class (there is: {}), or make one the default", names(classes)),
                );
            }
        },
    };
    let (class_name, provisioner) = (name(class), text(class, "/provisioner"));
    if text(class, "/volumeBindingMode") == "WaitForFirstConsumer"
        && claim.pointer("/metadata/annotations/volume.kubernetes.io~1selected-node").is_none()
    {
        let measured = format!("waits for its first consumer, as storage class {class_name} says");
        return Outcome::pass(Evidence::new(measured, wanted, source).with(json!({"phase": "Pending"})));
    }
    fail(
        format!("Pending: it waits for {provisioner} to provision a volume of class {class_name}"),
        format!("see that the provisioner {provisioner} runs, and what its log says about this claim"),
    )
}

fn names(classes: &[Value]) -> String {
    if classes.is_empty() {
        return "none".into();
    }
    classes.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, mode: &str, default: bool) -> Value {
        json!({"metadata": {"name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": default.to_string()}},
            "provisioner": "ebs.csi.aws.com", "volumeBindingMode": mode})
    }

    fn said(outcome: Outcome) -> String {
        match outcome {
            Outcome::Fail { evidence, .. } => evidence.measured,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_claim_that_waits_for_its_first_consumer_is_as_promised() {
        let claim = json!({"spec": {}});
        let classes = [class("a", "Immediate", false), class("b", "WaitForFirstConsumer", true)];
        assert!(matches!(pending(&claim, &classes, None, ""), Outcome::Pass { .. }));
    }

    #[test]
    fn a_claim_whose_consumer_came_waits_for_the_provisioner() {
        let claim = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}, "spec": {}});
        let classes = [class("b", "WaitForFirstConsumer", true)];
        assert!(said(pending(&claim, &classes, None, "")).contains("ebs.csi.aws.com"));
    }

    #[test]
    fn what_a_pending_claim_waits_for_is_said() {
        let claim = |class: Option<&str>| json!({"spec": {"storageClassName": class}});
        let classes = [class("a", "Immediate", false)];
        assert!(said(pending(&claim(Some("fast")), &classes, None, "")).contains("storage class fast"));
        assert!(said(pending(&claim(None), &classes, None, "")).contains("no default one"));
        assert!(said(pending(&claim(Some("")), &classes, None, "")).contains("made by hand"));
        let last = said(pending(&claim(Some("a")), &classes, Some("ProvisioningFailed: quota"), ""));
        assert!(last.ends_with("last event: ProvisioningFailed: quota"), "{last}");
    }

    #[test]
    fn a_lost_volume_fails() {
        assert!(said(settled_phase(&json!({"status": {"phase": "Lost"}}), "")).starts_with("Lost"));
    }
}
