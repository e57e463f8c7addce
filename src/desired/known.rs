//! What files of manifests said when they were last read: identities and digests, no contents. Most of a plan that finds
//! nothing to do would be spent on reading YAML again that did not change.
//!
//! It is a cache, found by the SHA-256 of a file's bytes and never believed beyond that: it may be deleted at any time, a
//! damaged one is an empty one, and what it does not have is read. Only files without any problem are in it, so that nothing
//! that deserves a word goes unsaid, and no Secret with values is (such a manifest is refused). Bodies are not in it either:
//! when one is needed, its file is read.

use std::{collections::BTreeMap, sync::Arc};

use super::brought::Brought;
use super::manifest::{Manifest, ManifestFile};
use crate::blueprint::{Files, Position};
use crate::id::Digest;

/// Version of how manifests are read, checked and digested. A file that was read by another version is read again.
const READER: u32 = 1;

/// Bytes of manifests from which on remembering is worth a file: fewer are read in about a millisecond.
const WORTH_IT: usize = 32 << 10;

/// What names an object, as a manifest says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub api_version: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

/// One manifest of a file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownManifest {
    pub head: Head,
    pub digest: Digest,
    pub brings: Option<Brought>,
    pub line: u32,
    pub column: u32,
}

/// A [`KnownManifest`] as it is written: an array, since there are thousands.
type Row = (String, String, Option<String>, String, Digest, Option<Brought>, u32, u32);

/// What is known of files, by the digest of their bytes.
#[derive(Debug, Default)]
pub(super) struct Known {
    before: BTreeMap<Digest, Vec<KnownManifest>>,
    now: BTreeMap<Digest, Vec<KnownManifest>>,
    /// Bytes of the files in `now`.
    size: usize,
}

fn first_line(rest: &[u8]) -> String {
    format!("wbk-infra manifests {READER} {} {}\n", env!("CARGO_PKG_VERSION"), Digest::of_bytes(rest))
}

impl Known {
    /// Recalls what was remembered.
    pub(super) fn recall(files: &dyn Files) -> Self {
        let before = files.recall().and_then(|bytes| Self::parse(&bytes)).unwrap_or_default();
        Self { before, ..Self::default() }
    }

    fn parse(bytes: &[u8]) -> Option<BTreeMap<Digest, Vec<KnownManifest>>> {
        let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        let (first, rest) = bytes.split_at(end);
        if first != first_line(rest).as_bytes() {
            return None;
        }
        let rows: BTreeMap<Digest, Vec<Row>> = serde_json::from_slice(rest).ok()?; // Damaged in a way that its digest fits: nothing is known.
        let known = |row: Row| {
            let (api_version, kind, namespace, name, digest, brings, line, column) = row;
            KnownManifest { head: Head { api_version, kind, namespace, name }, digest, brings, line, column }
        };
        Some(rows.into_iter().map(|(file, rows)| (file, rows.into_iter().map(known).collect())).collect())
    }

    /// What a file of these bytes says, where it is known.
    pub(super) fn find(&self, file: &Digest) -> Option<&Vec<KnownManifest>> {
        self.before.get(file)
    }

    /// Notes what a file says, for the next time.
    pub(super) fn note(&mut self, file: Digest, size: usize, manifests: Vec<KnownManifest>) {
        self.size += size;
        self.now.insert(file, manifests);
    }

    /// Remembers what was noted, if that is worth it and news.
    pub(super) fn remember(self, files: &dyn Files) {
        let news = self.now.keys().any(|file| !self.before.contains_key(file));
        if !news || self.size < WORTH_IT {
            return;
        }
        let row = |known: KnownManifest| -> Row {
            let KnownManifest { head: Head { api_version, kind, namespace, name }, digest, brings, line, column } =
                known;
            (api_version, kind, namespace, name, digest, brings, line, column)
        };
        let rows: BTreeMap<Digest, Vec<Row>> =
            self.now.into_iter().map(|(file, known)| (file, known.into_iter().map(row).collect())).collect();
        let rest = serde_json::to_vec(&rows).expect("rows are plain data");
        let mut bytes = first_line(&rest).into_bytes();
        bytes.extend_from_slice(&rest);
        files.remember(&bytes);
    }
}

/// The manifests of a known file, each with where it is written.
pub(super) fn manifests(path: &str, text: String, known: Vec<KnownManifest>) -> Vec<(Manifest, Head, Position)> {
    let name: Arc<str> = path.into();
    let file = Arc::new(ManifestFile::new(path.to_owned(), text));
    let each = known.into_iter().enumerate().map(|(place, known)| {
        let KnownManifest { head, digest, brings, line, column } = known;
        let at = Position { file: Arc::clone(&name), line, column };
        (Manifest::in_file(Arc::clone(&file), place, digest, brings), head, at)
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::{FileError, FolderEntry};

    #[derive(Default)]
    struct Kept(std::cell::RefCell<Option<Vec<u8>>>);

    impl Files for Kept {
        fn read(&self, _path: &str) -> Result<String, FileError> {
            Err(FileError("there is no such file".into()))
        }

        fn list(&self, _folder: &str) -> Result<Vec<FolderEntry>, FileError> {
            Err(FileError("there is no such folder".into()))
        }

        fn recall(&self) -> Option<Vec<u8>> {
            self.0.borrow().clone()
        }

        fn remember(&self, bytes: &[u8]) {
            *self.0.borrow_mut() = Some(bytes.to_vec());
        }
    }

    fn one() -> KnownManifest {
        KnownManifest {
            head: Head { api_version: "v1".into(), kind: "ConfigMap".into(), namespace: None, name: "a".into() },
            digest: Digest("d".into()),
            brings: None,
            line: 3,
            column: 1,
        }
    }

    #[test]
    fn a_reader_that_reads_otherwise_has_another_version() {
        let text = "on: y\n0x10: no\nmode: 0644\nv: !!str 1\nf: 1e3\n---\nkind: List\nitems:\n- {kind: A, x: [1, ~]}\n- {kind: B, <<: {y: 1_000}}\n";
        let read = crate::blueprint::read_manifests(text, "m.yaml").unwrap();
        let values: Vec<serde_json::Value> = read.into_iter().map(|(value, _)| value).collect();
        let digest = Digest::of_json(&values.into());
        assert_eq!((READER, digest.short()), (1, "a3a33057f3b3"), "raise READER, then write the new digest here");
    }

    #[test]
    fn what_was_noted_is_recalled_and_a_damaged_cache_is_an_empty_one() {
        let files = Kept::default();
        let mut known = Known::recall(&files);
        known.note(Digest("small".into()), 10, vec![one()]);
        known.remember(&files);
        assert_eq!(files.recall(), None, "so few bytes are not worth a file");
        let mut known = Known::recall(&files);
        known.note(Digest("file".into()), WORTH_IT, vec![one()]);
        known.remember(&files);
        assert_eq!(Known::recall(&files).find(&Digest("file".into())), Some(&vec![one()]));
        let whole = files.recall().unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            *files.0.borrow_mut() = Some(bytes);
            assert!(Known::recall(&files).before.is_empty(), "byte {at} was changed");
        }
    }
}
