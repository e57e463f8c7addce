//! Where a rehearsal is played: a state folder of its own, and this program's own commands as child processes in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Child;
use wbk_provider_rehearsal::{Fault, Rehearsal};

use crate::cli::{
    args::Global,
    command::child::{last_lines, own_command, passed_on},
    environment::Environment,
    failure::Failure,
};

/// Longest act: bringing up a control plane whose programs have to be built first took 14 minutes on two busy cores.
const LONGEST: Duration = Duration::from_secs(45 * 60);
/// How often the journal is looked at while a step is waited for; a kill must come soon after the step.
const LOOK: Duration = Duration::from_millis(20);

/// How a command ended.
pub(super) struct Ended {
    /// Its exit code; `None` where it was killed.
    pub code: Option<i32>,
    /// What it printed, where that is JSON.
    pub document: Value,
    /// The last lines that it told people.
    pub told: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// A folder, and what is played in it.
pub(super) struct Stage {
    folder: PathBuf,
    files: Vec<PathBuf>,
    rehearsal: PathBuf,
    /// Options of every command that were given to this one.
    options: Vec<OsString>,
    verbose: bool,
    /// The environment of the commands: their state is in the folder.
    pub environment: Environment,
}

impl Stage {
    /// Sets it up; what an earlier rehearsal of the blueprint left there has been taken away before.
    pub fn new(
        folder: &Path,
        files: Vec<PathBuf>,
        faults: &[Fault],
        environment: &Environment,
        global: &Global,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let plot = Rehearsal { faults: faults.to_vec(), happened: folder.join("happened") };
        let rehearsal = folder.join("rehearsal.json");
        std::fs::write(&rehearsal, serde_json::to_vec_pretty(&plot)?)
            .with_context(|| format!("write {}", rehearsal.display()))?;
        let mut environment = environment.clone();
        environment.state = folder.join("state").join("wbk-infra");
        environment.rehearsal = Some(plot);
        let options = passed_on(global);
        Ok(Self { folder: folder.to_owned(), files, rehearsal, options, verbose: global.verbose, environment })
    }

    /// Runs one of this program's commands to its end.
    pub async fn play(&self, name: &str, arguments: &[&str]) -> Result<Ended, Failure> {
        let begun = Instant::now();
        let mut child = self.start(name, arguments)?;
        let status = tokio::time::timeout(LONGEST, child.wait())
            .await
            .with_context(|| format!("wait for {name}"))?
            .with_context(|| format!("wait for {name}"))?;
        self.ended(name, status, begun.elapsed())
    }

    /// Runs one and kills it as soon as its journal says that a step with `step` in its name is done. `false`: it ended by
    /// itself before that.
    pub async fn play_until_killed(
        &self,
        name: &str,
        arguments: &[&str],
        step: &str,
    ) -> Result<(Ended, bool), Failure> {
        let begun = Instant::now();
        let mut child = self.start(name, arguments)?;
        let mut tick = tokio::time::interval(LOOK);
        let (status, killed) = loop {
            tokio::select! {
                status = child.wait() => break (status.with_context(|| format!("wait for {name}"))?, false),
                _ = tick.tick() => {
                    if self.is_done(step) {
                        child.kill().await.with_context(|| format!("kill {name}"))?;
                        break (child.wait().await.with_context(|| format!("wait for {name}"))?, true);
                    }
                }
            }
        };
        Ok((self.ended(name, status, begun.elapsed())?, killed))
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Result<Child, Failure> {
        let file = |ending: &str| {
            let path = self.folder.join(format!("{name}.{ending}"));
            std::fs::File::create(&path).with_context(|| format!("write {}", path.display()))
        };
        let mut command = own_command(&self.environment, &self.options);
        command
            .args(arguments)
            .arg("--rehearsal")
            .arg(&self.rehearsal)
            .env("XDG_STATE_HOME", self.folder.join("state"))
            .stdout(file("json")?)
            .stderr(if self.verbose { Stdio::inherit() } else { file("log")?.into() })
            .kill_on_drop(true);
        for blueprint in &self.files {
            command.arg("--file").arg(blueprint);
        }
        Ok(command.spawn().with_context(|| format!("start {} {name}", self.environment.program.display()))?)
    }

    fn ended(&self, name: &str, status: ExitStatus, took: Duration) -> Result<Ended, Failure> {
        let printed = std::fs::read(self.folder.join(format!("{name}.json"))).context("read what was printed")?;
        // With --verbose people have read it on their terminal already, and there is no file.
        let told = last_lines(&self.folder.join(format!("{name}.log")));
        // A command that failed before it had anything to report printed nothing.
        let document = serde_json::from_slice(&printed).unwrap_or(Value::Null);
        Ok(Ended { code: status.code(), document, told, took })
    }

    /// Whether a journal says that a step of this name is done.
    fn is_done(&self, step: &str) -> bool {
        let Ok(journals) = std::fs::read_dir(self.environment.state.join("journal")) else { return false };
        journals
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok()) // Removed meanwhile.
            .any(|text| {
                text.lines().any(|line| {
                    line.contains(r#""entry":"done""#) && line.to_lowercase().contains(&step.to_lowercase())
                })
            })
    }

    /// Takes the folder away; the cluster in it must be gone before.
    pub fn strike(self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.folder).with_context(|| format!("remove {}", self.folder.display()))?;
        Ok(())
    }
}
