//! Pods that change the node they run on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use wbk_fake_gpu::config::{Config, Resource};

use crate::names;

/// What one GPU becomes, by the configuration that a node's label names; a node of no configuration in it offers whole GPUs.
pub(super) type Configurations = BTreeMap<String, Vec<Resource>>;

/// What a pod stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Adds NFD's labels to its node.
    NfdWorker,
    /// Makes its node's GPUs allocatable.
    DevicePlugin(Configurations),
    /// Labels its node with what its GPUs are: NVIDIA's GPU Feature Discovery, AMD's node labeller.
    FeatureDiscovery,
    /// The plugin of `charts/fake-gpu`, which brings the devices itself.
    FakePlugin(Box<Config>),
}

/// The role of a pod: by annotation, or by the labels that the projects' own charts give their pods.
pub(super) fn of(pod: &Pod) -> Option<Role> {
    match pod.annotations().get(names::SIMULATES).map(String::as_str) {
        Some("nfd-worker") => return Some(Role::NfdWorker),
        Some("device-plugin") => return Some(Role::DevicePlugin(configurations(pod))),
        Some(_) => return None,
        None => {}
    }
    let label = |key: &str| pod.labels().get(key).map(String::as_str);
    match label("app.kubernetes.io/name") {
        Some("node-feature-discovery")
            if label("role") == Some("worker") || label("app.kubernetes.io/component") == Some("worker") =>
        {
            Some(Role::NfdWorker)
        }
        // Its chart gives the pods of all its parts the same labels; the MPS daemon's change nothing here.
        Some("nvidia-device-plugin") if has_container(pod, "nvidia-device-plugin-ctr") => {
            Some(Role::DevicePlugin(configurations(pod)))
        }
        Some("nvidia-device-plugin") if has_container(pod, "gpu-feature-discovery-ctr") => Some(Role::FeatureDiscovery),
        Some("fake-gpu") => fake(pod).map(|config| Role::FakePlugin(Box::new(config))),
        // AMD's chart knows no common labels.
        _ => match label("name") {
            Some("amd-gpu-dp-ds") => Some(Role::DevicePlugin(Configurations::new())),
            Some("amdgpu-lr-ds") => Some(Role::FeatureDiscovery),
            _ => None,
        },
    }
}

fn has_container(pod: &Pod, name: &str) -> bool {
    pod.spec.iter().flat_map(|spec| &spec.containers).any(|container| container.name == name)
}

/// What a device plugin makes of one GPU; empty where nothing is said, or nothing that can be read.
fn configurations(pod: &Pod) -> Configurations {
    let text = pod.annotations().get(names::ADVERTISES);
    // Not readable is as not said: whole GPUs, which a check of the platform then finds to be wrong.
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What the fake plugin pretends; `None` where it would refuse to start.
fn fake(pod: &Pod) -> Option<Config> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let config = containers
        .flat_map(|container| container.env.iter().flatten())
        .find(|variable| variable.name == "FAKE_GPU_CONFIG")?;
    Config::parse(config.value.as_deref()?).ok()
}

/// Whether it runs now, and so has its effect.
pub(super) fn is_running(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(labels: &[(&str, &str)], container: serde_json::Value) -> Pod {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        serde_json::from_value(json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}})).unwrap()
    }

    #[test]
    fn pods_of_the_projects_own_charts_are_known() {
        let nvidia = [("app.kubernetes.io/name", "nvidia-device-plugin")];
        let named = |name: &str| json!({"name": name});
        assert_eq!(
            of(&pod(&nvidia, named("nvidia-device-plugin-ctr"))),
            Some(Role::DevicePlugin(Configurations::new()))
        );
        assert_eq!(of(&pod(&nvidia, named("gpu-feature-discovery-ctr"))), Some(Role::FeatureDiscovery));
        assert_eq!(of(&pod(&nvidia, named("mps-control-daemon-ctr"))), None);
        assert_eq!(of(&pod(&[("name", "amdgpu-lr-ds")], named("x"))), Some(Role::FeatureDiscovery));
    }

    #[test]
    fn the_fake_plugin_says_itself_what_it_pretends() {
        let fake = [("app.kubernetes.io/name", "fake-gpu")];
        let with =
            |config: &str| pod(&fake, json!({"name": "plugin", "env": [{"name": "FAKE_GPU_CONFIG", "value": config}]}));
        let Some(Role::FakePlugin(config)) = of(&with(r#"{"count": 3, "model": "nvidia-l4"}"#)) else { panic!() };
        assert_eq!((config.count, config.model.as_str()), (3, "nvidia-l4"));
        assert_eq!(of(&with(r#"{"count": 300}"#)), None, "the plugin refuses it");
    }
}
