//! The labels that Node Feature Discovery and GPU Feature Discovery would write on a node with these GPUs. Pure.
//!
//! Keys and spellings: NFD 0.19 with `deviceLabelFields: [vendor]`, and GFD of the NVIDIA device plugin 0.20.

use std::collections::BTreeMap;

use crate::config::{Config, Resource};
use crate::model::Model;

/// The labels.
pub fn of(config: &Config) -> BTreeMap<String, String> {
    let model = Model::of(&config.model, config.memory_mib);
    let (vendor, pci) = config.resources.first().map_or(("nvidia.com", "10de"), |resource| {
        match resource.name.split_once('/').map_or("", |(vendor, _)| vendor) {
            "amd.com" => ("amd.com", "1002"),
            "gpu.intel.com" => ("gpu.intel.com", "8086"),
            _ => ("nvidia.com", "10de"),
        }
    });
    let mut labels = BTreeMap::from([(format!("feature.node.kubernetes.io/pci-{pci}.present"), "true".to_owned())]);
    if vendor != "nvidia.com" {
        return labels;
    }
    let shared = config.resources.iter().map(|resource| resource.replicas).max().unwrap_or(1);
    // GFD marks a shared product where the resource's own name does not say it.
    let is_unnamed =
        config.resources.iter().any(|resource| resource.replicas > 1 && !resource.name.ends_with(".shared"));
    let mut nvidia = |key: &str, value: String| labels.insert(format!("nvidia.com/{key}"), value);
    nvidia("gpu.present", "true".into());
    nvidia("gpu.count", config.count.to_string());
    nvidia("gpu.memory", model.memory_mib.to_string());
    nvidia("gpu.product", if is_unnamed { format!("{}-SHARED", model.label()) } else { model.label() });
    nvidia("gpu.replicas", shared.to_string());
    let mps = config.resources.iter().any(|resource| resource.mps);
    let strategy = match (mps, shared) {
        (true, _) => "mps",
        (false, 0..=1) => "none",
        (false, _) => "time-slicing",
    };
    nvidia("gpu.sharing-strategy", strategy.into());
    nvidia("mps.capable", mps.to_string());
    if config.resources.iter().any(|resource| resource.slices.is_some()) {
        let mixed = config.resources.iter().any(Resource::is_named_slice);
        nvidia("mig.strategy", if mixed { "mixed".into() } else { "single".into() });
    }
    if !model.family.is_empty() {
        nvidia("gpu.family", model.family.clone());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_nfd_and_gfd() {
        let config = Config::parse(r#"{"model": "nvidia-a100-40gb", "count": 8}"#).unwrap();
        let labels = of(&config);
        assert_eq!(labels["feature.node.kubernetes.io/pci-10de.present"], "true");
        assert_eq!(labels["nvidia.com/gpu.product"], "NVIDIA-A100-SXM4-40GB");
        assert_eq!((labels["nvidia.com/gpu.count"].as_str(), labels["nvidia.com/gpu.memory"].as_str()), ("8", "40960"));
        let shared = Config::parse(r#"{"model": "nvidia-l4", "resources": [{"replicas": 4}]}"#).unwrap();
        assert_eq!(of(&shared)["nvidia.com/gpu.product"], "NVIDIA-L4-SHARED");
        let mps =
            Config::parse(r#"{"resources": [{"name": "nvidia.com/gpu.shared", "replicas": 4, "mps": true}]}"#).unwrap();
        assert_eq!(of(&mps)["nvidia.com/gpu.sharing-strategy"], "mps");
        assert_eq!(of(&mps)["nvidia.com/gpu.product"], "NVIDIA-A100-SXM4-40GB");
        let mig = Config::parse(r#"{"resources": [{"name": "nvidia.com/mig-1g.5gb", "slices": 7}]}"#).unwrap();
        assert_eq!(of(&mig)["nvidia.com/mig.strategy"], "mixed");
        let amd = Config::parse(r#"{"model": "amd-mi300x", "resources": [{"name": "amd.com/gpu"}]}"#).unwrap();
        assert_eq!(of(&amd).keys().collect::<Vec<_>>(), ["feature.node.kubernetes.io/pci-1002.present"]);
    }
}
