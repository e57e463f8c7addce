//! Images of nodes, in the API's words (`AMITypes` of EKS, botocore 1.44.5).

use super::{Arch, Machine};

/// An image that EKS keeps for managed node groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// The API's word, `AL2023_x86_64_NVIDIA`.
    pub word: &'static str,
    /// What it is.
    pub system: ImageSystem,
    /// The processor it is for.
    pub arch: Arch,
    /// The accelerators whose driver it has.
    pub accelerator: ImageAccelerator,
}

/// An operating system of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSystem {
    /// Amazon Linux 2, which ended on 2025-11-26 and is not made for Kubernetes 1.33 and later.
    AmazonLinux2,
    /// Amazon Linux 2023.
    AmazonLinux2023,
    /// Bottlerocket.
    Bottlerocket,
}

/// Accelerators that an image has the driver of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageAccelerator {
    /// None.
    None,
    /// NVIDIA's GPUs.
    Nvidia,
    /// Trainium and Inferentia.
    Neuron,
}

/// The first minor version of Kubernetes 1 that Amazon Linux 2 is not made for.
pub const WITHOUT_AMAZON_LINUX_2: u32 = 33;

const fn image(word: &'static str, system: ImageSystem, arch: Arch, accelerator: ImageAccelerator) -> Image {
    Image { word, system, arch, accelerator }
}

/// Images of Linux nodes. Those of Windows, and `CUSTOM`, which needs a launch template with an image of one's own, are left out.
pub const IMAGES: [Image; 16] = {
    use Arch::{Arm64, X86_64};
    use ImageAccelerator::{Neuron, None, Nvidia};
    use ImageSystem::{AmazonLinux2, AmazonLinux2023, Bottlerocket};
    [
        image("AL2023_x86_64_STANDARD", AmazonLinux2023, X86_64, None),
        image("AL2023_ARM_64_STANDARD", AmazonLinux2023, Arm64, None),
        image("AL2023_x86_64_NVIDIA", AmazonLinux2023, X86_64, Nvidia),
        image("AL2023_ARM_64_NVIDIA", AmazonLinux2023, Arm64, Nvidia),
        image("AL2023_x86_64_NEURON", AmazonLinux2023, X86_64, Neuron),
        image("BOTTLEROCKET_x86_64", Bottlerocket, X86_64, None),
        image("BOTTLEROCKET_ARM_64", Bottlerocket, Arm64, None),
        image("BOTTLEROCKET_x86_64_FIPS", Bottlerocket, X86_64, None),
        image("BOTTLEROCKET_ARM_64_FIPS", Bottlerocket, Arm64, None),
        image("BOTTLEROCKET_x86_64_NVIDIA", Bottlerocket, X86_64, Nvidia),
        image("BOTTLEROCKET_ARM_64_NVIDIA", Bottlerocket, Arm64, Nvidia),
        image("BOTTLEROCKET_x86_64_NVIDIA_FIPS", Bottlerocket, X86_64, Nvidia),
        image("BOTTLEROCKET_ARM_64_NVIDIA_FIPS", Bottlerocket, Arm64, Nvidia),
        image("AL2_x86_64", AmazonLinux2, X86_64, None),
        image("AL2_x86_64_GPU", AmazonLinux2, X86_64, Nvidia),
        image("AL2_ARM_64", AmazonLinux2, Arm64, None),
    ]
};

/// The image of a word.
pub fn image_of(word: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.word == word)
}

impl Image {
    /// Whether its nodes tell the kubelet of their GPUs by themselves. Bottlerocket's NVIDIA variants run NVIDIA's device plugin
    /// as a service of the system (Bottlerocket, "aws-k8s-nvidia variants"); Amazon Linux has driver and toolkit alone.
    pub fn brings_device_plugin(&self) -> bool {
        self.system == ImageSystem::Bottlerocket && self.accelerator == ImageAccelerator::Nvidia
    }

    /// Why nodes of a machine cannot run on it, one clause; `None` where they can.
    pub fn misfit(&self, machine: &Machine) -> Option<String> {
        let name = &machine.name;
        if self.arch != machine.arch {
            return Some(format!("it is for {}, and {name} is {}", self.arch, machine.arch));
        }
        match (self.accelerator, accelerator(machine)) {
            (own, has) if own == has => None,
            (_, ImageAccelerator::Nvidia) => Some(format!("it has no NVIDIA driver, and {name} has NVIDIA GPUs")),
            (_, ImageAccelerator::Neuron) => Some(format!("it has no Neuron driver, and {name} has Neuron devices")),
            // EKS user guide, "Choose an optimal EC2 node instance type": accelerated images do not support such families.
            (_, ImageAccelerator::None) => Some(format!("it is made for accelerators, and {name} has none")),
        }
    }
}

fn accelerator(machine: &Machine) -> ImageAccelerator {
    match (&machine.gpu, machine.neuron) {
        (Some(gpu), _) if gpu.model.starts_with("nvidia-") => ImageAccelerator::Nvidia,
        (_, 0) => ImageAccelerator::None,
        (_, _) => ImageAccelerator::Neuron,
    }
}

/// The image that fits a machine, in the API's word: Amazon Linux 2023 in its kind for the processor and the accelerator.
pub fn ami(machine: &Machine) -> &'static str {
    match (machine.arch, accelerator(machine)) {
        (Arch::X86_64, ImageAccelerator::Nvidia) => "AL2023_x86_64_NVIDIA",
        (Arch::Arm64, ImageAccelerator::Nvidia) => "AL2023_ARM_64_NVIDIA",
        (Arch::X86_64, ImageAccelerator::Neuron) => "AL2023_x86_64_NEURON",
        (Arch::X86_64, ImageAccelerator::None) => "AL2023_x86_64_STANDARD",
        (Arch::Arm64, ImageAccelerator::Neuron | ImageAccelerator::None) => "AL2023_ARM_64_STANDARD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{machine, machines};

    #[test]
    fn the_image_that_is_chosen_fits_every_machine() {
        for machine in machines() {
            let image = image_of(ami(machine)).expect("a word of the API");
            assert_eq!(image.misfit(machine), None, "{}", machine.name);
            assert!(!image.brings_device_plugin());
        }
    }

    #[test]
    fn an_image_that_does_not_fit_says_why() {
        let why = |word: &str, name: &str| image_of(word).unwrap().misfit(machine(name).unwrap());
        assert_eq!(why("BOTTLEROCKET_x86_64_NVIDIA", "g6.xlarge"), None);
        assert_eq!(
            why("AL2023_x86_64_STANDARD", "g6.xlarge").unwrap(),
            "it has no NVIDIA driver, and g6.xlarge has NVIDIA GPUs"
        );
        assert_eq!(why("AL2023_ARM_64_STANDARD", "m7i.large").unwrap(), "it is for arm64, and m7i.large is x86_64");
        assert_eq!(
            why("AL2023_x86_64_NVIDIA", "m7i.large").unwrap(),
            "it is made for accelerators, and m7i.large has none"
        );
        assert!(why("AL2023_x86_64_NVIDIA", "trn1.2xlarge").unwrap().contains("Neuron"));
    }

    #[test]
    fn the_words_are_those_of_the_api() {
        let api = aws_sdk_eks::types::AmiTypes::values();
        let left_out = |word: &&&str| !word.starts_with("WINDOWS_") && **word != "CUSTOM";
        let wanted: std::collections::BTreeSet<&str> = api.iter().filter(left_out).copied().collect();
        assert_eq!(IMAGES.iter().map(|image| image.word).collect::<std::collections::BTreeSet<_>>(), wanted);
    }
}
