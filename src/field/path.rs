//! A path from an object's root to a field.

use serde_json::{Map, Value};

use super::{Element, element::is_plain};

/// A path from an object's root to a field. Its text reads back: `spec.template.spec.containers[name=main].image`,
/// `metadata.labels[app.kubernetes.io/name]`, `metadata.finalizers[=example.com/guard]`, `spec.rules[0].host`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FieldPath(pub Vec<Element>);

impl FieldPath {
    /// The path of nested fields.
    pub fn fields<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(|name| Element::Field(name.to_owned())).collect())
    }

    /// This path and one element more.
    pub fn with(&self, element: Element) -> Self {
        let mut elements = self.0.clone();
        elements.push(element);
        Self(elements)
    }

    /// Whether it names the whole object.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at this path in an object.
    pub fn value<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |node, element| element.of(node))
    }

    /// Whether this path is at or below another.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether one of the two paths is at or below the other.
    pub fn meets(&self, other: &Self) -> bool {
        self.is_within(other) || other.is_within(self)
    }

    /// Sets the value at this path. Maps on the way are made; a list or an item of it that is not there is not: then nothing
    /// happens.
    pub fn put(&self, object: &mut Value, value: Value) {
        let Some((last, before)) = self.0.split_last() else {
            *object = value;
            return;
        };
        let mut node = object;
        for (element, next) in before.iter().zip(&self.0[1..]) {
            // What holds a field is a map; what holds an item is a list, and no list is made for it.
            if let (Element::Field(name), Element::Field(_), Value::Object(fields)) = (element, next, &mut *node) {
                fields.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            }
            match element.of_mut(node) {
                Some(next) => node = next,
                None => return,
            }
        }
        match (last, node) {
            (Element::Field(name), Value::Object(fields)) => {
                fields.insert(name.clone(), value);
            }
            (element, Value::Array(items)) => {
                if let Some(at) = element.position(items) {
                    items[at] = value;
                }
            }
            _ => {}
        }
    }

    /// Takes the value at this path away, and with it the maps that hold nothing else.
    pub fn remove(&self, object: &mut Value) {
        let Some((first, rest)) = self.0.split_first() else { return };
        let Some(below) = first.of_mut(object) else { return };
        let emptied = if rest.is_empty() {
            true
        } else {
            Self(rest.to_vec()).remove(below);
            below.as_object().is_some_and(Map::is_empty)
        };
        if !emptied {
            return;
        }
        match (first, object) {
            (Element::Field(name), Value::Object(fields)) => {
                fields.remove(name);
            }
            (element, Value::Array(items)) => {
                if let Some(at) = element.position(items) {
                    items.remove(at);
                }
            }
            _ => {}
        }
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, element) in self.0.iter().enumerate() {
            match element {
                Element::Field(name) if is_word(name) => {
                    let dot = if place == 0 { "" } else { "." };
                    write!(f, "{dot}{name}")?;
                }
                Element::Field(name) if is_plain(name) => write!(f, "[{name}]")?,
                Element::Field(name) => write!(f, "[{}]", Value::from(name.as_str()))?,
                Element::Item(keys) => {
                    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    write!(f, "[{}]", keys.join(","))?;
                }
                Element::Member(value) => write!(f, "[={value}]")?,
                Element::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether a name stands after a dot without doubt.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn pod() -> Value {
        json!({"metadata": {"labels": {"a.b/c": "x"}, "finalizers": ["one", "two"]},
            "spec": {"containers": [{"name": "x"}, {"name": "main", "image": "i", "ports": [{"containerPort": 80}]}]}})
    }

    #[test]
    fn a_path_finds_fields_items_members_and_places() {
        let pod = pod();
        for (text, found) in [
            ("metadata.labels[a.b/c]", Some(json!("x"))),
            ("metadata.finalizers[=two]", Some(json!("two"))),
            ("metadata.finalizers[=three]", None),
            ("spec.containers[name=main].image", Some(json!("i"))),
            ("spec.containers[1].image", Some(json!("i"))),
            ("/spec/containers/1/image", Some(json!("i"))),
            ("spec.containers[name=gone].image", None),
            // The server's key has a default that was not written.
            ("spec.containers[name=main].ports[containerPort=80,protocol=TCP].containerPort", Some(json!(80))),
            ("spec.containers[name=main].ports[containerPort=\"80\"]", None),
        ] {
            assert_eq!(path(text).value(&pod), found.as_ref(), "{text}");
        }
    }

    #[test]
    fn a_value_is_put_where_its_list_items_are_and_nowhere_else() {
        let mut pod = pod();
        path("spec.containers[name=main].image").put(&mut pod, json!("j"));
        path("metadata.annotations.new").put(&mut pod, json!("n"));
        path("spec.containers[name=gone].image").put(&mut pod, json!("j"));
        path("spec.volumes[name=v].emptyDir").put(&mut pod, json!({}));
        assert_eq!(pod["spec"].get("volumes"), None);
        assert_eq!(pod["spec"]["containers"][1]["image"], "j");
        assert_eq!(pod["metadata"]["annotations"]["new"], "n");
        assert_eq!(pod["spec"]["containers"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_value_is_removed_with_the_maps_that_held_nothing_else() {
        let mut pod = pod();
        path("metadata.labels[a.b/c]").remove(&mut pod);
        path("metadata.finalizers[=one]").remove(&mut pod);
        path("spec.containers[name=main].image").remove(&mut pod);
        path("spec.containers[name=gone].image").remove(&mut pod);
        let left = json!({"metadata": {"finalizers": ["two"]},
            "spec": {"containers": [{"name": "x"}, {"name": "main", "ports": [{"containerPort": 80}]}]}});
        assert_eq!(pod, left);
    }
}
