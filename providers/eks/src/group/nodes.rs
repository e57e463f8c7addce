//! The nodes of a group, in Kubernetes: who runs on them, whether they are there, and how their pods move away.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use wbk_provider_api::Progress;

use crate::error::{AwsError, AwsErrorKind};
use crate::work::Work;

/// The label that EKS puts on the nodes of a group.
const GROUP: &str = "eks.amazonaws.com/nodegroup";
/// The label that the Job controller puts on its pods.
const OF_A_JOB: &str = "batch.kubernetes.io/job-name";

/// Pods of Jobs that run, `namespace/name`, by group and node.
///
/// # Errors
/// The API server does not answer.
pub async fn jobs_by_node(client: &kube::Client) -> kube::Result<BTreeMap<String, BTreeMap<String, Vec<String>>>> {
    let running =
        ListParams::default().labels(OF_A_JOB).fields("spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed");
    let (nodes, pods) = (Api::<Node>::all(client.clone()), Api::<Pod>::all(client.clone()));
    let of_groups = ListParams::default().labels(GROUP);
    let (nodes, pods) = futures::try_join!(nodes.list_metadata(&of_groups), pods.list(&running))?;
    let groups: BTreeMap<String, String> =
        nodes.iter().filter_map(|node| Some((node.name_any(), node.labels().get(GROUP)?.clone()))).collect();
    let mut jobs: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for pod in &pods {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        if let Some(group) = groups.get(&node) {
            let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
            jobs.entry(group.clone()).or_default().entry(node).or_default().push(name);
        }
    }
    Ok(jobs)
}

fn api(attempted: impl Into<String>) -> impl FnOnce(kube::Error) -> AwsError {
    let attempted = attempted.into();
    move |error| AwsError::new(attempted, AwsErrorKind::Unreachable, error.to_string()).after_change()
}

/// Waits until a group has so many nodes that are Ready, with GPUs where the nodes of the groups that it replaces have any.
///
/// # Errors
/// The API server does not answer, or the deadline came.
pub async fn wait_for_nodes(
    work: &Work<'_>,
    client: &kube::Client,
    (group, count): (&str, u32),
    replaced: &BTreeSet<String>,
) -> Result<(), AwsError> {
    let nodes = Api::<Node>::all(client.clone());
    let mut gpus = false;
    for old in replaced {
        let of_old = ListParams::default().labels(&format!("{GROUP}={old}"));
        let found = nodes.list(&of_old).await.map_err(api(format!("list the nodes of node group {old}")))?;
        gpus |= found.iter().any(has_gpus);
    }
    let of_group = ListParams::default().labels(&format!("{GROUP}={group}"));
    let mut waiting = work.wait_for(format!("{count} nodes of node group {group} to be Ready"));
    loop {
        let found = nodes.list(&of_group).await.map_err(api(format!("list the nodes of node group {group}")))?;
        let ready = found.iter().filter(|node| is_ready(node) && (has_gpus(node) || !gpus)).count();
        if u32::try_from(ready).unwrap_or(u32::MAX) >= count {
            return Ok(());
        }
        waiting.on(&format!("{ready} are")).await?;
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

/// Whether a kubelet advertises GPUs, or parts of them.
fn has_gpus(node: &Node) -> bool {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    allocatable.is_some_and(|allocatable| {
        allocatable.iter().any(|(name, amount)| {
            (name.contains("/gpu") || name.contains("/mig-")) && amount.0.parse::<u64>().is_ok_and(|amount| amount > 0)
        })
    })
}

/// Cordons the nodes of a group and evicts their pods, as their disruption budgets allow; those of DaemonSets stay.
///
/// # Errors
/// The API server does not answer, or pods were still there when the deadline came; they are named.
pub async fn move_away(work: &Work<'_>, client: &kube::Client, group: &str) -> Result<(), AwsError> {
    let nodes = Api::<Node>::all(client.clone());
    let of_group = ListParams::default().labels(&format!("{GROUP}={group}"));
    let found = nodes.list(&of_group).await.map_err(api(format!("list the nodes of node group {group}")))?;
    let names: BTreeSet<String> = found.iter().map(ResourceExt::name_any).collect();
    for name in &names {
        let cordon = Patch::Merge(serde_json::json!({"spec": {"unschedulable": true}}));
        let patched = nodes.patch(name, &PatchParams::default(), &cordon).await;
        patched.map_err(api(format!("cordon node {name}")))?;
    }
    let mut waiting = work.wait_for(format!("the pods of node group {group} to move"));
    loop {
        let left = pods_to_move(client, &names).await.map_err(api("list the pods that shall move"))?;
        if left.is_empty() {
            return Ok(());
        }
        for pod in &left {
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
            match pods.evict(&name, &EvictParams::default()).await {
                // 429: a disruption budget holds it for now. 404: it is gone.
                Ok(_) => {}
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 429) => {}
                Err(error) => return Err(api(format!("evict pod {namespace}/{name}"))(error)),
            }
        }
        let named: Vec<String> = left
            .iter()
            .take(5)
            .map(|pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any()))
            .collect();
        (work.say)(Progress(format!("{} pods are still on node group {group}", left.len())));
        waiting.on(&format!("{} are still there: {}", left.len(), named.join(", "))).await?;
    }
}

async fn pods_to_move(client: &kube::Client, nodes: &BTreeSet<String>) -> kube::Result<Vec<Pod>> {
    let alive = ListParams::default().fields("spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed");
    let pods = Api::<Pod>::all(client.clone()).list(&alive).await?;
    let moves = |pod: &Pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        let stays = pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet" || owner.kind == "Node");
        node.is_some_and(|node| nodes.contains(node)) && !stays
    };
    Ok(pods.items.into_iter().filter(|pod| moves(pod)).collect())
}
