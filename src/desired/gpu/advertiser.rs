//! Who advertises a pool's GPUs: exactly one for each vendor and node, and nothing where the platform brings its own.

use wbk_provider_api::ProviderKind;
use wbk_provider_eks::catalog::{Image, image_of};

use super::types::{Advertiser, GpuVendor};
use crate::blueprint::schema::{GpuPlugin, NodePool};

/// What runs on a pool's nodes, as far as it decides about GPUs. Facts: NVIDIA's, Amazon's and Microsoft's own documentation of
/// August 2026 (see docs/gpu.md, "Who advertises").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeSystem {
    /// Simulated nodes of the local provider.
    Simulated,
    /// Kubelets in containers on this machine.
    Kind,
    /// Nodes of which nothing is known: an existing cluster.
    Unknown,
    /// GKE's nodes, with GKE's drivers and device plugin.
    Gke,
    /// GKE's nodes whose own device plugin is switched off by the label `gke-no-default-nvidia-gpu-device-plugin=true`.
    GkeWithoutPlugin,
    /// EKS, Amazon Linux 2023 with NVIDIA's driver and toolkit and no device plugin.
    EksAmazonLinux,
    /// EKS, Bottlerocket's NVIDIA variant, which has the device plugin.
    EksBottlerocket,
    /// EKS Auto Mode, which has the device plugin.
    EksAutoMode,
    /// AKS, Ubuntu or Azure Linux with NVIDIA's driver and no device plugin.
    Aks,
    /// AKS with `gpuProfile.nvidia.managementMode: Managed`.
    AksManaged,
}

impl NodeSystem {
    /// What a provider's nodes run unless the pool says otherwise.
    pub fn of(provider: ProviderKind) -> Self {
        match provider {
            ProviderKind::Local => Self::Simulated,
            ProviderKind::Kind => Self::Kind,
            ProviderKind::Existing => Self::Unknown,
            ProviderKind::Gke => Self::Gke,
            ProviderKind::Eks => Self::EksAmazonLinux,
            ProviderKind::Aks => Self::Aks,
        }
    }

    /// What a pool's nodes run: on EKS its image decides.
    pub(crate) fn of_pool(provider: ProviderKind, pool: &NodePool) -> Self {
        let brings = || {
            let word = pool.eks.as_ref().and_then(|eks| eks.ami.as_deref());
            word.and_then(image_of).is_some_and(Image::brings_device_plugin)
        };
        match provider {
            ProviderKind::Eks if brings() => Self::EksBottlerocket,
            _ => Self::of(provider),
        }
    }

    /// Why nothing has to be installed for NVIDIA's GPUs; `None` where something has.
    fn brings_nvidia_plugin(self) -> Option<&'static str> {
        match self {
            Self::Gke => Some("GKE runs its own device plugin on GPU nodes"),
            Self::EksBottlerocket => Some("Bottlerocket's NVIDIA variant has the device plugin in it"),
            Self::EksAutoMode => Some("EKS Auto Mode runs the device plugin itself"),
            Self::AksManaged => Some("AKS manages driver, device plugin and metrics of this pool itself"),
            Self::Simulated
            | Self::Kind
            | Self::Unknown
            | Self::GkeWithoutPlugin
            | Self::EksAmazonLinux
            | Self::Aks => None,
        }
    }
}

/// Decides for one pool. Pure: the same words give the same answer, also for providers that are not there yet.
pub fn advertiser(plugin: GpuPlugin, operator: bool, system: NodeSystem, vendor: GpuVendor) -> Advertiser {
    let none = |why: &str| Advertiser::None { why: why.into() };
    let of_vendor = || match vendor {
        GpuVendor::Nvidia if operator => Advertiser::GpuOperator,
        GpuVendor::Nvidia => Advertiser::NvidiaPlugin,
        GpuVendor::Amd => Advertiser::AmdPlugin,
        GpuVendor::Intel => Advertiser::IntelPlugin,
    };
    let unless_platform = || match (vendor, system.brings_nvidia_plugin()) {
        (GpuVendor::Nvidia, Some(why)) => Advertiser::Platform { why: why.into() },
        (GpuVendor::Nvidia | GpuVendor::Amd | GpuVendor::Intel, _) => of_vendor(),
    };
    let only = |asked: GpuVendor| {
        if asked == vendor { unless_platform() } else { none("`gpu.plugin` names another vendor's") }
    };
    match (plugin, system) {
        (GpuPlugin::None, _) => match system.brings_nvidia_plugin() {
            Some(why) if vendor == GpuVendor::Nvidia => Advertiser::Platform { why: why.into() },
            Some(_) | None => none("the blueprint says `plugin: none`"),
        },
        (GpuPlugin::Simulated | GpuPlugin::Auto, NodeSystem::Simulated) => Advertiser::StandIn,
        // A kubelet in a container sees no GPU of the machine.
        (GpuPlugin::Simulated, _) | (GpuPlugin::Auto, NodeSystem::Kind) => Advertiser::FakePlugin,
        (GpuPlugin::Auto, _) => unless_platform(),
        (GpuPlugin::Nvidia, _) => only(GpuVendor::Nvidia),
        (GpuPlugin::Amd, _) => only(GpuVendor::Amd),
        (GpuPlugin::Intel, _) => only(GpuVendor::Intel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [NodeSystem; 10] = [
        NodeSystem::Simulated,
        NodeSystem::Kind,
        NodeSystem::Unknown,
        NodeSystem::Gke,
        NodeSystem::GkeWithoutPlugin,
        NodeSystem::EksAmazonLinux,
        NodeSystem::EksBottlerocket,
        NodeSystem::EksAutoMode,
        NodeSystem::Aks,
        NodeSystem::AksManaged,
    ];

    fn word(advertiser: &Advertiser) -> &'static str {
        match advertiser {
            Advertiser::Platform { .. } => "platform",
            Advertiser::NvidiaPlugin => "plugin",
            Advertiser::GpuOperator => "operator",
            Advertiser::AmdPlugin => "amd",
            Advertiser::IntelPlugin => "intel",
            Advertiser::StandIn => "stand-in",
            Advertiser::FakePlugin => "fake",
            Advertiser::None { .. } => "none",
        }
    }

    fn row(plugin: GpuPlugin, operator: bool, vendor: GpuVendor) -> Vec<&'static str> {
        ALL.map(|system| word(&advertiser(plugin, operator, system, vendor))).to_vec()
    }

    #[test]
    fn auto_installs_what_the_platform_does_not_bring() {
        let platform = "platform";
        let nvidia = row(GpuPlugin::Auto, false, GpuVendor::Nvidia);
        let wanted =
            ["stand-in", "fake", "plugin", platform, "plugin", "plugin", platform, platform, "plugin", platform];
        assert_eq!(nvidia, wanted);
        let operator = row(GpuPlugin::Auto, true, GpuVendor::Nvidia);
        assert_eq!(operator, wanted.map(|word| if word == "plugin" { "operator" } else { word }));
        // No platform brings AMD's or Intel's.
        let amd = row(GpuPlugin::Auto, false, GpuVendor::Amd);
        assert_eq!(amd, ["stand-in", "fake", "amd", "amd", "amd", "amd", "amd", "amd", "amd", "amd"]);
    }

    #[test]
    fn a_named_vendor_is_not_the_advertiser_of_anothers_gpus() {
        assert!(row(GpuPlugin::Amd, false, GpuVendor::Nvidia).iter().all(|word| *word == "none"));
        assert_eq!(word(&advertiser(GpuPlugin::Intel, false, NodeSystem::Unknown, GpuVendor::Intel)), "intel");
        assert_eq!(word(&advertiser(GpuPlugin::Nvidia, false, NodeSystem::Simulated, GpuVendor::Nvidia)), "plugin");
    }

    #[test]
    fn none_installs_nothing_and_still_knows_what_the_platform_does() {
        let wanted = ["none", "none", "none", "platform", "none", "none", "platform", "platform", "none", "platform"];
        assert_eq!(row(GpuPlugin::None, false, GpuVendor::Nvidia), wanted);
        assert!(row(GpuPlugin::None, false, GpuVendor::Amd).iter().all(|word| *word == "none"));
    }

    #[test]
    fn the_fake_plugin_is_for_real_kubelets_and_the_stand_in_for_simulated_ones() {
        for vendor in GpuVendor::ALL {
            for system in ALL {
                let found = advertiser(GpuPlugin::Simulated, false, system, vendor);
                let wanted = if system == NodeSystem::Simulated { "stand-in" } else { "fake" };
                assert_eq!(word(&found), wanted, "{system:?}");
            }
        }
    }
}
