//! What makes GPUs allocatable: who advertises them, how they are shared, what the nodes will show.

mod advertiser;
mod drivers;
pub(crate) mod mig;
mod pools;
mod sharing;
mod stand_in;
mod types;
mod vendor;

pub use advertiser::{NodeSystem, advertiser};
pub use types::{Advertiser, ExpectedLabel, GpuVendor, LabelWriter, PoolGpus};

pub(crate) use drivers::driver_problem;
pub(crate) use pools::{labels_at_birth, pool_gpus};
pub(super) use stand_in::collect;
