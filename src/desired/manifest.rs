//! A manifest that need not be read to be known: of one from a file that was read before, identity and digest are known, and
//! its body is read when something looks into it.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::brought::Brought;
use crate::{blueprint::read_manifests, id::Digest};

/// A manifest. It dereferences to its JSON value, which is read at the first look where it was not read yet.
#[derive(Clone)]
pub struct Manifest {
    body: Body,
    /// As [`Manifest::digest`]; kept, since hashing reads the whole body.
    digest: OnceLock<Digest>,
}

#[derive(Clone)]
enum Body {
    Read(Value),
    InFile {
        file: Arc<ManifestFile>,
        /// Its place among the manifests of the file.
        place: usize,
        brings: Option<Brought>,
    },
}

/// A file of manifests that was read before by this very reader, without a problem: its text, and what it says once that is
/// asked.
#[derive(Debug)]
pub(super) struct ManifestFile {
    path: String,
    text: String,
    manifests: OnceLock<Vec<Value>>,
}

impl ManifestFile {
    pub(super) fn new(path: String, text: String) -> Self {
        Self { path, text, manifests: OnceLock::new() }
    }

    fn manifest(&self, place: usize) -> &Value {
        let manifests = self.manifests.get_or_init(|| match read_manifests(&self.text, &self.path) {
            Ok(read) => read.into_iter().map(|(value, _)| value).collect(),
            Err(_) => Vec::new(),
        });
        // These bytes were read by this reader before, without a problem; the reader's version is part of what they are
        // known by.
        manifests.get(place).expect("a file that was read is read again as it was")
    }
}

impl Manifest {
    /// One whose file was read before.
    pub(super) fn in_file(file: Arc<ManifestFile>, place: usize, digest: Digest, brings: Option<Brought>) -> Self {
        Self { body: Body::InFile { file, place, brings }, digest: OnceLock::from(digest) }
    }

    /// The value.
    pub fn value(&self) -> &Value {
        match &self.body {
            Body::Read(value) => value,
            Body::InFile { file, place, .. } => file.manifest(*place),
        }
    }

    /// The value, to be changed.
    pub fn value_mut(&mut self) -> &mut Value {
        self.digest = OnceLock::new();
        if let Body::InFile { .. } = &self.body {
            self.body = Body::Read(self.value().clone());
        }
        match &mut self.body {
            Body::Read(value) => value,
            Body::InFile { .. } => unreachable!("it was read just now"),
        }
    }

    /// Digest of the manifest alone, in the form of [`DesiredObject::digest`](super::DesiredObject::digest).
    pub fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| digest_with(self.value(), &[]))
    }

    /// Whether [`Manifest::digest`] is known without reading anything.
    pub(crate) fn is_digested(&self) -> bool {
        self.digest.get().is_some()
    }

    /// The kind that it brings, where it is a definition of one.
    pub(crate) fn brings(&self) -> Option<Brought> {
        match &self.body {
            Body::Read(value) => Brought::by(value),
            Body::InFile { brings, .. } => brings.clone(),
        }
    }
}

/// Canonical as `Digest::of_json` is, without a copy of the manifest.
pub(super) fn digest_with(manifest: &Value, more: &[Value]) -> Digest {
    Digest::of_bytes(&serde_json::to_vec(&(manifest, more)).expect("JSON values are plain data"))
}

impl From<Value> for Manifest {
    fn from(value: Value) -> Self {
        Self { body: Body::Read(value), digest: OnceLock::new() }
    }
}

impl std::ops::Deref for Manifest {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.value()
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value().fmt(f)
    }
}

impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_of_a_known_file_is_the_one_that_is_written_there() {
        let file = Arc::new(ManifestFile::new("m.yaml".into(), "kind: A\n---\nkind: B\nspec: {on: y}\n".into()));
        let read = Manifest::from(json!({"kind": "B", "spec": {"true": true}}));
        let mut known = Manifest::in_file(file, 1, read.digest().clone(), None);
        assert_eq!(known, read);
        known.value_mut()["kind"] = "C".into();
        assert_ne!(known.digest(), read.digest());
    }
}
