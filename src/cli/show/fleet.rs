//! What became of a fleet's clusters, for people, pull requests and programs.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Mood, paint};
use crate::cost::UsdPerHour;

/// What `fleet … -o json` prints. The schema is published in docs/fleet-report.schema.json and kept current by a test.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetReport {
    /// Format of this report.
    pub format: u32,
    /// The fleet's name.
    pub fleet: String,
    /// What was asked for: `plan`, `apply`, `drift`, `status`, `verify`, `cost`.
    pub command: String,
    /// The clusters that were chosen, in the order of the file.
    pub clusters: Vec<Member>,
    /// Seconds that all of it took.
    pub seconds: f64,
    /// The exit code: that of the worst cluster.
    pub exit_code: u8,
}

/// One cluster of a fleet, and what became of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its name in the fleet.
    pub name: String,
    /// Its blueprint's file.
    pub blueprint: String,
    /// How it ended.
    pub state: FleetState,
    /// The exit code of its own command; absent where a signal ended it or it was not started.
    pub exit_code: Option<i32>,
    /// Seconds that it took.
    pub seconds: f64,
    /// How it ended, one sentence.
    pub ended: String,
    /// What a person wants to know of it, a line each: what moved, what goes, the last lines of a command that failed.
    pub details: Vec<String>,
    /// The file with all that its command told people.
    pub log: Option<String>,
    /// The document that its own command printed: as `plan`, `apply`, `drift`, `status`, `verify`, `cost -o json`; null where it printed none.
    pub report: Value,
}

/// How a cluster's command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FleetState {
    /// Done, or nothing to do.
    Done,
    /// Changes or drift pending.
    Pending,
    /// The apply stopped with something left.
    Stopped,
    /// It failed.
    Failed,
    /// A check failed.
    CheckFailed,
    /// A check, or a part of what was looked at, was inconclusive.
    Inconclusive,
    /// It was interrupted.
    Interrupted,
    /// It was not started, because the fleet was interrupted before.
    NotStarted,
}

impl FleetState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Pending => "pending",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
            Self::CheckFailed => "CHECK FAILED",
            Self::Inconclusive => "inconclusive",
            Self::Interrupted => "interrupted",
            Self::NotStarted => "not started",
        }
    }

    fn mood(self) -> Mood {
        match self {
            Self::Done => Mood::Good,
            Self::Pending | Self::Inconclusive | Self::NotStarted => Mood::Change,
            Self::Stopped | Self::Failed | Self::CheckFailed | Self::Interrupted => Mood::Bad,
        }
    }

    /// Whether its command did not come to its end.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Stopped | Self::Failed | Self::CheckFailed | Self::Interrupted => true,
            Self::Done | Self::Pending | Self::Inconclusive | Self::NotStarted => false,
        }
    }
}

/// For people: one table, and under a cluster what is to be known of it.
pub fn fleet_human(report: &FleetReport) -> String {
    let mut text = String::new();
    let count = report.clusters.len();
    let noun = if count == 1 { "cluster" } else { "clusters" };
    let title = format!("Fleet {}: {} of {count} {noun} in {:.1} s", report.fleet, report.command, report.seconds);
    line(&mut text, &paint(Mood::Strong, title));
    let width = |of: fn(&Member) -> usize| report.clusters.iter().map(of).max().unwrap_or(0);
    let name = width(|member| member.name.chars().count());
    let state = width(|member| member.state.word().len());
    for member in &report.clusters {
        let word = paint(member.state.mood(), format!("{:<state$}", member.state.word()));
        line(&mut text, &format!("  {:<name$}  {word} {:>7.1} s  {}", member.name, member.seconds, member.ended));
        for detail in &member.details {
            line(&mut text, &format!("      {detail}"));
        }
        if let (true, Some(log)) = (member.state.is_failure(), &member.log) {
            line(&mut text, &format!("      all of it: {log}"));
        }
    }
    line(&mut text, &counts(report));
    if let Some(sum) = sum(report) {
        line(&mut text, &sum);
    }
    text
}

/// What all clusters cost, where that was asked.
fn sum(report: &FleetReport) -> Option<String> {
    let costs = |member: &Member| member.report["total"]["hour"].as_f64().and_then(UsdPerHour::dollars);
    let known: Vec<UsdPerHour> = report.clusters.iter().filter_map(costs).collect();
    let all = known.len() == report.clusters.len();
    let least = !all || report.clusters.iter().any(|member| member.report["atLeast"] == true);
    let least = if least { "at least " } else { "" };
    (report.command == "cost" && !known.is_empty())
        .then(|| format!("Together {least}{} an hour.", known.into_iter().sum::<UsdPerHour>()))
}

/// For pull requests.
pub fn fleet_markdown(report: &FleetReport) -> String {
    let mut text = String::new();
    line(&mut text, &format!("### Fleet {}: {}\n", report.fleet, report.command));
    line(&mut text, "| cluster | | seconds | |\n|---|---|---:|---|");
    for member in &report.clusters {
        let word = member.state.word();
        let word = if member.state.is_failure() { format!("**{}**", word.to_lowercase()) } else { word.to_owned() };
        let ended: Vec<&str> = std::iter::once(&member.ended).chain(&member.details).map(String::as_str).collect();
        let ended = ended.join("<br>").replace('|', "\\|");
        line(&mut text, &format!("| {} | {word} | {:.1} | {ended} |", member.name, member.seconds));
    }
    line(&mut text, &format!("\n{}", counts(report)));
    if let Some(sum) = sum(report) {
        line(&mut text, &format!("\n{sum}"));
    }
    text
}

/// How many ended how, the worst last.
fn counts(report: &FleetReport) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for member in &report.clusters {
        match counted.iter_mut().find(|(word, _)| *word == member.state.word()) {
            Some((_, count)) => *count += 1,
            None => counted.push((member.state.word(), 1)),
        }
    }
    if counted.is_empty() {
        return "No cluster falls to this part.".into();
    }
    let parts: Vec<String> = counted.iter().map(|(word, count)| format!("{count} {}", word.to_lowercase())).collect();
    format!("{}.", parts.join(", "))
}

fn line(text: &mut String, line: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> FleetReport {
        let member = |name: &str, state, ended: &str, details: &[&str]| Member {
            name: name.into(),
            blueprint: format!("{name}.yaml"),
            state,
            exit_code: Some(0),
            seconds: 1.25,
            ended: ended.into(),
            details: details.iter().map(|line| (*line).to_owned()).collect(),
            log: Some(format!("/state/{name}.log")),
            report: Value::Null,
        };
        FleetReport {
            format: 1,
            fleet: "all".into(),
            command: "apply".into(),
            clusters: vec![
                member("east", FleetState::Done, "26 steps done", &[]),
                member("far-west", FleetState::Failed, "read | write", &["error: no"]),
            ],
            seconds: 2.0,
            exit_code: 4,
        }
    }

    #[test]
    fn people_read_one_table_in_the_order_of_the_file() {
        let text = anstream::adapter::strip_str(&fleet_human(&report())).to_string();
        assert_eq!(
            text,
            "Fleet all: apply of 2 clusters in 2.0 s
  east      ok         1.2 s  26 steps done
  far-west  FAILED     1.2 s  read | write
      error: no
      all of it: /state/far-west.log
1 ok, 1 failed.
"
        );
    }

    #[test]
    fn a_bar_does_not_end_a_cell() {
        assert!(fleet_markdown(&report()).contains(r"| far-west | **failed** | 1.2 | read \| write<br>error: no |"));
    }
}
