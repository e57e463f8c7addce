//! YAML with positions. One event stream (the `saphyr-parser` crate), two ways to read a plain scalar: the blueprint is
//! YAML 1.2 and refuses what YAML 1.1 reads differently; manifests and chart output are read as kubectl and Helm read
//! them. Why this crate: docs/design/0001-yaml.md.
//!
//! Not here: what the keys mean.

mod emit;
mod manifests;
mod read;
mod scalar;
mod tree;

pub use emit::to_yaml;
pub use manifests::{read_manifests, read_mapping, read_values};
pub(crate) use read::{Dialect, read};
pub use tree::{Content, Entry, Node};
