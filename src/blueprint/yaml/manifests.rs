//! Kubernetes manifests and Helm values, read as kubectl and Helm read them.

use serde_json::Value;

use super::read::{Dialect, read};
use super::tree::{Content, Node};
use crate::blueprint::problem::{Position, Problem, Problems};

/// Reads every manifest of a (multi-document) text. Empty documents are skipped, `kind: List` (and `ConfigMapList` and so
/// on, where it has `items`) is flattened. Whether a document is an object at all is checked: it has to be a mapping.
///
/// # Errors
/// Malformed YAML, duplicate keys, or a document that is not a mapping; all problems at once, with positions.
pub fn read_manifests(text: &str, file: &str) -> Result<Vec<(Value, Position)>, Problems> {
    let (documents, mut problems) = read(text, file, Dialect::GoYaml);
    let mut manifests = Vec::new();
    for document in &documents {
        flatten(document, &mut manifests, &mut problems);
    }
    if problems.is_empty() { Ok(manifests) } else { Err(Problems::new(problems)) }
}

fn flatten(node: &Node, manifests: &mut Vec<(Value, Position)>, problems: &mut Vec<Problem>) {
    match &node.content {
        Content::Null => {}
        Content::Mapping(entries) if entries.is_empty() => {}
        Content::Mapping(_) => {
            let is_list = node.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
            let Some(items) = node.get("items").filter(|_| is_list) else {
                manifests.push((node.to_json(), node.at.clone()));
                return;
            };
            let before = manifests.len();
            items.items().iter().for_each(|item| flatten(item, manifests, problems));
            let list = |key: &str| node.get(key).and_then(Node::as_str);
            if let (Some(api_version), Some(kind)) =
                (list("apiVersion"), list("kind").and_then(|kind| kind.strip_suffix("List")))
                && !kind.is_empty()
            {
                // The items of a ConfigMapList, as an API server prints it, need not say what they are.
                for (manifest, _) in &mut manifests[before..] {
                    if manifest.get("kind").is_none() {
                        manifest["kind"] = kind.into();
                        manifest["apiVersion"] = api_version.into();
                    }
                }
            }
        }
        _ => problems.push(Problem::error(&node.at, format!("a manifest is a mapping, not {}", node.describe()))),
    }
}

/// Reads one file of a person's own words, which is a mapping, in the dialect of blueprints: what versions of YAML read differently is
/// refused.
///
/// # Errors
/// Malformed or ambiguous YAML, no or more than one document, or something that is not a mapping.
pub fn read_mapping(text: &str, file: &str) -> Result<Node, Problems> {
    let (documents, mut problems) = read(text, file, Dialect::Strict);
    if let Some(second) = documents.get(1) {
        problems.push(Problem::error(&second.at, "the file has one document"));
    }
    let nothing = Node { at: Position::start_of(file), content: Content::Null };
    let node = documents.into_iter().next().unwrap_or(nothing);
    if !matches!(node.content, Content::Mapping(_)) && problems.is_empty() {
        problems.push(Problem::error(&node.at, format!("the file is a mapping, not {}", node.describe())));
    }
    if problems.is_empty() { Ok(node) } else { Err(Problems::new(problems)) }
}

/// Reads one Helm values file: a mapping, or nothing.
///
/// # Errors
/// Malformed YAML, more than one document, or something that is not a mapping.
pub fn read_values(text: &str, file: &str) -> Result<Node, Problems> {
    let (documents, mut problems) = read(text, file, Dialect::GoYaml);
    if let Some(second) = documents.get(1) {
        problems.push(Problem::error(&second.at, "a values file has one document"));
    }
    let empty = || Node { at: Position::start_of(file), content: Content::Mapping(Vec::new()) };
    let node = match documents.into_iter().next() {
        None | Some(Node { content: Content::Null, .. }) => empty(),
        Some(node) => node,
    };
    if !matches!(node.content, Content::Mapping(_)) {
        problems.push(Problem::error(&node.at, format!("values are a mapping, not {}", node.describe())));
    }
    if problems.is_empty() { Ok(node) } else { Err(Problems::new(problems)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_and_lists_become_single_objects_with_their_lines() {
        let text = "# comment\n---\n---\nkind: A\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n---\n{}\n";
        let manifests = read_manifests(text, "m.yaml").unwrap();
        let seen: Vec<_> = manifests.iter().map(|(value, at)| (value["kind"].clone(), at.line)).collect();
        assert_eq!(seen, [(json!("A"), 4), (json!("B"), 8), (json!("C"), 9)]);
    }

    #[test]
    fn items_of_a_typed_list_are_told_their_kind() {
        let text = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n";
        let manifests = read_manifests(text, "m.yaml").unwrap();
        assert_eq!(manifests[0].0, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    }

    #[test]
    fn a_document_that_is_no_object_is_refused_with_its_position() {
        let problems = read_manifests("kind: A\n---\n- 1\n---\ntext\n", "m.yaml").unwrap_err();
        assert_eq!(
            problems.to_string(),
            "m.yaml:3:1: error: a manifest is a mapping, not a list\nm.yaml:5:1: error: a manifest is a mapping, not a string"
        );
    }
}
