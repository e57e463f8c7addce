//! The blueprint as Rust types: the one source of truth for what may be written, its JSON Schema, and its documentation.
//!
//! Doc comments of fields become the schema's descriptions. Keywords beyond JSON Schema: `format` (see `format.rs`),
//! `x-merge-by` (an overlay merges the list's items by this key), `x-secret` (a literal is refused and never repeated),
//! `x-free` (anything below is somebody else's language), `x-instead` (keys that people write here, and what to do).

mod access;
mod cluster;
mod cost;
mod eks;
mod fleet;
mod gpu;
mod launch;
mod launch_parts;
mod monitoring;
mod namespace;
mod platform;
mod server;

pub use access::{Binding, ClusterBinding, Role, Rule};
pub(crate) use cluster::default_pods;
pub use cluster::{ApiVersion, Cluster, Kind, Metadata, NodePool, ShapeSection, SizeSection};
pub use cost::{Cost, FixedPrice, NodePrice};
pub use eks::{
    EcrAccess, EcrGrant, EksAccessSection, EksAddonEntry, EksAddonSection, EksDiskEntry, EksDiskSection,
    EksEndpointSection, EksGrants, EksLog, EksNetworkSection, EksPoolSection, EksSection, EksVolume, Grants,
};
pub use fleet::{Fleet, FleetCluster, FleetKind, FleetMetadata};
pub use gpu::{Gang, Gpu, GpuPlugin, Priority, Scheduling, Sharing, SharingStrategy};
pub use launch::{Agent, AgentEnvironment, Builder, EnvironmentKind, Launch, Link, Queue, Variable, VariableKind};
pub use launch_parts::{AgentChart, CaBundle, GitHost, Mount, Proxy, Registry, Text};
pub use monitoring::Monitoring;
pub use namespace::{
    AccessMode, ComputeAmounts, Direction, Identity, Namespace, NetworkPolicy, NetworkPreset, NetworkRules, Peer,
    PodSecurity, PodSecurityLevel, PodSecurityLevels, Quota, SecretSection, Volume, VolumeMode, VolumeSource,
};
pub use platform::{Blueprint, Chart, ObjectSource, PolicySection, ReclaimPolicy, StorageClass, VolumeBinding};
pub use server::{Bucket, BucketProvider, Database, OperatorGeneration, Server, ServerIngress, ServerSize};

/// The JSON Schema of a blueprint (draft 2020-12).
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Blueprint).to_value();
    schema["title"] = "wbk-infra blueprint".into();
    schema
}

/// The JSON Schema of a fleet file (draft 2020-12).
pub fn fleet_json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Fleet).to_value();
    schema["title"] = "wbk-infra fleet".into();
    schema
}

/// Any mapping, kept as it is.
pub type Free = std::collections::BTreeMap<String, serde_json::Value>;
