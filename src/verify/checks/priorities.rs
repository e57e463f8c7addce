//! Priority classes exist with their values.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::of_kind;
use crate::cluster::{number, text};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for class in of_kind(desired, "scheduling.k8s.io", "PriorityClass") {
        checks.push(Arc::new(Exists { class: class.clone() }));
    }
}

struct Exists {
    class: DesiredObject,
}

#[async_trait]
impl Check for Exists {
    fn id(&self) -> CheckId {
        CheckId::about("priorities.exist", &self.class.id.name)
    }

    fn title(&self) -> String {
        format!("priority class {} has value {}", self.class.id.name, number(&self.class.manifest, "/value"))
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.class.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/apis/scheduling.k8s.io/v1/priorityclasses/{}", self.class.id.name);
        match cx.api().find(&path).await {
            Ok(found) => compare(&self.class.manifest, found.as_ref(), &format!("GET {path}")),
            Err(trouble) => trouble.into(),
        }
    }
}

/// Value, preemption and default of a class, in words.
fn words(class: &Value) -> String {
    let policy = match text(class, "/preemptionPolicy") {
        "" => "PreemptLowerPriority",
        policy => policy,
    };
    let default = if class["globalDefault"] == json!(true) { ", global default" } else { "" };
    format!("value {}, {policy}{default}", number(class, "/value"))
}

fn compare(wanted: &Value, found: Option<&Value>, source: &str) -> Outcome {
    let Some(found) = found else {
        let evidence = Evidence::new("no such priority class", words(wanted), source);
        return Outcome::fail(evidence, "wbk-infra apply");
    };
    let evidence = Evidence::new(words(found), words(wanted), source);
    if words(found) == words(wanted) {
        Outcome::pass(evidence)
    } else {
        Outcome::fail(evidence, "wbk-infra apply (a priority class's value is immutable: it is replaced)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_compared_with_its_defaults_filled() {
        let wanted = json!({"value": 100});
        let found = json!({"value": 100, "preemptionPolicy": "PreemptLowerPriority", "globalDefault": false});
        assert!(matches!(compare(&wanted, Some(&found), ""), Outcome::Pass { .. }));
        for worse in [
            json!({"value": 99}),
            json!({"value": 100, "preemptionPolicy": "Never"}),
            json!({"value": 100, "globalDefault": true}),
        ] {
            assert!(matches!(compare(&wanted, Some(&worse), ""), Outcome::Fail { .. }), "{worse}");
        }
        assert!(matches!(compare(&wanted, None, ""), Outcome::Fail { .. }));
    }
}
