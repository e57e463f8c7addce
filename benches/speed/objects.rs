//! N objects of 25 kinds in new namespaces: what an engineer keeps in a cluster beside charts, and nothing that runs pods.

use std::path::Path;

use serde_json::{Value, json};

/// Namespaced and cluster-scoped kinds that objects are made of in turn; Namespace and CustomResourceDefinition come beside.
const KINDS: usize = 23;

/// All objects of a platform, those that others need first. `prefix` keeps two sets on one server apart.
pub fn make(count: usize, prefix: &str) -> Vec<Value> {
    let spaces: Vec<String> = (0..(count / 40).max(1)).map(|at| format!("{prefix}-{at}")).collect();
    let group = format!("{prefix}.example.com");
    let mut objects: Vec<Value> = spaces
        .iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": "a"}}}))
        .collect();
    objects.push(custom_kind(&group));
    for at in 0..count - objects.len() {
        let name = format!("{prefix}-{at:04}");
        let space = &spaces[(at / KINDS) % spaces.len()];
        objects.push(one(at % KINDS, &group, space, &name));
    }
    objects
}

/// Writes each object to a file of its own below `folder/one`, and all of them, kind by kind, to `folder/all`.
pub fn write(folder: &Path, objects: &[Value]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("one"))?;
    std::fs::create_dir_all(folder.join("all"))?;
    let mut all = std::collections::BTreeMap::<String, String>::new();
    for (at, object) in objects.iter().enumerate() {
        // JSON would be YAML too, and quicker to read: people write block style.
        let text = yaml(object, 0);
        std::fs::write(folder.join(format!("one/{at:04}.yaml")), &text)?;
        let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
        all.entry(kind).or_default().push_str(&format!("---\n{text}"));
    }
    all.iter().try_for_each(|(kind, text)| std::fs::write(folder.join(format!("all/{kind}.yaml")), text))
}

/// The collections that the objects live in: what bare LISTs ask for.
pub fn collections(prefix: &str) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/api/v1/namespaces",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/api/v1/configmaps",
        "/api/v1/secrets",
        "/api/v1/services",
        "/api/v1/serviceaccounts",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/statefulsets",
        "/apis/apps/v1/daemonsets",
        "/apis/batch/v1/cronjobs",
        "/apis/batch/v1/jobs",
        "/apis/rbac.authorization.k8s.io/v1/roles",
        "/apis/rbac.authorization.k8s.io/v1/rolebindings",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/networking.k8s.io/v1/networkpolicies",
        "/apis/networking.k8s.io/v1/ingresses",
        "/apis/policy/v1/poddisruptionbudgets",
        "/apis/autoscaling/v2/horizontalpodautoscalers",
        "/api/v1/resourcequotas",
        "/api/v1/limitranges",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        "/apis/storage.k8s.io/v1/storageclasses",
        "/api/v1/persistentvolumeclaims",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.push(format!("/apis/{prefix}.example.com/v1/widgets"));
    paths
}

/// Where an object is written to.
pub fn path(object: &Value) -> String {
    let api = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let plural = match kind.as_str() {
        "networkpolicy" => "networkpolicies".to_owned(),
        kind if kind.ends_with("ss") => format!("{kind}es"),
        kind => format!("{kind}s"),
    };
    let root = if api.contains('/') { format!("/apis/{api}") } else { format!("/api/{api}") };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["metadata"]["namespace"].as_str() {
        Some(space) => format!("{root}/namespaces/{space}/{plural}/{name}"),
        None => format!("{root}/{plural}/{name}"),
    }
}

fn custom_kind(group: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer"}, "colour": {"type": "string"}}}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

fn one(kind: usize, group: &str, space: &str, name: &str) -> Value {
    let labels = json!({"app": name, "team": "research", "stage": "training"});
    let within = json!({"name": name, "namespace": space, "labels": labels});
    let across = json!({"name": name, "labels": labels});
    let select = json!({"matchLabels": {"app": name}});
    let container = json!({"name": "main", "image": "registry.example.com/train:1.4.2", "args": ["--epochs=10", "--resume"],
        "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "STAGE", "value": "training"}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}});
    let pods = |restart: &str| {
        json!({"metadata": {"labels": {"app": name}},
            "spec": {"restartPolicy": restart, "containers": [container], "nodeSelector": {"pool": "none"}}})
    };
    let rules = json!([
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "delete"]},
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list", "watch"]}]);
    let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": space}]);
    let role = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let rbac = "rbac.authorization.k8s.io/v1";
    let net = "networking.k8s.io/v1";
    match kind {
        0 => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": within,
            "data": {"config.yaml": "lr: 0.001\nbatch: 64\nepochs: 10\n", "mode": "fast"}}),
        // Without values: a manifest may not hold any here.
        1 => json!({"apiVersion": "v1", "kind": "Secret", "metadata": within, "type": "Opaque"}),
        2 => json!({"apiVersion": "v1", "kind": "Service", "metadata": within,
            "spec": {"selector": {"app": name}, "clusterIP": "None",
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}}),
        3 => {
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": within, "automountServiceAccountToken": false})
        }
        4 => json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": within,
            "spec": {"replicas": 0, "selector": select, "template": pods("Always")}}),
        5 => json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": within,
            "spec": {"replicas": 0, "serviceName": name, "selector": select, "template": pods("Always")}}),
        6 => json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": within,
            "spec": {"selector": select, "template": pods("Always")}}),
        7 => json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": within,
            "spec": {"schedule": "0 3 * * *", "suspend": true, "jobTemplate": {"spec": {"template": pods("Never")}}}}),
        8 => json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": within,
            "spec": {"suspend": true, "backoffLimit": 2, "template": pods("Never")}}),
        9 => json!({"apiVersion": rbac, "kind": "Role", "metadata": within, "rules": rules}),
        10 => {
            json!({"apiVersion": rbac, "kind": "RoleBinding", "metadata": within, "roleRef": role("Role"), "subjects": subjects})
        }
        11 => json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": across, "rules": rules}),
        12 => {
            json!({"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": across, "roleRef": role("ClusterRole"),
            "subjects": subjects})
        }
        13 => json!({"apiVersion": net, "kind": "NetworkPolicy", "metadata": within,
            "spec": {"podSelector": select, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": select}]}]}}),
        14 => json!({"apiVersion": net, "kind": "Ingress", "metadata": within,
            "spec": {"rules": [{"host": format!("{name}.example.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": name, "port": {"name": "http"}}}}]}}]}}),
        15 => json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": within,
            "spec": {"minAvailable": 1, "selector": select}}),
        16 => json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": within,
            "spec": {"minReplicas": 1, "maxReplicas": 4,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}}),
        17 => json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": within,
            "spec": {"hard": {"requests.nvidia.com/gpu": "16", "pods": "200"}}}),
        18 => json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": within,
            "spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"cpu": "500m"}}]}}),
        19 => json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": across, "value": 100,
            "description": "Training."}),
        20 => json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": across,
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}),
        21 => json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": within,
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "none", "resources": {"requests": {"storage": "10Gi"}}}}),
        _ => json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": within,
            "spec": {"size": 3, "colour": "green"}}),
    }
}

/// Block-style YAML of plain data; scalars as JSON, which YAML reads the same.
fn yaml(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let nested = |value: &Value| match value {
        Value::Object(map) if !map.is_empty() => format!("\n{}", yaml(value, depth + 1)),
        Value::Array(items) if !items.is_empty() => format!("\n{}", yaml(value, depth + 1)),
        scalar => format!(" {scalar}\n"),
    };
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| format!("{pad}{}:{}", json!(key), nested(value))).collect(),
        Value::Array(items) => items.iter().map(|item| format!("{pad}-{}", nested(item))).collect(),
        scalar => format!("{pad}{scalar}\n"),
    }
}
