//! Field sets as `managedFields` keeps them.
//!
//! Format: structured-merge-diff's `FieldsV1`: `f:name` a field, `k:{…}` a list item by keys, `v:…` a set member, `i:n` an
//! index, `.` the item itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Element, FieldPath, Literal};

/// What one manager holds of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FieldSet(Map<String, Value>);

impl FieldSet {
    /// Reads `fieldsV1`. What is no set holds nothing.
    pub fn of(fields: &Value) -> Self {
        Self(fields.as_object().cloned().unwrap_or_default())
    }

    /// Reads `fieldsV1` as JSON text. What is no set holds nothing.
    pub fn read(fields: &[u8]) -> Self {
        match serde_json::from_slice(fields) {
            Ok(Value::Object(root)) => Self(root),
            Ok(_) | Err(_) => Self::default(),
        }
    }

    /// Every leaf.
    pub fn paths(&self) -> BTreeSet<FieldPath> {
        let mut all = BTreeSet::new();
        walk(&self.0, &FieldPath::default(), &mut |path, is_leaf| {
            if is_leaf {
                all.insert(path.clone());
            }
        });
        all
    }

    /// Every element of it that is not the whole: leaves and what is above them.
    pub fn each(&self, tell: &mut dyn FnMut(&FieldPath)) {
        walk(&self.0, &FieldPath::default(), &mut |path, _| tell(path));
    }

    /// The part of an object that the manager holds, as it would send it to change nothing.
    pub fn part_of(&self, object: &Value) -> Value {
        part(&self.0, object)
    }
}

/// Every leaf of a field set as JSON text.
pub fn field_paths(fields: &[u8]) -> BTreeSet<FieldPath> {
    FieldSet::read(fields).paths()
}

fn walk(node: &Map<String, Value>, here: &FieldPath, tell: &mut dyn FnMut(&FieldPath, bool)) {
    for (key, below) in node {
        let Some(element) = element(key) else { continue };
        let path = here.with(element);
        match inner(below) {
            Some(below) => {
                tell(&path, false);
                walk(below, &path, tell);
            }
            None => tell(&path, true),
        }
    }
}

/// What is below an element, where it is no leaf.
fn inner(node: &Value) -> Option<&Map<String, Value>> {
    node.as_object().filter(|below| below.keys().any(|key| key != "."))
}

fn element(key: &str) -> Option<Element> {
    match key.split_once(':')? {
        ("f", name) => Some(Element::Field(name.to_owned())),
        ("k", keys) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).ok()?; // No keys: nothing is named by them.
            Some(Element::Item(keys.iter().map(|(key, value)| (key.clone(), Literal::of(value))).collect()))
        }
        ("v", value) => Literal::from_json(value).map(Element::Member),
        ("i", index) => index.parse().ok().map(Element::Index),
        // "." says that the item itself is set; its parent's path says that already.
        _ => None,
    }
}

fn part(set: &Map<String, Value>, object: &Value) -> Value {
    let held = set.iter().filter_map(|(key, below)| Some((element(key)?, below)));
    let below = |below: &Value, value: &Value| match inner(below) {
        Some(below) => part(below, value),
        None => value.clone(),
    };
    match object {
        Value::Array(items) => {
            let mut found: Vec<(usize, Value)> = held
                .filter_map(|(element, set)| {
                    let at = element.position(items)?;
                    let mut item = below(set, &items[at]);
                    // Without its keys an item is no item.
                    if let (Element::Item(keys), Some(fields)) = (&element, item.as_object_mut()) {
                        for key in keys.keys() {
                            if let Some(value) = items[at].get(key) {
                                fields.insert(key.clone(), value.clone());
                            }
                        }
                    }
                    Some((at, item))
                })
                .collect();
            found.sort_by_key(|(at, _)| *at);
            found.into_iter().map(|(_, item)| item).collect()
        }
        Value::Object(_) => Value::Object(
            held.filter_map(|(element, set)| match &element {
                Element::Field(name) => Some((name.clone(), below(set, element.of(object)?))),
                Element::Item(_) | Element::Member(_) | Element::Index(_) => None,
            })
            .collect(),
        ),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set() -> FieldSet {
        FieldSet::of(&json!({
            "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}, "f:finalizers": {"v:\"mine\"": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}}}}},
            },
        }))
    }

    #[test]
    fn leaves_are_named_as_a_person_writes_them() {
        let shown: Vec<String> = set().paths().iter().map(FieldPath::to_string).collect();
        let expected = [
            "metadata.finalizers[=mine]",
            "metadata.labels[app.kubernetes.io/name]",
            "spec.replicas",
            "spec.template.spec.containers[name=main].image",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_part_that_a_manager_holds_is_what_it_would_send() {
        let object = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "x", "other": "y"}, "finalizers": ["a", "mine"]},
            "spec": {"replicas": 3, "paused": true, "template": {"spec": {"containers": [
                {"name": "side", "image": "s"}, {"name": "main", "image": "i", "tty": true}]}}},
        });
        let part = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "x"}, "finalizers": ["mine"]},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}},
        });
        assert_eq!(set().part_of(&object), part);
    }

    #[test]
    fn what_is_no_set_holds_nothing() {
        for text in ["", "[]", "{", "{\"x:y\":{}}"] {
            assert!(field_paths(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
