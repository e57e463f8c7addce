//! The proof as a picture: pools on the left, workloads on the right, a line for each proof, red where it breaks.

mod draw;
mod page;

pub use draw::svg;
pub use page::html;
