//! A cluster that somebody else made, written as a blueprint. Pure: what was seen comes from the provider.
//!
//! Nothing of it is taken over silently. A cluster, a node group, an access entry or an add-on of others is named (`given`, `group`), so
//! that what the blueprint says of it is kept so and nothing of it is marked, replaced or deleted. What the language has no word for is
//! a remark, on the terminal and in the file.

mod eks;

pub use eks::blueprint;

/// A blueprint of what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// YAML, with the remarks as comments.
    pub text: String,
    /// What it does not say.
    pub remarks: Vec<Remark>,
}

/// Something that a blueprint of it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What: `node group old`.
    pub what: String,
    /// What it is, or why it is left out; one clause.
    pub is: String,
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.is)
    }
}
