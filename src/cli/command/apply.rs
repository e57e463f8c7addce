//! `apply`.

use super::{
    proof::hold_to_proof,
    saved::saved_plan,
    session::{Session, options, unfit},
    verify::exit_of,
};
use crate::{
    cli::{
        args::{BlueprintArgs, CheckArgs, DecisionArgs, Output, ProofArgs},
        failure::{Exit, Failure},
        pin::pin,
        show::{ApplyReport, Mood, paint, plan_human, plan_json},
        situation::{Purpose, files, read_ahead},
    },
    desired::Desired,
    live::ClusterState,
    plan::{Action, Plan, SavedPlan, Target, plan},
    verify,
};

impl Session<'_> {
    /// `apply`.
    pub async fn apply(
        &self,
        blueprint: &BlueprintArgs,
        (decisions, proof): (&DecisionArgs, &ProofArgs),
        checks: &CheckArgs,
        yes: bool,
        verify: bool,
    ) -> Result<Exit, Failure> {
        if self.global.output == Output::Sarif {
            return Err(unfit("apply", self.global.output));
        }
        let files = files(blueprint)?;
        if let [file] = files.as_slice()
            && let Some(saved) = saved_plan(file)?
        {
            return self.apply_saved(saved, checks, verify).await;
        }
        let (desired, head) = read_ahead(&files, self.environment, self.global)?;
        let mut head = Some(head);
        let mut before = Vec::new();
        let report = loop {
            let situation = self.look(&desired, Purpose::Apply, head.take()).await?;
            let mut made =
                plan(&desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
            hold_to_proof(&mut made, &desired, &situation, proof).await?;
            self.price(&mut made, &desired, &situation)?;
            let simulated = situation.simulated(&desired);
            if self.global.output == Output::Human && !self.global.quiet {
                self.show_plan(&made, simulated)?;
            }
            if !made.is_empty() && !self.agreed(&made, yes, simulated)? {
                anstream::eprintln!("nothing was changed");
                return Ok(Exit::Done);
            }
            let digest = SavedPlan::new(made.clone(), &[], Vec::new()).digest;
            let execution = self.carry_out(&made, &digest, None, situation, decisions.adopt.clone()).await?;
            let stopped = self.report_execution(&execution);
            let mut report = ApplyReport::new(&made, simulated, &execution);
            report.done.splice(0..0, before.iter().cloned());
            if let Some(exit) = stopped {
                self.show_report(&report)?;
                return Ok(exit);
            }
            // Of a cluster that did not run nothing could be seen: what was left out is planned now that it runs.
            if before.is_empty() && starts_cluster(&made) {
                before = report.done;
                continue;
            }
            break report;
        };
        self.finish(&desired, decisions, (checks, verify), report).await
    }

    /// After an apply: nothing is left to do, and the promises hold.
    pub(super) async fn finish(
        &self,
        desired: &Desired,
        decisions: &DecisionArgs,
        (checks, verify): (&CheckArgs, bool),
        mut report: ApplyReport,
    ) -> Result<Exit, Failure> {
        let situation = self.look(desired, Purpose::Apply, None).await?;
        if let ClusterState::Reached(world) = &situation.sight.live.cluster {
            pin(desired, self.environment, world)?;
        }
        let again = plan(desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
        if !again.is_empty() || again.is_blocked() {
            anstream::eprintln!("{}", paint(Mood::Bad, "after the apply something is still to be done:"));
            anstream::eprintln!("{}", plan_human(&again, self.global.verbose, situation.simulated(desired)));
            report.remaining = Some(plan_json(&again, situation.simulated(desired)));
            self.show_report(&report)?;
            return Ok(Exit::Stopped);
        }
        if !self.global.quiet {
            anstream::eprintln!(
                "planned again: nothing to do, {} objects and releases are as they shall be",
                again.unchanged
            );
        }
        if !verify {
            self.show_report(&report)?;
            return Ok(Exit::Done);
        }
        let Some(connection) = &situation.connection else {
            return Err(Failure::from(anyhow::anyhow!("there is no cluster to verify")));
        };
        let checked = self.check(desired, connection, checks).await?;
        report.verification = Some(verify::json(&checked));
        self.show_report(&report)?;
        match self.global.output {
            Output::Json | Output::Yaml => Ok(exit_of(&checked)),
            Output::Human | Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html => {
                self.show_checks(&checked)
            }
        }
    }
}

fn starts_cluster(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.action == Action::Start && matches!(step.target, Target::Cluster(_)))
}
