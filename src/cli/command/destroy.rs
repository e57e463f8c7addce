//! `destroy`.

use std::path::Path;

use super::session::{Session, options, out, unfit};
use crate::{
    cli::{
        args::{BlueprintArgs, DecisionArgs, Output},
        failure::{Exit, Failure},
        show::ApplyReport,
        situation::{Purpose, files, look, read},
    },
    desired::Desired,
    live::ClusterState,
    plan::{PlanOptions, SavedPlan, destroy},
};

impl Session<'_> {
    /// `destroy`.
    pub async fn destroy(
        &self,
        blueprint: &BlueprintArgs,
        decisions: &DecisionArgs,
        yes: bool,
    ) -> Result<Exit, Failure> {
        match self.global.output {
            Output::Human | Output::Json | Output::Yaml => {}
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
                return Err(unfit("destroy", other));
            }
        }
        let desired = read(&files(blueprint)?, self.environment)?;
        let desired = &desired;
        let situation = self.look(desired, Purpose::Destroy, None).await?;
        let made = destroy(desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
        let simulated = situation.simulated(desired);
        if self.global.output == Output::Human && !self.global.quiet {
            self.show_plan(&made, simulated)?;
        }
        if !made.is_empty() && !self.agreed(&made, yes, simulated)? {
            anstream::eprintln!("nothing was changed");
            return Ok(Exit::Done);
        }
        let digest = SavedPlan::new(made.clone(), &[], Vec::new()).digest;
        let memory = situation.memory.clone();
        let execution = self.carry_out(&made, &digest, None, situation, Vec::new()).await?;
        let mut report = ApplyReport::new(&made, simulated, &execution);
        if let Some(exit) = self.report_execution(&execution) {
            self.show_report(&report)?;
            return Ok(exit);
        }
        report.left = self.scan(desired, memory.as_deref()).await?;
        self.show_report(&report)?;
        Ok(Exit::Done)
    }

    /// What is left after a destroy.
    async fn scan(&self, desired: &Desired, memory: Option<&Path>) -> Result<Vec<String>, Failure> {
        let situation = look(desired, (self.environment, self.global), Purpose::Destroy, None, &self.say()).await?;
        let everything = PlanOptions { delete: ["all".to_owned()].into(), ..PlanOptions::default() };
        let rest = destroy(desired, &situation.sight.live, &situation.operations, &everything);
        let mut left: Vec<String> = rest.steps.iter().map(|step| step.target.to_string()).collect();
        left.extend(rest.not_planned.iter().map(|entry| format!("{} ({})", entry.what, entry.reason)));
        if matches!(situation.sight.live.cluster, ClusterState::Absent) {
            left.extend(
                situation
                    .provider
                    .leftovers(&desired.wanted)
                    .await
                    .into_iter()
                    .map(|left| format!("{}: {}", left.what, left.hint)),
            );
        }
        if left.is_empty()
            && let Some(memory) = memory
            && let Err(error) = std::fs::remove_file(memory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            anstream::eprintln!("warning: remove {}: {error}", memory.display());
        }
        if self.global.output == Output::Human {
            if left.is_empty() {
                out("Left: nothing.");
            } else {
                out(&format!("Left, {} things:", left.len()));
                for line in &left {
                    out(&format!("  {line}"));
                }
            }
        }
        Ok(left)
    }
}
