//! Clusters of Amazon EKS, with the network, the roles, the add-ons and the node groups that they need.
//!
//! Data flow: what is wanted ([`wbk_provider_api::EksSpec`]) and what the region offers become *parts* (`part`, `wanted`), each a
//! plain description of one thing in AWS. `observe` describes what is there in the same words, found by tags and names and never by a
//! state file; `plan` compares the two; `perform` makes one part so and waits for it.

pub mod catalog;
pub mod marks;
pub mod part;
