//! What a blueprint means: complete, every default filled, nothing left to choose.

mod state;

pub use state::{
    ChartSource, ConflictChoice, Desired, DesiredObject, DesiredRelease, IgnoreRule, Origin, Policy, Promises, Protect,
    SecretReference, SecretSlot,
};
