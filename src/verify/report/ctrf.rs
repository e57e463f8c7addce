//! The report as CTRF (Common Test Report Format, <https://ctrf.io>), specification 1.0.0.

use serde_json::{Value, json};

use super::{Report, millis};
use crate::verify::Outcome;

/// The report as a CTRF document. An inconclusive check has status `other` and its reason as message: no CTRF reader
/// takes it for passed.
pub fn ctrf(report: &Report) -> Value {
    let summary = report.summary();
    let (start, stop) = (report.started.as_millisecond(), report.finished.as_millisecond());
    json!({
        "reportFormat": "CTRF",
        "specVersion": "1.0.0",
        "generatedBy": concat!("wbk-infra ", env!("CARGO_PKG_VERSION")),
        "results": {
            "tool": {"name": "wbk-infra verify", "version": env!("CARGO_PKG_VERSION")},
            "summary": {
                "tests": report.entries.len(),
                "passed": summary.passed,
                "failed": summary.failed,
                "skipped": summary.skipped,
                "pending": 0,
                "other": summary.inconclusive,
                "start": start,
                "stop": stop,
                "duration": stop - start,
            },
            "tests": report.entries.iter().map(test).collect::<Vec<_>>(),
            "environment": {
                "appName": report.blueprint,
                "extra": {
                    "nodesSimulated": report.nodes_simulated,
                    "interrupted": report.interrupted,
                    "notes": report.notes,
                },
            },
        },
    })
}

fn test(entry: &super::Entry) -> Value {
    let (status, raw, message) = match &entry.outcome {
        Outcome::Pass { evidence } => ("passed", "pass", evidence.measured.clone()),
        Outcome::Fail { evidence, hint } => {
            let mut message = format!("{}; wanted: {}", evidence.measured, evidence.wanted);
            if let Some(hint) = hint {
                message.push_str(&format!("; hint: {hint}"));
            }
            ("failed", "fail", message)
        }
        Outcome::Skipped { reason } => ("skipped", "skipped", reason.clone()),
        Outcome::Inconclusive { reason } => ("other", "inconclusive", reason.clone()),
    };
    let mut test = json!({
        "testId": entry.id,
        "name": format!("{}: {}", entry.id, entry.title),
        "status": status,
        "rawStatus": raw,
        "duration": millis(entry.duration),
        "message": message,
        "suite": ["verify", entry.id.section()],
    });
    if let Outcome::Pass { evidence } | Outcome::Fail { evidence, .. } = &entry.outcome {
        test["extra"] = json!({"evidence": evidence});
    }
    if let Some(at) = entry.origin.as_ref().and_then(|origin| origin.at.as_deref()) {
        test["filePath"] = json!(at);
    }
    test
}
