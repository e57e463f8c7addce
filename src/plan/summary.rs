//! A plan in numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Action, Plan};

/// How many steps of each sort a plan has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Created or started.
    pub create: usize,
    /// Updated in place, adopted or disowned.
    pub update: usize,
    /// Replaced.
    pub replace: usize,
    /// Deleted.
    pub delete: usize,
    /// As they shall be.
    pub unchanged: usize,
    /// Not planned.
    pub not_planned: usize,
}

impl Summary {
    /// Counts a plan's steps.
    pub fn of(plan: &Plan) -> Self {
        let mut summary = Self { unchanged: plan.unchanged, not_planned: plan.not_planned.len(), ..Self::default() };
        for step in &plan.steps {
            match step.action {
                Action::Create | Action::Start => summary.create += 1,
                Action::Update | Action::Adopt | Action::Disown => summary.update += 1,
                Action::Replace => summary.replace += 1,
                Action::Delete => summary.delete += 1,
            }
        }
        summary
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { create, update, replace, delete, unchanged, not_planned } = self;
        write!(
            f,
            "{create} to create, {update} to update, {replace} to replace, {delete} to delete, {unchanged} unchanged"
        )?;
        if *not_planned > 0 {
            write!(f, ", {not_planned} not planned")?;
        }
        Ok(())
    }
}
