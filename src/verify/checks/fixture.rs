//! Small desired states and live objects for unit tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wbk_provider_api::{
    Accelerator, Capacity, ClusterSpec, GpuShape, PoolSize, PoolSpec, ProviderKind, Shape, Taint, TaintEffect, Wanted,
};

use crate::desired::{ConflictChoice, Desired, DesiredCost, DesiredObject, Origin, Policy, Promises};
use crate::id::ObjectId;

/// A desired state with these objects and nothing else.
pub(crate) fn desired(manifests: Vec<Value>) -> Desired {
    Desired {
        name: "research".into(),
        wanted: Wanted {
            blueprint: "research".into(),
            cluster: ClusterSpec {
                provider: ProviderKind::Local,
                name: "research".into(),
                version: Some("1.36".into()),
                region: None,
                context: None,
                kubeconfig: None,
                uid: None,
                kind: Default::default(),
                eks: None,
            },
            pools: BTreeMap::new(),
        },
        objects: manifests.into_iter().map(object).collect(),
        releases: Vec::new(),
        gpus: BTreeMap::new(),
        launch: None,
        promises: Promises::default(),
        policy: Policy { max_deletes: 10, protect: vec![], ignore: vec![], conflicts: ConflictChoice::Mend },
        cost: DesiredCost::default(),
    }
}

/// A desired object from its manifest.
pub(crate) fn object(manifest: Value) -> DesiredObject {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let id = ObjectId::new(
        text("/apiVersion").expect("apiVersion"),
        text("/kind").expect("kind"),
        text("/metadata/namespace"),
        text("/metadata/name").expect("name"),
    );
    let origin = Origin { path: "objects".into(), at: Some("blueprint.yaml:1:1".into()) };
    DesiredObject { id, manifest: manifest.into(), secrets: vec![], origin }
}

/// A pool whose nodes have 8 GPUs each.
pub(crate) fn gpu_pool(name: &str, min: u32, max: u32) -> PoolSpec {
    PoolSpec {
        name: name.into(),
        machine: None,
        shape: Shape {
            cpu_millis: 16_000,
            memory_bytes: 64 << 30,
            pods: 110,
            gpu: Some(GpuShape { resource: "nvidia.com/gpu".into(), pci_vendor: "10de".into(), count: 8 }),
        },
        accelerator: Some(Accelerator { model: "nvidia-a100-40gb".into(), count: 8 }),
        size: PoolSize { min, max },
        capacity: Capacity::OnDemand,
        labels: BTreeMap::from([("wbk-infra/pool".into(), name.into())]),
        taints: vec![Taint { key: "nvidia.com/gpu".into(), value: "present".into(), effect: TaintEffect::NoSchedule }],
    }
}

/// A node of a pool, with its labels, taints and GPUs.
pub(crate) fn node(pool: &PoolSpec, name: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    let reason = if ready { "KubeletReady" } else { "KubeletNotReady" };
    let gpus = pool.shape.gpu.as_ref().map_or(0, |gpu| gpu.count);
    json!({
        "metadata": {"name": name, "labels": pool.labels},
        "spec": {"taints": pool.taints},
        "status": {
            "conditions": [{"type": "Ready", "status": status, "reason": reason}],
            "allocatable": {"cpu": "16", "nvidia.com/gpu": gpus.to_string()},
        },
    })
}
