//! What goes on in W&B Launch: agents, queues, Jobs, and what each of them waits for.
//!
//! - [`board`]: one picture of it, pure;
//! - [`read`]: what the picture is made from, asked of the cluster and of W&B.

mod board;
mod read;

pub use board::{AgentRow, Board, JobRow, JobState, QueueRow, Sources, board};
pub use read::read;
