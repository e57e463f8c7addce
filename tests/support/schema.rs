//! A validator for the part of JSON Schema that schemars writes for reports. A keyword that it does not know is a problem:
//! it never passes what it did not understand.

use serde_json::Value;

/// What of a value does not keep to a schema.
pub fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, (value, &[]), "$", &mut found);
    found
}

/// The keys that a schema and its alternatives name.
fn keys<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let schema = match schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).expect("a definition"),
        None => schema,
    };
    let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.as_str());
    let alternatives = ["oneOf", "anyOf"].into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
    own.chain(alternatives.flat_map(|schema| keys(root, schema))).collect()
}

/// `beside` are keys that the schema around this alternative names.
fn check(root: &Value, schema: &Value, (value, beside): (&Value, &[&str]), at: &str, found: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        if *schema == Value::Bool(false) {
            found.push(format!("{at}: nothing is allowed here"));
        }
        return;
    };
    for (keyword, rule) in keywords {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => {}
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#')).expect("a local reference");
                check(root, root.pointer(pointer).expect("a definition"), (value, beside), at, found);
            }
            "type" => {
                let types: Vec<&str> = match rule {
                    Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                    other => other.as_str().into_iter().collect(),
                };
                if !types.iter().any(|kind| is(value, kind)) {
                    found.push(format!("{at}: {value} is no {}", types.join(" or ")));
                }
            }
            "const" if rule != value => found.push(format!("{at}: {value} is not {rule}")),
            "enum" if !rule.as_array().expect("a list").contains(value) => {
                found.push(format!("{at}: {value} is none of {rule}"))
            }
            "const" | "enum" => {}
            "minimum" => {
                if value.as_f64().is_some_and(|number| number < rule.as_f64().expect("a number")) {
                    found.push(format!("{at}: {value} is less than {rule}"));
                }
            }
            "maximum" => {
                if value.as_f64().is_some_and(|number| number > rule.as_f64().expect("a number")) {
                    found.push(format!("{at}: {value} is more than {rule}"));
                }
            }
            "anyOf" | "oneOf" => {
                let around: Vec<&str> = keys(root, schema).into_iter().chain(beside.iter().copied()).collect();
                let fitting = rule.as_array().expect("a list").iter().filter(|schema| {
                    let mut inner = Vec::new();
                    check(root, schema, (value, &around), at, &mut inner);
                    inner.is_empty()
                });
                if fitting.count() == 0 {
                    found.push(format!("{at}: {value} fits none of {}", rule.as_array().expect("a list").len()));
                }
            }
            "required" => {
                for key in rule.as_array().expect("a list").iter().filter_map(Value::as_str) {
                    if value.is_object() && value.get(key).is_none() {
                        found.push(format!("{at}: {key} is missing"));
                    }
                }
            }
            "properties" => {
                for (key, schema) in rule.as_object().expect("a map") {
                    if let Some(inner) = value.get(key) {
                        check(root, schema, (inner, &[]), &format!("{at}.{key}"), found);
                    }
                }
                if let (Some(object), false) = (value.as_object(), keywords.contains_key("additionalProperties")) {
                    // A report says nothing that its schema does not.
                    let known = keys(root, schema);
                    let unknown =
                        object.keys().filter(|key| !known.contains(&key.as_str()) && !beside.contains(&key.as_str()));
                    found.extend(unknown.map(|key| format!("{at}: {key} is not in the schema")));
                }
            }
            "additionalProperties" => {
                let named = keywords.get("properties");
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if named.and_then(|named| named.get(key)).is_none() {
                        check(root, rule, (inner, &[]), &format!("{at}.{key}"), found);
                    }
                }
            }
            "items" => {
                for (number, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, (inner, &[]), &format!("{at}[{number}]"), found);
                }
            }
            other => found.push(format!("{at}: this validator does not know {other}")),
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no JSON type"),
    }
}
