//! What moved since the blueprint was applied, and its formats.
//!
//! Pure: how drift is found is not here, only what it looks like to a person, to CI and to a code-scanning page.

mod derive;
mod human;
mod item;
mod json;
mod markdown;
mod sarif;

pub use derive::{Moved, Surroundings, drift};
pub use human::human;
pub use item::{DriftItem, DriftKind, DriftReport, Severity, Unseen};
pub use json::json;
pub use markdown::markdown;
pub use sarif::sarif;

#[cfg(test)]
mod tests;
