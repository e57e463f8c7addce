//! Paths in a blueprint: `namespaces[wandb-jobs].quota.gpu`. Items of lists are named by their name, or numbered.

use super::problem::Position;
use super::yaml::{Content, Node};

/// One step of a path in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A key.
    Key(&'a str),
    /// An item by index.
    Item(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl<'a> From<&'a String> for Step<'a> {
    fn from(key: &'a String) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::Item(index)
    }
}

/// Writes a path: `steps!["nodePools", 0, "name"]`.
macro_rules! steps {
    ($($step:expr),* $(,)?) => { &[$($crate::blueprint::Step::from($step)),*][..] };
}
pub(crate) use steps;

/// The keys that name an item of a list, in order.
const NAMES: [&str; 2] = ["name", "serviceAccount"];

/// What an item of a list is called in a path.
pub(crate) fn item_name(item: &Node, index: usize) -> String {
    NAMES.iter().find_map(|key| item.get(key)?.as_str()).map_or_else(|| index.to_string(), str::to_owned)
}

/// Adds a key to a path; a key with dots or brackets is put in brackets and quotes.
pub(crate) fn join_key(path: &str, key: &str) -> String {
    if key.is_empty() || key.contains(['.', '[', ']', '"', '/']) {
        format!("{path}[\"{key}\"]")
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

impl Node {
    /// The value at a path.
    pub(crate) fn find(&self, path: &[Step<'_>]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Item(index) => node.items().get(*index),
        })
    }

    /// Where a path is, or the last part of it that is written; a key that is written counts by its own position.
    pub(crate) fn nearest(&self, path: &[Step<'_>]) -> &Position {
        let mut node = self;
        let mut at = &self.at;
        for step in path {
            match step {
                Step::Key(key) => match node.entry(key) {
                    Some(entry) => (node, at) = (&entry.value, &entry.value.at),
                    None => break,
                },
                Step::Item(index) => match node.items().get(*index) {
                    Some(item) => (node, at) = (item, &item.at),
                    None => break,
                },
            }
        }
        at
    }

    /// The path as a person writes it.
    pub(crate) fn show(&self, path: &[Step<'_>]) -> String {
        let mut text = String::new();
        let mut node = Some(self);
        for step in path {
            match step {
                Step::Key(key) => {
                    text = join_key(&text, key);
                    node = node.and_then(|node| node.get(key));
                }
                Step::Item(index) => {
                    node = node.and_then(|node| node.items().get(*index));
                    let name = node.map_or_else(|| index.to_string(), |item| item_name(item, *index));
                    text.push_str(&format!("[{name}]"));
                }
            }
        }
        text
    }
}

/// One step of a path that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// `.key`
    Key(String),
    /// `[name]`, `[0]`, `["key"]`
    Bracket(String),
}

impl Selector {
    /// Its text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Bracket(text) => text,
        }
    }
}

/// Reads a path that a person wrote; `None` where it is no path.
pub(crate) fn parse(text: &str) -> Option<Vec<Selector>> {
    let mut selectors = Vec::new();
    let mut rest = text.strip_prefix('.').unwrap_or(text);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (name, after) = match inner.strip_prefix('"') {
                Some(quoted) => quoted.split_once("\"]")?,
                None => inner.split_once(']')?,
            };
            selectors.push(Selector::Bracket(name.to_owned()));
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            selectors.push(Selector::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = match rest.strip_prefix('.') {
            Some("") => return None,
            Some(after) => after,
            None => rest,
        };
    }
    Some(selectors)
}

/// Follows one selector in a positioned tree.
pub(crate) fn select<'a>(node: &'a Node, selector: &Selector) -> Option<&'a Node> {
    match &node.content {
        Content::Mapping(_) => node.get(selector.text()),
        Content::Sequence(items) => items
            .iter()
            .enumerate()
            .find(|(index, item)| item_name(item, *index) == selector.text())
            .map(|(_, item)| item)
            .or_else(|| items.get(selector.text().parse::<usize>().ok()?)),
        _ => None,
    }
}

/// Follows one selector in JSON.
pub(crate) fn select_json<'a>(value: &'a serde_json::Value, selector: &Selector) -> Option<&'a serde_json::Value> {
    match value {
        serde_json::Value::Object(map) => map.get(selector.text()),
        serde_json::Value::Array(items) => items
            .iter()
            .find(|item| NAMES.iter().find_map(|key| item.get(key)?.as_str()) == Some(selector.text()))
            .or_else(|| items.get(selector.text().parse::<usize>().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        let key = |text: &str| Selector::Key(text.into());
        let bracket = |text: &str| Selector::Bracket(text.into());
        assert_eq!(
            parse("namespaces[wandb-jobs].quota.gpu"),
            Some(vec![key("namespaces"), bracket("wandb-jobs"), key("quota"), key("gpu")])
        );
        assert_eq!(parse("labels[\"a.b/c\"][0]"), Some(vec![key("labels"), bracket("a.b/c"), bracket("0")]));
        assert_eq!(parse(""), Some(vec![]));
        for bad in ["a..b", "a.", "a[", "a[\"x]", ".."] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
