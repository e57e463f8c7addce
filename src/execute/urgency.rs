//! Which steps go first: those on which the longest wait hangs. An apply ends with its last workload becoming ready, so that
//! workloads, and what they need, are sent before what is there as soon as it is applied.

use std::collections::BTreeMap;

use crate::plan::{Plan, Step, StepId, Target, makes_pods};

/// How long a step is waited for, in units of one write. Judgements: they only order steps, and nothing depends on them.
fn wait(step: &Step) -> u32 {
    match &step.target {
        Target::Cluster(_) | Target::NodePool(_) | Target::Part(_) | Target::Release(_) => 100,
        Target::Queue(_) => 1,
        Target::Object(id) if makes_pods(id) => 50,
        Target::Object(id) if id.gvk.kind == "CustomResourceDefinition" => 5,
        Target::Object(_) => 1,
    }
}

/// For each step, the longest chain of waits that begins with it.
pub(super) fn urgency(plan: &Plan) -> BTreeMap<StepId, u32> {
    let mut dependants: BTreeMap<&StepId, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        for need in &step.needs {
            dependants.entry(need).or_default().push(step);
        }
    }
    let mut known = BTreeMap::new();
    for step in &plan.steps {
        chain(step, &dependants, &mut known);
    }
    known
}

fn chain(step: &Step, dependants: &BTreeMap<&StepId, Vec<&Step>>, known: &mut BTreeMap<StepId, u32>) -> u32 {
    if let Some(known) = known.get(&step.id) {
        return *known;
    }
    // A cycle, which a plan never has, would end here.
    known.insert(step.id.clone(), 0);
    let after = dependants.get(&step.id).into_iter().flatten().map(|next| chain(next, dependants, known)).max();
    let urgency = wait(step).saturating_add(after.unwrap_or(0));
    known.insert(step.id.clone(), urgency);
    urgency
}
