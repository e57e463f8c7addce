//! What a workload does for nodes, recognised from what is rendered: images, commands, arguments and our own annotations; of what is
//! not known by name, a GPU resource that it is told to advertise in the kubelet's directory. What is not recognised does nothing.
//!
//! Sources: the charts of nvidia-device-plugin 0.20.0, gpu-operator v26.7.0, node-feature-discovery 0.19.0, amd-gpu 0.21.0 and
//! intel-device-plugins 0.36.0.

use serde_json::Value;

use super::super::scheduler::text_map;
use super::directory::named_gpus;

/// Says which component of a real platform a pod stands in for; simulated nodes read it.
const SIMULATES: &str = "wbk-infra/simulates";
/// Says what a pod does for its node: `device-plugin`, `nfd-worker`, `gfd`, a resource (`nvidia.com/gpu`) or a label (`key=value`).
const PROVIDES: &str = "wbk-infra/provides";

/// What a workload's pods do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Makes a vendor's GPUs allocatable on its node; the vendor as its resources begin, `nvidia.com/`.
    DevicePlugin(String),
    /// Makes one resource allocatable on its node.
    Advertises(String),
    /// Advertises whatever GPUs its simulated node has.
    StandInPlugin,
    /// Finds out what its node has, for the master to write.
    NfdWorker,
    /// Writes what its simulated node has.
    StandInNfd,
    /// Writes the labels that workers found.
    NfdMaster,
    /// Finds out about NVIDIA GPUs, for NFD to write.
    Gfd,
    /// Writes AMD's labels.
    AmdLabeller,
    /// Exports the metrics of NVIDIA GPUs.
    Dcgm,
    /// Writes one label on its node.
    Labels(String, String),
}

impl Role {
    /// Whether GPU pools want it on each of their nodes.
    pub fn is_of_gpus(&self) -> bool {
        !matches!(self, Self::NfdMaster | Self::Labels(..))
    }

    /// Whether it makes GPUs allocatable.
    pub fn advertises(&self) -> bool {
        matches!(self, Self::DevicePlugin(_) | Self::Advertises(_) | Self::StandInPlugin)
    }

    /// The vendor it is for, as its resources begin.
    pub fn vendor(&self) -> Option<&str> {
        match self {
            Self::DevicePlugin(vendor) => Some(vendor),
            Self::Advertises(resource) => resource.split_inclusive('/').next(),
            Self::Gfd | Self::Dcgm => Some("nvidia.com/"),
            Self::AmdLabeller => Some("amd.com/"),
            Self::StandInPlugin | Self::StandInNfd | Self::NfdWorker | Self::NfdMaster | Self::Labels(..) => None,
        }
    }
}

/// The roles of a pod template.
pub fn roles(template: &Value, of_workload: &Value) -> Vec<Role> {
    let mut roles = Vec::new();
    for annotations in [of_workload, &template["metadata"]["annotations"]] {
        for (key, value) in text_map(annotations) {
            match (key.as_str(), value.as_str()) {
                (SIMULATES, "nfd-worker") => add(&mut roles, Role::StandInNfd),
                (SIMULATES, "device-plugin") => add(&mut roles, Role::StandInPlugin),
                (PROVIDES, text) => {
                    for word in text.split([',', ' ', '\n']).filter(|word| !word.is_empty()) {
                        add(&mut roles, provided(word));
                    }
                }
                _ => {}
            }
        }
    }
    if roles.is_empty() {
        let containers = ["containers", "initContainers"]
            .into_iter()
            .flat_map(|key| template["spec"][key].as_array().into_iter().flatten());
        for role in containers.filter_map(of_container) {
            add(&mut roles, role);
        }
    }
    if roles.is_empty() {
        named_gpus(template).into_iter().for_each(|resource| add(&mut roles, Role::Advertises(resource)));
    }
    roles
}

fn add(roles: &mut Vec<Role>, role: Role) {
    if !roles.contains(&role) {
        roles.push(role);
    }
}

fn provided(word: &str) -> Role {
    match word {
        "device-plugin" => Role::StandInPlugin,
        "nfd-worker" => Role::NfdWorker,
        "nfd-master" => Role::NfdMaster,
        "gfd" => Role::Gfd,
        _ => match word.split_once('=') {
            Some((key, value)) => Role::Labels(key.to_owned(), value.to_owned()),
            None => Role::Advertises(word.to_owned()),
        },
    }
}

/// The program that a container starts: the first word of its command, or of its arguments where it has no command.
fn program(container: &Value) -> &str {
    let first = |key: &str| container[key].as_array().and_then(|list| list.first()).and_then(Value::as_str);
    let word = first("command").or_else(|| first("args")).unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default()
}

fn of_container(container: &Value) -> Option<Role> {
    let image = container["image"].as_str().unwrap_or_default();
    let image = image.split('@').next().unwrap_or_default();
    let program = program(container);
    let named = |name: &str| image.rsplit_once(name).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with(':'));
    if named("node-feature-discovery") || named("node-feature-discovery-minimal") || image.contains("/nfd/") {
        return match program {
            "nfd-worker" => Some(Role::NfdWorker),
            "nfd-master" => Some(Role::NfdMaster),
            _ => None,
        };
    }
    if image.contains("rocm/k8s-device-plugin") {
        let labeller = image.contains(":labeller") || program == "k8s-node-labeller";
        return Some(if labeller { Role::AmdLabeller } else { Role::DevicePlugin("amd.com/".into()) });
    }
    if named("k8s-device-plugin") {
        return match program {
            "gpu-feature-discovery" => Some(Role::Gfd),
            "config-manager" | "mps-control-daemon" => None,
            _ => Some(Role::DevicePlugin("nvidia.com/".into())),
        };
    }
    if named("gpu-feature-discovery") {
        return Some(Role::Gfd);
    }
    if named("intel-gpu-plugin") {
        return Some(Role::DevicePlugin("gpu.intel.com/".into()));
    }
    if named("dcgm-exporter") {
        return Some(Role::Dcgm);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(image: &str, command: &[&str]) -> Vec<Role> {
        roles(&json!({"spec": {"containers": [{"image": image, "command": command}]}}), &Value::Null)
    }

    #[test]
    fn components_are_known_by_image_and_command() {
        let nvidia = Role::DevicePlugin("nvidia.com/".into());
        assert_eq!(
            of("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", &["nvidia-device-plugin"]),
            std::slice::from_ref(&nvidia)
        );
        assert_eq!(of("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", &[]), [nvidia]);
        assert_eq!(of("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", &["gpu-feature-discovery"]), [Role::Gfd]);
        assert_eq!(of("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", &["config-manager"]), []);
        assert_eq!(of("docker.io/rocm/k8s-device-plugin:1.31.0.9", &[]), [Role::DevicePlugin("amd.com/".into())]);
        assert_eq!(of("docker.io/rocm/k8s-device-plugin:labeller-1.31.0.9", &[]), [Role::AmdLabeller]);
        assert_eq!(of("registry.k8s.io/nfd/node-feature-discovery:v0.19.0", &["nfd-worker"]), [Role::NfdWorker]);
        assert_eq!(
            of("registry.k8s.io/nfd/node-feature-discovery:v0.19.0", &["/usr/bin/nfd-master"]),
            [Role::NfdMaster]
        );
        assert_eq!(of("intel/intel-gpu-plugin:0.36.0", &[]), [Role::DevicePlugin("gpu.intel.com/".into())]);
        assert_eq!(of("example.com/anything:1", &["nvidia-device-plugin"]), [], "what is not known does nothing");
    }

    #[test]
    fn annotations_of_our_own_say_it_outright() {
        let template =
            json!({"metadata": {"annotations": {"wbk-infra/provides": "nvidia.com/gpu, nvidia.com/gpu.present=true"}}});
        let label = Role::Labels("nvidia.com/gpu.present".into(), "true".into());
        assert_eq!(roles(&template, &Value::Null), [Role::Advertises("nvidia.com/gpu".into()), label]);
    }
}
