//! PURE: what to change, in which order, and why not the rest. No I/O, no clock, no environment, no randomness: the same
//! desired state, live state and options give the same plan, byte for byte.

mod file;
mod order;
mod planner;
mod step;
mod summary;

pub use file::{PLAN_FORMAT, PlanFileError, SavedPlan};
pub(crate) use order::makes_pods;
pub(crate) use planner::is_data;
pub(crate) use planner::is_made_by_kubernetes;
pub use planner::{PlanOptions, destroy, plan};
pub use step::{
    Action, Advice, Expect, NotPlanned, ObjectStep, Payload, Phase, Plan, QueueStep, ReleaseAction, ReleaseStep, Step,
    StepId, Target, WhyNot,
};
pub use summary::Summary;
