//! Prices of one's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wbk_provider_api::Capacity;

/// Prices of one's own: what was agreed with a cloud, what machines of one's own cost. They come before the program's list.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cost {
    /// Of nodes; the first that fits a node holds.
    #[serde(default)]
    pub prices: Vec<NodePrice>,
    /// What costs by the hour and is no node: `{name: NAT gateways, hourly: 0.135}`. `EKS cluster` and `GKE cluster` replace the list's.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub fixed: Vec<FixedPrice>,
}

/// The price of the nodes that are all that is named here: `{pool: a100, hourly: 12.5}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodePrice {
    /// Nodes of this pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Nodes of this machine type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<String>,
    /// Nodes in this region.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    /// Nodes that are paid for like this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capacity: Option<Capacity>,
    /// Nodes with this accelerator, as the pool names it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accelerator: Option<String>,
    /// US dollars for an hour of a node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub hourly: Option<f64>,
    /// US dollars for an hour of each of its GPUs, the rest of the node included.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub gpu_hourly: Option<f64>,
}

/// Something that costs by the hour and is no node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FixedPrice {
    /// What it is.
    pub name: String,
    /// US dollars for an hour of it.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub hourly: f64,
}
