//! The cluster itself.

mod observe;
mod perform;

pub use observe::describe;
pub(crate) use observe::found;
pub use perform::{create, delete, update, wait_until_active};
