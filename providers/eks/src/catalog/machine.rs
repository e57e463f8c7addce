//! Machines of EC2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use wbk_provider_api::{Capacity, Shape};

/// Made by scripts/machines.py; its first line names the sources and their day.
const MACHINES: &str = include_str!("machines.csv");

/// A machine type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `g6.12xlarge`.
    pub name: String,
    /// Virtual CPUs: what quotas count.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Its processor.
    pub arch: Arch,
    /// Its GPUs, where it has any.
    pub gpu: Option<MachineGpu>,
    /// AWS' own accelerators, Trainium or Inferentia.
    pub neuron: u32,
    /// Most elastic fabric adapters.
    pub efa: u32,
    /// Pods that the VPC CNI has addresses for, on the default network card. EKS lets fewer in: [`Machine::pods`].
    pub max_pods: u32,
    /// How EC2 sells it.
    pub sold: BTreeSet<Sale>,
    /// On demand in us-east-1, in ten-thousandths of a dollar an hour; for order alone.
    price: Option<u64>,
}

/// GPUs of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineGpu {
    /// In a blueprint's spelling, `nvidia-l4`.
    pub model: String,
    /// How many; 0 of a machine that has a part of one.
    pub count: u32,
    /// Memory of each, in MiB.
    pub memory_mib: u64,
}

/// A processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// Intel and AMD.
    X86_64,
    /// Graviton and Grace.
    Arm64,
}

/// How EC2 sells a machine: `SupportedUsageClasses` of DescribeInstanceTypes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sale {
    /// For as long as one likes.
    OnDemand,
    /// For less, until somebody else wants it.
    Spot,
    /// For a time that is reserved and paid ahead.
    CapacityBlock,
}

impl Sale {
    /// How a pool buys its nodes.
    pub fn of(capacity: Capacity, block: Option<&str>) -> Self {
        match (capacity, block) {
            (_, Some(_)) => Self::CapacityBlock,
            (Capacity::OnDemand, None) => Self::OnDemand,
            (Capacity::Spot, None) => Self::Spot,
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

/// Most pods that EKS lets on a node of a managed group, by its vCPUs, whatever addresses it has (AWS, EKS user guide, "Choose
/// an optimal EC2 node instance type", "How maxPods is determined").
const PODS: [(u32, u32); 2] = [(29, 110), (u32::MAX, 250)];

impl Machine {
    /// Most pods on a node of a managed group.
    pub fn pods(&self) -> u32 {
        let cap = PODS.iter().find(|(vcpus, _)| self.vcpus <= *vcpus).map_or(u32::MAX, |(_, pods)| *pods);
        self.max_pods.min(cap)
    }

    /// The letters that begin its family, by which quotas count: `p` of `p5en.48xlarge`.
    pub(super) fn letters(&self) -> &str {
        self.name.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default()
    }
}

impl MachineGpu {
    /// Whether a blueprint's `model` means these: their own spelling, or one that names the memory (`nvidia-h200-141gb`) or leaves
    /// it out (`nvidia-a100`). Makers round gigabytes, so that a tenth more or less is the same.
    pub fn is(&self, model: &str) -> bool {
        let own = base(&self.model).0;
        match base(model) {
            _ if model == self.model => true,
            (name, None) => name == own,
            (name, Some(gigabytes)) => name == own && self.memory_mib.abs_diff(gigabytes << 10) * 10 <= gigabytes << 10,
        }
    }
}

/// A model without its memory, and its memory.
fn base(model: &str) -> (&str, Option<u64>) {
    let sized = model.rsplit_once('-').and_then(|(name, last)| Some((name, last.strip_suffix("gb")?.parse().ok()?)));
    sized.map_or((model, None), |(name, gigabytes)| (name, Some(gigabytes)))
}

static TABLE: LazyLock<BTreeMap<&'static str, Machine>> = LazyLock::new(|| {
    let lines = MACHINES.lines().filter(|line| !line.starts_with('#')).skip(1);
    // A test holds that every line is read.
    lines.filter_map(read).collect()
});

fn read(line: &'static str) -> Option<(&'static str, Machine)> {
    let mut cells = line.split(',');
    let mut next = || cells.next().unwrap_or_default();
    let name = next();
    let (vcpus, memory_mib) = (next().parse().ok()?, next().parse().ok()?);
    let arch = match next() {
        "amd64" => Arch::X86_64,
        "arm64" => Arch::Arm64,
        _ => return None,
    };
    let (model, count, gpu_memory) = (next(), next(), next());
    let gpu = match model {
        "" => None,
        model => Some(MachineGpu {
            model: model.to_owned(),
            count: count.parse().ok()?,
            memory_mib: gpu_memory.parse().ok()?,
        }),
    };
    let mut number = |empty: &str| match next() {
        "" => empty.parse().ok(),
        digits => digits.parse::<u32>().ok(),
    };
    let (neuron, efa, max_pods) = (number("0")?, number("0")?, number("")?);
    let sold = next()
        .chars()
        .map(|letter| match letter {
            'o' => Some(Sale::OnDemand),
            's' => Some(Sale::Spot),
            'b' => Some(Sale::CapacityBlock),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let price = match next() {
        "" => None,
        dollars => Some(ten_thousandths(dollars)?),
    };
    Some((name, Machine { name: name.to_owned(), vcpus, memory_mib, arch, gpu, neuron, efa, max_pods, sold, price }))
}

/// `1.25` as 12500.
fn ten_thousandths(dollars: &str) -> Option<u64> {
    let (whole, part) = dollars.split_once('.').unwrap_or((dollars, ""));
    (part.len() <= 4).then(|| format!("{whole}{part:0<4}").parse().ok())?
}

/// Machines whose first network card has no fabric adapter, and each other card one (moto 5.2.5, EC2's answers: `InterfaceTypes` of the
/// cards). Of all others the first cards have one each.
pub const FIRST_CARD_WITHOUT_EFA: [&str; 1] = ["p6-b300.48xlarge"];

/// The machine of a name, where it is known.
pub fn machine(name: &str) -> Option<&'static Machine> {
    TABLE.get(name)
}

/// All of them, by name.
pub fn machines() -> impl Iterator<Item = &'static Machine> {
    TABLE.values()
}

/// From where the machines are known, and of which day.
pub fn machines_source() -> &'static str {
    MACHINES.lines().next().unwrap_or_default().trim_start_matches("# Machines of EC2. ")
}

/// Machines with exactly `count` accelerators of `model`, the cheapest first; those whose price is not known are last, the
/// smallest first.
pub fn with_accelerator(model: &str, count: u32) -> Vec<&'static Machine> {
    let has = |machine: &&Machine| machine.gpu.as_ref().is_some_and(|gpu| gpu.count == count && gpu.is(model));
    let mut found: Vec<&Machine> = machines().filter(has).collect();
    found.sort_by_key(|machine| {
        let price = machine.price.unwrap_or(u64::MAX);
        (price, machine.vcpus, machine.memory_mib, machine.name.as_str())
    });
    found
}

/// How many accelerators of a model machines have.
pub fn counts_of(model: &str) -> BTreeSet<u32> {
    let gpus = machines().filter_map(|machine| machine.gpu.as_ref());
    gpus.filter(|gpu| gpu.count > 0 && gpu.is(model)).map(|gpu| gpu.count).collect()
}

/// Every model of accelerator, as these machines' own data spells it.
pub fn models() -> BTreeSet<&'static str> {
    machines().filter_map(|machine| machine.gpu.as_ref()).map(|gpu| gpu.model.as_str()).collect()
}

/// Memory that firmware and kernel keep for themselves, in thousandths: EC2 says what the machine has, the kubelet what Linux
/// shows. Karpenter's own default (`vmMemoryOverheadPercent: 0.075`), which is on the safe side.
const OVERHEAD: u64 = 75;
/// MiB at which the kubelet evicts pods: `memory.available<100Mi`, of EKS' images.
const EVICTION: u64 = 100;

/// What a node of a machine leaves to pods: what the kubelet of EKS' images reserves is taken off.
///
/// The reservations are those of Amazon Linux 2023 (awslabs/amazon-eks-ami@81fec2e8, nodeadm/internal/kubelet/config.go:
/// `getCPUMillicoresToReserve`, `getMemoryMebibytesToReserve`), which Bottlerocket has too. Memory is reserved for every pod that
/// has an address, also where EKS lets fewer in.
pub fn allocatable(machine: &Machine) -> Shape {
    let memory = machine.memory_mib * (1000 - OVERHEAD) / 1000;
    let reserved = 255 + 11 * u64::from(machine.max_pods) + EVICTION;
    Shape {
        cpu_millis: u64::from(machine.vcpus) * 1000 - reserved_cpu(u64::from(machine.vcpus) * 1000),
        memory_bytes: memory.saturating_sub(reserved) << 20,
        pods: machine.pods(),
        gpu: None,
    }
}

/// 6 % of the first core, 1 % of the second, 0.5 % of the next two and 0.25 % of the rest.
fn reserved_cpu(millis: u64) -> u64 {
    let steps = [(0, 1000, 600), (1000, 2000, 100), (2000, 4000, 50), (4000, u64::MAX, 25)];
    steps.iter().map(|(from, to, rate)| millis.min(*to).saturating_sub(*from) * rate / 10_000).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> &'static Machine {
        machine(name).unwrap_or_else(|| panic!("{name} is not in the catalog"))
    }

    #[test]
    fn every_line_is_a_machine_and_its_arithmetic_is_sane() {
        assert_eq!(machines().count(), MACHINES.lines().count() - 2, "a line was not understood");
        assert!(machines().count() > 1000);
        for machine in machines() {
            let shape = allocatable(machine);
            let name = &machine.name;
            assert!(shape.cpu_millis > 0 && shape.cpu_millis < u64::from(machine.vcpus) * 1000, "{name}");
            // The smallest machines of all (t3.nano, 512 MiB) leave nothing to pods.
            assert!(shape.memory_bytes > 0 || machine.memory_mib <= 1024, "{name}");
            assert!(shape.memory_bytes >> 20 < machine.memory_mib, "{name}");
            assert!(shape.pods >= 2 && shape.pods <= 250, "{name}: {}", shape.pods);
            assert!(!machine.sold.is_empty(), "{name}");
            assert_eq!(
                machine.arch == Arch::Arm64,
                wbk_provider_api::is_graviton(name),
                "{name}: the name says another processor"
            );
        }
    }

    #[test]
    fn known_machines_are_as_aws_describes_them() {
        let p4d = known("p4d.24xlarge");
        assert_eq!((p4d.vcpus, p4d.memory_mib, p4d.efa, p4d.max_pods, p4d.pods()), (96, 1_179_648, 4, 737, 250));
        let gpu = p4d.gpu.as_ref().unwrap();
        assert_eq!((gpu.model.as_str(), gpu.count, gpu.memory_mib), ("nvidia-a100-40gb", 8, 40_960));
        assert!(p4d.sold.contains(&Sale::CapacityBlock));
        let p5 = known("p5.48xlarge");
        assert_eq!((p5.vcpus, p5.efa, p5.gpu.as_ref().unwrap().count), (192, 32, 8));
        assert_eq!(known("g6.xlarge").gpu.as_ref().unwrap().model, "nvidia-l4");
        let trn1 = known("trn1.32xlarge");
        assert_eq!((trn1.neuron, trn1.gpu.is_none(), trn1.efa), (16, true, 8));
        assert_eq!(known("g5g.xlarge").arch, Arch::Arm64);
        assert_eq!(known("m7i.xlarge").pods(), 58);
        // A fraction of a GPU is none that a pod can ask for.
        assert_eq!(known("g6f.large").gpu.as_ref().unwrap().count, 0);
        assert!(machines_source().starts_with("20"), "{}", machines_source());
    }

    /// Karpenter's documentation of the same day computes these from the same facts (website/content/en/docs/reference/
    /// instance-types.md): 3920m and 14162Mi of g6.xlarge, 95690m and 1082712Mi of p4d.24xlarge.
    #[test]
    fn what_is_left_to_pods_is_what_karpenter_reckons() {
        let of = |name: &str| {
            let shape = allocatable(known(name));
            (shape.cpu_millis, shape.memory_bytes >> 20)
        };
        assert_eq!(of("g6.xlarge"), (3920, 14_162));
        assert_eq!(of("p4d.24xlarge"), (95_690, 1_082_712));
    }

    #[test]
    fn an_accelerator_is_found_in_every_spelling_and_the_cheapest_machine_is_first() {
        for (model, count, first) in [
            ("nvidia-a100-40gb", 8, "p4d.24xlarge"),
            ("nvidia-a100-80gb", 8, "p4de.24xlarge"),
            ("nvidia-a100", 8, "p4d.24xlarge"),
            ("nvidia-l4", 1, "g6.xlarge"),
            ("nvidia-l4-24gb", 1, "g6.xlarge"),
            ("nvidia-l40s", 4, "g6e.12xlarge"),
            ("nvidia-a10g", 1, "g5.xlarge"),
            ("nvidia-t4", 1, "g4dn.xlarge"),
            ("nvidia-v100", 8, "p3dn.24xlarge"),
            ("nvidia-h100-80gb", 8, "p5.48xlarge"),
            ("nvidia-h100", 1, "p5.4xlarge"),
            ("nvidia-h200-141gb", 8, "p5en.48xlarge"),
            ("nvidia-b200", 8, "p6-b200.48xlarge"),
            ("nvidia-b300", 8, "p6-b300.48xlarge"),
        ] {
            let found = with_accelerator(model, count);
            assert_eq!(found.first().map(|machine| machine.name.as_str()), Some(first), "{count} x {model}");
        }
        assert_eq!(with_accelerator("nvidia-a100-40gb", 4), Vec::<&Machine>::new());
        assert_eq!(counts_of("nvidia-a100-40gb"), BTreeSet::from([8]));
        assert_eq!(counts_of("nvidia-l4"), BTreeSet::from([1, 4, 8]));
        assert_eq!(counts_of("amd-mi300x"), BTreeSet::new());
        // 16 and 32 GB are two GPUs of one name; the machines with the smaller one are gone.
        assert_eq!(with_accelerator("nvidia-v100-16gb", 8), Vec::<&Machine>::new());
    }
}
