//! A queue's configuration with the values of an item: `{{name}}`.

use serde_json::{Map, Value};

use crate::world::Refusal;

/// The values to fill in: what was given, else each schema's default.
///
/// # Errors
/// A value is missing, unknown, or not what its schema allows.
pub fn values(schemas: &[(String, Value)], given: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    if let Some(name) = given.keys().find(|name| !schemas.iter().any(|(known, _)| known == *name)) {
        return Err(Refusal::new(format!("template variable {name} is not one of the queue's")));
    }
    let mut values = Map::new();
    for (name, schema) in schemas {
        let value = given.get(name).or_else(|| schema.get("default"));
        let value =
            value.ok_or_else(|| Refusal::new(format!("template variable {name} has no value and no default")))?;
        check(name, schema, value)?;
        values.insert(name.clone(), value.clone());
    }
    Ok(values)
}

fn check(name: &str, schema: &Value, value: &Value) -> Result<(), Refusal> {
    let wrong = |why: &str| Err(Refusal::new(format!("template variable {name} is {value}: {why}")));
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default(); // Without a type, any.
    let fits = match kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "" => true,
        _ => return Err(Refusal::new(format!("template variable {name} has the type {kind}, which there is not"))),
    };
    if !fits {
        return wrong(&format!("it must be of type {kind}"));
    }
    let bound = |which: &str| schema.get(which).and_then(Value::as_f64);
    if let (Some(number), Some(least)) = (value.as_f64(), bound("minimum"))
        && number < least
    {
        return wrong(&format!("the least is {least}"));
    }
    if let (Some(number), Some(most)) = (value.as_f64(), bound("maximum"))
        && number > most
    {
        return wrong(&format!("the most is {most}"));
    }
    match schema.get("enum").and_then(Value::as_array) {
        Some(allowed) if !allowed.contains(value) => wrong("it is not one of those allowed"),
        Some(_) | None => Ok(()),
    }
}

/// The configuration with the values in it. Text that is one variable and nothing else becomes the value with its type; a variable
/// that is not known stays as it is.
pub fn fill(config: &Value, values: &Map<String, Value>) -> Value {
    match config {
        Value::String(text) => fill_text(text, values),
        Value::Array(items) => items.iter().map(|item| fill(item, values)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), fill(value, values))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => config.clone(),
    }
}

fn fill_text(text: &str, values: &Map<String, Value>) -> Value {
    let whole = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
    if let Some(value) = whole.and_then(|name| values.get(name)) {
        return value.clone();
    }
    let mut filled = text.to_owned();
    for (name, value) in values {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        filled = filled.replace(&format!("{{{{{name}}}}}"), &shown).replace(&format!("{{{{ {name} }}}}"), &shown);
    }
    Value::String(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schemas() -> Vec<(String, Value)> {
        vec![("gpus".into(), json!({"type": "integer", "minimum": 1, "maximum": 4, "default": 1}))]
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_variable_keeps_its_type_alone_and_is_text_within_text() {
        let values = values(&schemas(), &object(json!({"gpus": 2}))).unwrap();
        let config = json!({"limits": {"nvidia.com/gpu": "{{gpus}}"}, "name": "with-{{gpus}}-{{other}}"});
        let expected = json!({"limits": {"nvidia.com/gpu": 2}, "name": "with-2-{{other}}"});
        assert_eq!(fill(&config, &values), expected);
    }

    #[test]
    fn a_value_outside_its_schema_is_refused_and_a_missing_one_is_the_default() {
        assert_eq!(values(&schemas(), &Map::new()).unwrap(), object(json!({"gpus": 1})));
        for wrong in [json!({"gpus": 5}), json!({"gpus": 0}), json!({"gpus": "2"}), json!({"more": 1})] {
            assert!(values(&schemas(), &object(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
