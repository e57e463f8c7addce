//! Rules between several values of a blueprint, which a schema cannot say. Works offline and reports everything at once.
//!
//! Errors refuse the blueprint (`resolve` has them too); warnings are for `lint` alone. Rules about the finished objects are in
//! `desired`, which makes them.

mod charts;
mod cluster;
mod cost;
mod eks;
mod gpu;
mod launch;
mod launch_parts;
mod namespaces;
mod server;
mod storage;

use jiff::civil::Date;

use super::Files;
use super::load::Loaded;
use super::path::{Step, steps};
use super::problem::{Problem, Problems};

impl Loaded {
    /// Everything that deserves a look: errors and warnings. `today` decides which ignore rules have expired.
    pub fn lint(&self, files: &dyn Files, today: Date) -> Problems {
        crate::desired::lint(self, files, today)
    }
}

/// Rules on the blueprint alone.
pub(crate) fn rules(loaded: &Loaded, today: Date) -> Vec<Problem> {
    let mut report = Report { loaded, problems: Vec::new() };
    cluster::rules(&mut report);
    eks::rules(&mut report);
    gpu::rules(&mut report);
    launch::rules(&mut report);
    server::rules(&mut report);
    launch_parts::rules(&mut report);
    namespaces::rules(&mut report);
    storage::rules(&mut report);
    charts::rules(&mut report);
    cost::rules(&mut report);
    expired(&mut report, today);
    report.problems
}

/// Collects problems at paths.
struct Report<'a> {
    loaded: &'a Loaded,
    problems: Vec<Problem>,
}

impl Report<'_> {
    fn error(&mut self, path: &[Step<'_>], message: &str, hint: &str) {
        let message = format!("`{}`: {message}", self.loaded.show(path));
        self.problems.push(Problem::error(self.loaded.at(path), message).hint(hint));
    }

    fn warning(&mut self, path: &[Step<'_>], message: &str, hint: &str) {
        let message = format!("`{}`: {message}", self.loaded.show(path));
        self.problems.push(Problem::warning(self.loaded.at(path), message).hint(hint));
    }
}

fn expired(report: &mut Report<'_>, today: Date) {
    for (index, rule) in report.loaded.blueprint.policy.ignore.iter().enumerate() {
        if is_expired(rule, today) {
            let until = rule.until.as_deref().unwrap_or_default();
            report.warning(
                steps!["policy", "ignore", index, "until"],
                &format!("the rule ended on {until} and is no longer applied"),
                "remove the rule, or set a later day",
            );
        }
        if rule.reason.trim().is_empty() {
            report.error(
                steps!["policy", "ignore", index, "reason"],
                "an ignore rule needs a reason",
                "say who changes the field and why",
            );
        }
    }
}

/// Whether an ignore rule has ended; its last day still counts.
pub(crate) fn is_expired(rule: &crate::desired::IgnoreRule, today: Date) -> bool {
    // The schema's format has checked the day.
    rule.until.as_deref().and_then(|until| until.parse::<Date>().ok()).is_some_and(|until| until < today)
}
