//! What the user wrote: schema, parsing with positions, overlays.
//!
//! [`load`] takes the texts of one blueprint and its overlays and gives a [`Loaded`] blueprint, or every problem at once.
//! From there: [`Loaded::resolve`] (in `desired`), [`Loaded::lint`], [`Loaded::explain`].

mod check;
mod explain;
mod files;
mod fleet;
mod format;
mod later;
mod lint;
mod literal;
mod load;
mod overlay;
mod path;
mod problem;
mod quantity;
pub mod schema;
mod yaml;

pub use explain::{ExplainError, Explanation, ValueSource};
pub use files::{CachedFiles, DiskFiles, FileError, Files, FolderEntry, MemoryFiles, join};
pub use fleet::{FleetEntry, LoadedFleet, load_fleet};
pub use load::{Ground, Loaded, Source, load, load_on};
pub use problem::{Position, Problem, Problems, Severity};
pub use quantity::{Bytes, Cpu, Quantity, Seconds};
pub use schema::{Blueprint, Fleet, fleet_json_schema, json_schema};
pub use yaml::{Content, Entry, Node, read_manifests, read_mapping, read_values, to_yaml};

pub(crate) use files::{expand, is_glob};
pub(crate) use format::{gpu_vendor, is_dns_label, is_dns_subdomain, is_exact_version, is_sha256};
pub(crate) use lint::{is_expired, rules};
pub(crate) use literal::{in_manifest, in_values};
pub(crate) use path::{Step, steps};
