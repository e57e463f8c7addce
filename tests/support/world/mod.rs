//! A cluster in memory behind a real client: the observer, the planner and the actuator under test are the product's own,
//! only the API server, helm and the provider are not.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod drive;
mod helm;
mod http;
mod store;

pub use drive::{Fault, Rig};
pub use helm::set_status;
pub use store::{Apply, Key, Object, Store, key};
