//! The one error of this crate, and how it becomes the provider's.

use std::path::{Path, PathBuf};

use wbk_provider_api::{LeftBehind, ProviderError, ServerWords};

/// Something that the local provider could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A cluster's name cannot be used as a directory and a context.
    #[error("cluster name {name:?} is not 1 to 40 of a-z, 0-9 and '-', beginning and ending with a letter or digit")]
    Name {
        /// The name.
        name: String,
    },
    /// No cluster of that name.
    #[error("local cluster {name} does not exist")]
    NoCluster {
        /// The name.
        name: String,
    },
    /// It is there and its API server does not run.
    #[error("local cluster {name} is not running")]
    NotRunning {
        /// The name.
        name: String,
    },
    /// A Kubernetes version for which nothing is pinned.
    #[error("Kubernetes {wanted} cannot be had locally; these can: {available}")]
    Version {
        /// What was asked for.
        wanted: String,
        /// What there is.
        available: String,
    },
    /// It exists with another minor version.
    #[error("local cluster {name} runs Kubernetes {has}, and {wanted} is wanted")]
    OtherVersion {
        /// The cluster.
        name: String,
        /// Its version.
        has: String,
        /// The blueprint's.
        wanted: String,
    },
    /// A file or directory could not be read or written.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was attempted: `write`, `create directory`.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of ours does not say what it should.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A program could not be started or failed.
    #[error("{program} failed: {what}")]
    Program {
        /// Which.
        program: String,
        /// What it said, the last lines.
        what: String,
    },
    /// A program's own start failed.
    #[error("cannot start {}", program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A signal could not be sent.
    #[error("cannot stop {component} (pid {pid})")]
    Signal {
        /// The component.
        component: String,
        /// Its process.
        pid: i32,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// None of the ways to get a binary worked.
    #[error("{programs} cannot be found or made: {tried}")]
    NoAssets {
        /// What is missing.
        programs: String,
        /// What was tried, each with its outcome.
        tried: String,
    },
    /// What was downloaded is not what is pinned.
    #[error("{url} has the wrong checksum: {algorithm} is {found}, pinned is {pinned}; the file was removed")]
    Checksum {
        /// Where it came from.
        url: String,
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// What it has.
        found: String,
        /// What it should have.
        pinned: String,
    },
    /// A download did not finish.
    #[error("cannot download {url}: {what}")]
    Download {
        /// From where.
        url: String,
        /// Why not.
        what: String,
    },
    /// A key or certificate could not be made.
    #[error("cannot make the certificate of {what}")]
    Certificate {
        /// For whom.
        what: String,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// A component ended while it was waited for.
    #[error("{component} ended while it was waited for; its log ends with:\n{log}")]
    Died {
        /// Which.
        component: String,
        /// The last lines of its log.
        log: String,
    },
    /// Something did not come about in time.
    #[error("waited {seconds} s for {what}, in vain{log}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// The last lines of a log, or nothing.
        log: String,
    },
    /// The API server refused or could not be asked.
    #[error("cannot {what}")]
    Api {
        /// What was attempted.
        what: String,
        /// What came back, in the server's words.
        #[source]
        source: ServerWords,
    },
    /// A kubeconfig could not be used.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// The world is not as the plan saw it.
    #[error("{what} changed since it was planned")]
    Moved {
        /// What.
        what: String,
    },
    /// An operation that this provider never makes.
    #[error("{what}")]
    Refused {
        /// What was asked for and why it is not done.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// Other work could not be finished because its task ended.
    #[error("the task that {what} ended early: this is a bug")]
    Task {
        /// What it did.
        what: &'static str,
    },
}

impl LocalError {
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { verb, path, source }
    }

    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: source.into() }
    }

    /// One concrete action for the user, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name { .. } => Some("give the cluster another name in cluster.name".into()),
            Self::NoCluster { .. } => Some("see which there are: wbk-infra local list".into()),
            Self::NotRunning { name } => Some(format!("start it: wbk-infra local start {name}")),
            Self::Version { .. } => Some("set cluster.version to one of them".into()),
            Self::OtherVersion { name, .. } => Some(format!(
                "a local cluster keeps its minor version; if its data may go: wbk-infra local delete {name}, then apply again"
            )),
            Self::File { path, source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Some(format!("the disk of {} is full; free about 5 GB there", path.display()))
                }
                std::io::ErrorKind::PermissionDenied => {
                    Some(format!("make {} readable and writable for this user", path.display()))
                }
                _ => None,
            },
            Self::Damaged { path, .. } => Some(format!("remove {} and try again", path.display())),
            Self::NoAssets { .. } => Some(
                "install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver, \
                 kube-controller-manager and kube-scheduler, or set a mirror that has the release files"
                    .into(),
            ),
            Self::Checksum { .. } => {
                Some("ask whoever runs the mirror or proxy; a download that differs is never used".into())
            }
            Self::Moved { .. } => Some("plan again".into()),
            Self::Refused { hint, .. } => Some(hint.clone()),
            Self::Program { what, .. } if what.contains("no space left on device") => {
                Some("the disk is full; building needs about 5 GB for Go's caches".into())
            }
            Self::Late { .. }
            | Self::Died { .. }
            | Self::Program { .. }
            | Self::Spawn { .. }
            | Self::Signal { .. }
            | Self::Download { .. }
            | Self::Certificate { .. }
            | Self::Api { .. }
            | Self::Kubeconfig { .. }
            | Self::Task { .. } => None,
        }
    }

    /// As the provider's error about `attempted`.
    pub(crate) fn into_provider(self, attempted: impl Into<String>, left: LeftBehind) -> ProviderError {
        let hint = self.hint();
        ProviderError { attempted: attempted.into(), left, hint, source: Some(Box::new(self)) }
    }
}
