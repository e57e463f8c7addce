//! Overlays: one tree laid over another. Mappings merge by key, lists that the schema names merge by their items' name,
//! everything else is replaced, and `null` removes. Every value keeps the position of the file that set it.

use serde_json::Value;

use super::check::{is_free, property, resolve};
use super::yaml::{Content, Entry, Node};

/// The key that removes an item of a list merged by name: `{name: a100, $patch: delete}` (kustomize's spelling).
pub(super) const PATCH: &str = "$patch";

/// Lays `over` over `base`. A removal stays as a null, so that several overlays can be laid one after the other;
/// [`finish`] takes the nulls out.
pub(super) fn merge(base: Node, over: Node, root: &Value, schema: &Value) -> Node {
    let schema = resolve(root, schema);
    match (base.content, over.content) {
        (Content::Mapping(base_entries), Content::Mapping(over_entries)) => {
            let mut entries = base_entries;
            for over_entry in over_entries {
                let below = property(root, schema, &over_entry.key).unwrap_or(&Value::Null);
                match entries.iter().position(|entry| entry.key == over_entry.key) {
                    Some(index) => {
                        let entry = entries.remove(index);
                        // The key's position goes with whoever replaced its value as a whole.
                        let merges = matches!(
                            (&entry.value.content, &over_entry.value.content),
                            (Content::Mapping(_), Content::Mapping(_)) | (Content::Sequence(_), Content::Sequence(_))
                        );
                        let at = if merges { entry.at } else { over_entry.at };
                        let value = merge(entry.value, over_entry.value, root, below);
                        entries.insert(index, Entry { key: entry.key, at, value });
                    }
                    None => entries.push(over_entry),
                }
            }
            Node { at: base.at, content: Content::Mapping(entries) }
        }
        (Content::Sequence(base_items), Content::Sequence(over_items)) => match merge_key(schema) {
            Some(key) => {
                let item_schema = schema.get("items").unwrap_or(&Value::Null);
                let mut items = base_items;
                for over_item in over_items {
                    let name = over_item.get(key).and_then(Node::as_str);
                    match items.iter().position(|item| name.is_some() && item.get(key).and_then(Node::as_str) == name) {
                        Some(index) if is_deletion(&over_item) => items[index] = over_item,
                        Some(index) if is_deletion(&items[index]) => items[index] = over_item,
                        Some(index) => {
                            let item = items.remove(index);
                            items.insert(index, merge(item, over_item, root, item_schema));
                        }
                        None => items.push(over_item),
                    }
                }
                Node { at: base.at, content: Content::Sequence(items) }
            }
            None => Node { at: over.at, content: Content::Sequence(over_items) },
        },
        (_, content) => Node { at: over.at, content },
    }
}

/// The key by which a list's items are merged.
fn merge_key(schema: &Value) -> Option<&str> {
    schema.get("x-merge-by").and_then(Value::as_str)
}

fn is_deletion(item: &Node) -> bool {
    item.get(PATCH).and_then(Node::as_str) == Some("delete")
}

/// Takes out what was removed. Below free values (a chart's values, a manifest) a null has a meaning of its own and stays.
pub(super) fn finish(node: Node, root: &Value, schema: &Value) -> Node {
    let schema = resolve(root, schema);
    if is_free(schema) {
        return node;
    }
    let content = match node.content {
        Content::Mapping(entries) => Content::Mapping(
            entries
                .into_iter()
                .filter(|entry| entry.value.content != Content::Null)
                .map(|entry| {
                    let below = property(root, schema, &entry.key).unwrap_or(&Value::Bool(true));
                    Entry { value: finish(entry.value, root, below), ..entry }
                })
                .collect(),
        ),
        Content::Sequence(items) => {
            let below = schema.get("items").unwrap_or(&Value::Bool(true));
            let below = variant_of_mappings(root, below);
            Content::Sequence(
                items.into_iter().filter(|item| !is_deletion(item)).map(|item| finish(item, root, below)).collect(),
            )
        }
        other => other,
    };
    Node { at: node.at, content }
}

/// Of a schema with variants, the one for mappings.
fn variant_of_mappings<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolve(root, schema);
    let variants = ["oneOf", "anyOf"].iter().find_map(|keyword| schema.get(keyword)?.as_array());
    let object = Value::from("object");
    variants.into_iter().flatten().find(|variant| variant.get("type") == Some(&object)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;
    use crate::blueprint::problem::Position;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "scalar": {"type": "string"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "list": {"type": "array", "items": {"type": "string"}},
                "named": {
                    "type": "array",
                    "x-merge-by": "name",
                    "items": {"type": "object", "properties": {"name": {"type": "string"}, "a": {"type": "integer"}, "b": {"type": "integer"}}},
                },
                "free": {"x-free": true},
            },
        })
    }

    fn tree(value: &Value, file: &str) -> Node {
        let at = Position::start_of(file);
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(*value),
            Value::Number(number) => Content::Number { number: number.clone(), text: number.to_string() },
            Value::String(text) => Content::String(text.clone()),
            Value::Array(items) => Content::Sequence(items.iter().map(|item| tree(item, file)).collect()),
            Value::Object(map) => Content::Mapping(
                map.iter()
                    .map(|(key, value)| Entry { key: key.clone(), at: at.clone(), value: tree(value, file) })
                    .collect(),
            ),
        };
        Node { at, content }
    }

    fn merged(values: &[Value]) -> Value {
        let schema = schema();
        let trees = values.iter().map(|value| tree(value, "f"));
        let node = trees.reduce(|base, over| merge(base, over, &schema, &schema)).unwrap();
        finish(node, &schema, &schema).to_json()
    }

    #[test]
    fn mappings_merge_named_items_merge_other_lists_are_replaced_and_null_removes() {
        let base = json!({"scalar": "x", "map": {"a": "1", "b": "2"}, "list": ["1", "2"], "named": [{"name": "x", "a": 1, "b": 2}, {"name": "y", "a": 1}]});
        let over = json!({"scalar": null, "map": {"a": null, "c": "3"}, "list": ["9"], "named": [{"name": "z"}, {"name": "x", "a": 5, "b": null}]});
        assert_eq!(
            merged(&[base.clone(), over]),
            json!({"map": {"b": "2", "c": "3"}, "list": ["9"], "named": [{"name": "x", "a": 5}, {"name": "y", "a": 1}, {"name": "z"}]})
        );
        assert_eq!(
            merged(&[base, json!({"named": [{"name": "x", "$patch": "delete"}]})])["named"],
            json!([{"name": "y", "a": 1}])
        );
    }

    #[test]
    fn a_null_in_free_values_stays() {
        assert_eq!(
            merged(&[json!({"free": {"a": 1, "b": 2}}), json!({"free": {"a": null}})]),
            json!({"free": {"a": null, "b": 2}})
        );
    }

    #[test]
    fn every_value_keeps_the_file_that_set_it() {
        let schema = schema();
        let base = tree(&json!({"map": {"a": "1", "b": "2"}, "named": [{"name": "x", "a": 1}]}), "base");
        let over = tree(&json!({"map": {"a": "9"}, "named": [{"name": "x", "b": 2}]}), "over");
        let both = merge(base, over, &schema, &schema);
        let file = |path: &[super::super::path::Step<'_>]| both.find(path).unwrap().at.file.to_string();
        use super::super::path::steps;
        assert_eq!(file(steps!["map", "a"]), "over");
        assert_eq!(file(steps!["map", "b"]), "base");
        assert_eq!(file(steps!["named", 0, "a"]), "base");
        assert_eq!(file(steps!["named", 0, "b"]), "over");
    }

    /// Trees that fit the schema, without null: with it, order matters (removing, then setting).
    fn fitting() -> impl Strategy<Value = Value> {
        let word = "[a-c]";
        let map = proptest::collection::btree_map(word, word.prop_map(Value::from), 0..3);
        let list = proptest::collection::vec(word.prop_map(Value::from), 0..3);
        let named = proptest::collection::btree_map(
            word,
            proptest::collection::btree_map("[ab]", (0..5i64).prop_map(Value::from), 0..3),
            0..3,
        );
        let options = (
            proptest::option::of(word.prop_map(Value::from)),
            proptest::option::of(map.prop_map(|map| Value::Object(map.into_iter().collect()))),
            proptest::option::of(list.prop_map(Value::from)),
            proptest::option::of(named.prop_map(|items| {
                items
                    .into_iter()
                    .map(|(name, fields)| {
                        let mut item: Map<String, Value> = fields.into_iter().collect();
                        item.insert("name".into(), name.into());
                        Value::Object(item)
                    })
                    .collect::<Value>()
            })),
        );
        options.prop_map(|(scalar, map, list, named)| {
            let pairs = [("scalar", scalar), ("map", map), ("list", list), ("named", named)];
            Value::Object(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
        })
    }

    proptest! {
        #[test]
        fn nothing_laid_over_changes_nothing(base in fitting()) {
            prop_assert_eq!(merged(&[base.clone(), json!({})]), base.clone());
            prop_assert_eq!(merged(&[json!({}), base.clone()]), base.clone());
            prop_assert_eq!(merged(&[base.clone(), base.clone()]), base);
        }

        #[test]
        fn the_grouping_of_overlays_does_not_matter(a in fitting(), b in fitting(), c in fitting()) {
            let left = merged(&[merged(&[a.clone(), b.clone()]), c.clone()]);
            let right = merged(&[a, merged(&[b, c])]);
            prop_assert_eq!(left, right);
        }
    }
}
