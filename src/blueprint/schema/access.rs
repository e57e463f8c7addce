//! Roles and who has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A role (in a namespace) or a cluster role (at the top).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    /// Its name.
    #[schemars(extend("format" = "rbac-name"))]
    pub name: String,
    /// What it allows.
    pub rules: Vec<Rule>,
}

/// What a role allows, in Kubernetes' words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// API groups; the core group (`""`) when absent.
    #[serde(default = "core_group")]
    pub api_groups: Vec<String>,
    /// Resources, `pods`, `pods/log`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub resources: Vec<String>,
    /// Only objects of these names.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub resource_names: Vec<String>,
    /// Paths that are no resources, in a cluster role only.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty", default)]
    pub non_resource_urls: Vec<String>,
    /// Verbs, `get`, `list`.
    #[schemars(length(min = 1))]
    pub verbs: Vec<String>,
}

fn core_group() -> Vec<String> {
    vec![String::new()]
}

/// Gives one subject a role within a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Binding {
    /// Its name, and the name of the role that `rules` make.
    #[schemars(extend("format" = "rbac-name"))]
    pub name: String,
    /// A service account of this namespace, or `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_account: Option<String>,
    /// A group.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// A user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// A role of this namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// A cluster role, `view`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_role: Option<String>,
    /// Rules of a role made for this binding alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rules: Vec<Rule>,
}

/// Gives one subject a role in the whole cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterBinding {
    /// Its name.
    #[schemars(extend("format" = "rbac-name"))]
    pub name: String,
    /// A service account, `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_account: Option<String>,
    /// A group.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// A user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// A cluster role, `view` or one of `roles`.
    pub cluster_role: String,
}
