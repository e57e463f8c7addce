//! Sweeps: one search in W&B, and agents in the cluster that ask it what to try next.
//!
//! - [`file`]: what a sweep file says, and why W&B or its agents could not work with it;
//! - [`mark`]: how a sweep that this tool made is found again;
//! - [`job`]: the Job of the agents, made of a queue's own;
//! - [`room`]: how many agents pool and quota have room for;
//! - [`board`]: what goes on, in one picture.
//!
//! Pure: nothing here asks the cluster or W&B.

mod board;
mod file;
mod job;
mod mark;
mod room;

pub use board::{AgentRow, SweepBoard, SweepRow, SweepSources, sweep_board};
pub use file::{SweepFile, read_sweep_file};
pub use job::{AgentJob, JobError, PATH_ANNOTATION, SWEEP_LABEL, agent_job, job_name};
pub use mark::Mark;
pub use room::{Room, agents_per_gpu, room};
