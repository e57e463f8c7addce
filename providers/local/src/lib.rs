//! The local provider: a real Kubernetes control plane on this machine, without Docker, whose nodes are simulated.
//!
//! In the order in which they are needed:
//!
//! - [`assets`] finds etcd, the control plane's programs, kubectl and helm: given, cached, downloaded or built;
//! - [`cluster`] keeps named clusters: their files, certificates and processes, each operation idempotent;
//! - [`pools`] makes node pools, that is simulated nodes with the pool's labels, taints and shape;
//! - [`simulator`] is the kubelets of those nodes: pods run and finish, GPUs appear where a device plugin runs;
//! - [`LocalProvider`] is all of it behind the one trait that every provider implements.
//!
//! Nothing here prints or reads the environment: what comes from outside comes in through [`Settings`].

pub mod assets;
pub mod cluster;
mod error;
mod files;
mod names;
pub mod pools;
mod provider;
mod settings;
pub mod simulator;

pub use error::LocalError;
pub use provider::LocalProvider;
pub use settings::Settings;
