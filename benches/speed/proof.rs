//! The closure proof by itself: no server, no file, one thread.

use std::time::Instant;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use wbk_infra::blueprint::{DiskFiles, Source, load};
use wbk_infra::desired::Desired;
use wbk_infra::gpu::{LiveNode, LiveObject, LiveQuestion, Question, prove, prove_live};
use wbk_infra::id::{ObjectId, ReleaseId};

const POOLS: usize = 20;
const WORKLOADS: usize = 500;
const NODES: usize = 200;

/// A proof of a kind, ready to be made.
pub struct Contender {
    /// What it is called.
    pub name: &'static str,
    make: Box<dyn Fn() -> usize>,
}

impl Contender {
    /// Milliseconds of one proof.
    pub fn once(&self) -> f64 {
        let begun = Instant::now();
        let workloads = std::hint::black_box((self.make)());
        assert!(workloads > WORKLOADS, "every workload was judged");
        begun.elapsed().as_secs_f64() * 1000.0
    }
}

/// On paper, on paper where nothing fits, and on live nodes no two of which are alike in what nobody asks for.
pub fn contenders() -> Result<Vec<Contender>> {
    let desired = desired()?;
    let paper = |name, tolerated: bool| {
        let desired = desired.clone();
        let id = ReleaseId { namespace: "wandb-jobs".into(), name: "many".into() };
        let objects: Vec<(ObjectId, Value)> =
            (0..WORKLOADS).map(|at| job(at, tolerated)).map(|job| (id_of(&job), job)).collect();
        let make = move || {
            let releases = [(&id, objects.as_slice())];
            let question =
                Question { desired: &desired, releases: &releases, unrendered: &[], live_nodes: None, arch: "amd64" };
            prove(&question).workloads.len()
        };
        Contender { name, make: Box::new(make) }
    };
    let mut all = vec![paper("on paper, everything fits", true), paper("on paper, 500 chains break", false)];
    let nodes: Vec<(Value, String)> = (0..NODES).map(|at| node(&desired, at)).collect();
    let daemons = desired.objects.iter().filter(|object| object.id.gvk.kind == "DaemonSet");
    let objects: Vec<Value> =
        daemons.map(|object| object.manifest.value().clone()).chain((0..WORKLOADS).map(|at| job(at, true))).collect();
    let make = move || {
        let object = |value| LiveObject { value, of_platform: true, from: "the cluster".into(), at: None };
        let question = LiveQuestion {
            desired: &desired,
            nodes: nodes.iter().map(|(value, pool)| LiveNode { value, pool: Some(pool) }).collect(),
            objects: objects.iter().map(object).collect(),
            unseen: Vec::new(),
            arch: "amd64",
        };
        prove_live(&question).workloads.len()
    };
    all.push(Contender { name: "on 200 live nodes", make: Box::new(make) });
    Ok(all)
}

fn desired() -> Result<Desired> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/local.yaml");
    let source = Source { name: file.into(), text: std::fs::read_to_string(file)? };
    let loaded = load(&[source]).map_err(|problems| anyhow!("{problems}"))?;
    let mut desired =
        loaded.resolve(&DiskFiles, jiff::civil::date(2026, 11, 22)).map_err(|problems| anyhow!("{problems}"))?;
    let pool = desired.wanted.pools["l4-spot"].clone();
    for at in desired.wanted.pools.len()..POOLS {
        let mut one = pool.clone();
        one.name = format!("l4-{at}");
        one.labels.insert("wbk-infra/pool".into(), one.name.clone());
        desired.wanted.pools.insert(one.name.clone(), one);
    }
    Ok(desired)
}

fn job(at: usize, tolerated: bool) -> Value {
    let pool = if at.is_multiple_of(2) { "l4-spot" } else { "system" };
    let memory = if tolerated { "1Gi".to_owned() } else { format!("{}Ti", at + 1) };
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": format!("job-{at}"), "namespace": "wandb-jobs"},
        "spec": {"template": {"spec": {"nodeSelector": {"wbk-infra/pool": pool}, "tolerations": [{"operator": "Exists"}],
            "containers": [{"resources": {"limits": {"cpu": "1", "memory": memory}}}]}}}})
}

fn id_of(value: &Value) -> ObjectId {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    ObjectId::new(text("/apiVersion"), text("/kind"), Some(text("/metadata/namespace")), text("/metadata/name"))
}

/// A node of one of the pools, with labels of its own as clouds write them.
fn node(desired: &Desired, at: usize) -> (Value, String) {
    let pool = desired.wanted.pools.values().cycle().nth(at).expect("there are pools");
    let mut labels = pool.labels.clone();
    for key in ["kubernetes.io/hostname", "node.kubernetes.io/instance-id", "nvidia.com/gfd.timestamp"] {
        labels.insert(key.into(), format!("n-{at}"));
    }
    let mut allocatable = json!({"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    if let Some(gpu) = &pool.shape.gpu {
        allocatable[gpu.resource.as_str()] = json!(gpu.count.to_string());
    }
    let node = json!({"metadata": {"name": format!("n-{at}"), "labels": labels}, "spec": {"taints": pool.taints},
        "status": {"allocatable": allocatable}});
    (node, pool.name.clone())
}
