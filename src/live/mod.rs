//! What exists, as far as it could be seen: the types, the proof that an object is unchanged, and the one reader.

mod additions;
mod decide;
mod diff;
mod keep;
mod lists;
mod memory;
mod observe;
mod queues;
mod secrets;
mod shapes;
mod state;

pub use additions::{Addition, additions};
pub(crate) use decide::{fingerprint, proof};
pub use diff::{FieldChange, differences, missing_or_different};
pub(crate) use keep::keep_live;
pub use lists::EarlyLists;
pub use memory::{Memory, MemoryError, Remembered};
pub use observe::{Observer, Reach, RenderedRelease, Sight};
pub(crate) use observe::{left_by, origin, rules_for};
pub use queues::{QueueFound, QueueState};
pub use secrets::{SecretError, SecretValue, SecretValues};
pub use state::{
    Birth, ClusterState, Extra, Found, Holder, Live, ObjectState, PlannedObject, ReleaseState, Verdict, World,
};
