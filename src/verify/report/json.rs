//! The report as JSON, in this tool's own shape: everything that was found, with the summary and the verdict.

use serde_json::{Value, json};

use super::Report;

/// The report as a value: the fields of [`Report`], `summary`, `verdict`, and `exitCode`.
pub fn json(report: &Report) -> Value {
    let mut value = json!(report);
    value["apiVersion"] = json!("wbk-infra/v1");
    value["kind"] = json!("VerificationReport");
    value["summary"] = json!(report.summary());
    value["verdict"] = json!(report.verdict());
    value["exitCode"] = json!(report.verdict().exit_code());
    value
}
