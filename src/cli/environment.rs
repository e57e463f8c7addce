//! All that is read of the process's environment: read once, here, and handed down as values.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::IsTerminal,
    path::PathBuf,
};

/// The environment of this process.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Kept between runs: local clusters, inventories, journals.
    pub state: PathBuf,
    /// May be deleted at any time: programs, charts, renders.
    pub cache: PathBuf,
    /// This machine's name.
    pub host: String,
    /// Whether standard error is a terminal: live progress.
    pub progress_terminal: bool,
    /// Whether questions can be asked and answered.
    pub can_ask: bool,
    /// The program itself.
    pub program: PathBuf,
    /// The rehearsal that this process plays a part in.
    pub rehearsal: Option<wbk_provider_rehearsal::Rehearsal>,
}

impl std::fmt::Debug for Environment {
    /// Variables hold secrets: none is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("state", &self.state).field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Environment {
    /// Reads it.
    pub fn read() -> Self {
        let variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        let get = |name: &str| variables.get(OsStr::new(name)).filter(|value| !value.is_empty());
        let home = get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let folder = |variable: &str, below: &str| {
            get(variable).map_or_else(|| home.join(below), PathBuf::from).join("wbk-infra")
        };
        Self {
            state: folder("XDG_STATE_HOME", ".local/state"),
            cache: folder("XDG_CACHE_HOME", ".cache"),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .ok() // Another system: its environment may know.
                .map(|name| name.trim().to_owned())
                .or_else(|| get("HOSTNAME").map(|name| name.to_string_lossy().into_owned()))
                .unwrap_or_else(|| "unknown-host".into()),
            progress_terminal: std::io::stderr().is_terminal(),
            can_ask: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("wbk-infra")), // Then PATH finds it.
            variables,
            rehearsal: None,
        }
    }

    /// A variable; empty ones count as unset.
    pub fn get(&self, name: &str) -> Option<String> {
        self.variables
            .get(OsStr::new(name))
            .filter(|value| !value.is_empty())
            .and_then(|value| value.to_str())
            .map(str::to_owned)
    }

    /// The proxies of this process's own requests to W&B.
    pub fn proxies(&self) -> crate::wandb::Proxies {
        let either = |name: &str| self.get(name).or_else(|| self.get(&name.to_ascii_lowercase()));
        crate::wandb::Proxies {
            // In capital letters it may be a header of a request that a web server passes on (CVE-2016-5385): not read.
            http: self.get("http_proxy"),
            https: either("HTTPS_PROXY"),
            no_proxy: either("NO_PROXY"),
        }
    }

    /// A path with `~/` replaced by the home folder.
    pub fn expand(&self, path: &str) -> String {
        match (path.strip_prefix("~/"), self.get("HOME")) {
            (Some(rest), Some(home)) => format!("{home}/{rest}"),
            (Some(_) | None, _) => path.to_owned(),
        }
    }

    /// All variables, for choosing what a child process gets.
    pub fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> + '_ {
        self.variables.iter().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// Where programs are searched.
    pub fn path(&self) -> Vec<PathBuf> {
        self.variables.get(OsStr::new("PATH")).map(|path| std::env::split_paths(path).collect()).unwrap_or_default()
    }

    /// The kubeconfig files: what KUBECONFIG lists, or the standard one.
    pub fn kubeconfigs(&self) -> Vec<PathBuf> {
        match self.variables.get(OsStr::new("KUBECONFIG")).filter(|value| !value.is_empty()) {
            Some(list) => std::env::split_paths(list).collect(),
            None => {
                let home = self.get("HOME").unwrap_or_else(|| "/".into());
                vec![PathBuf::from(home).join(".kube/config")]
            }
        }
    }
}
