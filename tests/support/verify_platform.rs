//! A small platform with one of every promise that verification knows, in one namespace.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wbk_infra::desired::{
    ConflictChoice, Desired, DesiredCost, DesiredObject, Origin, Policy, Promises, SecretReference, SecretSlot,
};
use wbk_infra::id::ObjectId;
use wbk_provider_api::{
    Capacity, ClusterSpec, GpuShape, PoolSize, PoolSpec, ProviderKind, Shape, Taint, TaintEffect, Wanted,
};

/// The platform's desired state; everything is named after `space`, so that several can be in one cluster.
pub fn desired(space: &str) -> Desired {
    let pools = [pool(space, "cpu", 1, None), pool(space, "gpu", 2, Some(4)), pool(space, "spot", 0, Some(1))];
    let mut objects: Vec<DesiredObject> = manifests(space).into_iter().map(object).collect();
    for object in &mut objects {
        if object.id.gvk.kind == "Secret" {
            let from = SecretReference::Env("HF_TOKEN".into());
            object.secrets = vec![SecretSlot::new("token", from)];
        }
    }
    objects.sort_by(|a, b| a.id.cmp(&b.id));
    Desired {
        name: space.into(),
        wanted: Wanted {
            blueprint: space.into(),
            cluster: ClusterSpec {
                provider: ProviderKind::Local,
                name: space.into(),
                version: Some("1.36".into()),
                region: None,
                context: None,
                kubeconfig: None,
                uid: None,
                kind: Default::default(),
                eks: None,
            },
            pools: pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect(),
        },
        gpus: BTreeMap::new(),
        objects,
        releases: Vec::new(),
        launch: None,
        promises: Promises {
            quotas: BTreeMap::from([(space.to_owned(), hard())]),
            job_namespaces: vec![space.to_owned()],
            ..Promises::default()
        },
        policy: Policy { max_deletes: 10, protect: vec![], ignore: vec![], conflicts: ConflictChoice::Mend },
        cost: DesiredCost::default(),
    }
}

fn hard() -> BTreeMap<String, String> {
    [("requests.nvidia.com/gpu", "8"), ("requests.cpu", "16"), ("requests.memory", "64Gi"), ("pods", "50")]
        .map(|(resource, amount)| (resource.to_owned(), amount.to_owned()))
        .into()
}

fn pool(space: &str, name: &str, min: u32, gpus: Option<u32>) -> PoolSpec {
    let taint = Taint { key: "nvidia.com/gpu".into(), value: "present".into(), effect: TaintEffect::NoSchedule };
    PoolSpec {
        name: name.into(),
        machine: None,
        shape: Shape {
            cpu_millis: 8_000,
            memory_bytes: 32 << 30,
            pods: 110,
            gpu: gpus.map(|count| GpuShape { resource: "nvidia.com/gpu".into(), pci_vendor: "10de".into(), count }),
        },
        accelerator: None,
        size: PoolSize { min, max: 3 },
        capacity: Capacity::OnDemand,
        labels: BTreeMap::from([
            ("wbk-infra/pool".into(), format!("{space}-{name}")),
            ("example.org/team".into(), "research".into()),
        ]),
        taints: gpus.map(|_| taint).into_iter().collect(),
    }
}

fn object(manifest: Value) -> DesiredObject {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let id = ObjectId::new(
        text("/apiVersion").expect("apiVersion"),
        text("/kind").expect("kind"),
        text("/metadata/namespace"),
        text("/metadata/name").expect("name"),
    );
    let origin = Origin { path: "objects".into(), at: Some("platform.yaml:1:1".into()) };
    DesiredObject { id, manifest: manifest.into(), secrets: vec![], origin }
}

/// The manifests, in an order in which they can be made.
pub fn manifests(space: &str) -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io/v1";
    let meta = json!({"name": "sample", "namespace": space});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "sample"});
    let group = format!("{space}.example.org");
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard()}}),
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": meta, "spec": {"limits": [{"type": "Container",
            "default": {"cpu": "500m", "memory": "1Gi"}, "min": {"cpu": "5m"}, "max": {"cpu": "4"}}]}}),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": format!("{space}-high")}, "value": 1000, "preemptionPolicy": "Never"}),
        json!({"apiVersion": rbac, "kind": "Role", "metadata": meta, "rules": [
            {"apiGroups": ["batch"], "resources": ["jobs", "jobs/status"], "verbs": ["get", "create", "delete"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["sample"], "verbs": ["get"]}]}),
        json!({"apiVersion": rbac, "kind": "RoleBinding", "metadata": meta, "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": "sample", "namespace": space}]}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta}),
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": format!("{space}-slow")},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {
            "storageClassName": format!("{space}-slow"), "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {"group": group, "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}),
        json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": meta}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": 1,
            "selector": {"matchLabels": {"app": "sample"}},
            "template": {"metadata": {"labels": {"app": "sample"}}, "spec": {
                "automountServiceAccountToken": false,
                "nodeSelector": {"wbk-infra/pool": format!("{space}-cpu")},
                "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10.1",
                    "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65534,
                        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]}}}}),
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "plugin", "namespace": space}, "spec": {
            "selector": {"matchLabels": {"app": "plugin"}},
            "template": {
                "metadata": {"labels": {"app": "plugin"}, "annotations": {"wbk-infra/simulates": "device-plugin"}},
                "spec": {
                    "automountServiceAccountToken": false,
                    "nodeSelector": {"wbk-infra/pool": format!("{space}-gpu")},
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                    "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10.1",
                        "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65534,
                            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]}}}}),
    ]
}
