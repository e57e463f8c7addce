//! What is true of a case, found without the product's planner: the whole objects of before and after are compared, over
//! the fields that the server says were ours before.

use std::collections::BTreeSet;

use serde_json::Value;
use wbk_infra::drift::{DriftItem, DriftKind};
use wbk_infra::field::{FieldPath, field_paths};
use wbk_infra::plan::{Action, NotPlanned, Step, WhyNot};

use super::interference::Known;
use super::objects::Made;
use super::peer::Said;
use super::world::short;

/// The truth about one object.
pub struct Truth {
    pub gone: bool,
    /// Another object has its name.
    pub replaced: bool,
    /// Fields of ours with another value, or without one: before and after.
    pub changed: Vec<(FieldPath, Option<Value>, Option<Value>)>,
    /// Whether our set of fields is another one.
    pub ownership: bool,
}

/// Our entry in an object's managed fields.
fn ours(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/managedFields")?.as_array()?.iter().find(|entry| {
        entry["manager"] == "wbk-infra" && entry["operation"] == "Apply" && entry["subresource"].is_null()
    })
}

/// The fields that are ours.
pub fn owned(object: &Value) -> BTreeSet<FieldPath> {
    ours(object).map(|entry| field_paths(entry["fieldsV1"].to_string().as_bytes())).unwrap_or_default()
}

impl Truth {
    pub fn of(before: &Value, after: Option<&Value>) -> Self {
        let Some(after) = after else {
            return Self { gone: true, replaced: false, changed: vec![], ownership: true };
        };
        let changed = owned(before)
            .into_iter()
            .map(|path| {
                let (was, is) = (path.value(before).cloned(), path.value(after).cloned());
                (path, was, is)
            })
            .filter(|(_, was, is)| was != is)
            .collect();
        Self {
            gone: false,
            // The digest of this very object makes it ours, whoever wrote it.
            replaced: before["metadata"]["uid"] != after["metadata"]["uid"]
                && before["metadata"]["annotations"]["wbk-infra/digest"]
                    != after["metadata"]["annotations"]["wbk-infra/digest"],
            changed,
            ownership: ours(before).map(|entry| &entry["fieldsV1"]) != ours(after).map(|entry| &entry["fieldsV1"]),
        }
    }

    /// Changes that a person cares for: our own notes are none.
    pub fn content(&self) -> impl Iterator<Item = &(FieldPath, Option<Value>, Option<Value>)> {
        self.changed.iter().filter(|(path, ..)| {
            !path.to_string().contains("wbk-infra/digest") && !path.to_string().contains("wbk-infra/origin")
        })
    }

    /// Whether `kubectl diff` has something to show.
    pub fn kubectl(&self) -> bool {
        self.gone || self.replaced || !self.changed.is_empty()
    }
}

/// What the product said of one object.
pub struct Verdicts<'a> {
    pub step: Option<&'a Step>,
    pub not_planned: Option<&'a NotPlanned>,
    pub drift: Vec<&'a DriftItem>,
    pub kubectl: Option<&'a Said>,
}

/// How kubectl did.
#[derive(Debug, Default)]
pub struct Tally {
    pub agree: usize,
    pub kubectl_wrong: Vec<String>,
    pub kubectl_blind: usize,
    pub additions: usize,
    pub changed: usize,
    pub quiet: usize,
    pub ownership: usize,
    pub gone: usize,
    pub actors: usize,
}

/// What is wrong with the product's verdicts. `window` is the time of the interference in seconds.
pub fn judge(
    made: &Made,
    known: &Known,
    truth: &Truth,
    said: &Verdicts<'_>,
    window: (i64, i64),
    tally: &mut Tally,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut claim = |right: bool, words: String| {
        if !right {
            wrong.push(words);
        }
    };
    let action = said.step.map(|step| step.action);
    if truth.gone {
        tally.gone += 1;
        claim(action == Some(Action::Create), format!("it is gone and the plan has {action:?}"));
        claim(
            said.drift.iter().any(|item| item.kind == DriftKind::Removed && item.field.is_none()),
            "it is gone and drift is silent".into(),
        );
    } else if truth.replaced {
        tally.gone += 1;
        let blocked = said.not_planned.is_some_and(|entry| {
            entry.why == WhyNot::Blocked && entry.hint.as_deref().is_some_and(|hint| hint.contains("--adopt"))
        });
        claim(
            action.is_none() && blocked,
            format!("somebody else's object has its name: {action:?} {:?}", said.not_planned),
        );
    } else if truth.changed.is_empty() && !truth.ownership {
        tally.quiet += 1;
        claim(
            action.is_none(),
            format!("nothing of ours moved and the plan has {action:?}: {:?}", said.step.map(|step| &step.diff)),
        );
        let invented: Vec<_> = said.drift.iter().filter(|item| item.kind != DriftKind::Added).collect();
        claim(invented.is_empty(), format!("drift is invented: {invented:?}"));
    } else {
        if truth.changed.is_empty() {
            tally.ownership += 1
        } else {
            tally.changed += 1
        };
        claim(
            action == Some(Action::Update),
            format!("{} fields changed and the plan has {action:?} {:?}", truth.changed.len(), said.not_planned),
        );
        changed(made, truth, said, &mut claim);
        claim(!said.drift.is_empty() || truth.content().next().is_none(), "drift says nothing of the change".into());
    }
    if !truth.gone && !truth.replaced {
        for (token, actor) in &known.added {
            tally.additions += 1;
            let told = said.drift.iter().find(|item| {
                item.kind == DriftKind::Added
                    && item.manager.as_ref() == Some(actor)
                    && item.field.as_deref().is_some_and(|field| field.contains(token))
            });
            claim(told.is_some(), format!("the addition {token} by {actor} is not told"));
            if said.kubectl == Some(&Said::Same) {
                tally.kubectl_blind += 1;
            }
        }
        actors(known, said, window, tally, &mut claim);
    }
    if let Some(kubectl) = said.kubectl {
        match kubectl {
            Said::Failed(words) => tally.kubectl_wrong.push(format!("{}: {words}", made.object.id)),
            said if (*said == Said::Differs) == truth.kubectl() => tally.agree += 1,
            said => tally.kubectl_wrong.push(format!("{}: kubectl says {said:?}; {:?}", made.object.id, known.story)),
        }
    }
    wrong
}

/// The plan's field differences are the true ones.
fn changed(made: &Made, truth: &Truth, said: &Verdicts<'_>, claim: &mut dyn FnMut(bool, String)) {
    let Some(step) = said.step else { return };
    if made.object.id.gvk.kind == "Secret" {
        for field in &step.diff {
            let hidden = [&field.old, &field.new]
                .iter()
                .all(|value| !field.path.starts_with("data") || value.as_ref().is_none_or(|value| value == "(hidden)"));
            claim(hidden, format!("a secret's value is in the plan: {}", field.path));
        }
    }
    let is_none = truth.content().next().is_none();
    claim(
        step.diff.is_empty() == is_none,
        format!(
            "the plan's fields are {:?}, the true ones {:?}",
            step.diff,
            truth.content().map(|(path, ..)| path.to_string()).collect::<Vec<_>>()
        ),
    );
    for (path, was, is) in truth.content() {
        let plain = |text: &str| text.replace(['[', ']'], ".").replace("..", ".").trim_matches('.').to_owned();
        let here = plain(&path.to_string());
        let found = step.diff.iter().any(|field| {
            let there = plain(&field.path);
            here == there
                || here.starts_with(&format!("{there}."))
                || there.starts_with(&format!("{here}."))
                || (field.new == *was && field.old == *is)
                || field.new.as_ref().is_some_and(|new| was.as_ref().is_some_and(|was| contains(new, was)))
        });
        claim(
            found,
            format!(
                "{path} was {:?}, is {:?}, and is not in the plan: {:?}",
                was,
                is,
                step.diff.iter().map(|field| &field.path).collect::<Vec<_>>()
            ),
        );
    }
    for field in &step.diff {
        // Each difference leads from what is there to what was there before somebody came.
        let (old, new) = (field.old.as_ref(), field.new.as_ref());
        let masked = old.or(new).is_some_and(|value| value == "(hidden)");
        let true_one = masked
            || truth.content().any(|(_, was, is)| {
                let same = was.as_ref() == new && is.as_ref() == old;
                let part =
                    new.is_none_or(|new| was.as_ref().is_some_and(|was| contains(new, was) || contains(was, new)));
                same || part
            });
        claim(
            true_one,
            format!(
                "invented: {} from {} to {}",
                field.path,
                old.map(short).unwrap_or_default(),
                new.map(short).unwrap_or_default()
            ),
        );
    }
}

fn contains(whole: &Value, part: &Value) -> bool {
    whole == part
        || match whole {
            Value::Object(map) => map.values().any(|value| contains(value, part)),
            Value::Array(items) => items.iter().any(|value| contains(value, part)),
            _ => false,
        }
}

/// Who and when: never somebody who was not there.
fn actors(
    known: &Known,
    said: &Verdicts<'_>,
    window: (i64, i64),
    tally: &mut Tally,
    claim: &mut dyn FnMut(bool, String),
) {
    for item in &said.drift {
        let Some(manager) = &item.manager else {
            // Who only takes away leaves no trace; who changes does.
            let shrunk = match (&item.old, &item.new) {
                (Some(Value::Array(was)), Some(Value::Array(is))) => is.iter().all(|member| was.contains(member)),
                _ => false,
            };
            // In a list with several keys, what was applied in our own name is not told from what was taken away.
            let in_our_name = known.actors.iter().any(|actor| actor == "wbk-infra");
            let silent = known.wiped || shrunk || in_our_name || item.kind != DriftKind::Changed;
            claim(silent, format!("{} has no actor", item.what()));
            continue;
        };
        tally.actors += 1;
        claim(known.actors.contains(manager), format!("{}: {manager} did not do it", item.what()));
        let when =
            item.time.as_ref().and_then(|time| time.parse::<jiff::Timestamp>().ok()).map(|time| time.as_second());
        let untold = known.scaled && when.is_none();
        claim(
            untold || when.is_some_and(|when| (window.0..=window.1).contains(&when)),
            format!("{}: told as of {:?}, not {window:?}", item.what(), item.time),
        );
    }
}
