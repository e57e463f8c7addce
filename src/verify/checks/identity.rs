//! Workload identity: the API server issues a token of the right audience for an account, and the cloud takes it.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{namespace, of_kind, texts};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

/// How long the token lives, in seconds: the least that the API server gives.
const LIFETIME: u64 = 600;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for account in of_kind(desired, "", "ServiceAccount") {
        if let Some(identity) = identity(&account.manifest) {
            checks.push(Arc::new(Token { account: account.clone(), identity: identity.clone() }));
            checks.push(Arc::new(Cloud { account: account.clone(), identity }));
        }
    }
}

/// A cloud identity that an account stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    cloud: &'static str,
    /// Role, service account or client id; no secret.
    name: String,
    /// The audience that the cloud asks for.
    audience: String,
}

/// By the annotation that the clouds' own webhooks and metadata servers read.
fn identity(account: &Value) -> Option<Identity> {
    let annotations = texts(account, "/metadata/annotations");
    let one = |key: &str| annotations.get(key).filter(|value| !value.is_empty()).cloned();
    if let Some(name) = one("eks.amazonaws.com/role-arn") {
        let audience = one("eks.amazonaws.com/audience").unwrap_or_else(|| "sts.amazonaws.com".into());
        return Some(Identity { cloud: "AWS", name, audience });
    }
    if let Some(name) = one("azure.workload.identity/client-id") {
        return Some(Identity { cloud: "Azure", name, audience: "api://AzureADTokenExchange".into() });
    }
    let name = one("iam.gke.io/gcp-service-account")?;
    // NAME@PROJECT.iam.gserviceaccount.com; the workload pool is the cluster's project's, as a rule the same.
    let project = name.split('@').nth(1)?.split('.').next()?.to_owned();
    Some(Identity { cloud: "Google Cloud", audience: format!("{project}.svc.id.goog"), name })
}

fn subject(account: &DesiredObject) -> String {
    format!("{}/{}", namespace(account), account.id.name)
}

struct Token {
    account: DesiredObject,
    identity: Identity,
}

#[async_trait]
impl Check for Token {
    fn id(&self) -> CheckId {
        CheckId::about("identity.token", &subject(&self.account))
    }

    fn title(&self) -> String {
        format!("{} gets a token that {} asks for", subject(&self.account), self.identity.cloud)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.account.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path =
            format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", namespace(&self.account), self.account.id.name);
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [self.identity.audience], "expirationSeconds": LIFETIME},
        });
        let user = format!("system:serviceaccount:{}:{}", namespace(&self.account), self.account.id.name);
        let source = format!("POST {path}");
        match cx.api().post(&path, &request).await {
            Ok(answer) => judge(&answer, &self.identity.audience, &user, &source),
            Err(Trouble::NotFound { .. }) => {
                Outcome::fail(Evidence::new("no such service account", "a token", source), "wbk-infra apply")
            }
            Err(trouble) => trouble.into(),
        }
    }
}

/// Judges a token by its claims. The token itself goes no further than this function.
fn judge(answer: &Value, audience: &str, user: &str, source: &str) -> Outcome {
    let wanted = format!("a token for audience {audience}, subject {user}");
    let claims = answer.pointer("/status/token").and_then(Value::as_str).and_then(claims);
    let Some(claims) = claims else {
        return Outcome::inconclusive(format!("{source}: the answer has no token that can be read"));
    };
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one.as_str()],
        many => many.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    let (subject, issuer) = (claims["sub"].as_str().unwrap_or_default(), claims["iss"].as_str().unwrap_or_default());
    let measured = format!("audience {}, subject {subject}, issuer {issuer}", audiences.join(" and "));
    let evidence = Evidence::new(measured, wanted, source).with(json!({"issuer": issuer, "audience": audiences}));
    if audiences.contains(&audience) && subject == user {
        Outcome::pass(evidence)
    } else {
        Outcome::fail(evidence, "see the API server's --service-account-issuer and --api-audiences")
    }
}

/// The claims of a JWT, unverified: it came from the API server a moment ago over a verified connection.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok() // Neither error may repeat the token.
}

struct Cloud {
    account: DesiredObject,
    identity: Identity,
}

#[async_trait]
impl Check for Cloud {
    fn id(&self) -> CheckId {
        CheckId::about("identity.cloud", &subject(&self.account))
    }

    fn title(&self) -> String {
        format!("{} takes {} for {}", self.identity.cloud, subject(&self.account), self.identity.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.account.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        use wbk_provider_api::ProviderKind as Kind;
        let cloud = self.identity.cloud;
        Outcome::inconclusive(match cx.desired.wanted.cluster.provider {
            provider @ (Kind::Local | Kind::Kind) => {
                format!(
                    "a cluster of provider {provider} is no issuer that {cloud} trusts: nothing to exchange its token for"
                )
            }
            Kind::Gke | Kind::Eks | Kind::Aks | Kind::Existing => {
                format!("the token is not handed to {cloud} from here: run a pod with this account that asks who it is")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(key: &str, value: &str) -> Value {
        json!({"metadata": {"annotations": {key: value}}})
    }

    #[test]
    fn each_cloud_has_its_annotation_and_audience() {
        let audience = |key: &str, value: &str| identity(&account(key, value)).map(|one| one.audience);
        assert_eq!(
            audience("eks.amazonaws.com/role-arn", "arn:aws:iam::1:role/x").as_deref(),
            Some("sts.amazonaws.com")
        );
        assert_eq!(audience("azure.workload.identity/client-id", "c-1").as_deref(), Some("api://AzureADTokenExchange"));
        assert_eq!(
            audience("iam.gke.io/gcp-service-account", "train@proj.iam.gserviceaccount.com").as_deref(),
            Some("proj.svc.id.goog")
        );
        assert_eq!(audience("team.example.com/owner", "research"), None);
    }

    #[test]
    fn a_token_is_judged_by_its_claims_and_never_repeated() {
        let token = |claims: Value| {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "RS256"})), part(&claims))
        };
        let user = "system:serviceaccount:a:b";
        let right = token(json!({"aud": ["sts.amazonaws.com"], "sub": user, "iss": "https://issuer"}));
        let judged = |token: &str| judge(&json!({"status": {"token": token}}), "sts.amazonaws.com", user, "POST");
        let outcome = judged(&right);
        assert!(matches!(outcome, Outcome::Pass { .. }), "{outcome:?}");
        assert!(!format!("{outcome:?}").contains(&right));
        let other = token(json!({"aud": "https://kubernetes.default.svc", "sub": user}));
        assert!(matches!(judged(&other), Outcome::Fail { .. }));
        assert!(matches!(judged("nonsense"), Outcome::Inconclusive { .. }));
    }
}
