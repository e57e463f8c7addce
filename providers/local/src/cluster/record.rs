//! `cluster.json`: what of a cluster is not in its API server.

use std::net::{Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};

use super::Directory;
use crate::{LocalError, files};

/// A cluster's own facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Tells it from another that had the same name.
    pub id: String,
    /// When it was created.
    pub created: jiff::Timestamp,
    /// Kubernetes minor version; it never changes.
    pub minor: String,
    /// Version of the API server that ran last, `1.36.3`.
    pub version: Option<String>,
    /// Loopback ports.
    pub ports: Ports,
    /// Whether the API server keeps an audit log.
    pub audit: bool,
}

/// Loopback ports; kept over restarts where they are still free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub etcd: u16,
    pub api_server: u16,
}

impl Record {
    pub(crate) fn new(minor: &str, audit: bool) -> Result<Self, LocalError> {
        let created = jiff::Timestamp::now();
        Ok(Self { id: new_id(created), created, minor: minor.into(), version: None, ports: Ports::free()?, audit })
    }

    /// What was written; `None` where nothing was, or nothing whole.
    pub(crate) fn read(directory: &Directory) -> Result<Option<Self>, LocalError> {
        let path = directory.record();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| LocalError::Damaged { path, what: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LocalError::file("read", &path)(error)),
        }
    }

    pub(crate) fn write(&self, directory: &Directory) -> Result<(), LocalError> {
        let json = serde_json::to_vec_pretty(self).expect("a record is plain data");
        files::write_private(&directory.record(), &json)
    }
}

impl Ports {
    pub(crate) fn free() -> Result<Self, LocalError> {
        // Held together, so that they differ.
        let (first, second) = (listen(0)?, listen(0)?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let failed = |source| LocalError::File { verb: "find a free port of", path: "127.0.0.1".into(), source };
        Ok(Self { etcd: port(&first).map_err(failed)?, api_server: port(&second).map_err(failed)? })
    }
}

/// Whether nobody listens there.
pub(crate) fn is_free(port: u16) -> bool {
    listen(port).is_ok()
}

fn listen(port: u16) -> Result<TcpListener, LocalError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| LocalError::File {
        verb: "listen on",
        path: format!("127.0.0.1:{port}").into(),
        source,
    })
}

/// Unique enough to tell two clusters of one name apart: time, process and the randomness of std's hasher.
fn new_id(created: jiff::Timestamp) -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_i128(created.as_nanosecond());
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}
