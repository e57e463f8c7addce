//! A W&B API server on loopback, for tests and for trying Launch without an account.
//!
//! - [`server`]: starts it ([`FakeWandb`]), its routes, and what tests may ask of it;
//! - [`graphql`]: one request against `schema.graphql`, which has what the launch agent (wandb 0.17.3 to 0.31.0), the launch commands
//!   and wbk-infra need; a field, argument or operation that is not in it is refused;
//! - [`resolve`] and [`mutation`] answer its fields from the [`world`]: entities, projects, queues ([`queue`]), agents, runs;
//! - [`template`]: a queue's configuration with the values of an item;
//! - [`sweep`]: sweeps and their agents; [`search`]: what a sweep tries next;
//! - [`oplog`]: every request that came, without secrets; [`fault`]: what goes wrong on request.
//!
//! Not here: history, charts, artifacts, users' rights beyond "this entity is not yours". It is no model of W&B's speed or limits.

pub mod config;
pub mod fault;
pub mod graphql;
pub mod mutation;
pub mod oplog;
pub mod queue;
pub mod resolve;
mod search;
pub mod server;
pub mod sweep;
pub mod template;
pub mod world;

pub use config::{Config, Entity};
pub use fault::{Fault, Trouble};
pub use oplog::Operation;
pub use server::FakeWandb;
