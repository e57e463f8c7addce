//! Files that a blueprint names: read through a trait, so that resolving is a function of its inputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Reads files and folders. Paths have `/` between their parts and are as [`join`] makes them.
pub trait Files {
    /// The text of a file.
    ///
    /// # Errors
    /// It is not there, not readable, or not UTF-8.
    fn read(&self, path: &str) -> Result<String, FileError>;

    /// What a folder contains, in any order.
    ///
    /// # Errors
    /// It is not there, not readable, or not a folder.
    fn list(&self, folder: &str) -> Result<Vec<FolderEntry>, FileError>;

    /// What was remembered last, where anything was and still is: a cache.
    fn recall(&self) -> Option<Vec<u8>> {
        None
    }

    /// Remembers what reading the files found, if it can.
    fn remember(&self, _bytes: &[u8]) {}
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    /// Its name, without the folder's.
    pub name: String,
    /// Whether it is a folder (or a link to one).
    pub is_folder: bool,
}

/// Why a file could not be read: a few words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(pub String);

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

fn in_words(error: &std::io::Error) -> FileError {
    FileError(match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "it is a folder".into(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        _ => error.to_string(),
    })
}

impl Files for DiskFiles {
    fn read(&self, path: &str) -> Result<String, FileError> {
        std::fs::read_to_string(path).map_err(|error| in_words(&error))
    }

    fn list(&self, folder: &str) -> Result<Vec<FolderEntry>, FileError> {
        let folder = if folder.is_empty() { "." } else { folder };
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| in_words(&error))? {
            let entry = entry.map_err(|error| in_words(&error))?;
            // A name that is not UTF-8 can't be written in a blueprint either.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // The entry itself says what it is, unless it is a link.
            let is_folder = match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => kind.is_dir(),
                Ok(_) | Err(_) => entry.path().is_dir(),
            };
            entries.push(FolderEntry { name, is_folder });
        }
        Ok(entries)
    }
}

/// The files of this machine, and a file for what reading them found.
#[derive(Debug, Clone)]
pub struct CachedFiles {
    /// The file; its folder is made when it is written.
    pub cache: PathBuf,
}

impl Files for CachedFiles {
    fn read(&self, path: &str) -> Result<String, FileError> {
        DiskFiles.read(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<FolderEntry>, FileError> {
        DiskFiles.list(folder)
    }

    fn recall(&self) -> Option<Vec<u8>> {
        std::fs::read(&self.cache).ok() // Not there or not readable: nothing is remembered.
    }

    fn remember(&self, bytes: &[u8]) {
        let keep = || -> std::io::Result<()> {
            let folder = self.cache.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            std::fs::write(file.path(), bytes)?;
            file.persist(&self.cache).map_err(|error| error.error)?;
            Ok(())
        };
        // The reason to lose this result: without a cache the next plan reads the files again, no more.
        let _ = keep();
    }
}

/// Files in memory, by path.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles(pub BTreeMap<String, String>);

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> Result<String, FileError> {
        self.0.get(path).cloned().ok_or_else(|| FileError("there is no such file".into()))
    }

    fn list(&self, folder: &str) -> Result<Vec<FolderEntry>, FileError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.0.keys().filter_map(|path| path.strip_prefix(&prefix));
        let entries: BTreeSet<FolderEntry> = below
            .map(|rest| match rest.split_once('/') {
                Some((name, _)) => FolderEntry { name: name.into(), is_folder: true },
                None => FolderEntry { name: rest.into(), is_folder: false },
            })
            .collect();
        if entries.is_empty() {
            Err(FileError("there is no such folder".into()))
        } else {
            Ok(entries.into_iter().collect())
        }
    }
}

/// Where a path written in a file is: relative to that file's folder, `.` and `..` taken out.
pub fn join(file: &str, path: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    let whole = if path.starts_with('/') || folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if whole.starts_with('/') => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    if whole.starts_with('/') { format!("/{joined}") } else { joined }
}

/// Whether a path has wildcards.
pub(crate) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// Files that match a pattern (`*`, `?` within a name, `**` for any folders), sorted. Names that start with a dot match
/// only a pattern that starts with one.
///
/// # Errors
/// A folder that the pattern names literally could not be read.
pub(crate) fn expand(files: &dyn Files, pattern: &str) -> Result<Vec<String>, FileError> {
    let (root, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", pattern),
    };
    let parts: Vec<&str> = rest.split('/').collect();
    let mut found = BTreeSet::new();
    walk(files, root.to_owned(), &parts, &mut found)?;
    Ok(found.into_iter().collect())
}

fn below(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        _ => format!("{folder}/{name}"),
    }
}

fn walk(files: &dyn Files, folder: String, parts: &[&str], found: &mut BTreeSet<String>) -> Result<(), FileError> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    if !is_glob(part) {
        let path = below(&folder, part);
        if rest.is_empty() {
            if files.read(&path).is_ok() {
                found.insert(path);
            }
            return Ok(());
        }
        return walk(files, path, rest, found);
    }
    if *part == "**" {
        walk(files, folder.clone(), rest, found)?;
    }
    for entry in files.list(&folder)? {
        if entry.name.starts_with('.') && !part.starts_with('.') {
            continue;
        }
        let path = below(&folder, &entry.name);
        match (*part == "**", entry.is_folder) {
            (true, true) => walk(files, path, parts, found)?,
            (false, true) if !rest.is_empty() && matches(part, &entry.name) => walk(files, path, rest, found)?,
            (false, false) if rest.is_empty() && matches(part, &entry.name) => {
                found.insert(path);
            }
            _ => {}
        }
    }
    Ok(())
}

/// `*` and `?` within one name.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((star_p, star_n)) = star {
            (p, n, star) = (star_p + 1, star_n + 1, Some((star_p, star_n + 1)));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file_that_names_them() {
        assert_eq!(join("blueprints/a.yaml", "../charts/x"), "charts/x");
        assert_eq!(join("a.yaml", "./m/x.yaml"), "m/x.yaml");
        assert_eq!(join("a.yaml", "../x"), "../x");
        assert_eq!(join("/b/a.yaml", "m/*.yaml"), "/b/m/*.yaml");
        assert_eq!(join("/a.yaml", "../../x"), "/x");
        assert_eq!(join("b/a.yaml", "/abs"), "/abs");
    }

    #[test]
    fn globs_find_files_in_order_and_skip_hidden_ones() {
        let paths = ["m/b.yaml", "m/a.yaml", "m/.hidden.yaml", "m/deep/er/c.yaml", "m/x.txt", "top.yaml"];
        let files = MemoryFiles(paths.iter().map(|path| ((*path).to_owned(), String::new())).collect());
        let all = |pattern: &str| expand(&files, pattern).unwrap();
        assert_eq!(all("m/*.yaml"), ["m/a.yaml", "m/b.yaml"]);
        assert_eq!(all("m/**/*.yaml"), ["m/a.yaml", "m/b.yaml", "m/deep/er/c.yaml"]);
        assert_eq!(all("?op.yaml"), ["top.yaml"]);
        assert_eq!(all("m/*/er/c.yaml"), ["m/deep/er/c.yaml"]);
        assert!(expand(&files, "nowhere/*.yaml").is_err());
    }
}
