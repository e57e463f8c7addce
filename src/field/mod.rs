//! Paths of fields in Kubernetes objects: one type for conflicts, differences, drift and ignore rules, and the field sets
//! that `managedFields` keeps.

mod conflict;
mod element;
mod parse;
mod path;
mod set;

pub use element::{Element, Literal};
pub use parse::PathError;
pub use path::FieldPath;
pub use set::{FieldSet, field_paths};
