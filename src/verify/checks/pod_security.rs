//! Pod security is enforced: a pod that the namespace's level forbids is refused.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::constraints::{Constraints, resources};
use super::of_kind;
use crate::cluster::text;
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, VerifyOptions};
use crate::verify::probe::{Answer, Refusal, dry_run, pod};

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for space in of_kind(desired, "", "Namespace") {
        let level = text(&space.manifest, "/metadata/labels/pod-security.kubernetes.io~1enforce");
        if !level.is_empty() {
            checks.push(Arc::new(Enforced { space: space.clone(), level: level.to_owned() }));
        }
    }
}

struct Enforced {
    space: DesiredObject,
    level: String,
}

#[async_trait]
impl Check for Enforced {
    fn id(&self) -> CheckId {
        CheckId::about("podsecurity.enforced", &self.space.id.name)
    }

    fn title(&self) -> String {
        format!("namespace {} enforces pod security level {}", self.space.id.name, self.level)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.space.origin.clone())
    }

    fn applies(&self, _desired: &Desired, _options: &VerifyOptions) -> Applicability {
        match self.level.as_str() {
            "privileged" => Applicability::Skipped("level privileged forbids nothing".into()),
            _ => Applicability::Applies,
        }
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.look(cx).await.unwrap_or_else(Outcome::from)
    }
}

impl Enforced {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let bounds = Constraints::of(cx, &self.space.id.name).await?;
        let container = forbidden(&self.level, cx.image(), resources(&bounds.small(1)));
        let path = format!("/api/v1/namespaces/{}/pods", self.space.id.name);
        let answer = dry_run(cx, &path, &pod(cx, vec![container])).await?;
        Ok(judge(&self.level, answer, &format!("dry-run POST {path}")))
    }
}

/// A container that the level forbids and the level below allows, so that the refusal proves this level.
fn forbidden(level: &str, image: &str, resources: Value) -> Value {
    let context = match level {
        "restricted" => json!({}),
        _ => json!({"privileged": true}),
    };
    json!({"name": "probe", "image": image, "resources": resources, "securityContext": context})
}

fn judge(level: &str, answer: Answer, source: &str) -> Outcome {
    let what = if level == "restricted" { "a pod without a security context" } else { "a privileged pod" };
    let evidence = |measured: String| Evidence::new(measured, format!("{what} is refused by level {level}"), source);
    match answer {
        Answer::Accepted(_) => Outcome::fail(
            evidence(format!("{what} would be accepted")),
            "see that the namespace has the label pod-security.kubernetes.io/enforce, and that this caller is not exempt",
        ),
        Answer::Refused(Refusal::PodSecurity, message) if message.contains(&format!("\"{level}:")) => {
            Outcome::pass(evidence(format!("refused: {}", crate::cluster::one_line(&message))))
        }
        Answer::Refused(Refusal::PodSecurity, message) => {
            Outcome::fail(evidence(format!("refused by another level: {message}")), "wbk-infra apply")
        }
        Answer::Refused(
            Refusal::Quota | Refusal::QuotaUncounted | Refusal::LimitRange | Refusal::NoRight | Refusal::Other,
            message,
        ) => Outcome::inconclusive(format!("{source}: refused for another reason than pod security: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_level_is_a_proof() {
        let refused = |message: &str| Answer::Refused(Refusal::PodSecurity, message.into());
        let baseline = r#"violates PodSecurity "baseline:latest": privileged"#;
        assert!(matches!(judge("baseline", refused(baseline), ""), Outcome::Pass { .. }));
        assert!(matches!(judge("restricted", refused(baseline), ""), Outcome::Fail { .. }));
        assert!(matches!(judge("baseline", Answer::Accepted(Value::Null), ""), Outcome::Fail { .. }));
        let other = Answer::Refused(Refusal::Other, "a webhook".into());
        assert!(matches!(judge("baseline", other, ""), Outcome::Inconclusive { .. }));
    }
}
