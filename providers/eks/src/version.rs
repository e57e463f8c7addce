//! Kubernetes' minor versions.

/// `1.34`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor {
    /// `1`.
    pub major: u32,
    /// `34`.
    pub minor: u32,
}

impl Minor {
    /// Reads `1.34`, and what begins so: `1.34.2`, `v1.34`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim_start_matches('v').split('.');
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }

    /// The versions after it, up to another.
    pub fn up_to(self, other: Self) -> Vec<Self> {
        (self.minor + 1..=other.minor).map(|minor| Self { minor, ..self }).collect()
    }

    /// How many minor versions it is above another.
    pub fn above(self, other: Self) -> u32 {
        self.minor.saturating_sub(other.minor)
    }

    /// So many minor versions before it.
    pub fn below(self, count: u32) -> Self {
        Self { minor: self.minor.saturating_sub(count), ..self }
    }
}

impl std::fmt::Display for Minor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minors_are_numbers_and_not_texts() {
        let (nine, ten) = (Minor::parse("1.9").unwrap(), Minor::parse("v1.10.3").unwrap());
        assert!(nine < ten);
        assert_eq!(
            nine.up_to(Minor { minor: 11, ..nine }).iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["1.10", "1.11"]
        );
        assert_eq!((ten.above(nine), ten.below(3).to_string().as_str()), (1, "1.7"));
        assert_eq!(Minor::parse("new"), None);
    }
}
