//! One difference between what was applied and what is there, and all of them together.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What became of a thing or a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftKind {
    /// It has another value.
    Changed,
    /// It is gone.
    Removed,
    /// It was not asked for and is there.
    Added,
    /// It is as wanted, and somebody else holds it now: the next change of theirs wins.
    Taken,
}

impl DriftKind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Changed, Self::Removed, Self::Added, Self::Taken];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Added => "added",
            Self::Taken => "taken",
        }
    }

    /// One character for a table.
    pub fn mark(self) -> char {
        match self {
            Self::Changed => '~',
            Self::Removed => '-',
            Self::Added => '+',
            Self::Taken => '!',
        }
    }

    /// What it means, as a sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Changed => "A field has another value than the blueprint says.",
            Self::Removed => "An object or a field that the blueprint asks for is gone.",
            Self::Added => "An object or a field is there that the blueprint does not ask for.",
            Self::Taken => "A field has its value and another manager holds it now.",
        }
    }
}

/// How much it matters; SARIF's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Something is not as promised.
    Warning,
    /// Something promised is gone or unsafe.
    Error,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftItem {
    /// The object or the provider's thing: `Deployment.apps wandb/agent`, `node pool a100`.
    pub object: String,
    /// The field, as a person writes it; `None`: the whole thing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// What the blueprint says; `None` where it says nothing. A secret's value is masked before it comes here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<Value>,
    /// What is there; `None` where nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<Value>,
    /// What became of it.
    pub kind: DriftKind,
    /// The field manager that did it, where the server knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manager: Option<String>,
    /// When, as the server says it (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// Where the blueprint asks for it: `file:line:col`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
}

impl DriftItem {
    /// Who did it and when, in words; empty where neither is known.
    pub fn who_and_when(&self) -> String {
        match (&self.manager, &self.time) {
            (Some(manager), Some(time)) => format!("by {manager} at {time}"),
            (Some(manager), None) => format!("by {manager}"),
            (None, Some(time)) => format!("at {time}"),
            (None, None) => String::new(),
        }
    }

    /// What happened, in words: `spec.replicas is 5, not 2`.
    pub fn what(&self) -> String {
        let field = self.field.as_deref().unwrap_or("the object");
        let (old, new) = (self.old.as_ref().map(shown), self.new.as_ref().map(shown));
        match (self.kind, old, new) {
            (DriftKind::Changed, Some(old), Some(new)) => format!("{field} is {new}, not {old}"),
            (DriftKind::Changed, None, Some(new)) => format!("{field} is {new}"),
            (DriftKind::Changed, Some(old), None) => format!("{field} is no longer {old}"),
            (DriftKind::Changed, None, None) => format!("{field} has changed"),
            (DriftKind::Removed, Some(old), _) => format!("{field} is gone (was {old})"),
            (DriftKind::Removed, None, _) => format!("{field} is gone"),
            (DriftKind::Added, _, Some(new)) => format!("{field} was added ({new})"),
            (DriftKind::Added, _, None) => format!("{field} was added"),
            (DriftKind::Taken, _, _) => format!("{field} is held by another manager"),
        }
    }
}

/// A value as shown in a line: a text as it is where that is plain, anything else as compact JSON, cut where endless.
fn shown(value: &Value) -> String {
    /// The longest value shown in full: an image with its digest fits.
    const LONGEST: usize = 120;
    let text = match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_whitespace) => text.clone(),
        value => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Something that could not be looked at, so that nothing is known about its drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// All differences.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftReport {
    /// The blueprint's name.
    pub blueprint: String,
    /// When the platform was looked at.
    pub seen: Timestamp,
    /// The differences; sort with [`DriftReport::new`].
    pub items: Vec<DriftItem>,
    /// How many things were looked at and are as wanted.
    pub clean: usize,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

impl DriftReport {
    /// Makes a report, worst first, then by object and field.
    pub fn new(blueprint: &str, seen: Timestamp, mut items: Vec<DriftItem>, clean: usize, unseen: Vec<Unseen>) -> Self {
        let key =
            |item: &DriftItem| (std::cmp::Reverse(item.severity), item.object.clone(), item.kind, item.field.clone());
        items.sort_by_key(key);
        Self { blueprint: blueprint.into(), seen, items, clean, unseen }
    }

    /// The objects that moved, each once, in the order of the report.
    pub fn objects(&self) -> Vec<(&str, Vec<&DriftItem>)> {
        let mut objects: Vec<(&str, Vec<&DriftItem>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for item in &self.items {
            let place = *places.entry(item.object.as_str()).or_insert_with(|| {
                objects.push((item.object.as_str(), Vec::new()));
                objects.len() - 1
            });
            objects[place].1.push(item);
        }
        objects
    }

    /// One line that sums up: `2 of 14 things moved (3 differences)`.
    pub fn headline(&self) -> String {
        let moved = self.objects().len();
        let unseen = match self.unseen.len() {
            0 => String::new(),
            count => format!("; {count} could not be looked at"),
        };
        if moved == 0 {
            format!("no drift in {}{unseen}", count(self.clean, "thing"))
        } else {
            let all = count(moved + self.clean, "thing");
            format!("{moved} of {all} moved ({}){unseen}", count(self.items.len(), "difference"))
        }
    }

    /// The process' exit code: 3 where anything moved; else 6 where something could not be looked at; else 0.
    pub fn exit_code(&self) -> u8 {
        match (self.items.is_empty(), self.unseen.is_empty()) {
            (false, _) => 3,
            (true, false) => 6,
            (true, true) => 0,
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
