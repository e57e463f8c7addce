//! The commands, one file each: each reads from top to bottom as what it does. [`Session`] and what several commands share
//! (carrying out a plan, saved plans, interrupts) have files of their own.

mod apply;
mod assets;
mod carry_out;
mod child;
mod ci;
mod completions;
mod cost;
mod destroy;
mod doctor;
mod drift;
mod eks;
mod explain;
mod fleet;
mod import;
mod interrupt;
mod launch;
mod lifecycle;
mod lint;
mod local;
mod plan;
mod proof;
mod rehearse;
mod render;
mod saved;
mod schema;
mod session;
mod status;
mod sweep;
mod verify;

pub use assets::assets;
pub use ci::ci;
pub use completions::completions;
pub use doctor::doctor;
pub use eks::eks;
pub use lint::lint;
pub use local::local;
pub use render::render;
pub use schema::schema;
pub use session::Session;
