//! Programs of others: installed once for a machine, in the cache, under a lock; nothing of them is linked.

mod fakecloud;
mod karpenter;
mod venv;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) use fakecloud::fakecloud;
pub(crate) use karpenter::node_pool_definition;
pub(crate) use venv::{Venv, venv};

use crate::StandError;

/// Lines of an installer's words that an error shows.
const LINES: usize = 12;

/// Says what takes long, one line each.
pub(crate) type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Held by whoever installs into the folder beside it; two processes share one installation.
fn lock(path: &Path, tell: Tell<'_>) -> Result<File, StandError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(StandError::file("create", folder))?;
    }
    let file = File::create(path).map_err(StandError::file("create", path))?;
    if file.try_lock().is_err() {
        tell(&format!("waiting for another process that installs what {} guards", path.display()));
        file.lock().map_err(StandError::file("lock", path))?;
    }
    Ok(file)
}

/// Runs an installer to its end.
fn run(program: &str, hint: &str, command: &mut Command) -> Result<(), StandError> {
    let failed = |said: String| StandError::Provide { program: program.into(), said, hint: hint.into() };
    let Output { status, stderr, .. } =
        command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(last_lines(&String::from_utf8_lossy(&stderr)))) }
}

pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
