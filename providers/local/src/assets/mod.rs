//! Finds the programs that a control plane consists of, in this order: a directory that was given, the cache, a
//! verified download, a build from Go modules. What is found in one place is not looked for in the next.
//!
//! The cache is `<cache_dir>/assets/`: `downloaded/<name>-<version>-<os>-<arch>/` and `built/<versions>-<digest>/`,
//! each put in place by one rename and described by its `manifest.json`. It may be deleted at any time.

mod build;
mod cache;
mod download;
mod event;
mod helm;
mod pins;
mod program;
mod provide;
mod report;

pub use event::AssetEvent;
pub(crate) use pins::arch;
pub use pins::{Build, Pins};
pub use program::{Found, Program, Source};
pub use provide::{provide, provide_pinned};
pub use report::{AssetReport, report};

/// Where assets say what they do; called from the calling thread.
pub type AssetSink<'a> = &'a (dyn Fn(AssetEvent) + Sync);
