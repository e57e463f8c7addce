//! Helm releases are deployed, and what they rolled out is ready.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::few;
use super::settle::settled;
use super::workloads::{KINDS, explained};
use crate::cluster::{Rollout, name, text, workload};
use crate::desired::{Desired, Origin};
use crate::id::ReleaseId;
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for release in &desired.releases {
        checks.push(Arc::new(Deployed { id: release.id.clone(), origin: release.origin.clone() }));
        checks.push(Arc::new(Ready { id: release.id.clone(), origin: release.origin.clone() }));
    }
}

struct Deployed {
    id: ReleaseId,
    origin: Origin,
}

#[async_trait]
impl Check for Deployed {
    fn id(&self) -> CheckId {
        CheckId::about("releases.deployed", &self.id.to_string())
    }

    fn title(&self) -> String {
        format!("Helm release {} is deployed", self.id)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/secrets", self.id.namespace);
        let selector = format!("owner=helm,name={}", self.id.name);
        // Metadata only: the records hold the release's values, and nothing of them is needed.
        match cx.api().list_metadata(&path, &selector).await {
            Ok(records) => deployed(&self.id, &records, &format!("LIST {path}, labels of Helm's records only")),
            Err(trouble) => trouble.into(),
        }
    }
}

/// Judges a release by the labels of its records; the highest version counts.
fn deployed(id: &ReleaseId, records: &[Value], source: &str) -> Outcome {
    let label = |record: &Value, key: &str| text(record, &format!("/metadata/labels/{key}")).to_owned();
    let version = |record: &Value| label(record, "version").parse::<u64>().unwrap_or(0); // unreadable: oldest
    let Some(newest) = records.iter().max_by_key(|record| version(record)) else {
        let evidence = Evidence::new("no record of such a release", "deployed", source);
        return Outcome::fail(evidence, "wbk-infra apply");
    };
    let status = label(newest, "status");
    let evidence = Evidence::new(format!("revision {}: {status}", version(newest)), "deployed", source)
        .with(json!({"revision": version(newest), "status": status}));
    if status == "deployed" {
        return Outcome::pass(evidence);
    }
    let hint = if status.starts_with("pending-") {
        format!(
            "another helm is at work or was killed; wbk-infra apply repairs it, or helm --namespace {} history {}",
            id.namespace, id.name
        )
    } else {
        format!("helm --namespace {} status {}", id.namespace, id.name)
    };
    Outcome::fail(evidence, hint)
}

struct Ready {
    id: ReleaseId,
    origin: Origin,
}

#[async_trait]
impl Check for Ready {
    fn id(&self) -> CheckId {
        CheckId::about("releases.ready", &self.id.to_string())
    }

    fn title(&self) -> String {
        format!("the workloads of Helm release {} are ready", self.id)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        // Explained once, when patience is over: an explanation costs two more requests.
        let outcome = settled(cx, || {
            async {
                match self.workloads(cx).await {
                    Ok(found) => judge(&found, cx.nodes.adjective()),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await;
        let Outcome::Fail { evidence, .. } = outcome else { return outcome };
        let unready = match self.workloads(cx).await {
            Ok(found) => {
                found.into_iter().find(|(kind, object)| matches!(workload(kind, object), Rollout::NotReady(_)))
            }
            Err(trouble) => return trouble.into(),
        };
        match unready {
            Some((_, object)) => explained(cx, text(&object, "/metadata/namespace"), &object, evidence).await,
            None => Outcome::inconclusive("its workloads became ready after patience was over; verify again"),
        }
    }
}

impl Ready {
    /// The release's workloads, in whatever namespace.
    async fn workloads(&self, cx: &CheckContext) -> Result<Vec<(&'static str, Value)>, Trouble> {
        let api = cx.api();
        let mut found = Vec::new();
        for (kind, plural) in KINDS {
            let everywhere = format!("/apis/apps/v1/{plural}");
            let label = "app.kubernetes.io/managed-by=Helm";
            let objects = match api.list(&everywhere, label).await {
                Err(Trouble::Forbidden { .. }) => {
                    // A caller bound to the release's namespace sees what nearly all charts make.
                    let here = format!("/apis/apps/v1/namespaces/{}/{plural}", self.id.namespace);
                    api.list(&here, label).await?
                }
                objects => objects?,
            };
            found.extend(objects.into_iter().filter(|object| belongs(object, &self.id)).map(|object| (kind, object)));
        }
        Ok(found)
    }
}

/// Whether Helm's annotations say that an object belongs to a release.
fn belongs(object: &Value, id: &ReleaseId) -> bool {
    text(object, "/metadata/annotations/meta.helm.sh~1release-name") == id.name
        && text(object, "/metadata/annotations/meta.helm.sh~1release-namespace") == id.namespace
}

fn judge(found: &[(&str, Value)], adjective: &str) -> Outcome {
    let source = "LIST deployments, statefulsets, daemonsets with Helm's marks";
    let title = |kind: &str, object: &Value| format!("{kind} {}/{}", text(object, "/metadata/namespace"), name(object));
    let unready: Vec<String> = found
        .iter()
        .filter_map(|(kind, object)| match workload(kind, object) {
            Rollout::Ready(_) => None,
            Rollout::NotReady(words) => Some(format!("{}: {words}", title(kind, object))),
        })
        .collect();
    let wanted = format!("{} workloads rolled out", found.len());
    if unready.is_empty() {
        let measured = match found.len() {
            0 => "it has no workloads".to_owned(),
            count => format!("{count} {adjective}workloads rolled out"),
        };
        return Outcome::pass(Evidence::new(measured, wanted, source));
    }
    Outcome::Fail {
        evidence: Evidence::new(few(&unready), wanted, source).with(json!({"notReady": unready})),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ReleaseId {
        ReleaseId { namespace: "a".into(), name: "r".into() }
    }

    fn record(version: &str, status: &str) -> Value {
        json!({"metadata": {"labels": {"owner": "helm", "version": version, "status": status}}})
    }

    #[test]
    fn the_highest_revision_counts_by_number() {
        let records = [record("10", "deployed"), record("9", "superseded")];
        assert!(matches!(deployed(&id(), &records, ""), Outcome::Pass { .. }));
        let records = [record("9", "deployed"), record("10", "pending-upgrade")];
        match deployed(&id(), &records, "") {
            Outcome::Fail { evidence, hint } => {
                assert_eq!(evidence.measured, "revision 10: pending-upgrade");
                assert!(hint.expect("a hint").contains("killed"));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(deployed(&id(), &[], ""), Outcome::Fail { .. }));
    }

    #[test]
    fn workloads_are_found_by_helms_annotations() {
        let object = |name: &str| {
            json!({"metadata": {"annotations":
                {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "a"}}})
        };
        assert!(belongs(&object("r"), &id()));
        assert!(!belongs(&object("s"), &id()));
    }

    #[test]
    fn one_workload_that_is_not_ready_fails_the_release() {
        let ready = json!({"metadata": {"name": "x", "namespace": "a"}, "spec": {"replicas": 0}});
        let unready = json!({"metadata": {"name": "y", "namespace": "a"}, "spec": {"replicas": 1}});
        assert!(matches!(judge(&[("Deployment", ready.clone())], ""), Outcome::Pass { .. }));
        match judge(&[("Deployment", ready), ("Deployment", unready)], "") {
            Outcome::Fail { evidence, .. } => {
                assert!(evidence.measured.starts_with("Deployment a/y: "), "{evidence:?}")
            }
            other => panic!("{other:?}"),
        }
    }
}
