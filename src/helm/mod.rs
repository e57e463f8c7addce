//! Placeholder until merge.
mod seen;
pub use seen::*;
