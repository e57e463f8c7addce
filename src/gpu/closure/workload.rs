//! Workloads: what makes pods, from objects, rendered charts, the provider, and the Jobs that verification tries.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use wbk_provider_api::{PoolSpec, SystemWorkload, TaintEffect};

use crate::desired::POOL_LABEL;

use super::super::scheduler::{
    Admission, Amounts, Claim, ContainerDefaults, Pod, Quantities, Toleration, TolerationOperator, claims, quantities,
    text_map,
};
use super::role::{Role, roles};

/// How pods of a workload come to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One on each node that will have it.
    DaemonSet,
    /// Some, wherever there is room.
    Anywhere,
}

/// Something that makes pods.
#[derive(Debug, Clone)]
pub struct Workload {
    /// As printed: `Deployment.apps team/tools`.
    pub what: String,
    /// Where it comes from, in words: `the blueprint`, `helm release team/tools`.
    pub from: String,
    /// Where in the blueprint.
    pub at: Option<String>,
    /// How its pods come to nodes.
    pub kind: Kind,
    /// Pods of it at once.
    pub replicas: i64,
    /// One of its pods.
    pub pod: Rc<Pod>,
    /// What its pods do.
    pub roles: Vec<Role>,
    /// A priority class that nothing makes.
    pub lacks_priority: Option<String>,
    /// The pool that it is a sample for.
    pub sample_of: Option<String>,
    /// Whether it is of the platform; of what others run only its room and its roles count.
    pub judged: bool,
}

/// A manifest with where it comes from.
#[derive(Debug, Clone)]
pub struct Manifest<'a> {
    /// The manifest.
    pub value: &'a Value,
    /// In words: `the blueprint`, `helm release team/tools`.
    pub from: String,
    /// Where in the blueprint: `file:line:column`.
    pub at: Option<String>,
    /// Whether it is of the platform.
    pub judged: bool,
}

/// What all manifests together say about any pod.
#[derive(Debug, Default)]
pub struct Context {
    defaults: BTreeMap<String, ContainerDefaults>,
    priorities: BTreeMap<String, (i64, bool)>,
    default_priority: Option<(i64, bool)>,
    runtimes: BTreeMap<String, Value>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Claims by namespace and name.
    pub claims: BTreeMap<(String, String), Claim>,
    /// `hard` of the quotas of each namespace.
    pub quotas: BTreeMap<String, Quantities>,
    /// Whether there may be classes and claims that are in no manifest: the cluster was there before.
    pub open: bool,
}

/// Kubernetes' own priority classes.
const SYSTEM_PRIORITIES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

impl Context {
    /// Reads it from every manifest.
    pub fn of(manifests: &[Manifest<'_>], open: bool) -> Self {
        let mut context = Self { open, ..Self::default() };
        for (name, value) in SYSTEM_PRIORITIES {
            context.priorities.insert(name.into(), (value, true));
        }
        for manifest in manifests {
            let value = manifest.value;
            let name = || value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            match value["kind"].as_str() {
                Some("LimitRange") => {
                    let defaults = ContainerDefaults::of(value);
                    context.defaults.entry(namespace(value)).or_default().and(&defaults);
                }
                Some("PriorityClass") => {
                    let preempts = value["preemptionPolicy"].as_str() != Some("Never");
                    let class = (value["value"].as_i64().unwrap_or(0), preempts);
                    if value["globalDefault"] == true {
                        context.default_priority = Some(class);
                    }
                    context.priorities.insert(name(), class);
                }
                Some("RuntimeClass") => {
                    context.runtimes.insert(name(), value.clone());
                }
                Some("Namespace") => {
                    context.namespaces.insert(name(), text_map(&value["metadata"]["labels"]));
                }
                Some("ResourceQuota")
                    if value["spec"]["scopes"].is_null() && value["spec"]["scopeSelector"].is_null() =>
                {
                    let hard = context.quotas.entry(namespace(value)).or_default();
                    for (name, amount) in quantities(&value["spec"]["hard"]) {
                        let least = hard.get(&name).map_or(amount, |have| (*have).min(amount));
                        hard.insert(name, least);
                    }
                }
                _ => {}
            }
        }
        context.claims = claims(manifests.iter().map(|manifest| manifest.value));
        context
    }

    fn pod(&self, template: &Value, namespace: &str) -> (Pod, Option<String>) {
        let class = template["spec"]["priorityClassName"].as_str().filter(|name| !name.is_empty());
        let found = class.map(|name| self.priorities.get(name).copied());
        let priority = match found {
            Some(found) => found,
            None => self.default_priority,
        };
        let admission = Admission {
            defaults: self.defaults.get(namespace),
            priority: priority.map(|(value, _)| value),
            preempts: priority.map(|(_, preempts)| preempts),
        };
        let mut pod = match template["spec"]["runtimeClassName"].as_str().map(|name| (name, self.runtimes.get(name))) {
            None => Pod::of(template, namespace, &admission),
            Some((_, Some(runtime))) => Pod::of(&with_runtime(template, runtime), namespace, &admission),
            Some((name, None)) => {
                let mut pod = Pod::of(template, namespace, &admission);
                pod.unmodelled.push(format!("its runtime class {name} is not known: what that adds is neither"));
                pod
            }
        };
        let lacks = match (class, found) {
            (Some(name), Some(None)) if self.open => {
                pod.unmodelled.push(format!("whether its priority class {name} is there is known only in the cluster"));
                None
            }
            (Some(name), Some(None)) => Some(name.to_owned()),
            (_, Some(Some(_)) | None) | (None, Some(None)) => None,
        };
        (pod, lacks)
    }
}

/// What the admission of runtime classes adds.
fn with_runtime(template: &Value, runtime: &Value) -> Value {
    let mut template = template.clone();
    let spec = &mut template["spec"];
    if spec["overhead"].is_null() {
        spec["overhead"] = runtime["overhead"]["podFixed"].clone();
    }
    for (key, value) in text_map(&runtime["scheduling"]["nodeSelector"]) {
        spec["nodeSelector"][key] = value.into();
    }
    if let Some(more) = runtime["scheduling"]["tolerations"].as_array() {
        let mut all = spec["tolerations"].as_array().cloned().unwrap_or_default();
        all.extend(more.iter().cloned());
        spec["tolerations"] = all.into();
    }
    template
}

fn namespace(value: &Value) -> String {
    value["metadata"]["namespace"].as_str().unwrap_or("default").to_owned()
}

/// Every workload of the manifests.
pub fn workloads(manifests: &[Manifest<'_>], context: &Context) -> Vec<Workload> {
    let mut all = Vec::new();
    for manifest in manifests {
        let value = manifest.value;
        let spec = &value["spec"];
        let (kind, template, replicas) = match value["kind"].as_str() {
            Some("DaemonSet") => (Kind::DaemonSet, &spec["template"], 1),
            Some("Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController") => {
                (Kind::Anywhere, &spec["template"], spec["replicas"].as_i64().unwrap_or(1))
            }
            Some("Job") if value["apiVersion"] == "batch/v1" => {
                (Kind::Anywhere, &spec["template"], spec["parallelism"].as_i64().unwrap_or(1))
            }
            Some("CronJob") => (
                Kind::Anywhere,
                &spec["jobTemplate"]["spec"]["template"],
                spec["jobTemplate"]["spec"]["parallelism"].as_i64().unwrap_or(1),
            ),
            Some("Pod") => (Kind::Anywhere, value, 1),
            Some("ClusterPolicy") if api_group(value) == "nvidia.com" => {
                all.extend(operator(manifest));
                continue;
            }
            Some("GpuDevicePlugin") if api_group(value) == "deviceplugin.intel.com" => {
                all.push(intel(manifest));
                continue;
            }
            _ => continue,
        };
        // Scaled to none on purpose: nothing is to run.
        if replicas == 0 {
            continue;
        }
        let space = namespace(value);
        let what = printed(value);
        let (mut pod, lacks_priority) = context.pod(template, &space);
        if value["kind"] == "StatefulSet" {
            // Its own claims are made with it, from a template.
            pod.unmodelled.extend(
                spec["volumeClaimTemplates"]
                    .as_array()
                    .filter(|claims| {
                        !claims.is_empty() && claims.iter().any(|claim| claim["spec"]["volumeName"].is_string())
                    })
                    .map(|_| "its claims name volumes of their own".to_owned()),
            );
        }
        if kind == Kind::DaemonSet {
            pod.tolerations.extend(daemon_tolerations());
        }
        all.push(Workload {
            what,
            from: manifest.from.clone(),
            at: manifest.at.clone(),
            kind,
            replicas,
            pod: Rc::new(pod),
            roles: roles(template, &value["metadata"]["annotations"]),
            lacks_priority,
            sample_of: None,
            judged: manifest.judged,
        });
    }
    all
}

fn api_group(value: &Value) -> &str {
    value["apiVersion"].as_str().and_then(|api| api.split_once('/')).map_or("", |(group, _)| group)
}

/// A workload as the proof calls it: `Deployment.apps team/tools`.
pub fn printed(value: &Value) -> String {
    let namespace = namespace(value);
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = api_group(value);
    let dot = if group.is_empty() { "" } else { "." };
    let name = text("/metadata/name");
    let name = if name.is_empty() { text("/metadata/generateName") } else { name };
    format!("{}{dot}{group} {namespace}/{name}", text("/kind"))
}

/// What the DaemonSet controller adds to its pods. Source: `AddOrUpdateDaemonPodTolerations` of pkg/controller/daemon/util.
fn daemon_tolerations() -> Vec<Toleration> {
    let key = |name: &str| format!("node.kubernetes.io/{name}");
    let evicting = ["not-ready", "unreachable"].map(|name| Toleration::exists(&key(name), TaintEffect::NoExecute));
    let keeping = ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"]
        .map(|name| Toleration::exists(&key(name), TaintEffect::NoSchedule));
    evicting.into_iter().chain(keeping).collect()
}

/// The DaemonSets that the GPU Operator makes of its policy; they go where NFD has found an NVIDIA GPU.
fn operator(manifest: &Manifest<'_>) -> Vec<Workload> {
    let spec = &manifest.value["spec"];
    let tolerations = spec["daemonsets"]["tolerations"].clone();
    let found = |key: &str| json!({"matchExpressions": [{"key": key, "operator": "In", "values": ["true"]}]});
    let terms = ["pci-10de.present", "pci-0302_10de.present", "pci-0300_10de.present"]
        .map(|name| found(&format!("feature.node.kubernetes.io/{name}")));
    let template = json!({"metadata": {"labels": {}}, "spec": {"tolerations": tolerations, "affinity": {"nodeAffinity":
        {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}});
    let operands = [
        ("devicePlugin", "nvidia-device-plugin-daemonset", Role::DevicePlugin("nvidia.com/".into())),
        ("gfd", "gpu-feature-discovery", Role::Gfd),
        ("dcgmExporter", "nvidia-dcgm-exporter", Role::Dcgm),
    ];
    operands
        .into_iter()
        .filter(|(key, _, _)| spec[key]["enabled"] != false)
        .map(|(_, name, role)| {
            let mut pod = Pod::of(&template, "gpu-operator", &Admission::default());
            pod.tolerations.extend(daemon_tolerations());
            // The operator itself marks the nodes on which it runs these.
            let mark = Role::Labels("nvidia.com/gpu.present".into(), "true".into());
            Workload {
                what: format!("DaemonSet.apps {name} of the GPU Operator"),
                from: manifest.from.clone(),
                at: manifest.at.clone(),
                kind: Kind::DaemonSet,
                replicas: 1,
                pod: Rc::new(pod),
                roles: vec![role, mark],
                lacks_priority: None,
                sample_of: None,
                judged: manifest.judged,
            }
        })
        .collect()
}

/// The DaemonSet that Intel's operator makes of a GpuDevicePlugin.
fn intel(manifest: &Manifest<'_>) -> Workload {
    let spec = &manifest.value["spec"];
    let template = json!({"spec": {"tolerations": spec["tolerations"], "nodeSelector": spec["nodeSelector"]}});
    let mut pod = Pod::of(&template, "intel", &Admission::default());
    pod.tolerations.extend(daemon_tolerations());
    let name = manifest.value["metadata"]["name"].as_str().unwrap_or_default();
    Workload {
        what: format!("DaemonSet.apps intel-gpu-plugin-{name} of the Intel operator"),
        from: manifest.from.clone(),
        at: manifest.at.clone(),
        kind: Kind::DaemonSet,
        replicas: 1,
        pod: Rc::new(pod),
        roles: vec![Role::DevicePlugin("gpu.intel.com/".into())],
        lacks_priority: None,
        sample_of: None,
        judged: manifest.judged,
    }
}

/// A workload that a provider's clusters run of their own.
pub fn of_system(system: &SystemWorkload) -> Workload {
    let tolerations = system.tolerates.iter().map(|key| Toleration {
        key: (*key).to_owned(),
        operator: TolerationOperator::Exists,
        value: String::new(),
        effect: None,
        seconds: None,
    });
    let mut requests = Amounts::default();
    requests.set("cpu", i64::try_from(system.cpu_millis).unwrap_or(i64::MAX));
    requests.set("memory", i64::try_from(system.memory_mib << 20).unwrap_or(i64::MAX));
    let pod = Pod {
        name: system.name.to_owned(),
        namespace: "kube-system".to_owned(),
        tolerations: tolerations.collect(),
        node_selector: vec![("kubernetes.io/os".into(), "linux".into())],
        requests,
        priority: 2_000_000_000,
        preempts: true,
        ..Pod::default()
    };
    Workload {
        what: format!("Deployment.apps kube-system/{}", system.name),
        from: "the provider".into(),
        at: None,
        kind: Kind::Anywhere,
        replicas: i64::from(system.replicas),
        pod: Rc::new(pod),
        roles: Vec::new(),
        lacks_priority: None,
        sample_of: None,
        judged: true,
    }
}

/// The Job by which verification tries a GPU pool: one GPU, the pool's label, every taint of the pool tolerated.
pub fn sample(
    pool: &PoolSpec,
    taints: &[wbk_provider_api::Taint],
    resource: &str,
    space: &str,
    context: &Context,
) -> Workload {
    let tolerations: Vec<Value> = taints.iter().map(wbk_provider_api::Taint::toleration).collect();
    let selector = pool.labels.get(POOL_LABEL).unwrap_or(&pool.name);
    let template = json!({"spec": {"nodeSelector": {POOL_LABEL: selector}, "tolerations": tolerations,
        "containers": [{"name": "sample", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {resource: 1}}}]}});
    let (pod, lacks_priority) = context.pod(&template, space);
    Workload {
        what: format!("a Job with 1 {resource} on pool {}", pool.name),
        from: "wbk-infra verify".into(),
        at: None,
        kind: Kind::Anywhere,
        replicas: 1,
        pod: Rc::new(pod),
        roles: Vec::new(),
        lacks_priority,
        sample_of: Some(pool.name.clone()),
        judged: true,
    }
}
