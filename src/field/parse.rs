//! Reads a path: as this tool writes it, or a JSON pointer.

use std::{borrow::Cow, collections::BTreeMap, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Element, FieldPath, Literal};

/// A text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no path of a field: {why}")]
pub struct PathError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let wrong = |why| PathError { text: text.to_owned(), why };
        if let Some(pointer) = text.strip_prefix('/') {
            if pointer.is_empty() {
                return Err(wrong("it names nothing"));
            }
            let fields = pointer.split('/').map(|part| Element::Field(part.replace("~1", "/").replace("~0", "~")));
            return Ok(Self(fields.collect()));
        }
        let mut elements = Vec::new();
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        let mut word = true;
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (element, after) = bracket(inside).map_err(wrong)?;
                elements.push(element);
                rest = after;
            } else if word {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                if name.is_empty() || name.contains(['/', ']', '"', '=', ' ']) {
                    return Err(wrong("a name with other characters than letters, digits, - and _ stands in brackets"));
                }
                elements.push(Element::Field(name.to_owned()));
                rest = after;
            } else {
                return Err(wrong("after a bracket comes a dot, another bracket or the end"));
            }
            word = match rest.strip_prefix('.') {
                Some("") => return Err(wrong("it ends with a dot")),
                Some(after) => {
                    rest = after;
                    true
                }
                None => false,
            };
        }
        if elements.is_empty() { Err(wrong("it is empty")) } else { Ok(Self(elements)) }
    }
}

/// Reads what stands between brackets, and the closing one.
pub(super) fn bracket(inside: &str) -> Result<(Element, &str), &'static str> {
    const OPEN: &str = "a bracket is not closed";
    if inside.starts_with('"') {
        let (name, rest) = quoted(inside)?;
        return Ok((Element::Field(name), rest.strip_prefix(']').ok_or(OPEN)?));
    }
    if let Some(value) = inside.strip_prefix('=') {
        let (value, rest) = literal(value)?;
        return Ok((Element::Member(value), rest.strip_prefix(']').ok_or(OPEN)?));
    }
    let end = inside.find([']', '=', ',']).ok_or(OPEN)?;
    if inside[end..].starts_with(']') {
        let name = &inside[..end];
        let element = match name.parse() {
            _ if name.is_empty() => return Err("brackets with nothing in them"),
            Ok(index) => Element::Index(index),
            Err(_) => Element::Field(name.to_owned()),
        };
        return Ok((element, &inside[end + 1..]));
    }
    let mut keys = BTreeMap::new();
    let mut rest = inside;
    loop {
        let (key, value) = rest.split_once('=').ok_or("an item is named by keys, as in [name=main]")?;
        let (value, after) = literal(value)?;
        keys.insert(key.to_owned(), value);
        if let Some(after) = after.strip_prefix(']') {
            return Ok((Element::Item(keys), after));
        }
        rest = after.strip_prefix(',').ok_or(OPEN)?;
    }
}

fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match stream.next() {
        Some(Ok(name)) => Ok((name, &text[stream.byte_offset()..])),
        Some(Err(_)) | None => Err("a text in quotes is not ended"),
    }
}

fn literal(text: &str) -> Result<(Literal, &str), &'static str> {
    if text.starts_with('"') {
        let (value, rest) = quoted(text)?;
        return Ok((Literal::of(&value.into()), rest));
    }
    let end = text.find([',', ']']).ok_or("a bracket is not closed")?;
    Ok((Literal::from_plain(&text[..end]), &text[end..]))
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for FieldPath {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FieldPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "field-path" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_no_path_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("/", "nothing"),
            ("spec.", "ends with a dot"),
            ("spec[", "not closed"),
            ("spec[]", "nothing in them"),
            ("spec[a]b", "after a bracket"),
            ("spec..a", "brackets"),
            ("metadata.labels.a/b", "brackets"),
            ("spec[name=\"x]", "not ended"),
            ("spec[name=x,port]", "keys"),
        ] {
            let error = text.parse::<FieldPath>().expect_err(text);
            assert!(error.why.contains(why), "{text}: {error}");
        }
    }

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            "[a-z0-9./=\\]\\[\", ]{0,6}".prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(json!(true))
        ]
    }

    fn element() -> impl Strategy<Value = Element> {
        prop_oneof![
            "[a-zA-Z0-9./=\\]\\[\",_ -]{0,8}".prop_map(Element::Field),
            prop::collection::btree_map("[a-zA-Z]{1,6}", scalar().prop_map(|value| Literal::of(&value)), 1..3)
                .prop_map(Element::Item),
            scalar().prop_map(|value| Element::Member(Literal::of(&value))),
            (0_usize..20).prop_map(Element::Index),
        ]
    }

    proptest! {
        #[test]
        fn every_path_reads_back_as_it_was_written(elements in prop::collection::vec(element(), 1..5)) {
            let path = FieldPath(elements);
            prop_assert_eq!(path.to_string().parse::<FieldPath>(), Ok(path.clone()), "{}", path);
        }
    }
}
