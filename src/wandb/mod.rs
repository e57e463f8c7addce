//! W&B's API, as far as Launch needs it: queues are read, made, changed and removed, items pushed and followed.
//!
//! - [`client`]: one request, its retries, and what may go wrong; [`route`]: certificates and proxies on the way;
//! - [`queues`]: queues as values; [`items`]: what is pushed to them; [`runs`]: what an item's run
//!   tells; [`sweeps`]: sweeps and their runs.
//!
//! The documents are those that the SDK sends (wandb 0.31.0, `core/api/graphql/*.graphql`, `wandb/apis/public/{api,jobs}.py`), since
//! W&B publishes no schema.

mod client;
mod items;
mod queues;
mod route;
mod runs;
mod sweeps;

pub use client::{Wandb, WandbError};
pub use items::{Item, ItemState, Push};
pub use queues::{PROJECT, look};
pub use route::{Proxies, Route, certificates};
pub use sweeps::{SweepFound, SweepRun, SweepState};
