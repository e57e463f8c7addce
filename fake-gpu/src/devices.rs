//! The GPUs of a node and what the kubelet is told of them. Pure: time comes in as a value.

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::api::{Device, HEALTHY, NumaNode, TopologyInfo, UNHEALTHY};
use crate::config::{Config, Failure, FailureKind, Resource};
use crate::model::Model;

/// What is between a GPU and the number of its share, as NVIDIA's plugin writes it.
const SHARE: &str = "::";

/// One physical GPU that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its number on the node.
    pub index: u32,
    /// `GPU-…`, the same for the same node and number, different everywhere else.
    pub uuid: String,
}

/// The GPUs of one node.
#[derive(Debug, Clone)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// What the GPUs are.
    pub model: Model,
    /// The GPUs.
    pub gpus: Vec<Gpu>,
    failures: Vec<Failure>,
}

/// What a device stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    /// The device's id without the number of its share: what `nvidia-smi` shows.
    pub shown: String,
    /// The GPU that it is on.
    pub gpu: u32,
    /// The slice of the GPU, where it is one.
    pub slice: Option<u32>,
}

impl Node {
    /// The GPUs that a configuration gives the node.
    pub fn new(name: &str, config: &Config) -> Self {
        Self {
            name: name.to_owned(),
            model: Model::of(&config.model, config.memory_mib),
            gpus: (0..config.count).map(|index| Gpu { index, uuid: uuid("GPU", name, &[index]) }).collect(),
            failures: config.failures.clone(),
        }
    }

    /// The devices of a resource as they are reported `uptime` after the start; `marked` are those that somebody wants
    /// unhealthy, by index or id.
    pub fn devices(&self, resource: &Resource, uptime: Duration, marked: &BTreeSet<String>) -> Vec<Device> {
        let present = self.gpus.iter().filter(|gpu| !self.fails(FailureKind::Missing, gpu.index, uptime));
        present
            .flat_map(|gpu| {
                let health = |id: &str| {
                    let is_marked = marked.contains(&gpu.index.to_string())
                        || marked.contains(&gpu.uuid)
                        || marked.contains(id)
                        || self.fails(FailureKind::Unhealthy, gpu.index, uptime);
                    if is_marked { UNHEALTHY } else { HEALTHY }
                };
                // Two sockets, as the machines have that these stand for: the upper half is on the second.
                let socket = i64::from(self.gpus.len() > 1 && gpu.index as usize >= self.gpus.len().div_ceil(2));
                self.ids(gpu, resource)
                    .into_iter()
                    .map(|id| Device {
                        health: health(&id).into(),
                        id,
                        topology: Some(TopologyInfo { nodes: vec![NumaNode { id: socket }] }),
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// What an id stands for; `None` where it is none of the resource's.
    pub fn find(&self, resource: &Resource, id: &str) -> Option<Allocated> {
        self.gpus.iter().find_map(|gpu| {
            self.ids(gpu, resource).iter().any(|own| own == id).then(|| {
                let shown = id.split_once(SHARE).map_or(id, |(shown, _)| shown).to_owned();
                let slice = (0..resource.slices.unwrap_or(0)).find(|slice| self.slice(gpu, *slice) == shown);
                Allocated { shown, gpu: gpu.index, slice }
            })
        })
    }

    /// Whether a GPU fails in this way now.
    pub fn fails(&self, kind: FailureKind, gpu: u32, uptime: Duration) -> bool {
        self.failures.iter().any(|failure| {
            let begin = failure.after_seconds;
            let has_ended = failure.for_seconds.is_some_and(|length| uptime.as_secs() >= begin.saturating_add(length));
            failure.kind == kind
                && failure.device.is_none_or(|device| device == gpu)
                && uptime.as_secs() >= begin
                && !has_ended
        })
    }

    fn ids(&self, gpu: &Gpu, resource: &Resource) -> Vec<String> {
        let units: Vec<String> = match resource.slices {
            None => vec![gpu.uuid.clone()],
            Some(slices) => (0..slices).map(|slice| self.slice(gpu, slice)).collect(),
        };
        if resource.replicas == 1 {
            return units;
        }
        units
            .iter()
            .flat_map(|unit| (0..resource.replicas).map(move |replica| format!("{unit}{SHARE}{replica}")))
            .collect()
    }

    fn slice(&self, gpu: &Gpu, slice: u32) -> String {
        uuid("MIG", &self.name, &[gpu.index, slice])
    }
}

/// Which of the available devices a container gets best: those that must be in it, then as few GPUs as possible for whole
/// ones and slices, and the least shared GPU first for shares.
pub fn preferred(node: &Node, resource: &Resource, available: &[String], must: &[String], size: usize) -> Vec<String> {
    let mut picked: Vec<String> = must.to_vec();
    let mut free: Vec<(&String, u32)> = available
        .iter()
        .filter(|id| !must.contains(id))
        .filter_map(|id| Some((id, node.find(resource, id)?.gpu)))
        .collect();
    free.sort_by(|left, right| (left.1, left.0).cmp(&(right.1, right.0)));
    while picked.len() < size && !free.is_empty() {
        let on = |gpu: u32| free.iter().filter(|(_, other)| *other == gpu).count();
        let next = if resource.replicas > 1 {
            // The GPU with most shares left; among equals the first.
            let best = free.iter().map(|(_, gpu)| *gpu).max_by_key(|gpu| (on(*gpu), std::cmp::Reverse(*gpu)));
            free.iter().position(|(_, gpu)| Some(*gpu) == best)
        } else {
            Some(0)
        };
        let Some(next) = next else { break };
        picked.push(free.remove(next).0.clone());
    }
    picked
}

/// A UUID that follows from what it names, in the spelling of the driver.
fn uuid(prefix: &str, node: &str, path: &[u32]) -> String {
    let path: Vec<String> = path.iter().map(u32::to_string).collect();
    let digest = Sha256::digest(format!("{prefix}/{node}/{}", path.join("/")));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn node(json: &str) -> (Node, Vec<Resource>) {
        let config = Config::parse(json).unwrap();
        (Node::new("n", &config), config.resources)
    }

    fn health(node: &Node, resource: &Resource, seconds: u64) -> Vec<String> {
        let devices = node.devices(resource, Duration::from_secs(seconds), &BTreeSet::new());
        devices.into_iter().map(|device| device.health).collect()
    }

    #[test]
    fn ids_are_stable_unique_and_short_enough() {
        let (node, resources) = node(r#"{"count": 8, "resources": [{"slices": 7, "replicas": 48}]}"#);
        let first = node.devices(&resources[0], NOW, &BTreeSet::new());
        let ids: BTreeSet<&str> = first.iter().map(|device| device.id.as_str()).collect();
        assert_eq!(ids.len(), 8 * 7 * 48);
        assert!(ids.iter().all(|id| id.len() <= 63), "the kubelet's bound");
        assert_eq!(first, node.devices(&resources[0], NOW, &BTreeSet::new()));
        let config = Config { count: 8, ..Config::default() };
        assert_ne!(Node::new("other", &config).gpus, Node::new("n", &config).gpus);
    }

    #[test]
    fn shares_and_slices_lead_back_to_their_gpu() {
        let (node, resources) =
            node(r#"{"count": 2, "resources": [{"replicas": 4}, {"name": "nvidia.com/mig-1g.5gb", "slices": 7}]}"#);
        let share = format!("{}::3", node.gpus[1].uuid);
        assert_eq!(
            node.find(&resources[0], &share),
            Some(Allocated { shown: node.gpus[1].uuid.clone(), gpu: 1, slice: None })
        );
        let slices = node.devices(&resources[1], NOW, &BTreeSet::new());
        assert_eq!(slices.len(), 14);
        let found = node.find(&resources[1], &slices[8].id).unwrap();
        assert_eq!((found.gpu, found.slice), (1, Some(1)));
        assert_eq!(node.find(&resources[0], &slices[8].id), None, "a slice is no whole GPU");
    }

    #[test]
    fn failures_begin_and_end_when_they_shall() {
        let (node, resources) = node(
            r#"{"count": 2, "failures": [{"kind": "unhealthy", "device": 1, "afterSeconds": 10, "forSeconds": 5},
                {"kind": "missing", "device": 0, "afterSeconds": 20}]}"#,
        );
        assert_eq!(health(&node, &resources[0], 9), ["Healthy", "Healthy"]);
        assert_eq!(health(&node, &resources[0], 10), ["Healthy", "Unhealthy"]);
        assert_eq!(health(&node, &resources[0], 15), ["Healthy", "Healthy"]);
        assert_eq!(health(&node, &resources[0], 20), ["Healthy"]);
    }

    #[test]
    fn a_marked_gpu_is_unhealthy_with_all_its_shares() {
        let (node, resources) = node(r#"{"count": 2, "resources": [{"replicas": 2}]}"#);
        let unhealthy = |mark: &str| {
            let devices = node.devices(&resources[0], NOW, &BTreeSet::from([mark.to_owned()]));
            devices.iter().filter(|device| device.health == UNHEALTHY).count()
        };
        assert_eq!((unhealthy("1"), unhealthy(&node.gpus[0].uuid.clone()), unhealthy("7")), (2, 2, 0));
    }

    #[test]
    fn whole_gpus_are_packed_and_shares_are_spread() {
        let (whole, resources) = node(r#"{"count": 4}"#);
        let ids: Vec<String> = whole.gpus.iter().rev().map(|gpu| gpu.uuid.clone()).collect();
        let picked = preferred(&whole, &resources[0], &ids, &[ids[0].clone()], 3);
        assert_eq!(picked, [&whole.gpus[3].uuid, &whole.gpus[0].uuid, &whole.gpus[1].uuid].map(String::clone));

        let (shared, resources) = node(r#"{"count": 2, "resources": [{"replicas": 2}]}"#);
        let free: Vec<String> =
            shared.devices(&resources[0], NOW, &BTreeSet::new()).into_iter().map(|device| device.id).skip(1).collect();
        let picked = preferred(&shared, &resources[0], &free, &[], 1);
        assert_eq!(shared.find(&resources[0], &picked[0]).unwrap().gpu, 1, "GPU 0 has a share taken");
        assert_eq!(preferred(&shared, &resources[0], &free, &[], 9).len(), 3, "no more than there are");
    }
}
