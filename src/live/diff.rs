//! Field differences between two objects, for people: the server's own answers are compared, so that a respelling is none.

use serde_json::{Map, Value};
use wbk_provider_api::FieldDiff;

use super::fields::{Element, FieldPath};

/// Parts that the server writes and nobody wants.
const BOOKKEEPING: [&str; 6] =
    ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];

/// Counted up by the server itself with every change of a DaemonSet's template, in a dry-run too.
const COUNTER: &str = "deprecated.daemonset.template.generation";

/// Keys by which the lists of Kubernetes name their items, tried in this order.
const ITEM_KEYS: [&str; 5] = ["name", "key", "containerPort", "port", "ip"];

/// The fields in which `new` differs from `old`, bookkeeping and status left out. A Secret's data is masked.
pub fn differences(old: &Value, new: &Value) -> Vec<FieldDiff> {
    let mut found = Vec::new();
    let secret = old["kind"] == "Secret" && old["apiVersion"] == "v1";
    compare(&clean(old), &clean(new), "", Scope::Both, &mut found);
    if secret { found.into_iter().map(mask).collect() } else { found }
}

/// The path of a field of `object` as [`differences`] writes it: list items by the key that names them there.
pub(super) fn written(path: &FieldPath, object: &Value) -> String {
    let mut text = String::new();
    let mut here = Some(object);
    for element in &path.0 {
        let next = here.and_then(|node| element.of(node));
        match element {
            Element::Field(name) => text = join(&text, name),
            Element::Keys(keys) => {
                let siblings = here.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let named = next.zip(naming_key(&[siblings])).map(|(item, key)| item_name(item, key));
                text = format!("{text}[{}]", named.unwrap_or_else(|| super::fields::item_name(keys)));
            }
            // A set is compared as a whole.
            Element::Member(_) | Element::Index(_) => return text,
        }
        here = next;
    }
    text
}

/// The fields of `wanted` that `live` lacks or has otherwise; what `live` has beyond is not looked at.
pub fn missing_or_different(live: &Value, wanted: &Value) -> Vec<FieldDiff> {
    let mut found = Vec::new();
    compare(&clean(live), &clean(wanted), "", Scope::Wanted, &mut found);
    if live["kind"] == "Secret" { found.into_iter().map(mask).collect() } else { found }
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

fn mask(mut diff: FieldDiff) -> FieldDiff {
    if diff.path.starts_with("data") || diff.path.starts_with("stringData") {
        let hide = |value: &mut Option<Value>| {
            if value.is_some() {
                *value = Some(Value::String("(hidden)".into()));
            }
        };
        hide(&mut diff.old);
        hide(&mut diff.new);
        diff
    } else {
        diff
    }
}

fn join(path: &str, key: &str) -> String {
    if key.contains('.') || key.contains('/') {
        format!("{path}[{key}]")
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn compare(old: &Value, new: &Value, path: &str, scope: Scope, found: &mut Vec<FieldDiff>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => maps(old, new, path, scope, found),
        (Value::Array(old), Value::Array(new)) => lists(old, new, path, scope, found),
        _ if old == new => {}
        _ => found.push(FieldDiff { path: path.to_owned(), old: Some(old.clone()), new: Some(new.clone()) }),
    }
}

fn maps(old: &Map<String, Value>, new: &Map<String, Value>, path: &str, scope: Scope, found: &mut Vec<FieldDiff>) {
    for (key, was) in old {
        match new.get(key) {
            Some(is) => compare(was, is, &join(path, key), scope, found),
            None if scope == Scope::Both => {
                found.push(FieldDiff { path: join(path, key), old: Some(was.clone()), new: None })
            }
            None => {}
        }
    }
    for (key, is) in new {
        // The server leaves out what is empty: that is no difference of what was wanted.
        if !(old.contains_key(key) || scope == Scope::Wanted && is_empty(is)) {
            found.push(FieldDiff { path: join(path, key), old: None, new: Some(is.clone()) });
        }
    }
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

fn lists(old: &[Value], new: &[Value], path: &str, scope: Scope, found: &mut Vec<FieldDiff>) {
    if old == new {
        return;
    }
    let Some(key) = naming_key(&[old, new]) else {
        found.push(FieldDiff { path: path.to_owned(), old: Some(old.to_vec().into()), new: Some(new.to_vec().into()) });
        return;
    };
    for was in old {
        let here = format!("{path}[{}]", item_name(was, key));
        match new.iter().find(|is| is[key] == was[key]) {
            Some(is) => compare(was, is, &here, scope, found),
            None if scope == Scope::Both => found.push(FieldDiff { path: here, old: Some(was.clone()), new: None }),
            None => {}
        }
    }
    for is in new {
        if !old.iter().any(|was| was[key] == is[key]) {
            found.push(FieldDiff { path: format!("{path}[{}]", item_name(is, key)), old: None, new: Some(is.clone()) });
        }
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

fn item_name(item: &Value, key: &str) -> String {
    item[key].as_str().map_or_else(|| item[key].to_string(), str::to_owned)
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
        assert_eq!(
            diff,
            [FieldDiff { path: "spec.containers[a].image".into(), old: Some("1".into()), new: Some("2".into()) }]
        );
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
