//! JSON to YAML, byte-stable: keys sorted, block style, strings quoted wherever any reader of YAML 1.1 or 1.2 could take
//! them for something else.

use serde_json::Value;

use super::scalar::{self, Scalar};

/// Writes a value as one YAML document with a trailing newline. The same value gives the same bytes.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_block(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => write_block(value, 0, &mut out),
        _ => {
            write_inline(value, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// Writes the lines of a collection that is not empty; the caller has written the indent of the first line for items in a list.
fn write_block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            // Sorted here as well, so that the bytes do not depend on how serde_json was built.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 || !at_item_start(out) {
                    pad(indent, out);
                }
                write_string(key, None, out);
                out.push(':');
                write_value(value, indent, out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 || !at_item_start(out) {
                    pad(indent, out);
                }
                out.push('-');
                if is_block(item) {
                    out.push(' ');
                    write_block(item, indent + 2, out);
                } else {
                    out.push(' ');
                    write_inline(item, indent, out);
                    out.push('\n');
                }
            }
        }
        _ => {}
    }
}

/// Whether the last thing written is the dash of a list item, behind which a collection starts on the same line.
fn at_item_start(out: &str) -> bool {
    out.ends_with("- ")
}

fn write_value(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(_) if is_block(value) => {
            out.push('\n');
            write_block(value, indent + 2, out);
        }
        Value::Array(_) if is_block(value) => {
            out.push('\n');
            write_block(value, indent, out);
        }
        _ => {
            out.push(' ');
            write_inline(value, indent, out);
            out.push('\n');
        }
    }
}

fn write_inline(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(text) => write_string(text, Some(indent), out),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// `block_indent` is where the owner of the value stands, `None` where only one line may be written (a key).
fn write_string(text: &str, block_indent: Option<usize>, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
    } else if let (Some(indent), true) = (block_indent, is_literal(text)) {
        out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            out.push('\n');
            if !line.is_empty() {
                pad(indent + 2, out);
                out.push_str(line);
            }
        }
    } else {
        write_quoted(text, out);
    }
}

/// A text that needs no quotes: one that every reader takes for this string.
fn is_plain(text: &str) -> bool {
    let safe = |character: char| character.is_ascii_alphanumeric() || "-_./: @+,=()*%<>$".contains(character);
    let Some(first) = text.chars().next() else { return false };
    let starts = first.is_ascii_alphabetic()
        || first.is_ascii_digit()
        || first == '/'
        || first == '.'
        || first == '_'
        || first == '$';
    starts
        && text.chars().all(safe)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.starts_with("...")
        && !scalar::is_ambiguous(text)
        && scalar::core(text) == Scalar::String
        && scalar::go_yaml(text) == Scalar::String
        && !looks_like_a_date(text)
}

/// A YAML 1.1 reader other than go-yaml makes a timestamp of it.
fn looks_like_a_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

/// Several lines that a literal block gives back unchanged.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body
            .chars()
            .all(|c| c == '\n' || (c >= ' ' && c != '\u{7f}' && !('\u{80}'..='\u{9f}').contains(&c) && !is_break(c)))
        && body.split('\n').all(|line| !line.ends_with(' ') && (!line.trim().is_empty() || line.is_empty()))
}

/// Characters that are line breaks to YAML 1.1, or no text at all.
fn is_break(character: char) -> bool {
    matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c) => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if is_break(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;
    use crate::blueprint::yaml::{Dialect, Node, read};

    #[test]
    fn output_is_block_yaml_with_sorted_keys_and_careful_quotes() {
        let value = json!({
            "b": [1, {"y": "no", "x": [[]], "z": {}}, [["deep"]]],
            "a": {"version": "1.36", "on": "0777", "text": "two\nlines\n", "time": "1:30", "plain": "nvidia.com/gpu=present:NoSchedule"},
            "empty": "", "date": "2027-01-01",
        });
        assert_eq!(
            to_yaml(&value),
            "a:\n  \"on\": \"0777\"\n  plain: nvidia.com/gpu=present:NoSchedule\n  text: |\n    two\n    lines\n  time: \"1:30\"\n  version: \"1.36\"\n\
             b:\n- 1\n- x:\n  - []\n  \"y\": \"no\"\n  z: {}\n- - - deep\ndate: \"2027-01-01\"\nempty: \"\"\n"
        );
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{0,6}",
            "\\PC{0,12}",
            prop::sample::select(vec![
                "yes",
                "0777",
                "1:30",
                "- a",
                "a: b",
                "#x",
                "a #b",
                " a",
                "a\n",
                "\n",
                "a\nb",
                "a\n\n b\n",
                "x\ty",
                "\u{85}",
                "null",
                "|",
                "---",
                "a\r\nb",
                "...",
                "<<",
                "=",
                "!x",
                "&a",
                "*a",
                "%a",
                "@a",
                "`a",
                "a\n \nb",
                "\u{feff}a",
                "a\n\tb",
                "a\n--- b",
                "\ta\nb"
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1_000_000i32..1_000_000).prop_map(|n| json!(f64::from(n) / 1000.0 + 0.0001)),
            any_text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((any_text(), inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same_in_both_dialects(value in any_json()) {
            let text = to_yaml(&value);
            for dialect in [Dialect::Strict, Dialect::GoYaml] {
                let (documents, problems) = read(&text, "f", dialect);
                prop_assert_eq!(&problems, &vec![], "{}", text);
                prop_assert_eq!(documents.len(), 1);
                prop_assert_eq!(Node::to_json(&documents[0]), value.clone(), "{}", text);
            }
        }
    }
}
