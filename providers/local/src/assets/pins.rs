//! What may be downloaded or built, and what proves that it is right: `assets/pins.json` of this crate.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Program;
use crate::LocalError;

/// All pins.
#[derive(Debug, Clone, Deserialize)]
pub struct Pins {
    /// Versions that can be built, newest last.
    pub builds: Vec<Build>,
    /// Files that can be downloaded.
    pub files: Vec<PinnedFile>,
}

/// Versions that are built together.
#[derive(Debug, Clone, Deserialize)]
pub struct Build {
    /// The Kubernetes minor version that it serves, `1.36`.
    pub minor: String,
    /// Kubernetes' version.
    pub kubernetes: String,
    /// etcd's version.
    pub etcd: String,
    /// helm's version.
    pub helm: String,
}

impl Build {
    /// The version that a program has in this build.
    pub fn version_of(&self, program: Program) -> &str {
        match program {
            Program::Etcd => &self.etcd,
            Program::Helm => &self.helm,
            Program::ApiServer | Program::ControllerManager | Program::Scheduler | Program::Kubectl => &self.kubernetes,
        }
    }
}

/// An archive (`.tar.gz`) to download.
#[derive(Debug, Clone, Deserialize)]
pub struct PinnedFile {
    pub(super) minor: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) os: String,
    pub(super) arch: String,
    pub(super) url: String,
    #[serde(flatten)]
    pub(super) checksum: Checksum,
    /// Path in the archive of each program.
    pub(super) members: BTreeMap<Program, String>,
}

/// What a downloaded file must have, in hexadecimal.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Checksum {
    Sha256(String),
    Sha512(String),
}

impl Checksum {
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    pub(super) fn pinned(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Sha512(hex) => hex,
        }
    }
}

impl Pins {
    /// The pins of this release of the tool.
    pub fn embedded() -> Self {
        Self::parse(include_str!("../../assets/pins.json")).expect("the embedded pins parse; a unit test holds it")
    }

    /// Reads pins from JSON.
    ///
    /// # Errors
    /// It is not the JSON of pins.
    pub fn parse(json: &str) -> Result<Self, LocalError> {
        serde_json::from_str(json)
            .map_err(|error| LocalError::Damaged { path: "pins.json".into(), what: error.to_string() })
    }

    /// The build for a minor version; `None` takes the newest.
    ///
    /// # Errors
    /// Nothing is pinned for it; the error lists what is.
    pub fn build_for(&self, minor: Option<&str>) -> Result<&Build, LocalError> {
        let found = match minor {
            Some(wanted) => self.builds.iter().find(|build| build.minor == wanted.trim_start_matches('v')),
            None => self.builds.last(),
        };
        found.ok_or_else(|| LocalError::Version {
            wanted: minor.unwrap_or("of any version").into(),
            available: self.minors().join(", "),
        })
    }

    /// The Kubernetes minor versions that can be had.
    pub fn minors(&self) -> Vec<String> {
        self.builds.iter().map(|build| build.minor.clone()).collect()
    }

    pub(super) fn files_for<'a>(&'a self, minor: &'a str) -> impl Iterator<Item = &'a PinnedFile> {
        self.files.iter().filter(move |file| file.minor == minor && file.os == os() && file.arch == arch())
    }
}

impl PinnedFile {
    /// The directory of the cache that its programs are kept in.
    pub(super) fn key(&self) -> String {
        format!("{}-{}-{}-{}", self.name, self.version, self.os, self.arch)
    }

    /// Where it is downloaded from: a mirror takes the place of scheme and host.
    pub(super) fn address(&self, mirror: Option<&str>) -> String {
        match (mirror, self.url.split_once("://").and_then(|(_, rest)| rest.split_once('/'))) {
            (Some(mirror), Some((_, path))) => format!("{}/{path}", mirror.trim_end_matches('/')),
            _ => self.url.clone(),
        }
    }

    /// The last part of its address.
    pub(super) fn file_name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }
}

/// This machine's system in Go's words.
pub(super) fn os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// This machine's processor in Go's words.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_pins_have_checksums_of_the_right_length_and_unique_keys() {
        let pins = Pins::embedded();
        let mut keys = std::collections::BTreeSet::new();
        for file in &pins.files {
            let length = match file.checksum {
                Checksum::Sha256(_) => 64,
                Checksum::Sha512(_) => 128,
            };
            assert_eq!(file.checksum.pinned().len(), length, "{}", file.url);
            assert!(file.checksum.pinned().bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(keys.insert(file.key()), "{} is pinned twice", file.key());
            assert!(file.url.ends_with(".tar.gz") && file.url.starts_with("https://"));
        }
    }

    #[test]
    fn the_embedded_source_is_at_the_pinned_versions() {
        let source = include_str!("../../assets/multicall/go.mod");
        for build in Pins::embedded().builds {
            assert!(source.contains(&format!("k8s.io/kubernetes v{}", build.kubernetes)));
            assert!(source.contains(&format!("go.etcd.io/etcd/server/v3 v{}", build.etcd)));
            assert!(source.contains(&format!("helm.sh/helm/v4 v{}", build.helm)));
        }
    }

    #[test]
    fn an_unpinned_version_is_refused_with_what_there_is() {
        let error = Pins::embedded().build_for(Some("1.29")).unwrap_err();
        assert_eq!(error.to_string(), "Kubernetes 1.29 cannot be had locally; these can: 1.36");
    }

    #[test]
    fn a_mirror_takes_the_place_of_scheme_and_host() {
        let pins = Pins::embedded();
        let etcd = pins.files.iter().find(|file| file.name == "etcd").unwrap();
        assert!(etcd.address(Some("http://127.0.0.1:1/m/")).starts_with("http://127.0.0.1:1/m/etcd-io/etcd/releases/"));
    }
}
