//! What a cluster's command came to, read off its exit code and its document.

use serde_json::Value;

use super::crew::{Ended, How};
use crate::blueprint::FleetEntry;
use crate::cli::show::{FleetState, Member};
use crate::cost::{PlanCost, UsdPerHour};
use crate::drift::DriftItem;

/// What was asked of a cluster, and so what its document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Plan,
    Apply,
    Drift,
    Status,
    Verify,
    Cost,
}

impl Asked {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Drift => "drift",
            Self::Status => "status",
            Self::Verify => "verify",
            Self::Cost => "cost",
        }
    }
}

/// Nodes with idle GPUs that are named of each cluster.
const IDLE: usize = 3;

/// A cluster's line of the table.
pub(super) fn member(entry: &FleetEntry, asked: Asked, ended: Ended) -> Member {
    let Ended { how, document, told, took, log } = ended;
    let (state, exit_code) = match &how {
        How::Exited(code) => (state_of(*code), Some(*code)),
        How::Interrupted(code) => (FleetState::Interrupted, *code),
        // What an apply was at then may be there or not: the next one finds out.
        How::TimedOut(code) if asked == Asked::Apply => (FleetState::Stopped, *code),
        How::Killed if asked == Asked::Apply => (FleetState::Stopped, None),
        How::TimedOut(code) => (FleetState::Failed, *code),
        How::Killed | How::Unstartable(_) => (FleetState::Failed, None),
        How::NotStarted => (FleetState::NotStarted, None),
    };
    let counted = (!document.is_null()).then(|| sentence(asked, &document));
    let ended = match &how {
        How::Exited(_) | How::Interrupted(_) if counted.is_some() => counted.unwrap_or_default(),
        How::Exited(code) => error_of(&told).unwrap_or_else(|| format!("exit code {code}")),
        How::Interrupted(_) => "ended before it had anything to report".into(),
        How::TimedOut(_) => format!("not ended after {:.0} s, and so interrupted (--timeout)", took.as_secs_f64()),
        How::Killed => "a signal ended it".into(),
        How::NotStarted => "interrupted before".into(),
        How::Unstartable(why) => why.clone(),
    };
    let mut details = match (asked, document.is_null()) {
        (_, true) => Vec::new(),
        (Asked::Plan, false) => disturbing(&document),
        (Asked::Drift, false) => moved(&document),
        (Asked::Status, false) => waiting(&document),
        (Asked::Verify, false) => checks(&document),
        (Asked::Cost, false) => idle(&document),
        (Asked::Apply, false) => checks(&document["verification"]),
    };
    if state.is_failure() && (document.is_null() || asked == Asked::Apply && details.is_empty()) {
        details.extend(told);
    }
    Member {
        name: entry.name.clone(),
        blueprint: entry.files.first().cloned().unwrap_or_default(),
        state,
        exit_code,
        seconds: took.as_secs_f64(),
        ended,
        details,
        log: (state != FleetState::NotStarted).then(|| log.display().to_string()),
        report: document,
    }
}

fn state_of(code: i32) -> FleetState {
    match code {
        0 => FleetState::Done,
        3 => FleetState::Pending,
        4 => FleetState::Stopped,
        5 => FleetState::CheckFailed,
        6 => FleetState::Inconclusive,
        130 => FleetState::Interrupted,
        _ => FleetState::Failed,
    }
}

/// What a command's document says, in one sentence.
fn sentence(asked: Asked, document: &Value) -> String {
    match asked {
        Asked::Plan => numbers(document),
        Asked::Drift => document["headline"].as_str().unwrap_or("looked at").to_owned(),
        Asked::Status => {
            let pods = document["pods"].as_array().map_or(0, Vec::len);
            let cluster = document["cluster"].as_str().unwrap_or_default();
            let waits = if pods == 0 { String::new() } else { format!("; {pods} pods wait") };
            format!("{cluster}; {}{waits}", in_words(&document["plan"]))
        }
        Asked::Verify => verified(document),
        Asked::Cost => costs(document),
        Asked::Apply => {
            let count = |key: &str| document[key].as_array().map_or(0, Vec::len);
            let failed = document["failed"].as_array().and_then(|failed| failed.first());
            let mut text = match count("done") {
                0 => "nothing to do".to_owned(),
                done => format!("{done} steps done"),
            };
            if let Some(first) = failed {
                let say = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
                text = format!(
                    "{} done, {} failed, {} blocked: {}: {}",
                    count("done"),
                    count("failed"),
                    count("blocked"),
                    say("step"),
                    say("error")
                );
            } else if document["remaining"].is_object() {
                text = format!("{text}; still {}", numbers(&document["remaining"]));
            }
            if document["verification"].is_object() {
                text = format!("{text}; {}", verified(&document["verification"]));
            }
            text
        }
    }
}

/// A plan in numbers.
fn numbers(plan: &Value) -> String {
    let text = in_words(&plan["summary"]);
    match plan["leavesBroken"].as_array().map_or(0, Vec::len) {
        0 => text,
        broken => format!("{text}; {broken} things can never run"),
    }
}

fn in_words(summary: &Value) -> String {
    let parts: Vec<String> = [
        ("create", "to create"),
        ("update", "to update"),
        ("replace", "to replace"),
        ("delete", "to delete"),
        ("notPlanned", "not planned"),
    ]
    .into_iter()
    .filter_map(|(key, words)| {
        let number = summary[key].as_u64().filter(|number| *number > 0)?;
        Some(format!("{number} {words}"))
    })
    .collect();
    let unchanged = summary["unchanged"].as_u64().unwrap_or(0);
    if parts.is_empty() {
        format!("nothing to do, {unchanged} unchanged")
    } else {
        format!("{}, {unchanged} unchanged", parts.join(", "))
    }
}

fn verified(report: &Value) -> String {
    let count = |word: &str| report["summary"][word].as_u64().unwrap_or(0);
    format!("{} checks pass, {} fail, {} inconclusive", count("passed"), count("failed"), count("inconclusive"))
}

/// What goes, what is replaced, and whom it disturbs: what a person wants to know before the yes.
fn disturbing(plan: &Value) -> Vec<String> {
    let changes = plan["changes"].as_array().into_iter().flatten();
    let of_changes = changes.filter_map(|change| {
        let text = |key: &str| change[key].as_str().unwrap_or_default();
        let (action, disruption) = (text("action"), text("disruption"));
        let harmless = matches!(disruption, "none" | "rolling" | "") && !matches!(action, "delete" | "replace");
        (!harmless).then(|| format!("{action} {}: {disruption}; {}", text("target"), text("reason")))
    });
    let not_planned = plan["notPlanned"].as_array().into_iter().flatten().filter_map(|left| {
        let (target, why) = (left["target"].as_str()?, left["reason"].as_str()?);
        Some(format!("not planned: {target}: {why}"))
    });
    // Another version wrote it: the plan itself has it.
    let cost = serde_json::from_value::<PlanCost>(plan["cost"].clone()).ok();
    let cost = cost.filter(|cost| cost.before != cost.after).map(|cost| format!("cost: {}", cost.line()));
    of_changes.chain(not_planned).chain(cost).collect()
}

/// What a cluster costs, one sentence.
fn costs(report: &Value) -> String {
    let amount = |value: &Value| value.as_f64().and_then(UsdPerHour::dollars);
    let least = if report["atLeast"] == true { "at least " } else { "" };
    let hour = amount(&report["total"]["hour"]).unwrap_or_default();
    match amount(&report["idle"]) {
        Some(idle) => format!("{least}{hour} an hour, {idle} of it idle"),
        None => format!("{least}{hour} an hour; what is idle could not be seen"),
    }
}

/// The dearest nodes with idle GPUs.
fn idle(report: &Value) -> Vec<String> {
    let nodes = report["idleGpus"].as_array().into_iter().flatten();
    let line = |node: &Value| {
        let counts: Vec<String> =
            node["idle"].as_object()?.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let price = node["hourly"].as_f64().and_then(UsdPerHour::dollars).map(|price| format!(", {price} an hour"));
        Some(format!("idle: {} of {}{}", counts.join(", "), node["node"].as_str()?, price.unwrap_or_default()))
    };
    nodes.filter_map(line).take(IDLE).collect()
}

/// What moved, a line for each difference.
fn moved(drift: &Value) -> Vec<String> {
    let items = drift["items"].as_array().into_iter().flatten();
    let items = items.filter_map(|item| {
        let item: DriftItem = serde_json::from_value(item.clone()).ok()?; // Another version wrote it: the headline counts it.
        Some(format!("{}: {} {}", item.object, item.what(), item.who_and_when()).trim_end().to_owned())
    });
    let unseen =
        drift["unseen"].as_array().into_iter().flatten().filter_map(|unseen| {
            Some(format!("{}: not looked at: {}", unseen["what"].as_str()?, unseen["why"].as_str()?))
        });
    items.chain(unseen).collect()
}

/// Pods that wait, and why.
fn waiting(status: &Value) -> Vec<String> {
    let pods = status["pods"].as_array().into_iter().flatten();
    pods.filter_map(|pod| Some(format!("{}: {}", pod["pod"].as_str()?, pod["why"].as_str()?))).collect()
}

/// Checks that did not pass, and why.
fn checks(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().into_iter().flatten();
    checks
        .filter_map(|check| {
            let outcome = check["outcome"].as_str().or_else(|| check["outcome"]["outcome"].as_str())?;
            if matches!(outcome, "pass" | "passed" | "skipped") {
                return None;
            }
            let why = ["reason", "message", "headline"].into_iter().find_map(|key| check[key].as_str());
            Some(format!("{outcome}: {} {}", check["id"].as_str()?, why.unwrap_or_default()).trim_end().to_owned())
        })
        .collect()
}

/// The error that a command told, without its causes.
fn error_of(told: &[String]) -> Option<String> {
    told.iter().rev().find_map(|line| line.strip_prefix("error: ")).map(str::to_owned)
}
