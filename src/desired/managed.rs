//! Releases of third-party charts that sections of a blueprint stand for.

use serde_json::Value;

use super::collect::{Built, Collector};
use super::lock::Lock;
use super::state::{DesiredRelease, Origin};
use crate::blueprint::{Problem, Step};
use crate::id::ReleaseId;

/// One release of a chart in `charts/lock.yaml`; it is named as its chart, so that a second installation of the same by somebody
/// else is found and not doubled.
pub(super) struct Managed {
    pub chart: &'static str,
    pub namespace: &'static str,
    /// Keys of the section that asks for it; written or not.
    pub path: Vec<&'static str>,
    pub values: Value,
}

impl Managed {
    pub(super) fn resolve(self, collector: &Collector<'_>) -> DesiredRelease {
        let path: Vec<Step<'_>> = self.path.iter().map(|key| Step::from(*key)).collect();
        let chart = Lock::embedded().find(self.chart).expect("a test sees that every chart asked for is in the list");
        DesiredRelease {
            id: ReleaseId { namespace: self.namespace.to_owned(), name: self.chart.to_owned() },
            chart: chart.source(),
            values: self.values,
            origin: Origin { path: collector.loaded.show(&path), at: Some(collector.loaded.at(&path).to_string()) },
        }
    }
}

/// A namespace for what a section installs. Its pods need the host: devices, the kubelet's sockets, sysfs.
pub(super) fn privileged_namespace(name: &str) -> Built {
    let key = "pod-security.kubernetes.io/enforce".to_owned();
    Built::new("v1", "Namespace", None, name).with_metadata("labels", [(&key, &"privileged".to_owned())])
}

/// One release from two sections, or from a section and `charts:`.
pub(super) fn twice(releases: &[DesiredRelease], collector: &mut Collector<'_>) {
    for pair in releases.windows(2).filter(|pair| pair[0].id == pair[1].id) {
        let at = collector.loaded.at(&[]).clone();
        let message = format!(
            "helm release {} is made twice: by `{}` and by `{}`",
            pair[0].id, pair[0].origin.path, pair[1].origin.path
        );
        collector.problems.push(Problem::error(&at, message).hint("rename or remove one of them"));
    }
}
