//! Field differences between two objects, for people: the server's own answers are compared, so that a respelling is none.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wbk_provider_api::FieldDiff;

use super::shapes::{Shape, Shapes};
use crate::field::{Element, FieldPath, Literal};

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// Where; the root where the whole object is meant.
    pub path: FieldPath,
    /// What is there; `None`: nothing.
    pub old: Option<Value>,
    /// What shall be there; `None`: nothing.
    pub new: Option<Value>,
}

impl FieldChange {
    /// As a plan tells it.
    pub fn told(&self) -> FieldDiff {
        FieldDiff { path: self.path.to_string(), old: self.old.clone(), new: self.new.clone() }
    }
}

/// Parts that the server writes and nobody wants.
const BOOKKEEPING: [&str; 6] =
    ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];

/// Counted up by the server itself with every change of a DaemonSet's template, in a dry-run too.
const COUNTER: &str = "deprecated.daemonset.template.generation";

/// Keys that tell the items of a list apart for a reader where the server has none for it, tried in this order.
const ITEM_KEYS: [&str; 5] = ["name", "key", "containerPort", "port", "ip"];

/// The fields in which `new` differs from `old`, bookkeeping and status left out. A Secret's data is masked. Items of lists
/// are named by the keys that the server merges them by, as far as the objects' `managedFields` tell them.
pub fn differences(old: &Value, new: &Value) -> Vec<FieldChange> {
    Comparison::of(old, new, Scope::Both)
}

/// The fields of `wanted` that `live` lacks or has otherwise; what `live` has beyond is not looked at.
pub fn missing_or_different(live: &Value, wanted: &Value) -> Vec<FieldChange> {
    Comparison::of(live, wanted, Scope::Wanted)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Both,
    Wanted,
}

fn clean(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(root) = object.as_object_mut() {
        root.remove("status");
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in BOOKKEEPING {
                metadata.remove(key);
            }
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(COUNTER);
            }
        }
    }
    object
}

fn mask(mut change: FieldChange) -> FieldChange {
    let values = [FieldPath::fields(["data"]), FieldPath::fields(["stringData"])];
    if values.iter().any(|path| change.path.is_within(path)) {
        for value in [&mut change.old, &mut change.new] {
            if value.is_some() {
                *value = Some(Value::String("(hidden)".into()));
            }
        }
    }
    change
}

/// What names an item of one list; `None` where it cannot be named.
type Naming = Box<dyn Fn(&Value) -> Option<Element>>;

/// Two objects on their way to their differences.
struct Comparison {
    shapes: Shapes,
    scope: Scope,
    found: Vec<FieldChange>,
}

impl Comparison {
    fn of(old: &Value, new: &Value, scope: Scope) -> Vec<FieldChange> {
        let mut comparison = Self { shapes: Shapes::of(&[old, new]), scope, found: Vec::new() };
        let secret = old["kind"] == "Secret" && old["apiVersion"] == "v1";
        comparison.compare(&clean(old), &clean(new), FieldPath::default());
        let found = comparison.found;
        if secret { found.into_iter().map(mask).collect() } else { found }
    }

    fn tell(&mut self, path: FieldPath, old: Option<&Value>, new: Option<&Value>) {
        self.found.push(FieldChange { path, old: old.cloned(), new: new.cloned() });
    }

    fn compare(&mut self, old: &Value, new: &Value, path: FieldPath) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => self.maps(old, new, &path),
            (Value::Array(old), Value::Array(new)) => self.lists(old, new, path),
            _ if old == new => {}
            _ => self.tell(path, Some(old), Some(new)),
        }
    }

    fn maps(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, path: &FieldPath) {
        let below = |key: &String| path.with(Element::Field(key.clone()));
        for (key, was) in old {
            match new.get(key) {
                Some(is) => self.compare(was, is, below(key)),
                None if self.scope == Scope::Both => self.tell(below(key), Some(was), None),
                None => {}
            }
        }
        for (key, is) in new {
            // The server leaves out what is empty: that is no difference of what was wanted.
            if !(old.contains_key(key) || self.scope == Scope::Wanted && is_empty(is)) {
                self.tell(below(key), None, Some(is));
            }
        }
    }

    fn lists(&mut self, old: &[Value], new: &[Value], path: FieldPath) {
        if old == new {
            return;
        }
        let name: Naming = match self.shapes.at(&path) {
            Some(Shape::Keys(keys)) => {
                let keys = keys.clone();
                Box::new(move |item| by_keys(item, keys.iter().map(String::as_str)))
            }
            Some(Shape::Set) => Box::new(|item| Some(Element::Member(Literal::of(item)))),
            None => match naming_key(&[old, new]) {
                Some(key) => Box::new(move |item| by_keys(item, [key])),
                None => Box::new(|_| None),
            },
        };
        let named = |items: &[Value]| -> Option<Vec<Element>> {
            let names: Vec<Element> = items.iter().map(&name).collect::<Option<_>>()?;
            let distinct: std::collections::BTreeSet<&Element> = names.iter().collect();
            (distinct.len() == names.len()).then_some(names)
        };
        let (Some(_), Some(new_names)) = (named(old), named(new)) else {
            self.tell(path, Some(&old.to_vec().into()), Some(&new.to_vec().into()));
            return;
        };
        // A wanted item that leaves out a key with a default is the one that has it.
        let partner: BTreeMap<usize, usize> =
            new_names.iter().enumerate().filter_map(|(at, name)| Some((name.position(old)?, at))).collect();
        for (at, was) in old.iter().enumerate() {
            let Some(here) = name(was).map(|element| path.with(element)) else { continue };
            match partner.get(&at) {
                Some(at) => self.compare(was, &new[*at], here),
                None if self.scope == Scope::Both => self.tell(here, Some(was), None),
                None => {}
            }
        }
        let met: std::collections::BTreeSet<usize> = partner.values().copied().collect();
        for (at, element) in new_names.into_iter().enumerate() {
            if !met.contains(&at) {
                self.tell(path.with(element), None, Some(&new[at]));
            }
        }
    }
}

fn by_keys<'a>(item: &Value, keys: impl IntoIterator<Item = &'a str>) -> Option<Element> {
    let found: BTreeMap<String, Literal> =
        keys.into_iter().filter_map(|key| Some((key.to_owned(), Literal::of(item.get(key)?)))).collect();
    (!found.is_empty()).then_some(Element::Item(found))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// The key whose values tell the items of all these lists apart.
fn naming_key(lists: &[&[Value]]) -> Option<&'static str> {
    ITEM_KEYS.into_iter().find(|key| {
        let distinct = |items: &[Value]| {
            let names: Option<std::collections::BTreeSet<String>> = items
                .iter()
                .map(|item| item.get(key).filter(|name| !name.is_object() && !name.is_array()).map(Value::to_string))
                .collect();
            names.is_some_and(|names| names.len() == items.len())
        };
        lists.iter().all(|items| distinct(items)) && lists.iter().any(|items| !items.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_items_are_matched_by_name() {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}});
        let new = json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "image": "2"}]}});
        let diff = differences(&old, &new);
        let shown: Vec<FieldDiff> = diff.iter().map(FieldChange::told).collect();
        let image =
            FieldDiff { path: "spec.containers[name=a].image".into(), old: Some("1".into()), new: Some("2".into()) };
        assert_eq!(shown, [image]);
    }

    #[test]
    fn the_servers_own_keys_name_items_where_it_tells_them() {
        let object = |name: &str, guard: &str| {
            json!({"metadata": {"finalizers": ["a", guard], "managedFields": [{"fieldsV1": {
                    "f:metadata": {"f:finalizers": {"v:\"a\"": {}}},
                    "f:spec": {"f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {"f:name": {}}}}}}]},
                "spec": {"ports": [{"containerPort": 80, "protocol": "TCP", "name": name}, {"containerPort": 80, "protocol": "UDP"}]}})
        };
        let paths = |old: &Value, new: &Value| -> Vec<String> {
            differences(old, new).iter().map(|change| change.path.to_string()).collect()
        };
        let expected =
            ["metadata.finalizers[=x]", "metadata.finalizers[=y]", "spec.ports[containerPort=80,protocol=TCP].name"];
        assert_eq!(paths(&object("web", "x"), &object("http", "y")), expected);
        // What a user wrote leaves out the key that has a default.
        let wanted = json!({"spec": {"ports": [{"containerPort": 80, "name": "http"}]}});
        let ambiguous = missing_or_different(&object("web", "x"), &wanted);
        assert_eq!(ambiguous.len(), 1, "{ambiguous:?}");
    }

    #[test]
    fn a_secrets_values_are_hidden() {
        let old = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": "b2xk"}});
        let new = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": "bmV3"}});
        let shown = format!("{:?}", differences(&old, &new));
        assert!(shown.contains("(hidden)") && !shown.contains("b2xk") && !shown.contains("bmV3"), "{shown}");
    }

    #[test]
    fn wanted_scope_ignores_what_the_server_added() {
        let live = json!({"spec": {"replicas": 1, "strategy": {"type": "RollingUpdate"}}});
        assert_eq!(missing_or_different(&live, &json!({"spec": {"replicas": 1}})), []);
        assert_eq!(missing_or_different(&live, &json!({"spec": {"replicas": 2}})).len(), 1);
    }
}
