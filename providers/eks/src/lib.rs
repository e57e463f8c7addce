//! Clusters of Amazon EKS, with the network, the roles, the add-ons and the node groups that they need.
//!
//! Data flow: what is wanted ([`wbk_provider_api::EksSpec`]) and what the region decides become a [`wanted::Platform`] of plain
//! descriptions ([`part`], [`shape`]). What is there is described in the same words ([`world::World`]), found by tags and names and never by
//! a state file. [`changes`] compares the two; `perform` makes one thing so and waits for it.

pub mod catalog;
pub mod changes;
pub mod content;
mod layout;
pub mod marks;
pub mod part;
pub mod shape;
pub mod version;
pub mod wanted;
pub mod world;
