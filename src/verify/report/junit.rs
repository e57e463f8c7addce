//! The report as JUnit XML.
//!
//! An inconclusive check is an `<error type="inconclusive">`, not a `<skipped>`: readers of JUnit show skipped tests as
//! harmless and turn a pipeline green, and a doubt is neither. `<failure>` is kept for promises that were seen broken.

use quick_junit::{NonSuccessKind, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use crate::verify::Outcome;

/// The report as XML: one test suite for each section.
///
/// # Errors
/// Only what the XML writer reports; writing to memory does not fail.
pub fn junit(report: &Report) -> Result<String, SerializeError> {
    let mut xml = quick_junit::Report::new(format!("wbk-infra verify {}", report.blueprint));
    let took = report.finished.duration_since(report.started);
    // A clock that ran backwards has measured nothing.
    xml.set_time(took.try_into().unwrap_or_default());
    for (section, entries) in report.sections() {
        let mut suite = TestSuite::new(section);
        suite.set_time(entries.iter().map(|entry| entry.duration).sum());
        if report.nodes_simulated {
            suite.add_property(("nodes", "simulated"));
        }
        for entry in entries {
            let mut evidence_text = None;
            let status = match &entry.outcome {
                Outcome::Pass { evidence } => {
                    evidence_text = Some(format!("{} ({})", evidence.measured, evidence.source));
                    TestCaseStatus::success()
                }
                Outcome::Fail { evidence, hint } => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_type("fail");
                    status.set_message(evidence.measured.as_str());
                    let hint = hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                    status.set_description(format!(
                        "measured: {}\nwanted: {}\nsource: {}{hint}",
                        evidence.measured, evidence.wanted, evidence.source
                    ));
                    status
                }
                Outcome::Inconclusive { reason } => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                    status.set_type("inconclusive");
                    status.set_message(reason.as_str());
                    status
                }
                Outcome::Skipped { reason } => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(reason.as_str());
                    status
                }
            };
            let mut case = TestCase::new(entry.id.as_str(), status);
            case.set_classname(format!("verify.{section}")).set_time(entry.duration);
            if let Some(text) = evidence_text {
                case.set_system_out(text);
            }
            suite.add_test_case(case);
        }
        xml.add_test_suite(suite);
    }
    xml.to_string()
}
