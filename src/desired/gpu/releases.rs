//! The charts that make real GPUs allocatable, with values derived from the pools.
//!
//! The keys are those of the versions in `charts/lock.yaml`, read in their `values.yaml` and templates.

use serde_json::{Value, json};
use wbk_provider_api::ProviderKind;

use super::advertiser::NodeSystem;
use super::placement::{everything, on_discovered, on_pools, pools_of, selector, tolerations};
use super::pools::{advertiser_on, pool_advertiser};
use super::types::{Advertiser, GpuVendor};
use super::{NAMESPACE, config};
use crate::blueprint::schema::{Blueprint, Gpu, GpuPlugin, SharingStrategy};
use crate::desired::managed::Managed;

/// Every release of the section.
pub(crate) fn releases(blueprint: &Blueprint) -> Vec<Managed> {
    let Some(gpu) = &blueprint.gpu else { return Vec::new() };
    let advertisers = advertisers(blueprint, gpu);
    let has = |wanted: &Advertiser| advertisers.iter().any(|(_, advertiser)| advertiser == wanted);
    let platform = advertisers.iter().any(|(_, advertiser)| matches!(advertiser, Advertiser::Platform { .. }));
    let real = platform
        || [Advertiser::NvidiaPlugin, Advertiser::GpuOperator, Advertiser::AmdPlugin, Advertiser::IntelPlugin]
            .iter()
            .any(has);
    let mut releases = Vec::new();
    let mut release = |chart: &'static str, path: &'static str, values: Value| {
        releases.push(Managed { chart, namespace: NAMESPACE, path: vec!["gpu", path], values });
    };
    if gpu.discovery && real && gpu.plugin != GpuPlugin::None {
        release("node-feature-discovery", "discovery", discovery());
    }
    if has(&Advertiser::NvidiaPlugin) {
        release("nvidia-device-plugin", "plugin", nvidia_plugin(blueprint, gpu));
    }
    if has(&Advertiser::GpuOperator) {
        release("gpu-operator", "operator", gpu_operator(blueprint, gpu));
    }
    if has(&Advertiser::AmdPlugin) {
        release("amd-gpu", "plugin", amd(blueprint, gpu));
    }
    if has(&Advertiser::IntelPlugin) {
        release("intel-device-plugins-operator", "plugin", json!({"manager": {"devices": {"gpu": true}}}));
    }
    if gpu.metrics && exports_metrics(blueprint, &advertisers) {
        release("dcgm-exporter", "metrics", dcgm_exporter(blueprint));
    }
    releases
}

/// Who advertises which vendor's GPUs, each once: pools of one vendor may have images that differ; of an existing cluster only the plugin's own name says what it has.
pub(crate) fn advertisers(blueprint: &Blueprint, gpu: &Gpu) -> Vec<(GpuVendor, Advertiser)> {
    if blueprint.cluster.provider == ProviderKind::Existing {
        let vendor = match gpu.plugin {
            GpuPlugin::Nvidia => GpuVendor::Nvidia,
            GpuPlugin::Amd => GpuVendor::Amd,
            GpuPlugin::Intel => GpuVendor::Intel,
            GpuPlugin::Auto | GpuPlugin::Simulated | GpuPlugin::None => return Vec::new(),
        };
        return vec![(vendor, advertiser_on(blueprint, NodeSystem::Unknown, vendor))];
    }
    let mut found: Vec<(GpuVendor, Advertiser)> = Vec::new();
    for pool in &blueprint.node_pools {
        if let Some(vendor) = GpuVendor::of_pool(pool) {
            let pair = (vendor, pool_advertiser(blueprint, pool, vendor));
            if !found.contains(&pair) {
                found.push(pair);
            }
        }
    }
    found.sort_by_key(|(vendor, _)| *vendor);
    found
}

/// The exporter of its own: the GPU Operator has one, GKE runs one.
fn exports_metrics(blueprint: &Blueprint, advertisers: &[(GpuVendor, Advertiser)]) -> bool {
    advertisers.iter().any(|(vendor, advertiser)| {
        *vendor == GpuVendor::Nvidia
            && match advertiser {
                Advertiser::NvidiaPlugin => true,
                Advertiser::Platform { .. } => blueprint.cluster.provider != ProviderKind::Gke,
                Advertiser::GpuOperator
                | Advertiser::AmdPlugin
                | Advertiser::IntelPlugin
                | Advertiser::StandIn
                | Advertiser::FakePlugin
                | Advertiser::None { .. } => false,
            }
    })
}

/// One for the whole cluster; the sub-charts of the others stay off. Its worker must reach every node that anything waits for a
/// label of, so it tolerates everything. PCI classes: display (03), processing accelerator (12), 3D and co-processor (0b40); not
/// network (02), whose Intel cards would pass for GPUs.
fn discovery() -> Value {
    json!({
        "master": {"config": {"extraLabelNs": ["nvidia.com", "amd.com", "intel.com", "gpu.intel.com"]}},
        "worker": {
            "config": {"sources": {"pci": {
                "deviceClassWhitelist": ["03", "0b40", "12"],
                "deviceLabelFields": ["vendor"],
            }}},
            "priorityClassName": "system-node-critical",
            "tolerations": everything(),
        },
    })
}

/// Where the NVIDIA DaemonSets run: on our pools by their label; on an existing cluster's nodes by what NFD finds.
fn nvidia_affinity(blueprint: &Blueprint, runs: fn(&Advertiser) -> bool) -> Value {
    let pools = pools_of(blueprint, |vendor, advertiser| vendor == GpuVendor::Nvidia && runs(advertiser));
    if pools.is_empty() { on_discovered(GpuVendor::Nvidia) } else { on_pools(&pools) }
}

fn nvidia_plugin(blueprint: &Blueprint, gpu: &Gpu) -> Value {
    let mut values = json!({
        // A node whose image has the plugin must not get a second one.
        "affinity": nvidia_affinity(blueprint, |advertiser| *advertiser == Advertiser::NvidiaPlugin),
        "gfd": {"enabled": gpu.discovery},
        "nfd": {"enabled": false},
        "tolerations": tolerations(blueprint),
    });
    let configurations = config::plugin(blueprint);
    if !configurations.is_empty() {
        values["config"] = json!({"default": config::DEFAULT, "map": configurations});
    }
    // Simulated nodes read it, in a local cluster and in a rehearsal of any other.
    if let Some(advertises) = config::advertises(blueprint) {
        values["podAnnotations"] = json!({(super::stand_in::ADVERTISES): advertises});
    }
    values
}

fn gpu_operator(blueprint: &Blueprint, gpu: &Gpu) -> Value {
    let mixed = gpu.sharing.iter().any(|sharing| sharing.strategy == SharingStrategy::Mig && sharing.profile.is_none());
    let mut values = json!({
        "daemonsets": {"tolerations": tolerations(blueprint)},
        // A PodMonitor of this blueprint's scrapes it, where the cluster has such a kind.
        "dcgmExporter": {"enabled": gpu.metrics, "serviceMonitor": {"enabled": false}},
        "gfd": {"enabled": gpu.discovery},
        "mig": {"strategy": if mixed { "mixed" } else { "single" }},
        "nfd": {"enabled": false},
    });
    let host = HostSoftware::of(NodeSystem::of(blueprint.cluster.provider));
    if host.driver {
        values["driver"] = json!({"enabled": false});
    }
    if host.toolkit {
        values["toolkit"] = json!({"enabled": false});
    }
    if let Some(folder) = host.driver_folder {
        values["hostPaths"] = json!({"driverInstallDir": folder});
        values["toolkit"] = json!({"installDir": folder});
    }
    let configurations = config::plugin(blueprint);
    if !configurations.is_empty() {
        values["devicePlugin"] = json!({"config": {
            "create": true, "name": "wbk-device-plugin", "default": config::DEFAULT, "data": configurations,
        }});
    }
    if let Some(parted) = config::mig_parted(blueprint) {
        values["migManager"] = json!({"config": {
            "create": true, "name": "wbk-mig-parted", "default": "all-disabled", "data": {"config.yaml": parted},
        }});
    }
    values
}

/// What a node's image has of NVIDIA's software, so that the GPU Operator leaves it alone.
struct HostSoftware {
    driver: bool,
    toolkit: bool,
    /// Where the driver is, where that is not the usual place.
    driver_folder: Option<&'static str>,
}

impl HostSoftware {
    fn of(system: NodeSystem) -> Self {
        let (driver, toolkit, driver_folder) = match system {
            // Amazon's AL2023 NVIDIA image and AKS' GPU image have driver and toolkit and no device plugin.
            NodeSystem::EksAmazonLinux
            | NodeSystem::Aks
            | NodeSystem::EksBottlerocket
            | NodeSystem::EksAutoMode
            | NodeSystem::AksManaged => (true, true, None),
            // Container-Optimized OS: GKE installs the driver there, the toolkit has to be put beside it.
            NodeSystem::Gke | NodeSystem::GkeWithoutPlugin => (true, false, Some("/home/kubernetes/bin/nvidia")),
            NodeSystem::Simulated | NodeSystem::Kind | NodeSystem::Unknown => (false, false, None),
        };
        Self { driver, toolkit, driver_folder }
    }
}

fn amd(blueprint: &Blueprint, gpu: &Gpu) -> Value {
    let mut tolerations = tolerations(blueprint);
    if !blueprint.node_pools.is_empty() {
        tolerations.insert(0, json!({"key": "CriticalAddonsOnly", "operator": "Exists"}));
    }
    // Helm merges maps: the chart's own keys would stay beside ours, and its PCI class is not that of data centre GPUs.
    let mut node_selector = json!(selector(blueprint, GpuVendor::Amd));
    node_selector["feature.node.kubernetes.io/pci-0300_1002.present"] = Value::Null;
    json!({
        "labeller": {"enabled": gpu.discovery},
        "nfd": {"enabled": false},
        "node_selector": node_selector,
        "node_selector_enabled": true,
        "tolerations": tolerations,
    })
}

fn dcgm_exporter(blueprint: &Blueprint) -> Value {
    json!({
        "affinity": nvidia_affinity(blueprint, |advertiser| !matches!(advertiser, Advertiser::None { .. })),
        // Its kind comes with the Prometheus operator; a PodMonitor of this blueprint's takes its place where that is there.
        "serviceMonitor": {"enabled": false},
        "tolerations": tolerations(blueprint),
    })
}

/// Intel's plugin is asked for by a custom resource; its operator makes the DaemonSet.
pub(crate) fn intel_objects(blueprint: &Blueprint) -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let Some(gpu) = &blueprint.gpu else { return Vec::new() };
    if !advertisers(blueprint, gpu).contains(&(GpuVendor::Intel, Advertiser::IntelPlugin)) {
        return Vec::new();
    }
    let spec = json!({
        "image": "intel/intel-gpu-plugin:0.36.0",
        "nodeSelector": selector(blueprint, GpuVendor::Intel),
        "sharedDevNum": 1,
        "tolerations": tolerations(blueprint),
    });
    let mut objects = vec![("deviceplugin.intel.com/v1", "GpuDevicePlugin", "wbk-intel-gpu", spec)];
    if gpu.discovery {
        // The classes of Intel's GPUs, display and other display controllers (Intel's own rule says the same).
        let device = json!({"feature": "pci.device", "matchExpressions": {
            "vendor": {"op": "In", "value": [GpuVendor::Intel.pci()]},
            "class": {"op": "In", "value": ["0300", "0380"]},
        }});
        let rule = json!({"rules": [{
            "name": "intel gpu", "labels": {(super::placement::INTEL_GPU_LABEL): "true"}, "matchFeatures": [device],
        }]});
        objects.push(("nfd.k8s-sigs.io/v1alpha1", "NodeFeatureRule", "wbk-intel-gpu", rule));
    }
    objects
}

/// GKE admits pods of the system's priority classes outside kube-system only where a quota names those classes.
pub(crate) fn critical_quota(provider: ProviderKind) -> Option<Value> {
    (provider == ProviderKind::Gke).then(|| {
        json!({
            "hard": {"pods": "5000"},
            "scopeSelector": {"matchExpressions": [{
                "operator": "In",
                "scopeName": "PriorityClass",
                "values": ["system-node-critical", "system-cluster-critical"],
            }]},
        })
    })
}
