//! `render`.

use super::session::{Session, out, unfit};
use crate::cli::{
    args::{BlueprintArgs, Output},
    failure::{Exit, Failure},
    situation::{files, read},
};

/// `render`.
pub fn render(blueprint: &BlueprintArgs, session: &Session<'_>) -> Result<Exit, Failure> {
    let desired = read(&files(blueprint)?, session.environment)?;
    match session.global.output {
        Output::Human | Output::Yaml => out(&desired.render_yaml()),
        Output::Json => out(&desired.render_json()),
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
            return Err(unfit("render", other));
        }
    }
    Ok(Exit::Done)
}
