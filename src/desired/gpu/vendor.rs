//! What each vendor's GPUs are called: in models, as resources, on the PCI bus.

use super::types::GpuVendor;
use crate::blueprint::gpu_vendor;
use crate::blueprint::schema::NodePool;

impl GpuVendor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nvidia, Self::Amd, Self::Intel];

    /// The vendor that a model's name begins with.
    pub fn of_model(model: &str) -> Option<Self> {
        let name = gpu_vendor(model)?;
        Self::ALL.into_iter().find(|vendor| vendor.as_str() == name)
    }

    /// The vendor of a pool's GPUs.
    pub(crate) fn of_pool(pool: &NodePool) -> Option<Self> {
        Self::of_model(&pool.accelerator.as_ref()?.model)
    }

    /// The word that begins its models.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Intel => "intel",
        }
    }

    /// The extended resource of its device plugin for a whole GPU. Intel's plugin has one for each kernel driver; `xe` is that of
    /// the data centre GPUs.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia.com/gpu",
            Self::Amd => "amd.com/gpu",
            Self::Intel => "gpu.intel.com/xe",
        }
    }

    /// The PCI vendor id, as NFD writes it in labels.
    pub fn pci(self) -> &'static str {
        match self {
            Self::Nvidia => "10de",
            Self::Amd => "1002",
            Self::Intel => "8086",
        }
    }
}
