//! Files of ours: private, written whole or not at all, and locks between processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::LocalError;

/// Makes a directory and its parents that only this user can enter.
pub(crate) fn private_dir(path: &Path) -> Result<(), LocalError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(LocalError::file("create directory", path))?;
    // One that was there before may have been wider.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(LocalError::file("set the mode of", path))
}

/// Writes a file that only this user can read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), LocalError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // tempfile makes it 0600.
    let mut file =
        tempfile::NamedTempFile::new_in(directory).map_err(LocalError::file("create a file in", directory))?;
    file.write_all(content).map_err(LocalError::file("write", path))?;
    file.as_file().sync_all().map_err(LocalError::file("write", path))?;
    file.persist(path).map_err(|error| LocalError::File { verb: "write", path: path.into(), source: error.error })?;
    Ok(())
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove_file(path: &Path) -> Result<(), LocalError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LocalError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it; one that is not there is as good as removed.
pub(crate) fn remove_dir(path: &Path) -> Result<(), LocalError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LocalError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A lock that its holder has until it is dropped, or its process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    // Held for its lock; the descriptor is closed on exec, so no child keeps it.
    _file: File,
}

/// Takes the lock at `path` if nobody has it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Lock>, LocalError> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(LocalError::file("lock", path)(error)),
    }
}

/// Takes the lock at `path`; calls `waits` once if somebody has it, and then waits without end.
pub(crate) fn lock(path: &Path, waits: impl FnOnce()) -> Result<Lock, LocalError> {
    if let Some(lock) = try_lock(path)? {
        return Ok(lock);
    }
    waits();
    let file = open_lock(path)?;
    file.lock().map_err(LocalError::file("lock", path))?;
    Ok(Lock { _file: file })
}

fn open_lock(path: &Path) -> Result<File, LocalError> {
    if let Some(directory) = path.parent() {
        private_dir(directory)?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(LocalError::file("open", path))
}

/// The last `count` lines of a file, for an error message; empty where it cannot be read.
pub(crate) fn tail(path: &Path, count: usize) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    // Enough for the last lines of any log; the log itself may be large.
    const WINDOW: u64 = 64 * 1024;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    // The log only adds to a message that stands without it.
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
