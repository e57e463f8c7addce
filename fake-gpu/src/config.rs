//! What is to be pretended: read from JSON, checked, every default filled.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the kubelet's socket is.
pub const PLUGIN_FOLDER: &str = "/var/lib/kubelet/device-plugins";

/// Everything that the plugin of one node pretends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// A portable name (`nvidia-a100-40gb`), or whatever `nvidia-smi` shall call it.
    pub model: String,
    /// GPUs of the node.
    pub count: u32,
    /// Memory of one, in MiB; the model's when absent.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: Option<u64>,
    /// Extended resources, each served through its own socket.
    pub resources: Vec<Resource>,
    /// How a container gets its devices.
    pub allocate: Allocation,
    /// What goes wrong, and when.
    pub failures: Vec<Failure>,
    /// Node labels that NFD and GFD would write: the pod writes them itself. Needs a service account that may patch nodes.
    pub labels: bool,
    /// Where the kubelet's socket is.
    pub plugin_folder: PathBuf,
    /// A folder of the node, at the same path in the pod: `nvidia-smi` and the file `unhealthy` are in it.
    pub host_folder: PathBuf,
    /// Where the container runtime looks for CDI specifications; used with `allocate: cdi` only.
    pub cdi_folder: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: "nvidia-a100-40gb".into(),
            count: 1,
            memory_mib: None,
            resources: vec![Resource::default()],
            allocate: Allocation::default(),
            failures: Vec::new(),
            labels: false,
            plugin_folder: PLUGIN_FOLDER.into(),
            host_folder: "/var/lib/wbk-fake-gpu".into(),
            cdi_folder: "/var/run/cdi".into(),
        }
    }
}

/// One extended resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resource {
    /// Its name, `nvidia.com/gpu`, `nvidia.com/mig-1g.5gb`.
    pub name: String,
    /// How many of it one GPU gives as slices of its own (MIG); whole GPUs when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<u32>,
    /// Pods that share each of them in turns.
    #[serde(skip_serializing_if = "is_one")]
    pub replicas: u32,
    /// They share it through NVIDIA's MPS, each with a part of the memory, and not in turns.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mps: bool,
}

fn is_one(replicas: &u32) -> bool {
    *replicas == 1
}

impl Resource {
    /// How many of it one GPU gives.
    pub fn of_one_gpu(&self) -> u64 {
        u64::from(self.slices.unwrap_or(1)) * u64::from(self.replicas)
    }

    /// Whether it is a slice of a GPU that has a resource of its own (MIG strategy `mixed`).
    pub fn is_named_slice(&self) -> bool {
        self.name.contains("/mig-")
    }
}

impl Default for Resource {
    fn default() -> Self {
        Self { name: "nvidia.com/gpu".into(), slices: None, replicas: 1, mps: false }
    }
}

/// How a container gets its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allocation {
    /// Environment variables and a mount of `nvidia-smi`, as with `deviceListStrategy: envvar`.
    #[default]
    Envs,
    /// Beside those, device nodes `/dev/nvidia0`… (each of them is the node's `/dev/null`).
    Devices,
    /// CDI names; the mount comes from the CDI specification.
    Cdi,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// What.
    pub kind: FailureKind,
    /// The GPU, by index; all of them when absent.
    #[serde(default)]
    pub device: Option<u32>,
    /// Seconds after the start of the plugin.
    #[serde(default)]
    pub after_seconds: u64,
    /// Seconds after which it is over; never when absent.
    #[serde(default)]
    pub for_seconds: Option<u64>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// It is reported unhealthy.
    Unhealthy,
    /// It is not reported at all.
    Missing,
    /// It is healthy, and its allocation fails.
    Refuses,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no JSON of the known form.
    #[error("the configuration cannot be read")]
    Json(#[from] serde_json::Error),
    /// A value is out of its range.
    #[error("{0}")]
    Value(String),
}

/// The kubelet's bound on names is the label's; with vendor and slash.
const LONGEST_RESOURCE: usize = 63 + 1 + 253;

impl Config {
    /// Reads and checks JSON.
    ///
    /// # Errors
    /// An unknown key, a wrong type, a value out of its range.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text)?;
        let refuse = |what: String| Err(ConfigError::Value(what));
        if config.count > 64 {
            return refuse(format!("count {} is more than 64 GPUs on a node", config.count));
        }
        if config.resources.is_empty() {
            return refuse("resources is empty: name at least one".into());
        }
        let mut names = std::collections::BTreeSet::new();
        for resource in &config.resources {
            let is_qualified = resource.name.split_once('/').is_some_and(|(vendor, name)| {
                !vendor.is_empty()
                    && !name.is_empty()
                    && resource.name.len() <= LONGEST_RESOURCE
                    && vendor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            });
            if !is_qualified {
                return refuse(format!("{:?} is no extended resource: write vendor.example/name", resource.name));
            }
            if !names.insert(&resource.name) {
                return refuse(format!("the resource {} is there twice", resource.name));
            }
            if !(1..=48).contains(&resource.replicas) {
                return refuse(format!("replicas {} of {} is not 1 to 48", resource.replicas, resource.name));
            }
            if resource.slices.is_some_and(|slices| !(1..=7).contains(&slices)) {
                return refuse(format!("slices of {} is not 1 to 7, what MIG can make", resource.name));
            }
        }
        for failure in &config.failures {
            if let Some(device) = failure.device.filter(|device| *device >= config.count) {
                return refuse(format!("a failure names device {device}, and there are {} from 0", config.count));
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_has_its_default() {
        let config = Config::parse(r#"{"model": "nvidia-l4", "count": 2}"#).unwrap();
        assert_eq!(config, Config { model: "nvidia-l4".into(), count: 2, ..Config::default() });
        assert_eq!(config.resources[0].name, "nvidia.com/gpu");
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let said = |text: &str| Config::parse(text).unwrap_err().to_string();
        assert!(said(r#"{"count": 65}"#).contains("more than 64"));
        assert!(said(r#"{"resources": []}"#).contains("at least one"));
        assert!(said(r#"{"resources": [{"name": "gpu"}]}"#).contains("vendor.example/name"));
        assert!(said(r#"{"resources": [{}, {}]}"#).contains("twice"));
        assert!(said(r#"{"resources": [{"replicas": 0}]}"#).contains("not 1 to 48"));
        assert!(said(r#"{"failures": [{"kind": "missing", "device": 1}]}"#).contains("device 1"));
        assert!(Config::parse(r#"{"modle": "x"}"#).is_err());
    }
}
