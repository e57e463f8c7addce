//! Kinds of nodes: the pools of a blueprint as their nodes are born, or live nodes with those like them.

use std::collections::BTreeMap;

use wbk_provider_api::{
    Capacity, EksAutoscaler, PoolSize, PoolSpec, ProviderKind, Shape, Taint, TaintEffect, Wanted, birth, node_taints,
};

use crate::desired::{Advertiser, FABRIC, HUGE_PAGES, PoolGpus, fabrics};

use super::super::scheduler::{Amounts, CPU, EPHEMERAL, LabelValue, Labels, MEMORY, MayHave, Node, PODS};
use crate::desired::POOL_LABEL;

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
    /// What else is advertised once somebody does, by resource: fabric adapters.
    pub others: BTreeMap<String, i64>,
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
    /// The nodes that are there already, where it is made of such: nothing more arrives.
    pub live: Option<LiveNodes>,
}

/// Live nodes that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveNodes {
    /// Their names.
    pub names: Vec<String>,
    /// The pool of the blueprint that they are of.
    pub pool: Option<String>,
    /// Taints that this pool says, or its cloud adds: any other somebody put there.
    pub declared: Vec<Taint>,
}

impl Group {
    /// Whether the nodes take no new pods for now: cordoned, not Ready, under pressure, on their way out. Checks of nodes say so;
    /// a proof about such a node says nothing of the platform.
    pub fn is_out(&self, node: &Node) -> bool {
        // Kubernetes' own condition taints; a cloud's shutdown; the cluster autoscaler's and Karpenter's mark of a node that goes.
        const OUT: [&str; 5] = [
            "node.kubernetes.io/",
            "node.cloudprovider.kubernetes.io/",
            "ToBeDeletedByClusterAutoscaler",
            "DeletionCandidateOfClusterAutoscaler",
            "karpenter.sh/disrupt",
        ];
        self.live.is_some()
            && (node.unschedulable || node.taints.iter().any(|taint| OUT.iter().any(|out| taint.key.starts_with(out))))
    }
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
    // Where a pool has it, it is one of that pool's nodes, with that pool's taints alone.
    if provider == ProviderKind::Kind && wanted.cluster.kind.control_plane.is_none() {
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
    if auto_mode(wanted) {
        for key in ["eks.amazonaws.com/nodegroup", "eks.amazonaws.com/capacityType"] {
            labels.remove(key);
        }
        let capacity = if pool.capacity == Capacity::Spot { "spot" } else { "on-demand" };
        for (key, value) in [
            ("karpenter.sh/nodepool", pool.name.as_str()),
            ("karpenter.sh/capacity-type", capacity),
            ("eks.amazonaws.com/compute-type", "auto"),
        ] {
            labels.set(key, LabelValue::Is(value.to_owned()));
        }
    }
    // Nodes of a group that is somebody else's have what the blueprint writes.
    let eks = wanted.cluster.eks.as_ref().and_then(|eks| eks.pools.get(&pool.name));
    let is_given = eks.is_some_and(|eks| eks.group.is_some());
    if !is_given && !pool.labels.contains_key(POOL_LABEL) {
        labels.set(POOL_LABEL, LabelValue::Is(pool.name.clone()));
    }
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
    let mut others = BTreeMap::new();
    if let Some(fabric) = fabrics(wanted).get(&pool.name) {
        others.insert(FABRIC.to_owned(), i64::try_from(fabric.adapters).unwrap_or(i64::MAX));
        // They are memory that is nothing else any more.
        let huge = i64::try_from(fabric.huge_bytes).unwrap_or(i64::MAX);
        allocatable.set(HUGE_PAGES, huge);
        allocatable.set(MEMORY, (allocatable.get(MEMORY) - huge).max(0));
    }
    let gpus = gpus_of(pool, known);
    let platform = known.and_then(platform_of);
    let mut resource_from = BTreeMap::new();
    if let Some(why) = &platform {
        for (resource, amount) in gpus.iter().flat_map(|gpus| &gpus.resources) {
            allocatable.set(resource, *amount);
            resource_from.insert(resource.clone(), vec![the_platform(why)]);
        }
    }
    let node = Node { name: None, labels, taints, unschedulable: false, allocatable, pods: Vec::new() };
    let mut template = node.clone();
    if cluster_autoscaler(wanted) {
        // It knows what tags and DescribeNodegroup say, and no label that EKS may add besides (buildNodeFromTemplate).
        template.labels = template.labels.exactly();
    }
    for (resource, amount) in gpus.iter().flat_map(|gpus| &gpus.resources) {
        template.allocatable.set(resource, *amount);
    }
    for (resource, amount) in &others {
        template.allocatable.set(resource, *amount);
    }
    let group = Group {
        name: pool.name.clone(),
        called: format!("pool {}", pool.name),
        size: pool.size,
        grows: grows(provider),
        gpus,
        others,
        template,
        label_from: BTreeMap::new(),
        resource_from,
        platform,
        landed: Vec::new(),
        disk_unknown,
        live: None,
    };
    (group, node)
}

/// The GPUs of one node of a pool, sharing and partitions counted.
pub(super) fn gpus_of(pool: &PoolSpec, known: Option<&PoolGpus>) -> Option<Gpus> {
    let gpu = pool.shape.gpu.as_ref()?;
    Some(Gpus {
        vendor: gpu.resource.split_inclusive('/').next().unwrap_or_default().to_owned(),
        pci: gpu.pci_vendor.clone(),
        model: pool.accelerator.as_ref().map(|accelerator| accelerator.model.clone()),
        resources: match known.filter(|known| !known.allocatable.is_empty()) {
            Some(known) => {
                let amounts = known.allocatable.iter();
                amounts.map(|(name, count)| (name.clone(), i64::try_from(*count).unwrap_or(i64::MAX))).collect()
            }
            None => BTreeMap::from([(gpu.resource.clone(), i64::from(gpu.count))]),
        },
    })
}

/// Why the platform itself advertises a pool's GPUs, where it does.
pub(super) fn platform_of(known: &PoolGpus) -> Option<String> {
    match &known.advertiser {
        Advertiser::Platform { why } => Some(why.clone()),
        _ => None,
    }
}

/// How the platform is called among the advertisers of a resource.
pub(super) fn the_platform(why: &str) -> String {
    format!("the platform ({why})")
}

/// Whether Cluster Autoscaler makes the nodes of EKS.
fn cluster_autoscaler(wanted: &Wanted) -> bool {
    wanted.cluster.eks.as_ref().is_some_and(|eks| eks.autoscaler == EksAutoscaler::ClusterAutoscaler)
}

/// Whether the nodes are those of EKS Auto Mode.
pub(super) fn auto_mode(wanted: &Wanted) -> bool {
    wanted.cluster.eks.as_ref().is_some_and(|eks| eks.autoscaler == EksAutoscaler::AutoMode)
}

/// Whether something adds nodes to a pool when pods wait.
pub(super) fn grows(provider: ProviderKind) -> bool {
    !matches!(provider, ProviderKind::Local | ProviderKind::Kind)
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
