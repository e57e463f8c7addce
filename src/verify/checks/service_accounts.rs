//! Service accounts exist, with the annotations and pull secrets that identities hang on.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::settle::settled;
use super::{namespace, of_kind, texts};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for account in of_kind(desired, "", "ServiceAccount") {
        checks.push(Arc::new(Exists { account: account.clone() }));
    }
}

struct Exists {
    account: DesiredObject,
}

#[async_trait]
impl Check for Exists {
    fn id(&self) -> CheckId {
        CheckId::about("accounts.exist", &format!("{}/{}", namespace(&self.account), self.account.id.name))
    }

    fn title(&self) -> String {
        format!("service account {}/{} exists", namespace(&self.account), self.account.id.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.account.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}", namespace(&self.account), self.account.id.name);
        settled(cx, || {
            async {
                match cx.api().find(&path).await {
                    Ok(found) => compare(&self.account.manifest, found.as_ref(), &format!("GET {path}")),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

fn compare(wanted: &Value, found: Option<&Value>, source: &str) -> Outcome {
    let annotations = texts(wanted, "/metadata/annotations");
    let secrets: Vec<&str> = pull_secrets(wanted);
    let mut promise = "exists".to_owned();
    if !annotations.is_empty() {
        promise.push_str(&format!(" with annotations {}", annotations.keys().cloned().collect::<Vec<_>>().join(", ")));
    }
    if !secrets.is_empty() {
        promise.push_str(&format!(" with pull secrets {}", secrets.join(", ")));
    }
    let Some(found) = found else {
        return Outcome::fail(Evidence::new("not there", promise, source), "wbk-infra apply");
    };
    let there = texts(found, "/metadata/annotations");
    let mut faults: Vec<String> = annotations
        .iter()
        .filter(|(key, value)| there.get(*key) != Some(*value))
        .map(|(key, value)| match there.get(key) {
            Some(other) => format!("annotation {key} is `{other}`, not `{value}`"),
            None => format!("no annotation {key}"),
        })
        .collect();
    let mounted = pull_secrets(found);
    faults.extend(secrets.iter().filter(|name| !mounted.contains(name)).map(|name| format!("no pull secret {name}")));
    if faults.is_empty() {
        return Outcome::pass(Evidence::new(promise.clone(), promise, source));
    }
    let evidence = Evidence::new(faults.join("; "), promise, source).with(json!({"faults": faults}));
    Outcome::fail(evidence, "wbk-infra drift says who changed it; wbk-infra apply mends it")
}

fn pull_secrets(account: &Value) -> Vec<&str> {
    let secrets = account.get("imagePullSecrets").and_then(Value::as_array);
    secrets.into_iter().flatten().filter_map(|secret| secret.get("name")?.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_hangs_on_its_annotation() {
        let wanted = json!({"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:a"}}});
        assert!(matches!(compare(&wanted, Some(&wanted), ""), Outcome::Pass { .. }));
        assert!(matches!(compare(&wanted, None, ""), Outcome::Fail { .. }));
        let other = json!({"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:b"}}});
        match compare(&wanted, Some(&other), "") {
            Outcome::Fail { evidence, .. } => {
                assert_eq!(evidence.measured, "annotation eks.amazonaws.com/role-arn is `arn:b`, not `arn:a`");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lost_pull_secret_is_a_fault() {
        let wanted = json!({"imagePullSecrets": [{"name": "regcred"}]});
        assert!(matches!(compare(&wanted, Some(&json!({})), ""), Outcome::Fail { .. }));
    }
}
