//! This program's own commands as child processes: how they are started, and what is read of what they said.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::cli::{args::Global, environment::Environment};

/// The lines of a command's log that are shown where it fails: an error with its causes and hint, and what led to it.
const SHOWN: usize = 12;

/// A command of this program, to which the caller adds what is asked. It is never asked anything, and inherits the environment.
pub(super) fn own_command(environment: &Environment, options: &[OsString]) -> Command {
    let mut command = Command::new(&environment.program);
    command.args(options).stdin(Stdio::null());
    command
}

/// The options of every command that say where things come from and how much at once.
pub(super) fn passed_on(global: &Global) -> Vec<OsString> {
    let Global { assets, mirror, chart_mirror, chart_lock, prices, parallel, request_timeout, .. } = global;
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.clone().into_os_string());
    let text = |text: &Option<String>| text.as_ref().map(OsString::from);
    let said = [
        ("--assets", path(assets)),
        ("--mirror", text(mirror)),
        ("--chart-mirror", text(chart_mirror)),
        ("--chart-lock", path(chart_lock)),
        ("--prices", path(prices)),
        ("--parallel", Some(parallel.to_string().into())),
        ("--request-timeout", Some(request_timeout.to_string().into())),
    ];
    said.into_iter().filter_map(|(name, value)| Some([name.into(), value?])).flatten().collect()
}

/// The last lines of a log, without colours; none where there is no log.
pub(super) fn last_lines(log: &Path) -> Vec<String> {
    // With --verbose people have read it on their terminal already, and there is no file.
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let told: Vec<String> = text.lines().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    told[told.len().saturating_sub(SHOWN)..].to_vec()
}
