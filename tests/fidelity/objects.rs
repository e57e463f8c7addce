//! Random objects of many kinds, each with what may be done to it: changes that its kind admits, and additions.

use serde_json::{Value, json};
use wbk_infra::desired::{DesiredObject, Origin, SecretReference, SecretSlot};
use wbk_infra::id::ObjectId;

use super::random::Random;

/// A change of one place of an object, as a JSON patch writes it.
#[derive(Debug, Clone)]
pub struct Edit {
    /// `replace`, `add` or `remove`.
    pub op: &'static str,
    /// JSON pointer.
    pub at: String,
    /// The value; null for a removal.
    pub value: Value,
}

/// Something that others may add beside our fields.
#[derive(Debug, Clone)]
pub struct Extra {
    /// The edit that adds it.
    pub edit: Edit,
    /// What its path has in it when it is told.
    pub token: &'static str,
}

/// A desired object and what may befall it.
pub struct Made {
    pub object: DesiredObject,
    /// Changes and removals of what it sets.
    pub pokes: Vec<Edit>,
    /// Additions.
    pub extras: Vec<Extra>,
    /// The same in other letters.
    pub respelled: Vec<Edit>,
    /// A merge patch for its status.
    pub status: Option<Value>,
    /// Whether it has a subresource `scale`.
    pub scales: bool,
    /// Whether controllers write to it.
    pub lively: bool,
}

/// Kinds that [`random`] makes.
pub const KINDS: usize = 28;

fn edit(op: &'static str, at: &str, value: Value) -> Edit {
    Edit { op, at: at.into(), value }
}

fn set(at: &str, value: Value) -> Edit {
    edit("replace", at, value)
}

fn cut(at: &str) -> Edit {
    edit("remove", at, Value::Null)
}

fn put(at: &str, value: Value) -> Edit {
    edit("add", at, value)
}

fn extra(at: &str, value: Value, token: &'static str) -> Extra {
    Extra { edit: put(at, value), token }
}

/// Words that a careless YAML reader takes for something else.
const WORDS: [&str; 10] = ["yes", "no", "on", "null", "~", "0o17", "1e3", "12:30:45", "0x1F", " padded "];
const CPUS: [&str; 4] = ["1000m", "0.5", "250m", "1"];
const SIZES: [&str; 4] = ["1.5Gi", "1024Mi", "1Gi", "2000000000"];

fn containers(random: &mut Random) -> Value {
    let mut all = vec![];
    for name in ["main", "helper"].iter().take(1 + random.below(2)) {
        let mut container = json!({"name": name, "image": format!("example.org/{name}:{}", random.below(9)),
            "env": [{"name": "MODE", "value": *random.pick(&WORDS)}, {"name": "LEVEL", "value": "3"}],
            "resources": {"requests": {"cpu": *random.pick(&CPUS), "memory": *random.pick(&SIZES)}}});
        if random.chance(50) {
            container["ports"] = json!([{"containerPort": 8080, "name": "web"}, {"containerPort": 9090}]);
        }
        if random.chance(30) {
            container["args"] = json!(["--verbose", "no", "--port=80"]);
        }
        all.push(container);
    }
    json!(all)
}

fn template(random: &mut Random, restart: Option<&str>) -> Value {
    let mut template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": containers(random)}});
    if random.chance(40) {
        template["spec"]["tolerations"] = json!([{"key": "nvidia.com/gpu", "operator": "Exists"}]);
    }
    if random.chance(40) {
        template["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {"sizeLimit": "1.5Gi"}}]);
    }
    if let Some(restart) = restart {
        template["spec"]["restartPolicy"] = restart.into();
    }
    template
}

/// What may befall a pod template at a pointer.
fn template_edits(at: &str, random: &mut Random) -> (Vec<Edit>, Vec<Extra>) {
    let container = format!("{at}/spec/containers/0");
    let here = |rest: &str| format!("{container}/{rest}");
    let cpu = json!({"cpu": "77m", "memory": "7Mi"});
    (
        vec![
            set(&here("image"), json!(format!("example.org/other:{}", random.below(99)))),
            set(&here("env/0/value"), json!("changed")),
            cut(&here("env/1")),
            set(&here("resources/requests"), cpu),
            cut(&here("resources/requests/cpu")),
        ],
        vec![
            extra(&here("env/-"), json!({"name": "ADDED", "value": "1"}), "ADDED"),
            extra(&format!("{at}/spec/containers/-"), json!({"name": "added", "image": "example.org/added"}), "added"),
            extra(&format!("{at}/spec/terminationGracePeriodSeconds"), json!(77), "terminationGracePeriodSeconds"),
        ],
    )
}

/// The `at`-th object of a space.
pub fn random(random: &mut Random, space: &str, at: usize) -> Made {
    let name = format!("o{at}");
    let global = format!("{space}-{at}");
    let rbac = "rbac.authorization.k8s.io/v1";
    let mut made = Made {
        object: DesiredObject {
            id: ObjectId::new("v1", "ConfigMap", Some(space), &name),
            manifest: json!({}).into(),
            secrets: vec![],
            origin: Origin { path: format!("objects[{at}]"), at: Some(format!("random.yaml:{}:1", at + 1)) },
        },
        pokes: vec![],
        extras: vec![],
        respelled: vec![],
        status: None,
        scales: false,
        lively: false,
    };
    let mut secrets = vec![];
    let namespaced = |api: &str, kind: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": space}});
    let clusterwide = |api: &str, kind: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": global}});
    let rules = json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}]);
    let subjects = json!([{"kind": "ServiceAccount", "name": "runner", "namespace": space},
        {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "people"}]);
    let rule_pokes = || {
        vec![
            set("/rules/0/verbs/0", json!("watch")),
            put("/rules/-", json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]})),
            cut("/rules/1"),
            cut("/rules/0/resources/1"),
        ]
    };
    let subject_pokes = || {
        vec![
            put("/subjects/-", json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"})),
            cut("/subjects/1"),
            set("/subjects/1/name", json!("others")),
        ]
    };
    let mut manifest;
    match at % KINDS {
        0 => {
            manifest = namespaced("v1", "ConfigMap");
            for key in 0..1 + random.below(4) {
                manifest["data"][format!("k{key}")] = (*random.pick(&WORDS)).into();
            }
            manifest["data"]["long.file"] = "line one\nline two: yes\n".into();
            made.pokes = vec![set("/data/k0", json!("changed")), cut("/data/k0"), cut("/data/long.file")];
            made.extras =
                vec![extra("/data/added", json!("here"), "added"), extra("/data/added.too", json!("on"), "added.too")];
        }
        1 => {
            manifest = namespaced("v1", "Secret");
            manifest["type"] = "Opaque".into();
            for key in ["token", "user"].iter().take(1 + random.below(2)) {
                secrets.push(SecretSlot::new(*key, SecretReference::Env(format!("SECRET_{at}_{key}"))));
            }
            made.pokes = vec![set("/data/token", json!("Y2hhbmdlZA==")), cut("/data/token")];
            made.extras = vec![extra("/data/added", json!("YWRkZWQ="), "added")];
        }
        2 => {
            manifest = namespaced("v1", "ServiceAccount");
            manifest["automountServiceAccountToken"] = false.into();
            manifest["imagePullSecrets"] = json!([{"name": "one"}, {"name": "two"}]);
            made.pokes = vec![
                set("/automountServiceAccountToken", json!(true)),
                cut("/imagePullSecrets/1"),
                cut("/automountServiceAccountToken"),
            ];
            made.pokes.push(put("/imagePullSecrets/-", json!({"name": "added"})));
        }
        3 => {
            manifest = namespaced(rbac, "Role");
            manifest["rules"] = rules;
            made.pokes = rule_pokes();
        }
        4 => {
            manifest = namespaced(rbac, "RoleBinding");
            manifest["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"});
            manifest["subjects"] = subjects;
            made.pokes = subject_pokes();
        }
        5 => {
            manifest = clusterwide(rbac, "ClusterRole");
            manifest["rules"] = rules;
            made.pokes = rule_pokes();
        }
        6 => {
            manifest = clusterwide(rbac, "ClusterRoleBinding");
            manifest["roleRef"] =
                json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "some"});
            manifest["subjects"] = subjects;
            made.pokes = subject_pokes();
        }
        7 => {
            manifest = namespaced("apps/v1", "Deployment");
            manifest["spec"] =
                json!({"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template(random, None)});
            (made.pokes, made.extras) = template_edits("/spec/template", random);
            made.pokes.push(set("/spec/replicas", json!(2)));
            made.extras.push(extra("/spec/progressDeadlineSeconds", json!(77), "progressDeadlineSeconds"));
            (made.scales, made.lively) = (true, true);
            made.status = Some(
                json!({"status": {"conditions": [{"type": "Odd", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
            );
        }
        8 => {
            manifest = namespaced("apps/v1", "StatefulSet");
            manifest["spec"] = json!({"replicas": 0, "serviceName": "x", "selector": {"matchLabels": {"app": "x"}}, "template": template(random, None)});
            (made.pokes, made.extras) = template_edits("/spec/template", random);
            (made.scales, made.lively) = (true, true);
        }
        9 => {
            manifest = namespaced("apps/v1", "DaemonSet");
            manifest["spec"] = json!({"selector": {"matchLabels": {"app": "x"}}, "template": template(random, None)});
            manifest["spec"]["template"]["spec"]["nodeSelector"] = json!({"example.org/pool": "none"});
            (made.pokes, made.extras) = template_edits("/spec/template", random);
            made.pokes.push(set("/spec/template/spec/nodeSelector/example.org~1pool", json!("other")));
            // The selectors of Kubernetes are atomic: what is added to one changes it as a whole.
            made.pokes.push(put("/spec/template/spec/nodeSelector/added", json!("x")));
            made.lively = true;
        }
        10 => {
            manifest = namespaced("batch/v1", "Job");
            manifest["spec"] = json!({"suspend": true, "parallelism": 2, "template": template(random, Some("Never"))});
            made.pokes = vec![set("/spec/parallelism", json!(3)), cut("/spec/parallelism")];
            made.extras = vec![extra("/spec/ttlSecondsAfterFinished", json!(77), "ttlSecondsAfterFinished")];
            made.lively = true;
        }
        11 => {
            manifest = namespaced("batch/v1", "CronJob");
            manifest["spec"] = json!({"schedule": "*/5 * * * *", "suspend": true,
                "jobTemplate": {"spec": {"template": template(random, Some("OnFailure"))}}});
            (made.pokes, made.extras) = template_edits("/spec/jobTemplate/spec/template", random);
            made.pokes.push(set("/spec/schedule", json!("0 0 * * *")));
            made.extras.push(extra("/spec/startingDeadlineSeconds", json!(77), "startingDeadlineSeconds"));
            made.lively = true;
        }
        12 => {
            manifest = namespaced("v1", "Service");
            manifest["spec"] = json!({"selector": {"app": "x"}, "ports": [{"name": "web", "port": 80, "targetPort": 8080}, {"name": "tls", "port": 443}]});
            made.pokes = vec![
                set("/spec/ports/0/targetPort", json!(9999)),
                cut("/spec/ports/1"),
                set("/spec/selector/app", json!("y")),
                put("/spec/selector/added", json!("x")),
            ];
            made.extras = vec![
                extra("/spec/ports/-", json!({"name": "added", "port": 9, "protocol": "TCP"}), "port=9"),
                extra("/spec/sessionAffinity", json!("ClientIP"), "sessionAffinity"),
            ];
            if random.chance(50) {
                manifest["spec"]["clusterIP"] = "None".into();
            }
            made.lively = true;
        }
        13 => {
            manifest = namespaced("networking.k8s.io/v1", "Ingress");
            manifest["spec"] = json!({"rules": [{"host": format!("{name}.example.org"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]});
            made.pokes = vec![
                set("/spec/rules/0/host", json!("other.example.org")),
                put("/spec/rules/-", json!({"host": "more.example.org"})),
            ];
            made.extras = vec![extra("/spec/tls", json!([{"hosts": ["added.example.org"]}]), "tls")];
        }
        14 => {
            manifest = namespaced("networking.k8s.io/v1", "NetworkPolicy");
            manifest["spec"] = json!({"podSelector": {"matchLabels": {"app": "x"}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {}}]}]});
            made.pokes = vec![
                set("/spec/podSelector/matchLabels/app", json!("y")),
                cut("/spec/podSelector/matchLabels/app"),
                put("/spec/ingress/0/from/-", json!({"namespaceSelector": {}})),
            ];
            made.pokes.push(put("/spec/podSelector/matchLabels/added", json!("x")));
        }
        15 => {
            manifest = namespaced("v1", "ResourceQuota");
            manifest["spec"] =
                json!({"hard": {"requests.cpu": "64000m", "pods": 100, "requests.nvidia.com/gpu": "16"}});
            made.pokes = vec![
                set("/spec/hard/pods", json!("999")),
                cut("/spec/hard/requests.nvidia.com~1gpu"),
                set("/spec/hard/requests.cpu", json!("65")),
            ];
            made.extras = vec![extra("/spec/hard/services", json!("900"), "services")];
            made.respelled =
                vec![set("/spec/hard/requests.cpu", json!("64")), set("/spec/hard/requests.cpu", json!("64000m"))];
            made.lively = true;
        }
        16 => {
            manifest = namespaced("v1", "LimitRange");
            manifest["spec"] =
                json!({"limits": [{"type": "Container", "default": {"cpu": "1000m", "memory": "1.5Gi"}}]});
            made.pokes = vec![
                set("/spec/limits/0/default/cpu", json!("2")),
                put("/spec/limits/-", json!({"type": "Pod", "max": {"cpu": "640"}})),
            ];
            made.respelled = vec![set("/spec/limits/0/default/memory", json!("1536Mi"))];
        }
        17 => {
            manifest = namespaced("v1", "PersistentVolumeClaim");
            manifest["spec"] = json!({"storageClassName": "none", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1.5Gi"}}});
            made.respelled = vec![set("/spec/resources/requests/storage", json!("1536Mi"))];
            made.lively = true;
        }
        18 => {
            manifest = namespaced("policy/v1", "PodDisruptionBudget");
            manifest["spec"] = json!({"minAvailable": "50%", "selector": {"matchLabels": {"app": "x"}}});
            made.pokes = vec![set("/spec/minAvailable", json!(2))];
            made.extras =
                vec![extra("/spec/unhealthyPodEvictionPolicy", json!("AlwaysAllow"), "unhealthyPodEvictionPolicy")];
            made.status = Some(json!({"status": {"disruptionsAllowed": 7}}));
            made.lively = true;
        }
        19 => {
            manifest = namespaced("autoscaling/v2", "HorizontalPodAutoscaler");
            manifest["spec"] = json!({"minReplicas": 1, "maxReplicas": 5,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nothing"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]});
            made.pokes = vec![
                set("/spec/maxReplicas", json!(9)),
                set("/spec/metrics/0/resource/target/averageUtilization", json!(99)),
            ];
            made.lively = true;
        }
        20 => {
            manifest = clusterwide("scheduling.k8s.io/v1", "PriorityClass");
            manifest["value"] = (1000 + at).into();
            manifest["globalDefault"] = false.into();
            manifest["description"] = "no".into();
            made.pokes = vec![set("/description", json!("yes")), cut("/description")];
        }
        21 => {
            manifest = clusterwide("storage.k8s.io/v1", "StorageClass");
            manifest["provisioner"] = "example.org/none".into();
            manifest["parameters"] = json!({"on": "off", "y": "n"});
            manifest["allowVolumeExpansion"] = true.into();
            made.pokes = vec![set("/allowVolumeExpansion", json!(false)), cut("/allowVolumeExpansion")];
        }
        22 => {
            manifest = namespaced(&format!("{space}.example.org/v1"), "Widget");
            manifest["spec"] = json!({"size": 3, "items": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}],
                "tags": ["on", "off"], "blob": {"deep": {"yes": "no"}}});
            made.pokes = vec![
                set("/spec/size", json!(4)),
                set("/spec/items/0/weight", json!(77)),
                cut("/spec/items/1"),
                cut("/spec/tags/0"),
                set("/spec/blob/deep/yes", json!("maybe")),
            ];
            made.extras = vec![
                extra("/spec/items/-", json!({"name": "added", "weight": 9}), "added"),
                extra("/spec/tags/-", json!("added"), "added"),
                extra("/spec/mode", json!("manual"), "mode"),
                extra("/spec/blob/added", json!({"x": 1}), "added"),
            ];
            made.status = Some(json!({"status": {"phase": "Odd"}}));
        }
        23 => {
            manifest = namespaced("coordination.k8s.io/v1", "Lease");
            manifest["spec"] = json!({"holderIdentity": "nobody", "leaseDurationSeconds": 15});
            made.pokes = vec![
                set("/spec/holderIdentity", json!("somebody")),
                set("/spec/leaseDurationSeconds", json!(99)),
                cut("/spec/holderIdentity"),
            ];
            made.extras = vec![extra("/spec/leaseTransitions", json!(3), "leaseTransitions")];
        }
        24 => {
            manifest = namespaced("discovery.k8s.io/v1", "EndpointSlice");
            manifest["addressType"] = "IPv4".into();
            manifest["endpoints"] = json!([{"addresses": ["192.0.2.1"]}]);
            manifest["ports"] = json!([{"name": "web", "port": 80}]);
            made.pokes = vec![
                set("/endpoints/0/addresses/0", json!("192.0.2.9")),
                set("/ports/0/port", json!(81)),
                put("/endpoints/-", json!({"addresses": ["192.0.2.7"]})),
            ];
            made.lively = true;
        }
        25 => {
            manifest = namespaced("v1", "PodTemplate");
            manifest["template"] = template(random, None);
            (made.pokes, made.extras) = template_edits("/template", random);
        }
        26 => {
            manifest = clusterwide("networking.k8s.io/v1", "IngressClass");
            manifest["spec"] = json!({"controller": "example.org/none", "parameters": {"apiGroup": "example.org", "kind": "P", "name": "p"}});
            made.pokes = vec![set("/spec/parameters/name", json!("q"))];
        }
        _ => {
            manifest = clusterwide("node.k8s.io/v1", "RuntimeClass");
            manifest["handler"] = "none".into();
            manifest["overhead"] = json!({"podFixed": {"cpu": "1000m"}});
            manifest["scheduling"] = json!({"nodeSelector": {"a": "b"}});
            made.pokes = vec![set("/scheduling/nodeSelector/a", json!("c")), set("/overhead/podFixed/cpu", json!("2"))];
            made.pokes.push(put("/scheduling/nodeSelector/added", json!("x")));
            made.respelled = vec![set("/overhead/podFixed/cpu", json!("1000m"))];
        }
    }
    if random.chance(60) {
        manifest["metadata"]["labels"] = json!({"example.org/team": "research", "tier": "y"});
        made.pokes.push(set("/metadata/labels/example.org~1team", json!("others")));
        made.pokes.push(cut("/metadata/labels/tier"));
    }
    if random.chance(40) {
        manifest["metadata"]["annotations"] = json!({"example.org/note": "on\nmore: yes"});
        made.pokes.push(set("/metadata/annotations/example.org~1note", json!("off")));
    }
    made.pokes.push(set("/metadata/annotations/wbk-infra~1origin", json!("elsewhere")));
    made.extras.push(extra("/metadata/annotations/added-by-hand", json!("yes"), "added-by-hand"));
    made.extras.push(extra("/metadata/annotations/example.org~1added", json!("yes"), "example.org/added"));
    made.extras.push(extra("/metadata/labels/added-label", json!("yes"), "added-label"));
    let text = |at: &str| manifest.pointer(at).and_then(Value::as_str);
    made.object.id = ObjectId::new(
        text("/apiVersion").expect("apiVersion"),
        text("/kind").expect("kind"),
        text("/metadata/namespace"),
        text("/metadata/name").expect("name"),
    );
    made.object.manifest = manifest.into();
    made.object.secrets = secrets;
    made
}

/// The namespace of a space and the definition of its custom resource.
pub fn foundations(space: &str) -> Vec<DesiredObject> {
    let group = format!("{space}.example.org");
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "weight": {"type": "integer"}}}});
    let spec = json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "mode": {"type": "string", "default": "auto"}, "items": list,
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "blob": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let status = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let manifests = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": {"purpose": "fidelity"}}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {"group": group, "scope": "Namespaced",
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}}]}}),
    ];
    manifests.into_iter().map(|manifest| desired(manifest, "foundations")).collect()
}

/// A desired object from its manifest.
pub fn desired(manifest: Value, path: &str) -> DesiredObject {
    let text = |at: &str| manifest.pointer(at).and_then(Value::as_str);
    let id = ObjectId::new(
        text("/apiVersion").expect("apiVersion"),
        text("/kind").expect("kind"),
        text("/metadata/namespace"),
        text("/metadata/name").expect("name"),
    );
    DesiredObject { id, manifest: manifest.into(), secrets: vec![], origin: Origin { path: path.into(), at: None } }
}
