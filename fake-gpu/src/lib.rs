//! GPUs that are not there, for clusters with real kubelets and no GPUs.
//!
//! - [`config`]: what is to be pretended; [`model`]: what the models are called;
//! - [`devices`]: the node's GPUs, their shares, slices and failures, pure;
//! - [`plugin`] answers the kubelet for one resource ([`api`] is its gRPC API), [`serve`] keeps it registered;
//! - [`smi`] is the `nvidia-smi` that containers get, [`cdi`] another way to give it to them;
//! - [`labels`]: what NFD and GFD would say of the node, on request;
//! - [`image`]: this program as a container image, made by itself.
//!
//! Not here: any use of a GPU. A container that computes finds nothing.

pub mod api;
pub mod cdi;
pub mod config;
pub mod devices;
pub mod image;
pub mod labels;
pub mod model;
pub mod plugin;
pub mod serve;
pub mod smi;

/// One line of the log: standard error, as a container's log is read.
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
