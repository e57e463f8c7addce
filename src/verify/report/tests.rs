//! The formats on one report.

use std::time::Duration;

use serde_json::json;

use super::ctrf::ctrf;
use super::human::human;
use super::json::json as own;
use super::junit::junit;
use super::markdown::markdown;
use super::*;
use crate::verify::Evidence;

fn entry(id: &str, outcome: Outcome) -> Entry {
    let (what, subject) = id.split_once('/').expect("an id with a subject");
    Entry {
        id: CheckId::about(what, subject),
        title: format!("title of {id}"),
        origin: None,
        outcome,
        duration: Duration::from_millis(1500),
    }
}

fn report() -> Report {
    let evidence = Evidence::new("2 of 2 simulated nodes Ready", "2 nodes", "GET /api/v1/nodes");
    let broken = Evidence::new("1 < 2 | 3\nlines", "a \"quoted\" & <wanted>", "GET /x").with(json!({"n": 1}));
    let mut failed = entry("quota.enforced/jobs", Outcome::fail(broken, "wbk-infra apply"));
    failed.origin = Some(Origin { path: "namespaces[jobs].quota".into(), at: Some("b.yaml:3:5".into()) });
    Report {
        blueprint: "research".into(),
        nodes_simulated: true,
        started: "2026-11-22T02:00:00Z".parse().expect("a time"),
        finished: "2026-11-22T02:00:02.5Z".parse().expect("a time"),
        interrupted: false,
        notes: vec!["removed Job jobs/x, left by a former run".into()],
        entries: vec![
            entry("nodes.ready/a100", Outcome::pass(evidence)),
            failed,
            entry("secrets.keys/jobs/hf", Outcome::inconclusive("no right to GET it")),
            entry("jobs.sample/a100", Outcome::skipped("min 0")),
        ],
    }
}

#[test]
fn the_verdict_is_the_worst_that_is_known() {
    let mut report = report();
    assert_eq!(report.verdict().exit_code(), 5);
    report.entries.remove(1);
    assert_eq!(report.verdict().exit_code(), 6);
    report.entries.remove(1);
    assert_eq!(report.verdict().exit_code(), 0);
}

#[test]
fn human_text_is_readable_without_colour() {
    let text = anstream::adapter::strip_str(&human(&report())).to_string();
    insta::assert_snapshot!(text);
}

#[test]
fn markdown_shows_what_is_wrong_first_and_stays_in_its_tables() {
    let text = markdown(&report());
    insta::assert_snapshot!(text);
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| columns(line) == 5));
}

#[test]
fn ctrf_has_what_its_schema_requires() {
    let document = ctrf(&report());
    assert_eq!(document["reportFormat"], "CTRF");
    let results = &document["results"];
    let tests = results["tests"].as_array().expect("tests");
    let summary = &results["summary"];
    let mut counted = 0;
    for status in ["passed", "failed", "skipped", "pending", "other"] {
        let of_status = tests.iter().filter(|test| test["status"] == status).count();
        assert_eq!(summary[status], json!(of_status), "{status}");
        counted += of_status;
    }
    assert_eq!(summary["tests"], json!(counted));
    assert_eq!(counted, tests.len(), "no other status");
    assert!(summary["start"].as_i64() < summary["stop"].as_i64());
    assert_eq!(tests[2]["status"], "other");
    assert_eq!(tests[2]["message"], "no right to GET it");
    insta::assert_json_snapshot!(document, {".generatedBy" => "[tool]", ".results.tool.version" => "[version]"});
}

#[test]
fn junit_reads_back_with_doubts_as_errors() {
    let xml = junit(&report()).expect("it serializes");
    let read = quick_junit::Report::deserialize_from_str(&xml).expect("it reads back");
    assert_eq!((read.tests, read.failures, read.errors), (4, 1, 1));
    assert_eq!(read.test_suites.len(), 4);
    insta::assert_snapshot!(xml);
}

#[test]
fn json_says_the_verdict() {
    let value = own(&report());
    assert_eq!(value["verdict"], "fail");
    assert_eq!(value["exitCode"], 5);
    assert_eq!(value["checks"][1]["outcome"], "fail");
    assert_eq!(value["checks"][1]["evidence"]["data"]["n"], 1);
    assert_eq!(value["checks"][0]["durationMs"], 1500);
    assert_eq!(value["summary"], json!({"passed": 1, "failed": 1, "inconclusive": 1, "skipped": 1}));
}
