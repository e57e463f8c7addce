//! The positioned tree: JSON's data model, and for every value the place that set it.

use serde_json::{Map, Number, Value};

use crate::blueprint::problem::Position;

/// One value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its first character.
    pub at: Position,
    /// The value.
    pub content: Content,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// `null`, `~`, or nothing at all.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, and how it was spelled (`1.30` is not `1.3` to a person).
    Number {
        /// The number.
        number: Number,
        /// Its spelling.
        text: String,
    },
    /// A string.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order written, each key once.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub at: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value without positions.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number { number, .. } => Value::Number(number.clone()),
            Content::String(text) => Value::String(text.clone()),
            Content::Sequence(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Mapping(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The entry of a mapping by key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of a mapping by key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Self] {
        match &self.content {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::String(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for a message; a string's text is never in it.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Null => "nothing".into(),
            Content::Bool(value) => format!("the boolean {value}"),
            Content::Number { text, .. } => format!("the number {text}"),
            Content::String(_) => "a string".into(),
            Content::Sequence(_) => "a list".into(),
            Content::Mapping(_) => "a mapping".into(),
        }
    }

    /// How many values it is made of, itself included.
    pub(crate) fn weight(&self) -> usize {
        match &self.content {
            Content::Sequence(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Content::Mapping(entries) => 1 + entries.iter().map(|entry| entry.value.weight()).sum::<usize>(),
            Content::Null | Content::Bool(_) | Content::Number { .. } | Content::String(_) => 1,
        }
    }

    /// How deep it nests, 1 for a scalar.
    pub(crate) fn depth(&self) -> usize {
        match &self.content {
            Content::Sequence(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Content::Mapping(entries) => 1 + entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
            Content::Null | Content::Bool(_) | Content::Number { .. } | Content::String(_) => 1,
        }
    }
}
