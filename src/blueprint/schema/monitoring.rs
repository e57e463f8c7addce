//! Metrics, alerts and dashboards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metrics, alerts and dashboards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Monitoring {
    /// Prometheus.
    #[serde(default)]
    pub prometheus: bool,
    /// Alert rules.
    #[serde(default)]
    pub alerts: bool,
    /// Grafana dashboards.
    #[serde(default)]
    pub dashboards: bool,
}
