//! The kubelets of simulated nodes: nodes report ready, pods run and finish, GPUs appear where a device plugin runs.
//!
//! It keeps no state of its own: everything follows from nodes and pods as they are in the API server, so that it may
//! be killed and started at any time. Idle, it renews one lease for each node every ten seconds and does nothing else.
//!
//! Why not kwok: a GPU must not be there before its device plugin runs on the node, and must go with it; NFD's labels
//! likewise. That is what a plan has to get right, so the simulation has to get it wrong where life would.

mod access;
mod lease;
mod node;
mod pod;
mod quantity;
mod role;
mod run;
mod shape;

pub(crate) use access::grant;
pub use run::{SimulatorSink, run};
pub use shape::NodeShape;
