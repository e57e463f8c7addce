//! Where a cluster's files are.

use std::path::{Path, PathBuf};

use super::Component;
use crate::{LocalError, Settings, files};

/// Begins the name of a directory that is being removed.
const DOOMED: &str = ".deleted-";

/// A cluster's directory, whether it exists or not.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    name: String,
    path: PathBuf,
    lock: PathBuf,
}

impl Directory {
    pub(crate) fn new(settings: &Settings, name: &str) -> Result<Self, LocalError> {
        if !is_name(name) {
            return Err(LocalError::Name { name: name.into() });
        }
        // Processes are recognised by these paths in their arguments, so they must not depend on where one stands.
        let state = std::path::absolute(&settings.state_dir).map_err(LocalError::file("find", &settings.state_dir))?;
        Ok(Self {
            name: name.into(),
            path: state.join("clusters").join(name),
            // Beside the directory: it must outlive its removal.
            lock: state.join("locks").join(name),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn lock(&self) -> &Path {
        &self.lock
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.path.join("cluster.json")
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.path.join("pki").join(file)
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.path.join("etcd")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    pub(crate) fn log(&self, component: Component) -> PathBuf {
        self.path.join("logs").join(format!("{component}.log"))
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.path.join("logs").join("audit.log")
    }

    pub(crate) fn audit_policy(&self) -> PathBuf {
        self.path.join("audit-policy.yaml")
    }

    pub(crate) fn pid(&self, component: Component) -> PathBuf {
        self.path.join("run").join(format!("{component}.json"))
    }

    /// Makes what of it is missing.
    pub(crate) fn create(&self) -> Result<(), LocalError> {
        for part in ["", "pki", "etcd", "logs", "run"] {
            files::private_dir(&self.path.join(part))?;
        }
        Ok(())
    }

    /// What a removal that was interrupted left.
    pub(crate) fn doomed(&self) -> PathBuf {
        self.path.with_file_name(format!("{DOOMED}{}", self.name))
    }

    /// Removes it. It is renamed first, so that one that is half removed is not taken for a cluster.
    pub(crate) fn remove(&self) -> Result<(), LocalError> {
        let doomed = self.doomed();
        files::remove_dir(&doomed)?;
        if self.exists() {
            std::fs::rename(&self.path, &doomed).map_err(LocalError::file("remove", &self.path))?;
        }
        files::remove_dir(&doomed)
    }
}

/// The names of the clusters that have a directory, sorted.
pub(crate) fn names(settings: &Settings) -> Result<Vec<String>, LocalError> {
    let clusters = settings.state_dir.join("clusters");
    let entries = match std::fs::read_dir(&clusters) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LocalError::file("read", &clusters)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(LocalError::file("read", &clusters))?;
        match entry.file_name().into_string() {
            Ok(name) if is_name(&name) && entry.path().is_dir() => names.push(name),
            // Not a cluster's: nothing of ours.
            Ok(_) | Err(_) => {}
        }
    }
    names.sort();
    Ok(names)
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_leave_the_directory_is_refused() {
        for bad in ["", "..", "a/b", "-a", "a-", "A", "a b", "a.b", &"a".repeat(41)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for good in ["a", "research", "a-1", &"a".repeat(40)] {
            assert!(is_name(good), "{good:?}");
        }
    }
}
