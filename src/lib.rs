//! `wbk-infra`: one YAML blueprint becomes a working GPU platform for W&B Launch on Kubernetes, and stays it.

pub mod desired;
pub mod drift;
pub mod id;
pub mod verify;
