//! What EC2 has of a platform: the VPC, its gateways, subnets, addresses and routes.
//!
//! `ask` sends the describes, `describe` tells the answers in the words of [`crate::part`] (pure), `observe` is the two together; `facts`
//! looks at somebody else's subnets and at zones. `perform` makes, changes and removes one part; each sort has its file. Every part is
//! found by its tags at the moment it is needed; no id is remembered.

mod ask;
mod describe;
pub(crate) mod fabric;
mod facts;
mod nat;
mod observe;
mod perform;
mod remove;
mod routes;
mod subnet;
mod tagged;
mod vpc;

pub(crate) use ask::{ours, tags_of};
pub use describe::{Anchors, NetworkSeen};
pub(crate) use describe::{SORTS, told_by};
pub use facts::{Given, SubnetFacts, ZoneFacts, given, zones};
pub use observe::observe;
pub use perform::{create, delete, update};
pub(crate) use tagged::{given as given_tags, need, put};
