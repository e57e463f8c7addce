//! Background processes: started, found again, and ended; never one that is not provably ours.
//!
//! A process is recognised by its arguments (they hold a path that only this cluster has) and by the time it
//! started, so that a pid that was given to another program is never taken for ours. Where there is no `/proc`, `ps`
//! tells both.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{Component, Directory};
use crate::{LocalError, files};

/// A log that is larger than this at a start is put aside; one older log is kept.
const LARGE_LOG: u64 = 10_000_000;

/// A living process of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub pid: i32,
    /// When it started, in the words of the system; with the pid it names one process for all time.
    pub started: String,
}

/// Starts a component in the background: its own process group, so that Ctrl-C is not for it; its log in a file.
pub(crate) fn spawn(
    directory: &Directory,
    component: Component,
    program: &[OsString],
    arguments: &[OsString],
) -> Result<Process, LocalError> {
    let log = directory.log(component);
    put_aside(&log)?;
    let open =
        || OpenOptions::new().create(true).append(true).mode(0o600).open(&log).map_err(LocalError::file("open", &log));
    let Some((program, prefix)) = program.split_first() else {
        return Err(LocalError::Refused {
            what: format!("no program is set for {component}"),
            hint: "this is a bug of the command line".into(),
        });
    };
    let mut child = Command::new(program)
        .args(prefix)
        .args(arguments)
        .current_dir(directory.path())
        // It lives for days: what else is in this environment, secrets of blueprints among it, is not for its /proc entry.
        .env_clear()
        // Its API server is on this machine: no proxy is in between.
        .envs([("NO_PROXY", "127.0.0.1,localhost"), ("no_proxy", "127.0.0.1,localhost")])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?)
        .spawn()
        .map_err(|source| LocalError::Spawn { program: PathBuf::from(program), source })?;
    let pid = i32::try_from(child.id()).expect("a pid is positive and fits");
    // Takes its exit status when it ends, so that it does not stay as a zombie while this process lives.
    std::thread::spawn(move || child.wait());
    let process = Process { pid, started: started(pid).unwrap_or_default() };
    let json = serde_json::to_vec(&process).expect("a process is plain data");
    files::write_private(&directory.pid(component), &json)?;
    Ok(process)
}

/// The component's living process: the one recorded, or (a crash came before the record) one with its arguments.
pub(crate) fn find(directory: &Directory, component: Component) -> Option<Process> {
    let marker = component.marker(directory);
    recorded(directory, component).filter(|process| is_alive(process) && has_argument(process.pid, &marker)).or_else(
        || {
            all_pids().into_iter().filter(|pid| has_argument(*pid, &marker)).find_map(|pid| {
                let process = Process { pid, started: started(pid)? };
                is_component(pid, component).then_some(process)
            })
        },
    )
}

/// Whether it still lives; a zombie does not, and neither does another process with its pid.
pub(crate) fn is_alive(process: &Process) -> bool {
    started(process.pid).is_some_and(|now| now == process.started)
}

/// Sends a signal, unless it has ended.
pub(crate) fn signal(process: &Process, component: Component, signal: Signal) -> Result<(), LocalError> {
    if !is_alive(process) {
        return Ok(());
    }
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            Err(LocalError::Signal { component: component.name().into(), pid: process.pid, source: error.into() })
        }
    }
}

/// Memory that it holds, in bytes (resident); `None` where the system does not tell.
pub(crate) fn resident_bytes(process: &Process) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn recorded(directory: &Directory, component: Component) -> Option<Process> {
    // A record that is not there or not whole is no record; the search by arguments takes its place.
    serde_json::from_slice(&std::fs::read(directory.pid(component)).ok()?).ok()
}

fn put_aside(log: &Path) -> Result<(), LocalError> {
    if std::fs::metadata(log).is_ok_and(|meta| meta.len() > LARGE_LOG) {
        std::fs::rename(log, log.with_extension("log.1")).map_err(LocalError::file("move", log))?;
    }
    Ok(())
}

/// Whether the program's name fits; an editor that has our file open has the argument too.
fn is_component(pid: i32, component: Component) -> bool {
    let Some(program) = component.program() else { return true };
    arguments(pid)
        .first()
        .and_then(|first| Path::new(first).file_name().map(OsStr::to_owned))
        .is_some_and(|name| name == program.name())
}

fn has_argument(pid: i32, wanted: &OsStr) -> bool {
    arguments(pid).iter().skip(1).any(|argument| argument == wanted)
}

#[cfg(target_os = "linux")]
fn arguments(pid: i32) -> Vec<OsString> {
    // Gone, or another user's: not ours.
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| OsStr::from_bytes(part).to_owned())
        .collect()
}

#[cfg(target_os = "linux")]
fn all_pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// When a living process started: this boot, and the clock ticks since; `None` for a dead one and a zombie.
#[cfg(target_os = "linux")]
fn started(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // The name in parentheses may hold anything, so the fields are counted from its end; state is the first of them.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, ticks) = (fields.first()?, fields.get(19)?);
    (!matches!(*state, "Z" | "X")).then(|| format!("{} {ticks}", boot.trim()))
}

#[cfg(not(target_os = "linux"))]
fn ps(pid: i32, column: &str) -> Option<String> {
    let output = Command::new("ps")
        .args(["-ww", "-o", &format!("{column}="), "-p", &pid.to_string()])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(not(target_os = "linux"))]
fn arguments(pid: i32) -> Vec<OsString> {
    ps(pid, "args").unwrap_or_default().split(' ').map(OsString::from).collect()
}

#[cfg(not(target_os = "linux"))]
fn all_pids() -> Vec<i32> {
    let output = Command::new("ps").args(["-axo", "pid="]).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let Ok(output) = output else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout).split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(not(target_os = "linux"))]
fn started(pid: i32) -> Option<String> {
    let state = ps(pid, "state")?;
    if state.starts_with('Z') { None } else { ps(pid, "lstart") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_one_that_started_at_another_time_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = Process { pid, started: started(pid).unwrap() };
        assert!(is_alive(&me));
        assert!(!is_alive(&Process { started: "another boot 1".into(), ..me }));
    }

    #[test]
    fn a_process_that_ended_and_was_not_waited_for_is_dead() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while started(pid).is_some() {
            assert!(std::time::Instant::now() < deadline, "a zombie counts as alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
