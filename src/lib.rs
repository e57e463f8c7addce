//! `wbk-infra`: one YAML blueprint becomes a working GPU platform for W&B Launch on Kubernetes, and stays it.

pub mod blueprint;
pub mod desired;
pub mod id;
