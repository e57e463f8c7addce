//! Which object needs which: rules as data, references read off the manifests, so that everything independent runs at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::id::{GroupKind, ObjectId, ObjectKey};

/// Kinds that guard a namespace: they must hold before anything that they could refuse or fill in arrives.
const GUARDS: [(&str, &str); 3] = [("", "ResourceQuota"), ("", "LimitRange"), ("networking.k8s.io", "NetworkPolicy")];

/// Kinds that make pods.
pub(super) const WORKLOADS: [(&str, &str); 7] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("batch", "Job"),
    ("batch", "CronJob"),
    ("", "Pod"),
];

/// Kinds that intercept requests: they come after what serves them.
const INTERCEPTORS: [(&str, &str); 3] = [
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("apiregistration.k8s.io", "APIService"),
];

/// Whether an object makes pods.
pub(crate) fn makes_pods(id: &ObjectId) -> bool {
    is_one_of(&id.gvk.group_kind(), &WORKLOADS)
}

fn is_one_of(kind: &GroupKind, kinds: &[(&str, &str)]) -> bool {
    kinds.iter().any(|(group, name)| kind.group == *group && kind.kind == *name)
}

fn key(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectKey {
    ObjectKey {
        kind: GroupKind { group: group.into(), kind: kind.into() },
        namespace: namespace.map(str::to_owned),
        name: name.into(),
    }
}

/// The objects of a plan, indexed for the rules.
pub(super) struct Index<'a> {
    keys: BTreeSet<ObjectKey>,
    guards: BTreeMap<&'a str, Vec<ObjectKey>>,
    crds: BTreeMap<GroupKind, ObjectKey>,
    services: Vec<ObjectKey>,
    workloads: BTreeMap<&'a str, Vec<ObjectKey>>,
}

impl<'a> Index<'a> {
    /// Indexes the objects that have steps.
    pub(super) fn new(objects: impl Iterator<Item = (&'a ObjectId, &'a Value)>) -> Self {
        let mut index = Self {
            keys: BTreeSet::new(),
            guards: BTreeMap::new(),
            crds: BTreeMap::new(),
            services: Vec::new(),
            workloads: BTreeMap::new(),
        };
        for (id, manifest) in objects {
            let here = id.key();
            if let Some(namespace) = &id.namespace {
                if is_one_of(&here.kind, &GUARDS) {
                    index.guards.entry(namespace).or_default().push(here.clone());
                }
                if makes_pods(id) {
                    index.workloads.entry(namespace).or_default().push(here.clone());
                }
            }
            match here.kind.kind.as_str() {
                "CustomResourceDefinition" => {
                    if let (Some(group), Some(kind)) = (
                        manifest.pointer("/spec/group").and_then(Value::as_str),
                        manifest.pointer("/spec/names/kind").and_then(Value::as_str),
                    ) {
                        index.crds.insert(GroupKind { group: group.into(), kind: kind.into() }, here.clone());
                    }
                }
                "Service" if here.kind.group.is_empty() => index.services.push(here.clone()),
                _ => {}
            }
            index.keys.insert(here);
        }
        index
    }

    /// What an object needs among the objects that have steps.
    pub(super) fn needs(&self, id: &ObjectId, manifest: &Value) -> BTreeSet<ObjectKey> {
        let mut needs = BTreeSet::new();
        let here = id.key();
        let namespace = id.namespace.as_deref();
        let mut want = |wanted: ObjectKey| {
            if wanted != here && self.keys.contains(&wanted) {
                needs.insert(wanted);
            }
        };
        if let Some(namespace) = namespace {
            want(key("", "Namespace", None, namespace));
        }
        if let Some(crd) = self.crds.get(&here.kind) {
            want(crd.clone());
        }
        for reference in references(id, manifest) {
            want(reference);
        }
        if is_one_of(&here.kind, &INTERCEPTORS) {
            for service in &self.services {
                let refers = manifest.to_string().contains(&format!("\"name\":\"{}\"", service.name));
                if refers {
                    want(service.clone());
                    for workload in service
                        .namespace
                        .as_deref()
                        .and_then(|namespace| self.workloads.get(namespace))
                        .into_iter()
                        .flatten()
                    {
                        want(workload.clone());
                    }
                }
            }
        }
        if let Some(namespace) = namespace
            && (makes_pods(id) || here.kind.kind == "PersistentVolumeClaim" || self.crds.contains_key(&here.kind))
        {
            for guard in self.guards.get(namespace).into_iter().flatten() {
                want(guard.clone());
            }
        }
        needs
    }
}

/// What a manifest names: the pod template's parts, a binding's role and subjects, a claim's class.
fn references(id: &ObjectId, manifest: &Value) -> Vec<ObjectKey> {
    let namespace = id.namespace.as_deref();
    let mut found = Vec::new();
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    match (id.gvk.group.as_str(), id.gvk.kind.as_str()) {
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            if let (Some(kind), Some(name)) = (text(manifest, "/roleRef/kind"), text(manifest, "/roleRef/name")) {
                let namespace = if kind == "Role" { namespace } else { None };
                found.push(key("rbac.authorization.k8s.io", &kind, namespace, &name));
            }
            for subject in manifest["subjects"].as_array().into_iter().flatten() {
                if subject["kind"] == "ServiceAccount"
                    && let Some(name) = subject["name"].as_str()
                {
                    found.push(key("", "ServiceAccount", subject["namespace"].as_str().or(namespace), name));
                }
            }
        }
        ("", "PersistentVolumeClaim") => {
            if let Some(class) = text(manifest, "/spec/storageClassName") {
                found.push(key("storage.k8s.io", "StorageClass", None, &class));
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            if let (Some(version), Some(kind), Some(name)) = (
                text(manifest, "/spec/scaleTargetRef/apiVersion"),
                text(manifest, "/spec/scaleTargetRef/kind"),
                text(manifest, "/spec/scaleTargetRef/name"),
            ) {
                let scaled = ObjectId::new(&version, &kind, namespace, &name).key();
                // An autoscaler of an autoscaler is nonsense that the server takes; two of them would wait for each other.
                if scaled.kind != id.gvk.group_kind() {
                    found.push(scaled);
                }
            }
        }
        ("", "ServiceAccount") => {
            for list in ["secrets", "imagePullSecrets"] {
                for secret in manifest[list].as_array().into_iter().flatten() {
                    if let Some(name) = secret["name"].as_str() {
                        found.push(key("", "Secret", namespace, name));
                    }
                }
            }
        }
        _ => {}
    }
    let template = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"]
        .iter()
        .find_map(|pointer| manifest.pointer(pointer))
        .or_else(|| (id.gvk.group.is_empty() && id.gvk.kind == "Pod").then(|| &manifest["spec"]));
    if let Some(pod) = template.filter(|_| makes_pods(id)) {
        pod_references(pod, namespace, &mut found);
    }
    found
}

/// What a pod of a namespace names.
pub(super) fn pod_parts(pod: &Value, namespace: &str) -> Vec<ObjectKey> {
    let mut found = Vec::new();
    pod_references(pod, Some(namespace), &mut found);
    found
}

fn pod_references(pod: &Value, namespace: Option<&str>, found: &mut Vec<ObjectKey>) {
    if let Some(name) = pod["serviceAccountName"].as_str() {
        found.push(key("", "ServiceAccount", namespace, name));
    }
    if let Some(name) = pod["priorityClassName"].as_str() {
        found.push(key("scheduling.k8s.io", "PriorityClass", None, name));
    }
    if let Some(name) = pod["runtimeClassName"].as_str() {
        found.push(key("node.k8s.io", "RuntimeClass", None, name));
    }
    // Every reference to a ConfigMap, Secret or claim below a pod's spec has one of these shapes, wherever it stands.
    let shapes = [
        ("configMap", "name", "ConfigMap"),
        ("configMapRef", "name", "ConfigMap"),
        ("configMapKeyRef", "name", "ConfigMap"),
        ("secret", "secretName", "Secret"),
        ("secret", "name", "Secret"),
        ("secretRef", "name", "Secret"),
        ("secretKeyRef", "name", "Secret"),
        ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
    ];
    let mut open = vec![pod];
    while let Some(node) = open.pop() {
        match node {
            Value::Object(map) => {
                for (field, name, kind) in shapes {
                    if let Some(name) = map.get(field).and_then(|below| below.get(name)).and_then(Value::as_str) {
                        found.push(key("", kind, namespace, name));
                    }
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    for secret in pod["imagePullSecrets"].as_array().into_iter().flatten() {
        if let Some(name) = secret["name"].as_str() {
            found.push(key("", "Secret", namespace, name));
        }
    }
}

/// Whether every Kubernetes API server has a group's kinds.
pub(super) fn is_builtin(kind: &GroupKind) -> bool {
    crate::desired::is_builtin_group(&kind.group)
}

/// The order in which kinds go: custom resources while their controllers still run, workloads before what they use, what
/// holds others last. Lower goes first.
pub(super) fn removal_wave(kind: &GroupKind) -> u8 {
    match (kind.group.as_str(), kind.kind.as_str()) {
        _ if is_one_of(kind, &INTERCEPTORS) => 0,
        _ if !is_builtin(kind) => 1,
        _ if is_one_of(kind, &WORKLOADS) => 2,
        ("", "Namespace")
        | ("apiextensions.k8s.io", "CustomResourceDefinition")
        | ("storage.k8s.io", "StorageClass") => 5,
        ("", "ServiceAccount") | ("rbac.authorization.k8s.io", _) => 4,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_needs_what_its_pods_name_and_its_namespaces_guards() {
        let objects = [
            (ObjectId::new("v1", "Namespace", None, "n"), json!({})),
            (ObjectId::new("v1", "ConfigMap", Some("n"), "c"), json!({})),
            (ObjectId::new("v1", "ConfigMap", Some("n"), "unrelated"), json!({})),
            (ObjectId::new("v1", "ResourceQuota", Some("n"), "q"), json!({})),
            (
                ObjectId::new("apps/v1", "Deployment", Some("n"), "d"),
                json!({"spec": {"template": {"spec": {"containers": [{"envFrom": [{"configMapRef": {"name": "c"}}]}]}}}}),
            ),
        ];
        let index = Index::new(objects.iter().map(|(id, manifest)| (id, manifest)));
        let (id, manifest) = &objects[4];
        let needs: Vec<String> = index.needs(id, manifest).iter().map(ObjectKey::to_string).collect();
        assert_eq!(needs, ["ConfigMap n/c", "Namespace n", "ResourceQuota n/q"]);
    }
}
