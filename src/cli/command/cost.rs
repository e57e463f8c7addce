//! `cost`, and what a plan makes of it.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;

use super::session::{Session, out, unfit};
use crate::{
    blueprint::{Ground, Source, load_on},
    cli::{
        args::{BlueprintArgs, Output},
        failure::{Exit, Failure},
        show::{cost_human, cost_markdown},
        situation::{Connection, Situation, files, problems_failure, provider, reach, read, today},
    },
    cost::{
        CostQuestion, CostReport, PlanCost, PoolStep, PriceList, Prices, cost_html, cost_report, plan_cost, read_cost,
    },
    desired::Desired,
    plan::{Action, Plan, Target},
};

/// What is looked at without a blueprint: whatever cluster the kubeconfig names.
const NO_BLUEPRINT: &str =
    "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: cluster}\ncluster: {provider: existing}\n";

impl Session<'_> {
    /// `cost`.
    pub async fn cost(&self, blueprint: &BlueprintArgs) -> Result<Exit, Failure> {
        let named = !blueprint.all().is_empty();
        let desired = match named {
            true => read(&files(blueprint)?, self.environment)?,
            false => no_blueprint()?,
        };
        let prices = self.prices(&desired)?;
        let provider = provider(&desired.wanted, self.environment, self.global)?;
        let connection = reach(&*provider, &desired, self.global).await.map_err(|unreached| {
            let error = anyhow::anyhow!("{}", unreached.why.0).context("reach the cluster");
            Failure { error, hint: unreached.hint, exit: Exit::Failed }
        })?;
        let report = self.cost_now(&desired, &connection, &prices, named).await;
        match self.global.output {
            Output::Human => out(&cost_human(&report, self.global.verbose)),
            Output::Json => out(&serde_json::to_string_pretty(&report)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&report)?)),
            Output::Markdown => out(&cost_markdown(&report)),
            Output::Html => out(&cost_html(&report)),
            other @ (Output::Sarif | Output::Ctrf | Output::Junit) => return Err(unfit("cost", other)),
        }
        Ok(if report.unseen.is_empty() { Exit::Done } else { Exit::Inconclusive })
    }

    /// What it costs now.
    pub(super) async fn cost_now(
        &self,
        desired: &Desired,
        connection: &Connection,
        prices: &Prices,
        named: bool,
    ) -> CostReport {
        let sources = read_cost(&connection.cluster).await;
        let counted = |pool: &wbk_provider_api::PoolSpec| {
            pool.accelerator.as_ref().map_or(0, |accelerator| u64::from(accelerator.count))
        };
        let question = CostQuestion {
            blueprint: named.then_some(desired.name.as_str()),
            provider: named.then_some(desired.wanted.cluster.provider),
            context: &connection.access.context,
            simulated: connection.access.simulated_nodes,
            pools: desired.wanted.pools.iter().map(|(name, pool)| (name.clone(), counted(pool))).collect(),
            queues: desired.launch.iter().flat_map(|launch| &launch.queues).map(|queue| queue.name.clone()).collect(),
            prices,
            now: jiff::Timestamp::now(),
        };
        cost_report(&question, &sources)
    }

    /// All prices: the blueprint's, those of `--prices`, the program's.
    pub(super) fn prices(&self, desired: &Desired) -> Result<Prices, Failure> {
        let list = match &self.global.prices {
            None => None,
            Some(path) => {
                let shown = path.display();
                let text = std::fs::read_to_string(path).with_context(|| format!("read the prices {shown}"))?;
                let list = PriceList::parse(&text).map_err(|error| {
                    let hint = "docs/cost.md tells the format; scripts/prices.py makes such a file";
                    Failure::hinted(anyhow::Error::new(error).context(format!("read the prices {shown}")), hint)
                })?;
                Some(Arc::new(list))
            }
        };
        Ok(Prices { own: desired.cost.prices.clone(), list })
    }

    /// Says in a plan what it makes of the costs, and refuses one that may cost more than the policy lets it.
    ///
    /// # Errors
    /// `--prices` cannot be read; the platform may cost more than `policy.maxHourlyCost`.
    pub(super) fn price(&self, made: &mut Plan, desired: &Desired, situation: &Situation) -> Result<(), Failure> {
        let observed = &situation.sight.live.provider;
        let takes = |action: Action| {
            made.steps.iter().any(|step| step.action == action && matches!(step.target, Target::Cluster(_)))
        };
        let mut steps: BTreeMap<String, PoolStep> = BTreeMap::new();
        // With a cluster its pools come and go, whether or not they have a step of their own.
        if takes(Action::Delete) {
            steps.extend(observed.pools.keys().map(|pool| (pool.clone(), PoolStep::Goes)));
        } else if takes(Action::Create) {
            steps.extend(desired.wanted.pools.keys().map(|pool| (pool.clone(), PoolStep::AsWanted)));
        }
        for step in &made.steps {
            if let Target::NodePool(name) = &step.target {
                let does = if step.action == Action::Delete { PoolStep::Goes } else { PoolStep::AsWanted };
                steps.insert(name.clone(), does);
            }
        }
        made.cost = plan_cost(&desired.wanted, observed, &steps, &self.prices(desired)?);
        let (Some(most), Some(cost), false) = (desired.cost.most, &made.cost, made.destroys) else { return Ok(()) };
        let PlanCost { after, before, at_least, .. } = cost;
        if after.max > most && after.max > before.max {
            let error = anyhow::anyhow!(
                "the platform may cost {}{} an hour with all pools at their most nodes, and policy.maxHourlyCost is {most}",
                if *at_least { "at least " } else { "" },
                after.max
            );
            return Err(Failure::hinted(
                error,
                "let pools grow less (`size.max`), or allow more (`policy.maxHourlyCost`)",
            ));
        }
        Ok(())
    }
}

fn no_blueprint() -> Result<Desired, Failure> {
    let source = Source { name: "(no blueprint)".into(), text: NO_BLUEPRINT.into() };
    let refused = |problems: &_| problems_failure("blueprint", problems);
    let loaded = load_on(&[source], Ground::Real).map_err(|problems| refused(&problems))?;
    loaded.resolve(&crate::blueprint::DiskFiles, today()).map_err(|problems| refused(&problems))
}
