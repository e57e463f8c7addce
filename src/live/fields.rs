//! Field sets as `managedFields` writes them, turned into paths that a person reads.
//!
//! Format: structured-merge-diff's `FieldsV1`: `f:name` a field, `k:{…}` a list item by keys, `v:…` a set member, `i:n` an
//! index, `.` the item itself.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// One element of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A field of a map.
    Field(String),
    /// A list item by its keys, as JSON text.
    Keys(String),
    /// A member of a set, as JSON text.
    Member(String),
    /// A list item by its place.
    Index(usize),
}

impl Element {
    /// What it names in a map or a list.
    pub fn of<'a>(&self, node: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Field(name) => node.get(name),
            Self::Keys(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).ok()?; // No keys: nothing can be found by them.
                node.as_array()?.iter().find(|item| keys.iter().all(|(key, value)| item.get(key) == Some(value)))
            }
            Self::Member(value) => node.as_array()?.iter().find(|item| item.to_string() == *value),
            Self::Index(index) => node.as_array()?.get(*index),
        }
    }
}

/// A path from the object's root to a leaf that a manager set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FieldPath(pub Vec<Element>);

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, element) in self.0.iter().enumerate() {
            match element {
                Element::Field(name) if name.contains('.') || name.contains('/') => write!(f, "[{name}]")?,
                Element::Field(name) if place == 0 => f.write_str(name)?,
                Element::Field(name) => write!(f, ".{name}")?,
                Element::Keys(keys) => write!(f, "[{}]", item_name(keys))?,
                Element::Member(value) => write!(f, "[={value}]")?,
                Element::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// `{"name":"main"}` -> `main`; several keys -> `containerPort=80,protocol=TCP`.
pub(super) fn item_name(keys: &str) -> String {
    let Ok(Value::Object(keys)) = serde_json::from_str::<Value>(keys) else { return keys.to_owned() };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match keys.iter().next() {
        Some((_, value)) if keys.len() == 1 => plain(value),
        Some(_) | None => {
            keys.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect::<Vec<_>>().join(",")
        }
    }
}

/// Every leaf of a field set. A set that is no JSON has none.
pub fn field_paths(fields: &[u8]) -> BTreeSet<FieldPath> {
    let mut all = BTreeSet::new();
    if let Ok(Value::Object(root)) = serde_json::from_slice(fields) {
        walk(&root, &FieldPath::default(), &mut all);
    }
    all
}

fn walk(node: &Map<String, Value>, here: &FieldPath, all: &mut BTreeSet<FieldPath>) {
    for (key, below) in node {
        let element = match key.split_once(':') {
            Some(("f", name)) => Element::Field(name.to_owned()),
            Some(("k", keys)) => Element::Keys(keys.to_owned()),
            Some(("v", value)) => Element::Member(value.to_owned()),
            Some(("i", index)) => Element::Index(index.parse().unwrap_or(usize::MAX)),
            Some(_) | None => continue, // "." says that the item itself is set; its parent's path says that already.
        };
        let mut path = here.clone();
        path.0.push(element);
        match below {
            Value::Object(below) if below.keys().any(|key| key != ".") => walk(below, &path, all),
            _ => {
                all.insert(path);
            }
        }
    }
}

impl FieldPath {
    /// The value at this path in an object.
    pub fn value<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |node, element| element.of(node))
    }

    /// Whether this path is at or below another.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_are_named_as_a_person_writes_them_and_find_their_values() {
        let set = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}}}}}, "f:replicas": {}},
            "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}}});
        let paths = field_paths(set.to_string().as_bytes());
        let shown: Vec<String> = paths.iter().map(FieldPath::to_string).collect();
        assert_eq!(
            shown,
            ["metadata.labels[app.kubernetes.io/name]", "spec.replicas", "spec.template.spec.containers[main].image"]
        );
        let object =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "x"}, {"name": "main", "image": "i"}]}}}});
        assert_eq!(paths.last().and_then(|path| path.value(&object)), Some(&json!("i")));
    }
}
