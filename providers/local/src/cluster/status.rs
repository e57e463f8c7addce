//! What a cluster is, without asking its API server.

use std::path::PathBuf;

use serde::Serialize;

use super::record::Record;
use super::{Component, Directory, process};
use crate::LocalError;

/// A cluster and its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Tells it from another that had the same name.
    pub id: String,
    /// Kubernetes minor version, `1.36`.
    pub minor: String,
    /// Version of the API server that ran last.
    pub version: Option<String>,
    /// When it was created.
    pub created: jiff::Timestamp,
    /// Its directory.
    pub directory: PathBuf,
    /// Its API server's address.
    pub server: String,
    /// Whether it keeps an audit log.
    pub audit: bool,
    /// All five, in the order in which they start.
    pub components: Vec<ComponentStatus>,
}

/// One process, or its absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStatus {
    /// Which.
    pub component: Component,
    /// Its process; `None` where it does not run.
    pub pid: Option<i32>,
    /// Memory that it holds, in bytes.
    pub resident_bytes: Option<u64>,
}

impl ClusterStatus {
    /// All of it runs.
    pub fn is_running(&self) -> bool {
        self.components.iter().all(|component| component.pid.is_some())
    }

    /// None of it runs.
    pub fn is_stopped(&self) -> bool {
        self.components.iter().all(|component| component.pid.is_none())
    }

    /// The process of one component.
    pub fn pid(&self, component: Component) -> Option<i32> {
        self.components.iter().find(|status| status.component == component)?.pid
    }
}

pub(super) fn status(directory: &Directory) -> Result<Option<ClusterStatus>, LocalError> {
    if !directory.exists() {
        return Ok(None);
    }
    let Some(record) = Record::read(directory)? else {
        // Its creation was interrupted before anything was in it: there is no cluster yet.
        return Ok(None);
    };
    let components = Component::ALL
        .into_iter()
        .map(|component| {
            let process = process::find(directory, component);
            ComponentStatus {
                component,
                pid: process.as_ref().map(|process| process.pid),
                resident_bytes: process.as_ref().and_then(process::resident_bytes),
            }
        })
        .collect();
    let Record { id, created, minor, version, ports, audit } = record;
    Ok(Some(ClusterStatus {
        name: directory.name().into(),
        id,
        minor,
        version,
        created,
        directory: directory.path().into(),
        server: format!("https://127.0.0.1:{}", ports.api_server),
        audit,
        components,
    }))
}
