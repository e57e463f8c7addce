//! The cache of programs: finished directories with a manifest, put in place by one rename.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::pins::{Build, PinnedFile, arch, os};
use super::{Found, Program, Source};
use crate::{LocalError, Settings, files};

/// What a directory of the cache holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub source: Source,
    pub verified: String,
    pub programs: BTreeMap<Program, Entry>,
}

/// One program of a directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub version: String,
    pub size: u64,
    pub sha256: String,
}

/// `<cache_dir>/assets`.
pub(super) fn root(settings: &Settings) -> PathBuf {
    settings.cache_dir.join("assets")
}

pub(super) fn downloaded_dir(settings: &Settings, file: &PinnedFile) -> PathBuf {
    root(settings).join("downloaded").join(file.key())
}

pub(super) fn built_dir(settings: &Settings, build: &Build, source_digest: &str) -> PathBuf {
    let key = format!(
        "kubernetes-{}-etcd-{}-helm-{}-{}-{}-{source_digest}",
        build.kubernetes,
        build.etcd,
        build.helm,
        os(),
        arch()
    );
    root(settings).join("built").join(key)
}

/// A program of a finished directory; `None` where the directory or the file is not there or not whole.
pub(super) fn lookup(directory: &Path, program: Program) -> Option<Found> {
    // A manifest that cannot be read is as good as none: the directory is made anew.
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(directory.join("manifest.json")).ok()?).ok()?;
    let entry = manifest.programs.get(&program)?;
    let path = directory.join(program.name());
    let whole = std::fs::metadata(&path).is_ok_and(|meta| meta.len() == entry.size);
    (whole && crate::settings::is_executable(&path)).then(|| Found {
        program,
        version: Some(entry.version.clone()),
        path,
        source: manifest.source.clone(),
        verified: Some(manifest.verified.clone()),
    })
}

/// Describes the programs in `staging` and moves it to `target`, in place of what may be there.
pub(super) fn publish(
    staging: &Path,
    target: &Path,
    versions: &BTreeMap<Program, String>,
    source: Source,
    verified: String,
) -> Result<(), LocalError> {
    let mut programs = BTreeMap::new();
    // The build's programs are one file under many names; it is read once.
    let mut seen: Option<(u64, u64, String)> = None;
    for (program, version) in versions {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let path = staging.join(program.name());
        let meta = std::fs::metadata(&path).map_err(LocalError::file("read", &path))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(LocalError::file("set the mode of", &path))?;
        let sha256 = match &seen {
            Some((inode, size, digest)) if *inode == meta.ino() && *size == meta.len() => digest.clone(),
            _ => sha256_of(&path)?,
        };
        seen = Some((meta.ino(), meta.len(), sha256.clone()));
        programs.insert(*program, Entry { version: version.clone(), size: meta.len(), sha256 });
    }
    let manifest = Manifest { source, verified, programs };
    let json = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
    files::write_private(&staging.join("manifest.json"), &json)?;
    // Only one that was not whole is ever replaced, and its programs are not running then.
    files::remove_dir(target)?;
    std::fs::rename(staging, target).map_err(LocalError::file("move into place", target))
}

/// Removes what a process that was killed left half made; called by whoever holds the lock, so nobody works there.
pub(super) fn sweep(settings: &Settings) -> Result<(), LocalError> {
    for kind in ["built", "downloaded"] {
        // A directory that is not there has nothing in it.
        for entry in std::fs::read_dir(root(settings).join(kind)).into_iter().flatten().flatten() {
            // tempfile's prefix; finished directories begin with what is in them.
            if entry.file_name().to_string_lossy().starts_with(".tmp") {
                files::remove_dir(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// The digest of a file, in hexadecimal.
pub(super) fn sha256_of(path: &Path) -> Result<String, LocalError> {
    let mut file = std::fs::File::open(path).map_err(LocalError::file("read", path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(LocalError::file("read", path))? {
            0 => return Ok(hex(&digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
