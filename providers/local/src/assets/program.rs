//! The programs, and one that was found.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A program that the local provider or the tool starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Program {
    /// The store.
    #[serde(rename = "etcd")]
    Etcd,
    /// The API server.
    #[serde(rename = "kube-apiserver")]
    ApiServer,
    /// The controllers.
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
    /// The scheduler.
    #[serde(rename = "kube-scheduler")]
    Scheduler,
    /// The command line of Kubernetes.
    #[serde(rename = "kubectl")]
    Kubectl,
    /// The package manager.
    #[serde(rename = "helm")]
    Helm,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kubectl, Self::Helm];

    /// Those that a control plane cannot do without.
    pub const CONTROL_PLANE: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// Its file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a program came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "from", content = "where")]
pub enum Source {
    /// The directory that was given.
    Given,
    /// The search path.
    Path,
    /// A download, from this address.
    Downloaded(String),
    /// Built on this machine from Go modules.
    Built,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given => f.write_str("the directory given"),
            Self::Path => f.write_str("PATH"),
            Self::Downloaded(url) => write!(f, "downloaded from {url}"),
            Self::Built => f.write_str("built from Go modules"),
        }
    }
}

/// A program that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub program: Program,
    /// Its version; `None` where it was given and was not asked.
    pub version: Option<String>,
    /// The file to start.
    pub path: PathBuf,
    /// Where it came from.
    pub source: Source,
    /// What proved it to be what it claims; `None` where nothing did (given, found on PATH).
    pub verified: Option<String>,
}
