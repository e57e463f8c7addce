//! LimitRange defaults are applied to a container that declares nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::constraints::{Constraints, amounts};
use super::{namespace, of_kind};
use crate::desired::{Desired, Origin};
use crate::quantity::Quantity;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;
use crate::verify::probe::{Answer, Refusal, dry_run, pod, restricted_container};

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let spaces: BTreeSet<&str> = of_kind(desired, "", "LimitRange").map(namespace).collect();
    for space in spaces {
        let wanted = Constraints::wanted(desired, space);
        if !wanted.default_limits.is_empty() || !wanted.default_requests.is_empty() {
            let origin = of_kind(desired, "", "LimitRange").find(|range| namespace(range) == space);
            let origin = origin.map(|range| range.origin.clone());
            checks.push(Arc::new(Defaults { space: space.to_owned(), wanted, origin }));
        }
    }
}

struct Defaults {
    space: String,
    wanted: Constraints,
    origin: Option<Origin>,
}

#[async_trait]
impl Check for Defaults {
    fn id(&self) -> CheckId {
        CheckId::about("limits.defaults", &self.space)
    }

    fn title(&self) -> String {
        format!("a container without resources gets the defaults of namespace {}", self.space)
    }

    fn origin(&self) -> Option<Origin> {
        self.origin.clone()
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/pods", self.space);
        let bare = pod(cx, vec![restricted_container(cx.options.image(cx.nodes), json!({}))]);
        match dry_run(cx, &path, &bare).await {
            Ok(answer) => judge(&self.wanted, answer, &format!("dry-run POST {path}")),
            Err(trouble) => trouble.into(),
        }
    }
}

fn words(requests: &BTreeMap<String, Quantity>, limits: &BTreeMap<String, Quantity>) -> String {
    let list = |amounts: &BTreeMap<String, Quantity>| match amounts.is_empty() {
        true => "none".to_owned(),
        false => amounts.iter().map(|(resource, amount)| format!("{resource} {amount}")).collect::<Vec<_>>().join(", "),
    };
    format!("requests {}; limits {}", list(requests), list(limits))
}

fn judge(wanted: &Constraints, answer: Answer, source: &str) -> Outcome {
    let promise = words(&wanted.default_requests, &wanted.default_limits);
    match answer {
        Answer::Accepted(made) => {
            let given = made.pointer("/spec/containers/0/resources").cloned().unwrap_or(Value::Null);
            let (requests, limits) = (amounts(&given, "requests"), amounts(&given, "limits"));
            let evidence = Evidence::new(words(&requests, &limits), promise, source).with(given);
            if requests == wanted.default_requests && limits == wanted.default_limits {
                Outcome::pass(evidence)
            } else {
                Outcome::fail(evidence, "kubectl get limitrange in that namespace; wbk-infra drift says who changed it")
            }
        }
        Answer::Refused(Refusal::LimitRange, message) => Outcome::fail(
            Evidence::new(format!("a container that declares nothing is refused: {message}"), promise, source),
            "give the LimitRange defaults that lie within its own bounds",
        ),
        Answer::Refused(
            Refusal::Quota | Refusal::QuotaUncounted | Refusal::PodSecurity | Refusal::NoRight | Refusal::Other,
            message,
        ) => Outcome::inconclusive(format!("{source}: refused before its defaults could be seen: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Constraints {
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}}]}});
        Constraints::read([&range].into_iter())
    }

    #[test]
    fn defaults_are_compared_by_amount() {
        let made = |cpu: &str| {
            let list = json!({"cpu": cpu, "memory": "1024Mi"});
            Answer::Accepted(json!({"spec": {"containers": [{"resources": {"requests": list, "limits": list}}]}}))
        };
        assert!(matches!(judge(&wanted(), made("0.5"), ""), Outcome::Pass { .. }));
        assert!(matches!(judge(&wanted(), made("1"), ""), Outcome::Fail { .. }));
        let none = Answer::Accepted(json!({"spec": {"containers": [{"resources": {}}]}}));
        match judge(&wanted(), none, "") {
            Outcome::Fail { evidence, .. } => assert_eq!(evidence.measured, "requests none; limits none"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_quota_hides_the_answer() {
        let refused = Answer::Refused(Refusal::Quota, "exceeded quota".into());
        assert!(matches!(judge(&wanted(), refused, ""), Outcome::Inconclusive { .. }));
    }
}
