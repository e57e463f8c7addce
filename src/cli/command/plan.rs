//! `plan`.

use std::path::Path;

use anyhow::Context;

use super::{
    proof::hold_to_proof,
    saved::{applied_mark, blueprint_digests},
    session::{Session, options},
};
use crate::{
    cli::{
        args::{BlueprintArgs, DecisionArgs, ProofArgs},
        failure::{Exit, Failure},
        situation::{Purpose, files, read_ahead},
    },
    cluster::Marks,
    execute::applied_plans,
    id::Digest,
    plan::{SavedPlan, plan},
};

impl Session<'_> {
    /// `plan`.
    pub async fn plan(
        &self,
        blueprint: &BlueprintArgs,
        (decisions, proof): (&DecisionArgs, &ProofArgs),
        save: Option<&Path>,
        exit_code: bool,
    ) -> Result<Exit, Failure> {
        let files = files(blueprint)?;
        let (desired, head) = read_ahead(&files, self.environment, self.global)?;
        let situation = self.look(&desired, Purpose::Apply, Some(head)).await?;
        let mut made = plan(&desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
        hold_to_proof(&mut made, &desired, &situation, proof).await?;
        self.price(&mut made, &desired, &situation)?;
        self.show_plan(&made, situation.simulated(&desired))?;
        let pending = !made.is_empty();
        let blocked = made.is_blocked();
        let applied = match (save, &situation.connection) {
            // What cannot be read is refused by the apply, if it matters.
            (Some(_), Some(reached)) => {
                let marks = Marks::new(&desired.name);
                applied_plans(&reached.cluster, &reached.discovery, &marks).await.unwrap_or_default()
            }
            (Some(_) | None, _) => Vec::new(),
        };
        // The process ends here: to free thousands of objects one by one is 5 % of a plan that finds nothing to do.
        std::mem::forget((desired, situation));
        if let Some(path) = save {
            let adopt = decisions.adopt.clone();
            let was_applied =
                |digest: &Digest| applied.contains(digest) || applied_mark(self.environment, digest).exists();
            let saved = SavedPlan::new(made, &blueprint_digests(&files)?, adopt).not_yet_applied(&was_applied);
            std::fs::write(path, saved.to_bytes()).with_context(|| format!("save the plan to {}", path.display()))?;
            if !self.global.quiet {
                anstream::eprintln!("saved as {}: apply it with `wbk-infra apply {}`", path.display(), path.display());
            }
        }
        Ok(if exit_code && (pending || blocked) { Exit::Pending } else { Exit::Done })
    }
}
