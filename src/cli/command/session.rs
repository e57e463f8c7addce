//! What every command is given, and what most of them begin and end with.

use crate::{
    cli::{
        args::{Conflicts, DecisionArgs, Global, Output},
        environment::Environment,
        failure::{Exit, Failure},
        show::{ApplyReport, plan_human, plan_json, plan_markdown},
        situation::{HeadStart, Purpose, Situation, look},
    },
    desired::{ConflictChoice, Desired},
    live::ClusterState,
    plan::{Plan, PlanOptions},
};

/// What every command is given.
pub struct Session<'a> {
    /// The process's environment.
    pub environment: &'a Environment,
    /// Global options.
    pub global: &'a Global,
}

/// Where results go.
pub fn out(text: &str) {
    let text = text.strip_suffix('\n').unwrap_or(text);
    anstream::println!("{text}");
}

/// A usage error for a format that a command does not have.
pub fn unfit(command: &str, output: Output) -> Failure {
    Failure::usage(format!("{command} has no output {}", format!("{output:?}").to_lowercase()))
}

pub(super) fn options(decisions: &DecisionArgs, situation: &Situation) -> PlanOptions {
    PlanOptions {
        holding: situation.holding.clone(),
        running: situation.running.clone(),
        findings: situation.findings.clone(),
        unpinned: situation.charts.as_ref().map(|charts| charts.unpinned.clone()).unwrap_or_default(),
        adopt: decisions.adopt.iter().cloned().collect(),
        delete: decisions.delete.iter().cloned().collect(),
        conflicts: decisions.conflicts.map(|choice| match choice {
            Conflicts::Mend => ConflictChoice::Mend,
            Conflicts::Take => ConflictChoice::Take,
            Conflicts::Yield => ConflictChoice::Yield,
            Conflicts::Stop => ConflictChoice::Stop,
        }),
    }
}

impl Session<'_> {
    pub(super) fn say(&self) -> impl Fn(&str) + Sync + Send {
        let quiet = self.global.quiet;
        let last = std::sync::Mutex::new(String::new());
        move |line: &str| {
            let mut last = last.lock().expect("no holder of this lock panics");
            if !quiet && *last != line {
                anstream::eprintln!("{line}");
                last.clear();
                last.push_str(line);
            }
        }
    }

    /// Looks at the world of a whole blueprint, and keeps what was learned.
    pub(super) async fn look(
        &self,
        desired: &Desired,
        purpose: Purpose,
        head: Option<HeadStart>,
    ) -> Result<Situation, Failure> {
        let situation = self.see(desired, purpose, head).await?;
        if let Some(warning) = situation.remember() {
            anstream::eprintln!("{warning}");
        }
        Ok(situation)
    }

    /// Looks at the world of a part of a blueprint, whose memory is not that of the whole.
    pub(super) async fn see(
        &self,
        desired: &Desired,
        purpose: Purpose,
        head: Option<HeadStart>,
    ) -> Result<Situation, Failure> {
        let situation = look(desired, (self.environment, self.global), purpose, head, &self.say()).await?;
        // Where not even the provider can do anything about it, there is nothing to plan and nothing to compare.
        if let ClusterState::Unknown(why) = &situation.sight.live.cluster
            && situation.operations.is_empty()
        {
            let error = anyhow::anyhow!("{}", why.0).context(format!("look at the cluster of {}", desired.name));
            return Err(Failure { error, hint: situation.hint, exit: Exit::Failed });
        }
        Ok(situation)
    }

    pub(super) fn show_plan(&self, plan: &Plan, simulated: bool) -> Result<(), Failure> {
        match self.global.output {
            Output::Human => out(&plan_human(plan, self.global.verbose, simulated)),
            Output::Json => out(&serde_json::to_string_pretty(&plan_json(plan, simulated))?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(plan_json(plan, simulated))?)),
            Output::Markdown => out(&plan_markdown(plan)),
            other @ (Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => return Err(unfit("plan", other)),
        }
        Ok(())
    }

    /// One document for programs; people were told while it happened.
    pub(super) fn show_report(&self, report: &ApplyReport) -> Result<(), Failure> {
        match self.global.output {
            Output::Json => out(&serde_json::to_string_pretty(report)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(report)?)),
            Output::Human | Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html => {}
        }
        Ok(())
    }
}
