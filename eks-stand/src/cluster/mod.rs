//! One EKS cluster's Kubernetes: its control plane, the endpoint with tokens and TLS, its nodes.

mod api_server;
mod machine;
mod plane;
mod pool;
mod sigv4;
mod tls;
mod token;

pub(crate) use machine::Machine;
pub(crate) use plane::Plane;
pub(crate) use pool::{pool, pool_name};
pub(crate) use sigv4::SECRET;
