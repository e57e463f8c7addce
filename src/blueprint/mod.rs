//! What the user wrote: schema, parsing with positions, overlays.

mod problem;
mod yaml;

pub use problem::{Position, Problem, Problems, Severity};
pub use yaml::{Content, Entry, Node, read_manifests, read_values, to_yaml};
