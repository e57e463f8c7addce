//! `import`: a cluster that exists already becomes a blueprint, and what a plan of that blueprint would do is said at once.

use wbk_provider_eks::{aws::Aws, import};

use super::{
    eks::failed,
    session::{Session, out, unfit},
};
use crate::{
    cli::{
        args::{ImportCommand, Output},
        aws::way,
        failure::{Exit, Failure},
        situation::{Purpose, resolve_text},
    },
    desired::Protect,
    import::{Written, blueprint},
    plan::{Plan, PlanOptions, Target, plan},
};

impl Session<'_> {
    /// Prints a blueprint of what is there; remarks and the proof go to standard error.
    ///
    /// # Errors
    /// There is no such cluster, or it could not be seen.
    pub async fn import(&self, command: &ImportCommand) -> Result<Exit, Failure> {
        match self.global.output {
            Output::Human | Output::Yaml => {}
            other @ (Output::Json | Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
                return Err(unfit("import", other));
            }
        }
        let ImportCommand::Eks { name, region } = command;
        let aws = Aws::connect_by(region, &way(self.environment)?).await.map_err(failed)?;
        let seen = import::look(&aws, name).await.map_err(failed)?;
        let mut written = blueprint(&seen, &[]);
        let mut proof = self.proven(&written).await;
        if let Ok(plan) = &proof {
            let alone = in_the_cluster(plan);
            if !alone.is_empty() {
                written = blueprint(&seen, &alone);
                proof = self.proven(&written).await;
            }
        }
        out(&written.text);
        if !self.global.quiet && !written.remarks.is_empty() {
            anstream::eprintln!("The blueprint does not say, and what stays as it is:");
            for remark in &written.remarks {
                anstream::eprintln!("  {remark}");
            }
        }
        match proof {
            Ok(plan) if plan.is_empty() && !plan.is_blocked() => {
                self.tell("A plan of it has nothing to do.");
                Ok(Exit::Done)
            }
            Ok(plan) => {
                anstream::eprintln!("A plan of it is not empty:");
                for step in &plan.steps {
                    anstream::eprintln!("  {} {}: {}", step.action.word(), step.target, step.reason);
                    for diff in &step.diff {
                        let shown = |value: &Option<serde_json::Value>| {
                            value.as_ref().map_or("-".to_owned(), ToString::to_string)
                        };
                        anstream::eprintln!("      {}: {} -> {}", diff.path, shown(&diff.old), shown(&diff.new));
                    }
                }
                for entry in &plan.not_planned {
                    anstream::eprintln!("  not planned: {}: {}", entry.what, entry.reason);
                }
                Ok(Exit::Pending)
            }
            Err(failure) => {
                anstream::eprintln!("What a plan of it would do is not known: {}", failure.text());
                Ok(Exit::Inconclusive)
            }
        }
    }

    fn tell(&self, line: &str) {
        if !self.global.quiet {
            anstream::eprintln!("{line}");
        }
    }

    /// What a plan of it would do. Nothing is remembered of it.
    async fn proven(&self, written: &Written) -> Result<Plan, Failure> {
        let desired = resolve_text("the imported blueprint", &written.text, self.environment)?;
        let situation = self.see(&desired, Purpose::Apply, None).await?;
        let options = PlanOptions { findings: situation.findings.clone(), ..PlanOptions::default() };
        Ok(plan(&desired, &situation.sight.live, &situation.operations, &options))
    }
}

/// Objects in the cluster that a plan would touch: the blueprint was not written from them.
fn in_the_cluster(plan: &Plan) -> Vec<Protect> {
    let steps = plan.steps.iter().map(|step| &step.target);
    steps
        .filter_map(|target| match target {
            Target::Object(id) => Some(Protect {
                kind: id.gvk.kind.clone(),
                namespace: id.namespace.clone(),
                name: Some(id.name.clone()),
            }),
            _ => None,
        })
        .collect()
}
