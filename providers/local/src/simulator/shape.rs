//! What a simulated node offers: the annotation by which the provider tells the simulator.

use serde::{Deserialize, Serialize};
use wbk_provider_api::{GpuShape, PoolSpec, Shape};

/// Content of the annotation `wbk-infra/shape`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeShape {
    /// CPU, memory, pods and GPUs.
    #[serde(flatten)]
    pub shape: Shape,
    /// Model of its GPUs in portable spelling, `nvidia-l4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Discovery labels that the pool itself gives its nodes; they stay when nothing discovers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub born_with: Vec<String>,
}

/// What NFD's labels begin with.
const NFD: &str = "feature.node.kubernetes.io/";

/// Whether it is a label that GPU Feature Discovery, the fake plugin or AMD's labeller writes.
fn of_gpus(key: &str) -> bool {
    ["nvidia.com/gpu.", "nvidia.com/mps.", "nvidia.com/mig.strategy", "amd.com/gpu."]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

impl NodeShape {
    /// Whether something that discovers wrote the label, which goes when that does.
    pub(crate) fn is_discovered(&self, key: &str) -> bool {
        !self.born_with.iter().any(|born| born == key)
            && (of_gpus(key) || self.discovered().iter().any(|(known, _)| known == key))
    }

    /// The shape of a pool's nodes.
    pub fn of(pool: &PoolSpec) -> Self {
        let born_with = pool.labels.keys().filter(|key| key.starts_with(NFD) || of_gpus(key)).cloned().collect();
        let model = pool.accelerator.as_ref().map(|accelerator| accelerator.model.clone());
        Self { shape: pool.shape.clone(), model, born_with }
    }

    /// The labels that an NFD worker on such a node adds.
    pub(crate) fn discovered(&self) -> Vec<(String, String)> {
        let mut labels = vec![
            (format!("{NFD}kernel-version.major"), "6".to_owned()),
            (format!("{NFD}system-os_release.ID"), "simulated".to_owned()),
        ];
        if let Some(GpuShape { pci_vendor, .. }) = &self.shape.gpu {
            // 0302 is the class of 3D controllers, which data centre GPUs are.
            labels.push((format!("{NFD}pci-{pci_vendor}.present"), "true".into()));
            labels.push((format!("{NFD}pci-0302_{pci_vendor}.present"), "true".into()));
        }
        labels.retain(|(key, _)| !self.born_with.contains(key));
        labels
    }
}
