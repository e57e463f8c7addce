//! The labels and annotations that this provider writes and reads; each is spelled here only.

/// Label of nodes and of a pool's record: the pool's name.
pub const POOL: &str = "wbk-infra/pool";
/// Label of nodes and of a pool's record: the blueprint that they belong to.
pub const BLUEPRINT: &str = "wbk-infra/blueprint";
/// Label of every simulated node.
pub const SIMULATED: &str = "wbk-infra/simulated";
/// Annotation of a node: its shape as JSON, which the simulator turns into capacity.
pub const SHAPE: &str = "wbk-infra/shape";

/// Annotation of a pod: how long it runs, `30s`.
pub const SIMULATE_DURATION: &str = "wbk-infra/simulate-duration";
/// Annotation of a pod: the exit code it ends with. Of a node: the exit code of every pod there that says none.
pub const SIMULATE_EXIT_CODE: &str = "wbk-infra/simulate-exit-code";
/// Annotation of a pod: the waiting reason its containers stay in, `ImagePullBackOff`.
pub const SIMULATE_FAILURE: &str = "wbk-infra/simulate-failure";
/// Annotation of a node: its kubelet says that it is not ready, with this message, and starts nothing.
pub const SIMULATE_NOT_READY: &str = "wbk-infra/simulate-not-ready";
/// Annotation of a node: so many of the next pods there that would finish are not started by its container runtime; counted down.
pub const SIMULATE_START_ERRORS: &str = "wbk-infra/simulate-start-errors";
/// Annotation of a node: so many of its GPUs are there and not healthy.
pub const SIMULATE_UNHEALTHY_GPUS: &str = "wbk-infra/simulate-unhealthy-gpus";

/// Annotation of a pod: which part of a GPU node it stands for, `nfd-worker` or `device-plugin`.
pub const SIMULATES: &str = "wbk-infra/simulates";
/// Annotation of a pod that stands for a device plugin: what one GPU becomes where GPUs are shared or partitioned, as JSON, by
/// the node's configuration, in the fake plugin's words: `{"l4-spot": [{"name": "nvidia.com/gpu.shared", "replicas": 4}]}`. A node of no configuration in it offers whole GPUs.
pub const ADVERTISES: &str = "wbk-infra/advertises";
/// Label of a node: which configuration the device plugin has there, as NVIDIA's plugin reads it.
pub const PLUGIN_CONFIG: &str = "nvidia.com/device-plugin.config";

/// The field manager of what the provider writes.
pub const FIELD_MANAGER: &str = "wbk-infra";
/// The field manager of what the simulator writes.
pub const SIMULATOR_MANAGER: &str = "wbk-infra-simulator";
/// The user name in the simulator's certificate.
pub const SIMULATOR_USER: &str = "wbk-infra:simulator";
