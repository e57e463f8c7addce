//! What the server answered when objects were applied: a cache that makes the next plan a comparison of metadata.
//!
//! It is no state file: without it, or with a wrong one, a plan costs one dry-run for each object and is the same plan.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// The memory of one blueprint on one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Format of this file.
    pub version: u32,
    /// Random text that makes the fingerprints of secrets useless to others.
    pub salt: String,
    /// Objects by their printed key.
    pub objects: BTreeMap<String, Remembered>,
}

/// What is remembered of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its uid.
    pub uid: String,
    /// Fingerprint of our manager's entry and of those that share a field with it.
    pub entry: Digest,
    /// Salted fingerprint of a Secret's values.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub values: Option<Digest>,
    /// Digest of the fields that ignore rules left as they are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left: Option<Digest>,
}

/// The memory could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("keep the inventory in {path}")]
pub struct MemoryError {
    /// The file.
    pub path: String,
    /// The cause.
    #[source]
    pub source: std::io::Error,
}

/// The format this program reads and writes.
const VERSION: u32 = 1;

impl Memory {
    /// Reads the memory. A missing, older or damaged file is an empty memory: it is a cache.
    pub fn load(path: &Path) -> Self {
        std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|memory| memory.version == VERSION && !memory.salt.is_empty())
            .unwrap_or_else(Self::fresh)
    }

    fn fresh() -> Self {
        // A salt needs to be unknown to a reader of the file's fingerprints elsewhere, not more; the hasher's keys are random.
        use std::hash::{BuildHasher, Hasher};
        let word = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        Self { version: VERSION, salt: format!("{:016x}{:016x}", word(), word()), objects: BTreeMap::new() }
    }

    /// Writes the memory, readable by this user alone; a reader sees the old or the new file, never half of one.
    ///
    /// # Errors
    /// The folder cannot be made or the file not written; the memory of before is still there.
    pub fn save(&self, path: &Path) -> Result<(), MemoryError> {
        let failed = |source| MemoryError { path: path.display().to_string(), source };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let bytes = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        std::fs::write(file.path(), bytes).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_an_empty_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sub/memory.json");
        let mut memory = Memory::load(&path);
        memory.objects.insert(
            "ConfigMap a/b".into(),
            Remembered { uid: "u".into(), entry: Digest("e".into()), values: None, left: None },
        );
        memory.save(&path).expect("saved");
        assert_eq!(Memory::load(&path), memory);
        std::fs::write(&path, "{\"version\":1,").expect("written");
        assert!(Memory::load(&path).objects.is_empty());
    }
}
