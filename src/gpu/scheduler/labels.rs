//! Labels of a node, as far as they are known before the node is there.

use std::collections::BTreeMap;

/// What is known of a label's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelValue {
    /// It is there with this value.
    Is(String),
    /// It is there; its value is known only on the live node, and is none of these.
    Open(Vec<String>),
}

/// Labels that may be there: every key with a prefix, because of something that writes keys nobody knows beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MayHave {
    /// The keys begin so.
    pub prefix: String,
    /// Why they may be there, one sentence.
    pub why: String,
    /// Values that they never have.
    pub never: Vec<String>,
}

/// The labels of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    map: BTreeMap<String, LabelValue>,
    may_have: Vec<MayHave>,
}

/// What is found under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A value.
    Is(&'a str),
    /// A value that is known only later; none of these.
    Open(&'a [String]),
    /// Nothing, or a value that is known only later.
    Perhaps(&'a MayHave),
    /// Nothing.
    Absent,
}

/// A statement about something that may not be known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It cannot be said, and why.
    Unknown(String),
}

impl Truth {
    /// Both hold.
    #[must_use]
    pub fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Unknown(why) => match other() {
                Self::No => Self::No,
                Self::Yes | Self::Unknown(_) => Self::Unknown(why),
            },
        }
    }

    /// One of them holds.
    #[must_use]
    pub fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => Self::Yes,
            Self::No => other(),
            Self::Unknown(why) => match other() {
                Self::Yes => Self::Yes,
                Self::No | Self::Unknown(_) => Self::Unknown(why),
            },
        }
    }

    /// The opposite.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Labels {
    /// Labels that are all known.
    pub fn of<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let map = labels.into_iter().map(|(key, value)| (key.clone(), LabelValue::Is(value.clone()))).collect();
        Self { map, may_have: Vec::new() }
    }

    /// Sets a label.
    pub fn set(&mut self, key: impl Into<String>, value: LabelValue) {
        self.map.insert(key.into(), value);
    }

    /// Forgets a label.
    pub fn remove(&mut self, key: &str) {
        self.map.remove(key);
    }

    /// These and no others.
    pub fn exactly(mut self) -> Self {
        self.may_have.clear();
        self
    }

    /// Says that labels with a prefix may be there.
    pub fn may_have(&mut self, keys: MayHave) {
        if !self.may_have.contains(&keys) {
            self.may_have.push(keys);
        }
    }

    /// What is under a key.
    pub fn get(&self, key: &str) -> Found<'_> {
        match self.map.get(key) {
            Some(LabelValue::Is(value)) => Found::Is(value),
            Some(LabelValue::Open(never)) => Found::Open(never),
            // The longest prefix knows most.
            None => self
                .may_have
                .iter()
                .filter(|keys| key.starts_with(&keys.prefix))
                .max_by_key(|keys| keys.prefix.len())
                .map_or(Found::Absent, Found::Perhaps),
        }
    }

    /// Every label that is there for certain.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &LabelValue)> {
        self.map.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether the label is there with this value.
    pub fn has(&self, key: &str, value: &str) -> Truth {
        match self.get(key) {
            Found::Is(found) => (found == value).into(),
            Found::Open(never) if never.iter().any(|never| never == value) => Truth::No,
            Found::Open(_) => Truth::Unknown(open(key)),
            Found::Perhaps(keys) if keys.never.iter().any(|never| never == value) => Truth::No,
            Found::Perhaps(keys) => Truth::Unknown(perhaps(key, keys)),
            Found::Absent => Truth::No,
        }
    }

    /// Whether the label is there.
    pub fn exists(&self, key: &str) -> Truth {
        match self.get(key) {
            Found::Is(_) | Found::Open(_) => Truth::Yes,
            Found::Perhaps(keys) => Truth::Unknown(perhaps(key, keys)),
            Found::Absent => Truth::No,
        }
    }
}

/// Why a value cannot be compared.
pub(super) fn open(key: &str) -> String {
    format!("the value of label {key} is known only on the live node")
}

/// Why a label cannot be said to be there or not.
pub(super) fn perhaps(key: &str, keys: &MayHave) -> String {
    format!("whether the node has label {key} is known only on the live node: {}", keys.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        let mut labels = Labels::of([(&"a".to_owned(), &"1".to_owned())]);
        labels.set("zone", LabelValue::Open(vec!["mars".into()]));
        labels.may_have(MayHave { prefix: "nfd/".into(), why: "a worker".into(), never: Vec::new() });
        labels.may_have(MayHave { prefix: "nfd/cpu".into(), why: "a worker".into(), never: vec!["NVIDIA".into()] });
        labels
    }

    #[test]
    fn what_is_not_known_is_neither_there_nor_absent() {
        let labels = labels();
        assert_eq!(labels.has("a", "1"), Truth::Yes);
        assert_eq!(labels.has("a", "2"), Truth::No);
        assert_eq!(labels.exists("zone"), Truth::Yes);
        assert!(matches!(labels.has("zone", "x"), Truth::Unknown(_)));
        assert_eq!(labels.has("zone", "mars"), Truth::No);
        assert!(matches!(labels.exists("nfd/kernel"), Truth::Unknown(_)));
        assert_eq!(labels.has("nfd/cpu-vendor", "NVIDIA"), Truth::No, "the longest prefix knows most");
        assert_eq!(labels.exists("other"), Truth::No);
    }

    #[test]
    fn unknown_is_kept_unless_the_other_side_decides() {
        let unknown = || Truth::Unknown("why".into());
        assert_eq!(unknown().and(|| Truth::No), Truth::No);
        assert_eq!(unknown().and(|| Truth::Yes), unknown());
        assert_eq!(unknown().or(|| Truth::Yes), Truth::Yes);
        assert_eq!(unknown().or(|| Truth::No), unknown());
        assert_eq!(unknown().negated(), unknown());
    }
}
