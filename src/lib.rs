//! `wbk-infra`: one YAML blueprint becomes a working GPU platform for W&B Launch on Kubernetes, and stays it.
//!
//! The modules, in the order in which data flows through them:
//!
//! ```text
//! blueprint.yaml (+ overlays)          cloud APIs    Kubernetes API    helm (a child process)
//!       | blueprint: line and column        \            |             /
//!       v                                    v           v            v
//!  blueprint --desired--> Desired          live: everything at once, each part may be Unknown
//!                            \                    |
//!                             v                   v
//!      gpu: PURE. Will it run?    plan: PURE. Changes, order, steps, and why not the rest
//!                                       |
//!                                     Plan --> human, JSON, Markdown; saved
//!                                       |
//!            execute: ready steps in parallel; journal before and after; events out
//!                                       |
//!                     live + plan again: must be empty --> verify: checks --> report
//! ```
//!
//! Only [`cli`] prints, reads the environment or ends the process.

pub mod blueprint;
pub mod cli;
pub mod cluster;
pub mod cost;
pub mod desired;
pub mod drift;
pub mod execute;
pub mod field;
pub mod gpu;
pub mod helm;
mod holder;
pub mod id;
pub mod import;
pub mod launch;
pub mod live;
mod markup;
mod parallel;
pub mod plan;
pub mod quantity;
pub mod sweep;
pub mod verify;
pub mod wandb;
