//! Kinds of nodes: the pools of a blueprint as their nodes are born, or live nodes with those like them.

use std::collections::BTreeMap;

use serde_json::Value;
use wbk_provider_api::{
    Capacity, PoolSize, PoolSpec, ProviderKind, Shape, Taint, TaintEffect, Wanted, birth, node_taints,
};

use crate::desired::{Advertiser, PoolGpus};

use super::super::scheduler::{Amounts, CPU, EPHEMERAL, LabelValue, Labels, MEMORY, MayHave, Node, PODS, text_map};
use super::workload::POOL_LABEL;

/// A kind of node.
#[derive(Debug, Clone)]
pub struct Group {
    /// The pool, or the first of the nodes.
    pub name: String,
    /// How messages call it: `pool l4-spot`, `node gpu-1`.
    pub called: String,
    /// How many there are.
    pub size: PoolSize,
    /// Whether something adds nodes when pods wait.
    pub grows: bool,
    /// Its GPUs.
    pub gpus: Option<Gpus>,
    /// The node at birth, with the GPUs that an autoscaler knows of.
    pub template: Node,
    /// Labels that arrive after birth, with whoever writes each.
    pub label_from: BTreeMap<String, String>,
    /// Who advertises each resource; more than one is one too many.
    pub resource_from: BTreeMap<String, Vec<String>>,
    /// Why the platform itself advertises its GPUs, where it does.
    pub platform: Option<String>,
    /// DaemonSets that land there, by their place in the list of workloads.
    pub landed: Vec<usize>,
    /// Why its disk is not known.
    pub disk_unknown: bool,
    /// Whether it is there already: nothing more arrives.
    pub is_live: bool,
}

/// The GPUs of a kind of node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpus {
    /// The vendor, as its resources begin: `nvidia.com/`.
    pub vendor: String,
    /// The PCI vendor id.
    pub pci: String,
    /// The model, where it has a name.
    pub model: Option<String>,
    /// What is advertised once somebody does, by resource.
    pub resources: BTreeMap<String, i64>,
}

/// Pods that a node has room for where nobody says: kubelet's default.
const CONTROL_PLANE_PODS: i64 = 110;

/// The pools of a blueprint, and the node at birth of each. `arch` is the architecture of this machine, which local nodes share.
pub fn of_pools(wanted: &Wanted, gpus: &BTreeMap<String, PoolGpus>, arch: &str) -> Vec<(Group, Node)> {
    let provider = wanted.cluster.provider;
    let mut groups: Vec<(Group, Node)> =
        wanted.pools.values().map(|pool| of_pool(wanted, pool, gpus.get(&pool.name), arch)).collect();
    if provider == ProviderKind::Kind {
        groups.push(control_plane(wanted, arch));
    }
    groups
}

fn of_pool(wanted: &Wanted, pool: &PoolSpec, known: Option<&PoolGpus>, arch: &str) -> (Group, Node) {
    let provider = wanted.cluster.provider;
    let born = birth(provider, pool);
    let mut labels = Labels::of(&pool.labels);
    for (key, value) in &born.labels {
        labels.set(key.clone(), LabelValue::Is(value.clone()));
    }
    labels.set(POOL_LABEL, LabelValue::Is(pool.name.clone()));
    labels.set("kubernetes.io/hostname", LabelValue::Open(Vec::new()));
    match provider {
        ProviderKind::Local | ProviderKind::Kind => {
            labels.set("kubernetes.io/arch", LabelValue::Is(arch.to_owned()));
            if provider == ProviderKind::Local {
                labels.set("wbk-infra/blueprint", LabelValue::Is(wanted.blueprint.clone()));
                labels.set("wbk-infra/simulated", LabelValue::Is("true".into()));
            }
        }
        ProviderKind::Gke | ProviderKind::Eks | ProviderKind::Aks | ProviderKind::Existing => {
            for key in ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"] {
                labels.set(key, LabelValue::Open(Vec::new()));
            }
            let prefixes = match provider {
                ProviderKind::Gke => ["cloud.google.com/", "topology.gke.io/"],
                ProviderKind::Eks => ["eks.amazonaws.com/", "topology.k8s.aws/"],
                _ => ["kubernetes.azure.com/", "topology.disk.csi.azure.com/"],
            };
            for prefix in prefixes.into_iter().chain(["node.kubernetes.io/", "beta.kubernetes.io/"]) {
                let why = format!("{provider} may add labels that begin with {prefix}");
                labels.may_have(MayHave { prefix: prefix.to_owned(), why, never: Vec::new() });
            }
        }
    }
    let taints = node_taints(provider, pool);
    let mut allocatable = shape(&pool.shape);
    let disk_unknown = provider != ProviderKind::Local;
    allocatable.set(EPHEMERAL, if disk_unknown { i64::MAX } else { LOCAL_DISK });
    let gpus = pool.shape.gpu.as_ref().map(|gpu| Gpus {
        vendor: gpu.resource.split_inclusive('/').next().unwrap_or_default().to_owned(),
        pci: gpu.pci_vendor.clone(),
        model: pool.accelerator.as_ref().map(|accelerator| accelerator.model.clone()),
        resources: match known.filter(|known| !known.allocatable.is_empty()) {
            // Sharing and partitions counted.
            Some(known) => {
                let amounts = known.allocatable.iter();
                amounts.map(|(name, count)| (name.clone(), i64::try_from(*count).unwrap_or(i64::MAX))).collect()
            }
            None => BTreeMap::from([(gpu.resource.clone(), i64::from(gpu.count))]),
        },
    });
    let platform = known.and_then(|known| match &known.advertiser {
        Advertiser::Platform { why } => Some(why.clone()),
        _ => None,
    });
    let mut resource_from = BTreeMap::new();
    if let Some(why) = &platform {
        for (resource, amount) in gpus.iter().flat_map(|gpus| &gpus.resources) {
            allocatable.set(resource, *amount);
            resource_from.insert(resource.clone(), vec![format!("the platform ({why})")]);
        }
    }
    let node = Node { name: None, labels, taints, unschedulable: false, allocatable, pods: Vec::new() };
    let mut template = node.clone();
    for (resource, amount) in gpus.iter().flat_map(|gpus| &gpus.resources) {
        template.allocatable.set(resource, *amount);
    }
    let group = Group {
        name: pool.name.clone(),
        called: format!("pool {}", pool.name),
        size: pool.size,
        grows: !matches!(provider, ProviderKind::Local | ProviderKind::Kind),
        gpus,
        template,
        label_from: BTreeMap::new(),
        resource_from,
        platform,
        landed: Vec::new(),
        disk_unknown,
        is_live: false,
    };
    (group, node)
}

/// What a node of the local provider says of its disk.
const LOCAL_DISK: i64 = 100 << 30;

fn shape(shape: &Shape) -> Amounts {
    let mut amounts = Amounts::default();
    amounts.set(CPU, i64::try_from(shape.cpu_millis).unwrap_or(i64::MAX));
    amounts.set(MEMORY, i64::try_from(shape.memory_bytes).unwrap_or(i64::MAX));
    amounts.set(PODS, i64::from(shape.pods));
    amounts
}

/// kind's control plane node, which has a taint unless it is the only one. Source: kubeadm's default.
fn control_plane(wanted: &Wanted, arch: &str) -> (Group, Node) {
    const ROLE: &str = "node-role.kubernetes.io/control-plane";
    let taint = Taint { key: ROLE.into(), value: String::new(), effect: TaintEffect::NoSchedule };
    let pool = PoolSpec {
        name: "control-plane".into(),
        machine: None,
        // It is this machine: its CPU and memory are many times what is asked of it.
        shape: Shape { cpu_millis: 1_000_000, memory_bytes: 1 << 42, pods: 110, gpu: None },
        accelerator: None,
        size: PoolSize { min: 1, max: 1 },
        capacity: Capacity::OnDemand,
        labels: BTreeMap::from([(ROLE.to_owned(), String::new())]),
        taints: if wanted.pools.is_empty() { Vec::new() } else { vec![taint] },
    };
    let (mut group, mut node) = of_pool(wanted, &pool, None, arch);
    group.called = "the control plane's node".into();
    node.allocatable.set(PODS, CONTROL_PLANE_PODS);
    (group, node)
}

/// Live nodes, those alike together.
pub fn of_live(nodes: &[Value]) -> Vec<(Group, Node)> {
    const OWN: [&str; 1] = ["kubernetes.io/hostname"];
    let mut found: BTreeMap<String, (Group, Node)> = BTreeMap::new();
    for value in nodes {
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut all_labels = text_map(&value["metadata"]["labels"]);
        for key in OWN {
            all_labels.remove(key);
        }
        let likeness = serde_json::json!([
            all_labels,
            value["spec"]["taints"],
            value["spec"]["unschedulable"],
            value["status"]["allocatable"]
        ])
        .to_string();
        if let Some((group, _)) = found.get_mut(&likeness) {
            group.size.min += 1;
            group.size.max += 1;
            continue;
        }
        let mut node = Node::of(value);
        node.labels.set("kubernetes.io/hostname", LabelValue::Open(Vec::new()));
        node.name = None;
        let advertised: Vec<String> = node
            .allocatable
            .iter()
            .map(|(resource, _)| resource.to_owned())
            .filter(|name| name.contains('/'))
            .collect();
        let pool = all_labels.get(POOL_LABEL);
        let group = Group {
            name: pool.map_or_else(|| name.clone(), |pool| format!("{pool} ({name})")),
            called: format!("node {name}"),
            size: PoolSize { min: 1, max: 1 },
            grows: false,
            gpus: None,
            template: node.clone(),
            label_from: BTreeMap::new(),
            resource_from: advertised
                .into_iter()
                .map(|resource| (resource, vec!["the live node".to_owned()]))
                .collect(),
            platform: None,
            landed: Vec::new(),
            disk_unknown: false,
            is_live: true,
        };
        found.insert(likeness, (group, node));
    }
    let mut all: Vec<(Group, Node)> = found.into_values().collect();
    all.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    all
}
