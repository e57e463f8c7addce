//! What a rehearsal found, for people, pull requests and programs.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Mood, paint};

/// What `rehearse -o json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalReport {
    /// Format of this report.
    pub format: u32,
    /// The blueprint's name.
    pub blueprint: String,
    /// The provider that was played.
    pub provider: String,
    /// Kubernetes version of the control plane; absent where none came up.
    pub kubernetes: Option<String>,
    /// Faults that were asked for.
    pub faults: Vec<String>,
    /// What was done, in order.
    pub acts: Vec<Act>,
    /// What the rehearsal does not prove.
    pub unproven: Vec<String>,
    /// Whether every act ended as it should.
    pub passed: bool,
}

/// One act: a command of this program, or something done to the platform.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// Its name.
    pub name: String,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether it ended as it should.
    pub passed: bool,
    /// How it ended, one sentence.
    pub ended: String,
    /// What a person wants to know of it, a line each.
    pub details: Vec<String>,
}

/// For people.
pub fn rehearsal_human(report: &RehearsalReport) -> String {
    let mut text = String::new();
    let version = report.kubernetes.as_deref().map(|version| format!("Kubernetes {version}, ")).unwrap_or_default();
    let nodes = "nodes and clouds simulated";
    line(
        &mut text,
        &paint(Mood::Strong, format!("Rehearsal of {} on {}: {version}{nodes}", report.blueprint, report.provider)),
    );
    for act in &report.acts {
        line(&mut text, &act_line(act));
        for detail in &act.details {
            line(&mut text, &format!("      {detail}"));
        }
    }
    line(&mut text, "Not proven by a rehearsal:");
    for open in &report.unproven {
        line(&mut text, &format!("  - {open}"));
    }
    let verdict = if report.passed {
        paint(Mood::Good, "Every act ended as it should.")
    } else {
        paint(Mood::Bad, "The rehearsal failed: what is marked above did not end as it should.")
    };
    line(&mut text, &verdict);
    text
}

/// One act in one line; printed as it ends, too.
pub fn act_line(act: &Act) -> String {
    let mark = if act.passed { paint(Mood::Good, "ok  ") } else { paint(Mood::Bad, "FAIL") };
    format!("  {mark} {:<22} {:>6.1} s  {}", act.name, act.seconds, act.ended)
}

/// For pull requests.
pub fn rehearsal_markdown(report: &RehearsalReport) -> String {
    let mut text = String::new();
    let verdict = if report.passed { "passed" } else { "**failed**" };
    line(&mut text, &format!("### Rehearsal of {} on {}: {verdict}\n", report.blueprint, report.provider));
    line(&mut text, "| act | | seconds | |\n|---|---|---:|---|");
    for act in &report.acts {
        let mark = if act.passed { "ok" } else { "**failed**" };
        let ended: Vec<&str> = std::iter::once(&act.ended).chain(&act.details).map(String::as_str).collect();
        line(
            &mut text,
            &format!("| {} | {mark} | {:.1} | {} |", act.name, act.seconds, ended.join("<br>").replace('|', "\\|")),
        );
    }
    line(&mut text, "\nNot proven by a rehearsal:\n");
    for open in &report.unproven {
        line(&mut text, &format!("- {open}"));
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(passed: bool) -> RehearsalReport {
        let act = Act {
            name: "apply".into(),
            seconds: 3.21,
            passed,
            ended: "26 steps done".into(),
            details: vec!["a | b".into()],
        };
        RehearsalReport {
            format: 1,
            blueprint: "research".into(),
            provider: "eks".into(),
            kubernetes: Some("1.36.3".into()),
            faults: Vec::new(),
            acts: vec![act],
            unproven: vec!["drivers".into()],
            passed,
        }
    }

    #[test]
    fn people_read_how_each_act_ended_and_what_stays_open() {
        let text = anstream::adapter::strip_str(&rehearsal_human(&report(false))).to_string();
        assert!(text.contains("FAIL apply                     3.2 s  26 steps done\n      a | b\n"), "{text}");
        assert!(text.contains("  - drivers\n"), "{text}");
        assert!(text.ends_with("did not end as it should.\n"), "{text}");
    }

    #[test]
    fn a_bar_does_not_end_a_cell() {
        assert!(rehearsal_markdown(&report(true)).contains(r"| apply | ok | 3.2 | 26 steps done<br>a \| b |"));
    }
}
