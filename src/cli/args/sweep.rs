//! What can be asked of sweeps.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ProofArgs;

/// What of sweeps.
#[derive(Debug, Subcommand, Clone)]
pub enum SweepCommand {
    /// Make a sweep once, and run its agents as a Job on a queue's pool. The same command again goes on with what is left.
    #[command(after_help = "\
Examples:
  wbk-infra sweep run l4 -f site.yaml --config sweep.yaml --image me/train:1 --agents 4
  wbk-infra sweep run l4-shared -f site.yaml --config sweep.yaml --image me/train:1 --agents 8 --agents-per-gpu 4")]
    Run(RunSweepArgs),
    /// Sweeps with their runs, the best of them, their agents, and why one waits.
    Status {
        /// Only this one.
        name: Option<String>,
        /// Which.
        #[command(flatten)]
        at: SweepAt,
    },
    /// Give agents no further sets for now; what runs goes on, and agents keep their places.
    Pause(OneSweep),
    /// Give agents sets again.
    Resume(OneSweep),
    /// End it: what runs may end, nothing new begins, then the agents go.
    Stop(OneSweep),
    /// End it now, with all its runs and agents.
    Cancel(OneSweep),
}

/// Where sweeps are.
#[derive(Debug, Args, Clone)]
pub struct SweepAt {
    /// W&B's project, where the sweep's Job is no longer there to tell it.
    #[arg(long)]
    pub project: Option<String>,
    /// Blueprint and overlays in order.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// One sweep.
#[derive(Debug, Args, Clone)]
pub struct OneSweep {
    /// Its name.
    pub name: String,
    /// Where.
    #[command(flatten)]
    pub at: SweepAt,
}

/// A sweep to run.
#[derive(Debug, Args, Clone)]
pub struct RunSweepArgs {
    /// The queue whose pool, namespace, priority and amounts the agents get.
    pub queue: String,
    /// The sweep file: method, parameters, program.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The image of the agents, with wandb, a shell and the program in it.
    #[arg(long)]
    pub image: String,
    /// The sweep's name; the sweep file's own without it.
    #[arg(long)]
    pub name: Option<String>,
    /// W&B's project; the sweep file's own without it.
    #[arg(long)]
    pub project: Option<String>,
    /// Agents at once: pods of the Job, each with the GPUs of a job of the queue.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub agents: u32,
    /// Agents that share one GPU: what the pool's time-slicing, MPS or MIG makes of it. Said to be checked.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub agents_per_gpu: Option<u32>,
    /// Most runs of the sweep, over the sweep file's `run_cap`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub runs: Option<u64>,
    /// Runs of each agent, which then ends; without it agents end with the sweep.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// The value of a variable of the queue: NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The proof.
    #[command(flatten)]
    pub proof: ProofArgs,
    /// Where.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}
