//! Paths as the API server names them in a conflict. They are not unambiguous (a dot in a label's key is a dot), so the
//! object that was sent is read along.
//!
//! Source: structured-merge-diff v6, `fieldpath/element.go`: `.name`, `[key="value",port=80]`, `[="member"]`, `[0]`.

use serde_json::Value;

use super::{Element, FieldPath, parse::bracket};

impl FieldPath {
    /// Reads the path of a conflict about an object that was sent. A path that the object does not have is split at its
    /// dots.
    pub fn of_conflict(text: &str, sent: &Value) -> Self {
        let mut elements = Vec::new();
        if !follow(text, sent, &mut elements) {
            elements =
                text.split('.').filter(|name| !name.is_empty()).map(|name| Element::Field(name.to_owned())).collect();
        }
        Self(elements)
    }
}

fn follow(text: &str, node: &Value, elements: &mut Vec<Element>) -> bool {
    if text.is_empty() {
        return true;
    }
    let mut step = |element: Element, rest: &str| {
        let Some(next) = element.of(node) else { return false };
        elements.push(element);
        let found = follow(rest, next, elements);
        if !found {
            elements.pop();
        }
        found
    };
    if let Some(inside) = text.strip_prefix('[') {
        return bracket(inside).is_ok_and(|(element, rest)| step(element, rest));
    }
    let (Some(name), Value::Object(fields)) = (text.strip_prefix('.'), node) else { return false };
    let mut fitting: Vec<&String> = fields
        .keys()
        .filter(|key| {
            name.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
        .collect();
    fitting.sort_by_key(|key| std::cmp::Reverse(key.len()));
    fitting.into_iter().any(|key| step(Element::Field(key.clone()), &name[key.len()..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conflict_is_read_along_the_object_that_was_sent() {
        let sent = json!({"metadata": {"labels": {"app.kubernetes.io/name": "x", "app": "y"}},
            "spec": {"containers": [{"name": "main", "ports": [{"containerPort": 80}]}]}});
        for (text, path) in [
            (".metadata.labels.app.kubernetes.io/name", "metadata.labels[app.kubernetes.io/name]"),
            (".metadata.labels.app", "metadata.labels.app"),
            (
                r#".spec.containers[name="main"].ports[containerPort=80,protocol="TCP"].containerPort"#,
                "spec.containers[name=main].ports[containerPort=80,protocol=TCP].containerPort",
            ),
            (".spec.not.there", "spec.not.there"),
        ] {
            assert_eq!(FieldPath::of_conflict(text, &sent).to_string(), path);
        }
    }
}
