//! The CDI specification of the node's GPUs: what the container runtime adds to a container for each CDI name.
//!
//! Format: <https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>, version 0.6.0.

use std::path::Path;

use serde_json::{Value, json};

use crate::devices::Node;
use crate::plugin::SMI;
use crate::smi;

/// Vendor and class of the names.
const KIND: &str = "wbk-infra.dev/fake-gpu";
/// The file's name.
pub const FILE: &str = "wbk-infra.dev-fake-gpu.json";

/// The CDI name of a GPU.
pub fn name(gpu: u32) -> String {
    format!("{KIND}={gpu}")
}

/// The specification; `host_folder` is where the node has `nvidia-smi`.
pub fn specification(node: &Node, host_folder: &Path) -> Value {
    let devices: Vec<Value> = node
        .gpus
        .iter()
        .map(|gpu| {
            let device =
                json!({"path": format!("/dev/nvidia{}", gpu.index), "hostPath": "/dev/null", "permissions": "rw"});
            json!({"name": gpu.index.to_string(), "containerEdits": {"deviceNodes": [device]}})
        })
        .collect();
    let mount = json!({
        "hostPath": host_folder.join(SMI),
        "containerPath": smi::CONTAINER_PATH,
        "options": ["ro", "nosuid", "nodev", "bind"],
    });
    json!({"cdiVersion": "0.6.0", "kind": KIND, "devices": devices, "containerEdits": {"mounts": [mount]}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn each_gpu_has_its_name_and_all_have_nvidia_smi() {
        let node = Node::new("n", &Config { count: 2, ..Config::default() });
        let spec = specification(&node, Path::new("/host"));
        assert_eq!(spec["devices"][1]["name"], "1");
        assert_eq!(spec["devices"][1]["containerEdits"]["deviceNodes"][0]["path"], "/dev/nvidia1");
        assert_eq!(spec["containerEdits"]["mounts"][0]["hostPath"], "/host/nvidia-smi");
        assert_eq!(name(1), "wbk-infra.dev/fake-gpu=1");
    }
}
