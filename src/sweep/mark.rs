//! How a sweep that this tool made is found again: W&B gives each sweep a name by chance and keeps no labels, so its description
//! says whose it is, and what it was made of.

use std::fmt;

use crate::id::Digest;

/// Whose sweep it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The blueprint's name.
    pub platform: String,
    /// The name that the user gave it.
    pub name: String,
    /// Of its configuration.
    pub digest: String,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[wbk-infra {}/{} {}]", self.platform, self.name, self.digest)
    }
}

impl Mark {
    /// Of a configuration, as it is sent.
    pub fn new(platform: &str, name: &str, config: &str) -> Self {
        let digest = Digest::of_bytes(config.as_bytes()).short().to_owned();
        Self { platform: platform.into(), name: name.into(), digest }
    }

    /// The user's own words with the mark behind them.
    pub fn after(&self, description: &str) -> String {
        format!("{description} {self}").trim_start().to_owned()
    }

    /// The mark at the end of a description.
    pub fn read(description: &str) -> Option<Self> {
        let (_, rest) = description.trim_end().strip_suffix(']')?.rsplit_once("[wbk-infra ")?;
        let (whose, digest) = rest.split_once(' ')?;
        let (platform, name) = whose.split_once('/')?;
        Some(Self { platform: platform.into(), name: name.into(), digest: digest.into() })
    }

    /// Whether both mean the same sweep, whatever it was made of.
    pub fn is_of(&self, platform: &str, name: &str) -> bool {
        self.platform == platform && self.name == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_from_behind_the_users_words() {
        let mark = Mark::new("launch-local", "lr-search", "method: grid\n");
        for words in ["", "the [first] try"] {
            assert_eq!(Mark::read(&mark.after(words)), Some(mark.clone()));
        }
        assert_eq!(
            (Mark::read("[wbk-infra"), Mark::read("a sweep"), Mark::read("[wbk-infra a b]")),
            (None, None, None)
        );
        assert_ne!(mark.digest, Mark::new("launch-local", "lr-search", "method: random\n").digest);
    }
}
