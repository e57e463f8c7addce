//! Why a step failed, and what it left behind.

use wbk_provider_api::{LeftBehind, ProviderError};

use crate::cluster::{ClusterError, ErrorKind};

/// A step failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct StepError {
    /// What was attempted on what.
    pub attempted: String,
    /// What it left behind.
    pub left: LeftBehind,
    /// One concrete action.
    pub hint: Option<String>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A sentence as a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Because(pub String);

impl StepError {
    /// The world is not as the plan saw it.
    pub(super) fn stale(what: &str, moved: impl Into<String>) -> Self {
        Self {
            attempted: format!("{what} is not as it was planned for"),
            left: LeftBehind::Nothing,
            hint: Some("plan again".into()),
            source: Some(Box::new(Because(moved.into()))),
        }
    }

    /// It did not become ready, or did not go, in time.
    pub(super) fn overdue(attempted: String, waited_for: String) -> Self {
        Self {
            attempted,
            left: LeftBehind::Partial,
            hint: Some("mend what is named above and apply again: nothing is done twice".into()),
            source: Some(Box::new(Because(waited_for))),
        }
    }

    /// One line with the causes.
    pub fn line(&self) -> String {
        let mut line = self.attempted.clone();
        let mut cause: Option<&dyn std::error::Error> = self.source.as_deref().map(|source| source as _);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries print their cause in their own text; a part that is there already says nothing new.
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            cause = error.source();
        }
        line
    }
}

impl From<ClusterError> for StepError {
    fn from(error: ClusterError) -> Self {
        let left = match error.kind {
            ErrorKind::Unauthorized
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::FieldConflict(_)
            | ErrorKind::Stale
            | ErrorKind::Refused
            | ErrorKind::Throttled
            | ErrorKind::QuotaContended
            | ErrorKind::Local => LeftBehind::Nothing,
            ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Server | ErrorKind::Garbled => LeftBehind::Unknown,
        };
        let hint = match error.kind {
            ErrorKind::Stale | ErrorKind::FieldConflict(_) => Some("plan again".to_owned()),
            _ => error.hint().map(str::to_owned),
        };
        Self { attempted: error.attempted.clone(), left, hint, source: error.source }
    }
}

impl From<ProviderError> for StepError {
    fn from(error: ProviderError) -> Self {
        let ProviderError { attempted, left, hint, source } = error;
        Self { attempted, left, hint, source }
    }
}
