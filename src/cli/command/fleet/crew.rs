//! Runs this program's own commands, one process for each cluster, some at once. What one of them does to itself cannot
//! reach another; an interrupt reaches all.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Child;
use tokio::sync::watch;

use crate::cli::{
    command::child::{last_lines, own_command, passed_on},
    command::session::Session,
    failure::Failure,
};
use crate::execute::Stop;

/// How long a command that was told to stop may take, before it is told again and then killed: steps under way are finished
/// at the first word, and a helm release may take a minute; at the second they are let go within a second.
const GRACE: Duration = Duration::from_secs(90);

/// One command to run.
pub(super) struct Job {
    /// The cluster.
    pub name: String,
    /// The command; its files are named by it.
    pub what: &'static str,
    /// All of its arguments.
    pub arguments: Vec<OsString>,
}

/// How a command ended.
pub(super) enum How {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal, or with a failure after it was told to stop because the user said so.
    Interrupted(Option<i32>),
    /// It took too long.
    TimedOut(Option<i32>),
    /// By a signal that nobody here sent.
    Killed,
    /// It was not started: the user interrupted before.
    NotStarted,
    /// It could not be started.
    Unstartable(String),
}

/// What became of a command.
pub(super) struct Ended {
    pub how: How,
    /// What it printed, where that is JSON.
    pub document: Value,
    /// The last lines that it told people.
    pub told: Vec<String>,
    pub took: Duration,
    /// All that it told people.
    pub log: PathBuf,
}

/// What all commands of one fleet have in common.
pub(super) struct Crew<'a> {
    session: &'a Session<'a>,
    options: Vec<OsString>,
    folder: PathBuf,
    stop: watch::Receiver<Stop>,
    parallel: usize,
    timeout: Duration,
    /// Held while the files of the folder are in use.
    _lock: std::fs::File,
}

impl<'a> Crew<'a> {
    /// Takes the folder of a fleet's command, in which the commands' outputs are kept until the next one.
    pub fn gather(
        session: &'a Session<'a>,
        folder: PathBuf,
        stop: watch::Receiver<Stop>,
        (parallel, timeout): (u16, u64),
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let path = folder.join("lock");
        let lock = std::fs::File::create(&path).with_context(|| format!("write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let error = anyhow::anyhow!("the same command of this fleet is under way on this machine");
                return Err(Failure::hinted(error, format!("wait for it; its outputs are in {}", folder.display())));
            }
            Err(std::fs::TryLockError::Error(error)) => {
                let error = anyhow::Error::new(error).context(format!("lock {}", path.display()));
                return Err(Failure::from(error));
            }
        }
        Ok(Self {
            session,
            options: passed_on(session.global),
            folder,
            stop,
            parallel: usize::from(parallel),
            timeout: Duration::from_secs(timeout),
            _lock: lock,
        })
    }

    /// A file of a cluster.
    pub fn file(&self, cluster: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{cluster}.{ending}"))
    }

    /// Whether the user said stop.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// Waits until the user says stop.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
            // Nobody can say it any more.
            std::future::pending().await
        }
    }

    /// Runs all, some at once; answers in the order of the jobs. None of them fails the others.
    pub async fn run(&self, jobs: Vec<Job>) -> Vec<Ended> {
        let mut ended: Vec<(usize, Ended)> = stream::iter(jobs.into_iter().enumerate())
            .map(|(index, job)| async move {
                let begun = Instant::now();
                let ended = self.one(&job).await;
                if !self.session.global.quiet {
                    let how = match &ended.how {
                        How::Exited(0 | 3) => "done".into(),
                        How::Exited(code) => format!("ended with exit code {code}"),
                        How::Interrupted(_) => "was interrupted".into(),
                        How::TimedOut(_) => "took too long".into(),
                        How::Killed => "was killed".into(),
                        How::NotStarted => "not started".into(),
                        How::Unstartable(why) => why.clone(),
                    };
                    anstream::eprintln!("{}: {} {how} ({:.1} s)", job.name, job.what, begun.elapsed().as_secs_f64());
                }
                (index, ended)
            })
            .buffer_unordered(self.parallel)
            .collect()
            .await;
        ended.sort_by_key(|(index, _)| *index);
        ended.into_iter().map(|(_, ended)| ended).collect()
    }

    async fn one(&self, job: &Job) -> Ended {
        let (printed, log) =
            (self.file(&job.name, &format!("{}.json", job.what)), self.file(&job.name, &format!("{}.log", job.what)));
        let begun = Instant::now();
        let mut ended =
            Ended { how: How::NotStarted, document: Value::Null, told: Vec::new(), took: Duration::ZERO, log };
        if self.is_stopped() {
            return ended;
        }
        let mut child = match self.start(job, &printed, &ended.log) {
            Ok(child) => child,
            Err(error) => {
                ended.how = How::Unstartable(format!("{error:#}"));
                return ended;
            }
        };
        ended.how = self.follow(&mut child).await;
        ended.took = begun.elapsed();
        ended.told = last_lines(&ended.log);
        // A command that failed before it had anything to report printed nothing, one that was killed a part.
        ended.document = std::fs::read(&printed)
            .ok()
            .and_then(|printed| serde_json::from_slice(&printed).ok())
            .unwrap_or(Value::Null);
        ended
    }

    fn start(&self, job: &Job, printed: &Path, log: &Path) -> anyhow::Result<Child> {
        let file = |path: &Path| std::fs::File::create(path).with_context(|| format!("write {}", path.display()));
        let environment = self.session.environment;
        own_command(environment, &self.options)
            .args(&job.arguments)
            .stdout(file(printed)?)
            .stderr(file(log)?)
            // A group of its own: a terminal's Ctrl-C comes from here and not twice. It is not killed with this process:
            // what it began it finishes.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", environment.program.display()))
    }

    /// Waits for a command's end; hands on the user's interrupts, and interrupts what takes too long.
    async fn follow(&self, child: &mut Child) -> How {
        let mut stop = self.stop.clone();
        let mut told = Stop::No;
        let mut late = false;
        let mut urges = 0;
        let mut next = tokio::time::Instant::now() + self.timeout;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                Ok(()) = stop.changed() => {
                    told = *stop.borrow_and_update();
                    signal(child, Signal::INT);
                    urges += 1;
                    if told == Stop::Now {
                        next = next.min(tokio::time::Instant::now() + GRACE);
                    }
                }
                () = tokio::time::sleep_until(next) => {
                    late = late || told == Stop::No;
                    signal(child, if urges < 2 { Signal::INT } else { Signal::KILL });
                    urges += 1;
                    next = tokio::time::Instant::now() + GRACE;
                }
            }
        };
        let code = match status {
            Ok(status) => status.code(),
            Err(error) => return How::Unstartable(format!("wait for its end: {error}")),
        };
        match code {
            Some(0) => How::Exited(0),
            code if late => How::TimedOut(code),
            code if told != Stop::No => How::Interrupted(code),
            Some(code) => How::Exited(code),
            None => How::Killed,
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended since: then there is nobody to tell.
        let _ = kill_process(pid, signal);
    }
}
