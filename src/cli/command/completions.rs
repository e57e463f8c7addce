//! `completions`.

use clap::CommandFactory;

use super::session::out;
use crate::cli::{
    args::Cli,
    failure::{Exit, Failure},
};

/// `completions`.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wbk-infra", &mut script);
    out(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
