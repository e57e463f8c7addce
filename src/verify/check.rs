//! What a check is and how it can end.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::Trouble;
use super::context::{CheckContext, VerifyOptions};
use crate::desired::{Desired, Origin};

/// Names a check: `section.what/of-what`, as in `nodes.ready/a100` or `quota.enforced/wandb-jobs`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CheckId(String);

impl CheckId {
    /// Makes the id of a check about one thing: `nodes.ready` and `a100` give `nodes.ready/a100`.
    pub fn about(what: &str, subject: &str) -> Self {
        Self(format!("{what}/{subject}"))
    }

    /// Makes the id of a check that there is once: `api.version`.
    pub fn once(what: &str) -> Self {
        Self(what.to_owned())
    }

    /// The part before the first dot: `nodes`. Reports group by it.
    pub fn section(&self) -> &str {
        self.0.split(['.', '/']).next().unwrap_or(&self.0)
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a check can say anything about a blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applicability {
    /// It is run.
    Applies,
    /// It is not run, and this is the sentence that says why.
    Skipped(String),
}

/// What was measured, beside what was wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What was found, in words: `3 of 3 nodes Ready`.
    pub measured: String,
    /// What the blueprint promises, in words: `2 to 4 nodes Ready`.
    pub wanted: String,
    /// Where it was read: `GET /api/v1/nodes`, `dry-run POST /api/v1/namespaces/a/pods`.
    pub source: String,
    /// The same as data, for programs; `null` where the words say all. Never a secret's value.
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub data: Value,
}

impl Evidence {
    /// Makes evidence without data.
    pub fn new(measured: impl Into<String>, wanted: impl Into<String>, source: impl Into<String>) -> Self {
        Self { measured: measured.into(), wanted: wanted.into(), source: source.into(), data: Value::Null }
    }

    /// Adds the same as data.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        self.data = data;
        self
    }
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// The promise holds.
    Pass {
        /// What proves it.
        evidence: Evidence,
    },
    /// The promise does not hold.
    Fail {
        /// What shows it.
        evidence: Evidence,
        /// One concrete action that may mend it.
        hint: Option<String>,
    },
    /// There was nothing to prove.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It could not be found out: no right to look, no answer, not in time.
    Inconclusive {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The promise holds.
    pub fn pass(evidence: Evidence) -> Self {
        Self::Pass { evidence }
    }

    /// The promise does not hold, and `hint` is what may mend it.
    pub fn fail(evidence: Evidence, hint: impl Into<String>) -> Self {
        Self::Fail { evidence, hint: Some(hint.into()) }
    }

    /// It could not be found out.
    pub fn inconclusive(reason: impl Into<String>) -> Self {
        Self::Inconclusive { reason: reason.into() }
    }

    /// There was nothing to prove.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped { reason: reason.into() }
    }
}

impl From<Trouble> for Outcome {
    /// What kept a check from looking is never taken for an answer.
    fn from(trouble: Trouble) -> Self {
        Self::inconclusive(trouble.to_string())
    }
}

/// One promise of the blueprint, and how it is proved.
#[async_trait]
pub trait Check: Send + Sync {
    /// Its stable name.
    fn id(&self) -> CheckId;

    /// The promise in a few words: `nodes of pool a100 are Ready`.
    fn title(&self) -> String;

    /// Where the promise stands in the blueprint, where one place says it.
    fn origin(&self) -> Option<Origin> {
        None
    }

    /// Whether the blueprint gives it something to prove, and what it does was asked for.
    fn applies(&self, desired: &Desired, options: &VerifyOptions) -> Applicability {
        let _every_blueprint = (desired, options);
        Applicability::Applies
    }

    /// Whether it makes something in the cluster. Such checks take longest, so that they are begun first.
    fn makes(&self) -> bool {
        false
    }

    /// The longest it may take; afterwards it is inconclusive. Looking again until things settle is included.
    fn bound(&self, cx: &CheckContext) -> Duration {
        cx.options.patience + LOOK
    }

    /// Looks. Dropping the future is safe at any point: what it created is registered for removal beforehand.
    async fn run(&self, cx: &CheckContext) -> Outcome;
}

/// Covers the requests of one look at a loaded API server: a handful of GETs and LISTs, each within
/// [`super::context::REQUEST_BOUND`]. Seen: below 50 ms on a local control plane, a few seconds on a throttled one.
pub(super) const LOOK: Duration = Duration::from_secs(20);
