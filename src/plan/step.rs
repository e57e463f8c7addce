//! A plan: steps with their order, and everything that was not planned, each with its reason.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wbk_provider_api::{Disruption, FieldDiff, Operation, PartId, Wanted};

use crate::{
    cost::PlanCost,
    desired::{DesiredRelease, IgnoreRule, QueueContent, SecretSlot, WandbService},
    field::FieldPath,
    gpu::Broken,
    helm::Repair,
    id::{Digest, GroupKind, ObjectId, ReleaseId},
    live::{Holder, World},
};

/// Names a step within a plan: its target as printed, unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StepId(pub String);

impl std::fmt::Display for StepId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is not there and shall be.
    Create,
    /// It is there and not running.
    Start,
    /// It changes in place.
    Update,
    /// It is deleted and made anew.
    Replace,
    /// It is somebody else's and becomes ours; somebody said so.
    Adopt,
    /// It was adopted and is given back: our fields go, the object stays.
    Disown,
    /// It goes.
    Delete,
}

impl Action {
    /// The word for a person.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Adopt => "adopt",
            Self::Disown => "disown",
            Self::Delete => "delete",
        }
    }

    /// The mark in front of a line.
    pub fn mark(self) -> char {
        match self {
            Self::Create | Self::Start => '+',
            Self::Update | Self::Adopt | Self::Disown => '~',
            Self::Replace => '!',
            Self::Delete => '-',
        }
    }
}

/// What a step is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// The cluster.
    Cluster(String),
    /// A node pool.
    NodePool(String),
    /// Something else of the provider's: a network, a role, an add-on.
    Part(PartId),
    /// An object.
    Object(ObjectId),
    /// A Helm release.
    Release(ReleaseId),
    /// A queue of W&B Launch.
    Queue(String),
}

impl Target {
    /// What sort of thing it is, for a count: `Deployment`, `helm release`.
    pub fn sort(&self) -> &str {
        match self {
            Self::Cluster(_) => "cluster",
            Self::NodePool(_) => "node pool",
            Self::Part(id) => &id.sort,
            Self::Object(id) => &id.gvk.kind,
            Self::Release(_) => "helm release",
            Self::Queue(_) => "launch queue",
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::NodePool(name) => write!(f, "node pool {name}"),
            Self::Part(id) => id.fmt(f),
            Self::Object(id) => write!(f, "{id}"),
            Self::Release(id) => write!(f, "helm release {id}"),
            Self::Queue(name) => write!(f, "launch queue {name}"),
        }
    }
}

/// When a step runs: nothing is taken away before all that is added or changed has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Adds or changes.
    Change,
    /// Takes away; waits for every step of the other phase to be done.
    Prune,
}

/// What a step must find; a world that moved stops it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expect {
    /// Nothing of that name.
    Absent,
    /// Whatever: its namespace or kind is made by this very plan, so that nothing can be there.
    New,
    /// This object, with these fields.
    Object {
        /// Its uid.
        uid: String,
        /// Digest over uid and all managers' entries outside status.
        fingerprint: Digest,
    },
    /// This revision of a release (0: none), and none of its records pending otherwise than planned.
    Revision(u32),
    /// The provider's own fingerprint, in its operation.
    Provider,
    /// This queue, with this content.
    Queue {
        /// W&B's id of it.
        id: String,
        /// Digest of its content.
        digest: String,
    },
}

/// What a step carries out. Complete: apply derives nothing anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Payload {
    /// A provider's operation.
    Provider(Box<Operation>),
    /// An object to be applied or, for a deletion, removed.
    Object(Box<ObjectStep>),
    /// A release.
    Release(Box<ReleaseStep>),
    /// A queue of W&B Launch.
    Queue(Box<QueueStep>),
}

/// A queue's step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStep {
    /// Where it is written, and as whom. The key is a reference.
    pub service: WandbService,
    /// What it shall hold, marked; `None` when it goes.
    pub content: Option<QueueContent>,
}

/// An object's step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStep {
    /// The manifest without marks; `null` for a deletion.
    pub manifest: Value,
    /// Keys of a Secret to be filled from where they point.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub secrets: Vec<SecretSlot>,
    /// Digest of the desired object.
    pub digest: Option<Digest>,
    /// Where in the blueprint it comes from.
    pub origin: String,
    /// Whether it was there before and is, or stays, adopted.
    pub adopted: bool,
    /// Whether fields of other managers are taken.
    pub take: bool,
    /// Ignore rules of the policy: the live value of these fields is kept.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub keep: Vec<IgnoreRule>,
    /// Fields that are left to the managers that hold them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub yielded: Vec<FieldPath>,
}

/// What a step does with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReleaseAction {
    /// It is not there.
    Install,
    /// It is there; what it is made from changed, or its objects drifted.
    Upgrade,
    /// A helm died at work on it: this first, then install or upgrade.
    Repair(Repair),
    /// It goes.
    Uninstall,
}

/// A release's step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStep {
    /// What is to be done with it.
    pub action: ReleaseAction,
    /// The release; `None` when it goes.
    pub desired: Option<DesiredRelease>,
    /// Digest of what it is made from.
    pub inputs: Option<Digest>,
}

/// The smallest unit that can fail and be tried again alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name in this plan.
    pub id: StepId,
    /// What it does.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// Why, one sentence.
    pub reason: String,
    /// Steps that must be done before, readiness included.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub needs: BTreeSet<StepId>,
    /// When it runs.
    pub phase: Phase,
    /// What it must find.
    pub expect: Expect,
    /// Whom it disturbs.
    pub disruption: Disruption,
    /// The fields that change.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub diff: Vec<FieldDiff>,
    /// Other managers that hold fields of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub holders: Vec<Holder>,
    /// Why the server could not be asked about it yet; absent where it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub estimated: Option<String>,
    /// Where in the blueprint it comes from: `blueprints/local.yaml:12:5`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<String>,
    /// Seconds after which it is given up, its readiness included.
    pub deadline_seconds: u64,
    /// What it carries out.
    pub payload: Payload,
}

/// Why something was not planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhyNot {
    /// It would fail, or needs a decision: what is wanted is not there until somebody acts.
    Blocked,
    /// It is somebody else's.
    Unmanaged,
    /// It could not be seen.
    Unseen,
    /// It is data or protected and no longer wanted; it goes only when named.
    Protected,
    /// The policy's limit is reached.
    OverBudget,
}

/// Something that was not planned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotPlanned {
    /// Which sort of reason.
    pub why: WhyNot,
    /// What, as printed.
    pub what: String,
    /// The reason.
    pub reason: String,
    /// One concrete action.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

/// Something that a reader should know although nothing is done about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// What it is about, as printed.
    pub about: String,
    /// What there is to know.
    pub says: String,
    /// One concrete action.
    pub hint: String,
}

/// What shall be done, in which order, and why not the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[must_use = "a plan that nobody reads or applies was not worth making"]
pub struct Plan {
    /// The blueprint's name.
    pub blueprint: String,
    /// What the provider is asked for.
    pub wanted: Wanted,
    /// The cluster that was looked at; `None` where there is none yet.
    pub world: Option<World>,
    /// The steps, sorted by phase, then target.
    pub steps: Vec<Step>,
    /// What was not planned.
    pub not_planned: Vec<NotPlanned>,
    /// Objects and releases that are as they shall be.
    pub unchanged: usize,
    /// Kinds of all objects that the blueprint has: written on the ApplySet's parent.
    pub kinds: BTreeSet<GroupKind>,
    /// What a reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub advice: Vec<Advice>,
    /// Whether this plan takes the platform away.
    pub destroys: bool,
    /// What can never run although all of this is done: somebody said to go on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub leaves_broken: Vec<Broken>,
    /// What it makes of the costs; `None` where nothing of it has a price.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost: Option<PlanCost>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether something that is wanted cannot be had without the user.
    pub fn is_blocked(&self) -> bool {
        self.not_planned.iter().any(|entry| match entry.why {
            WhyNot::Blocked | WhyNot::Unseen | WhyNot::OverBudget => true,
            WhyNot::Unmanaged | WhyNot::Protected => false,
        })
    }
}
