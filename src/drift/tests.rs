//! The formats on one report.

use serde_json::{Value, json};

use super::*;

fn report() -> DriftReport {
    let item = |object: &str, field: Option<&str>, kind, severity| DriftItem {
        object: object.into(),
        field: field.map(str::to_owned),
        old: None,
        new: None,
        kind,
        manager: None,
        time: None,
        severity,
        origin: None,
    };
    let mut replicas =
        item("Deployment.apps wandb/agent", Some("spec.replicas"), DriftKind::Changed, Severity::Warning);
    (replicas.old, replicas.new) = (Some(json!(2)), Some(json!(5)));
    replicas.manager = Some("kubectl-edit".into());
    replicas.time = Some("2026-11-22T01:02:03Z".into());
    replicas.origin = Some("./blueprints/my local.yaml:12:5".into());
    let mut label = item("Namespace jobs", Some("metadata.labels[a|b]"), DriftKind::Added, Severity::Note);
    label.new = Some(json!("a b"));
    let gone = item("PriorityClass high", None, DriftKind::Removed, Severity::Error);
    let taken = item("Deployment.apps wandb/agent", Some("spec.paused"), DriftKind::Taken, Severity::Warning);
    let unseen = Unseen { what: "Secrets in wandb".into(), why: "no right to list secrets".into() };
    let seen = "2026-11-22T02:00:00Z".parse().expect("a time");
    DriftReport::new("research", seen, vec![label, replicas, taken, gone], 12, vec![unseen])
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn the_worst_comes_first_and_objects_stay_together() {
    insta::assert_snapshot!(plain(&human(&report())));
}

#[test]
fn markdown_keeps_to_its_table() {
    let text = markdown(&report());
    insta::assert_snapshot!(text);
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| columns(line) == 6));
}

#[test]
fn exit_codes_tell_drift_doubt_and_nothing_apart() {
    let mut report = report();
    assert_eq!(report.exit_code(), 3);
    report.items.clear();
    assert_eq!(report.exit_code(), 6);
    report.unseen.clear();
    assert_eq!(report.exit_code(), 0);
    assert_eq!(report.headline(), "no drift in 12 things");
}

#[test]
fn sarif_has_what_the_standard_requires() {
    let log = sarif(&report());
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 4);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().expect("a level")));
        assert!(!result["message"]["text"].as_str().expect("a text").is_empty());
        assert_eq!(result["partialFingerprints"]["driftPlace/v1"].as_str().map(str::len), Some(64));
        for location in result["locations"].as_array().expect("locations") {
            if let Some(physical) = location.get("physicalLocation") {
                assert!(physical["region"]["startLine"].as_u64().expect("a line") > 0);
            }
        }
    }
    assert_eq!(run["invocations"][0]["executionSuccessful"], json!(false), "something was not seen");
    insta::assert_json_snapshot!(log, {".runs[].tool.driver.semanticVersion" => "[version]"});
}

#[test]
fn sarif_points_at_the_blueprint_with_a_valid_uri() {
    let log = sarif(&report());
    let found: Vec<&Value> = log["runs"][0]["results"]
        .as_array()
        .expect("results")
        .iter()
        .filter_map(|result| result["locations"][0].get("physicalLocation"))
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["artifactLocation"]["uri"], "blueprints/my%20local.yaml");
    assert_eq!(found[0]["region"], json!({"startLine": 12, "startColumn": 5}));
}

#[test]
fn a_fingerprint_does_not_depend_on_values() {
    let fingerprint = |report: &DriftReport| sarif(report)["runs"][0]["results"][1]["partialFingerprints"].clone();
    let mut other = report();
    other.items[1].new = Some(json!(6));
    assert_eq!(fingerprint(&report()), fingerprint(&other));
}

#[test]
fn json_carries_everything() {
    let value = json(&report());
    assert_eq!(value["kind"], "DriftReport");
    assert_eq!(value["items"].as_array().map(Vec::len), Some(4));
    assert_eq!(value["items"][1]["manager"], "kubectl-edit");
    assert_eq!(value["exitCode"], 3);
}
