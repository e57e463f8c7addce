//! What version a program was, so that a plan with nothing to do starts no helm.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::command::create_private_folder;
use super::version::HelmVersion;
use crate::id::Digest;

/// The place for one program as it is now: another file, size or time of change is another place.
pub(super) struct Memory(PathBuf);

impl Memory {
    /// `None` where the program cannot be looked at; starting it will say why.
    pub(super) fn of(home: &Path, program: &Path) -> Option<Self> {
        let path = std::fs::canonicalize(program).ok()?;
        let metadata = std::fs::metadata(&path).ok()?;
        let what = serde_json::json!([
            path.to_string_lossy(),
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ]);
        Some(Self(home.join("versions").join(Digest::of_json(&what).0)))
    }

    /// The version; `None` where it was never asked for, and where the file is not as [`Memory::keep`] writes it.
    pub(super) fn recall(&self) -> Option<HelmVersion> {
        serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()
    }

    /// Keeps it.
    pub(super) fn keep(&self, version: &HelmVersion) {
        let kept = self.0.parent().is_some_and(|folder| create_private_folder(folder).is_ok())
            && serde_json::to_vec(version).is_ok_and(|text| std::fs::write(&self.0, text).is_ok());
        if !kept {
            // It will be asked for again, which costs 50 ms.
            tracing::debug!(path = %self.0.display(), "helm's version not kept");
        }
    }
}
