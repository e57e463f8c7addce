//! What IAM has of a platform: roles with who may be them and what they may, and the cluster's OIDC provider.
//!
//! `policy` reads and compares policy documents, `trust` writes and recognises who may be a role (both pure); `observe` looks, `perform`
//! makes, changes and removes one part. Everything is under one path ([`crate::marks::Marks::iam_path`]), by which it is listed.

mod observe;
mod oidc;
mod perform;
mod policy;
mod role;
mod trust;

pub use observe::{IamSeen, Looking, Others, Roles, observe, provider, providers, roles};
pub use perform::{create, delete, update};
pub use policy::{canonical, policy_arn};
pub use trust::{Place, document, trust_of};
