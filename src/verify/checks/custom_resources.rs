//! Custom resource definitions are established, and the kinds of the blueprint's custom resources are served.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::Value;

use super::of_kind;
use super::settle::settled;
use crate::cluster::{condition, going, is_true, text};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::id::Gvk;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for definition in of_kind(desired, "apiextensions.k8s.io", "CustomResourceDefinition") {
        checks.push(Arc::new(Established { definition: definition.clone() }));
    }
    let kinds: BTreeSet<&Gvk> = desired
        .objects
        .iter()
        .map(|object| &object.id.gvk)
        .filter(|gvk| is_custom(&gvk.group) && !desired.promises.optional_kinds.contains(&gvk.group_kind()))
        .collect();
    for gvk in kinds {
        checks.push(Arc::new(Served { gvk: gvk.clone() }));
    }
}

/// Whether a group is not Kubernetes' own: its own have no dot or end with `.k8s.io`, and so do some that are not
/// built in (Gateway API, snapshots, metrics), which are named.
fn is_custom(group: &str) -> bool {
    const ADDED: [&str; 5] =
        ["gateway.networking.k8s.io", "snapshot.storage.k8s.io", "metrics.k8s.io", "nfd.k8s-sigs.io", "kueue.x-k8s.io"];
    ADDED.contains(&group) || (group.contains('.') && !group.ends_with(".k8s.io"))
}

struct Established {
    definition: DesiredObject,
}

#[async_trait]
impl Check for Established {
    fn id(&self) -> CheckId {
        CheckId::about("crds.established", &self.definition.id.name)
    }

    fn title(&self) -> String {
        format!("custom resource definition {} is established", self.definition.id.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.definition.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", self.definition.id.name);
        settled(cx, || {
            async {
                match cx.api().find(&path).await {
                    Ok(found) => judge(found.as_ref(), &format!("GET {path}")),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

fn judge(found: Option<&Value>, source: &str) -> Outcome {
    let Some(found) = found else {
        return Outcome::fail(Evidence::new("not there", "Established", source), "wbk-infra apply");
    };
    let unmet = ["NamesAccepted", "Established"].into_iter().filter(|kind| !is_true(found, kind));
    let faults: Vec<String> = unmet
        .map(|kind| match condition(found, kind) {
            Some(found) => format!("not {kind}: {} {}", text(found, "/reason"), text(found, "/message")),
            None => format!("not {kind} yet"),
        })
        .chain(going(found))
        .collect();
    if faults.is_empty() {
        return Outcome::pass(Evidence::new("Established", "Established", source));
    }
    let hint = "another definition may hold its names: kubectl get crd";
    Outcome::fail(Evidence::new(faults.join("; "), "Established", source), hint)
}

struct Served {
    gvk: Gvk,
}

#[async_trait]
impl Check for Served {
    fn id(&self) -> CheckId {
        let Gvk { group, version, kind } = &self.gvk;
        CheckId::about("crds.served", &format!("{kind}.{version}.{group}"))
    }

    fn title(&self) -> String {
        format!("the API server serves {} {}", self.gvk.api_version(), self.gvk.kind)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/apis/{}", self.gvk.api_version());
        settled(cx, || {
            async {
                match cx.api().find(&path).await {
                    Ok(found) => served(&self.gvk.kind, found.as_ref(), &format!("GET {path}")),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

fn served(kind: &str, found: Option<&Value>, source: &str) -> Outcome {
    let kinds: BTreeSet<&str> = found
        .and_then(|list| list.get("resources")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|resource| resource.get("kind")?.as_str())
        .collect();
    let wanted = format!("kind {kind} is served");
    if kinds.contains(kind) {
        return Outcome::pass(Evidence::new("served", wanted, source));
    }
    let measured = match found {
        None => "this group and version is not served".to_owned(),
        Some(_) => format!("served are only: {}", kinds.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Outcome::fail(Evidence::new(measured, wanted, source), "install what brings the definition, or fix its apiVersion")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kubernetes_own_groups_are_not_custom() {
        for own in ["", "apps", "batch", "rbac.authorization.k8s.io", "networking.k8s.io"] {
            assert!(!is_custom(own), "{own}");
        }
        for custom in ["kueue.x-k8s.io", "batch.volcano.sh", "gateway.networking.k8s.io"] {
            assert!(is_custom(custom), "{custom}");
        }
    }

    #[test]
    fn a_definition_is_established_by_both_conditions() {
        let with = |names: &str, established: &str| {
            json!({"status": {"conditions": [
                {"type": "NamesAccepted", "status": names, "reason": "ListKindConflict", "message": "taken"},
                {"type": "Established", "status": established}]}})
        };
        assert!(matches!(judge(Some(&with("True", "True")), ""), Outcome::Pass { .. }));
        match judge(Some(&with("False", "True")), "") {
            Outcome::Fail { evidence, .. } => {
                assert_eq!(evidence.measured, "not NamesAccepted: ListKindConflict taken");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(judge(Some(&json!({})), ""), Outcome::Fail { .. }));
        assert!(matches!(judge(None, ""), Outcome::Fail { .. }));
    }

    #[test]
    fn served_kinds_are_read_from_discovery() {
        let list =
            json!({"resources": [{"name": "widgets", "kind": "Widget"}, {"name": "widgets/status", "kind": "Widget"}]});
        assert!(matches!(served("Widget", Some(&list), ""), Outcome::Pass { .. }));
        assert!(matches!(served("Gadget", Some(&list), ""), Outcome::Fail { .. }));
        assert!(matches!(served("Widget", None, ""), Outcome::Fail { .. }));
    }
}
