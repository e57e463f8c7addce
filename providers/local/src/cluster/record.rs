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
        Ok(Self {
            id: format!("{:016x}", random()),
            created: jiff::Timestamp::now(),
            minor: minor.into(),
            version: None,
            ports: Ports::free()?,
            audit,
        })
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
    /// Two free ports below those that systems give to outgoing connections (32768 and up): a client that tries again
    /// and again to reach a server that is down would otherwise be given the server's own port.
    pub(crate) fn free() -> Result<Self, LocalError> {
        const FIRST: u16 = 16_384;
        const COUNT: u16 = 16_384;
        let start = u16::try_from(random() % u64::from(COUNT)).expect("less than COUNT");
        let mut free = (0..COUNT).map(|step| FIRST + (start + step) % COUNT).filter(|port| is_free(*port));
        match (free.next(), free.next()) {
            (Some(etcd), Some(api_server)) => Ok(Self { etcd, api_server }),
            _ => Err(LocalError::File {
                verb: "find a free port of",
                path: "127.0.0.1".into(),
                source: std::io::ErrorKind::AddrInUse.into(),
            }),
        }
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

/// The randomness of std's hasher: enough to tell two clusters of one name apart, and not for secrets.
fn random() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one((jiff::Timestamp::now().as_nanosecond(), std::process::id()))
}
