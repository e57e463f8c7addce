//! Dry-run probes: pods that are asked for and never made, and what a refusal means.

use serde_json::{Value, json};

use super::api::Trouble;
use super::context::CheckContext;

/// Who refused a request, by the server's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A quota is exceeded.
    Quota,
    /// A quota that nobody has counted yet.
    QuotaUncounted,
    /// Pod security.
    PodSecurity,
    /// A LimitRange.
    LimitRange,
    /// The caller has no right to ask.
    NoRight,
    /// Something else.
    Other,
}

/// What became of a dry-run.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// It would have been made, like this.
    Accepted(Value),
    /// It would not have been.
    Refused(Refusal, String),
}

/// Reads a refusal. The phrases are those of the admission plug-ins and of RBAC in Kubernetes 1.20 to 1.36.
pub(super) fn refusal(message: &str) -> Refusal {
    if message.contains("exceeded quota:") {
        Refusal::Quota
    } else if message.contains("status unknown for quota") {
        Refusal::QuotaUncounted
    } else if message.contains("violates PodSecurity") {
        Refusal::PodSecurity
    } else if message.contains("usage per Container is")
        || message.contains("usage per Pod is")
        || message.contains("usage per PersistentVolumeClaim is")
        || message.contains("limit to request ratio per")
    {
        Refusal::LimitRange
    } else if message.contains("cannot create resource") {
        Refusal::NoRight
    } else {
        Refusal::Other
    }
}

/// Asks whether `object` would be accepted at `path`, without making it.
pub(super) async fn dry_run(cx: &CheckContext, path: &str, object: &Value) -> Result<Answer, Trouble> {
    match cx.api().post(&format!("{path}?dryRun=All"), object).await {
        Ok(made) => Ok(Answer::Accepted(made)),
        Err(Trouble::Forbidden { attempted, message }) => match refusal(&message) {
            Refusal::NoRight => Err(Trouble::Forbidden { attempted, message }),
            // A 403 without a known phrase: admission webhooks and policies refuse so as well.
            reason => Ok(Answer::Refused(reason, message)),
        },
        Err(Trouble::Refused { code: 422, message, .. }) => Ok(Answer::Refused(refusal(&message), message)),
        Err(trouble) => Err(trouble),
    }
}

/// A container that every level of pod security accepts.
pub(super) fn restricted_container(image: &str, resources: Value) -> Value {
    json!({
        "name": "probe",
        "image": image,
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "runAsNonRoot": true,
            "runAsUser": 65534,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

/// A pod for a dry-run, without containers; it is never made.
pub(super) fn pod(cx: &CheckContext, containers: Vec<Value>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("wbk-verify-probe-{}", cx.run),
            "labels": {(super::marks::MANAGED_BY.0): super::marks::MANAGED_BY.1},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": containers,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_the_servers_words() {
        for (message, expected) in [
            (
                r#"pods "p" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=17, used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=16"#,
                Refusal::Quota,
            ),
            (r#"pods "p" is forbidden: status unknown for quota: q, resources: pods"#, Refusal::QuotaUncounted),
            (
                r#"pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)"#,
                Refusal::PodSecurity,
            ),
            (r#"pods "p" is forbidden: maximum cpu usage per Container is 4, but limit is 5"#, Refusal::LimitRange),
            (
                r#"pods is forbidden: User "u" cannot create resource "pods" in API group "" in the namespace "a""#,
                Refusal::NoRight,
            ),
            (r#"pods "p" is forbidden: error looking up service account a/default"#, Refusal::Other),
            (r#"pods "p" is forbidden: failed quota: q: must specify limits.cpu for: probe"#, Refusal::Other),
        ] {
            assert_eq!(refusal(message), expected, "{message}");
        }
    }
}
