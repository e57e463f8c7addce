//! The desired state: two executors given this value would build the same platform.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wbk_provider_api::Wanted;

use super::Manifest;
use super::cost::DesiredCost;
use super::gpu::PoolGpus;
use super::launch::DesiredLaunch;
use super::manifest::digest_with;
use crate::{
    field::FieldPath,
    id::{Digest, GroupKind, ObjectId, ReleaseId},
};

/// Everything that a blueprint asks for. No secret's value is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Desired {
    /// The blueprint's name.
    pub name: String,
    /// The cluster and its node pools.
    pub wanted: Wanted,
    /// What the nodes of each pool with GPUs offer and show, by pool.
    pub gpus: BTreeMap<String, PoolGpus>,
    /// Objects that this tool applies itself, sorted by id, each once.
    pub objects: Vec<DesiredObject>,
    /// Helm releases, sorted by id, each once.
    pub releases: Vec<DesiredRelease>,
    /// W&B Launch, where the blueprint has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch: Option<DesiredLaunch>,
    /// What verification has to prove beyond "these objects are there".
    pub promises: Promises,
    /// Limits on what a plan may do.
    pub policy: Policy,
    /// Prices that the blueprint brings, and what it may cost at most.
    #[serde(skip_serializing_if = "DesiredCost::is_empty")]
    pub cost: DesiredCost,
}

/// Where in the blueprint something comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// Path in the blueprint: `namespaces[wandb-jobs].quota`.
    pub path: String,
    /// File and position, `blueprints/local.yaml:12:5`; `None` for what no line says.
    pub at: Option<String>,
}

/// One object to be applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredObject {
    /// Which it is.
    pub id: ObjectId,
    /// The manifest, with `apiVersion`, `kind` and `metadata`; without this tool's ownership marks, which the cluster side adds.
    /// A Secret's referenced values are not in it: they are in `secrets`.
    pub manifest: Manifest,
    /// For a Secret, and for a ConfigMap of certificates: what its keys are filled with when it is applied.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub secrets: Vec<SecretSlot>,
    /// Where it comes from.
    pub origin: Origin,
}

impl DesiredObject {
    /// Digest of the manifest and of the references (never the values) of its secret keys.
    pub fn digest(&self) -> Digest {
        if self.secrets.is_empty() {
            return self.manifest.digest().clone();
        }
        let slots: Vec<Value> =
            // What a slot says of itself, its form left out where it is the usual one: digests outlive versions of this program.
            self.secrets.iter().map(|slot| serde_json::to_value(slot).expect("a slot is plain data")).collect();
        digest_with(&self.manifest, &slots)
    }

    /// The kind that it brings, where it is a custom resource definition.
    pub(crate) fn brings(&self) -> Option<GroupKind> {
        let definition = self.id.gvk.kind == "CustomResourceDefinition";
        definition.then(|| self.manifest.brings()).flatten().map(|brought| brought.kind())
    }
}

/// One key of a Secret, and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSlot {
    /// The key in `data`.
    pub key: String,
    /// Where the value comes from.
    pub from: SecretReference,
    /// What it becomes.
    #[serde(skip_serializing_if = "SlotForm::is_value", default)]
    pub form: SlotForm,
}

impl SecretSlot {
    /// A key that holds the value as it is.
    pub fn new(key: impl Into<String>, from: SecretReference) -> Self {
        Self { key: key.into(), from, form: SlotForm::Value }
    }
}

/// What a referenced value becomes in its key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SlotForm {
    /// The value as it is.
    #[default]
    Value,
    /// The value, its last line ended: a private key of ssh.
    Line,
    /// The password of one registry in a `.dockerconfigjson`; slots of the same key make one file.
    Registry {
        /// The registry.
        server: String,
        /// The account.
        username: String,
    },
}

impl SlotForm {
    fn is_value(&self) -> bool {
        *self == Self::Value
    }
}

/// Where a secret's value comes from. The value itself is never in a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-secret" = true))]
pub enum SecretReference {
    /// An environment variable of the process that applies.
    Env(String),
    /// A file; a trailing newline is kept out.
    File(String),
    /// A key of a Secret in the cluster: `namespace/name/key`.
    Secret(String),
    /// A command's standard output, run without a shell; a trailing newline is kept out.
    Command(Vec<String>),
    /// A key of a ConfigMap in the cluster, `namespace/name/key`: of certificates alone, never of a secret.
    #[schemars(skip)]
    ConfigMap(String),
}

/// A Helm release to be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredRelease {
    /// Which it is.
    pub id: ReleaseId,
    /// The chart.
    pub chart: ChartSource,
    /// Values, merged over the chart's own; a secret is never in them.
    pub values: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a chart comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum ChartSource {
    /// A folder or a packed chart on this machine, absolute or relative to the working directory.
    Path {
        /// The folder or `.tgz`.
        path: String,
    },
    /// A chart of our own, inside this program.
    Embedded {
        /// Its name.
        name: String,
    },
    /// An OCI registry: `oci://host/path/chart`.
    Oci {
        /// The reference, without the tag.
        reference: String,
        /// Chart version, exact.
        version: String,
        /// `sha256:…` of the chart's archive, where pinned.
        digest: Option<String>,
    },
    /// An archive on this machine in place of one on a server.
    Archive {
        /// The `.tgz`, absolute or relative to the working directory.
        path: String,
        /// Chart name.
        name: String,
        /// Chart version, exact.
        version: String,
        /// `sha256:…` of the archive, where pinned.
        digest: Option<String>,
    },
    /// A classic repository with an `index.yaml`.
    Repository {
        /// `https://…`
        url: String,
        /// Chart name in the repository.
        name: String,
        /// Chart version, exact.
        version: String,
        /// `sha256:…` of the chart's archive, where pinned.
        digest: Option<String>,
    },
}

/// Promises that objects alone do not show; verification proves them. Each list is sorted.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Promises {
    /// Namespaces of the blueprint that have a quota, with its `hard` map.
    pub quotas: BTreeMap<String, BTreeMap<String, String>>,
    /// Namespaces in which a sample Job may run, in order of preference; the first is used.
    pub job_namespaces: Vec<String>,
    /// Kinds whose objects are made only where the cluster has the kind; a plan says what it left out.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub optional_kinds: BTreeSet<GroupKind>,
    /// Kinds that are nobody's to bring: the cluster has them as soon as it is there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub cluster_kinds: BTreeSet<GroupKind>,
}

/// Limits on what a plan may do, as the blueprint's `policy` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Most deletions in one plan, replacements counted; more is refused.
    pub max_deletes: u32,
    /// Things never changed or deleted.
    pub protect: Vec<Protect>,
    /// Fields whose live value is kept.
    pub ignore: Vec<IgnoreRule>,
    /// What to do when another manager holds a field that we want otherwise.
    pub conflicts: ConflictChoice,
}

/// One thing that is never changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Protect {
    /// Kind, `PersistentVolumeClaim`.
    pub kind: String,
    /// Namespace; any when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// Name; any when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
}

/// A field whose live value is kept, until a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IgnoreRule {
    /// Kind, `Deployment`.
    pub kind: String,
    /// Namespace; any when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// Name; any when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The field: `spec.replicas`, `spec.template.spec.containers[name=main].image`, `metadata.labels[example.com/team]`, or
    /// a JSON pointer.
    pub path: FieldPath,
    /// Why.
    pub reason: String,
    /// Last day on which the rule holds, `2027-01-01`; for ever when absent.
    #[schemars(extend("format" = "day"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<String>,
}

/// What to do about a field that another manager took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConflictChoice {
    /// Take back what was ours before; stop at what never was. The default.
    #[default]
    Mend,
    /// Take every field that the blueprint sets.
    Take,
    /// Leave the field to its other manager.
    Yield,
    /// Plan nothing for that object, and say who holds what.
    Stop,
}
