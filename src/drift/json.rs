//! Drift as JSON, in this tool's own shape.

use serde_json::{Value, json as value};

use super::DriftReport;

/// The report as a value: the fields of [`DriftReport`], `headline` and `exitCode`.
pub fn json(report: &DriftReport) -> Value {
    let mut out = value!(report);
    out["apiVersion"] = value!("wbk-infra/v1");
    out["kind"] = value!("DriftReport");
    out["headline"] = value!(report.headline());
    out["exitCode"] = value!(report.exit_code());
    out
}
