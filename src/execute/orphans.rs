//! What a killed apply leaves on its machine: a folder with a kubeconfig for helm, and perhaps a helm that still works with
//! it. The next apply ends such a helm before it touches a release, and removes the folder.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::holder::started_at;

/// How long an interrupted helm may take to write "failed" into its record: a request or two.
const GRACE: Duration = Duration::from_secs(10);

/// A folder of this process for what helm must be given as files; removed when dropped.
#[derive(Debug)]
pub(super) struct RunFolder(PathBuf);

impl RunFolder {
    /// Makes it, for this user alone.
    pub(super) fn make(base: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let pid = std::process::id();
        let path = base.join(format!("{pid}-{}", started_at(pid).unwrap_or_default()));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next apply.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends every helm of a process that is gone, and removes its folder. `say` is told of each.
pub async fn end_orphans(base: &Path, say: &(dyn Fn(String) + Send + Sync)) {
    // No folder: no apply with charts was ever killed here.
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((pid, started)) = name.split_once('-') else { continue };
        let Ok(owner) = pid.parse::<u32>() else { continue };
        if started_at(owner).is_some_and(|now| now == started) {
            continue;
        }
        let folder = entry.path();
        let mut told = Vec::new();
        let begun = Instant::now();
        loop {
            let living = processes_with(&folder);
            // One that the killed apply had only just begun names its folder a moment after the first look.
            let new = living.iter().copied().filter(|pid| !told.contains(pid)).collect::<Vec<_>>();
            if !new.is_empty() {
                say(format!("ending the helm of process {owner}, which was killed"));
                signal(&new, Signal::INT);
                told.extend(new);
            }
            if living.is_empty() || begun.elapsed() >= GRACE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await; // Polls a condition that has a bound.
        }
        signal(&processes_with(&folder), Signal::KILL);
        // Left for the next apply when it cannot be removed.
        let _ = std::fs::remove_dir_all(&folder);
    }
}

fn signal(processes: &[Pid], signal: Signal) {
    for pid in processes {
        // It may have ended by itself.
        let _ = kill_process(*pid, signal);
    }
}

/// Processes whose arguments or environment (helm's KUBECONFIG) name a folder. Without procfs none is found, and such a helm ends by itself.
fn processes_with(folder: &Path) -> Vec<Pid> {
    let wanted = folder.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // It may end while it is looked at; another user's cannot be read and is none of ours.
        let names_it = |file: &str| {
            std::fs::read(entry.path().join(file))
                .is_ok_and(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
        };
        if names_it("cmdline") || names_it("environ") {
            found.extend(Pid::from_raw(pid));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_living_process_keeps_its_folder_and_a_dead_ones_helm_is_ended() {
        let base = tempfile::tempdir().expect("a folder");
        let mine = RunFolder::make(base.path()).expect("made");
        let dead = base.path().join("4194304-1");
        std::fs::create_dir(&dead).expect("made");
        let mut helm = std::process::Command::new("tail")
            .args(["-f", "/dev/null"])
            .env("KUBECONFIG", dead.join("kubeconfig"))
            .spawn()
            .expect("a process");
        // Linux lets the parent of a new process go on before the new one's environment can be read.
        let begun = Instant::now();
        while processes_with(&dead).is_empty() {
            assert!(begun.elapsed() < GRACE, "the process has no environment to be found by");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let told = std::sync::Mutex::new(Vec::new());
        let waiting = tokio::task::spawn_blocking(move || helm.wait());
        end_orphans(base.path(), &|line| told.lock().expect("unpoisoned").push(line)).await;
        assert!(!waiting.await.expect("joined").expect("waited").success());
        assert!(mine.path().exists() && !dead.exists());
        assert_eq!(told.into_inner().expect("unpoisoned"), ["ending the helm of process 4194304, which was killed"]);
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists());
    }
}
