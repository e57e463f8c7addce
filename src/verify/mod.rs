//! Proves on the live platform what a blueprint promises: checks derived from the desired state, run in parallel, each
//! bounded in time, each ending with a proof, a failure with evidence, or a doubt that says why.
//!
//! Not here: changing the platform (the only things made are marked pods, Jobs and a Lease, removed again), printing, and
//! choosing what to do about a failure.

mod api;
mod check;
mod checks;
mod cleanup;
mod context;
mod explain;
mod follow;
mod heartbeat;
mod marks;
mod placement;
mod probe;
mod prospect;
mod proven;
mod recent;
mod report;
mod select;
mod suite;

pub use crate::holder::Holder;
pub use crate::quantity::Quantity;
pub use check::{Applicability, Check, CheckId, Evidence, Outcome};
pub use context::{CheckContext, Clock, Nodes, OptIn, VerifyOptions};
pub use report::ctrf::ctrf;
pub use report::html::{PAGE_CSS, html};
pub use report::human::human;
pub use report::json::json;
pub use report::json::json_schema;
pub use report::junit::junit;
pub(crate) use report::markdown::cell as markdown_cell;
pub use report::markdown::markdown;
pub use report::{Entry, Landing, NodeSight, PoolSight, Report, Summary, Verdict};
pub use select::{SelectionError, select};
pub use suite::{Suite, VerifyEvent};
