//! Managed node groups.

mod health;
mod nodes;
mod observe;
mod perform;
mod scaling;

pub(crate) use health::{helps, is_about_capacity};
pub use nodes::jobs_by_node;
pub use observe::describe_all;
pub(crate) use observe::found;
pub use perform::{create, delete, replace, update};
pub use scaling::scaling_groups;
