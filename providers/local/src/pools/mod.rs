//! Node pools: simulated nodes with the pool's labels, taints and shape.
//!
//! A pool is a record (a ConfigMap in kube-system that holds its [`wbk_provider_api::PoolSpec`], as a cloud keeps one
//! for a pool that has no nodes) and its nodes, `<pool>-0` to `<pool>-<min - 1>`: exactly `min` exist, and none for a
//! `min` of 0, because nothing scales a simulated pool. Both carry the pool's name and the blueprint's.

mod nodes;
mod observe;
mod perform;
mod plan;
mod record;

pub(crate) use observe::{World, observe};
pub(crate) use perform::{apply, delete};
pub(crate) use plan::{plan, plan_destroy};
