//! The commands that need no cluster: lint, render, explain, schema, completions.

use clap::CommandFactory;

use super::{
    args::{BlueprintArgs, Cli, Global, Output, SchemaOf},
    commands::{Session, out, unfit},
    failure::{Exit, Failure},
    show::{ApplyReport, PlanReport},
    situation::{files, parse, read, read_only, today},
};
use crate::blueprint::{DiskFiles, ExplainError};

/// `lint`.
pub fn lint(blueprint: &BlueprintArgs, global: &Global) -> Result<Exit, Failure> {
    let problems = match parse(&files(blueprint)?)? {
        Ok(loaded) => loaded.lint(&DiskFiles, today()),
        Err(problems) => problems,
    };
    match global.output {
        Output::Human if problems.is_empty() => out("no problems"),
        Output::Human => out(&problems.to_string()),
        Output::Json => out(&serde_json::to_string_pretty(&problems)?),
        Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&problems)?)),
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => return Err(unfit("lint", other)),
    }
    Ok(if problems.has_errors() { Exit::Failed } else { Exit::Done })
}

/// `render`.
pub fn render(blueprint: &BlueprintArgs, session: &Session<'_>) -> Result<Exit, Failure> {
    let desired = read(&files(blueprint)?, session.environment)?;
    match session.global.output {
        Output::Human | Output::Yaml => out(&desired.render_yaml()),
        Output::Json => out(&desired.render_json()),
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => {
            return Err(unfit("render", other));
        }
    }
    Ok(Exit::Done)
}

/// `explain`.
pub fn explain(blueprint: &BlueprintArgs, path: &str, global: &Global) -> Result<Exit, Failure> {
    let loaded = read_only(&files(blueprint)?)?;
    let explanation = loaded.explain(path).map_err(|error| {
        let hint = match &error {
            ExplainError::NotAPath(_) => Some("write it like namespaces[wandb-jobs].quota.gpu".to_owned()),
            ExplainError::Unknown { candidates, .. } if !candidates.is_empty() => {
                Some(format!("there is: {}", candidates.join(", ")))
            }
            ExplainError::Unknown { .. } => None,
        };
        Failure { error: error.into(), hint, exit: Exit::Failed }
    })?;
    match global.output {
        Output::Human => out(&explanation.to_string()),
        Output::Json => out(&serde_json::to_string_pretty(&explanation)?),
        Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&explanation)?)),
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => {
            return Err(unfit("explain", other));
        }
    }
    Ok(Exit::Done)
}

/// `schema`.
pub fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    let schema = match of {
        SchemaOf::Blueprint => crate::blueprint::json_schema(),
        SchemaOf::Plan => serde_json::to_value(schemars::schema_for!(PlanReport))?,
        SchemaOf::Apply => serde_json::to_value(schemars::schema_for!(ApplyReport))?,
    };
    out(&serde_json::to_string_pretty(&schema)?);
    Ok(Exit::Done)
}

/// `completions`.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wbk-infra", &mut script);
    out(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
