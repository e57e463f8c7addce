//! Metrics, alerts and dashboards.

mod dashboards;
mod objects;
mod rules;

pub(super) use objects::{collect, optional_kinds};
