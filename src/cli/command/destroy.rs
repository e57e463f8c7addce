//! `destroy`.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use wbk_provider_api::{Costs, Disruption, ProviderKind, Wanted};

use super::session::{Session, options, out, unfit};
use crate::{
    cli::{
        args::{BlueprintArgs, DecisionArgs, Output},
        failure::{Exit, Failure},
        show::ApplyReport,
        situation::{Purpose, files, look, read},
    },
    cost::{Cloud, Priced, Prices, Subject},
    desired::Desired,
    live::ClusterState,
    plan::{Action, Plan, PlanOptions, SavedPlan, destroy},
};

impl Session<'_> {
    /// `destroy`.
    pub async fn destroy(
        &self,
        blueprint: &BlueprintArgs,
        decisions: &DecisionArgs,
        (max_deletes, yes): (Option<usize>, bool),
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
        let mut made = destroy(desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
        self.price(&mut made, desired, &situation)?;
        let simulated = situation.simulated(desired);
        if self.global.output == Output::Human && !self.global.quiet {
            self.show_plan(&made, simulated)?;
        }
        let toll = Toll::of(&made);
        let all = decisions.delete.iter().any(|what| what == "all");
        let limit = max_deletes.unwrap_or(desired.policy.max_deletes as usize);
        if yes && toll.count > limit && (max_deletes.is_some() || !all) {
            return Err(Failure {
                error: anyhow::anyhow!(
                    "destroying {} takes {toll} away, and {limit} is the most that may go",
                    desired.name
                ),
                hint: Some(format!(
                    "if all of it shall go: --max-deletes {}, or answer the question without --yes",
                    toll.count
                )),
                exit: Exit::Usage,
            });
        }
        if !made.is_empty() && !self.agreed_to_destroy(&toll, &desired.name, (limit, yes))? {
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
        let (left, goes_on) = self.scan(desired, memory.as_deref()).await?;
        report.left = left;
        self.show_report(&report)?;
        Ok(if goes_on { Exit::Stopped } else { Exit::Done })
    }

    /// Says in numbers what goes, and asks: for the blueprint's name where it is more than the policy lets go at once.
    fn agreed_to_destroy(&self, toll: &Toll, name: &str, (limit, yes): (usize, bool)) -> Result<bool, Failure> {
        if !self.global.quiet {
            anstream::eprintln!("This takes {toll} away.");
            for loss in &toll.losses {
                anstream::eprintln!("  loses the data of {loss}");
            }
        }
        if yes {
            return Ok(true);
        }
        if !self.environment.can_ask {
            return Err(Failure::usage("a destroy needs a yes, and nobody can be asked here: add --yes"));
        }
        let wanted = if toll.count > limit {
            anstream::eprint!(
                "That is more than {limit}, the most that goes at once. Write the blueprint's name to go on: "
            );
            name
        } else {
            anstream::eprint!("Do this? [yes/no] ");
            "yes"
        };
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).context("read the answer")?;
        Ok(answer.trim() == wanted)
    }

    /// What is left after a destroy, and whether something of it is there though its cluster is gone.
    async fn scan(&self, desired: &Desired, memory: Option<&Path>) -> Result<(Vec<String>, bool), Failure> {
        let situation = look(desired, (self.environment, self.global), Purpose::Destroy, None, &self.say()).await?;
        let everything = PlanOptions { delete: ["all".to_owned()].into(), ..PlanOptions::default() };
        let rest = destroy(desired, &situation.sight.live, &situation.operations, &everything);
        let mut left: Vec<String> = rest.steps.iter().map(|step| step.target.to_string()).collect();
        left.extend(rest.not_planned.iter().map(|entry| format!("{} ({})", entry.what, entry.reason)));
        let mut goes_on = false;
        if matches!(situation.sight.live.cluster, ClusterState::Absent) {
            let prices = self.prices(desired)?;
            let cloud = cloud_of(&desired.wanted);
            let rest = situation.provider.leftovers(&desired.wanted).await;
            goes_on = !rest.is_empty();
            left.extend(rest.iter().map(|left| {
                let costs = left.costs.as_ref().map(|costs| in_words(&prices, costs, (cloud, &desired.wanted)));
                format!("{}{}: {}", left.what, costs.unwrap_or_default(), left.hint)
            }));
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
        Ok((left, goes_on))
    }
}

fn cloud_of(wanted: &Wanted) -> Option<Cloud> {
    match wanted.cluster.provider {
        ProviderKind::Eks => Some(Cloud::Aws),
        ProviderKind::Aks => Some(Cloud::Azure),
        ProviderKind::Gke => Some(Cloud::Gcp),
        ProviderKind::Kind | ProviderKind::Local | ProviderKind::Existing => None,
    }
}

/// What something that is left costs, to follow its name.
fn in_words(prices: &Prices, costs: &Costs, (cloud, wanted): (Option<Cloud>, &Wanted)) -> String {
    let subject = Subject {
        pool: None,
        cloud,
        region: wanted.cluster.region.as_deref(),
        machine: Some(&costs.of),
        capacity: costs.capacity,
        prepaid: false,
        model: None,
        gpus: None,
    };
    match prices.of(&subject) {
        Priced::Own(price) => format!(", {} an hour", price.times(costs.count)),
        Priced::Listed(quote) => format!(", {} an hour (prices of {})", quote.price.times(costs.count), quote.date),
        Priced::Unknown(why) => format!(", what it costs is unknown ({why})"),
    }
}

/// What a destroy takes away, in numbers.
struct Toll {
    count: usize,
    kinds: BTreeMap<String, usize>,
    losses: Vec<String>,
}

impl Toll {
    fn of(plan: &Plan) -> Self {
        let mut toll = Self { count: 0, kinds: BTreeMap::new(), losses: Vec::new() };
        for step in plan.steps.iter().filter(|step| matches!(step.action, Action::Delete | Action::Replace)) {
            *toll.kinds.entry(step.target.sort().to_owned()).or_default() += 1;
            toll.count += 1;
            if let Disruption::LosesData(what) = &step.disruption {
                toll.losses.push(what.clone());
            }
        }
        toll
    }
}

impl std::fmt::Display for Toll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        match self.count {
            0 => f.write_str("nothing"),
            1 => write!(f, "1 thing ({})", kinds.join(", ")),
            count => write!(f, "{count} things ({})", kinds.join(", ")),
        }
    }
}
