//! A namespace section to its objects.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::collect::{Built, Collector};
use super::gpu::quota_units;
use super::pools::gpu_resources;
use super::state::{SecretReference, SecretSlot};
use super::{access, network};
use crate::blueprint::schema::{
    Blueprint, ComputeAmounts, Namespace, PodSecurity, PodSecurityLevels, Quota, VolumeSource,
};
use crate::blueprint::{join, steps};

/// The name of the ResourceQuota and of the LimitRange that a namespace section makes.
const NAME: &str = "wbk-infra";

pub(super) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    for (index, namespace) in blueprint.namespaces.iter().enumerate() {
        let name = namespace.name.as_str();
        let mut labels = namespace.labels.clone();
        labels.extend(pod_security_labels(namespace.pod_security));
        let object = Built::new("v1", "Namespace", None, name)
            .with_metadata("labels", &labels)
            .with_metadata("annotations", &namespace.annotations);
        collector.add(steps!["namespaces", index], object);
        if let Some(quota) = &namespace.quota {
            let hard = hard(quota, blueprint);
            if !hard.is_empty() {
                let object = Built::new("v1", "ResourceQuota", Some(name), NAME).with("spec", json!({"hard": hard}));
                collector.add(steps!["namespaces", index, "quota"], object);
            }
        }
        if let Some(spec) = limit_range(namespace) {
            let key = if namespace.defaults.is_some() { "defaults" } else { "limits" };
            collector.add(
                steps!["namespaces", index, key],
                Built::new("v1", "LimitRange", Some(name), NAME).with("spec", spec),
            );
        }
        storage_and_secrets(collector, index, namespace);
        identities(collector, index, namespace);
        access::collect_namespace(collector, index, namespace);
        if let Some(policy) = &namespace.network_policy {
            let object = Built::new("networking.k8s.io/v1", "NetworkPolicy", Some(name), NAME)
                .with("spec", network::spec(policy));
            collector.add(steps!["namespaces", index, "networkPolicy"], object);
        }
    }
}

fn pod_security_labels(policy: Option<PodSecurity>) -> BTreeMap<String, String> {
    let levels = match policy {
        None => return BTreeMap::new(),
        Some(PodSecurity::Level(level)) => {
            PodSecurityLevels { enforce: Some(level), warn: Some(level), audit: Some(level) }
        }
        Some(PodSecurity::Levels(levels)) => levels,
    };
    let PodSecurityLevels { enforce, warn, audit } = levels;
    [("enforce", enforce), ("warn", warn), ("audit", audit)]
        .into_iter()
        .filter_map(|(mode, level)| Some((format!("pod-security.kubernetes.io/{mode}"), level?.as_str().to_owned())))
        .collect()
}

/// What a ResourceQuota counts. Extended resources are counted only as `requests.…`
/// (kubernetes pkg/quota/v1/evaluator/core/pods.go, `isExtendedResourceNameForQuota`); `limits.…` is taken and ignored.
/// A number of GPUs bounds whatever the pools make of that many: GPUs, shares, partitions.
pub(super) fn hard(quota: &Quota, blueprint: &Blueprint) -> BTreeMap<String, String> {
    let Quota { gpu, cpu, memory, pods, storage, extra } = quota;
    let mut hard: BTreeMap<String, String> =
        extra.iter().map(|(key, amount)| (key.clone(), amount.to_string())).collect();
    // Lint refuses a number of GPUs where they are of several vendors.
    if let Some(gpu) = gpu.filter(|_| gpu_resources(blueprint).len() == 1) {
        for (resource, of_one) in quota_units(blueprint) {
            let amount = u64::from(gpu) * of_one;
            hard.entry(format!("requests.{resource}")).or_insert_with(|| amount.to_string());
        }
    }
    let amounts = [
        ("requests.cpu", cpu.map(|amount| amount.to_string())),
        ("requests.memory", memory.map(|amount| amount.to_string())),
        ("pods", pods.map(|amount| amount.to_string())),
        ("requests.storage", storage.map(|amount| amount.to_string())),
    ];
    hard.extend(amounts.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), amount?))));
    hard
}

/// CPU and memory only. A GPU in a LimitRange would make every container of the namespace request one.
fn limit_range(namespace: &Namespace) -> Option<Value> {
    let amounts = |amounts: &Option<ComputeAmounts>| {
        let ComputeAmounts { cpu, memory } = amounts.as_ref()?;
        let pairs =
            [("cpu", cpu.map(|amount| amount.to_string())), ("memory", memory.map(|amount| amount.to_string()))];
        let map: Map<String, Value> =
            pairs.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), amount?.into()))).collect();
        (!map.is_empty()).then_some(Value::Object(map))
    };
    let (requests, limits) = (amounts(&namespace.defaults), amounts(&namespace.limits));
    if requests.is_none() && limits.is_none() {
        return None;
    }
    let mut limit = json!({"type": "Container"});
    if let Some(requests) = requests {
        limit["defaultRequest"] = requests;
    }
    if let Some(limits) = limits {
        limit["default"] = limits;
    }
    Some(json!({"limits": [limit]}))
}

fn storage_and_secrets(collector: &mut Collector<'_>, index: usize, namespace: &Namespace) {
    for (number, volume) in namespace.storage.iter().enumerate() {
        let mut spec = json!({
            "accessModes": [volume.access],
            "resources": {"requests": {"storage": volume.size.to_string()}},
            "volumeMode": volume.mode,
        });
        if let Some(class) = &volume.class {
            spec["storageClassName"] = class.clone().into();
        }
        if let Some(VolumeSource { claim, snapshot }) = &volume.from {
            spec["dataSource"] = match (claim, snapshot) {
                (Some(claim), _) => json!({"kind": "PersistentVolumeClaim", "name": claim}),
                (None, snapshot) => {
                    json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot})
                }
            };
        }
        let object = Built::new("v1", "PersistentVolumeClaim", Some(&namespace.name), &volume.name).with("spec", spec);
        collector.add(steps!["namespaces", index, "storage", number], object);
    }
    for (number, secret) in namespace.secrets.iter().enumerate() {
        let keys = secret.keys.iter();
        let slots = keys
            .map(|(key, from)| {
                let at = collector.loaded.at(steps!["namespaces", index, "secrets", number, "keys", key]);
                SecretSlot::new(key.clone(), beside(from, &at.file))
            })
            .collect();
        let object = Built::new("v1", "Secret", Some(&namespace.name), &secret.name)
            .with("type", secret.kind.clone())
            .with_secrets(slots);
        collector.add(steps!["namespaces", index, "secrets", number], object);
    }
}

/// A file is relative to the blueprint file that names it; `~/` is left to whoever reads it.
pub(super) fn beside(from: &SecretReference, file: &str) -> SecretReference {
    match from {
        SecretReference::File(path) if !path.starts_with("~/") => SecretReference::File(join(file, path)),
        SecretReference::File(_)
        | SecretReference::Env(_)
        | SecretReference::Secret(_)
        | SecretReference::Command(_)
        | SecretReference::ConfigMap(_) => from.clone(),
    }
}

fn identities(collector: &mut Collector<'_>, index: usize, namespace: &Namespace) {
    for (number, identity) in namespace.identities.iter().enumerate() {
        let mut annotations = identity.annotations.clone();
        let blueprint = &collector.loaded.blueprint;
        annotations.extend(super::eks::role_annotation(blueprint, &namespace.name, identity));
        let mut object = Built::new("v1", "ServiceAccount", Some(&namespace.name), &identity.service_account)
            .with_metadata("labels", &identity.labels)
            .with_metadata("annotations", &annotations);
        if !identity.image_pull_secrets.is_empty() {
            let secrets: Vec<Value> = identity.image_pull_secrets.iter().map(|name| json!({"name": name})).collect();
            object = object.with("imagePullSecrets", secrets);
        }
        if let Some(automount) = identity.automount_token {
            object = object.with("automountServiceAccountToken", automount);
        }
        collector.add(steps!["namespaces", index, "identities", number], object);
    }
}
