//! What can be asked of W&B Launch.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::BlueprintArgs;

/// What of W&B Launch.
#[derive(Debug, Subcommand, Clone)]
pub enum LaunchCommand {
    /// Agents, queues and Jobs on one screen: state, node, GPUs, age, and why something waits.
    Status {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// Again and again, until interrupted.
        #[arg(short, long)]
        watch: bool,
        /// Seconds between two looks.
        #[arg(long, default_value_t = 5, value_name = "SECONDS")]
        interval: u64,
    },
    /// Push an item to a queue; prints W&B's id of it.
    Run {
        /// What is pushed.
        #[command(flatten)]
        push: PushArgs,
        /// Blueprint and overlays in order.
        #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// The last lines of the log of an agent, of a Job, or of a run.
    Logs {
        /// Its name.
        name: String,
        /// Blueprint and overlays in order.
        #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

/// What is pushed to a queue.
#[derive(Debug, Args, Clone)]
pub struct PushArgs {
    /// The queue.
    pub queue: String,
    /// The image to run.
    #[arg(long)]
    pub image: String,
    /// W&B's project of the run.
    #[arg(long, default_value = "uncategorized")]
    pub project: String,
    /// The run's name.
    #[arg(long)]
    pub name: Option<String>,
    /// The value of a variable of the queue: NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Before which others it is taken, where the queue has priorities.
    #[arg(long, value_enum)]
    pub priority: Option<ItemPriority>,
    /// Arguments in place of the image's own.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// Priorities of items, as W&B numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ItemPriority {
    /// First.
    Critical = 0,
    /// Before the rest.
    High = 1,
    /// What an item has that says nothing.
    Medium = 2,
    /// Last.
    Low = 3,
}
