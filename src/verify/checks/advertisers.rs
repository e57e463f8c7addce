//! Pure: which pods tell a kubelet of GPUs. A device plugin is known by what it must do (mount the kubelet's directory of
//! device plugins) and by what it is called; two of them for one resource on one node take turns in what the kubelet
//! believes.

use serde_json::Value;

use crate::cluster::{going, is_true, name, pod_trouble, text};
use crate::gpu::{mounts_device_plugins, named_gpus};

/// A pod that advertises devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advertiser {
    /// `namespace/name`.
    pub(super) pod: String,
    /// Its node.
    pub(super) node: String,
    /// Whose GPUs.
    pub(super) of: Of,
    /// Why it does not advertise now; `None` where it runs.
    pub(super) trouble: Option<String>,
    /// Whether the platform runs it in its own namespace.
    pub(super) of_platform: bool,
}

/// Whose GPUs a pod advertises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    /// Resources of one domain, `nvidia.com`.
    Domain(&'static str),
    /// These resources, which it is told to advertise or is annotated with.
    Named(Vec<String>),
    /// Whatever GPUs the node has: stand-ins and fakes.
    Any,
    /// It may: it mounts the directory, and nothing says what for.
    Unknown,
}

impl Of {
    /// Whether it advertises a resource.
    pub(super) fn takes_in(&self, resource: &str) -> bool {
        match self {
            Self::Domain(domain) => resource.split('/').next() == Some(domain),
            Self::Named(resources) => resources.iter().any(|one| one == resource),
            Self::Any => true,
            Self::Unknown => false,
        }
    }
}

/// Annotation of the stand-ins on simulated nodes.
const SIMULATES: &str = "wbk-infra/simulates";

/// Says outright what a pod does for its node: resources that it advertises, and `key=value` for labels.
const PROVIDES: &str = "wbk-infra/provides";

/// Words in images and names of plugins, in the order in which they are looked for. Sources: the charts and manifests of
/// the projects (NVIDIA/k8s-device-plugin, GKE's addon, ROCm/k8s-device-plugin, intel-device-plugins-for-kubernetes, HAMi,
/// Volcano, run:ai's fake-gpu-operator, and this project's charts/fake-gpu).
const KNOWN: [(&str, Of); 9] = [
    ("fake-gpu", Of::Any),
    ("rocm/k8s-device-plugin", Of::Domain("amd.com")),
    ("amdgpu-device-plugin", Of::Domain("amd.com")),
    ("amd-gpu-device-plugin", Of::Domain("amd.com")),
    ("intel-gpu-plugin", Of::Domain("gpu.intel.com")),
    ("nvidia-gpu-device-plugin", Of::Domain("nvidia.com")),
    ("k8s-device-plugin", Of::Domain("nvidia.com")),
    ("nvidia-device-plugin", Of::Domain("nvidia.com")),
    ("vgpu-device-plugin", Of::Domain("nvidia.com")),
];

/// Words of plugins for other devices.
const OTHERS: [&str; 12] = [
    "aws-efa",
    "sriov",
    "rdma",
    "virt-handler",
    "smarter",
    "fpga",
    "intel-qat",
    "intel-dsa",
    "intel-sgx",
    "neuron",
    "gaudi",
    "tpu-device",
];

/// Reads a pod or a pod template; `None` where it advertises nothing.
pub(super) fn of(pod: &Value) -> Option<Of> {
    if text(pod, &format!("/metadata/annotations/{}", SIMULATES.replace('/', "~1"))) == "device-plugin" {
        return Some(Of::Any);
    }
    let provides = text(pod, &format!("/metadata/annotations/{}", PROVIDES.replace('/', "~1")));
    if !provides.is_empty() {
        let words = provides.split([',', ' ', '\n']).filter(|word| word.contains('/') && !word.contains('='));
        let resources: Vec<String> = words.map(str::to_owned).collect();
        return match (provides == "device-plugin", resources.is_empty()) {
            (true, _) => Some(Of::Any),
            (false, true) => None,
            (false, false) => Some(Of::Named(resources)),
        };
    }
    let mounts = mounts_device_plugins(pod);
    let containers = || pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let labelled = text(pod, "/metadata/labels/app.kubernetes.io~1name");
    if !mounts {
        // On simulated nodes it may have no volumes. Its chart gives GFD's pods the same labels.
        let is_plugin = containers().any(|container| text(container, "/name") == "nvidia-device-plugin-ctr");
        if labelled == "nvidia-device-plugin" && is_plugin {
            return Some(Of::Domain("nvidia.com"));
        }
        let named = named_gpus(pod);
        return (!named.is_empty()).then_some(Of::Named(named));
    }
    let mut words: Vec<&str> = containers().map(|container| text(container, "/image")).collect();
    words.extend([name(pod), labelled, text(pod, "/metadata/generateName")]);
    let has = |word: &str| words.iter().any(|text| text.contains(word));
    // Others first: EFA's image has "k8s-device-plugin" in its name as well.
    if OTHERS.iter().any(|word| has(word)) {
        return None;
    }
    if let Some((_, of)) = KNOWN.iter().find(|(word, _)| has(word)) {
        return Some(of.clone());
    }
    let named = named_gpus(pod);
    if !named.is_empty() {
        return Some(Of::Named(named));
    }
    Some(if has("gpu") { Of::Any } else { Of::Unknown })
}

/// The advertisers on some nodes, by node and name. Pods that are going or ended count no more.
pub(super) fn on(nodes: &[&Value], pods: &[Value]) -> Vec<Advertiser> {
    let nodes: Vec<&str> = nodes.iter().map(|node| name(node)).collect();
    let mut found: Vec<Advertiser> = pods
        .iter()
        .filter(|pod| nodes.contains(&text(pod, "/spec/nodeName")) && going(pod).is_none())
        .filter_map(|pod| {
            let of = of(pod)?;
            let runs = text(pod, "/status/phase") == "Running" && is_true(pod, "Ready");
            let trouble = match runs {
                true => None,
                false => Some(pod_trouble(pod).unwrap_or_else(|| format!("phase {}", text(pod, "/status/phase")))),
            };
            Some(Advertiser {
                pod: format!("{}/{}", text(pod, "/metadata/namespace"), name(pod)),
                node: text(pod, "/spec/nodeName").to_owned(),
                of,
                trouble,
                of_platform: text(pod, "/metadata/namespace") == "kube-system",
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.node, &a.pod).cmp(&(&b.node, &b.pod)));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plugin(image: &str, path: &str) -> Value {
        json!({"metadata": {"name": "p", "namespace": "kube-system"}, "spec": {"nodeName": "n",
            "containers": [{"image": image}], "volumes": [{"hostPath": {"path": path}}]}})
    }

    #[test]
    fn plugins_are_known_by_the_directory_and_their_images() {
        let directory = "/var/lib/kubelet/device-plugins";
        for (image, expected) in [
            ("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", Some(Of::Domain("nvidia.com"))),
            ("gke.gcr.io/nvidia-gpu-device-plugin@sha256:1", Some(Of::Domain("nvidia.com"))),
            ("docker.io/rocm/k8s-device-plugin:1.31.0.9", Some(Of::Domain("amd.com"))),
            ("intel/intel-gpu-plugin:0.36.0", Some(Of::Domain("gpu.intel.com"))),
            ("wbk/fake-gpu:1", Some(Of::Any)),
            ("602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/aws-efa-k8s-device-plugin:v0.5", None),
            ("quay.io/kubevirt/virt-handler:v1", None),
            ("example.org/mystery:1", Some(Of::Unknown)),
            ("example.org/our-gpu-thing:1", Some(Of::Any)),
        ] {
            let found = of(&plugin(image, directory));
            assert_eq!(found, expected, "{image}");
            assert_eq!(of(&plugin(image, "/var/lib/kubelet/pod-resources")), None, "{image} without the directory");
        }
        // The chart's name label is on the pods of all its parts.
        let part = |container: &str| {
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "nvidia-device-plugin"}},
                "spec": {"containers": [{"name": container, "image": "nvcr.io/nvidia/k8s-device-plugin:v0.20.0"}]}})
        };
        assert_eq!(of(&part("gpu-feature-discovery-ctr")), None);
        assert_eq!(of(&part("nvidia-device-plugin-ctr")), Some(Of::Domain("nvidia.com")));
        assert!(
            of(&plugin(
                "nvcr.io/nvidia/k8s-device-plugin:v0.20.0",
                "/var/snap/microk8s/common/var/lib/kubelet/device-plugins/"
            ))
            .is_some()
        );
    }

    #[test]
    fn a_plugin_that_nobody_knows_is_taken_at_its_word() {
        let mut pod = plugin("example.org/mystery:1", "/var/lib/kubelet/device-plugins");
        pod["spec"]["containers"][0]["args"] = json!(["--resource=nvidia.com/gpu"]);
        let found = of(&pod).expect("an advertiser");
        assert!(found.takes_in("nvidia.com/gpu") && !found.takes_in("amd.com/gpu"), "{found:?}");
        pod["metadata"]["annotations"] = json!({"wbk-infra/provides": "example.com/fuse"});
        let found = of(&pod).expect("an advertiser");
        assert!(!found.takes_in("nvidia.com/gpu"), "what it says of itself outright goes before: {found:?}");
        pod["metadata"]["annotations"] = json!({"wbk-infra/provides": "example.com/rack=7"});
        assert_eq!(of(&pod), None);
    }

    #[test]
    fn stand_ins_advertise_whatever_there_is() {
        let stand_in = json!({"metadata": {"annotations": {"wbk-infra/simulates": "device-plugin"}}, "spec": {}});
        assert_eq!(of(&stand_in), Some(Of::Any));
        assert!(Of::Any.takes_in("amd.com/gpu"));
        assert!(Of::Domain("nvidia.com").takes_in("nvidia.com/mig-1g.10gb"));
        assert!(!Of::Domain("nvidia.com").takes_in("amd.com/gpu"));
    }

    #[test]
    fn pods_that_are_going_count_no_more_and_stuck_ones_say_why() {
        let node = json!({"metadata": {"name": "n"}});
        let mut pod = plugin("nvidia/k8s-device-plugin", "/var/lib/kubelet/device-plugins");
        pod["status"] = json!({"phase": "Pending", "containerStatuses": [
            {"name": "ctr", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
        let found = on(&[&node], &[pod.clone()]);
        assert_eq!(found[0].trouble.as_deref(), Some("container ctr waits (CrashLoopBackOff)"));
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(on(&[&node], &[pod]).is_empty());
    }
}
