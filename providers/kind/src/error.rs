//! The one error of this crate, and how it becomes the provider's.

use std::path::{Path, PathBuf};

use wbk_provider_api::{LeftBehind, ProviderError, ServerWords};

/// Something that the kind provider could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// A program is not there and cannot be made.
    #[error("{program} is not there: {tried}")]
    NoProgram {
        /// Which.
        program: String,
        /// Where it was looked for.
        tried: String,
        /// What to do.
        hint: String,
    },
    /// A program could not be started.
    #[error("cannot start {}", program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// What was run.
        command: String,
        /// What it said, the last lines.
        said: String,
    },
    /// A program did not end.
    #[error("`{command}` did not end in {seconds} s: {said}")]
    Slow {
        /// What was run.
        command: String,
        /// How long it was waited for.
        seconds: u64,
        /// What it said, the last lines.
        said: String,
    },
    /// A program said something that cannot be read.
    #[error("`{command}` answered what cannot be read: {what}")]
    Answer {
        /// What was run.
        command: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file or directory could not be read or written.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No cluster of that name.
    #[error("there is no kind cluster {name}")]
    NoCluster {
        /// The name.
        name: String,
    },
    /// It is there and cannot be asked.
    #[error("kind cluster {name} does not run")]
    NotRunning {
        /// The name.
        name: String,
    },
    /// It is somebody else's.
    #[error("the kind cluster {name} is not this blueprint's: {owner}")]
    Foreign {
        /// The name.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// A Kubernetes version for which no node image is known.
    #[error("no node image for Kubernetes {version} is known; these are: {known}")]
    Version {
        /// What was asked for.
        version: String,
        /// What there is.
        known: String,
    },
    /// The world is not as the plan saw it.
    #[error("{what} changed since it was planned")]
    Moved {
        /// What.
        what: String,
    },
    /// Something that is not done, and why.
    #[error("{what}")]
    Refused {
        /// What was asked for and why it is not done.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// Something did not come about in time.
    #[error("waited {seconds} s for {what}, in vain")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What to look at.
        hint: String,
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
    #[error("cannot use the kubeconfig of kind cluster {name}")]
    Kubeconfig {
        /// The cluster.
        name: String,
        /// Why not.
        #[source]
        source: kube::config::KubeconfigError,
    },
}

impl KindError {
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
            Self::NoProgram { hint, .. } | Self::Refused { hint, .. } | Self::Late { hint, .. } => Some(hint.clone()),
            Self::Failed { said, .. } | Self::Slow { said, .. } => of_output(said),
            Self::NoCluster { .. } => Some("apply makes it".into()),
            Self::NotRunning { .. } => Some("apply starts it".into()),
            Self::Foreign { name, .. } => Some(format!(
                "give this one another name (cluster.name), or delete that one: kind delete cluster --name {name}"
            )),
            Self::Version { .. } => Some(
                "write cluster.kind.image; the release notes of kind list images with their digests: \
                 https://github.com/kubernetes-sigs/kind/releases"
                    .into(),
            ),
            Self::Moved { .. } => Some("plan again".into()),
            Self::Spawn { .. }
            | Self::Answer { .. }
            | Self::File { .. }
            | Self::Api { .. }
            | Self::Kubeconfig { .. } => None,
        }
    }

    /// An error and its causes in one sentence.
    pub(crate) fn in_words(&self) -> String {
        wbk_provider_api::in_words(self)
    }

    /// What was refused before anything was done left nothing; the rest is finished by the next apply.
    pub(crate) fn left_behind(&self) -> LeftBehind {
        match self {
            Self::NoProgram { .. }
            | Self::NoCluster { .. }
            | Self::NotRunning { .. }
            | Self::Foreign { .. }
            | Self::Version { .. }
            | Self::Moved { .. }
            | Self::Refused { .. } => LeftBehind::Nothing,
            Self::Spawn { .. }
            | Self::Failed { .. }
            | Self::Slow { .. }
            | Self::Answer { .. }
            | Self::File { .. }
            | Self::Late { .. }
            | Self::Api { .. }
            | Self::Kubeconfig { .. } => LeftBehind::Partial,
        }
    }

    /// As the provider's error about `attempted`.
    pub(crate) fn into_provider(self, attempted: impl Into<String>) -> ProviderError {
        let (left, hint) = (self.left_behind(), self.hint());
        ProviderError { attempted: attempted.into(), left, hint, source: Some(Box::new(self)) }
    }
}

/// What helps against what the programs are known to say.
fn of_output(said: &str) -> Option<String> {
    let has = |words: &str| said.contains(words);
    if has("Cannot connect to the Docker daemon") || has("docker daemon is not running") {
        Some("start Docker, or name another engine in KIND_EXPERIMENTAL_PROVIDER".into())
    } else if has("permission denied while trying to connect to the Docker daemon") {
        Some("let this user use Docker: add it to the group docker, or use a rootless engine".into())
    } else if has("no space left on device") {
        Some("the disk is full; each node needs about 500 MB, an image about 1 GB".into())
    } else if has("too many open files") {
        Some(
            "raise fs.inotify.max_user_instances and max_user_watches: https://kind.sigs.k8s.io/docs/user/known-issues"
                .into(),
        )
    } else if has("failed to pull image") || has("failed to resolve reference") || has("manifest unknown") {
        Some("give an image that this machine has in cluster.kind.image, or reach the registry".into())
    } else {
        None
    }
}
