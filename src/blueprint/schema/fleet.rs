//! A fleet file as Rust types: which blueprint belongs to which cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ApiVersion;

/// Many clusters: each with its blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "cluster": "list the clusters: `clusters: [{name: …, blueprint: …}]`"
}))]
pub struct Fleet {
    /// Version of this language.
    pub api_version: ApiVersion,
    /// Always `Fleet`.
    pub kind: FleetKind,
    /// Names the fleet.
    pub metadata: FleetMetadata,
    /// Overlays over every blueprint, in order, before the cluster's own; paths relative to this file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlays: Vec<String>,
    /// The clusters, in the order in which they are told.
    #[schemars(length(min = 1), extend("x-merge-by" = "name"))]
    pub clusters: Vec<FleetCluster>,
}

/// What the file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FleetKind {
    /// Many clusters.
    Fleet,
}

/// Names the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetMetadata {
    /// The fleet's name; what its commands print is kept under it.
    #[schemars(extend("format" = "dns-label"))]
    pub name: String,
}

/// One cluster of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-instead" = {
    "file": "write `blueprint: PATH`",
    "files": "write `blueprint: PATH` and `overlays: [PATH]`",
    "path": "write `blueprint: PATH`",
    "overlay": "write a list: `overlays: [PATH]`"
}))]
pub struct FleetCluster {
    /// Its name in this fleet, unique.
    #[schemars(extend("format" = "dns-label"))]
    pub name: String,
    /// Its blueprint, a path relative to this file.
    pub blueprint: String,
    /// Its own overlays, in order, after those of the fleet; paths relative to this file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlays: Vec<String>,
    /// Kubeconfig context of a cluster of the provider `existing`; over the blueprint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}
