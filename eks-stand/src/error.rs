//! What can go wrong before the stand stands.

use std::path::{Path, PathBuf};

/// The stand could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StandError {
    /// A program that it needs could not be installed.
    #[error("this needs {program}, which could not be provided: {said}\nhint: {hint}")]
    Provide {
        /// The program.
        program: String,
        /// The last words of what installs it.
        said: String,
        /// What to do.
        hint: String,
    },
    /// A program that it started ended, or does not answer.
    #[error("{program} does not run: {what}\nits log ends with:\n{log}")]
    Child {
        /// The program.
        program: String,
        /// What was seen.
        what: String,
        /// Its last lines.
        log: String,
    },
    /// A file or a port.
    #[error("cannot {verb} {path}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An emulator did not answer a request.
    #[error("cannot ask {whom}: {why}")]
    Ask {
        /// The emulator.
        whom: String,
        /// Its words, or the connection's.
        why: String,
    },
    /// A control plane, or its nodes.
    #[error("{attempted}: {why}")]
    Plane {
        /// What was tried.
        attempted: String,
        /// Why it did not work.
        why: String,
    },
}

impl StandError {
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }

    pub(crate) fn plane(attempted: impl Into<String>, why: &dyn std::error::Error) -> Self {
        Self::Plane { attempted: attempted.into(), why: wbk_provider_api::in_words(why) }
    }
}
