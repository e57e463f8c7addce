//! The folder of one stand: its logs and its control planes. What a stand that was killed left is removed by the next one.

use std::fs::File;
use std::path::{Path, PathBuf};

use wbk_provider_local::cluster::Clusters;

use crate::{Settings, StandError};

/// A stand's folder; whoever lives holds its lock.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Home {
    /// Makes one, and cleans up after the dead.
    pub(crate) async fn make(settings: &Settings) -> Result<Self, StandError> {
        let stands = settings.cache.join("aws").join("stands");
        std::fs::create_dir_all(&stands).map_err(StandError::file("create", &stands))?;
        // One at a time: a folder whose lock is not taken yet must not look like a dead one's.
        let gate = stands.join("lock");
        let gate =
            File::create(&gate).and_then(|file| file.lock().map(|()| file)).map_err(StandError::file("lock", &gate))?;
        for entry in std::fs::read_dir(&stands).map_err(StandError::file("read", &stands))?.flatten() {
            if entry.path().is_dir() {
                sweep(settings, &entry.path()).await;
            }
        }
        let folder = tempfile::Builder::new()
            .prefix("stand-")
            .tempdir_in(&stands)
            .map_err(StandError::file("create a folder in", &stands))?;
        let lock = folder.path().join("lock");
        let lock =
            File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(StandError::file("lock", &lock))?;
        drop(gate);
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The control planes of this stand.
    pub(crate) fn local(&self, settings: &Settings) -> wbk_provider_local::Settings {
        local(settings, self.path())
    }
}

/// The local provider's settings with their state in a stand's folder.
fn local(settings: &Settings, folder: &Path) -> wbk_provider_local::Settings {
    let mut local = settings.local.clone();
    local.state_dir = folder.join("state");
    // Kubelets are played by a task of the stand. The local provider counts a process for them among those of a cluster: this one
    // waits until it is ended.
    local.simulator = ["tail", "-n", "0", "-f", "--"].into_iter().map(Into::into).collect();
    local
}

/// Ends and removes what a dead stand left; a living one holds its lock.
async fn sweep(settings: &Settings, folder: &Path) {
    let lock: PathBuf = folder.join("lock");
    let is_dead = File::open(&lock).is_ok_and(|file| file.try_lock().is_ok());
    if !is_dead {
        return;
    }
    let clusters = Clusters::new(local(settings, folder));
    // What cannot be removed now is tried by the next stand.
    for status in clusters.list().unwrap_or_default() {
        if let Err(error) = clusters.delete(&status.name, &|_| {}).await {
            eprintln!("could not end {}: {error}", status.name);
            return;
        }
    }
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("could not remove {}: {error}", folder.display());
    }
}
