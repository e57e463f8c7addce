//! The formats on one report.

use std::time::Duration;

use serde_json::json;

use super::ctrf::ctrf;
use super::html::html;
use super::human::human;
use super::json::json as own;
use super::junit::junit;
use super::markdown::markdown;
use super::*;
use crate::gpu::{Broken, Link, Rule};
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
        provider: "local".into(),
        cluster: "research".into(),
        nodes_simulated: true,
        started: "2026-11-22T02:00:00Z".parse().expect("a time"),
        finished: "2026-11-22T02:00:02.5Z".parse().expect("a time"),
        interrupted: false,
        notes: vec!["removed Job jobs/x, left by a former run".into()],
        pools: vec![pool()],
        landings: vec![Landing {
            node: "a100-0".into(),
            check: CheckId::about("quota.enforced", "jobs"),
            pod: "jobs/<pod>".into(),
        }],
        proof: Some(proof()),
        cost: None,
        entries: vec![
            entry("nodes.ready/a100", Outcome::pass(evidence)),
            failed,
            entry("secrets.keys/jobs/hf", Outcome::inconclusive("no right to GET it")),
            entry("jobs.sample/a100", Outcome::skipped("min 0")),
        ],
    }
}

fn proof() -> Proof {
    let broken = Broken {
        rule: Rule::NoPool,
        what: "Job <x> can run nowhere".into(),
        at: None,
        chain: vec![Link { holds: false, says: "it does not tolerate <y>".into() }],
        fix: "kubectl taint".into(),
        pool: Some("a100 (a100-0)".into()),
        workloads: vec!["Job <x>".into()],
    };
    Proof {
        format: 1,
        platform: "research".into(),
        pools: vec![],
        workloads: vec![],
        broken: vec![broken],
        unseen: vec![],
    }
}

fn pool() -> PoolSight {
    let gpus = NodeGpus { resource: "nvidia.com/gpu".into(), wanted: 8, allocatable: 7 };
    PoolSight {
        name: "a100".into(),
        accelerator: Some("nvidia-a100-40gb".into()),
        min: 1,
        max: 2,
        taints: vec!["nvidia.com/gpu=present:NoSchedule".into()],
        nodes: Some(vec![NodeSight {
            name: "a100-0".into(),
            ready: true,
            cordoned: false,
            cpu: "96".into(),
            memory: "680 GiB".into(),
            gpus: vec![gpus],
            other_taints: vec!["x=<y>:NoExecute".into()],
        }]),
    }
}

#[test]
fn the_page_holds_everything_needs_nothing_and_takes_text_for_text() {
    let report = report();
    let page = html(&report);
    for entry in &report.entries {
        assert!(page.contains(&format!(">{}</span>", entry.id)), "{}", entry.id);
    }
    for words in [
        "1 &lt; 2 | 3 lines",
        "a &quot;quoted&quot; &amp; &lt;wanted&gt;",
        "no right to GET it",
        "min 0",
        "hint",
        "b.yaml:3:5",
        "removed Job jobs/x",
        "x=&lt;y&gt;:NoExecute",
        "jobs/&lt;pod&gt;",
        "7 of 8 × nvidia.com/gpu",
        "id=\"proof\"><svg class=\"proof\"",
    ] {
        assert!(page.contains(words), "no `{words}`");
    }
    assert!(!page.contains("<wanted>") && !page.contains("<pod>") && !page.contains("<y>"));
    for foreign in ["http://", "https://", " src=", "@import", "url("] {
        assert!(!page.contains(foreign), "the page needs {foreign}");
    }
    assert_eq!(page.matches("class=\"gpu missing\"").count(), 1);
    assert_eq!(page.matches("<details ").count(), page.matches("</details>").count());
    let none = html(&Report { pools: vec![], proof: None, ..report });
    assert!(!none.contains("The platform") && !none.contains("id=\"proof\""));
}

#[test]
fn a_pool_that_could_not_be_seen_says_so_and_a_large_one_is_cut() {
    let mut report = report();
    report.pools[0].nodes = None;
    assert!(html(&report).contains("its nodes could not be seen"));
    let node = pool().nodes.expect("it has").remove(0);
    let many = (0..20).map(|at| NodeSight { name: format!("n-{at}"), ..node.clone() }).collect();
    report.pools[0].nodes = Some(many);
    assert!(html(&report).contains("and 8 more nodes"));
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
