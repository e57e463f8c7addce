//! Differences between two values, field by field. Pure.

use serde::Serialize;
use serde_json::Value;

use crate::FieldDiff;

/// Every field in which they differ, by path. It goes over the values, so no field can be forgotten.
pub fn differences<T: Serialize>(old: &T, new: &T) -> Vec<FieldDiff> {
    let value = |item: &T| serde_json::to_value(item).expect("what is compared is plain data");
    let mut diff = Vec::new();
    walk("", Some(&value(old)), Some(&value(new)), &mut diff);
    diff
}

fn walk(path: &str, old: Option<&Value>, new: Option<&Value>, diff: &mut Vec<FieldDiff>) {
    let there = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                walk(&join(path, key), old.get(key), new.get(key), diff);
            }
        }
        _ => {
            let (old, new) = (there(old), there(new));
            if old != new {
                diff.push(FieldDiff { path: path.into(), old, new });
            }
        }
    }
}

fn join(path: &str, key: &str) -> String {
    // A key with dots (a label's) would read as a path.
    let key = if key.contains(['.', '/']) { format!("[{key}]") } else { key.to_owned() };
    match (path, key.starts_with('[')) {
        ("", _) | (_, true) => format!("{path}{key}"),
        (path, false) => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_named_with_both_sides() {
        let old = json!({"labels": {"a": "1", "x.y/z": "1"}, "size": {"min": 1}, "gpu": null});
        let new = json!({"labels": {"a": "1", "x.y/z": "2"}, "size": {"min": 2}, "gpu": {"count": 8}});
        let paths: Vec<String> = differences(&old, &new).into_iter().map(|diff| diff.path).collect();
        assert_eq!(paths, ["gpu", "labels[x.y/z]", "size.min"]);
        assert!(differences(&old, &old).is_empty());
    }
}
