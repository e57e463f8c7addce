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
    /// Discovery labels that the pool itself gives its nodes; they stay without NFD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub born_with: Vec<String>,
}

/// What NFD's labels begin with.
const NFD: &str = "feature.node.kubernetes.io/";

impl NodeShape {
    /// The shape of a pool's nodes.
    pub fn of(pool: &PoolSpec) -> Self {
        let born_with = pool.labels.keys().filter(|key| key.starts_with(NFD)).cloned().collect();
        Self { shape: pool.shape.clone(), born_with }
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
