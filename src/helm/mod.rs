//! Helm: the one place that starts it.
//!
//! Responsible for: finding out whether a helm program will do, charts (folder, archive, registry, repository) by digest,
//! rendering them for the plan, and installing, rolling back and removing releases. What releases exist is not asked of helm:
//! [`releases_from_secrets`] reads it from the metadata of the Secrets that helm keeps its records in, and
//! [`release_change`] says what is to be done; both are pure. Not responsible for: talking to the Kubernetes API, deciding
//! when a step runs, or drift inside a release's objects (the planner's, from managedFields; see [`HELM_FIELD_MANAGERS`]).

mod chart;
mod command;
mod embedded;
mod error;
mod ignore;
mod memory;
mod pull;
mod release;
mod render;
mod render_cache;
mod seen;
mod stability;
mod version;

pub use chart::{LocalChart, OriginOfDigest};
pub use command::{Cancel, CancelHandle, ClusterAccess, Helm, HelmSettings, allowed_environment};
pub use error::{HelmError, Hint, Started};
pub use release::{
    Conflicts, HistoryEntry, InstallOptions, InstallOutcome, Ownership, Removal, RollbackOptions, Wait, render_marks,
};
pub use render::{Exists, Hook, ReadManifests, RenderRequest, RenderWorld, Rendered, Scope, SecretValues};
pub use render_cache::RenderCache;
pub use seen::{
    BLUEPRINT_LABEL, DIGEST_LABEL, HELM_FIELD_MANAGERS, MANAGED_BY_LABEL, MANAGED_BY_VALUE, RECORD_SELECTOR,
    RELEASE_NAME_ANNOTATION, RELEASE_NAMESPACE_ANNOTATION, ReleaseChange, ReleaseRecord, ReleaseSeen, ReleaseStatus,
    Repair, digest_label, input_digest, record_name, release_change, releases_from_secrets,
};
pub use stability::Stability;
pub use version::{HelmVersion, Major};
