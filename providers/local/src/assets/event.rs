//! What assets say while they work.

/// One piece of progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssetEvent {
    /// Another process fetches or builds; this one waits for it.
    WaitsForOther,
    /// A download goes on.
    Downloading {
        /// The file's name.
        file: String,
        /// Bytes that are there.
        bytes: u64,
        /// Bytes that there will be, where the server said so.
        total: Option<u64>,
    },
    /// A way that was tried did not work; the next one is tried.
    Skipped {
        /// Which and why.
        what: String,
    },
    /// The build downloads Go modules.
    DownloadingModules {
        /// Modules so far.
        count: u32,
    },
    /// The build compiles.
    Compiling {
        /// Packages so far.
        count: u32,
        /// About how many there are.
        about: u32,
    },
    /// Something is ready in the cache.
    Ready {
        /// What.
        what: String,
    },
}

impl std::fmt::Display for AssetEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MB: u64 = 1_000_000;
        match self {
            Self::WaitsForOther => f.write_str("another wbk-infra fetches or builds the control plane; waiting for it"),
            Self::Downloading { file, bytes, total: Some(total) } => {
                write!(f, "downloading {file}: {} of {} MB", bytes / MB, total / MB)
            }
            Self::Downloading { file, bytes, total: None } => write!(f, "downloading {file}: {} MB", bytes / MB),
            Self::Skipped { what } => f.write_str(what),
            Self::DownloadingModules { count } => {
                write!(f, "building the control plane: {count} Go modules downloaded")
            }
            Self::Compiling { count, about } => {
                write!(f, "building the control plane: {count} of about {about} Go packages (4 minutes on 2 cores)")
            }
            Self::Ready { what } => write!(f, "{what} is ready"),
        }
    }
}
