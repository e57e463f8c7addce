//! A plan for programs. The schema is published in docs/plan.schema.json and kept current by a test.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wbk_provider_api::Disruption;

use crate::cost::PlanCost;
use crate::gpu::Broken;
use crate::plan::{Action, Advice, NotPlanned, Plan, Summary};

/// A plan as `plan -o json` prints it: what would change, and why not the rest. The saved plan (`--out`) is another file.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// Format of this report.
    pub format: u32,
    /// The blueprint's name.
    pub blueprint: String,
    /// Uid of the cluster's namespace kube-system; absent where there is no cluster yet.
    pub cluster: Option<String>,
    /// Whether nodes are simulated.
    pub simulated_nodes: bool,
    /// In numbers.
    pub summary: Summary,
    /// What would change.
    pub changes: Vec<ChangeReport>,
    /// What was not planned.
    pub not_planned: Vec<NotPlanned>,
    /// What can never run although all of this is done (`--allow-unschedulable`).
    pub leaves_broken: Vec<Broken>,
    /// What a reader should know although nothing is done about it.
    pub advice: Vec<Advice>,
    /// What it makes of the costs, in US dollars an hour; `null` where nothing of it has a price.
    pub cost: Option<PlanCost>,
}

/// One change.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReport {
    /// What would be done.
    pub action: Action,
    /// To what, as printed.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Fields that change; secrets' values are hidden.
    pub fields: Vec<FieldReport>,
    /// Whom it disturbs: `none`, `rolling`, `stops …`, `loses …`.
    pub disruption: String,
    /// Other managers that hold fields of it: `manager field since`.
    pub holders: Vec<String>,
    /// Why the server could not be asked yet.
    pub estimated: Option<String>,
    /// Where it comes from: `file:line:column`.
    pub at: Option<String>,
    /// Changes that must be done before, as printed.
    pub needs: Vec<String>,
}

/// One field.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldReport {
    /// Its path.
    pub path: String,
    /// What is there.
    pub old: Option<Value>,
    /// What shall be there.
    pub new: Option<Value>,
}

/// The report of a plan.
pub fn plan_json(plan: &Plan, simulated: bool) -> PlanReport {
    PlanReport {
        format: 1,
        blueprint: plan.blueprint.clone(),
        cluster: plan.world.as_ref().map(|world| world.uid.clone()),
        simulated_nodes: simulated,
        summary: Summary::of(plan),
        changes: plan
            .steps
            .iter()
            .map(|step| ChangeReport {
                action: step.action,
                target: step.target.to_string(),
                reason: step.reason.clone(),
                fields: step
                    .diff
                    .iter()
                    .map(|field| FieldReport {
                        path: field.path.clone(),
                        old: field.old.clone(),
                        new: field.new.clone(),
                    })
                    .collect(),
                disruption: match &step.disruption {
                    Disruption::None => "none".into(),
                    Disruption::Rolling => "rolling".into(),
                    Disruption::Stops(what) => format!("stops {what}"),
                    Disruption::LosesData(what) => format!("loses the data of {what}"),
                },
                holders: step
                    .holders
                    .iter()
                    .map(|holder| format!("{} {} {}", holder.manager, holder.field, holder.time).trim_end().to_owned())
                    .collect(),
                estimated: step.estimated.clone(),
                at: step.at.clone(),
                needs: step.needs.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        not_planned: plan.not_planned.clone(),
        leaves_broken: plan.leaves_broken.clone(),
        advice: plan.advice.clone(),
        cost: plan.cost.clone(),
    }
}
