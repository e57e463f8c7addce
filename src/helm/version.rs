//! Which helm is it, and will it do.

use serde::{Deserialize, Serialize};

/// A helm version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HelmVersion {
    /// `4` of 4.2.1.
    pub major: u32,
    /// `2` of 4.2.1.
    pub minor: u32,
    /// `1` of 4.2.1; zero where a build does not say.
    pub patch: u32,
    /// `rc.1` of 4.2.1-rc.1; empty for a release.
    pub pre: String,
}

/// The oldest helm that will do.
///
/// Every flag this tool passes exists in 3.13 (`--labels` on upgrade and `--plain-http` came with it); 3.14.2 is where reading a chart that is
/// not well meant stopped being able to write outside its folder (CVE-2024-25620) or to crash helm (CVE-2024-26147).
/// Distributions carry the fixes in builds that only say 3.14, so the patch level is not asked for.
pub const MINIMUM: HelmVersion = HelmVersion { major: 3, minor: 14, patch: 0, pre: String::new() };

/// The majors that this tool drives. Their flags differ, so a new one is refused until somebody tried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Major {
    /// Three-way merge patches on the client.
    V3,
    /// Server-side apply.
    V4,
}

impl HelmVersion {
    /// Reads what `helm version --template '{{.Version}}'` prints: `v4.2.4`, `v3.17.2+g1234`, `v4.2`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>());
        let major = parts.next()?.ok()?;
        let minor = parts.next()?.ok()?;
        // A helm built without its release flags says `v4.2`.
        let patch = parts.next().unwrap_or(Ok(0)).ok()?;
        if parts.next().is_some() {
            return None;
        }
        Some(Self { major, minor, patch, pre: pre.to_owned() })
    }

    /// The major, where this tool knows it.
    pub fn known_major(&self) -> Option<Major> {
        match self.major {
            3 => Some(Major::V3),
            4 => Some(Major::V4),
            _ => None,
        }
    }

    /// Whether it is older than [`MINIMUM`].
    pub fn is_too_old(&self) -> bool {
        (self.major, self.minor, self.patch) < (MINIMUM.major, MINIMUM.minor, MINIMUM.patch)
    }
}

impl std::fmt::Display for HelmVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32, minor: u32, patch: u32) -> HelmVersion {
        HelmVersion { major, minor, patch, pre: String::new() }
    }

    #[test]
    fn reads_what_real_helms_print() {
        assert_eq!(HelmVersion::parse("v4.2.4"), Some(version(4, 2, 4)));
        assert_eq!(HelmVersion::parse("v3.17.2+gcc0bbbd\n"), Some(version(3, 17, 2)));
        assert_eq!(HelmVersion::parse("v4.2"), Some(version(4, 2, 0)));
        assert_eq!(HelmVersion::parse("v4.0.0-rc.1").map(|v| v.pre), Some("rc.1".to_owned()));
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", "helm", "v4", "4.x.1", "v1.2.3.4", "Client: v2.16"] {
            assert_eq!(HelmVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_minimum_is_3_14() {
        assert!(version(2, 17, 0).is_too_old());
        assert!(version(3, 13, 9).is_too_old());
        assert!(!version(3, 14, 0).is_too_old());
        assert!(!version(4, 0, 0).is_too_old());
        assert_eq!(version(5, 0, 0).known_major(), None);
    }
}
