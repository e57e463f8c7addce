//! One command as a whole process: wall time, processor time of it and its children, most memory of any of them.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// What one run took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds from start to end.
    pub wall: f64,
    /// Milliseconds of user and system time.
    pub cpu: f64,
    /// Most resident memory of the largest process, MB.
    pub memory: f64,
    /// Most memory that no file backs, of all its processes together, MB; looked at every few milliseconds.
    pub anonymous: f64,
}

/// Runs a command and answers what it took. It runs below a process of its own, because the operating system adds up what
/// the children of a process used.
pub fn run(command: &Command, expect: &[i32], report: &Path) -> Result<Sample> {
    let mut outer = Command::new(std::env::current_exe()?);
    outer.arg("measure").arg(report).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    let output = outer.stdin(Stdio::null()).output()?;
    let code = output.status.code().unwrap_or(-1);
    ensure!(
        expect.contains(&code),
        "{command:?} ended with {code}:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout).chars().take(2_000).collect::<String>(),
        String::from_utf8_lossy(&output.stderr).chars().take(2_000).collect::<String>()
    );
    serde_json::from_slice(&std::fs::read(report)?).context("read the sample")
}

/// The process below which a command runs: `measure REPORT PROGRAM ARGUMENT…`.
pub fn child(arguments: &[String]) -> Result<i32> {
    let [report, program, rest @ ..] = arguments else { anyhow::bail!("measure REPORT PROGRAM ARGUMENT…") };
    let started = Instant::now();
    let mut child = Command::new(program).args(rest).spawn().with_context(|| format!("start {program}"))?;
    let watched = child.id();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        loop {
            most = most.max(anonymous(watched));
            // It ends with the channel.
            if ended.recv_timeout(LOOK) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return most;
            }
        }
    });
    let status = child.wait()?;
    let wall = started.elapsed();
    drop(end);
    let most = watch.join().unwrap_or_default();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    #[expect(clippy::cast_precision_loss, reason = "durations of seconds and sizes of megabytes")]
    let sample = {
        let millis = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3;
        Sample {
            wall: wall.as_secs_f64() * 1e3,
            cpu: millis(usage.user_time()) + millis(usage.system_time()),
            memory: usage.max_rss() as f64 / 1024.0,
            anonymous: most as f64 / 1024.0,
        }
    };
    std::fs::write(report, serde_json::to_vec(&sample)?)?;
    Ok(status.code().unwrap_or(-1))
}

/// Between two looks at a process's memory.
const LOOK: Duration = Duration::from_millis(4);

/// Kilobytes that no file backs, of a process and its descendants; what cannot be read has ended.
fn anonymous(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse().ok());
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    // A thread lists the processes that it started.
    let children: String =
        tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default()).collect();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    own.unwrap_or(0) + children.map(anonymous).sum::<u64>()
}

/// Samples of one contender.
#[derive(Debug, Default, Clone)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// How many times as long as another contender it took: the median over the rounds, in each of which both ran, so that a
    /// change of the machine's speed meets both.
    pub fn times(&self, other: &Self) -> f64 {
        let mut ratios: Vec<f64> = self.0.iter().zip(&other.0).map(|(one, other)| one.wall / other.wall).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The median of a figure, with its least and most.
    pub fn of(&self, figure: impl Fn(&Sample) -> f64) -> Figure {
        let mut all: Vec<f64> = self.0.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        let at = |at: usize| all.get(at).copied().unwrap_or(f64::NAN);
        Figure { least: at(0), median: at(all.len() / 2), most: at(all.len().saturating_sub(1)) }
    }
}

/// A figure over several runs.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// The least.
    pub least: f64,
    /// The middle one.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} [{:.0}-{:.0}]", self.median, self.least, self.most)
    }
}
