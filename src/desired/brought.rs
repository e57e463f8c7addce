//! Which kind a custom resource definition brings.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scope::Scope;
use crate::id::GroupKind;

/// A kind that a definition brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Brought {
    group: String,
    kind: String,
    namespaced: Option<bool>,
}

impl Brought {
    /// What this manifest brings, where it is a definition.
    pub(super) fn by(manifest: &Value) -> Option<Self> {
        if manifest["kind"] != "CustomResourceDefinition" {
            return None;
        }
        let text = |pointer: &str| manifest.pointer(pointer)?.as_str().map(str::to_owned);
        Some(Self {
            group: text("/spec/group")?,
            kind: text("/spec/names/kind")?,
            namespaced: text("/spec/scope").map(|scope| scope != "Cluster"),
        })
    }

    /// The kind.
    pub(crate) fn kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }

    /// Whether its objects have a namespace, where the definition says so.
    pub(super) fn scope(&self) -> Option<Scope> {
        self.namespaced.map(|namespaced| if namespaced { Scope::Namespaced } else { Scope::Cluster })
    }
}
