//! `wbk-infra`: one YAML blueprint becomes a working GPU platform for W&B Launch on Kubernetes, and stays it.

pub mod cluster;
pub mod desired;
pub mod execute;
pub mod helm;
pub mod id;
pub mod live;
pub mod plan;
