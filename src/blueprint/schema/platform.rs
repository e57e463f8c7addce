//! The whole file, and the sections for everything that is not a pool or a namespace.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiVersion, Cluster, ClusterBinding, Cost, Free, Gpu, Kind, Launch, Metadata, Monitoring, Namespace, NodePool,
    Role, Scheduling, Server,
};
use crate::desired::{ConflictChoice, IgnoreRule, Protect};

/// One platform: a cluster, its node pools, and everything in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blueprint {
    /// Version of this language.
    pub api_version: ApiVersion,
    /// Always `Platform`.
    pub kind: Kind,
    /// Names the platform.
    pub metadata: Metadata,
    /// The cluster: made by a provider, or an existing one.
    pub cluster: Cluster,
    /// Groups of equal nodes. Taints of GPU and spot pools follow from what they are.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub node_pools: Vec<NodePool>,
    /// What makes GPUs allocatable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<Gpu>,
    /// Priorities, and how groups of pods are scheduled.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// Storage classes.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub storage_classes: Vec<StorageClass>,
    /// Cluster roles.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub roles: Vec<Role>,
    /// Cluster role bindings.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub bindings: Vec<ClusterBinding>,
    /// Namespaces with everything that belongs to them.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub namespaces: Vec<Namespace>,
    /// W&B Launch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub launch: Option<Launch>,
    /// W&B itself, for those who host it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server: Option<Server>,
    /// Metrics, alerts and dashboards.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub monitoring: Option<Monitoring>,
    /// Helm releases.
    #[serde(default)]
    #[schemars(extend("x-merge-by" = "name"))]
    pub charts: Vec<Chart>,
    /// Anything else: paths and globs of manifests relative to this file, or manifests written here.
    #[serde(default)]
    pub objects: Vec<ObjectSource>,
    /// Limits on what a plan may do.
    #[serde(default)]
    pub policy: PolicySection,
    /// Prices of one's own.
    #[serde(default)]
    pub cost: Cost,
}

/// A storage class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageClass {
    /// Its name.
    #[schemars(extend("format" = "dns-subdomain"))]
    pub name: String,
    /// The driver that makes volumes, `ebs.csi.aws.com`; `kubernetes.io/no-provisioner` for volumes made by hand.
    pub provisioner: String,
    /// The driver's parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What happens to a volume whose claim is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
    /// When a volume is made.
    #[serde(default)]
    pub volume_binding: VolumeBinding,
    /// Whether claims may grow.
    #[serde(default)]
    pub expandable: bool,
    /// Whether claims that name no class get this one.
    #[serde(default)]
    pub default: bool,
}

/// What happens to a volume whose claim is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// Deleted with its data.
    #[default]
    Delete,
    /// Kept.
    Retain,
}

/// When a volume is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum VolumeBinding {
    /// When the first pod uses it, in that pod's zone.
    #[default]
    WaitForFirstConsumer,
    /// At once.
    Immediate,
}

/// A Helm release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chart {
    /// The release's name.
    #[schemars(extend("format" = "dns-label"))]
    pub name: String,
    /// The release's namespace.
    #[serde(default = "default_namespace")]
    #[schemars(extend("format" = "dns-label"))]
    pub namespace: String,
    /// A folder or `.tgz` relative to this file (`./charts/mine`), `oci://host/path/chart`, or the chart's name in `repository`.
    pub chart: String,
    /// `https://` address of a classic repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// Exact chart version; required for a chart that is not a path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "exact-version"))]
    pub version: Option<String>,
    /// Digest of the chart's archive, `sha256:…`: another archive of that version is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "sha256"))]
    pub digest: Option<String>,
    /// Values; they win over `valuesFiles`.
    #[serde(default)]
    #[schemars(extend("x-free" = true))]
    pub values: Free,
    /// Values files relative to this file; a later one wins.
    #[serde(default)]
    pub values_files: Vec<String>,
    /// Values that look like secrets by their key and are none, as paths: `auth.tokenPath`.
    #[serde(default)]
    pub not_secret: Vec<String>,
}

fn default_namespace() -> String {
    "default".into()
}

/// Manifests from files, or one written in place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ObjectSource {
    /// A path or a glob (`*`, `?`, `**`), relative to this file.
    Files(String),
    /// A manifest with `apiVersion`, `kind` and `metadata`.
    #[schemars(extend("x-free" = true))]
    Inline(Free),
}

/// Limits on what a plan may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySection {
    /// Most deletions in one plan, replacements counted.
    #[serde(default = "max_deletes")]
    pub max_deletes: u32,
    /// Most that the platform may cost with all pools at their most nodes, in US dollars an hour; a plan above it is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 0))]
    pub max_hourly_cost: Option<f64>,
    /// Things never changed or deleted.
    #[serde(default)]
    pub protect: Vec<Protect>,
    /// Fields whose live value is kept.
    #[serde(default)]
    pub ignore: Vec<IgnoreRule>,
    /// What to do about a field that another manager took.
    #[serde(default)]
    pub conflicts: ConflictChoice,
}

/// A judgement: a change of one namespace with its parts fits (about 10 objects), a wrong blueprint name does not.
fn max_deletes() -> u32 {
    10
}

impl Default for PolicySection {
    fn default() -> Self {
        Self {
            max_deletes: max_deletes(),
            max_hourly_cost: None,
            protect: Vec::new(),
            ignore: Vec::new(),
            conflicts: ConflictChoice::default(),
        }
    }
}
