//! What goes on in W&B Launch: agents, queues, jobs, and what each of them waits for.
//!
//! - [`board`]: one picture of it, pure; [`work`]: one job of it; [`room`]: why no node takes its pod; [`obstacle`]: a reason with its fix;
//! - [`kueue`]: why a job has not begun, pure;
//! - [`lifecycle`]: an item's life step by step, pure; [`picture`]: the same as SVG and as a page;
//! - [`read`]: what the pictures are made from, asked of the cluster and of W&B.

mod board;
mod kueue;
mod lifecycle;
mod obstacle;
mod picture;
mod read;
mod room;
mod work;

pub(crate) use board::pod_of;
pub use board::{AgentRow, Board, QueueRow, Sources, board};
pub(crate) use kueue::{is_suspended, path as workloads_path};
pub(crate) use lifecycle::age;
pub use lifecycle::{Held, Lifecycle, Stage, StageState, of_job, of_queue};
pub use obstacle::Obstacle;
pub(crate) use obstacle::quota_admits_alone;
pub use picture::{html as picture_html, svg as picture_svg};
pub use read::{Nodes, read};
pub use work::{Controller, JobRow, JobState, Step};
