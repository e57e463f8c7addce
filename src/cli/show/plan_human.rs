//! A plan for people.

use std::fmt::Write;

use serde_json::Value;
use wbk_provider_api::{Disruption, FieldDiff};

use super::{Mood, cost::plan_cost_lines, paint};
use crate::plan::{Action, NotPlanned, Plan, Step, Summary, Target, WhyNot};

/// Characters of a value that are shown; longer ones are cut in the middle of a line nobody reads.
const VALUE_WIDTH: usize = 100;
/// Fields of one step that are shown without `--verbose`.
const FIELDS: usize = 12;
/// Things with one and the same reason that are named without `--verbose`.
const NAMES: usize = 4;

/// The plan as text. `verbose` shows every reason and field.
pub fn plan_human(plan: &Plan, verbose: bool, simulated: bool) -> String {
    let mut text = String::new();
    let place = match &plan.world {
        Some(world) => format!("context {}", world.context),
        None if plan.not_planned.iter().any(|entry| entry.why == WhyNot::Unseen) || takes_cluster(plan) => {
            "which could not be looked into".to_owned()
        }
        None => "which is not there yet".to_owned(),
    };
    let simulated = if simulated { ", nodes simulated" } else { "" };
    line(
        &mut text,
        &paint(
            Mood::Strong,
            format!(
                "{} {} on {} cluster {} ({place}{simulated})",
                if plan.destroys { "Taking away" } else { "Plan for" },
                plan.blueprint,
                plan.wanted.cluster.provider,
                plan.wanted.cluster.name
            ),
        ),
    );
    if plan.steps.is_empty() && plan.not_planned.is_empty() && plan.leaves_broken.is_empty() {
        line(&mut text, &format!("Nothing to do: {} objects and releases are as they shall be.", plan.unchanged));
        worth_knowing(&mut text, plan);
        costs(&mut text, plan);
        return text;
    }
    if !plan.steps.is_empty() {
        line(&mut text, "");
    }
    let mut plain_creates = 0;
    for step in &plan.steps {
        if step.action == Action::Create && step.diff.is_empty() && !verbose && plan.steps.len() > 60 {
            plain_creates += 1;
            continue;
        }
        let told = verbose || (!plan.destroys && step.action != Action::Create) || step.reason.contains("could not be");
        one_step(&mut text, step, told, verbose);
    }
    if plain_creates > 0 {
        let names = counted(plan);
        line(
            &mut text,
            &format!("  {} {plain_creates} new objects: {names} (all of them: --verbose)", paint(Mood::Good, '+')),
        );
    }
    if !plan.not_planned.is_empty() {
        line(&mut text, "");
        line(&mut text, &paint(Mood::Strong, "Not planned:"));
        let mut groups: Vec<Vec<&NotPlanned>> = Vec::new();
        for entry in &plan.not_planned {
            let alike = |group: &&mut Vec<&NotPlanned>| {
                group.first().is_some_and(|first| first.why == entry.why && first.reason == entry.reason)
            };
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(entry),
                None => groups.push(vec![entry]),
            }
        }
        for group in &groups {
            not_planned(&mut text, group, verbose);
        }
    }
    if !plan.leaves_broken.is_empty() {
        line(&mut text, "");
        line(&mut text, &paint(Mood::Strong, "Left broken, as --allow-unschedulable says:"));
        for broken in &plan.leaves_broken {
            line(&mut text, &format!("  {} {}", paint(Mood::Bad, "broken    "), broken.what));
            if let Some(link) = broken.chain.last() {
                line(&mut text, &format!("             {}", link.says));
            }
            line(&mut text, &format!("             hint: {}", broken.fix));
        }
    }
    worth_knowing(&mut text, plan);
    costs(&mut text, plan);
    line(&mut text, "");
    line(&mut text, &format!("Plan: {}.", Summary::of(plan)));
    text
}

/// Whether it deletes the cluster: only what is there is deleted.
fn takes_cluster(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.action == Action::Delete && matches!(step.target, Target::Cluster(_)))
}

fn worth_knowing(text: &mut String, plan: &Plan) {
    if plan.advice.is_empty() {
        return;
    }
    line(text, "");
    line(text, &paint(Mood::Strong, "Worth knowing:"));
    for advice in &plan.advice {
        line(text, &format!("  {}: {}", advice.about, advice.says));
        line(text, &format!("             hint: {}", advice.hint));
    }
}

fn costs(text: &mut String, plan: &Plan) {
    for (at, words) in plan.cost.iter().flat_map(plan_cost_lines).enumerate() {
        if at == 0 {
            line(text, "");
            line(text, &paint(Mood::Strong, words));
        } else {
            line(text, &words);
        }
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn mood(action: Action) -> Mood {
    match action {
        Action::Create | Action::Start => Mood::Good,
        Action::Update | Action::Adopt | Action::Disown => Mood::Change,
        Action::Replace | Action::Delete => Mood::Bad,
    }
}

fn one_step(text: &mut String, step: &Step, with_reason: bool, verbose: bool) {
    let mark = paint(mood(step.action), step.action.mark());
    let word = paint(mood(step.action), format!("{:7}", step.action.word()));
    line(text, &format!("  {mark} {word} {}", step.target));
    // That a new thing is new is no news, nor that a destroy destroys; every other reason is.
    if with_reason {
        line(text, &format!("      {}", paint(Mood::Faint, &step.reason)));
    }
    if verbose {
        if let Some(at) = &step.at {
            line(text, &format!("      {}", paint(Mood::Faint, format!("from {at}"))));
        }
        if let Some(estimated) = &step.estimated {
            line(text, &format!("      {}", paint(Mood::Faint, format!("estimated: {estimated}"))));
        }
    }
    let shown = if verbose { step.diff.len() } else { FIELDS.min(step.diff.len()) };
    for field in &step.diff[..shown] {
        line(text, &format!("      {}", field_line(field)));
    }
    if shown < step.diff.len() {
        line(text, &format!("      … and {} more fields (--verbose)", step.diff.len() - shown));
    }
    match &step.disruption {
        Disruption::None => {}
        Disruption::Rolling => {
            line(text, &format!("      {}", paint(Mood::Change, "its pods restart one after the other")))
        }
        Disruption::Stops(what) => line(text, &format!("      {}", paint(Mood::Bad, format!("stops {what}")))),
        Disruption::LosesData(what) => {
            line(text, &format!("      {}", paint(Mood::Bad, format!("loses the data of {what}"))))
        }
    }
}

/// `spec.replicas: 5 -> 2`.
pub(super) fn field_line(field: &FieldDiff) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "(nothing)".to_owned(), short);
    format!("{}: {} -> {}", field.path, value(&field.old), value(&field.new))
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(
        || value.to_string(),
        |text| if text.starts_with('(') { text.to_owned() } else { format!("{text:?}") },
    );
    if text.chars().count() <= VALUE_WIDTH {
        text
    } else {
        let cut: String = text.chars().take(VALUE_WIDTH).collect();
        format!("{cut}…")
    }
}

/// Things with one reason are told together: a cluster that does not answer has one reason for all of them.
fn not_planned(text: &mut String, group: &[&NotPlanned], verbose: bool) {
    let Some(first) = group.first() else { return };
    let word = match first.why {
        WhyNot::Blocked => paint(Mood::Bad, "blocked   "),
        WhyNot::Unmanaged => paint(Mood::Faint, "unmanaged "),
        WhyNot::Unseen => paint(Mood::Change, "unseen    "),
        WhyNot::Protected => paint(Mood::Change, "protected "),
        WhyNot::OverBudget => paint(Mood::Bad, "over limit"),
    };
    let shown = if verbose { group.len() } else { NAMES.min(group.len()) };
    for entry in &group[..shown] {
        line(text, &format!("  {word} {}", entry.what));
    }
    if shown < group.len() {
        line(text, &format!("             … and {} more (--verbose)", group.len() - shown));
    }
    line(text, &format!("             {}", first.reason));
    let hints: std::collections::BTreeSet<&String> = group.iter().filter_map(|entry| entry.hint.as_ref()).collect();
    for hint in hints.iter().take(if verbose { hints.len() } else { NAMES }) {
        line(text, &format!("             hint: {hint}"));
    }
}

/// `Deployment 3, ConfigMap 40`.
fn counted(plan: &Plan) -> String {
    let mut counts: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.action == Action::Create) {
        *counts.entry(step.target.sort().to_owned()).or_default() += 1;
    }
    let mut text = String::new();
    for (kind, count) in counts {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{kind} {count}");
    }
    text
}
