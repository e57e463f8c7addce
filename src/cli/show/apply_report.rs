//! What an apply or a destroy did, for programs: one document.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wbk_provider_api::LeftBehind;

use super::{PlanReport, plan_json};
use crate::{execute::Execution, plan::Plan};

/// What `apply -o json` and `destroy -o json` print: the plan, what became of it, and the verification.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyReport {
    /// Format of this report.
    pub format: u32,
    /// What was to be done.
    pub plan: PlanReport,
    /// Steps that are done, in the order in which they ended.
    pub done: Vec<String>,
    /// Steps that failed.
    pub failed: Vec<FailedStep>,
    /// Steps that were never started.
    pub blocked: Vec<BlockedStep>,
    /// Steps that were let go while they ran; the next apply finds out what they left.
    pub abandoned: Vec<String>,
    /// Whether a stop was asked for.
    pub interrupted: bool,
    /// What planning again found still to be done; absent where nothing is.
    pub remaining: Option<PlanReport>,
    /// What is left after a destroy.
    pub left: Vec<String>,
    /// The report of the checks, as `verify -o json` prints it; absent where none ran.
    pub verification: Option<Value>,
}

/// A step that failed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedStep {
    /// Which.
    pub step: String,
    /// The error and its causes in one line.
    pub error: String,
    /// What it left: `nothing`, `partial`, `unknown`.
    pub left: &'static str,
    /// One concrete action.
    pub hint: Option<String>,
}

/// A step that was never started.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockedStep {
    /// Which.
    pub step: String,
    /// Because of what.
    pub because: String,
}

impl ApplyReport {
    /// The report of a plan that was carried out as far as it went.
    pub fn new(plan: &Plan, simulated: bool, execution: &Execution) -> Self {
        let Execution { done, failed, blocked, abandoned, interrupted } = execution;
        Self {
            format: 1,
            plan: plan_json(plan, simulated),
            done: done.iter().map(ToString::to_string).collect(),
            failed: failed
                .iter()
                .map(|(step, error)| FailedStep {
                    step: step.to_string(),
                    error: error.line(),
                    left: match error.left {
                        LeftBehind::Nothing => "nothing",
                        LeftBehind::Partial => "partial",
                        LeftBehind::Unknown => "unknown",
                    },
                    hint: error.hint.clone(),
                })
                .collect(),
            blocked: blocked
                .iter()
                .map(|(step, because)| BlockedStep { step: step.to_string(), because: because.clone() })
                .collect(),
            abandoned: abandoned.iter().map(ToString::to_string).collect(),
            interrupted: *interrupted,
            remaining: None,
            left: Vec::new(),
            verification: None,
        }
    }
}
