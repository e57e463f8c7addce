//! What can go wrong at the helm boundary, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use wbk_provider_api::LeftBehind;

use super::version::HelmVersion;

/// One concrete thing to do about an error.
pub type Hint = String;

/// What a helm process that was started may have changed before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It only reads.
    ReadOnly,
    /// It changes a release.
    Changes,
}

/// An error of the helm boundary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelmError {
    /// There is no such program.
    #[error("cannot find helm at {program}")]
    NotFound {
        /// The program that was asked for.
        program: PathBuf,
    },
    /// The program is there and the system does not start it.
    #[error("cannot start helm at {program}")]
    CannotStart {
        /// The program that was asked for.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What answers is not helm.
    #[error("{program} does not say its version as helm does: it said {said:?}")]
    NotHelm {
        /// The program that was asked for.
        program: PathBuf,
        /// The first part of what it said.
        said: String,
    },
    /// An older helm than this tool can drive.
    #[error("helm {found} at {program} is too old: {minimum} or newer is needed")]
    TooOld {
        /// The program that was asked for.
        program: PathBuf,
        /// Its version.
        found: HelmVersion,
        /// The oldest that will do.
        minimum: HelmVersion,
    },
    /// A major version that this tool was never tried with.
    #[error("helm {found} at {program} is of a major version that this tool does not know (it knows 3 and 4)")]
    UnknownMajor {
        /// The program that was asked for.
        program: PathBuf,
        /// Its version.
        found: HelmVersion,
    },
    /// Helm ran and said no.
    #[error("helm failed to {what} (exit status {code}){}", tail(.stderr))]
    Failed {
        /// What was attempted, on what: `install release wandb/agent`.
        what: String,
        /// Its exit status.
        code: i32,
        /// Its arguments, with nothing secret in them.
        args: Vec<String>,
        /// The last lines of its standard error.
        stderr: String,
        /// Whether it may have changed something.
        started: Started,
    },
    /// Somebody else ended helm.
    #[error("helm was killed by signal {signal} while it tried to {what}{}", tail(.stderr))]
    Killed {
        /// What was attempted, on what.
        what: String,
        /// The signal's number.
        signal: i32,
        /// The last lines of its standard error.
        stderr: String,
        /// Whether it may have changed something.
        started: Started,
    },
    /// Helm did not end in time, and was ended.
    #[error("helm did not {what} within {} s and was {}", .after.as_secs(), if *.by_force { "killed" } else { "interrupted" })]
    TimedOut {
        /// What was attempted, on what.
        what: String,
        /// The deadline.
        after: Duration,
        /// Whether it ignored the interrupt and had to be killed.
        by_force: bool,
        /// Whether it may have changed something.
        started: Started,
    },
    /// The caller gave up waiting.
    #[error("interrupted while helm tried to {what}")]
    Cancelled {
        /// What was attempted, on what.
        what: String,
        /// Whether it ignored the interrupt and had to be killed.
        by_force: bool,
        /// Whether it may have changed something.
        started: Started,
    },
    /// Helm's machine output is not what it should be.
    #[error("cannot understand what helm answered when asked to {what}")]
    Output {
        /// What was attempted, on what.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Helm answered more than is sane.
    #[error("helm answered more than {limit} bytes when asked to {what}")]
    TooMuchOutput {
        /// What was attempted, on what.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// A chart does not render.
    #[error("chart {chart} does not render{}{}", at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default(), tail(.stderr))]
    Render {
        /// The chart.
        chart: String,
        /// Template and position, `team-tools/templates/deployment.yaml:12:5`, where helm says it.
        at: Option<String>,
        /// The last lines of helm's standard error.
        stderr: String,
    },
    /// A chart renders something that is not a Kubernetes manifest.
    #[error("chart {chart} renders something that is no manifest in {template}: {problem}")]
    Manifest {
        /// The chart.
        chart: String,
        /// The template.
        template: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no chart at that path.
    #[error("there is no chart at {path}: {problem}")]
    NoChart {
        /// The path.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A chart reference that cannot be used.
    #[error("cannot use chart {chart}: {problem}")]
    BadReference {
        /// The reference.
        chart: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The chart is not the pinned one. Nothing of it was kept.
    #[error("chart {chart} is not the pinned one: its archive has digest {found}, the pin says {pinned}")]
    DigestMismatch {
        /// The chart.
        chart: String,
        /// The digest in the blueprint.
        pinned: String,
        /// The digest of what the server sent.
        found: String,
        /// Whether the pin is the digest of the OCI manifest in place of the archive's.
        pinned_is_manifest: bool,
    },
    /// The chart changed after it was looked at.
    #[error("chart {chart} changed after the plan was made: its digest was {planned} and is {found}")]
    ChartMoved {
        /// The chart.
        chart: String,
        /// The digest in the plan.
        planned: String,
        /// The digest now.
        found: String,
    },
    /// A file of ours could not be read or written.
    #[error("cannot {what} {path}")]
    Io {
        /// `read`, `write`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl HelmError {
    /// Says what the failed call left behind in the cluster. A helm that was started to change something and failed is
    /// [`LeftBehind::Unknown`]: only its release record can tell.
    pub fn left(&self) -> LeftBehind {
        match self {
            Self::Failed { started: Started::Changes, .. }
            | Self::Killed { started: Started::Changes, .. }
            | Self::TimedOut { started: Started::Changes, .. }
            | Self::Cancelled { started: Started::Changes, .. } => LeftBehind::Unknown,
            // Its output is read after it ended well: the change was made.
            Self::Output { .. } | Self::TooMuchOutput { .. } => LeftBehind::Unknown,
            Self::Failed { started: Started::ReadOnly, .. }
            | Self::Killed { started: Started::ReadOnly, .. }
            | Self::TimedOut { started: Started::ReadOnly, .. }
            | Self::Cancelled { started: Started::ReadOnly, .. }
            | Self::NotFound { .. }
            | Self::CannotStart { .. }
            | Self::NotHelm { .. }
            | Self::TooOld { .. }
            | Self::UnknownMajor { .. }
            | Self::Render { .. }
            | Self::Manifest { .. }
            | Self::NoChart { .. }
            | Self::BadReference { .. }
            | Self::DigestMismatch { .. }
            | Self::ChartMoved { .. }
            | Self::Io { .. } => LeftBehind::Nothing,
        }
    }

    /// The one thing to do about it, where there is one.
    pub fn hint(&self) -> Option<Hint> {
        let hint = match self {
            Self::NotFound { .. } => {
                "install helm 4, or let wbk-infra bring its own: leave out the path to helm".into()
            }
            Self::CannotStart { program, .. } => format!("run `{} version` by hand and see", program.display()),
            Self::NotHelm { program, .. } => {
                format!("{} is some other program; name the right one", program.display())
            }
            Self::TooOld { minimum, .. } => format!("install helm {minimum} or newer (helm 4 is best)"),
            Self::UnknownMajor { .. } => "use helm 4, or a newer wbk-infra".into(),
            Self::Failed { stderr, .. } => return hint_from_stderr(stderr),
            Self::Killed { .. } => "plan again: an interrupted release is seen, and its repair is planned".into(),
            Self::TimedOut { started: Started::Changes, .. } => {
                "plan again: an interrupted release is seen, and its repair is planned".into()
            }
            Self::TimedOut { started: Started::ReadOnly, .. } => "see whether the chart's server answers".into(),
            Self::Cancelled { .. } => return None,
            Self::Output { .. } | Self::TooMuchOutput { .. } => "use a released helm 4".into(),
            Self::Render { stderr, .. } => return hint_from_stderr(stderr),
            Self::Manifest { chart, .. } => {
                format!("run `helm template` on {chart} and look at that template's output")
            }
            Self::NoChart { .. } => "a chart is a folder with a Chart.yaml, or a .tgz that `helm package` made".into(),
            Self::BadReference { .. } => return None,
            Self::DigestMismatch { pinned_is_manifest: true, found, .. } => {
                format!("the pin is the digest of the OCI manifest; pin the archive's: {found}")
            }
            Self::DigestMismatch { pinned_is_manifest: false, .. } => {
                "find out why the chart changed under its version before you pin the new digest".into()
            }
            Self::ChartMoved { .. } => "plan again".into(),
            Self::Io { path, .. } => format!("see to the permissions and the free space of {}", path.display()),
        };
        Some(hint)
    }
}

/// The hint for a failure that helm describes in words. The words are helm's own, of versions 3.17 and 4.2; where they
/// change, the hint is lost and nothing else: no decision rests on them.
fn hint_from_stderr(stderr: &str) -> Option<Hint> {
    if stderr.contains("missing in charts/ directory") {
        return Some("run `helm dependency build` in the chart's folder".into());
    }
    if stderr.contains("another operation (install/upgrade/rollback) is in progress") {
        return Some("plan again: an interrupted release is seen, and its repair is planned".into());
    }
    if stderr.contains("invalid ownership metadata") {
        return Some("an object of that name belongs to somebody else; adopt it by name or rename yours".into());
    }
    if stderr.contains("conflict with") || stderr.contains("Apply failed with") {
        return Some("another manager holds a field that the chart sets: choose `take` or `yield`".into());
    }
    None
}

/// `: the last line`, or all lines on lines of their own.
fn tail(stderr: &str) -> String {
    match stderr.lines().count() {
        0 => String::new(),
        1 => format!(": {}", stderr.trim()),
        _ => format!(":\n{}", stderr.trim_end()),
    }
}
