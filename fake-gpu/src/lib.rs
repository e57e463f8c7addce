//! GPUs that are not there, for clusters with real kubelets and no GPUs.
//!
//! - [`config`]: what is to be pretended; [`model`]: what the models are called;
//! - [`labels`]: what NFD and GFD would say of the node.
//!
//! And with the feature `plugin`, the program:
//! - `devices`: the node's GPUs, their shares, slices and failures, pure;
//! - `plugin` answers the kubelet for one resource (`api` is its gRPC API), `serve` keeps it registered;
//! - `smi` is the `nvidia-smi` that containers get, `cdi` another way to give it to them;
//! - `label_node` writes the labels on request;
//! - `image`: this program as a container image, made by itself.
//!
//! Not here: any use of a GPU. A container that computes finds nothing.

#[cfg(feature = "plugin")]
pub mod api;
#[cfg(feature = "plugin")]
pub mod cdi;
pub mod config;
#[cfg(feature = "plugin")]
pub mod devices;
#[cfg(feature = "plugin")]
pub mod image;
#[cfg(feature = "plugin")]
pub mod label_node;
pub mod labels;
pub mod model;
#[cfg(feature = "plugin")]
pub mod plugin;
#[cfg(feature = "plugin")]
pub mod serve;
#[cfg(feature = "plugin")]
pub mod smi;

/// One line of the log: standard error, as a container's log is read.
#[cfg(feature = "plugin")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
