//! Named clusters on this machine: each a directory, a certificate authority and five background processes.
//!
//! Every operation holds the cluster's lock, is idempotent, and finishes or repairs what an earlier one left: a
//! process that died is started again, files that are missing are made, and a process that is not provably ours is
//! never touched.

mod component;
mod directory;
mod kubeconfig;
mod pki;
mod process;
mod record;
mod start;
mod status;
mod stop;
mod wait;

use std::path::PathBuf;

use wbk_provider_api::{Access, ProgressSink};

pub use component::Component;
pub(crate) use directory::Directory;
pub use status::{ClusterStatus, ComponentStatus};
pub(crate) use wait::Wait;

use crate::{LocalError, Settings, files};

/// The clusters below one state directory.
#[derive(Debug, Clone)]
pub struct Clusters {
    settings: Settings,
}

impl Clusters {
    /// The clusters of these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The settings they were made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Every cluster that is there, by name, running or not.
    ///
    /// # Errors
    /// The state directory is there and cannot be read.
    pub fn list(&self) -> Result<Vec<ClusterStatus>, LocalError> {
        directory::names(&self.settings)?.iter().filter_map(|name| self.status(name).transpose()).collect()
    }

    /// One cluster; `None` where there is none of that name.
    ///
    /// # Errors
    /// The name cannot be a cluster's, or its files cannot be read.
    pub fn status(&self, name: &str) -> Result<Option<ClusterStatus>, LocalError> {
        status::status(&Directory::new(&self.settings, name)?)
    }

    /// Creates the cluster, starts it, or repairs what of it does not run, and waits until it is ready.
    ///
    /// `minor` is the Kubernetes minor version, `1.36`; `None` takes what the cluster has, or else the newest.
    ///
    /// # Errors
    /// Says what was waited for in vain, with the last lines of the log; what was started stays and is used next time.
    pub async fn start(
        &self,
        name: &str,
        minor: Option<&str>,
        progress: ProgressSink<'_>,
    ) -> Result<ClusterStatus, LocalError> {
        start::start(&self.settings, &Directory::new(&self.settings, name)?, minor, progress).await
    }

    /// Stops its processes; its data stays. One that does not run is stopped.
    ///
    /// # Errors
    /// There is no such cluster, or a process could not be ended.
    pub async fn stop(&self, name: &str, progress: ProgressSink<'_>) -> Result<(), LocalError> {
        let directory = Directory::new(&self.settings, name)?;
        let _lock = wait::lock(&directory, progress).await?;
        if !directory.exists() {
            return Err(LocalError::NoCluster { name: name.into() });
        }
        stop::stop(&directory, progress).await
    }

    /// Stops it and removes all that it kept, its data too. One that is not there is deleted.
    ///
    /// # Errors
    /// A process could not be ended, or a file not removed.
    pub async fn delete(&self, name: &str, progress: ProgressSink<'_>) -> Result<(), LocalError> {
        let directory = Directory::new(&self.settings, name)?;
        let _lock = wait::lock(&directory, progress).await?;
        stop::stop(&directory, progress).await?;
        directory.remove()
    }

    /// The log of one component, the last `lines` of it.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn logs(&self, name: &str, component: Component, lines: usize) -> Result<String, LocalError> {
        Ok(files::tail(&self.log_path(name, component)?, lines))
    }

    /// Where one component's log is.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn log_path(&self, name: &str, component: Component) -> Result<PathBuf, LocalError> {
        Ok(self.existing(name)?.log(component))
    }

    /// Where the audit log is, if the cluster keeps one.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn audit_path(&self, name: &str) -> Result<PathBuf, LocalError> {
        Ok(self.existing(name)?.audit_log())
    }

    /// The administrator's kubeconfig as a file; its content is secret.
    ///
    /// # Errors
    /// There is no such cluster, or it was never started.
    pub fn kubeconfig_path(&self, name: &str) -> Result<PathBuf, LocalError> {
        let path = self.existing(name)?.kubeconfig();
        if path.exists() { Ok(path) } else { Err(LocalError::NotRunning { name: name.into() }) }
    }

    /// How the administrator reaches it.
    ///
    /// # Errors
    /// There is no such cluster, or it was never started.
    pub fn access(&self, name: &str) -> Result<Access, LocalError> {
        let kubeconfig = kubeconfig::read(&self.kubeconfig_path(name)?)?;
        Ok(Access { kubeconfig, context: kubeconfig::context(name), simulated_nodes: true })
    }

    /// What is left of a cluster: its directory and its living processes. Empty: nothing.
    ///
    /// # Errors
    /// The name cannot be a cluster's.
    pub fn leftovers(&self, name: &str) -> Result<Vec<(String, String)>, LocalError> {
        let directory = Directory::new(&self.settings, name)?;
        let mut left = Vec::new();
        for component in Component::ALL {
            if let Some(process) = process::find(&directory, component) {
                left.push((format!("process {component} (pid {})", process.pid), format!("kill {}", process.pid)));
            }
        }
        for path in [directory.path().to_path_buf(), directory.doomed()] {
            if path.exists() {
                left.push((format!("directory {}", path.display()), format!("wbk-infra local delete {name}")));
            }
        }
        Ok(left)
    }

    fn existing(&self, name: &str) -> Result<Directory, LocalError> {
        let directory = Directory::new(&self.settings, name)?;
        if directory.exists() { Ok(directory) } else { Err(LocalError::NoCluster { name: name.into() }) }
    }
}

/// A client for a kubeconfig of ours.
pub(crate) async fn client(access: &Access) -> Result<kube::Client, LocalError> {
    kubeconfig::client(access.kubeconfig.clone(), &access.context).await
}

/// A client for a kubeconfig file of ours.
pub(crate) async fn client_of_file(path: &std::path::Path) -> Result<kube::Client, LocalError> {
    let kubeconfig = kubeconfig::read(path)?;
    let context = kubeconfig.current_context.clone().unwrap_or_default();
    kubeconfig::client(kubeconfig, &context).await
}
