//! The Kubernetes side: how to reach an API server, the few requests this tool makes of it, whose objects are whose,
//! and when an object is ready. Nothing here decides what to change.

mod client;
mod connect;
mod discovery;
mod error;
mod gate;
mod metadata;
mod one_connection;
mod ownership;
mod pod;
mod protobuf;
mod readiness;
mod rollout;
mod watch;
mod well_known;

pub use client::{Applied, ApplyMode, Cluster, Guard, Propagation};
pub use connect::connect;
pub use discovery::{Discovery, Resource};
pub(crate) use error::is_quota_contended;
pub use error::{ClusterError, ErrorKind, FieldConflict};
pub use metadata::{ManagerEntry, Meta};
pub use ownership::{
    ADOPTED_ANNOTATION, APPLYSET_ID, APPLYSET_KINDS, APPLYSET_PART_OF, APPLYSET_TOOLING, BLUEPRINT_LABEL,
    DIGEST_ANNOTATION, FIELD_MANAGER, HELM_MANAGED_BY, MANAGED_BY, MANAGED_BY_LABEL, Marks, ORIGIN_ANNOTATION, Owner,
    Provenance, system_namespace,
};
pub(crate) use pod::{container_statuses, never_began, one_line, pod_trouble};
pub(crate) use readiness::explain_pods;
pub use readiness::{Readiness, readiness};
pub(crate) use rollout::{Rollout, condition, going, is_true, name, number, text, workload};
pub use watch::Watch;
pub(crate) use well_known::well_known;
