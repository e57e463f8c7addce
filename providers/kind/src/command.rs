//! The one place that starts a program: no input, the C locale, a deadline, and an interrupt before a kill.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use wbk_provider_api::{Progress, ProgressSink};

use crate::{KindError, Settings};

/// What a program may need to clean up after an interrupt; kind then removes nothing and ends at once.
const GRACE: Duration = Duration::from_secs(5);
/// Lines of what a failing program said that are kept: the last ones hold the reason.
const KEPT: usize = 12;

/// A program to be run.
pub(crate) struct Call<'a> {
    pub program: &'a Path,
    pub args: Vec<String>,
    /// Variables beside those of [`Settings::environment`].
    pub variables: Vec<(&'a str, String)>,
    pub within: Duration,
}

/// Runs it to its end; gives its standard output. What it says on standard error becomes progress, line by line.
pub(crate) async fn run(
    settings: &Settings,
    call: Call<'_>,
    progress: Option<ProgressSink<'_>>,
) -> Result<String, KindError> {
    let shown = shown(&call);
    let mut child = Command::new(call.program)
        .args(&call.args)
        .env_clear()
        .envs(settings.environment.iter().cloned())
        .envs(call.variables.iter().map(|(name, value)| (*name, value.as_str())))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // An interrupt of the terminal is for this program to handle: it decides what happens to its children.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| KindError::Spawn { program: call.program.to_owned(), source })?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let pid = child.id();
    let mut said: Vec<String> = Vec::new();
    let mut out = Vec::new();
    let ended = {
        let read_errors = async {
            let mut lines = BufReader::new(stderr).split(b'\n');
            // A pipe that cannot be read any more is one that has ended.
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = plain(&String::from_utf8_lossy(&line));
                if line.is_empty() || said.last() == Some(&line) {
                    continue;
                }
                if let Some(progress) = progress {
                    progress(Progress(line.clone()));
                }
                said.push(line);
            }
        };
        let all = async {
            let (read, ()) = tokio::join!(stdout.read_to_end(&mut out), read_errors);
            read?;
            child.wait().await
        };
        tokio::time::timeout(call.within, all).await
    };
    let last = |said: &[String]| {
        let from = said.len().saturating_sub(KEPT);
        let text = said[from..].join("; ");
        if text.is_empty() { "it said nothing".to_owned() } else { text }
    };
    match ended {
        Ok(Ok(status)) if status.success() => Ok(String::from_utf8_lossy(&out).into_owned()),
        Ok(Ok(status)) => {
            if said.is_empty() {
                said.extend(String::from_utf8_lossy(&out).lines().map(str::to_owned));
            }
            Err(KindError::Failed { command: shown, said: format!("{} ({status})", last(&said)) })
        }
        Ok(Err(source)) => Err(KindError::Spawn { program: call.program.to_owned(), source }),
        Err(_) => {
            if let Some(pid) = pid.and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)) {
                // It may have ended meanwhile; then there is nothing to interrupt.
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::INT);
            }
            // Past the grace it is killed when it is dropped.
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
            Err(KindError::Slow { command: shown, seconds: call.within.as_secs(), said: last(&said) })
        }
    }
}

/// As a person would type it.
fn shown(call: &Call<'_>) -> String {
    let name = call.program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut line = vec![name];
    line.extend(call.args.iter().cloned());
    line.join(" ")
}

/// Without the marks, pictures and colours that programs write for terminals.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.trim_end().chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else if c.is_ascii() && !c.is_ascii_control() {
            text.push(c);
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(program: &'a Path, script: &str, within: Duration) -> Call<'a> {
        Call { program, args: vec!["-c".into(), script.into()], variables: Vec::new(), within }
    }

    #[tokio::test]
    async fn output_comes_back_and_what_was_said_is_in_the_error() {
        let settings = Settings::new("/nonexistent", "/nonexistent");
        let shell = Path::new("/bin/sh");
        let long = Duration::from_secs(60);
        let out = run(&settings, call(shell, "echo one; echo two >&2; env | wc -l", long), None).await.unwrap();
        assert!(out.starts_with("one\n"), "{out}");
        let failed = run(&settings, call(shell, "echo ' \u{2713} Starting'>&2; echo why >&2; exit 3", long), None);
        let text = failed.await.unwrap_err().to_string();
        assert!(text.contains("Starting; why") && text.contains("exit status: 3"), "{text}");
    }

    #[tokio::test]
    async fn what_does_not_end_is_interrupted() {
        let settings = Settings::new("/nonexistent", "/nonexistent");
        let began = std::time::Instant::now();
        let script = "trap 'echo interrupted >&2; exit 1' INT; echo waiting >&2; while :; do sleep 0.05; done";
        let slow = run(&settings, call(Path::new("/bin/sh"), script, Duration::from_millis(600)), None);
        let text = slow.await.unwrap_err().to_string();
        assert!(text.contains("did not end") && text.contains("waiting"), "{text}");
        assert!(began.elapsed() < GRACE, "it ended at the interrupt");
    }

    #[test]
    fn pictures_and_colours_are_no_words() {
        assert_eq!(plain(" \u{1b}[32m✓\u{1b}[0m Ensuring node image (x) 🖼 \r"), "Ensuring node image (x)");
    }
}
