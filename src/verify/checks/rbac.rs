//! RBAC: bound service accounts can do what their roles say, and no account can do what would let it own the cluster.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::few;
use super::rbac_rules::{Account, Question, accounts, all_accounts, allows, bindings, binds, forbidden, questions};
use crate::cluster::text;
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const SOURCE: &str = "SubjectAccessReview";

/// Questions asked for one binding. A role with more rights is a wildcard in disguise; what is left out is said.
const MOST_QUESTIONS: usize = 400;

/// Reviews of one check at the same time: a review costs the server well under a millisecond, the round trip counts.
const AT_ONCE: usize = 8;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for binding in bindings(desired).filter(|binding| !accounts(binding).is_empty()) {
        checks.push(Arc::new(Can { binding: binding.clone() }));
    }
    for account in all_accounts(desired) {
        checks.push(Arc::new(Cannot { account }));
    }
}

struct Can {
    binding: DesiredObject,
}

impl Can {
    fn subject(&self) -> String {
        format!("{}/{}", self.binding.id.namespace.as_deref().unwrap_or("cluster"), self.binding.id.name)
    }

    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let Some(rules) = rules_of(cx, &self.binding).await? else {
            let role = format!(
                "{} {}",
                text(&self.binding.manifest, "/roleRef/kind"),
                text(&self.binding.manifest, "/roleRef/name")
            );
            let evidence = Evidence::new(format!("{role} is not there"), "the role that the binding names", "GET role");
            return Ok(Outcome::fail(evidence, "apply the role, or name another one in the binding"));
        };
        let questions = questions(&rules, self.binding.id.namespace.as_deref().unwrap_or(""));
        let accounts = accounts(&self.binding);
        let all = questions.len() * accounts.len();
        let pairs = accounts.iter().flat_map(|account| questions.iter().map(move |question| (account, question)));
        let pairs: Vec<_> = pairs.take(MOST_QUESTIONS).collect();
        let denied: Vec<String> = ask(cx, &pairs)
            .await?
            .into_iter()
            .zip(&pairs)
            .filter(|(allowed, _)| !allowed)
            .map(|(_, (account, question))| format!("{account} cannot {question}"))
            .collect();
        let left_out = match all - pairs.len() {
            0 => String::new(),
            more => format!(" ({more} more not asked)"),
        };
        let wanted = format!("all {all} rights of {} service accounts", accounts.len());
        let data = json!({"asked": pairs.len(), "rights": all, "denied": denied});
        Ok(if denied.is_empty() {
            let measured = format!("{} of {} rights asked for are allowed{left_out}", pairs.len(), pairs.len());
            Outcome::pass(Evidence::new(measured, wanted, SOURCE).with(data))
        } else {
            let evidence = Evidence::new(format!("{}{left_out}", few(&denied)), wanted, SOURCE).with(data);
            Outcome::fail(
                evidence,
                "wbk-infra drift says whether the role or the binding was changed; wbk-infra apply mends it",
            )
        })
    }
}

#[async_trait]
impl Check for Can {
    fn id(&self) -> CheckId {
        CheckId::about("rbac.can", &self.subject())
    }

    fn title(&self) -> String {
        format!("the accounts of binding {} can do what its role says", self.subject())
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.binding.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.look(cx).await.unwrap_or_else(Outcome::from)
    }
}

struct Cannot {
    account: Account,
}

impl Cannot {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let mut granted = Vec::new();
        let everywhere = bindings(&cx.desired).filter(|binding| binding.id.gvk.kind == "ClusterRoleBinding");
        for binding in everywhere.filter(|binding| binds(binding, &self.account)) {
            // A role that is not there grants nothing.
            granted.extend(rules_of(cx, binding).await?.unwrap_or_default());
        }
        let (expected, asked): (Vec<Question>, Vec<Question>) =
            forbidden().into_iter().partition(|question| granted.iter().any(|rule| allows(rule, question)));
        let names = |questions: &[Question]| questions.iter().map(ToString::to_string).collect::<Vec<_>>();
        if asked.is_empty() {
            return Ok(Outcome::skipped(format!("the blueprint grants it all: {}", names(&expected).join(", "))));
        }
        let pairs: Vec<_> = asked.iter().map(|question| (&self.account, question)).collect();
        let answers = ask(cx, &pairs).await?;
        let allowed: Vec<String> =
            answers.into_iter().zip(&asked).filter(|(allowed, _)| *allowed).map(|(_, q)| q.to_string()).collect();
        let granted = match expected.is_empty() {
            true => String::new(),
            false => format!("; granted by the blueprint: {}", names(&expected).join(", ")),
        };
        let wanted = format!("cannot {}", names(&asked).join(", cannot "));
        Ok(if allowed.is_empty() {
            Outcome::pass(Evidence::new(format!("all {} denied{granted}", asked.len()), wanted, SOURCE))
        } else {
            let evidence = Evidence::new(format!("it can {}{granted}", few(&allowed)), wanted, SOURCE);
            Outcome::fail(
                evidence.with(json!({"allowed": allowed})),
                format!(
                    "find what binds {} (or a group of all accounts): kubectl get clusterrolebindings -o wide",
                    self.account
                ),
            )
        })
    }
}

#[async_trait]
impl Check for Cannot {
    fn id(&self) -> CheckId {
        CheckId::about("rbac.cannot", &self.account.to_string())
    }

    fn title(&self) -> String {
        format!("service account {} cannot do more than it is granted", self.account)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.look(cx).await.unwrap_or_else(Outcome::from)
    }
}

/// The rules behind a binding: the blueprint's role, or the live one where the blueprint has none (or has one that is
/// composed of others). `None`: there is no such role.
async fn rules_of(cx: &CheckContext, binding: &DesiredObject) -> Result<Option<Vec<Value>>, Trouble> {
    let (kind, role) = (text(&binding.manifest, "/roleRef/kind"), text(&binding.manifest, "/roleRef/name"));
    let space = (kind == "Role").then_some(binding.id.namespace.as_deref()).flatten();
    let rules = |role: &Value| role.get("rules").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_blueprint = cx.desired.objects.iter().find(|object| {
        object.id.gvk.group == "rbac.authorization.k8s.io"
            && object.id.gvk.kind == kind
            && object.id.name == role
            && object.id.namespace.as_deref() == space
            && object.manifest.get("aggregationRule").is_none()
    });
    if let Some(object) = of_blueprint {
        return Ok(Some(rules(&object.manifest)));
    }
    let api = "/apis/rbac.authorization.k8s.io/v1";
    let path = match space {
        Some(space) => format!("{api}/namespaces/{space}/roles/{role}"),
        None => format!("{api}/clusterroles/{role}"),
    };
    Ok(cx.api().find::<Value>(&path).await?.as_ref().map(rules))
}

/// Asks all questions, the answers in their order. An answer that the authorizer gave with an evaluation error counts
/// only where it allows.
pub(super) async fn ask(cx: &CheckContext, pairs: &[(&Account, &Question)]) -> Result<Vec<bool>, Trouble> {
    let api = cx.api();
    let asked: Vec<BoxFuture<'_, Result<bool, Trouble>>> = pairs
        .iter()
        .map(|(account, question)| {
            let (api, review) = (&api, question.review(account));
            async move { read(&api.post(REVIEWS, &review).await?) }.boxed()
        })
        .collect();
    stream::iter(asked).buffered(AT_ONCE).try_collect().await
}

fn read(review: &Value) -> Result<bool, Trouble> {
    let status = &review["status"];
    let garbled = |cause: String| Trouble::Garbled { attempted: format!("POST {REVIEWS}"), cause };
    let allowed = status["allowed"].as_bool().ok_or_else(|| garbled("no status.allowed".into()))?;
    match text(status, "/evaluationError") {
        error if !allowed && !error.is_empty() => Err(garbled(format!("the authorizer could not decide: {error}"))),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_error_is_a_doubt_unless_it_is_allowed_anyway() {
        assert_eq!(read(&json!({"status": {"allowed": true, "evaluationError": "x"}})), Ok(true));
        assert_eq!(read(&json!({"status": {"allowed": false}})), Ok(false));
        assert!(read(&json!({"status": {"allowed": false, "evaluationError": "x"}})).is_err());
        assert!(read(&json!({})).is_err());
    }
}
