//! The report as JSON, in this tool's own shape: everything that was found, with the summary and the verdict.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, Summary, Verdict};

/// What `verify -o json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "VerificationReport")]
struct Document<'a> {
    /// Version of this document.
    api_version: &'static str,
    /// Always `VerificationReport`.
    kind: &'static str,
    /// What the verification says as a whole.
    verdict: Verdict,
    /// The process' exit code: 0, 5 for a failed check, 6 for a doubt.
    exit_code: u8,
    /// Numbers of outcomes.
    summary: Summary,
    /// The report.
    #[serde(flatten)]
    report: &'a Report,
}

/// The report as a value: the fields of [`Report`], `summary`, `verdict`, and `exitCode`.
pub fn json(report: &Report) -> Value {
    json!(Document {
        api_version: "wbk-infra/v1",
        kind: "VerificationReport",
        verdict: report.verdict(),
        exit_code: report.verdict().exit_code(),
        summary: report.summary(),
        report,
    })
}

/// The JSON Schema of what [`json()`] gives.
pub fn json_schema() -> Value {
    schemars::schema_for!(Document<'static>).to_value()
}
