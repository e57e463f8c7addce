//! Everything that comes from outside: the command line fills it, nothing below reads the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where things are and what may be used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Clusters are kept here: `<state_dir>/clusters/<name>/`.
    pub state_dir: PathBuf,
    /// Binaries are cached here: `<cache_dir>/assets/`.
    pub cache_dir: PathBuf,
    /// A directory with some or all of the binaries (`KUBEBUILDER_ASSETS`); what it lacks comes from elsewhere.
    pub assets_dir: Option<PathBuf>,
    /// Base URL that replaces scheme and host of every download, `https://mirror.example/k8s`.
    pub mirror: Option<String>,
    /// Proxy for downloads (`HTTPS_PROXY`), `http://user:password@host:port`; never printed.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy (`NO_PROXY`), comma-separated.
    pub no_proxy: Option<String>,
    /// `false`: nothing is downloaded, only built.
    pub downloads: bool,
    /// `false`: nothing is built.
    pub builds: bool,
    /// Where programs are searched (`PATH`, split): go and helm.
    pub path: Vec<PathBuf>,
    /// What starts the simulator; `--kubeconfig FILE` is added.
    pub simulator: Vec<OsString>,
    /// Clusters that are created from now on keep an audit log (level Metadata) in their `logs/audit.log`.
    pub audit: bool,
}

impl Settings {
    /// Settings with everything beside the two directories at its default.
    pub fn new(state_dir: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            cache_dir: cache_dir.into(),
            assets_dir: None,
            mirror: None,
            proxy: None,
            no_proxy: None,
            downloads: true,
            builds: true,
            path: Vec::new(),
            simulator: Vec::new(),
            audit: false,
        }
    }

    /// The first executable of that name on [`Settings::path`].
    pub(crate) fn which(&self, program: &str) -> Option<PathBuf> {
        self.path.iter().map(|directory| directory.join(program)).find(|candidate| is_executable(candidate))
    }
}

/// Whether it is a file that may be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // A file that cannot be looked at cannot be run either.
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
