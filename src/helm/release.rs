//! The verbs that change a release, and those that read its history.

use std::ffi::OsString;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::chart::LocalChart;
use super::command::{Call, ClusterAccess, Helm, Printed};
use super::error::{HelmError, Started};
use super::seen::{
    BLUEPRINT_LABEL, DIGEST_LABEL, MANAGED_BY_LABEL, MANAGED_BY_VALUE, RELEASE_NAME_ANNOTATION,
    RELEASE_NAMESPACE_ANNOTATION, ReleaseStatus, digest_label,
};
use super::version::Major;
use crate::id::{Digest, ReleaseId};

/// Revisions whose records are kept, helm's own default: each holds the whole chart, so that ten of a large chart are some
/// megabytes of etcd.
const HISTORY: &str = "10";
/// What helm's own timeout is shorter by than ours, so that it gives up first, says why, and writes "failed" in its record.
/// Writing that took an interrupted helm 0.2 s; the rest is for a slow API server.
const MARGIN: Duration = Duration::from_secs(10);

/// Whether helm waits for what it applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// Only for hooks: readiness is this tool's own gate, which says what it waits for.
    #[default]
    HooksOnly,
    /// Until everything is ready.
    Ready,
}

/// What becomes of a field that another manager took. Only helm 4 knows managers; helm 3 always takes fields back that differ
/// from what it applied last, and overlooks the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflicts {
    /// Helm stops, and names the field and its manager.
    #[default]
    Stop,
    /// Helm takes it back. Without this, a `helm upgrade` does not mend what `kubectl edit` changed.
    Take,
}

/// What becomes of an object that is there and belongs to no release, or to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// Helm stops.
    #[default]
    Respect,
    /// The release takes it over: an adoption that a blueprint asked for. Needs helm 3.17.
    Adopt,
}

/// How to install or upgrade.
#[derive(Debug, Clone, Copy)]
pub struct InstallOptions<'a> {
    /// The blueprint's name, which goes on the record.
    pub blueprint: &'a str,
    /// [`super::input_digest`], which goes on the record, cut to a label's length.
    pub inputs: &'a Digest,
    /// Whether to wait.
    pub wait: Wait,
    /// What becomes of fields that others took.
    pub conflicts: Conflicts,
    /// What becomes of objects that are not the release's.
    pub ownership: Ownership,
    /// When it is given up.
    pub deadline: Duration,
}

/// How to roll back.
#[derive(Debug, Clone, Copy)]
pub struct RollbackOptions {
    /// The revision to go back to.
    pub to: u32,
    /// What becomes of fields that others took.
    pub conflicts: Conflicts,
    /// When it is given up.
    pub deadline: Duration,
}

/// What an uninstall found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It was there, and its objects are gone.
    Removed,
    /// It was not there.
    WasNotThere,
}

/// What an install or upgrade made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallOutcome {
    /// The revision.
    pub revision: u32,
    /// Its status.
    pub status: ReleaseStatus,
}

/// One revision in a release's history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HistoryEntry {
    /// Its number.
    pub revision: u32,
    /// When it was written, as helm writes it (RFC 3339).
    pub updated: String,
    /// Its status, as helm says it; [`HistoryEntry::status`] reads it.
    #[serde(rename = "status")]
    status_text: String,
    /// Chart and version, `team-tools-0.1.0`.
    pub chart: String,
    /// `Install complete`, or why it failed.
    pub description: String,
}

impl HistoryEntry {
    /// Its status.
    pub fn status(&self) -> ReleaseStatus {
        ReleaseStatus::parse(&self.status_text)
    }
}

/// What this tool reads of helm's answer about a release. The rest of it holds values and manifests, and is dropped unread.
#[derive(Deserialize)]
struct ReleaseAnswer {
    version: u32,
    info: InfoAnswer,
}

#[derive(Deserialize)]
struct InfoAnswer {
    status: String,
}

impl Helm {
    /// Installs a release, or upgrades it where it is there. The chart must be what it was when the plan was made.
    ///
    /// # Errors
    /// [`HelmError::ChartMoved`] before anything is started; [`HelmError::Failed`] and those of any call, after which the
    /// release's record says how far it came.
    pub async fn install_or_upgrade(
        &self,
        cluster: &ClusterAccess,
        release: &ReleaseId,
        chart: &LocalChart,
        values: &Value,
        options: InstallOptions<'_>,
    ) -> Result<InstallOutcome, HelmError> {
        let InstallOptions { blueprint, inputs, wait, conflicts, ownership, deadline } = options;
        chart.confirm()?;
        let values = self.write_values(values)?;
        let mut args: Vec<OsString> = vec!["upgrade".into(), "--install".into(), release.name.clone().into()];
        args.push(chart.path.clone().into_os_string());
        args.extend(namespace(release));
        args.extend(["--values".into(), values.path().into()]);
        // Without it, helm takes the last revision's values whenever the new ones are empty.
        args.push("--reset-values".into());
        let labels = format!("{BLUEPRINT_LABEL}={blueprint},{DIGEST_LABEL}={}", digest_label(inputs));
        args.extend(["--labels".into(), labels.into()]);
        args.extend(["--history-max".into(), HISTORY.into()]);
        args.extend(["--output".into(), "json".into()]);
        args.push(timeout(deadline));
        match self.major() {
            // Three-way merges on the client, with `--wait` as a switch.
            Major::V3 => args.extend((wait == Wait::Ready).then(|| "--wait".into())),
            Major::V4 => {
                // Its default, `auto`, keeps a release that helm 3 made on three-way merges for ever.
                args.push("--server-side=true".into());
                args.push(wait_v4(wait));
                args.extend((conflicts == Conflicts::Take).then(|| "--force-conflicts".into()));
            }
        }
        args.extend((ownership == Ownership::Adopt).then(|| "--take-ownership".into()));
        let what = format!("install or upgrade release {release}");
        let printed = self
            .run(Call {
                what: what.clone(),
                args,
                started: Started::Changes,
                deadline,
                cluster: Some(cluster),
                cache: None,
            })
            .await?;
        outcome(what, &printed)
    }

    /// Goes back to an earlier revision, as a new one.
    ///
    /// # Errors
    /// As [`Helm::install_or_upgrade`].
    pub async fn rollback(
        &self,
        cluster: &ClusterAccess,
        release: &ReleaseId,
        options: RollbackOptions,
    ) -> Result<(), HelmError> {
        let RollbackOptions { to, conflicts, deadline } = options;
        let mut args: Vec<OsString> =
            vec!["rollback".into(), release.name.clone().into(), to.to_string().into(), timeout(deadline)];
        args.extend(namespace(release));
        args.extend(["--history-max".into(), HISTORY.into()]);
        match self.major() {
            Major::V3 => {}
            Major::V4 => {
                args.push("--server-side=true".into());
                args.push(wait_v4(Wait::HooksOnly));
                args.extend((conflicts == Conflicts::Take).then(|| "--force-conflicts".into()));
            }
        }
        let what = format!("roll back release {release} to revision {to}");
        self.run(Call { what, args, started: Started::Changes, deadline, cluster: Some(cluster), cache: None }).await?;
        Ok(())
    }

    /// Removes a release with its objects and its history, and waits until they are gone.
    ///
    /// # Errors
    /// As [`Helm::install_or_upgrade`]. A release that is not there is no error.
    pub async fn uninstall(
        &self,
        cluster: &ClusterAccess,
        release: &ReleaseId,
        deadline: Duration,
    ) -> Result<Removal, HelmError> {
        let mut args: Vec<OsString> = vec!["uninstall".into(), release.name.clone().into(), timeout(deadline)];
        args.extend(namespace(release));
        // Objects that are being deleted are in the way of an install that follows.
        args.push(match self.major() {
            Major::V3 => "--wait".into(),
            Major::V4 => "--wait=watcher".into(),
        });
        // No --ignore-not-found: with it, a release that was not there looks like one that was removed. An empty history
        // afterwards would not tell either: helm forgets the release even when its objects did not go in time.
        let what = format!("uninstall release {release}");
        let call = Call { what, args, started: Started::Changes, deadline, cluster: Some(cluster), cache: None };
        match self.run(call).await {
            Ok(_) => Ok(Removal::Removed),
            Err(error) if is_not_found(&error) => Ok(Removal::WasNotThere),
            Err(error) => Err(error),
        }
    }

    /// The revisions of a release, oldest first; none where there is no such release.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn history(&self, cluster: &ClusterAccess, release: &ReleaseId) -> Result<Vec<HistoryEntry>, HelmError> {
        let what = format!("read the history of release {release}");
        let mut args: Vec<OsString> = vec!["history".into(), release.name.clone().into()];
        args.extend(namespace(release));
        args.extend(["--output".into(), "json".into()]);
        match self.run(self.reading(&what, args, cluster)).await {
            Ok(printed) => serde_json::from_slice(&printed.stdout).map_err(|source| HelmError::Output { what, source }),
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Revision and status of a release; `None` where there is no such release.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn status(
        &self,
        cluster: &ClusterAccess,
        release: &ReleaseId,
    ) -> Result<Option<InstallOutcome>, HelmError> {
        let what = format!("read the status of release {release}");
        let mut args: Vec<OsString> = vec!["status".into(), release.name.clone().into()];
        args.extend(namespace(release));
        args.extend(["--output".into(), "json".into()]);
        match self.run(self.reading(&what, args, cluster)).await {
            Ok(printed) => outcome(what, &printed).map(Some),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn reading<'a>(&self, what: &str, args: Vec<OsString>, cluster: &'a ClusterAccess) -> Call<'a> {
        let deadline = self.deadline();
        Call { what: what.into(), args, started: Started::ReadOnly, deadline, cluster: Some(cluster), cache: None }
    }
}

/// Whether helm says that there is no such release. It has no exit status of its own for that; both majors end with these
/// words (`history`, `status` and `uninstall` alike).
fn is_not_found(error: &HelmError) -> bool {
    matches!(error, HelmError::Failed { stderr, .. } if stderr.trim_end().ends_with("release: not found"))
}

fn namespace(release: &ReleaseId) -> [OsString; 2] {
    ["--namespace".into(), release.namespace.clone().into()]
}

fn timeout(deadline: Duration) -> OsString {
    // A deadline near the margin leaves helm half of it.
    let seconds = deadline.saturating_sub(MARGIN).max(deadline / 2).as_secs().max(1);
    format!("--timeout={seconds}s").into()
}

fn wait_v4(wait: Wait) -> OsString {
    match wait {
        Wait::HooksOnly => "--wait=hookOnly".into(),
        Wait::Ready => "--wait=watcher".into(),
    }
}

fn outcome(what: String, printed: &Printed) -> Result<InstallOutcome, HelmError> {
    let answer: ReleaseAnswer =
        serde_json::from_slice(&printed.stdout).map_err(|source| HelmError::Output { what, source })?;
    Ok(InstallOutcome { revision: answer.version, status: ReleaseStatus::parse(&answer.info.status) })
}

/// Puts helm's own label and annotations on a manifest, as both majors do when they apply one.
pub fn render_marks(manifest: &mut Value, release: &ReleaseId) {
    let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let mut put = |field: &str, key: &str, value: &str| {
        let map = metadata.entry(field).or_insert_with(|| Value::Object(serde_json::Map::new()));
        if map.is_null() {
            *map = Value::Object(serde_json::Map::new());
        }
        if let Some(map) = map.as_object_mut() {
            map.insert(key.to_owned(), Value::String(value.to_owned()));
        }
    };
    put("labels", MANAGED_BY_LABEL, MANAGED_BY_VALUE);
    put("annotations", RELEASE_NAME_ANNOTATION, &release.name);
    put("annotations", RELEASE_NAMESPACE_ANNOTATION, &release.namespace);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_gives_up_before_its_process_is_ended() {
        assert_eq!(timeout(Duration::from_secs(300)), "--timeout=290s");
        assert_eq!(timeout(Duration::from_secs(12)), "--timeout=6s");
        assert_eq!(timeout(Duration::from_millis(10)), "--timeout=1s");
    }

    #[test]
    fn marks_are_helms_and_replace_what_a_chart_says_otherwise() {
        let release = ReleaseId { namespace: "ns".into(), name: "rel".into() };
        let mut manifest =
            serde_json::json!({"metadata": {"labels": {MANAGED_BY_LABEL: "me", "a": "b"}, "annotations": null}});
        render_marks(&mut manifest, &release);
        assert_eq!(
            manifest,
            serde_json::json!({"metadata": {
                "labels": {MANAGED_BY_LABEL: "Helm", "a": "b"},
                "annotations": {RELEASE_NAME_ANNOTATION: "rel", RELEASE_NAMESPACE_ANNOTATION: "ns"},
            }})
        );
    }
}
