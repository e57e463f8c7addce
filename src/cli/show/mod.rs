//! Text for people, pull requests and programs, made of values; printing is the caller's.

mod apply_report;
mod cost;
mod fleet;
mod launch_human;
mod lifecycle;
mod plan_human;
mod plan_json;
mod plan_markdown;
mod progress;
mod rehearsal;
mod style;
mod sweep_human;

pub use apply_report::ApplyReport;
pub use cost::{cost_human, cost_markdown};
pub use fleet::{FleetReport, FleetState, Member, fleet_human, fleet_markdown};
pub use launch_human::launch_human;
pub use lifecycle::lifecycle_human;
pub use plan_human::plan_human;
pub use plan_json::{PlanReport, plan_json};
pub use plan_markdown::plan_markdown;
pub use progress::Progress;
pub use rehearsal::{Act, RehearsalReport, act_line, rehearsal_human, rehearsal_markdown};
pub use style::{Mood, paint};
pub use sweep_human::sweep_human;
