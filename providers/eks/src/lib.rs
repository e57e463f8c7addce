//! Clusters of Amazon EKS, with the network, the roles, the add-ons and the node groups that they need.
//!
//! Data flow: what is wanted ([`wbk_provider_api::EksSpec`]) and what the region decides become a [`wanted::Platform`] of plain
//! descriptions ([`part`], [`shape`]). What is there is described in the same words ([`world::World`]), found by tags and names and never by
//! a state file. [`changes`] compares the two; `perform` makes one thing so and waits for it.
//!
//! [`aws`] holds the clients and [`error`] what comes back from them; [`network`] is what EC2 has of a platform and [`iam`] its roles;
//! [`work`] is what every change is given.

mod access;
mod addon_versions;
pub mod aws;
pub mod catalog;
pub mod changes;
mod cluster;
pub mod content;
pub mod error;
pub mod facts;
mod group;
mod held;
mod http;
pub mod iam;
pub mod import;
mod inside;
mod layout;
mod left;
mod lookup;
pub mod marks;
mod names;
pub mod network;
mod observe;
pub mod part;
pub mod preflight;
mod provider;
pub mod rights;
mod settings;
pub mod shape;
pub mod template;
mod token;
mod update;
pub mod version;
pub mod wanted;
pub mod work;
pub mod world;

pub use observe::observed;
pub use provider::EksProvider;
pub use settings::{Retries, Settings, Way};
pub use token::{Token, token};
