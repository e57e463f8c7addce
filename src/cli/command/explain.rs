//! `explain`: of a value where it comes from; `gpu` is in [`super::proof`], `queue` and `job` are in [`super::lifecycle`].

use std::path::Path;

use anyhow::Context;

use super::session::{Session, out, unfit};
use crate::{
    blueprint::ExplainError,
    cli::{
        args::{BlueprintArgs, ExplainArgs, Output},
        failure::{Exit, Failure},
        situation::{files, read_only},
    },
};

impl Session<'_> {
    /// `explain`.
    pub async fn explain(&self, args: ExplainArgs) -> Result<Exit, Failure> {
        let ExplainArgs { topic, name, files, html, svg } = args;
        let pictures = (html.as_deref(), svg.as_deref());
        match (topic.to_str(), name) {
            (Some("gpu"), blueprint) => {
                self.explain_gpu(&BlueprintArgs { blueprint: blueprint.map(Into::into), files }, pictures).await
            }
            (Some(topic @ ("queue" | "job")), Some(name)) => {
                let blueprint = BlueprintArgs { blueprint: None, files };
                self.explain_life(&blueprint, (topic == "queue", &name), pictures).await
            }
            (Some(topic @ ("queue" | "job")), None) => {
                Err(Failure::usage(format!("which? wbk-infra explain {topic} NAME -f BLUEPRINT")))
            }
            (_, Some(_)) if pictures != (None, None) => Err(Failure::usage(
                "a value is not drawn: wbk-infra explain gpu BLUEPRINT --html FILE, or explain queue NAME -f BLUEPRINT --html FILE",
            )),
            (_, Some(path)) => self.explain_value(&BlueprintArgs { blueprint: Some(topic), files }, &path),
            (_, None) => Err(Failure::usage(
                "which value? wbk-infra explain BLUEPRINT PATH, explain gpu BLUEPRINT, or explain queue NAME -f BLUEPRINT",
            )),
        }
    }

    fn explain_value(&self, blueprint: &BlueprintArgs, path: &str) -> Result<Exit, Failure> {
        let loaded = read_only(&files(blueprint)?, self.environment)?;
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
        match self.global.output {
            Output::Human => out(&explanation.to_string()),
            Output::Json => out(&serde_json::to_string_pretty(&explanation)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&explanation)?)),
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
                return Err(unfit("explain", other));
            }
        }
        Ok(Exit::Done)
    }

    /// Draws a picture where one is asked for.
    pub(super) fn draw(&self, path: Option<&Path>, picture: impl FnOnce() -> String) -> Result<(), Failure> {
        let Some(path) = path else { return Ok(()) };
        std::fs::write(path, picture()).with_context(|| format!("write the picture to {}", path.display()))?;
        if !self.global.quiet {
            anstream::eprintln!("drawn in {}", path.display());
        }
        Ok(())
    }
}
