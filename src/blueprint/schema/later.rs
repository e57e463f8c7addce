//! Sections whose machinery does not exist yet: read and checked, then refused by name.

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

/// What only EKS has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksSection {
    /// How users get in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authentication: Option<EksAuthentication>,
    /// The cluster's network.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<EksNetwork>,
    /// Add-ons that EKS manages.
    #[serde(default)]
    pub addons: Vec<String>,
}

/// How users get into an EKS cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EksAuthentication {
    /// Access entries.
    Api,
    /// Access entries and the aws-auth map.
    ApiAndConfigMap,
}

/// Network of an EKS cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EksNetwork {
    /// Addresses of the network.
    #[schemars(extend("format" = "cidr"))]
    pub cidr: String,
}
