//! The third-party charts that sections of a blueprint stand for, by exact version and digest: `charts/lock.yaml`, which is part
//! of the program, and where else the same archives may come from.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde::Deserialize;

use super::state::ChartSource;
use crate::blueprint::read_values;

/// A list of pinned charts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The charts, each name once.
    pub charts: Vec<LockedChart>,
}

/// One pinned chart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedChart {
    /// Its name in the list, and in a classic repository.
    pub name: String,
    /// Address of a classic repository.
    #[serde(default)]
    pub repository: Option<String>,
    /// `oci://…`, without a tag.
    #[serde(default)]
    pub oci: Option<String>,
    /// Exact version.
    pub version: String,
    /// `sha256:…` of the archive, where a source of it is known.
    #[serde(default)]
    pub digest: Option<String>,
    /// Where the digest was read.
    #[serde(default)]
    pub from: Option<String>,
    /// SPDX name of its license.
    pub license: String,
}

/// Why a list of charts is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the list of charts {name}: {problem}")]
pub struct LockError {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Lock {
    /// The list in this program.
    pub fn embedded() -> &'static Self {
        static LOCK: OnceLock<Lock> = OnceLock::new();
        LOCK.get_or_init(|| {
            Self::parse(include_str!("../../charts/lock.yaml"), "charts/lock.yaml").expect("a test reads it")
        })
    }

    /// Reads a list.
    ///
    /// # Errors
    /// It is no YAML, has unknown keys, a name twice, a version that is not exact, a digest without its source, or a chart with not
    /// exactly one place.
    pub fn parse(text: &str, name: &str) -> Result<Self, LockError> {
        let error = |problem: String| LockError { name: name.to_owned(), problem };
        let tree = read_values(text, name).map_err(|problems| error(problems.to_string()))?;
        let lock: Self = serde_json::from_value(tree.to_json()).map_err(|cause| error(cause.to_string()))?;
        let mut seen = BTreeSet::new();
        for chart in &lock.charts {
            chart.check().map_err(|problem| error(format!("{}: {problem}", chart.name)))?;
            if !seen.insert(chart.name.as_str()) {
                return Err(error(format!("{} is there twice", chart.name)));
            }
        }
        Ok(lock)
    }

    /// The chart of a name.
    pub fn find(&self, name: &str) -> Option<&LockedChart> {
        self.charts.iter().find(|chart| chart.name == name)
    }
}

impl LockedChart {
    fn check(&self) -> Result<(), String> {
        if !crate::blueprint::is_exact_version(&self.version) {
            return Err(format!("{} is no exact version", self.version));
        }
        match (&self.digest, &self.from) {
            (Some(digest), Some(_)) if crate::blueprint::is_sha256(digest) => {}
            (Some(digest), Some(_)) => {
                return Err(format!("{digest} is no digest like sha256:<64 hexadecimal digits>"));
            }
            (None, None) => {}
            (Some(_), None) => return Err("a digest says where it was read: `from`".into()),
            (None, Some(_)) => return Err("`from` without a digest".into()),
        }
        match (&self.repository, &self.oci) {
            (Some(url), None) if url.starts_with("https://") || url.starts_with("http://") => Ok(()),
            (None, Some(reference)) if reference.starts_with("oci://") => Ok(()),
            _ => Err("a chart is in one place: `repository: https://…` or `oci: oci://…`".into()),
        }
    }

    /// What it calls itself, and what its archive is called: two generations of one chart have one name.
    fn published(&self) -> &str {
        self.oci.as_deref().and_then(|reference| reference.rsplit('/').next()).unwrap_or(&self.name)
    }

    /// Where it comes from.
    pub fn source(&self) -> ChartSource {
        let (version, digest) = (self.version.clone(), self.digest.clone());
        match (&self.repository, &self.oci) {
            (Some(url), _) => ChartSource::Repository { url: url.clone(), name: self.name.clone(), version, digest },
            (None, reference) => ChartSource::Oci { reference: reference.clone().unwrap_or_default(), version, digest },
        }
    }
}

/// Where the archives of pinned charts come from in place of their own repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartMirror {
    /// A folder of `NAME-VERSION.tgz`.
    Folder(String),
    /// A classic repository.
    Repository(String),
    /// An OCI registry's path; charts are below it by name.
    Oci(String),
}

impl ChartMirror {
    /// By how it is written: `https://…`, `oci://…`, else a folder.
    pub fn of(text: &str) -> Self {
        let text = text.trim_end_matches('/').to_owned();
        if text.starts_with("oci://") {
            Self::Oci(text)
        } else if text.starts_with("https://") || text.starts_with("http://") {
            Self::Repository(text)
        } else {
            Self::Folder(text)
        }
    }

    fn source(&self, chart: &LockedChart) -> ChartSource {
        let LockedChart { version, digest, .. } = chart;
        let (name, version, digest) = (chart.published().to_owned(), version.clone(), digest.clone());
        match self {
            Self::Folder(folder) => {
                ChartSource::Archive { path: format!("{folder}/{name}-{version}.tgz"), name, version, digest }
            }
            Self::Repository(url) => ChartSource::Repository { url: url.clone(), name, version, digest },
            Self::Oci(prefix) => ChartSource::Oci { reference: format!("{prefix}/{name}"), version, digest },
        }
    }
}

/// Where the program's own third-party charts come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChartPlaces {
    /// Another list in place of the program's, with its name for messages.
    pub lock: Option<(Lock, String)>,
    /// A mirror in place of the charts' own repositories.
    pub mirror: Option<ChartMirror>,
}

impl ChartPlaces {
    /// Where to get a chart that a plan names. Charts that a blueprint names itself stay where it says.
    ///
    /// # Errors
    /// The other list lacks the chart.
    pub fn place(&self, source: &ChartSource) -> Result<ChartSource, LockError> {
        let Some(known) = Lock::embedded().charts.iter().find(|chart| chart.source() == *source) else {
            return Ok(source.clone());
        };
        let chart = match &self.lock {
            None => known,
            Some((lock, name)) => lock.find(&known.name).ok_or_else(|| LockError {
                name: name.clone(),
                problem: format!("{} is needed and not in it", known.name),
            })?,
        };
        Ok(self.mirror.as_ref().map_or_else(|| chart.source(), |mirror| mirror.source(chart)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Lock::parse(text, "l").map_or_else(|error| error.problem, |_| "accepted".into())
    }

    #[test]
    fn the_list_in_the_program_is_strict_and_complete() {
        let lock = Lock::embedded();
        for name in [
            "node-feature-discovery",
            "nvidia-device-plugin",
            "gpu-operator",
            "dcgm-exporter",
            "amd-gpu",
            "intel-device-plugins-operator",
            "volcano",
            "kueue",
            "operator",
            "operator-v2",
        ] {
            assert!(lock.find(name).is_some(), "{name}");
        }
        assert!(lock.charts.iter().all(|chart| !chart.license.is_empty()));
        // What has no digest has none because no source of it was found; a new one needs a reason in the file.
        let unpinned: Vec<&str> =
            lock.charts.iter().filter(|chart| chart.digest.is_none()).map(|chart| chart.name.as_str()).collect();
        assert_eq!(unpinned, ["gpu-operator", "amd-gpu", "kueue", "operator", "operator-v2"]);
    }

    #[test]
    fn what_is_not_pinned_exactly_is_no_entry() {
        let entry = |fields: &str| format!("charts: [{{name: a, license: MIT, {fields}}}]");
        let here = "repository: https://example.com";
        assert_eq!(problem(&entry(&format!("{here}, version: 1.2.3"))), "accepted");
        for (fields, wanted) in [
            (format!("{here}, version: ^1.2.3"), "no exact version"),
            (format!("{here}, version: 1.2.3, digest: sha256:12, from: x"), "no digest"),
            (format!("{here}, version: 1.2.3, digest: 'sha256:{}'", "0".repeat(64)), "where it was read"),
            (format!("{here}, oci: 'oci://a/b', version: 1.2.3"), "one place"),
            (format!("{here}, version: 1.2.3, verison: 2"), "verison"),
        ] {
            let found = problem(&entry(&fields));
            assert!(found.contains(wanted), "{fields}: {found}");
        }
        let twice = "charts:\n- {name: a, license: MIT, oci: 'oci://a/a', version: 1.2.3}\n\
                     - {name: a, license: MIT, oci: 'oci://a/b', version: 1.2.3}\n";
        assert!(problem(twice).contains("twice"));
    }

    #[test]
    fn a_mirror_changes_the_place_and_neither_version_nor_digest() {
        let chart = Lock::embedded().find("volcano").unwrap();
        let digest = chart.digest.clone();
        let version = "1.15.0".to_owned();
        let name = "volcano".to_owned();
        let of = |text: &str| ChartMirror::of(text).source(chart);
        assert_eq!(
            of("/srv/charts/"),
            ChartSource::Archive {
                path: "/srv/charts/volcano-1.15.0.tgz".into(),
                name: name.clone(),
                version: version.clone(),
                digest: digest.clone()
            }
        );
        let url = "https://charts.example.com".to_owned();
        assert_eq!(of(&url), ChartSource::Repository { url, name, version: version.clone(), digest: digest.clone() });
        let reference = "oci://registry.example.com/charts/volcano".to_owned();
        assert_eq!(of("oci://registry.example.com/charts"), ChartSource::Oci { reference, version, digest });
        // `helm pull` calls its archive by the chart's own name.
        let second = ChartMirror::of("/srv/charts").source(Lock::embedded().find("operator-v2").unwrap());
        assert!(matches!(second, ChartSource::Archive { path, .. } if path == "/srv/charts/operator-2.0.0-beta.3.tgz"));
    }

    #[test]
    fn only_the_programs_own_charts_are_looked_for_elsewhere() {
        let places = ChartPlaces { lock: None, mirror: Some(ChartMirror::of("/srv/charts")) };
        let mine = ChartSource::Path { path: "./charts/mine".into() };
        assert_eq!(places.place(&mine), Ok(mine));
        let volcano = Lock::embedded().find("volcano").unwrap().source();
        assert!(matches!(places.place(&volcano), Ok(ChartSource::Archive { .. })));
        assert_eq!(ChartPlaces::default().place(&volcano), Ok(volcano.clone()));
        let other =
            Lock::parse("charts: [{name: volcano, license: MIT, oci: 'oci://a/v', version: 1.2.3}]", "mine").unwrap();
        let places = ChartPlaces { lock: Some((other, "mine".into())), mirror: None };
        let wanted = ChartSource::Oci { reference: "oci://a/v".into(), version: "1.2.3".into(), digest: None };
        assert_eq!(places.place(&volcano), Ok(wanted));
        let kueue = Lock::embedded().find("kueue").unwrap().source();
        assert!(places.place(&kueue).unwrap_err().to_string().contains("kueue is needed"));
    }
}
