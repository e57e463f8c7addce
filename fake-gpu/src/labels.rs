//! The labels that Node Feature Discovery and GPU Feature Discovery would write on a node with these GPUs, written by this
//! pod itself, for clusters that have neither.
//!
//! Keys and spellings: NFD 0.19 with `deviceLabelFields: [vendor]`, and GFD of the NVIDIA device plugin 0.20.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::config::Config;
use crate::model::Model;

/// Where a pod finds its service account.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An API server that is alive answers in milliseconds.
const ANSWER: Duration = Duration::from_secs(15);

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
    nvidia("gpu.sharing-strategy", if shared > 1 { "time-slicing".into() } else { "none".into() });
    nvidia("mps.capable", "false".into());
    if !model.family.is_empty() {
        nvidia("gpu.family", model.family.clone());
    }
    labels
}

/// Writes them on the node with the pod's own service account.
///
/// # Errors
/// The account is not there, or the API server refuses.
pub fn write(node: &str, labels: &BTreeMap<String, String>, server: &str) -> Result<(), String> {
    let account = Path::new(ACCOUNT);
    let read = |name: &str| {
        std::fs::read_to_string(account.join(name)).map_err(|error| format!("cannot read {ACCOUNT}/{name}: {error}"))
    };
    let token = read("token")?;
    let certificates = ureq::tls::parse_pem(read("ca.crt")?.as_bytes())
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(format!("cannot use {ACCOUNT}/ca.crt: {error}"))),
        })
        .collect::<Result<Vec<_>, String>>()?;
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&certificates)).build();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(ANSWER)).proxy(None).build().into();
    let patch = json!({"metadata": {"labels": labels}}).to_string();
    agent
        .patch(format!("{server}/api/v1/nodes/{node}?fieldManager=wbk-fake-gpu"))
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", "application/merge-patch+json")
        .send(patch)
        .map(drop)
        .map_err(|error| format!("cannot label node {node}: {error}"))
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
        let amd = Config::parse(r#"{"model": "amd-mi300x", "resources": [{"name": "amd.com/gpu"}]}"#).unwrap();
        assert_eq!(of(&amd).keys().collect::<Vec<_>>(), ["feature.node.kubernetes.io/pci-1002.present"]);
    }
}
