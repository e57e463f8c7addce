//! What can be explained.

use std::path::PathBuf;

use clap::Args;

/// A value of a blueprint, the closure proof, or the life of what is pushed to a queue.
#[derive(Debug, Args, Clone)]
pub struct ExplainArgs {
    /// The blueprint; or `gpu`, `queue`, `job`.
    #[arg(value_name = "BLUEPRINT")]
    pub topic: PathBuf,
    /// Path of the value, `nodePools[a100].taints`; after `gpu` the blueprint; after `queue` and `job` a name.
    #[arg(value_name = "PATH")]
    pub name: Option<String>,
    /// Blueprint and overlays in order.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Draw it as a page of its own (not of a value).
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Draw it as a picture (not of a value).
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
