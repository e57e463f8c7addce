//! One element of a path: a field, or an item of a list by its keys, its value or its place.

use std::collections::BTreeMap;

use serde_json::Value;

/// One element of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A field of a map.
    Field(String),
    /// A list item by its keys.
    Item(BTreeMap<String, Literal>),
    /// A member of a set.
    Member(Literal),
    /// A list item by its place.
    Index(usize),
}

/// A JSON value that can be compared and sorted: kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Literal(String);

impl Literal {
    /// Of a value.
    pub fn of(value: &Value) -> Self {
        Self(value.to_string())
    }

    /// Of JSON text; `None` where it is none.
    pub(super) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(|value| Self::of(&value)) // What is no JSON is no literal.
    }

    /// Of what a person writes: `main`, `80`, `"80"`.
    pub(super) fn from_plain(text: &str) -> Self {
        Self::from_json(text).unwrap_or_else(|| Self::of(&Value::from(text)))
    }

    fn is(&self, value: &Value) -> bool {
        *self == Self::of(value)
    }
}

impl std::fmt::Display for Literal {
    /// As short as it reads back: a text without quotes where nothing else could be meant.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.trim_matches('"');
        if is_plain(text) && Self::from_plain(text) == *self { f.write_str(text) } else { f.write_str(&self.0) }
    }
}

/// Whether a text reads back without quotes between brackets.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._/:@-$*".contains(c))
}

impl Element {
    /// What it names in a map or a list.
    pub fn of<'a>(&self, node: &'a Value) -> Option<&'a Value> {
        match (self, node) {
            (Self::Field(name), Value::Object(fields)) => fields.get(name),
            (_, Value::Array(items)) => items.get(self.position(items)?),
            _ => None,
        }
    }

    /// As [`Element::of`], to be changed.
    pub fn of_mut<'a>(&self, node: &'a mut Value) -> Option<&'a mut Value> {
        match (self, node) {
            (Self::Field(name), Value::Object(fields)) => fields.get_mut(name),
            (_, Value::Array(items)) => {
                let at = self.position(items)?;
                items.get_mut(at)
            }
            _ => None,
        }
    }

    /// The place of the item that it names in a list.
    pub fn position(&self, items: &[Value]) -> Option<usize> {
        match self {
            // A JSON pointer writes places as it writes fields.
            Self::Field(name) => name.parse().ok().filter(|at| *at < items.len()),
            Self::Index(at) => Some(*at).filter(|at| *at < items.len()),
            Self::Member(value) => items.iter().position(|item| value.is(item)),
            Self::Item(keys) => {
                let has = |item: &Value, key: &String, value: &Literal| item.get(key).is_some_and(|is| value.is(is));
                let exact = items.iter().position(|item| keys.iter().all(|(key, value)| has(item, key, value)));
                // The server fills in keys that have a default (a port's protocol); what the user wrote lacks them.
                let open = |item: &&Value| {
                    let fits = |(key, value): (&String, &Literal)| item.get(key).is_none() || has(item, key, value);
                    keys.iter().all(fits) && keys.iter().any(|(key, value)| has(item, key, value))
                };
                exact.or_else(|| {
                    let mut found = items.iter().enumerate().filter(|(_, item)| open(item)).map(|(at, _)| at);
                    found.next().filter(|_| found.next().is_none())
                })
            }
        }
    }
}
