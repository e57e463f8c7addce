//! The kind provider: Kubernetes in containers on this machine, with real kubelets, through the `kind` program and Docker,
//! podman or nerdctl.
//!
//! In the order in which they are needed:
//!
//! - [`Settings`]: where things are kept and which programs are used; `command` starts them, one at a time and with a deadline;
//! - `machine` is kind and the container engine in typed calls, `containers` what an inspection of nodes says;
//! - `config` writes what kind is given, with the marks by which everything is found again;
//! - `nodes`, `record`, `observe`, `plan` and `perform`: node pools are worker nodes with the pool's labels and taints;
//! - [`fake_gpu`]: the image of the fake GPU plugin, which no registry has: given, cached, or built;
//! - [`KindProvider`] is all of it behind the one trait that every provider implements.
//!
//! kind cannot add a node to a cluster or change its version: such a change is a replacement of the cluster, and the plan says
//! so. Nothing here prints or reads the environment, and the user's kubeconfig is never touched.

mod command;
mod config;
mod containers;
mod error;
pub mod fake_gpu;
mod machine;
mod nodes;
mod observe;
mod perform;
pub mod pins;
mod plan;
mod provider;
mod record;
mod settings;

pub use error::KindError;
pub use machine::Engine;
pub use provider::KindProvider;
pub use settings::Settings;
