//! Values of secrets: fetched from where the blueprint points, held in a type that never shows them, sent to the server
//! in a Secret's `data`, and nowhere else.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::{
    desired::{DesiredObject, SecretReference, SlotForm},
    id::Digest,
};

/// A secret's value. Debug shows nothing of it, and there is no Display and no Serialize.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Vec<u8>);

impl SecretValue {
    /// Wraps a value.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that sends them and for tools that take them on standard input.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue(hidden)")
    }
}

/// A reference could not be followed. The message names the reference, never a value.
#[derive(Debug, thiserror::Error)]
#[error("{reference} gives no value: {why}")]
pub struct SecretError {
    /// The reference, in words.
    pub reference: String,
    /// What went wrong.
    pub why: String,
}

/// The values of all references of one blueprint.
#[derive(Debug, Clone, Default)]
pub struct SecretValues(BTreeMap<SecretReference, SecretValue>);

impl SecretValues {
    /// Collects values by reference.
    pub fn new(values: BTreeMap<SecretReference, SecretValue>) -> Self {
        Self(values)
    }

    /// One value; `None` where nobody asked for it.
    pub fn get(&self, reference: &SecretReference) -> Option<&SecretValue> {
        self.0.get(reference)
    }

    /// Fills the manifest of a Secret, or of a ConfigMap of certificates. Other objects are answered as they are; a reference without
    /// a value is left out.
    pub fn fill(&self, object: &DesiredObject) -> Value {
        let mut manifest = object.manifest.value().clone();
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let mut registries: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        let mut data = Map::new();
        for slot in &object.secrets {
            let Some(value) = self.0.get(&slot.from) else { continue };
            match &slot.form {
                SlotForm::Value if object.id.gvk.kind == "ConfigMap" => {
                    // Certificates were read as PEM before anything is applied.
                    data.insert(slot.key.clone(), String::from_utf8_lossy(value.expose()).into_owned().into());
                }
                SlotForm::Value => {
                    data.insert(slot.key.clone(), base64(value.expose()).into());
                }
                SlotForm::Line => {
                    let mut bytes = value.expose().to_vec();
                    if bytes.last() != Some(&b'\n') {
                        bytes.push(b'\n');
                    }
                    data.insert(slot.key.clone(), base64(&bytes).into());
                }
                SlotForm::Registry { server, username } => {
                    let password = String::from_utf8_lossy(value.expose()).into_owned();
                    let auth = base64(format!("{username}:{password}").as_bytes());
                    let entry = json!({"username": username, "password": password, "auth": auth});
                    registries.entry(&slot.key).or_default().insert(server.clone(), entry);
                }
            }
        }
        for (key, servers) in registries {
            data.insert(key.to_owned(), base64(json!({"auths": servers}).to_string().as_bytes()).into());
        }
        for (key, value) in data {
            if !manifest["data"].is_object() {
                manifest["data"] = Value::Object(Map::new());
            }
            manifest["data"][key] = value;
        }
        manifest
    }

    /// Whether every reference of this object has a value.
    pub fn complete(&self, object: &DesiredObject) -> bool {
        object.secrets.iter().all(|slot| self.0.contains_key(&slot.from))
    }

    /// A salted fingerprint of an object's values, to see that they changed without keeping them.
    pub fn fingerprint(&self, object: &DesiredObject, salt: &str) -> Option<Digest> {
        if object.secrets.is_empty() {
            return None;
        }
        let mut bytes = salt.as_bytes().to_vec();
        for slot in &object.secrets {
            let value = self.0.get(&slot.from).map(SecretValue::expose).unwrap_or_default();
            bytes.extend_from_slice(slot.key.as_bytes());
            bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        Some(Digest::of_bytes(&bytes))
    }
}

impl std::fmt::Display for SecretReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Secret(path) => write!(f, "secret {path}"),
            Self::ConfigMap(path) => write!(f, "config map {path}"),
            Self::Command(words) => write!(f, "command {}", words.first().map_or("(empty)", String::as_str)),
        }
    }
}
