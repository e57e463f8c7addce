//! Namespaces are there and Active.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::of_kind;
use crate::cluster::{condition, text};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for space in of_kind(desired, "", "Namespace") {
        checks.push(Arc::new(Active { space: space.clone() }));
    }
}

struct Active {
    space: DesiredObject,
}

#[async_trait]
impl Check for Active {
    fn id(&self) -> CheckId {
        CheckId::about("namespaces.active", &self.space.id.name)
    }

    fn title(&self) -> String {
        format!("namespace {} is there and Active", self.space.id.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.space.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}", self.space.id.name);
        match cx.api().find(&path).await {
            Ok(found) => judge(found.as_ref(), &format!("GET {path}")),
            Err(trouble) => trouble.into(),
        }
    }
}

fn judge(found: Option<&Value>, source: &str) -> Outcome {
    let Some(found) = found else {
        return Outcome::fail(Evidence::new("not there", "Active", source), "wbk-infra apply");
    };
    match text(found, "/status/phase") {
        "Active" => Outcome::pass(Evidence::new("Active", "Active", source)),
        phase => {
            let stuck =
                ["NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionContentFailure"];
            let why = stuck.iter().filter_map(|kind| condition(found, kind)).map(|c| text(c, "/message"));
            let why = why.filter(|message| !message.is_empty()).collect::<Vec<_>>().join("; ");
            let joint = if why.is_empty() { "" } else { ": " };
            let evidence = Evidence::new(format!("{phase}{joint}{why}"), "Active", source);
            Outcome::fail(evidence, "let the deletion end (remove what its finalizers name), then wbk-infra apply")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_that_goes_is_not_active_and_says_what_holds_it() {
        let going = json!({"status": {"phase": "Terminating", "conditions": [
            {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "x/y in 1 resource instances"}]}});
        match judge(Some(&going), "") {
            Outcome::Fail { evidence, .. } => assert_eq!(evidence.measured, "Terminating: x/y in 1 resource instances"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(judge(None, ""), Outcome::Fail { .. }));
        assert!(matches!(judge(Some(&json!({"status": {"phase": "Active"}})), ""), Outcome::Pass { .. }));
    }
}
