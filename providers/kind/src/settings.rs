//! Everything that comes from outside: the command line fills it, nothing below reads the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where things are and what may be used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Kubeconfigs and locks of clusters are kept here: `<state_dir>/kind/<name>/`. All of it may be deleted at any time.
    pub state_dir: PathBuf,
    /// Programs and images that were built are kept here: `<cache_dir>/kind/`.
    pub cache_dir: PathBuf,
    /// Where programs are searched (`PATH`, split): kind, docker, podman, nerdctl, go, cargo.
    pub path: Vec<PathBuf>,
    /// What the programs get of the environment. See [`Settings::allowed`].
    pub environment: Vec<(OsString, OsString)>,
    /// The container engine by name (`KIND_EXPERIMENTAL_PROVIDER`); the first that is found when absent.
    pub engine: Option<String>,
    /// An archive with the image of the fake GPU plugin, or its static binary; built when absent.
    pub fake_gpu: Option<PathBuf>,
    /// `false`: nothing is built.
    pub builds: bool,
}

/// Variables that kind, an engine, go or cargo need. `KUBECONFIG` is not among them: nobody here touches the user's.
const ALLOWED: [&str; 37] = [
    "CARGO_HOME",
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINER_CONNECTION",
    "CONTAINER_HOST",
    "CONTAINERD_ADDRESS",
    "CONTAINERD_NAMESPACE",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "GOCACHE",
    "GOFLAGS",
    "GOMODCACHE",
    "GONOSUMDB",
    "GOPATH",
    "GOPROXY",
    "GOROOT",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "KIND_EXPERIMENTAL_CONTAINERD_SNAPSHOTTER",
    "KIND_EXPERIMENTAL_DOCKER_NETWORK",
    "KIND_EXPERIMENTAL_PODMAN_NETWORK",
    "LD_LIBRARY_PATH",
    "NO_PROXY",
    "PATH",
    "RUSTUP_HOME",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
];

/// Those that may be spelled in lower case too.
const LOWER: [&str; 3] = ["http_proxy", "https_proxy", "no_proxy"];

impl Settings {
    /// Settings with everything beside the two directories at its default.
    pub fn new(state_dir: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            cache_dir: cache_dir.into(),
            path: Vec::new(),
            environment: Vec::new(),
            engine: None,
            fake_gpu: None,
            builds: true,
        }
    }

    /// Of an environment, what the programs get.
    pub fn allowed(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
        variables
            .filter(|(name, _)| name.to_str().is_some_and(|name| ALLOWED.contains(&name) || LOWER.contains(&name)))
            .collect()
    }

    /// The first executable of that name on [`Settings::path`].
    pub(crate) fn which(&self, program: &str) -> Option<PathBuf> {
        self.path.iter().map(|directory| directory.join(program)).find(|candidate| is_executable(candidate))
    }

    /// Where what belongs to a cluster is kept.
    pub(crate) fn folder(&self, cluster: &str) -> PathBuf {
        self.state_dir.join("kind").join(cluster)
    }
}

/// Whether it is a file that may be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // A file that cannot be looked at cannot be run either.
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
