//! Policy documents and the names of policies. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// AWS' own policies that are under `service-role/` and that add-ons and nodes are given (IAM, "AWS managed policies").
const SERVICE_ROLES: [&str; 5] = [
    "AmazonEBSCSIDriverPolicy",
    "AmazonEBSCSIDriverPolicyV2",
    "AmazonEFSCSIDriverPolicy",
    "AmazonEC2RoleforSSM",
    "AmazonEKSServiceRolePolicy",
];

/// The ARN of a managed policy: an ARN as it is, one of AWS' own by its name, with its path (`service-role/…`) where it has one.
pub fn policy_arn(partition: &str, name: &str) -> String {
    if name.starts_with("arn:") {
        return name.to_owned();
    }
    let path = if SERVICE_ROLES.contains(&name) { "service-role/" } else { "" };
    format!("arn:{partition}:iam::aws:policy/{path}{name}")
}

/// A policy document in the one form that all documents of the same meaning have: one statement is a list of one, one action, resource,
/// principal or condition value too, lists are sorted, and values of conditions are text. What is wanted and what is found are compared in it.
pub fn canonical(document: &Value) -> Value {
    let Value::Object(document) = document else { return document.clone() };
    let statements = document.get("Statement").map(listed).unwrap_or_default();
    let mut whole = document.clone();
    whole.insert("Statement".into(), statements.iter().map(statement).collect());
    Value::Object(whole)
}

fn statement(statement: &Value) -> Value {
    let Value::Object(fields) = statement else { return statement.clone() };
    let one = |(key, value): (&String, &Value)| {
        let value = match key.as_str() {
            "Action" | "NotAction" | "Resource" | "NotResource" => sorted(value),
            // "*" alone is everybody, which no list of AWS accounts is.
            "Principal" | "NotPrincipal" => each(value, sorted),
            "Condition" => each(value, |operator| each(operator, sorted)),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    Value::Object(fields.iter().map(one).collect())
}

fn each(value: &Value, change: impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), change(value))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn listed(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    }
}

fn sorted(value: &Value) -> Value {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let all: BTreeMap<String, ()> = listed(value).into_iter().map(|value| (text(value), ())).collect();
    all.into_keys().map(Value::String).collect()
}

/// A document as IAM answers it, percent-encoded (RFC 3986; IAM's API reference, `GetRolePolicy`). What is no JSON is told as text.
pub(super) fn decoded(answer: &str) -> Value {
    let text = percent_decoded(answer);
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_one_meaning_are_one() {
        let short = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": true}}}});
        let long = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"],
            "Condition": {"Bool": {"aws:SecureTransport": ["true"]}}}]});
        assert_eq!(canonical(&short), canonical(&long));
        let other = json!({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}});
        assert_ne!(canonical(&short), canonical(&other));
        assert_eq!(canonical(&canonical(&short)), canonical(&short));
    }

    #[test]
    fn the_order_of_actions_means_nothing() {
        let one = json!({"Statement": [{"Action": ["b:B", "a:A"], "Principal": {"Service": ["y", "x"]}}]});
        let two = json!({"Statement": [{"Action": ["a:A", "b:B"], "Principal": {"Service": ["x", "y"]}}]});
        assert_eq!(canonical(&one), canonical(&two));
    }

    #[test]
    fn policies_are_known_by_name_path_or_arn() {
        assert_eq!(policy_arn("aws", "AmazonEKSClusterPolicy"), "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy");
        let driver = "arn:aws-cn:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy";
        assert_eq!(policy_arn("aws-cn", "AmazonEBSCSIDriverPolicy"), driver);
        assert_eq!(policy_arn("aws-cn", "service-role/AmazonEBSCSIDriverPolicy"), driver);
        let own = "arn:aws:iam::123456789012:policy/mine";
        assert_eq!(policy_arn("aws", own), own);
    }

    #[test]
    fn answers_of_iam_are_decoded() {
        assert_eq!(
            decoded("%7B%22Version%22%3A%222012-10-17%22%2C%22a%22%3A%22x%2By+z%C3%A9%22%7D"),
            json!({"Version": "2012-10-17", "a": "x+y+z\u{e9}"})
        );
        assert_eq!(decoded(r#"{"a": "100%"}"#), json!({"a": "100%"}));
        assert_eq!(decoded("no%20json"), json!("no json"));
    }
}
