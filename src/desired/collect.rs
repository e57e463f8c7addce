//! Gathers the objects of a blueprint, each with its origin, and what is wrong with them.

use serde_json::{Map, Value, json};

use super::state::{DesiredObject, Origin, SecretSlot};
use crate::blueprint::{Loaded, Position, Problem, Step};
use crate::id::ObjectId;

/// An object with the position that a message about it shows.
pub(super) struct Draft {
    pub object: DesiredObject,
    pub at: Position,
    /// Whether its file was read before, checked, and nothing was found.
    pub checked: bool,
}

/// Objects and problems so far.
pub(super) struct Collector<'a> {
    pub loaded: &'a Loaded,
    pub drafts: Vec<Draft>,
    pub problems: Vec<Problem>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(loaded: &'a Loaded) -> Self {
        Self { loaded, drafts: Vec::new(), problems: Vec::new() }
    }

    /// Adds an object made from a section.
    pub(super) fn add(&mut self, path: &[Step<'_>], object: Built) {
        let at = self.loaded.at(path).clone();
        let origin = Origin { path: self.loaded.show(path), at: Some(at.to_string()) };
        let Built { id, manifest, secrets } = object;
        let object = DesiredObject { id, manifest: manifest.into(), secrets, origin };
        self.drafts.push(Draft { object, at, checked: false });
    }
}

/// An object under construction.
pub(super) struct Built {
    id: ObjectId,
    manifest: Value,
    secrets: Vec<SecretSlot>,
}

impl Built {
    /// Starts a manifest.
    pub(super) fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let mut metadata = json!({"name": name});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        Self {
            id: ObjectId::new(api_version, kind, namespace, name),
            manifest: json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}),
            secrets: Vec::new(),
        }
    }

    /// Sets a field of the manifest.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.manifest[key] = value.into();
        self
    }

    /// Sets labels or annotations; nothing where there are none.
    pub(super) fn with_metadata<'v>(
        mut self,
        key: &str,
        entries: impl IntoIterator<Item = (&'v String, &'v String)>,
    ) -> Self {
        let map: Map<String, Value> =
            entries.into_iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        if !map.is_empty() {
            self.manifest["metadata"][key] = Value::Object(map);
        }
        self
    }

    /// Its kind.
    #[cfg(test)]
    pub(super) fn kind(&self) -> &str {
        &self.id.gvk.kind
    }

    /// The manifest so far.
    #[cfg(test)]
    pub(super) fn into_manifest(self) -> Value {
        self.manifest
    }

    /// Sets what a Secret's keys are filled with.
    pub(super) fn with_secrets(mut self, secrets: Vec<SecretSlot>) -> Self {
        self.secrets = secrets;
        self
    }
}
