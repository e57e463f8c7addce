//! What can go wrong between this tool and an API server, sorted by what a caller does about it.

use kube::core::Status;

/// A request to an API server failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct ClusterError {
    /// What was attempted on what: lowercase, no period.
    pub attempted: String,
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// The server's or the network's own words.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The sorts of failure that callers treat differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection, or it broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The credentials are not accepted.
    Unauthorized,
    /// The credentials do not allow it.
    Forbidden,
    /// No such object or no such kind.
    NotFound,
    /// Other field managers hold fields that this apply sets.
    FieldConflict(Vec<FieldConflict>),
    /// The object is not the one that was planned for (uid or resourceVersion).
    Stale,
    /// The server refuses the object: schema, admission, quota.
    Refused,
    /// Too many requests, after retries.
    Throttled,
    /// The server's own count of a quota was written by somebody else meanwhile, after retries; the object was not written.
    QuotaContended,
    /// The server failed, after retries.
    Server,
    /// The answer is not what the protocol says.
    Garbled,
    /// This side could not make the request (kubeconfig, certificates, exec plugin).
    Local,
}

impl ErrorKind {
    /// Whether the same request may be served a moment later: a wait goes on.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable | Self::Timeout | Self::Server | Self::Throttled | Self::QuotaContended => true,
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::FieldConflict(_)
            | Self::Stale
            | Self::Refused
            | Self::Garbled
            | Self::Local => false,
        }
    }
}

/// One field that another manager holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FieldConflict {
    /// The other manager, `kubectl-edit`.
    pub manager: String,
    /// The field, as the server writes it: `.spec.replicas`.
    pub field: String,
}

/// The server's own words, as an error without a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Words(pub String);

impl ClusterError {
    pub(super) fn new(attempted: impl Into<String>, kind: ErrorKind, words: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), kind, source: Some(Box::new(Words(words.into()))) }
    }

    pub(super) fn caused(
        attempted: impl Into<String>,
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { attempted: attempted.into(), kind, source: Some(source.into()) }
    }

    /// Sorts an error answer of the API server.
    pub(super) fn from_status(attempted: String, path: &str, code: u16, body: &[u8]) -> Self {
        let status: Option<Status> = serde_json::from_slice(body).ok(); // A proxy's HTML page is no Status; then the code speaks.
        let words = match &status {
            Some(status) if !status.message.is_empty() => status.message.clone(),
            Some(_) | None => {
                format!("the server answered {code}: {}", String::from_utf8_lossy(&body[..body.len().min(200)]))
            }
        };
        let kind = match code {
            401 => ErrorKind::Unauthorized,
            403 => match status.as_ref().map(|status| status.message.contains("exceeded quota")) {
                Some(true) => ErrorKind::Refused,
                Some(false) | None if words.contains("is forbidden: User") || status.is_none() => ErrorKind::Forbidden,
                // Admission plugins (pod security, LimitRange) answer 403 too; RBAC's answer names the user.
                Some(false) | None => ErrorKind::Refused,
            },
            404 => ErrorKind::NotFound,
            409 if status.as_ref().is_some_and(|status| is_quota_contended(status, path)) => ErrorKind::QuotaContended,
            409 => match status.as_ref().map(conflicts) {
                Some(conflicts) if !conflicts.is_empty() => ErrorKind::FieldConflict(conflicts),
                Some(_) | None => ErrorKind::Stale,
            },
            400 | 405 | 413 | 415 | 422 => ErrorKind::Refused,
            429 => ErrorKind::Throttled,
            504 => ErrorKind::Timeout,
            500..=599 => ErrorKind::Server,
            _ => ErrorKind::Garbled,
        };
        Self::new(attempted, kind, words)
    }

    /// The server's words for a person, or the attempt when there are none.
    pub fn words(&self) -> String {
        self.source.as_ref().map_or_else(|| self.attempted.clone(), |source| source.to_string())
    }

    /// One concrete action for the user.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind {
            ErrorKind::Unreachable => {
                Some("check that the cluster runs and that this machine reaches it: wbk-infra doctor")
            }
            ErrorKind::Timeout => {
                Some("the API server does not answer; look at its health, or raise --request-timeout")
            }
            ErrorKind::Unauthorized => Some("renew the credentials of this kubeconfig context and try again"),
            ErrorKind::Forbidden => Some("ask for the right named above, or use a context that has it"),
            ErrorKind::QuotaContended => {
                Some("many objects are made in this namespace at once; try again when that is over")
            }
            ErrorKind::Throttled => Some("the API server asks for fewer requests; try again later or lower --parallel"),
            ErrorKind::Local => Some("check the kubeconfig, its certificates and its exec plugin"),
            ErrorKind::NotFound
            | ErrorKind::FieldConflict(_)
            | ErrorKind::Stale
            | ErrorKind::Refused
            | ErrorKind::Server
            | ErrorKind::Garbled => None,
        }
    }
}

/// Whether a request to `path` was refused because the API server lost the race for a quota's count too often: it tries three
/// times itself (apiserver, plugin/resourcequota/controller.go), then answers a 409 that is about the ResourceQuota and not about
/// what was sent. Nothing was written, and the same request is served a moment later.
pub(crate) fn is_quota_contended(status: &Status, path: &str) -> bool {
    const QUOTAS: &str = "resourcequotas";
    status.code == 409
        && status.reason == "Conflict"
        && status.details.as_ref().is_some_and(|details| details.kind == QUOTAS)
        && !path.split(['/', '?']).any(|part| part == QUOTAS)
}

/// Field conflicts of a 409 Status. Each cause reads `conflict with "NAME" using VERSION` or `conflict with "NAME" with subresource …`.
fn conflicts(status: &Status) -> Vec<FieldConflict> {
    let Some(details) = &status.details else { return Vec::new() };
    details
        .causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| FieldConflict {
            manager: cause.message.split('"').nth(1).unwrap_or(&cause.message).to_owned(),
            field: cause.field.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a kube-apiserver 1.36 answers a pod that lost the race for its quota's count.
    const CONTENDED: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Operation cannot be fulfilled on resourcequotas \"wbk-infra\": the object has been modified; please apply your changes to the latest version and try again","reason":"Conflict","details":{"name":"wbk-infra","kind":"resourcequotas"},"code":409}"#;

    #[test]
    fn a_lost_race_for_a_quotas_count_may_pass_and_a_stale_write_of_the_quota_does_not() {
        let kind = |path: &str| ClusterError::from_status("make it".into(), path, 409, CONTENDED.as_bytes()).kind;
        assert_eq!(kind("/api/v1/namespaces/a/pods?dryRun=All"), ErrorKind::QuotaContended);
        assert!(kind("/api/v1/namespaces/a/pods").may_pass());
        assert_eq!(kind("/api/v1/namespaces/a/resourcequotas/wbk-infra?fieldManager=x"), ErrorKind::Stale);
        let taken = CONTENDED.replace("\"Conflict\"", "\"AlreadyExists\"");
        let error = ClusterError::from_status("make it".into(), "/api/v1/namespaces/a/pods", 409, taken.as_bytes());
        assert_eq!(error.kind, ErrorKind::Stale);
    }
}
