//! What a node of an instance type offers to pods, from EC2's own description of the type.

use wbk_provider_api::{Accelerator, GpuShape, Shape};

use crate::xml;

/// An instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// What its nodes offer.
    pub(crate) shape: Shape,
    /// Its GPUs in portable words.
    pub(crate) accelerator: Option<Accelerator>,
    /// As `kubernetes.io/arch` says it.
    pub(crate) arch: &'static str,
}

impl Machine {
    /// Reads an answer to DescribeInstanceTypes that has one type; `None` where it is not whole.
    pub(crate) fn of(xml: &str) -> Option<Self> {
        let number = |within: &str, name: &str| xml::text(xml::text(xml, within)?, name)?.parse::<u64>().ok();
        let (cpus, memory) = (number("vCpuInfo", "defaultVCpus")?, number("memoryInfo", "sizeInMiB")?);
        let interfaces = number("networkInfo", "maximumNetworkInterfaces")?;
        let addresses = number("networkInfo", "ipv4AddressesPerInterface")?;
        // amazon-vpc-cni-k8s, "ENI allocation": the first address of an interface is the interface's own; two pods use the host's.
        let pods = interfaces * (addresses - 1) + 2;
        let (gpu, accelerator) = xml::text(xml, "gpuInfo").and_then(gpus).unzip();
        let shape = Shape {
            cpu_millis: cpus * 1000 - reserved_millis(cpus),
            memory_bytes: memory.saturating_sub(reserved_mib(pods)) << 20,
            pods: u32::try_from(pods).ok()?,
            gpu,
        };
        let arch = if xml.contains("<item>arm64</item>") { "arm64" } else { "amd64" };
        Some(Self { shape, accelerator, arch })
    }
}

/// nodeadm (awslabs/amazon-eks-ami) reserves 6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest.
fn reserved_millis(cpus: u64) -> u64 {
    let tenths: u64 = (0..cpus)
        .map(|core| match core {
            0 => 600,
            1 => 100,
            2 | 3 => 50,
            _ => 25,
        })
        .sum();
    tenths / 10
}

/// nodeadm reserves 255 MiB and 11 MiB for each pod; kubelet evicts below 100 MiB.
fn reserved_mib(pods: u64) -> u64 {
    255 + 11 * pods + 100
}

fn gpus(info: &str) -> Option<(GpuShape, Accelerator)> {
    let first = xml::text(info, "gpus")?;
    let count = xml::text(first, "count")?.parse().ok()?;
    let (vendor, resource, pci_vendor) = match xml::text(first, "manufacturer")? {
        "NVIDIA" => ("nvidia", "nvidia.com/gpu", "10de"),
        "AMD" => ("amd", "amd.com/gpu", "1002"),
        _ => return None,
    };
    let name = xml::text(first, "name")?.to_ascii_lowercase();
    // Models that are sold with more than one size of memory carry it in their portable name.
    let gib = xml::text(first, "sizeInMiB")?.parse::<u64>().ok()? / 1000;
    let model = match name.as_str() {
        "a100" => format!("{vendor}-{name}-{}", if gib > 60 { "80gb" } else { "40gb" }),
        "v100" => format!("{vendor}-{name}-{}", if gib > 20 { "32gb" } else { "16gb" }),
        "h100" => format!("{vendor}-{name}-80gb"),
        "h200" => format!("{vendor}-{name}-141gb"),
        _ => format!("{vendor}-{name}"),
    };
    Some((GpuShape { resource: resource.into(), pci_vendor: pci_vendor.into(), count }, Accelerator { model, count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of moto 5.2.5's answer for g6.12xlarge.
    const G6: &str = "<processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>\
        <vCpuInfo><defaultVCpus>48</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>196608</sizeInMiB></memoryInfo>\
        <networkInfo><maximumNetworkInterfaces>8</maximumNetworkInterfaces><networkCards><item><networkCardIndex>0</networkCardIndex></item>\
        </networkCards><ipv4AddressesPerInterface>30</ipv4AddressesPerInterface></networkInfo>\
        <gpuInfo><gpus><item><name>L4</name><manufacturer>NVIDIA</manufacturer><count>4</count><memoryInfo><sizeInMiB>22888</sizeInMiB>\
        </memoryInfo></item></gpus></gpuInfo>";

    #[test]
    fn a_machine_offers_what_kubelet_and_system_leave() {
        let machine = Machine::of(G6).unwrap();
        assert_eq!((machine.shape.cpu_millis, machine.shape.pods, machine.arch), (47_810, 234, "amd64"));
        assert_eq!(machine.shape.memory_bytes >> 20, 196_608 - 255 - 11 * 234 - 100);
        assert_eq!(machine.accelerator, Some(Accelerator { model: "nvidia-l4".into(), count: 4 }));
        assert_eq!(machine.shape.gpu.unwrap().resource, "nvidia.com/gpu");
    }
}
