//! What makes GPUs allocatable: who advertises them, how they are shared, what the nodes will show.

mod advertiser;
mod collect;
mod config;
mod drivers;
pub(crate) mod mig;
mod placement;
mod pools;
mod quota;
mod releases;
mod sharing;
mod stand_in;
mod types;
mod vendor;

pub use advertiser::{NodeSystem, advertiser};
pub use types::{Advertiser, ExpectedLabel, GpuVendor, LabelWriter, PoolGpus};

pub(super) use collect::collect;
pub(crate) use drivers::driver_problem;
pub(super) use placement::{on_pools, tolerations};
pub(crate) use pools::{labels_at_birth, offered_by, pool_gpus};
pub(crate) use quota::quota_units;
pub(super) use releases::releases;
pub(super) use sharing::of_one_gpu;

/// The namespace of everything about GPUs.
pub(crate) const NAMESPACE: &str = "wbk-gpu";
