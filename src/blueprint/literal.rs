//! Finds secrets written out where only references belong: in a chart's values and in raw manifests. What is found is
//! never repeated, only its place.

use super::path::{item_name, join_key};
use super::problem::{Position, Problem};
use super::yaml::{Content, Node};

/// Ends of keys (letters and digits only, lower case) whose value is a secret. `secret` alone is not one: it names one.
const SECRET_ENDS: [&str; 9] =
    ["password", "passwd", "passphrase", "apikey", "accesskey", "secretkey", "privatekey", "clientsecret", "token"];

fn looks_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_ENDS.iter().any(|end| plain.ends_with(end))
}

/// A text that can be a secret: not empty, and not a reference to a variable.
fn is_literal(node: &Node) -> bool {
    match &node.content {
        Content::String(text) => {
            let reference =
                (text.starts_with("$(") && text.ends_with(')')) || (text.starts_with("${") && text.ends_with('}'));
            !text.is_empty() && !reference
        }
        Content::Number { .. } => true,
        Content::Null | Content::Bool(_) | Content::Sequence(_) | Content::Mapping(_) => false,
    }
}

/// Checks a chart's values; `exempt` are paths within them that only look like secrets.
pub(crate) fn in_values(values: &Node, exempt: &[String]) -> Vec<Problem> {
    let mut found = Vec::new();
    search(values, "", exempt, &mut found);
    found
        .into_iter()
        .map(|(path, at)| {
            Problem::error(
                &at,
                format!("the value `{path}` looks like a secret, and a secret may not be written in a chart's values"),
            )
            .hint(format!(
                "make a Secret with `secrets:` and name it here; if it is no secret, add `notSecret: [\"{path}\"]`"
            ))
        })
        .collect()
}

fn search(node: &Node, path: &str, exempt: &[String], found: &mut Vec<(String, Position)>) {
    match &node.content {
        Content::Mapping(entries) => {
            // An environment variable: {name: API_KEY, value: …}.
            if let (Some(name), Some(value)) = (node.get("name").and_then(Node::as_str), node.get("value"))
                && looks_secret(name)
                && is_literal(value)
            {
                report(&join_key(path, "value"), &value.at, exempt, found);
            }
            for entry in entries {
                let below = join_key(path, &entry.key);
                if looks_secret(&entry.key) && is_literal(&entry.value) {
                    report(&below, &entry.value.at, exempt, found);
                }
                search(&entry.value, &below, exempt, found);
            }
        }
        Content::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                search(item, &format!("{path}[{}]", item_name(item, index)), exempt, found);
            }
        }
        Content::Null | Content::Bool(_) | Content::Number { .. } | Content::String(_) => {}
    }
}

fn report(path: &str, at: &Position, exempt: &[String], found: &mut Vec<(String, Position)>) {
    if !exempt.iter().any(|exempt| exempt == path) {
        found.push((path.to_owned(), at.clone()));
    }
}

/// Checks a raw manifest: a Secret with values in it.
pub(crate) fn in_manifest(manifest: &serde_json::Value, at: &Position) -> Option<Problem> {
    let is_secret = manifest["kind"] == "Secret" && manifest["apiVersion"] == "v1";
    let written = |key: &str| {
        manifest.get(key).is_some_and(|data| data.as_object().is_none_or(|map| !map.is_empty()) && !data.is_null())
    };
    let key = ["data", "stringData"].into_iter().find(|key| is_secret && written(key))?;
    Some(
        Problem::error(at, format!("a Secret's values may not be written in a manifest, and this one has `{key}`"))
            .hint("declare it under the namespace's `secrets:`, each key by reference"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::yaml::read_values;

    #[test]
    fn literals_under_secret_looking_keys_are_found_and_not_repeated() {
        let text = "db: {password: hunter2, existingSecret: x}\nAPI_KEY: abc\ntoken: ''\nautomountToken: true\n\
                    env:\n- {name: HF_TOKEN, value: hf_canary}\n- {name: OTHER, value: fine}\ntokenPath: /x\nref: {token: $(T)}\nskip: {token: no-secret}\n";
        let values = read_values(text, "v.yaml").unwrap();
        let problems = in_values(&values, &["skip.token".into()]);
        let lines: Vec<u32> = problems.iter().map(|problem| problem.at.line).collect();
        assert_eq!(lines, [1, 2, 6]);
        let all = problems.iter().map(ToString::to_string).collect::<String>();
        assert!(!all.contains("hunter2") && !all.contains("canary"), "{all}");
    }
}
