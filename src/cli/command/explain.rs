//! `explain`.

use super::session::{Session, out, unfit};
use crate::{
    blueprint::ExplainError,
    cli::{
        args::{BlueprintArgs, Output},
        failure::{Exit, Failure},
        situation::{files, read_only},
    },
};

/// `explain`.
pub fn explain(
    blueprint: &BlueprintArgs,
    path: &str,
    Session { environment, global }: &Session<'_>,
) -> Result<Exit, Failure> {
    let loaded = read_only(&files(blueprint)?, environment)?;
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
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
            return Err(unfit("explain", other));
        }
    }
    Ok(Exit::Done)
}
