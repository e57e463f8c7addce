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
