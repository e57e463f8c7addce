//! What a blueprint means: complete, every default filled, nothing left to choose.
//!
//! [`Loaded::resolve`](crate::blueprint::Loaded::resolve) makes a [`Desired`] of a checked blueprint and the files it names. It reads no environment, no
//! clock and no cluster; secret values stay references.

mod access;
mod auto_mode;
mod autoscaler;
mod brought;
mod charts;
mod collect;
mod cost;
mod ecr;
mod eks;
mod fabric;
mod fake_gpu;
mod gang;
mod gpu;
mod known;
mod launch;
mod lock;
mod managed;
mod manifest;
mod merge_patch;
mod monitoring;
mod namespaces;
mod network;
mod pools;
mod raw;
mod render;
mod resolve;
mod scope;
mod server;
mod state;
mod storage;

pub use cost::DesiredCost;
pub use gpu::{Advertiser, ExpectedLabel, GpuVendor, LabelWriter, NodeSystem, PoolGpus, advertiser};
pub use launch::{
    DesiredAgent, DesiredLaunch, DesiredQueue, NEWEST_SDK, Notice, OLDEST_SDK, PLATFORM_LABEL, QUEUE_LABEL,
    QueueContent, QueueLink, WandbService,
};
pub use lock::{ChartMirror, ChartPlaces, Lock, LockError, LockedChart};
pub use manifest::Manifest;
pub use scope::builtin_scope;
pub(crate) use scope::is_builtin_group;
pub use state::{
    ChartSource, ConflictChoice, Desired, DesiredObject, DesiredRelease, IgnoreRule, Origin, Policy, Promises, Protect,
    SecretReference, SecretSlot, SlotForm,
};

pub use pools::POOL_LABEL;

pub(crate) use autoscaler::{
    NAME as AUTOSCALER, NAMESPACE as AUTOSCALER_NAMESPACE, STATUS as AUTOSCALER_STATUS, hosts as autoscaler_hosts,
    is_brought as autoscaler_is_brought, release as autoscaler_release, status as autoscaler_status,
};
pub(crate) use charts::is_chart_path;
pub(crate) use ecr::{POLICY as ECR_POLICY, of as ecr_of};
pub(crate) use eks::{machine as eks_machine, scaler as eks_scaler};
pub(crate) use fabric::{FABRIC, HUGE_PAGES, fabrics};
pub(crate) use gpu::{driver_problem, mig, pool_gpus};
pub(crate) use launch::{
    OLDEST_CHART, breaks_launch_sweeps, file_key, forces_security_context, namespace_of, offers, pool_of,
    takes_a_secret, version,
};
pub(crate) use pools::{cluster_spec, default_shape_reason, derived_labels, derived_taints, gpu_resources, pool_spec};
pub(crate) use resolve::lint;
pub(crate) use server::{SERVER_PARTS, merged_server_values};
pub(crate) use storage::{Driver, class_of};
