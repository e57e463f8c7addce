//! Clusters of Amazon EKS, with the network, the roles, the add-ons and the node groups that they need.
//!
//! Data flow: what is wanted ([`wbk_provider_api::EksSpec`]) and what the region decides become a [`wanted::Platform`] of plain
//! descriptions ([`part`], [`shape`]). What is there is described in the same words ([`world::World`]), found by tags and names and never by
//! a state file. [`changes`] compares the two; `perform` makes one thing so and waits for it.
//!
//! [`aws`] holds the clients and [`error`] what comes back from them; [`network`] is what EC2 has of a platform and [`iam`] its roles;
//! [`work`] is what every change is given.

pub mod aws;
pub mod catalog;
pub mod changes;
pub mod content;
pub mod error;
pub mod facts;
mod http;
pub mod iam;
mod layout;
pub mod marks;
pub mod network;
pub mod part;
pub mod preflight;
pub mod shape;
pub mod version;
pub mod wanted;
pub mod work;
pub mod world;
