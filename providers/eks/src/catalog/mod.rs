//! What AWS sells and EKS runs, as dated data: machines with their GPUs, images, zones without EKS. Pure.

mod machine;

pub use machine::{Arch, Machine, MachineGpu, allocatable, ami, machine, with_accelerator};
