//! W&B itself, for those who host it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Free;
use crate::blueprint::quantity::Bytes;
use crate::desired::SecretReference;

/// A W&B server in this cluster: its operator, its custom resource, and the Secrets that this names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// Where users and agents reach it.
    #[schemars(regex(pattern = r"^https?://[^/]+$"))]
    pub host: String,
    /// Which generation of W&B's operator. `v2` is a beta, and needs cert-manager and a default storage class.
    #[serde(default)]
    pub operator: OperatorGeneration,
    /// Its namespace, of the operator and of all that it makes.
    #[serde(default = "default_namespace")]
    #[schemars(extend("format" = "dns-label"))]
    pub namespace: String,
    /// Version of what the operator installs: of the chart operator-wandb (v1), of the server (v2). Pinned where nothing is said, as far as
    /// there is one to pin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(min = 1))]
    pub version: Option<String>,
    /// Where operator v1 gets the chart operator-wandb from: a repository, or `oci://…` with the chart below it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(regex(pattern = r"^(https?|oci)://"))]
    pub repository: Option<String>,
    /// The licence, by reference. Without it the server is limited as W&B limits it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub license: Option<SecretReference>,
    /// How large its parts are.
    #[serde(default)]
    pub size: ServerSize,
    /// Where artifacts and files of runs are kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bucket: Option<Bucket>,
    /// Where everything else is kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub database: Option<Database>,
    /// Storage class of volumes in the cluster; its default one where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub storage_class: Option<String>,
    /// How it is reached from outside; without it only from inside the cluster.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ingress: Option<ServerIngress>,
    /// Annotations of its service accounts: the cloud identity that reads the bucket.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"format": "label-key"}))]
    pub annotations: BTreeMap<String, String>,
    /// Parts whose number of pods follows their load, by name: `api`, `app`, `parquet`. An autoscaler beside the operator would
    /// fight it for the number.
    #[serde(default)]
    pub autoscale: BTreeMap<String, Autoscale>,
    /// Without access to the internet: the operator asks W&B for nothing.
    #[serde(default)]
    pub airgapped: bool,
    /// Anything else, merged over what is made from the above (RFC 7386): values of operator-wandb (v1), the resource's `spec` (v2).
    #[serde(default)]
    #[schemars(extend("x-free" = true))]
    pub config: Free,
}

/// A generation of W&B's operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperatorGeneration {
    /// Installs the chart operator-wandb.
    #[default]
    V1,
    /// Makes everything itself; a beta.
    V2,
}

/// A size that W&B has figures for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerSize {
    /// For one user (v2).
    Dev,
    /// For some (v2).
    Micro,
    /// For a team.
    #[default]
    Small,
    /// For some teams.
    Medium,
    /// For a company.
    Large,
    /// For a large one.
    Xlarge,
    /// For the largest.
    Xxlarge,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// Whose.
    pub provider: BucketProvider,
    /// Its name; `HOST:PORT/NAME` for one that only speaks S3.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Folder in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<String>,
    /// The key with which it encrypts (AWS KMS).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kms_key: Option<String>,
    /// Credentials; without them the pods' cloud identity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credentials: Option<BucketCredentials>,
}

/// Whose bucket it is, in W&B's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BucketProvider {
    /// Amazon S3, or something that speaks it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Az,
}

/// Credentials of a bucket, by reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketCredentials {
    /// The access key's id; the account's name on Azure.
    pub access_key: SecretReference,
    /// The secret key.
    pub secret_key: SecretReference,
}

/// A MySQL database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type", deny_unknown_fields)]
pub enum Database {
    /// One that is there.
    External {
        /// Its address.
        host: String,
        /// Its port.
        #[serde(default = "default_port")]
        port: u16,
        /// The database's name.
        #[serde(default = "default_database")]
        name: String,
        /// The user.
        #[serde(default = "default_user")]
        user: String,
        /// The user's password, by reference.
        password: SecretReference,
    },
    /// One in the cluster, for trying it out: nobody backs it up.
    InCluster {
        /// Size of its volume.
        size: Bytes,
    },
}

/// How it is reached from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerIngress {
    /// The ingress class.
    pub class: String,
    /// The Secret with certificate and key, in the server's namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_secret: Option<String>,
    /// Annotations of the Ingress.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// How many pods a part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscale {
    /// Fewest.
    #[schemars(range(min = 1))]
    pub min: u32,
    /// Most.
    #[schemars(range(min = 1))]
    pub max: u32,
    /// The part of the requested CPU, in percent, above which there are more.
    #[serde(default = "default_cpu")]
    #[schemars(range(min = 1, max = 100))]
    pub cpu: u32,
}

fn default_namespace() -> String {
    "wandb-server".into()
}

fn default_port() -> u16 {
    3306
}

fn default_database() -> String {
    "wandb_local".into()
}

fn default_user() -> String {
    "wandb".into()
}

fn default_cpu() -> u32 {
    80
}
