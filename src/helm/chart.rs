//! A chart as a folder or archive on this machine, and its digest.

use std::path::{Path, PathBuf};

use super::error::HelmError;
use super::ignore::{Entry, Rules};
use crate::id::Digest;

/// Folders below a chart's that are followed at most; charts nest three or four deep. It ends a loop of symbolic links.
const DEEPEST: usize = 32;

/// A chart that helm can be given, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalChart {
    /// As the blueprint names it, for messages: `./charts/team-tools`, `oci://host/path/chart 1.2.3`.
    pub reference: String,
    /// The folder or archive.
    pub path: PathBuf,
    /// Of a folder: over the paths and contents of the files that helm takes. Of an archive: of its bytes.
    pub digest: Digest,
    /// Who says that this is the right digest.
    pub origin: OriginOfDigest,
}

/// Who says that a chart's digest is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginOfDigest {
    /// The chart is a file of the user's own.
    Local,
    /// The blueprint pins it.
    Pinned,
    /// Nobody: it is what the server sent the first time. A plan shows it, so that it can be pinned.
    Found,
}

impl LocalChart {
    /// Takes a chart's folder or archive.
    ///
    /// # Errors
    /// [`HelmError::NoChart`] where there is none, [`HelmError::Io`].
    pub fn open(path: &Path) -> Result<Self, HelmError> {
        let reference = path.display().to_string();
        let digest = digest_of(path)?;
        Ok(Self { reference, path: path.to_owned(), digest, origin: OriginOfDigest::Local })
    }

    /// Sees that it is still what it was when it was opened.
    ///
    /// # Errors
    /// [`HelmError::ChartMoved`], and those of [`LocalChart::open`].
    pub fn confirm(&self) -> Result<(), HelmError> {
        let found = digest_of(&self.path)?;
        if found == self.digest {
            return Ok(());
        }
        Err(HelmError::ChartMoved { chart: self.reference.clone(), planned: self.digest.0.clone(), found: found.0 })
    }
}

fn digest_of(path: &Path) -> Result<Digest, HelmError> {
    let no_chart = |problem: &str| HelmError::NoChart { path: path.to_owned(), problem: problem.to_owned() };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_chart("nothing is there")),
        Err(source) => return Err(HelmError::Io { what: "look at chart", path: path.to_owned(), source }),
    };
    if metadata.is_dir() {
        if !path.join("Chart.yaml").is_file() {
            return Err(no_chart("the folder has no Chart.yaml"));
        }
        return folder_digest(path);
    }
    let bytes = read(path)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(no_chart("the file is no gzip archive"));
    }
    Ok(Digest::of_bytes(&bytes))
}

/// The digest of the sorted list of paths and the digests of their contents. Modes, owners and times are not in it: helm
/// does not look at them.
fn folder_digest(folder: &Path) -> Result<Digest, HelmError> {
    let files = chart_files(folder)?;
    let mut list = Vec::with_capacity(files.len());
    for (name, path) in files {
        list.push(serde_json::json!([name, Digest::of_bytes(&read(&path)?).0]));
    }
    Ok(Digest::of_json(&serde_json::Value::Array(list)))
}

/// The files that helm takes from a chart's folder: their names in the chart, sorted, and where they are.
pub(super) fn chart_files(folder: &Path) -> Result<Vec<(String, PathBuf)>, HelmError> {
    let ignore = folder.join(".helmignore");
    let text = if ignore.is_file() { String::from_utf8_lossy(&read(&ignore)?).into_owned() } else { String::new() };
    let rules = Rules::parse(&text).map_err(|problem| HelmError::NoChart { path: folder.to_owned(), problem })?;
    let mut files = Vec::new();
    walk(folder, "", 0, &rules, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    rules: &Rules,
    files: &mut Vec<(String, PathBuf)>,
) -> Result<(), HelmError> {
    let io = |source| HelmError::Io { what: "list chart folder", path: folder.to_owned(), source };
    if depth > DEEPEST {
        let problem = format!("its folders nest deeper than {DEEPEST} (do links run in a circle?)");
        return Err(HelmError::NoChart { path: folder.to_owned(), problem });
    }
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let Some(base) = entry.file_name().to_str().map(str::to_owned) else {
            return Err(HelmError::NoChart { path, problem: "a file's name is not UTF-8".into() });
        };
        let name = if prefix.is_empty() { base } else { format!("{prefix}/{base}") };
        // Helm follows symbolic links, so this does too.
        let metadata = std::fs::metadata(&path).map_err(|source| HelmError::Io {
            what: "look at chart file",
            path: path.clone(),
            source,
        })?;
        let kind = if metadata.is_dir() { Entry::Folder } else { Entry::File };
        if rules.ignores(&name, kind) {
            continue;
        }
        match kind {
            Entry::Folder => walk(&path, &name, depth + 1, rules, files)?,
            Entry::File => files.push((name, path)),
        }
    }
    Ok(())
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, HelmError> {
    std::fs::read(path).map_err(|source| HelmError::Io { what: "read", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_folders_digest_follows_what_helm_would_take() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "Chart.yaml", "name: a");
        write(folder.path(), "templates/a.yaml", "a: 1");
        write(folder.path(), ".helmignore", "*.md");
        let first = LocalChart::open(folder.path()).unwrap();

        write(folder.path(), "README.md", "ignored");
        write(folder.path(), "templates/.a.yaml.swp", "ignored");
        first.confirm().unwrap();

        write(folder.path(), "templates/a.yaml", "a: 2");
        assert!(matches!(first.confirm(), Err(HelmError::ChartMoved { .. })));
    }

    #[test]
    fn moving_bytes_from_one_file_to_the_next_changes_the_digest() {
        let digest = |files: [(&str, &str); 3]| {
            let folder = tempfile::tempdir().unwrap();
            files.iter().for_each(|(name, text)| write(folder.path(), name, text));
            LocalChart::open(folder.path()).unwrap().digest
        };
        let one = digest([("Chart.yaml", "a"), ("templates/a", "bc"), ("templates/b", "")]);
        let two = digest([("Chart.yaml", "a"), ("templates/a", "b"), ("templates/b", "c")]);
        assert_ne!(one, two);
    }

    #[test]
    fn what_is_no_chart_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| LocalChart::open(path).unwrap_err().to_string();
        assert!(said(folder.path()).ends_with("the folder has no Chart.yaml"));
        assert!(said(&folder.path().join("x")).ends_with("nothing is there"));
        write(folder.path(), "x.tgz", "not an archive");
        assert!(said(&folder.path().join("x.tgz")).ends_with("no gzip archive"));
    }

    #[test]
    fn links_in_a_circle_end_in_an_error() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "Chart.yaml", "a");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        assert!(LocalChart::open(folder.path()).is_err());
    }
}
