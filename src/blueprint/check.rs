//! Holds a positioned tree against the JSON Schema of the types, and reports everything that is wrong with it.
//!
//! It knows the part of JSON Schema that schemars writes for this project's types, and the project's own keywords
//! (`schema/mod.rs`). Not here: rules between several values (`lint`).

use serde_json::Value;

use super::format;
use super::path::{item_name, join_key};
use super::problem::{Position, Problem};
use super::yaml::{Content, Entry, Node};

/// Whether what is required may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// The tree is the whole blueprint.
    Whole,
    /// The tree is one of several files, which complete each other.
    Part,
}

/// Checks a tree; no problem means that it deserialises.
pub(super) fn check(node: &Node, schema: &Value, completeness: Completeness) -> Vec<Problem> {
    let mut checker = Checker { root: schema, completeness, problems: Vec::new() };
    checker.node(node, schema, "");
    checker.problems
}

/// Resolves `$ref`, and the `anyOf` of an option, to the schema that a value that is not null has.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    // Each round goes one reference down; the schema of the types has no cycle of references alone.
    for _ in 0..16 {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            schema = name.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).unwrap_or(&Value::Null);
            continue;
        }
        let variants = schema.get("anyOf").and_then(Value::as_array);
        let mut real =
            variants.into_iter().flatten().filter(|variant| variant.get("type") != Some(&Value::from("null")));
        match (real.next(), real.next()) {
            (Some(only), None) => schema = only,
            _ => break,
        }
    }
    schema
}

/// Whether anything may stand below.
pub(super) fn is_free(schema: &Value) -> bool {
    schema.get("x-free") == Some(&Value::Bool(true))
        || schema == &Value::Bool(true)
        || schema.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The schema of a key of a mapping.
pub(super) fn property<'a>(root: &'a Value, schema: &'a Value, key: &str) -> Option<&'a Value> {
    let schema = resolve(root, schema);
    if let Some(property) = schema.get("properties").and_then(|properties| properties.get(key)) {
        return Some(property);
    }
    schema.get("additionalProperties").filter(|additional| **additional != Value::Bool(false))
}

struct Checker<'a> {
    root: &'a Value,
    completeness: Completeness,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn error(&mut self, at: &Position, path: &str, message: &str) -> &mut Problem {
        let message = if path.is_empty() { message.to_owned() } else { format!("`{path}`: {message}") };
        self.problems.push(Problem::error(at, message));
        // Pushed on the line above.
        self.problems.last_mut().expect("a problem was just pushed")
    }

    fn node(&mut self, node: &Node, schema: &'a Value, path: &str) {
        let schema = resolve(self.root, schema);
        if is_free(schema) && schema.get("type").is_none() {
            return;
        }
        if node.content == Content::Null {
            // Nothing: in an overlay it removes, in a whole blueprint `required` has been checked by the parent.
            if !path.is_empty() && !path.ends_with(']') {
                return;
            }
        }
        if schema.get("x-secret") == Some(&Value::Bool(true)) {
            return self.secret(node, schema, path);
        }
        if let Content::String(text) = &node.content
            && let Some(instead) = schema.get("x-instead").and_then(|instead| instead.get(text)).and_then(Value::as_str)
        {
            self.error(&node.at, path, &format!("`{text}` is not a value of it")).hint = Some(instead.to_owned());
            return;
        }
        let variants = ["oneOf", "anyOf"].iter().find_map(|keyword| schema.get(keyword)?.as_array());
        if let Some(variants) = variants {
            return self.variants(node, variants, path);
        }
        if !accepts(schema, node) {
            let expected = expected(schema);
            let problem = self.error(&node.at, path, &format!("expected {expected}, found {}", node.describe()));
            if let Content::Number { text, .. } = &node.content
                && expected.contains("string")
            {
                problem.hint = Some(format!("write it in quotes: \"{text}\""));
            } else if matches!(node.content, Content::Bool(_)) && expected.contains("string") {
                problem.hint = Some("write it in quotes".into());
            } else if expected.starts_with("a list") && !matches!(node.content, Content::Null) {
                problem.hint = Some("write it as a list: [ … ]".into());
            }
            return;
        }
        match &node.content {
            Content::Mapping(entries) => self.mapping(node, entries, schema, path),
            Content::Sequence(items) => {
                if let Some(item_schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.node(item, item_schema, &format!("{path}[{}]", item_name(item, index)));
                    }
                }
                if let Some(key) = schema.get("x-merge-by").and_then(Value::as_str) {
                    self.unique(items, key, path);
                }
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                if (items.len() as u64) < least {
                    self.error(&node.at, path, "expected at least one item, found an empty list");
                }
            }
            Content::String(text) => {
                self.word(node, text, schema, path);
                self.format(node, text, schema, path);
            }
            Content::Number { number, text } => {
                self.range(node, number, schema, path);
                self.format(node, text, schema, path);
            }
            Content::Bool(_) | Content::Null => {}
        }
    }

    /// Two items of one name.
    fn unique(&mut self, items: &[Node], key: &str, path: &str) {
        for (index, item) in items.iter().enumerate() {
            let Some(name) = item.get(key) else { continue };
            let first = items[..index]
                .iter()
                .filter_map(|item| item.get(key))
                .find(|first| name.as_str().is_some() && first.as_str() == name.as_str());
            if let Some(first) = first {
                let text = name.as_str().unwrap_or_default();
                let message = format!("`{}` is there twice", shorten(text));
                self.error(&name.at, path, &message).hint =
                    Some(format!("the first is at {}; rename or remove one", first.at));
            }
        }
    }

    fn mapping(&mut self, node: &Node, entries: &[Entry], schema: &'a Value, path: &str) {
        if is_free(schema) {
            return;
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let closed = schema.get("additionalProperties").is_none_or(|additional| additional == &Value::Bool(false));
        for entry in entries {
            // The mark of an overlay that removes an item of a list; gone from a merged tree.
            if entry.key == super::overlay::PATCH && self.completeness == Completeness::Part {
                continue;
            }
            match property(self.root, schema, &entry.key) {
                Some(property) => self.node(&entry.value, property, &join_key(path, &entry.key)),
                None if closed => self.unknown_key(entry, schema, path),
                None => {}
            }
            let names = schema.get("propertyNames").and_then(|names| names.get("format")).and_then(Value::as_str);
            if let Some(format) = names.and_then(format::find)
                && properties.is_none_or(|known| !known.contains_key(&entry.key))
                && !(format.accepts)(&entry.key)
            {
                self.error(&entry.at, path, &format!("the key `{}` is not {}", entry.key, format.expected));
            }
        }
        if self.completeness == Completeness::Whole {
            let required =
                schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            for key in required {
                if node.get(key).is_none_or(|value| value.content == Content::Null) {
                    self.missing(node, key, schema, path);
                }
            }
            let least = schema.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
            if (entries.len() as u64) < least {
                self.error(&node.at, path, "expected at least one key, found an empty mapping");
            }
        }
    }

    fn missing(&mut self, node: &Node, key: &str, schema: &'a Value, path: &str) {
        let property = property(self.root, schema, key).map(|property| resolve(self.root, property));
        let at = node.entry(key).map_or(&node.at, |entry| &entry.at).clone();
        let words = property.map(allowed_words).unwrap_or_default();
        let problem = self.error(&at, path, &format!("`{key}` is missing"));
        if !words.is_empty() {
            problem.hint = Some(format!("write `{key}: {}`", words.join("`, or `")));
        }
    }

    fn unknown_key(&mut self, entry: &Entry, schema: &'a Value, path: &str) {
        let valid: Vec<&str> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|map| map.keys().map(String::as_str))
            .collect();
        let instead = schema.get("x-instead").and_then(|instead| instead.get(&entry.key)).and_then(Value::as_str);
        let hint = match (instead, nearest(&entry.key, &valid)) {
            (Some(instead), _) => instead.to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("valid keys: {}", valid.join(", ")),
        };
        self.error(&entry.at, path, &format!("unknown key `{}`", entry.key)).hint = Some(hint);
    }

    /// A word out of a closed set.
    fn word(&mut self, node: &Node, text: &str, schema: &Value, path: &str) {
        let words = allowed_words(schema);
        if words.is_empty() || words.iter().any(|word| word == text) {
            return;
        }
        let hint = match nearest(text, &words.iter().map(String::as_str).collect::<Vec<_>>()) {
            Some(near) => format!("did you mean `{near}`? one of: {}", words.join(", ")),
            None => format!("one of: {}", words.join(", ")),
        };
        self.error(&node.at, path, &format!("`{}` is not a value of it", shorten(text))).hint = Some(hint);
    }

    fn format(&mut self, node: &Node, text: &str, schema: &Value, path: &str) {
        let format = schema.get("format").and_then(Value::as_str).and_then(format::find);
        if let Some(format) = format
            && !(format.accepts)(text)
        {
            self.error(&node.at, path, &format!("`{}` is not {}", shorten(text), format.expected));
        }
    }

    fn range(&mut self, node: &Node, number: &serde_json::Number, schema: &Value, path: &str) {
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        let value = number.as_f64().unwrap_or(f64::NAN);
        let (low, high) = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => (0.0, f64::from(u32::MAX)),
            Some("uint16") => (0.0, f64::from(u16::MAX)),
            Some("int32") => (f64::from(i32::MIN), f64::from(i32::MAX)),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        let low = bound("minimum").unwrap_or(low);
        let high = bound("maximum").unwrap_or(high);
        if value < low {
            self.error(&node.at, path, &format!("{number} is less than {low}, the least"));
        } else if value > high {
            self.error(&node.at, path, &format!("{number} is more than {high}, the most"));
        }
    }

    fn variants(&mut self, node: &Node, variants: &'a [Value], path: &str) {
        let variants: Vec<&'a Value> = variants.iter().map(|variant| resolve(self.root, variant)).collect();
        let words: Vec<String> = variants.iter().flat_map(|variant| allowed_words(variant)).collect();
        let all_words = variants.iter().all(|variant| !allowed_words(variant).is_empty());
        let fitting: Vec<&&'a Value> = variants.iter().filter(|variant| accepts(variant, node)).collect();
        match (&node.content, fitting.as_slice()) {
            // One variant for each word, as schemars writes an enum whose values are documented.
            (Content::String(text), _) if all_words => self.word(node, text, &serde_json::json!({"enum": words}), path),
            (_, [only]) => self.node(node, only, path),
            (Content::Mapping(entries), several) if let Some(key) = tag(several) => {
                self.tagged(node, entries, &Tagged { key, variants: several }, path);
            }
            _ => {
                let mut kinds: Vec<String> = variants.iter().map(|variant| expected(variant)).collect();
                kinds.dedup();
                self.error(&node.at, path, &format!("expected {}, found {}", kinds.join(" or "), node.describe()));
            }
        }
    }

    /// A mapping that says by one of its keys which variant it is.
    fn tagged(&mut self, node: &Node, entries: &[Entry], tagged: &Tagged<'a, '_>, path: &str) {
        let Tagged { key, variants } = *tagged;
        let words: Vec<String> =
            variants.iter().filter_map(|variant| tag_word(variant, key)).map(str::to_owned).collect();
        let said = node.get(key).filter(|value| value.content != Content::Null);
        let Some(said) = said else {
            if self.completeness == Completeness::Whole {
                let problem = self.error(&node.at, path, &format!("`{key}` is missing"));
                problem.hint = Some(format!("write `{key}: {}`", words.join("`, or `")));
                return;
            }
            // Part of one whose tag stands in another file: of a variant that has all of its keys.
            let has_all = |variant: &Value| entries.iter().all(|entry| variant["properties"].get(&entry.key).is_some());
            if let Some(variant) = variants.iter().find(|variant| has_all(variant)).or(variants.last()) {
                self.node(node, variant, path);
            }
            return;
        };
        match variants.iter().find(|variant| tag_word(variant, key) == said.as_str()) {
            Some(variant) if said.as_str().is_some() => self.node(node, variant, path),
            _ => self.node_of_words(said, &words, &join_key(path, key)),
        }
    }

    /// A value that must be one of some words.
    fn node_of_words(&mut self, node: &Node, words: &[String], path: &str) {
        match node.as_str() {
            Some(text) => self.word(node, text, &serde_json::json!({"enum": words}), path),
            None => {
                let message = format!("expected one of {}, found {}", words.join(", "), node.describe());
                self.error(&node.at, path, &message);
            }
        }
    }

    /// A reference to a secret: nothing that stands here is ever repeated.
    fn secret(&mut self, node: &Node, schema: &'a Value, path: &str) {
        const HINT: &str = "write a reference: {env: NAME}, {file: PATH}, {secret: namespace/name/key} or {command: [PROGRAM, ARGUMENT]}";
        let Content::Mapping(entries) = &node.content else {
            let message = if node.content == Content::Null {
                "a reference to a secret is missing"
            } else {
                "a secret's value may not be written in a blueprint"
            };
            self.error(&node.at, path, message).hint = Some(HINT.into());
            return;
        };
        let variants: Vec<&'a Value> = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten().collect();
        let [entry] = entries.as_slice() else {
            self.error(&node.at, path, "a reference to a secret has exactly one key").hint = Some(HINT.into());
            return;
        };
        let Some(property) = variants.iter().find_map(|variant| variant.get("properties")?.get(&entry.key)) else {
            let names: Vec<&str> = variants
                .iter()
                .filter_map(|v| v.get("properties")?.as_object()?.keys().next())
                .map(String::as_str)
                .collect();
            let hint =
                nearest(&entry.key, &names).map_or_else(|| HINT.to_owned(), |near| format!("did you mean `{near}`?"));
            self.error(&entry.at, path, &format!("unknown kind of reference `{}`", entry.key)).hint = Some(hint);
            return;
        };
        let below = join_key(path, &entry.key);
        let before = self.problems.len();
        self.node(&entry.value, property, &below);
        if self.problems.len() > before {
            return;
        }
        let text = entry.value.as_str().unwrap_or_default();
        let (good, message) = match entry.key.as_str() {
            "env" => (format::is_variable(text), "this is not the name of an environment variable"),
            "secret" => (
                text.split('/').count() == 3 && text.split('/').all(|part| !part.is_empty()),
                "expected namespace/name/key",
            ),
            "configMap" => (
                text.split('/').count() == 2 && text.split('/').all(|part| !part.is_empty()),
                "expected name/key: a ConfigMap that is in each of the namespaces",
            ),
            "command" => (!entry.value.items().is_empty(), "expected a program and its arguments, found an empty list"),
            _ => (!text.is_empty(), "expected a path, found an empty string"),
        };
        if !good {
            self.error(&entry.value.at, &below, message).hint = Some(HINT.into());
        }
    }
}

/// Variants of mappings and the key that tells them apart.
#[derive(Clone, Copy)]
struct Tagged<'a, 'b> {
    key: &'a str,
    variants: &'b [&'b &'a Value],
}

/// The key that has a word of its own in each variant, as schemars writes an enum with a tag.
fn tag<'a>(variants: &[&&'a Value]) -> Option<&'a str> {
    let (first, others) = variants.split_first()?;
    let keys = first.get("properties")?.as_object()?.keys();
    keys.map(String::as_str)
        .find(|key| tag_word(first, key).is_some() && others.iter().all(|variant| tag_word(variant, key).is_some()))
}

fn tag_word<'a>(variant: &'a Value, key: &str) -> Option<&'a str> {
    variant.get("properties")?.get(key)?.get("const")?.as_str()
}

/// The words of a closed set, where the schema is one.
fn allowed_words(schema: &Value) -> Vec<String> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let single = schema.get("const").into_iter();
    let variants = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let mut words: Vec<String> = listed.chain(single).filter_map(Value::as_str).map(str::to_owned).collect();
    words.extend(variants.filter_map(|variant| variant.get("const")?.as_str()).map(str::to_owned));
    words.extend(
        schema
            .get("oneOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|v| v.get("enum")?.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    words
}

/// The types that a schema allows, in JSON Schema's words.
fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if !allowed_words(schema).is_empty() => vec!["string"],
        _ => Vec::new(),
    }
}

fn accepts(schema: &Value, node: &Node) -> bool {
    if schema.get("x-secret") == Some(&Value::Bool(true)) {
        return matches!(node.content, Content::Mapping(_));
    }
    let types = types(schema);
    if types.is_empty() {
        return true;
    }
    types.iter().any(|name| match &node.content {
        Content::Null => *name == "null",
        Content::Bool(_) => *name == "boolean",
        Content::Number { number, .. } => *name == "number" || (*name == "integer" && !number.is_f64()),
        Content::String(_) => *name == "string",
        Content::Sequence(_) => *name == "array",
        Content::Mapping(_) => *name == "object",
    })
}

fn expected(schema: &Value) -> String {
    if schema.get("x-secret") == Some(&Value::Bool(true)) {
        return "a reference such as {env: NAME}".into();
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str).and_then(format::find) {
        let types = types(schema);
        let quoted = if types.contains(&"string") && !types.contains(&"number") { "a string: " } else { "" };
        return format!("{quoted}{}", format.expected);
    }
    let words = allowed_words(schema);
    if !words.is_empty() {
        return format!("one of {}", words.join(", "));
    }
    let names: Vec<&str> = types(schema)
        .into_iter()
        .filter_map(|name| match name {
            "boolean" => Some("true or false"),
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "string" => Some("a string"),
            "array" => Some("a list"),
            "object" => Some("a mapping"),
            _ => None,
        })
        .collect();
    if names.is_empty() { "something else".into() } else { names.join(" or ") }
}

/// The candidate that was probably meant: at most a third of the letters differ.
pub(super) fn nearest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let lower = text.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(text.chars().count()).div_ceil(3))
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
