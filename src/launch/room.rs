//! Why no node takes a pod: the scheduler's filters on the nodes that the pod asks for, as they are now. The scheduler itself speaks of
//! all nodes of the cluster, and of reasons without their owners. Pure.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::obstacle::Obstacle;
use crate::cluster::{name, text};
use crate::desired::DesiredQueue;
use crate::gpu::scheduler::{
    Admission, Node, Placed, Pod, Refusal, Shortage, Surroundings, Truth, Verdict, is_extended, requires_node, show,
    verdict,
};

/// Nodes, and what is on them.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Every node.
    pub nodes: Vec<Value>,
    /// Every pod that has not ended, of every namespace.
    pub pods: Vec<Value>,
}

/// What a pool's nodes have of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Free {
    /// Nodes.
    pub nodes: usize,
    /// All of it.
    pub all: i64,
    /// What no pod has.
    pub free: i64,
}

/// Pods named as holders of what another waits for; more are counted.
const NAMED: usize = 3;

impl Room {
    fn nodes(&self) -> Vec<Node> {
        let mut on: BTreeMap<&str, Vec<Placed>> = BTreeMap::new();
        for pod in &self.pods {
            let node = text(pod, "/spec/nodeName");
            if !node.is_empty() && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
                on.entry(node).or_default().push(Placed {
                    pod: Rc::new(read(pod)),
                    terminating: !pod["metadata"]["deletionTimestamp"].is_null(),
                });
            }
        }
        let with_pods = |value: &Value| {
            let mut node = Node::of(value);
            node.pods = on.remove(name(value)).unwrap_or_default();
            node
        };
        self.nodes.iter().map(with_pods).collect()
    }

    /// What keeps one of the pods from each node that it asks for, those before it being placed; `None` where all find one now, or where
    /// it cannot be said.
    pub(super) fn refuses(&self, pods: &[&Value], queue: &DesiredQueue) -> Option<Obstacle> {
        let mut nodes = self.nodes();
        let mut taken = Vec::new();
        for (before, pod) in pods.iter().enumerate() {
            match place((&nodes, &taken), &read(pod), queue) {
                Placing::On(at) => {
                    nodes[at].pods.push(Placed { pod: Rc::new(read(pod)), terminating: false });
                    taken.push(at);
                }
                Placing::Unknown => return None,
                Placing::Nowhere(obstacle) if pods.len() == 1 => return Some(obstacle),
                Placing::Nowhere(Obstacle { why, fix }) => {
                    let why = format!("its {} pods start together, and only {before} find a node. {why}", pods.len());
                    return Some(Obstacle { why, fix });
                }
            }
        }
        None
    }

    /// What nodes with a label have of a resource.
    pub(super) fn free(&self, label: (&str, &str), resource: &str) -> Free {
        let mut sum = Free { nodes: 0, all: 0, free: 0 };
        for node in self.nodes().iter().filter(|node| node.labels.has(label.0, label.1) == Truth::Yes) {
            let all = node.allocatable.get(resource);
            sum.nodes += 1;
            sum.all += all;
            sum.free += (all - node.used().get(resource)).max(0);
        }
        sum
    }
}

/// Where a pod goes.
enum Placing {
    /// To this node.
    On(usize),
    /// To none, and why.
    Nowhere(Obstacle),
    /// It cannot be said.
    Unknown,
}

/// `taken`: nodes where others of the same job are put; those do not end before it.
fn place((nodes, taken): (&[Node], &[usize]), pod: &Pod, queue: &DesiredQueue) -> Placing {
    let around = Surroundings::new(nodes);
    let asked = (0..nodes.len()).filter(|at| requires_node(pod, &nodes[*at]) != Truth::No);
    let mut first: Option<(usize, Vec<Refusal<'_>>)> = None;
    let mut details: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for at in asked {
        let refusals = match verdict(pod, at, &around) {
            Verdict::Refused(refusals) => refusals,
            Verdict::Fits => return Placing::On(at),
            Verdict::Unknown(_) => return Placing::Unknown,
        };
        let called = nodes[at].name.as_deref().unwrap_or("a node");
        let detail = refusals.first().map(|refusal| with_holders(refusal, &nodes[at])).unwrap_or_default();
        details.entry(detail).or_default().push(called);
        // What passes by itself is told before what somebody must mend.
        let passes =
            |at: usize, refusals: &[Refusal<'_>]| refusals.iter().all(Refusal::is_resolvable) && !taken.contains(&at);
        let is_better = |(other, so_far): &(usize, Vec<Refusal<'_>>)| {
            (passes(at, &refusals), !taken.contains(&at)) > (passes(*other, so_far), !taken.contains(other))
        };
        if first.as_ref().is_none_or(is_better) {
            first = Some((at, refusals));
        }
    }
    let Some((at, refusals)) = first else { return Placing::Nowhere(nowhere(pod, queue)) };
    let Some(refusal) = refusals.first() else { return Placing::Unknown };
    let why: Vec<String> = details.iter().map(|(detail, nodes)| format!("{}: {detail}", some(nodes))).collect();
    let fix = fix(refusal, nodes[at].name.as_deref().unwrap_or_default(), queue);
    Placing::Nowhere(Obstacle::new(format!("no node has room for it. {}", why.join(". ")), fix))
}

/// Volcano holds nodes to the same filters (its plugin `predicates`), and adds that the pods of a job start together.
fn read(pod: &Value) -> Pod {
    let mut pod = pod.clone();
    if pod["spec"]["schedulerName"] == "volcano"
        && let Some(spec) = pod["spec"].as_object_mut()
    {
        spec.remove("schedulerName");
    }
    Pod::of(&pod, text(&pod, "/metadata/namespace"), &Admission::default())
}

fn nowhere(pod: &Pod, queue: &DesiredQueue) -> Obstacle {
    let labels: Vec<String> = pod.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let what = if labels.is_empty() { "what its affinity asks for".to_owned() } else { labels.join(", ") };
    let fix = match &queue.pool {
        Some(pool) => format!(
            "a pool that begins with no node gets one of its autoscaler, in minutes; if none comes: wbk-infra verify tells whether the autoscaler runs and sees the pool, and wbk-infra drift shows whether the nodes of pool {pool} are there with their labels"
        ),
        None => "label the nodes that are meant, or change launch.queues[].config".to_owned(),
    };
    Obstacle::new(format!("no node has {what}"), fix)
}

/// A reason, and who has what the pod waits for.
fn with_holders(refusal: &Refusal<'_>, node: &Node) -> String {
    let detail = refusal.detail();
    let Refusal::Resource(Shortage { resource, wanted, allocatable, .. }) = refusal else { return detail };
    if wanted > allocatable {
        return detail;
    }
    let mut holders: Vec<(i64, String)> = node
        .pods
        .iter()
        .map(|placed| (placed.pod.requests.get(resource), format!("{}/{}", placed.pod.namespace, placed.pod.name)))
        .filter(|(amount, _)| *amount > 0)
        .collect();
    holders.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
    let names: Vec<&str> = holders.iter().map(|(_, name)| name.as_str()).collect();
    format!("{detail}, by {}", some(&names))
}

fn some(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn fix(refusal: &Refusal<'_>, node: &str, queue: &DesiredQueue) -> String {
    let pool = queue.pool.as_deref().unwrap_or("…");
    match refusal {
        Refusal::Resource(Shortage { wanted, allocatable, .. }) if wanted <= allocatable => format!(
            "it starts when one of those ends; a larger nodePools[{pool}].size or a higher priority starts it earlier"
        ),
        Refusal::Resource(Shortage { resource, allocatable: 0, .. }) if is_extended(resource) => {
            "nobody advertises it there: wbk-infra verify --only gpus says which link is broken".to_owned()
        }
        Refusal::Resource(Shortage { resource, allocatable, .. }) => format!(
            "let the job ask for at most {} {resource}, or put the queue on a pool with larger nodes",
            show(resource, *allocatable)
        ),
        Refusal::Taint(taint) => format!(
            "kubectl taint nodes {node} {}:{}- takes it away; to keep it, say it under nodePools[{pool}].taints and apply: the queue then tolerates it",
            taint.key,
            taint.effect.as_str()
        ),
        Refusal::Unschedulable => format!("kubectl uncordon {node}"),
        Refusal::Claim(_) => "its claim waits: kubectl get pvc of its namespace says for what".to_owned(),
        Refusal::VolumeNode(_) | Refusal::VolumeZone(_) => {
            "its volume is elsewhere: one that many zones share, or a pool in the volume's zone".to_owned()
        }
        Refusal::Pods(_) | Refusal::Port(_) => "it starts when a pod there ends".to_owned(),
        Refusal::NodeName(_)
        | Refusal::Selector(..)
        | Refusal::Affinity
        | Refusal::NoDomain(_)
        | Refusal::Skewed(_)
        | Refusal::NotNear(_)
        | Refusal::TooNear(_)
        | Refusal::Unwanted => format!("change what launch.queues[{}].config requires of other pods", queue.name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::obstacle::tests::queue;
    use super::*;

    fn node(name: &str, more: Value) -> Value {
        let mut node = json!({"metadata": {"name": name, "labels": {"pool": "l4"}},
            "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110", "nvidia.com/gpu": "1"}}, "spec": {}});
        for (key, value) in more.as_object().into_iter().flatten() {
            node["spec"][key] = value.clone();
        }
        node
    }

    fn pod(name: &str, on: &str, gpus: u32) -> Value {
        let amount = json!({"nvidia.com/gpu": gpus.to_string()});
        json!({"metadata": {"name": name, "namespace": "jobs"}, "status": {"phase": "Running"},
            "spec": {"nodeName": on, "nodeSelector": {"pool": "l4"}, "containers": [{"resources": {"requests": amount, "limits": amount}}]}})
    }

    fn waits(gpus: u32) -> Value {
        let mut pod = pod("new", "", gpus);
        pod["spec"].as_object_mut().unwrap().remove("nodeName");
        pod["status"]["phase"] = "Pending".into();
        pod
    }

    #[test]
    fn whoever_has_the_gpus_is_named_and_their_end_is_the_fix() {
        let room = Room {
            nodes: vec![node("a", json!({})), node("b", json!({"unschedulable": true}))],
            pods: vec![pod("old", "a", 1)],
        };
        let told = room.refuses(&[&waits(1)], &queue("l4")).unwrap();
        assert!(told.why.contains("a: 1 nvidia.com/gpu asked, 1 there, 1 of it in use, by jobs/old"), "{}", told.why);
        assert!(told.why.contains("b: it is cordoned"), "{}", told.why);
        assert!(told.fix.contains("when one of those ends"), "{}", told.fix);
        assert_eq!(room.free(("pool", "l4"), "nvidia.com/gpu"), Free { nodes: 2, all: 2, free: 1 });
    }

    #[test]
    fn what_never_passes_by_itself_is_told_as_that() {
        let taint = json!({"taints": [{"key": "team", "value": "other", "effect": "NoSchedule"}]});
        let room = |nodes: Vec<Value>| Room { nodes, pods: Vec::new() };
        let fix = |room: &Room, gpus: u32| room.refuses(&[&waits(gpus)], &queue("l4")).unwrap().fix;
        assert!(fix(&room(vec![node("a", taint)]), 1).starts_with("kubectl taint nodes a team:NoSchedule-"));
        assert!(fix(&room(vec![node("a", json!({}))]), 2).contains("at most 1 nvidia.com/gpu"));
        assert!(fix(&room(Vec::new()), 1).contains("wbk-infra drift"));
        let mut bare = node("a", json!({}));
        bare["status"]["allocatable"].as_object_mut().unwrap().remove("nvidia.com/gpu");
        assert!(fix(&room(vec![bare]), 1).contains("verify --only gpus"));
    }

    #[test]
    fn pods_that_start_together_are_placed_one_after_the_other() {
        let room = |nodes: Vec<Value>| Room { nodes, pods: Vec::new() };
        let (mut one, other) = (waits(1), waits(1));
        one["spec"]["schedulerName"] = "volcano".into();
        let two = [&one, &other];
        assert_eq!(room(vec![node("a", json!({})), node("b", json!({}))]).refuses(&two, &queue("l4")), None);
        let told = room(vec![node("a", json!({})), node("b", json!({"unschedulable": true}))]);
        let told = told.refuses(&two, &queue("l4")).unwrap();
        assert!(told.why.starts_with("its 2 pods start together, and only 1 find a node."), "{}", told.why);
        assert_eq!(told.fix, "kubectl uncordon b");
    }

    #[test]
    fn a_node_with_room_is_no_trouble() {
        let room = Room { nodes: vec![node("a", json!({}))], pods: Vec::new() };
        assert_eq!(room.refuses(&[&waits(1)], &queue("l4")), None);
    }
}
