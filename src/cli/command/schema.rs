//! `schema`.

use super::session::out;
use crate::cli::{
    args::SchemaOf,
    failure::{Exit, Failure},
    show::{ApplyReport, FleetReport, PlanReport, RehearsalReport},
};

/// `schema`.
pub fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    let schema = match of {
        SchemaOf::Blueprint => crate::blueprint::json_schema(),
        SchemaOf::Plan => serde_json::to_value(schemars::schema_for!(PlanReport))?,
        SchemaOf::Cost => serde_json::to_value(schemars::schema_for!(crate::cost::CostReport))?,
        SchemaOf::Proof => serde_json::to_value(schemars::schema_for!(crate::gpu::Proof))?,
        SchemaOf::Apply => serde_json::to_value(schemars::schema_for!(ApplyReport))?,
        SchemaOf::Verify => crate::verify::json_schema(),
        SchemaOf::Fleet => crate::blueprint::fleet_json_schema(),
        SchemaOf::FleetReport => serde_json::to_value(schemars::schema_for!(FleetReport))?,
        SchemaOf::Rehearsal => serde_json::to_value(schemars::schema_for!(RehearsalReport))?,
    };
    out(&serde_json::to_string_pretty(&schema)?);
    Ok(Exit::Done)
}
