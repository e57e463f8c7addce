//! Pods that change the node they run on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::names;

/// What a pod stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Adds NFD's labels to its node.
    NfdWorker,
    /// Makes its node's GPUs allocatable.
    DevicePlugin,
}

/// The role of a pod: by annotation, or by the labels that the projects' own charts give their pods.
pub(super) fn of(pod: &Pod) -> Option<Role> {
    match pod.annotations().get(names::SIMULATES).map(String::as_str) {
        Some("nfd-worker") => return Some(Role::NfdWorker),
        Some("device-plugin") => return Some(Role::DevicePlugin),
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
        // Its chart gives the pods of GFD and of the MPS daemon the same labels.
        Some("nvidia-device-plugin") if has_container(pod, "nvidia-device-plugin-ctr") => Some(Role::DevicePlugin),
        // AMD's chart knows no common labels.
        _ if label("name") == Some("amd-gpu-dp-ds") => Some(Role::DevicePlugin),
        _ => None,
    }
}

fn has_container(pod: &Pod, name: &str) -> bool {
    pod.spec.iter().flat_map(|spec| &spec.containers).any(|container| container.name == name)
}

/// What a device plugin makes of one GPU, by the configuration that a node's label names; empty where nothing is said, or
/// nothing that can be read.
pub(super) fn advertises(pod: &Pod) -> BTreeMap<String, BTreeMap<String, u64>> {
    let text = pod.annotations().get(names::ADVERTISES);
    // Not readable is as not said: whole GPUs, which a check of the platform then finds to be wrong.
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Whether it runs now, and so has its effect.
pub(super) fn is_running(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}
