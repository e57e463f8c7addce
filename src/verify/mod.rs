//! Proves on the live platform what a blueprint promises: checks derived from the desired state, run in parallel, each
//! bounded in time, each ending with a proof, a failure with evidence, or a doubt that says why.
//!
//! Not here: changing the platform (the only objects made are sample Jobs, removed again), printing, and choosing
//! what to do about a failure.

mod api;
mod check;
mod checks;
mod cleanup;
mod context;
mod explain;
mod probe;
mod report;
mod select;
mod suite;

pub use crate::quantity::Quantity;
pub use check::{Applicability, Check, CheckId, Evidence, Outcome};
pub use context::{CheckContext, Clock, Nodes, VerifyOptions};
pub use report::ctrf::ctrf;
pub use report::human::human;
pub use report::json::json;
pub use report::junit::junit;
pub(crate) use report::markdown::cell as markdown_cell;
pub use report::markdown::markdown;
pub use report::{Entry, Report, Summary, Verdict};
pub use select::{SelectionError, select};
pub use suite::{Suite, VerifyEvent};
