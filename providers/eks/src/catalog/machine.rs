//! Machines of EC2.

use wbk_provider_api::Shape;

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
    /// Pods that the VPC CNI has addresses for.
    pub max_pods: u32,
}

/// GPUs of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineGpu {
    /// In a blueprint's spelling, `nvidia-l4`.
    pub model: String,
    /// How many.
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

/// The machine of a name, where it is known.
pub fn machine(_name: &str) -> Option<&'static Machine> {
    None
}

/// Machines with exactly `count` accelerators of `model`, the cheapest first.
pub fn with_accelerator(_model: &str, _count: u32) -> Vec<&'static Machine> {
    Vec::new()
}

/// The image that fits a machine, in the API's word: Amazon Linux 2023 in its kind for the processor and the accelerator.
pub fn ami(machine: &Machine) -> &'static str {
    let nvidia = machine.gpu.as_ref().is_some_and(|gpu| gpu.model.starts_with("nvidia-"));
    match (machine.arch, nvidia, machine.neuron > 0) {
        (Arch::X86_64, true, _) => "AL2023_x86_64_NVIDIA",
        (Arch::Arm64, true, _) => "AL2023_ARM_64_NVIDIA",
        (Arch::X86_64, false, true) => "AL2023_x86_64_NEURON",
        (Arch::X86_64, false, false) => "AL2023_x86_64_STANDARD",
        (Arch::Arm64, false, _) => "AL2023_ARM_64_STANDARD",
    }
}

/// What a node of a machine leaves to pods: what the kubelet of EKS' images reserves is taken off.
pub fn allocatable(_machine: &Machine) -> Shape {
    Shape { cpu_millis: 0, memory_bytes: 0, pods: 0, gpu: None }
}
