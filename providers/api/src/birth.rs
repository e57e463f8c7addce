//! What each provider's nodes are born with beside what a pool asks for: labels, taints, and the pods that every cluster of
//! that provider runs. Facts about other people's systems, as data; the sources are named with each.

use std::collections::BTreeMap;

use crate::{Capacity, PoolSpec, ProviderKind, Taint, TaintEffect};

/// What a provider adds to the nodes of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Birth {
    /// Labels, known before the first node exists: a selector on them works at scale from zero.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
}

/// A workload that a provider puts into each cluster and that has to run for the cluster to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemWorkload {
    /// Its name in `kube-system`.
    pub name: &'static str,
    /// Pods of it.
    pub replicas: u32,
    /// Keys of the taints that it tolerates, whatever their value.
    pub tolerates: &'static [&'static str],
    /// CPU that a pod requests, in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory that a pod requests, in MiB.
    pub memory_mib: u64,
}

/// The region in which a rehearsal's nodes are, where nobody named one.
const ZONE: (&str, &str) = ("region-1", "region-1a");

/// Labels and taints that nodes of `pool` have on a cluster of `provider`, beside those of [`PoolSpec`].
///
/// A taint that the pool already has with the same key and effect is not repeated.
pub fn birth(provider: ProviderKind, pool: &PoolSpec) -> Birth {
    let mut birth = Birth { labels: well_known(pool), taints: Vec::new() };
    let spot = pool.capacity == Capacity::Spot;
    match provider {
        ProviderKind::Gke => gke(pool, spot, &mut birth),
        ProviderKind::Eks => {
            // AWS, EKS user guide "Managed node groups" and "capacity types": set on every node of a managed group; no taints.
            birth.label("eks.amazonaws.com/nodegroup", &pool.name);
            if pool.machine.as_deref().is_some_and(is_graviton) {
                birth.label("kubernetes.io/arch", "arm64");
            }
            birth.label("eks.amazonaws.com/capacityType", if spot { "SPOT" } else { "ON_DEMAND" });
        }
        ProviderKind::Aks => aks(pool, spot, &mut birth),
        // kind registers workers bare, kubeadm taints only the control plane; the local provider adds what its pools say.
        ProviderKind::Kind | ProviderKind::Local | ProviderKind::Existing => {}
    }
    birth.taints.retain(|taint| !pool.taints.iter().any(|own| (&own.key, own.effect) == (&taint.key, taint.effect)));
    birth
}

/// Every taint that a node of `pool` is born with on a cluster of `provider`: the pool's own and the provider's.
pub fn node_taints(provider: ProviderKind, pool: &PoolSpec) -> Vec<Taint> {
    pool.taints.iter().cloned().chain(birth(provider, pool).taints).collect()
}

/// What a cluster of `provider` runs of its own and needs an untainted node for.
pub fn system_workloads(provider: ProviderKind) -> &'static [SystemWorkload] {
    const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
    const CRITICAL: &str = "CriticalAddonsOnly";
    // Requests of CoreDNS: kubeadm's and EKS' manifest both say 100m and 70Mi (limit 170Mi).
    match provider {
        ProviderKind::Kind => &[SystemWorkload {
            name: "coredns",
            replicas: 2,
            tolerates: &[CONTROL_PLANE, CRITICAL],
            cpu_millis: 100,
            memory_mib: 70,
        }],
        ProviderKind::Eks => &[SystemWorkload {
            name: "coredns",
            replicas: 2,
            tolerates: &[CONTROL_PLANE, CRITICAL],
            cpu_millis: 100,
            memory_mib: 70,
        }],
        ProviderKind::Aks => {
            &[SystemWorkload { name: "coredns", replicas: 2, tolerates: &[CRITICAL], cpu_millis: 100, memory_mib: 70 }]
        }
        ProviderKind::Gke => &[SystemWorkload {
            name: "kube-dns",
            replicas: 2,
            tolerates: &[CRITICAL],
            cpu_millis: 260,
            memory_mib: 110,
        }],
        // No DNS of its own; and what an existing cluster runs is seen, not known.
        ProviderKind::Local | ProviderKind::Existing => &[],
    }
}

/// kubelet and cloud provider set these everywhere (kubernetes.io, "Well-Known Labels, Annotations and Taints").
fn well_known(pool: &PoolSpec) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
    ]);
    if let Some(machine) = &pool.machine {
        labels.insert("node.kubernetes.io/instance-type".into(), machine.clone());
    }
    labels
}

/// Whether a machine of EC2 has an ARM processor, by its name: a `g` among the letters after the generation (`m7g`, `c6gn`,
/// `im4gn`), or Grace in the suffix (`p6e-gb200`). EC2, "Instance type naming conventions"; held to the catalogue of the EKS provider.
pub fn is_graviton(machine: &str) -> bool {
    let family = machine.split('.').next().unwrap_or_default();
    let after =
        family.trim_start_matches(|c: char| c.is_ascii_lowercase()).trim_start_matches(|c: char| c.is_ascii_digit());
    let (letters, suffix) = after.split_once('-').unwrap_or((after, ""));
    letters.contains('g') || suffix.starts_with("gb") || machine.starts_with("a1.")
}

/// Where a rehearsal's nodes are; a real cloud's are known when they exist.
pub fn rehearsed_place(region: Option<&str>) -> BTreeMap<String, String> {
    let zone = region.map_or_else(|| ZONE.1.to_owned(), |region| format!("{region}a"));
    BTreeMap::from([
        ("topology.kubernetes.io/region".to_owned(), region.unwrap_or(ZONE.0).to_owned()),
        ("topology.kubernetes.io/zone".to_owned(), zone),
    ])
}

/// google-cloud-container NodeConfig and the cluster toolkit's gke-node-pool module (`nvidia.com/gpu=present:NoSchedule` is added
/// to GPU pools of clusters that have another pool). Whether spot nodes of Standard clusters are tainted by themselves is
/// contradicted by its sources, so this does not say so: the blueprint's own spot taint is there in any case.
fn gke(pool: &PoolSpec, spot: bool, birth: &mut Birth) {
    birth.label("cloud.google.com/gke-nodepool", &pool.name);
    birth.label("cloud.google.com/gke-provisioning", if spot { "spot" } else { "standard" });
    if spot {
        birth.label("cloud.google.com/gke-spot", "true");
    }
    if let Some(family) = pool.machine.as_deref().and_then(|machine| machine.split('-').next()) {
        birth.label("cloud.google.com/machine-family", family);
    }
    if let Some(accelerator) = &pool.accelerator {
        birth.label("cloud.google.com/gke-accelerator", &gce_accelerator(&accelerator.model));
        birth.label("cloud.google.com/gke-accelerator-count", &accelerator.count.to_string());
        birth.taint("nvidia.com/gpu", "present");
    }
}

/// learn.microsoft.com, AKS "Use labels" and "Add a Spot node pool": the taint of spot pools is set by AKS, a GPU taint is not.
fn aks(pool: &PoolSpec, spot: bool, birth: &mut Birth) {
    const SPOT: &str = "kubernetes.azure.com/scalesetpriority";
    birth.label("kubernetes.azure.com/agentpool", &pool.name);
    birth.label("agentpool", &pool.name);
    if pool.shape.gpu.as_ref().is_some_and(|gpu| gpu.pci_vendor == "10de") {
        birth.label("kubernetes.azure.com/accelerator", "nvidia");
    }
    if spot {
        birth.label(SPOT, "spot");
        birth.taint(SPOT, "spot");
    }
}

/// Compute Engine's name of an accelerator (cloud.google.com, "GPU platforms"): older models carry `tesla`.
pub fn gce_accelerator(model: &str) -> String {
    match model {
        "nvidia-a100-40gb" => "nvidia-tesla-a100",
        "nvidia-t4" => "nvidia-tesla-t4",
        "nvidia-v100" => "nvidia-tesla-v100",
        "nvidia-p100" => "nvidia-tesla-p100",
        "nvidia-p4" => "nvidia-tesla-p4",
        "nvidia-h200" => "nvidia-h200-141gb",
        other => other,
    }
    .to_owned()
}

impl Birth {
    fn label(&mut self, key: &str, value: &str) {
        self.labels.insert(key.to_owned(), value.to_owned());
    }

    fn taint(&mut self, key: &str, value: &str) {
        self.taints.push(Taint { key: key.into(), value: value.into(), effect: TaintEffect::NoSchedule });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accelerator, GpuShape, PoolSize, Shape};

    fn pool(capacity: Capacity) -> PoolSpec {
        let gpu = GpuShape { resource: "nvidia.com/gpu".into(), pci_vendor: "10de".into(), count: 8 };
        PoolSpec {
            name: "a100".into(),
            machine: Some("a2-highgpu-8g".into()),
            shape: Shape { cpu_millis: 96_000, memory_bytes: 680 << 30, pods: 110, gpu: Some(gpu) },
            accelerator: Some(Accelerator { model: "nvidia-a100-40gb".into(), count: 8 }),
            size: PoolSize { min: 0, max: 4 },
            capacity,
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }

    #[test]
    fn gke_names_pool_and_accelerator_and_taints_gpus() {
        let birth = birth(ProviderKind::Gke, &pool(Capacity::Spot));
        assert_eq!(birth.labels["cloud.google.com/gke-accelerator"], "nvidia-tesla-a100");
        assert_eq!(birth.labels["cloud.google.com/gke-spot"], "true");
        assert_eq!(birth.labels["cloud.google.com/machine-family"], "a2");
        assert_eq!(birth.taints.len(), 1);
    }

    #[test]
    fn a_taint_that_the_pool_has_is_not_there_twice() {
        let mut pool = pool(Capacity::OnDemand);
        let effect = TaintEffect::NoSchedule;
        pool.taints.push(Taint { key: "nvidia.com/gpu".into(), value: "mine".into(), effect });
        assert_eq!(birth(ProviderKind::Gke, &pool).taints, []);
    }

    #[test]
    fn aks_taints_spot_and_eks_nothing() {
        assert_eq!(
            birth(ProviderKind::Aks, &pool(Capacity::Spot)).taints[0].key,
            "kubernetes.azure.com/scalesetpriority"
        );
        assert_eq!(birth(ProviderKind::Aks, &pool(Capacity::OnDemand)).taints, []);
        let eks = birth(ProviderKind::Eks, &pool(Capacity::Spot));
        assert_eq!((eks.labels["eks.amazonaws.com/capacityType"].as_str(), eks.taints.len()), ("SPOT", 0));
    }

    #[test]
    fn an_arm_machine_of_ec2_is_known_by_its_name() {
        for machine in ["m7g.large", "t4g.nano", "im4gn.large", "x2gd.medium", "p6e-gb200.36xlarge", "a1.large"] {
            assert!(is_graviton(machine), "{machine}");
        }
        for machine in ["g6.xlarge", "g4dn.xlarge", "m7i-flex.large", "p6-b200.48xlarge", "gr6.4xlarge", "c5ad.large"] {
            assert!(!is_graviton(machine), "{machine}");
        }
        let mut pool = pool(Capacity::OnDemand);
        pool.machine = Some("m7g.large".into());
        assert_eq!(birth(ProviderKind::Eks, &pool).labels["kubernetes.io/arch"], "arm64");
    }
}
