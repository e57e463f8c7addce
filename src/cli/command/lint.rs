//! `lint`.

use super::session::{out, unfit};
use crate::{
    blueprint::{DiskFiles, Ground},
    cli::{
        args::{BlueprintArgs, Global, Output},
        failure::{Exit, Failure},
        situation::{files, parse, today},
    },
};

/// `lint`.
pub fn lint(blueprint: &BlueprintArgs, global: &Global) -> Result<Exit, Failure> {
    let problems = match parse(&files(blueprint)?, Ground::Real)? {
        Ok(loaded) => loaded.lint(&DiskFiles, today()),
        Err(problems) => problems,
    };
    match global.output {
        Output::Human if problems.is_empty() => out("no problems"),
        Output::Human => out(&problems.to_string()),
        Output::Json => out(&serde_json::to_string_pretty(&problems)?),
        Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&problems)?)),
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
            return Err(unfit("lint", other));
        }
    }
    Ok(if problems.has_errors() { Exit::Failed } else { Exit::Done })
}
