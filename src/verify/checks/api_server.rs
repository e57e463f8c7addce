//! The API server answers, says that it is ready, and has the version that is wanted.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::cluster::text;
use crate::desired::Desired;
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, VerifyOptions};

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    checks.push(Arc::new(Ready));
    checks.push(Arc::new(Version { wanted: desired.wanted.cluster.version.clone() }));
}

struct Ready;

#[async_trait]
impl Check for Ready {
    fn id(&self) -> CheckId {
        CheckId::once("api.ready")
    }

    fn title(&self) -> String {
        "the API server is reachable and ready".into()
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let evidence = |measured: String| Evidence::new(measured, "`ok`", "GET /readyz");
        match cx.api().text("/readyz").await {
            Ok(answer) if answer.trim() == "ok" => Outcome::pass(evidence("answers `ok`".into())),
            Ok(answer) => Outcome::inconclusive(format!(
                "GET /readyz was answered with something else than `ok`: {}",
                crate::cluster::one_line(&answer)
            )),
            // The API server says 500 and names the parts that are not ready.
            Err(Trouble::Refused { code: 500 | 503, message, .. }) => Outcome::fail(
                evidence(crate::cluster::one_line(&message)),
                "look at the API server's log for the parts that are not ready",
            ),
            Err(trouble) => trouble.into(),
        }
    }
}

struct Version {
    wanted: Option<String>,
}

#[async_trait]
impl Check for Version {
    fn id(&self) -> CheckId {
        CheckId::once("api.version")
    }

    fn title(&self) -> String {
        match &self.wanted {
            Some(wanted) => format!("Kubernetes {wanted}"),
            None => "the Kubernetes version".into(),
        }
    }

    fn applies(&self, _desired: &Desired, _options: &VerifyOptions) -> Applicability {
        match self.wanted {
            Some(_) => Applicability::Applies,
            None => Applicability::Skipped("the blueprint does not say which version it wants".into()),
        }
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let wanted = self.wanted.as_deref().unwrap_or("");
        let version: Value = match cx.api().get("/version").await {
            Ok(version) => version,
            Err(trouble) => return trouble.into(),
        };
        let evidence = Evidence::new(text(&version, "/gitVersion"), wanted, "GET /version")
            .with(json!({"gitVersion": version["gitVersion"], "wanted": wanted}));
        match minor_of(&version) {
            Some(minor) if Some(&minor) == minor_in(wanted).as_ref() => Outcome::pass(evidence),
            Some(_) => Outcome::fail(
                evidence,
                format!("upgrade the control plane to {wanted}, or write the version it has into `cluster.version`"),
            ),
            None => Outcome::inconclusive("GET /version names no major and minor version"),
        }
    }
}

/// Major and minor, as the server says it; managed clusters write the minor as `36+`.
fn minor_of(version: &Value) -> Option<(u32, u32)> {
    let digits = |pointer| text(version, pointer).trim_end_matches('+').parse().ok(); // not a number: not said
    Some((digits("/major")?, digits("/minor")?))
}

/// Major and minor of `1.36`, `v1.36` or `1.36.3`.
fn minor_in(wanted: &str) -> Option<(u32, u32)> {
    let mut parts = wanted.trim_start_matches('v').split('.');
    let mut next = || parts.next()?.parse().ok(); // not a number: no version
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_minor() {
        assert_eq!(minor_of(&json!({"major": "1", "minor": "36+"})), minor_in("v1.36.3"));
        assert_ne!(minor_of(&json!({"major": "1", "minor": "35"})), minor_in("1.36"));
        assert_eq!(minor_of(&json!({})), None);
        assert_eq!(minor_in("latest"), None);
    }
}
