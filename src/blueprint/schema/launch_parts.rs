//! What agents and jobs of W&B Launch need beside nodes: certificates, a proxy, credentials, environment, files and volumes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::SecretReference;

/// Certificates of authorities that programs shall trust, as PEM. They are no secret: agents, their jobs and this program get them.
/// Most programs trust these *in place of* the public ones: whoever talks to both needs both in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-secret" = true))]
pub enum CaBundle {
    /// A file.
    File(String),
    /// An environment variable of the process that applies.
    Env(String),
    /// A key of a Secret in the cluster: `namespace/name/key`.
    Secret(String),
    /// A command's standard output, run without a shell.
    Command(Vec<String>),
    /// A key of a ConfigMap that somebody else keeps in the agents' namespace and in those of the jobs: `name/key`.
    ConfigMap(String),
}

/// The proxy through which agents and jobs reach what is outside of the cluster. What is inside is never asked for through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proxy {
    /// For `http://` addresses: `http://proxy.example.com:3128`; by reference where a password is in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http: Option<Text>,
    /// For `https://` addresses; by reference where a password is in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub https: Option<Text>,
    /// What is reached without it: hosts, `.example.com` for all below, networks. The API server, Services and the cloud's metadata are
    /// there already.
    #[serde(default)]
    pub no_proxy: Vec<String>,
}

/// Text, or a secret by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// As it stands here; everybody may read it.
    Plain(String),
    /// A secret.
    Secret(SecretReference),
}

/// Credentials of a registry of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Its host, `ghcr.io`, with a port or a path where it has one; `https://index.docker.io/v1/` for Docker Hub.
    #[schemars(length(min = 1))]
    pub server: String,
    /// The account.
    #[schemars(length(min = 1))]
    pub username: String,
    /// Its password or token, by reference.
    pub password: SecretReference,
}

/// A host of git repositories that an agent clones: by token over https, by key over ssh, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitHost {
    /// The host, `github.com`; with a port where it has one of its own.
    #[schemars(length(min = 1))]
    pub host: String,
    /// The account for https.
    #[serde(default = "token_user")]
    pub username: String,
    /// Its password or token, by reference.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<SecretReference>,
    /// A private key without a passphrase for ssh, by reference.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<SecretReference>,
    /// The host's public keys as `ssh-keyscan` prints them; another host of its name is refused.
    #[serde(default)]
    pub known_hosts: Vec<String>,
}

/// The name that GitHub and GitLab take beside a token.
fn token_user() -> String {
    "x-access-token".into()
}

/// W&B's own chart in place of this program's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentChart {
    /// A folder or `.tgz` relative to this file, `oci://…/launch-agent`, or `https://charts.wandb.ai`, the repository that has it.
    #[serde(default = "chart_repository")]
    pub from: String,
    /// Exact version; required for one that is not a path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "exact-version"))]
    pub version: Option<String>,
    /// Digest of the chart's archive, `sha256:…`: another archive of that version is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(extend("format" = "sha256"))]
    pub digest: Option<String>,
}

fn chart_repository() -> String {
    "https://charts.wandb.ai".into()
}

/// A volume of the jobs of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// The claim: one of the `storage` of the jobs' namespace.
    #[schemars(extend("format" = "dns-subdomain"))]
    pub claim: String,
    /// Where it stands in the container.
    #[schemars(extend("format" = "absolute-path"))]
    pub path: String,
    /// A folder of the volume in place of the whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub folder: Option<String>,
    /// Whether jobs only read it.
    #[serde(default)]
    pub read_only: bool,
}
