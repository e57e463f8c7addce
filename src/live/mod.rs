//! What exists, as far as it could be seen: the types, the proof that an object is unchanged, and the one reader.

mod additions;
mod decide;
mod diff;
mod fields;
mod memory;
mod observe;
mod secrets;
mod state;

pub use additions::{Addition, additions};
pub(crate) use decide::{fingerprint, keep_ignored, proof};
pub use diff::{differences, missing_or_different};
pub use fields::{FieldPath, field_paths};
pub use memory::{Memory, MemoryError, Remembered};
pub use observe::{Observer, Reach, RenderedRelease, Sight};
pub(crate) use observe::{origin, rules_for};
pub use secrets::{SecretError, SecretValue, SecretValues};
pub use state::{
    Birth, ClusterState, Extra, Found, Holder, Live, ObjectState, PlannedObject, ReleaseState, Verdict, World,
};
