//! A queue section to W&B's resource configuration: the Job that every agent from SDK 0.17.3 to the newest takes and Kubernetes
//! runs.
//!
//! Facts: backoff limit 0 is the only one that works, since the agent sees the first failed pod as the end; no security context, service
//! account or host path, which agents since 0.28.1 refuse; no name, which would collide at the second run.

use serde_json::{Map, Value, json};
use wbk_provider_api::{PoolSpec, Taint, node_taints};

use super::parts::Parts;
use super::state::{DesiredQueue, PLATFORM_LABEL, QUEUE_LABEL, QueueContent, QueueLink};
use crate::blueprint::schema::{Blueprint, Gang, Launch, NodePool, Queue, Variable, VariableKind};
use crate::blueprint::{Bytes, Cpu};
use crate::desired::Origin;
use crate::desired::autoscaler::kept;
use crate::desired::gang::LOCAL_QUEUE;
use crate::desired::gpu::pool_gpus;
use crate::desired::merge_patch::merge_patch;
use crate::desired::pools::{POOL_LABEL, gpu_resources, pool_spec};

/// The part of a node that its jobs share out among them; the rest is for DaemonSets and the system (of eight parts).
const JOBS_PART: u64 = 7;
/// Of a job without GPUs that says nothing.
const PLAIN: (Cpu, Bytes) = (Cpu { millis: 1000 }, Bytes(4 << 30));

/// What jobs of a queue ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Amounts {
    /// GPUs.
    pub gpus: u32,
    /// The resource that a GPU is asked by; `None` for a job without.
    pub resource: Option<String>,
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Bytes,
    /// `/dev/shm`.
    pub shared_memory: Bytes,
}

/// The pool of a queue.
pub(crate) fn pool_of<'a>(blueprint: &'a Blueprint, queue: &Queue) -> Option<&'a NodePool> {
    let name = queue.pool.as_ref()?;
    blueprint.node_pools.iter().find(|pool| pool.name == *name)
}

/// The namespace of a queue's jobs; `None` where the blueprint has no namespace.
pub(crate) fn namespace_of<'a>(blueprint: &'a Blueprint, queue: &'a Queue) -> Option<&'a str> {
    queue.namespace.as_deref().or_else(|| blueprint.namespaces.first().map(|namespace| namespace.name.as_str()))
}

/// The resources by which a GPU of the pool may be asked for, and how many of each a node offers.
pub(crate) fn offers(blueprint: &Blueprint, pool: &NodePool) -> Vec<(String, u64)> {
    pool_gpus(blueprint).remove(&pool.name).map(|gpus| gpus.allocatable.into_iter().collect()).unwrap_or_default()
}

/// What jobs of the queue ask for, defaults filled.
fn amounts(blueprint: &Blueprint, queue: &Queue) -> Amounts {
    let pool = pool_of(blueprint, queue);
    let offers = pool.map(|pool| offers(blueprint, pool)).unwrap_or_default();
    let offered = match (&queue.resource, pool) {
        (Some(named), Some(_)) => offers.iter().find(|(resource, _)| resource == named).cloned(),
        (None, Some(_)) => offers.first().cloned(),
        // Nothing is known of the nodes: whole GPUs, and a plain job for each.
        (named, None) => {
            let asked = queue.gpus.is_some_and(|gpus| gpus > 0) || named.is_some();
            let usual = || gpu_resources(blueprint)[0].to_owned();
            asked.then(|| (named.clone().unwrap_or_else(usual), 1))
        }
    };
    let gpus = queue.gpus.unwrap_or(u32::from(offered.is_some()));
    let (cpu, memory) = match (&offered, pool) {
        (Some((_, each)), Some(pool)) if gpus > 0 => part(&pool_spec(blueprint, pool), u64::from(gpus), *each),
        _ => PLAIN,
    };
    let memory = queue.memory.unwrap_or(memory);
    Amounts {
        gpus,
        resource: offered.map(|(resource, _)| resource).filter(|_| gpus > 0),
        cpu: queue.cpu.unwrap_or(cpu),
        memory,
        shared_memory: queue.shared_memory.unwrap_or(Bytes(whole(least_memory(queue, memory).0 / 4, 1 << 20))),
    }
}

/// The least memory that a job of the queue may have: what is in `/dev/shm` counts as memory of whoever chose little, too.
fn least_memory(queue: &Queue, own: Bytes) -> Bytes {
    let Some(variable) = queue.variables.get("memory") else { return own };
    let default = variable.default.iter().filter_map(Value::as_str);
    let chosen = variable.choices.iter().map(String::as_str).chain(default).filter_map(Bytes::parse);
    chosen.min().unwrap_or(own)
}

/// The part of a node that goes with some of its GPUs, in round numbers.
fn part(pool: &PoolSpec, gpus: u64, of: u64) -> (Cpu, Bytes) {
    let share =
        |total: u64| u64::try_from(u128::from(total) * u128::from(JOBS_PART * gpus) / u128::from(8 * of.max(1)));
    // A product of two amounts of one node, divided again: it fits.
    let millis = share(pool.shape.cpu_millis).unwrap_or(u64::MAX);
    let memory = share(pool.shape.memory_bytes).unwrap_or(u64::MAX);
    let millis = whole(millis, if millis >= 1000 { 1000 } else { 100 });
    (Cpu { millis }, Bytes(whole(memory, if memory >= 1 << 30 { 1 << 30 } else { 1 << 20 })))
}

fn whole(amount: u64, unit: u64) -> u64 {
    amount / unit * unit
}

/// A queue, complete; `None` where its pool or its namespace is not there, which lint says.
pub(super) fn queue(blueprint: &Blueprint, launch: &Launch, queue: &Queue, origin: Origin) -> Option<DesiredQueue> {
    let pool = pool_of(blueprint, queue);
    if pool.is_none() && queue.pool.is_some() {
        return None;
    }
    let namespace = namespace_of(blueprint, queue)?;
    let amounts = amounts(blueprint, queue);
    let parts = Parts::of_queue(launch, queue, namespace);
    let open = Written { blueprint, queue, pool, namespace, amounts: &amounts, parts: &parts };
    let manifest = merged(
        open.manifest(&|name, own| match queue.variables.contains_key(name) {
            true => format!("{{{{{name}}}}}"),
            false => own,
        }),
        queue,
    );
    // What an item that chooses nothing becomes: defaults in the place of variables.
    let chosen = merged(open.job(&|name, own| default_of(queue, name).unwrap_or(own)), queue);
    Some(DesiredQueue {
        name: queue.name.clone(),
        content: QueueContent {
            config: json!({"resource_args": {"kubernetes": manifest}}),
            variables: variables(queue),
            prioritization: queue.prioritization,
            links: queue
                .links
                .iter()
                .map(|link| QueueLink { label: link.label.clone(), url: link.url.clone() })
                .collect(),
        },
        pool: queue.pool.clone(),
        namespace: namespace.to_owned(),
        gpus: amounts.gpus,
        job: as_made(substituted(chosen, queue), launch, queue),
        origin,
    })
}

/// The sections of a queue together, before they are written as a manifest.
struct Written<'a> {
    blueprint: &'a Blueprint,
    queue: &'a Queue,
    pool: Option<&'a NodePool>,
    namespace: &'a str,
    amounts: &'a Amounts,
    parts: &'a Parts,
}

/// What stands for an amount: its variable, or the amount itself.
type Said<'a> = &'a dyn Fn(&str, String) -> String;

impl Written<'_> {
    /// As the queue has it: a Job, or Volcano's where several pods start together.
    fn manifest(&self, said: Said<'_>) -> Value {
        if self.queue.pods == 1 { self.job(said) } else { self.volcano(said) }
    }

    fn labels(&self) -> Value {
        json!({QUEUE_LABEL: self.queue.name, PLATFORM_LABEL: self.blueprint.metadata.name})
    }

    fn metadata(&self) -> Value {
        let mut labels = self.labels();
        if self.blueprint.scheduling.gang == Gang::Kueue {
            labels["kueue.x-k8s.io/queue-name"] = LOCAL_QUEUE.into();
        }
        json!({"namespace": self.namespace, "labels": labels})
    }

    fn pod_metadata(&self) -> Value {
        let mut metadata = json!({"labels": self.labels()});
        if let Some(annotations) = kept(self.blueprint) {
            metadata["annotations"] = annotations;
        }
        metadata
    }

    fn job(&self, said: Said<'_>) -> Value {
        let mut spec = json!({
            "backoffLimit": 0,
            // A terminating pod is not counted as failed before it has ended: the agent then sees why.
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": self.queue.keep.0,
            "template": {"metadata": self.pod_metadata(), "spec": self.pod(said)},
        });
        if self.queue.pods > 1 {
            spec["parallelism"] = self.queue.pods.into();
            spec["completions"] = self.queue.pods.into();
        }
        json!({"metadata": self.metadata(), "spec": spec})
    }

    /// One owner of retries: whoever pushed it. An evicted or failed pod ends all of them.
    fn volcano(&self, said: Said<'_>) -> Value {
        let mut metadata = self.metadata();
        // Agents put it on Jobs of `batch/v1` alone; elsewhere they fill in their macros (SDK, `fill_macros`).
        metadata["labels"]["wandb.ai/run-id"] = "${run_id}".into();
        metadata["generateName"] = format!("{}-", self.queue.name.to_ascii_lowercase()).into();
        let mut pod = self.pod(said);
        pod["containers"][0]["image"] = "${image_uri}".into();
        pod["containers"][0]["name"] = "main".into();
        let mut spec = json!({
            "schedulerName": "volcano",
            "queue": self.namespace,
            "minAvailable": self.queue.pods,
            "ttlSecondsAfterFinished": self.queue.keep.0,
            "policies": [{"event": "PodEvicted", "action": "AbortJob"}, {"event": "PodFailed", "action": "AbortJob"}],
            "plugins": {"env": [], "svc": [], "pytorch": []},
            "tasks": [{
                "name": "worker",
                "replicas": self.queue.pods,
                "template": {"metadata": self.pod_metadata(), "spec": pod},
            }],
        });
        if let Some(priority) = &self.queue.priority {
            spec["priorityClassName"] = priority.clone().into();
        }
        json!({"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": metadata, "spec": spec})
    }

    fn pod(&self, said: Said<'_>) -> Value {
        let Self { blueprint, queue, pool, amounts, .. } = self;
        let tolerations: Vec<Value> = match (pool, &amounts.resource) {
            (Some(pool), _) => node_taints(blueprint.cluster.provider, &pool_spec(blueprint, pool))
                .iter()
                .map(Taint::toleration)
                .collect(),
            // The taint that clouds and operators put on nodes with GPUs.
            (None, Some(_)) => vec![json!({"key": gpu_resources(blueprint)[0], "operator": "Exists"})],
            (None, None) => Vec::new(),
        };
        let cpu = said("cpu", amounts.cpu.to_string());
        let memory = said("memory", amounts.memory.to_string());
        let mut requests = json!({"cpu": cpu, "memory": memory});
        let mut limits = json!({"memory": memory});
        if let Some(resource) = &amounts.resource {
            let gpus = said("gpus", amounts.gpus.to_string());
            requests[resource] = gpus.clone().into();
            limits[resource] = gpus.into();
        }
        let mut spec = json!({
            "restartPolicy": "Never",
            "containers": [{
                "resources": {"requests": requests, "limits": limits},
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
            }],
            "volumes": [{
                "name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": amounts.shared_memory.to_string()},
            }],
        });
        if let Some(pool) = pool {
            spec["nodeSelector"] = json!({POOL_LABEL: pool.name});
        }
        if !tolerations.is_empty() {
            spec["tolerations"] = tolerations.into();
        }
        if let Some(priority) = &queue.priority {
            spec["priorityClassName"] = priority.clone().into();
        }
        if !self.parts.is_empty() {
            self.parts.lay_into(&mut spec);
        }
        spec
    }
}

/// The user's own words over ours (RFC 7386).
fn merged(mut manifest: Value, queue: &Queue) -> Value {
    let own: Map<String, Value> = queue.config.clone().into_iter().collect();
    merge_patch(&mut manifest, &Value::Object(own));
    manifest
}

/// The value of a variable for an item that chooses none.
fn default_of(queue: &Queue, name: &str) -> Option<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let variable = queue.variables.get(name)?;
    variable.default.as_ref().map(text).or_else(|| variable.choices.first().cloned())
}

/// Defaults in the place of variables anywhere in the user's own words.
fn substituted(value: Value, queue: &Queue) -> Value {
    match value {
        Value::String(text) if text.contains("{{") => {
            let mut text = text;
            for name in queue.variables.keys() {
                if let Some(default) = default_of(queue, name) {
                    text = text.replace(&format!("{{{{{name}}}}}"), &default);
                }
            }
            text.into()
        }
        Value::Array(items) => items.into_iter().map(|item| substituted(item, queue)).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, item)| (key, substituted(item, queue))).collect())
        }
        other => other,
    }
}

/// What the agent adds (SDK, `kubernetes_runner.py`): name, image, its own labels, and the security context that it forces.
fn as_made(mut job: Value, launch: &Launch, queue: &Queue) -> Value {
    job["apiVersion"] = "batch/v1".into();
    job["kind"] = "Job".into();
    job["metadata"]["name"] = format!("queue-{}", queue.name.to_ascii_lowercase().replace(['_', '.'], "-")).into();
    let forced = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    if let Some(containers) = job.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut) {
        for (index, container) in containers.iter_mut().enumerate() {
            if container["name"].is_null() {
                container["name"] = format!("launch{index}").into();
            }
            if container["image"].is_null() {
                container["image"] = "registry.k8s.io/pause:3.10.1".into();
            }
            if super::sdk::forces_security_context(&launch.sdk) {
                container["securityContext"] = forced.clone();
            }
        }
    }
    job
}

fn variables(queue: &Queue) -> Value {
    let one = |variable: &Variable| {
        let Variable { kind, default, minimum, maximum, choices } = variable;
        let kind = match kind {
            VariableKind::Integer => "integer",
            VariableKind::Number => "number",
            VariableKind::String => "string",
        };
        let mut schema = json!({"type": kind});
        let known = [
            ("default", default.clone()),
            ("minimum", minimum.map(Value::from)),
            ("maximum", maximum.map(Value::from)),
        ];
        for (key, value) in known.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            schema[key] = value;
        }
        if !choices.is_empty() {
            schema["enum"] = choices.clone().into();
        }
        json!({"schema": schema})
    };
    Value::Object(queue.variables.iter().map(|(name, variable)| (name.clone(), one(variable))).collect())
}
