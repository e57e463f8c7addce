//! Device plugins that are known by nothing but what they do: they mount the kubelet's directory of device plugins and are told, on
//! their command line or in their environment, which resource to advertise there.

use serde_json::Value;

/// What the resources of GPUs begin with.
const GPUS: [&str; 3] = ["nvidia.com/", "amd.com/", "gpu.intel.com/"];

/// The kubelet's directory ends so, wherever a distribution keeps its kubelet, and its directory of device plugins in it.
const KUBELET: &str = "/kubelet";
const DEVICE_PLUGINS: &str = "/kubelet/device-plugins";

fn mounts(pod: &Value, end: &str) -> bool {
    let volumes = pod["spec"]["volumes"].as_array();
    let paths = volumes.into_iter().flatten().filter_map(|volume| volume["hostPath"]["path"].as_str());
    paths.map(|path| path.trim_end_matches('/')).any(|path| path.ends_with(end))
}

/// Whether a pod, or a pod template, mounts the kubelet's directory of device plugins.
pub fn mounts_device_plugins(pod: &Value) -> bool {
    mounts(pod, DEVICE_PLUGINS)
}

/// The GPU resources that a pod which can register devices is told to advertise. Empty where it cannot, and where it does not say.
pub fn named_gpus(pod: &Value) -> Vec<String> {
    if !mounts_device_plugins(pod) && !mounts(pod, KUBELET) {
        return Vec::new();
    }
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut found: Vec<String> = containers
        .flat_map(|container| {
            let words = ["command", "args"].into_iter().flat_map(|key| container[key].as_array().into_iter().flatten());
            let values = container["env"].as_array().into_iter().flatten().map(|one| &one["value"]);
            words.chain(values).filter_map(Value::as_str)
        })
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || "./-_".contains(c))))
        .filter(|word| GPUS.iter().any(|vendor| word.strip_prefix(vendor).is_some_and(|name| !name.is_empty())))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::named_gpus;

    fn pod(path: &str, args: &[&str]) -> serde_json::Value {
        json!({"spec": {"volumes": [{"hostPath": {"path": path}}],
            "containers": [{"image": "example.org/mystery:1", "args": args, "env": [{"name": "A", "value": "b"}]}]}})
    }

    #[test]
    fn a_plugin_is_known_by_the_resource_that_it_is_told_to_advertise() {
        let directory = "/var/lib/kubelet/device-plugins";
        let gpu = ["nvidia.com/gpu"];
        assert_eq!(named_gpus(&pod(directory, &["--resource=nvidia.com/gpu", "-v"])), gpu);
        assert_eq!(named_gpus(&pod("/var/lib/kubelet/", &["--resource", "nvidia.com/gpu"])), gpu);
        let mut by_environment = pod(directory, &[]);
        by_environment["spec"]["containers"][0]["env"][0]["value"] = json!("{\"nvidia.com/gpu\": 4}");
        assert_eq!(named_gpus(&by_environment), gpu);
        for other in [pod("/var/log", &["nvidia.com/gpu"]), pod(directory, &["squat.ai/fuse", "nvidia.com/"])] {
            assert!(named_gpus(&other).is_empty(), "{other}");
        }
    }
}
