//! Drift as SARIF 2.1.0, so that a code-scanning page shows it at the blueprint's own lines.

use serde_json::{Value, json};

use super::{DriftItem, DriftKind, DriftReport};
use crate::id::Digest;

/// The report as a SARIF log with one run. Every result has a location: its line in the blueprint where that is known,
/// else the logical location of the object alone. What could not be looked at is a tool notification, and makes
/// `executionSuccessful` false: a scan that saw half is not a clean one.
pub fn sarif(report: &DriftReport) -> Value {
    let rules: Vec<Value> = DriftKind::ALL
        .into_iter()
        .map(|kind| {
            json!({
                "id": rule_id(kind),
                "name": format!("Drift{}", capital(kind.as_str())),
                "shortDescription": {"text": kind.explanation()},
                "defaultConfiguration": {"level": "warning"},
            })
        })
        .collect();
    let notifications: Vec<Value> = report
        .unseen
        .iter()
        .map(|unseen| json!({"level": "warning", "message": {"text": format!("{}: {}", unseen.what, unseen.why)}}))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "wbk-infra drift",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "invocations": [{
                "executionSuccessful": report.unseen.is_empty(),
                "endTimeUtc": report.seen.to_string(),
                "exitCode": report.exit_code(),
                "toolExecutionNotifications": notifications,
            }],
            "columnKind": "unicodeCodePoints",
            "results": report.items.iter().map(result).collect::<Vec<_>>(),
            "properties": {"blueprint": report.blueprint, "clean": report.clean},
        }],
    })
}

fn result(item: &DriftItem) -> Value {
    let place = match &item.field {
        Some(field) => format!("{}: {field}", item.object),
        None => item.object.clone(),
    };
    let who = item.who_and_when();
    let joint = if who.is_empty() { "" } else { ", " };
    let mut location = json!({
        "logicalLocations": [{"fullyQualifiedName": place, "name": item.object, "kind": "resource"}],
    });
    if let Some((file, line, column)) = item.origin.as_deref().and_then(position) {
        location["physicalLocation"] = json!({
            "artifactLocation": {"uri": uri(file)},
            "region": {"startLine": line, "startColumn": column},
        });
    }
    json!({
        "ruleId": rule_id(item.kind),
        "ruleIndex": DriftKind::ALL.iter().position(|kind| *kind == item.kind),
        "level": item.severity.as_str(),
        "message": {"text": format!("{}: {}{joint}{who}", item.object, item.what())},
        "locations": [location],
        // Stable over runs while the same thing drifts, whatever its value, so that a page tracks it as one finding.
        "partialFingerprints": {
            "driftPlace/v1": Digest::of_bytes(format!("{}\n{place}", item.kind.as_str()).as_bytes()).0,
        },
        "properties": {
            "old": item.old,
            "new": item.new,
            "manager": item.manager,
            "time": item.time,
        },
    })
}

fn rule_id(kind: DriftKind) -> String {
    format!("drift/{}", kind.as_str())
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// File, line and column of `file:line:col`; lines and columns count from one.
fn position(origin: &str) -> Option<(&str, u64, u64)> {
    let (rest, column) = origin.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let count = |digits: &str| digits.parse().ok().filter(|number| *number > 0); // no number: no position
    Some((file, count(line)?, count(column)?))
}

/// A path as a relative URI reference, or a `file:` one where it is absolute.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut out = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
