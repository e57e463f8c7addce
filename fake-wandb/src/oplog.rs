//! Every request that came, without secrets.

use serde::Serialize;
use serde_json::Value;

/// In place of a secret.
const HIDDEN: &str = "***";

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// When it came, in milliseconds since the server's start.
    pub at_ms: u64,
    /// The operation's name in its document, else its first root field; for another request its method and path.
    pub name: String,
    /// The root fields of a GraphQL operation.
    pub fields: Vec<String>,
    /// Its variables.
    pub variables: Value,
    /// The HTTP status that it was answered with.
    pub status: u16,
    /// What was refused.
    pub errors: Vec<String>,
    /// Who asked: the header `User-Agent`.
    pub agent: String,
}

/// The value without secrets: without the key itself, and without text under a name that says secret.
pub(crate) fn without_secrets(value: &Value, key: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(key, HIDDEN)),
        Value::Array(items) => items.iter().map(|item| without_secrets(item, key)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let value = if value.is_string() && says_secret(name) {
                    Value::String(HIDDEN.into())
                } else {
                    without_secrets(value, key)
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn says_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["secret", "password", "token", "apikey", "api_key"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn neither_the_key_nor_what_is_called_secret_is_kept() {
        let value = json!({"runSpec": "{\"k\": \"KEY\"}", "api_key": "x", "list": [{"hfToken": "y"}], "tokens": 3});
        let expected =
            json!({"runSpec": "{\"k\": \"***\"}", "api_key": "***", "list": [{"hfToken": "***"}], "tokens": 3});
        assert_eq!(without_secrets(&value, "KEY"), expected);
    }
}
