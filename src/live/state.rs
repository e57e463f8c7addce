//! The live state: what was seen, and what the server said about what was undecided.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{Observed, Why};

use super::{FieldChange, QueueState};
use crate::{
    cluster::Owner,
    desired::DesiredObject,
    field::FieldPath,
    helm::ReleaseSeen,
    id::{Digest, ObjectId, ObjectKey, ReleaseId},
};

/// Everything that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// What the provider saw of the cluster and its node pools.
    pub provider: Observed,
    /// The API server.
    pub cluster: ClusterState,
    /// The desired objects, each with what was found under its name.
    pub objects: BTreeMap<ObjectKey, ObjectState>,
    /// Objects that carry this blueprint's labels and are not desired.
    pub extras: Vec<Extra>,
    /// The desired releases, and those of ours that are not desired.
    pub releases: BTreeMap<ReleaseId, ReleaseState>,
    /// Queues of W&B Launch: the desired ones, and those of ours that are not desired. Whoever asks W&B fills it.
    pub queues: BTreeMap<String, QueueState>,
    /// Namespaces that exist.
    pub namespaces: BTreeSet<String>,
    /// What could not be looked at, with the reason; nothing is planned for it.
    pub unseen: BTreeMap<String, Why>,
}

impl Live {
    /// As it is once everything in the cluster is gone, and `why` that is.
    pub fn emptied(&self, why: &str) -> Self {
        let absent = |state: &ObjectState| match state {
            ObjectState::Absent(birth @ (Birth::NoKind | Birth::Refused(_))) => ObjectState::Absent(birth.clone()),
            ObjectState::Absent(Birth::Tried | Birth::Estimated(_))
            | ObjectState::Present(..)
            | ObjectState::Unknown(_) => ObjectState::Absent(Birth::Estimated(why.to_owned())),
        };
        let unmade = |(id, state): (&ReleaseId, &ReleaseState)| match state {
            // Without inputs nobody wants it: it goes with the rest.
            ReleaseState::Seen { inputs: None, .. } => None,
            ReleaseState::Seen { record: _, inputs, drifted: _, objects } => {
                let (inputs, objects) = (inputs.clone(), *objects);
                Some((id.clone(), ReleaseState::Seen { record: None, inputs, drifted: BTreeMap::new(), objects }))
            }
            ReleaseState::Unknown(why) => Some((id.clone(), ReleaseState::Unknown(why.clone()))),
        };
        Self {
            provider: self.provider.clone(),
            cluster: self.cluster.clone(),
            objects: self.objects.iter().map(|(key, state)| (key.clone(), absent(state))).collect(),
            extras: Vec::new(),
            releases: self.releases.iter().filter_map(unmade).collect(),
            // They are W&B's, outside of it.
            queues: self.queues.clone(),
            namespaces: BTreeSet::new(),
            unseen: BTreeMap::new(),
        }
    }
}

/// The API server of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterState {
    /// There is none yet: everything in it is absent by implication.
    Absent,
    /// It answered.
    Reached(World),
    /// It did not answer, and why.
    Unknown(Why),
}

/// Which cluster was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct World {
    /// The uid of the namespace kube-system: the cluster's identity.
    pub uid: String,
    /// The context it was reached through.
    pub context: String,
}

/// What was found under the name of a desired object.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectState {
    /// Nothing.
    Absent(Birth),
    /// An object.
    Present(Found, Verdict),
    /// It could not be seen.
    Unknown(Why),
}

/// How sure it is that an absent object can be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Birth {
    /// The server tried it and would create it.
    Tried,
    /// It could not be tried yet, and why (its namespace or its kind comes earlier in the plan).
    Estimated(String),
    /// The server refuses it, in its words.
    Refused(String),
    /// The server has no such kind, and nothing known brings it.
    NoKind,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its uid.
    pub uid: String,
    /// What must not have changed when a step touches it: a digest over the uid and all that managers set outside status.
    pub fingerprint: Digest,
    /// Whose it is.
    pub owner: Owner,
    /// What it waits for while it is being deleted; `None` when it is not being deleted.
    pub deleting: Option<Vec<String>>,
    /// The digest that was last applied, where one is written on it.
    pub applied_digest: Option<String>,
    /// Whether it was adopted: then it is given back, not deleted.
    pub adopted: bool,
}

/// How an object that is there compares with what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Proven the same.
    Same,
    /// It differs; the server's own answers were compared.
    Differs {
        /// Fields that would change; empty where only the ownership of fields would.
        diff: Vec<FieldChange>,
        /// Fields that other managers hold.
        holders: Vec<Holder>,
    },
    /// It differs in what cannot be changed in place.
    Immutable {
        /// Fields that would change.
        diff: Vec<FieldChange>,
        /// The server's words.
        words: String,
    },
    /// The server refuses the change, in its words.
    Refused(String),
}

/// A field of ours that another manager holds, since when.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// The other manager, `kubectl-edit`.
    pub manager: String,
    /// The field, as that manager holds it.
    pub field: FieldPath,
    /// The subresource it wrote through (`scale`), or empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub subresource: String,
    /// When it last wrote, RFC 3339; empty where unknown.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub time: String,
}

/// An object with this blueprint's labels that is not desired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Which it is.
    pub id: ObjectId,
    /// What was found.
    pub found: Found,
    /// Its owners (`Kind/name`): it goes with them.
    pub controllers: Vec<String>,
}

/// A release, and how its objects compare with what it renders now.
#[derive(Debug, Clone, PartialEq)]
pub enum ReleaseState {
    /// It could be seen.
    Seen {
        /// The release's record; `None` where there is none.
        record: Option<ReleaseSeen>,
        /// Digest of what it is made from; `None` for a release that is not desired.
        inputs: Option<Digest>,
        /// Its objects that differ from what it renders, or are missing.
        drifted: BTreeMap<String, Vec<FieldChange>>,
        /// How many objects it renders.
        objects: usize,
    },
    /// It could not.
    Unknown(Why),
}

/// A desired object as it is sent: what the digest is of, and what verdicts compare.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedObject<'a> {
    /// The desired object.
    pub desired: &'a DesiredObject,
    /// Digest of its manifest and the references of its secret keys.
    pub digest: Digest,
}

impl<'a> PlannedObject<'a> {
    /// Computes the digest.
    pub fn new(desired: &'a DesiredObject) -> Self {
        Self { digest: desired.digest(), desired }
    }
}
