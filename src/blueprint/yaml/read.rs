//! Text to positioned trees: events in, documents out, within limits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::scalar::{self, Scalar};
use super::tree::{Content, Entry, Node};
use crate::blueprint::problem::{Position, Problem};

/// How plain scalars are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// YAML 1.2 core; what YAML 1.1 reads differently is refused.
    Strict,
    /// YAML 1.1 as kubectl and Helm read it.
    GoYaml,
}

/// Largest input. The largest chart output in wide use (kube-prometheus-stack with its CRDs) is 5 MiB; six times that.
const MAX_BYTES: usize = 32 << 20;
/// Deepest nesting. CRD schemas reach 30 levels (Prometheus, 28); four times that still recurses safely on a 2 MiB stack.
const MAX_DEPTH: usize = 128;
/// Most values, with aliases expanded: a 5 MiB manifest has 200,000; a billion laughs has more.
const MAX_VALUES: usize = 2_000_000;

/// Reads every document. Problems that leave a tree (a duplicate key, an ambiguous scalar) are returned beside it, so that
/// what is wrong further on is found in the same run; after malformed YAML the documents before it are returned.
pub(crate) fn read(text: &str, file: &str, dialect: Dialect) -> (Vec<Node>, Vec<Problem>) {
    let mut reader = Reader {
        file: file.into(),
        dialect,
        stack: Vec::new(),
        anchors: HashMap::new(),
        budget: MAX_VALUES,
        documents: Vec::new(),
        problems: Vec::new(),
    };
    if text.len() > MAX_BYTES {
        let at = Position::start_of(file);
        return (Vec::new(), vec![Problem::error(&at, format!("the file is larger than {} MiB", MAX_BYTES >> 20))]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let stop = match event {
            Ok((event, span)) => reader.event(event, &span.start),
            Err(error) => {
                let at = reader.position(error.marker());
                Err(Box::new(Problem::error(&at, format!("malformed YAML: {}", error.info()))))
            }
        };
        if let Err(problem) = stop {
            reader.problems.push(*problem);
            break;
        }
    }
    (reader.documents, reader.problems)
}

struct Reader {
    file: Arc<str>,
    dialect: Dialect,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    budget: usize,
    documents: Vec<Node>,
    problems: Vec<Problem>,
}

struct Frame {
    at: Position,
    anchor: usize,
    open: Open,
}

enum Open {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, keys: HashSet<String>, key: Option<(Key, Position)>, merge: Option<(usize, Node)> },
}

enum Key {
    Merge,
    Text(String),
    /// Refused; its value is read and dropped.
    Bad,
}

/// What ends the reading of a file.
type Fatal = Box<Problem>;

impl Reader {
    fn position(&self, marker: &Marker) -> Position {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Position { file: self.file.clone(), line: number(marker.line()).max(1), column: number(marker.col()) + 1 }
    }

    fn event(&mut self, event: Event<'_>, marker: &Marker) -> Result<(), Fatal> {
        let at = self.position(marker);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return Err(Box::new(Problem::error(&at, "this alias refers to itself or to nothing")));
                };
                let (weight, depth) = (node.weight(), node.depth());
                let node = node.clone();
                self.spend(weight, &at)?;
                if self.stack.len() + depth > MAX_DEPTH {
                    return Err(too_deep(&at));
                }
                self.complete(node, None, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1, &at)?;
                let plain = style == ScalarStyle::Plain;
                let (node, key) = self.scalar(text.into_owned(), plain, tag.as_deref(), at);
                self.complete(node, Some(key), anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(at, anchor, Open::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(
                at,
                anchor,
                Open::Mapping { entries: Vec::new(), keys: HashSet::new(), key: None, merge: None },
            ),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.stack.pop() else { return Ok(()) };
                let content = match frame.open {
                    Open::Sequence(items) => Content::Sequence(items),
                    Open::Mapping { entries, merge, .. } => Content::Mapping(self.merged(entries, merge)),
                };
                self.complete(Node { at: frame.at, content }, None, frame.anchor)
            }
        }
    }

    fn spend(&mut self, values: usize, at: &Position) -> Result<(), Fatal> {
        match self.budget.checked_sub(values) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Box::new(Problem::error(
                at,
                format!("the file has more than {MAX_VALUES} values, aliases expanded"),
            ))),
        }
    }

    fn open(&mut self, at: Position, anchor: usize, open: Open) -> Result<(), Fatal> {
        self.spend(1, &at)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(&at));
        }
        self.stack.push(Frame { at, anchor, open });
        Ok(())
    }

    /// Puts a finished value where it belongs. `key` is what it would be as a key; `None` for what cannot be one.
    fn complete(&mut self, node: Node, key: Option<Key>, anchor: usize) -> Result<(), Fatal> {
        if anchor != 0 {
            self.spend(node.weight(), &node.at.clone())?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        let (entries, keys, pending, merge) = match &mut frame.open {
            Open::Sequence(items) => {
                items.push(node);
                return Ok(());
            }
            Open::Mapping { entries, keys, key, merge } => (entries, keys, key, merge),
        };
        match pending.take() {
            None => {
                let key = key.or_else(|| node.as_str().map(|text| Key::Text(text.to_owned()))).unwrap_or_else(|| {
                    self.problems
                        .push(Problem::error(&node.at, format!("a key must be a string, not {}", node.describe())));
                    Key::Bad
                });
                *pending = Some((key, node.at));
            }
            Some((Key::Bad, _)) => {}
            Some((Key::Merge, at)) => {
                if merge.is_some() {
                    self.problems.push(
                        Problem::error(&at, "the merge key `<<` is there twice").hint("write one `<<` with a list"),
                    );
                } else {
                    *merge = Some((entries.len(), node));
                }
            }
            Some((Key::Text(key), at)) => {
                // Looked up in a set: a mapping may have as many keys as the file has bytes.
                if keys.insert(key.clone()) {
                    entries.push(Entry { key, at, value: node });
                } else {
                    let first = entries.iter().find(|entry| entry.key == key).map_or(&at, |entry| &entry.at);
                    self.problems.push(
                        Problem::error(&at, format!("duplicate key `{key}`"))
                            .hint(format!("it is set at {first} already; keep one")),
                    );
                }
            }
        }
        Ok(())
    }

    /// Applies `<<`. A key of the mapping wins over a merged one, an earlier merged mapping over a later one. go-yaml lets
    /// a merge that comes after a key win over it, which the specification does not; that case is refused.
    fn merged(&mut self, entries: Vec<Entry>, merge: Option<(usize, Node)>) -> Vec<Entry> {
        let Some((before, merge)) = merge else { return entries };
        let sources = match &merge.content {
            Content::Mapping(_) => std::slice::from_ref(&merge),
            Content::Sequence(items) if items.iter().all(|item| matches!(item.content, Content::Mapping(_))) => items,
            _ => {
                let problem = Problem::error(
                    &merge.at,
                    format!("`<<` takes a mapping or a list of mappings, not {}", merge.describe()),
                );
                self.problems.push(problem);
                return entries;
            }
        };
        let own: HashMap<&str, usize> =
            entries.iter().enumerate().map(|(index, entry)| (entry.key.as_str(), index)).collect();
        let mut seen = HashSet::new();
        let mut merged: Vec<Entry> = Vec::new();
        for entry in sources.iter().flat_map(Node::entries) {
            if !seen.insert(entry.key.as_str()) {
                continue;
            }
            match own.get(entry.key.as_str()).copied() {
                Some(index) if index < before && entries[index].value.to_json() != entry.value.to_json() => {
                    let at = &entries[index].at;
                    let message =
                        format!("`{}` is also set by the `<<` after it, and readers differ on which wins", entry.key);
                    self.problems.push(Problem::error(at, message).hint("write `<<` first"));
                }
                Some(_) => {}
                None => merged.push(entry.clone()),
            }
        }
        merged.extend(entries);
        merged
    }

    fn scalar(&mut self, text: String, plain: bool, tag: Option<&Tag>, at: Position) -> (Node, Key) {
        let core_tag = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
        let resolve = |text: &str| match self.dialect {
            Dialect::Strict => scalar::core(text),
            Dialect::GoYaml => scalar::go_yaml(text),
        };
        let scalar = match (core_tag, tag) {
            (Some("int" | "float" | "bool" | "null"), _) => resolve(&text),
            (None, None) if plain => {
                if self.dialect == Dialect::Strict && scalar::is_ambiguous(&text) {
                    self.problems.push(ambiguous(&text, &at));
                    Scalar::String
                } else {
                    resolve(&text)
                }
            }
            (Some("str" | "timestamp"), _) | (None, None) => Scalar::String,
            (Some("binary"), _) if self.dialect == Dialect::GoYaml => return self.binary(&text, at),
            // go-yaml reads a scalar with any other tag as a string.
            (_, Some(tag)) if self.dialect == Dialect::Strict && !(tag.handle.is_empty() || tag.suffix.is_empty()) => {
                self.problems
                    .push(Problem::error(&at, format!("the tag `{tag}` means nothing here")).hint("remove it"));
                Scalar::String
            }
            (_, _) => Scalar::String,
        };
        let is_merge = plain && tag.is_none() && text == "<<";
        let (content, key) = match scalar {
            Scalar::Null => (Content::Null, None),
            Scalar::Bool(value) => (Content::Bool(value), Some(value.to_string())),
            Scalar::Number(number) => {
                // A blueprint's key is what is written; go-yaml turns 0x10 into the key "16".
                let key = if self.dialect == Dialect::Strict { text.clone() } else { number.to_string() };
                (Content::Number { number, text }, Some(key))
            }
            Scalar::NotJson => {
                self.problems.push(
                    Problem::error(&at, "infinity and not-a-number cannot be written as JSON")
                        .hint("quote it if it is text"),
                );
                (Content::Null, Some(text))
            }
            Scalar::String => (Content::String(text.clone()), Some(text)),
        };
        let key = match key {
            _ if is_merge => Key::Merge,
            Some(key) => Key::Text(key),
            None => self.null_key(&at),
        };
        (Node { at, content }, key)
    }

    /// A null may be a value; as a key it is refused when it turns out to be one.
    fn null_key(&mut self, at: &Position) -> Key {
        if let Some(Frame { open: Open::Mapping { key: None, .. }, .. }) = self.stack.last() {
            self.problems.push(Problem::error(at, "a key must be a string, not nothing"));
        }
        Key::Bad
    }

    fn binary(&mut self, text: &str, at: Position) -> (Node, Key) {
        use base64::Engine as _;
        let compact: String = text.split_whitespace().collect();
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(compact)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let text = decoded.unwrap_or_else(|| {
            self.problems.push(Problem::error(&at, "this !!binary value is not base64 of UTF-8 text"));
            String::new()
        });
        (Node { at, content: Content::String(text.clone()) }, Key::Text(text))
    }
}

fn too_deep(at: &Position) -> Fatal {
    Box::new(Problem::error(at, format!("nested deeper than {MAX_DEPTH} levels")))
}

fn ambiguous(text: &str, at: &Position) -> Problem {
    // A word is shown; a number might be somebody's literal secret, which no message repeats.
    let shown =
        if text.bytes().all(|byte| byte.is_ascii_alphabetic()) { format!("`{text}`") } else { "this number".into() };
    Problem::error(at, format!("{shown} is one thing in YAML 1.1 and another in YAML 1.2"))
        .hint("put it in quotes if it is text; else write true, false or a decimal number")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn strict(text: &str) -> (serde_json::Value, Vec<String>) {
        let (documents, problems) = read(text, "f", Dialect::Strict);
        let value = documents.first().map_or(json!(null), Node::to_json);
        (value, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_value_knows_its_line_and_column() {
        let (documents, problems) = read("a:\n  b: [1,\n    x]\n  c:\n  - d: 2\n", "f.yaml", Dialect::Strict);
        assert!(problems.is_empty());
        let place = |node: &Node| (node.at.line, node.at.column);
        let a = documents[0].get("a").unwrap();
        assert_eq!(place(&documents[0]), (1, 1));
        assert_eq!(place(a), (2, 3));
        assert_eq!(place(&a.get("b").unwrap().items()[1]), (3, 5));
        assert_eq!(place(&a.get("c").unwrap().items()[0]), (5, 5));
        assert_eq!(a.get("c").unwrap().items()[0].entry("d").unwrap().at.to_string(), "f.yaml:5:5");
    }

    #[test]
    fn all_ambiguous_scalars_and_duplicate_keys_are_reported_at_once() {
        let (value, problems) = strict("a: yes\nb: 0777\na: 1\non: 2\n\"y\": \"no\"\n");
        assert_eq!(
            problems,
            [
                "f:1:4: error: `yes` is one thing in YAML 1.1 and another in YAML 1.2; hint: put it in quotes if it is text; else write true, false or a decimal number",
                "f:2:4: error: this number is one thing in YAML 1.1 and another in YAML 1.2; hint: put it in quotes if it is text; else write true, false or a decimal number",
                "f:3:1: error: duplicate key `a`; hint: it is set at f:1:1 already; keep one",
                "f:4:1: error: `on` is one thing in YAML 1.1 and another in YAML 1.2; hint: put it in quotes if it is text; else write true, false or a decimal number",
            ]
        );
        assert_eq!(value["y"], "no");
    }

    #[test]
    fn anchors_aliases_and_merges_are_expanded() {
        let (value, problems) =
            strict("base: &b {x: 1, y2: 2}\none: *b\ntwo: {<<: *b, x: 3}\nthree: {<<: [{x: 9}, *b]}\n");
        assert_eq!(problems, [""; 0]);
        assert_eq!(value["one"], json!({"x": 1, "y2": 2}));
        assert_eq!(value["two"], json!({"x": 3, "y2": 2}));
        assert_eq!(value["three"], json!({"x": 9, "y2": 2}));
    }

    #[test]
    fn a_merge_that_readers_understand_differently_is_refused() {
        let (_, problems) = strict("base: &b {x: 1}\ntwo:\n  x: 3\n  <<: *b\n");
        assert_eq!(
            problems,
            [
                "f:3:3: error: `x` is also set by the `<<` after it, and readers differ on which wins; hint: write `<<` first"
            ]
        );
    }

    #[test]
    fn a_billion_laughs_is_stopped() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let refs = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
        }
        let (_, problems) = strict(&text);
        assert!(problems.last().unwrap().contains("more than 2000000 values"), "{problems:?}");
    }

    #[test]
    fn an_alias_within_its_own_anchor_is_refused() {
        let (_, problems) = strict("a: &a [1, *a]\n");
        assert!(problems.last().unwrap().contains("refers to itself"), "{problems:?}");
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_stack_overflow() {
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
            let (_, problems) = strict(&text);
            assert!(
                problems.last().unwrap().contains("nested deeper") || problems.last().unwrap().contains("malformed")
            );
        }
    }

    #[test]
    fn malformed_yaml_has_a_position() {
        let (_, problems) = strict("a: [1\nb: 2\n");
        assert!(problems[0].starts_with("f:2:") && problems[0].contains("malformed YAML"), "{problems:?}");
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
        assert_eq!(strict("\u{feff}a: 1\r\nb: x\r\n").0, json!({"a": 1, "b": "x"}));
    }

    #[test]
    fn kubectl_reads_booleans_and_keys_as_yaml_1_1() {
        let (documents, problems) = read("on: y\n0x10: no\nmode: 0644\nv: !!str 1\n", "f", Dialect::GoYaml);
        assert!(problems.is_empty());
        assert_eq!(documents[0].to_json(), json!({"true": true, "16": false, "mode": 420, "v": "1"}));
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(text in "\\PC{0,200}") {
            read(&text, "f", Dialect::Strict);
            read(&text, "f", Dialect::GoYaml);
        }

        #[test]
        fn never_panics_on_text_made_of_yaml(parts in proptest::collection::vec(prop::sample::select(vec![
            "a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", ", ", "&x ", "*x", "<<", "!!int ", "|\n", ">-\n", "\"", "'", "#", "---\n", "...\n", "\t", "? ", "1", "yes", "%", "\u{0}", "\r",
        ]), 0..60)) {
            let text = parts.concat();
            read(&text, "f", Dialect::Strict);
            read(&text, "f", Dialect::GoYaml);
        }

        #[test]
        fn never_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes);
            read(&text, "f", Dialect::Strict);
        }
    }
}
