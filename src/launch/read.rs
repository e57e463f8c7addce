//! What the pictures of Launch are made from: jobs, pods, events and nodes of the cluster, items of W&B. What cannot be asked is said.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::board::Sources;
use super::kueue::{self, is_suspended};
use super::room::Room;
use super::work::Controller;
use crate::cluster::{Cluster, ErrorKind, text};
use crate::desired::DesiredLaunch;
use crate::wandb::Wandb;

/// When nodes, and all that is on them, are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// Where a job waits for one.
    WhenWaitedFor,
    /// In any case.
    Always,
}

/// Asks for it all; nothing fails. `simulated`: the nodes run no programs.
pub async fn read(
    launch: &DesiredLaunch,
    cluster: Option<(&Cluster, bool)>,
    wandb: Option<&Wandb>,
    nodes: Nodes,
) -> Sources {
    let mut sources = Sources::default();
    match cluster {
        Some((cluster, simulated)) => {
            sources.simulated = simulated;
            of_cluster(launch, cluster, &mut sources).await;
            if nodes == Nodes::Always || waits_for_a_node(&sources) {
                sources.room = room(cluster, &mut sources.unseen).await;
            }
        }
        None => sources.unseen.push("the cluster: it cannot be reached".into()),
    }
    match wandb {
        Some(wandb) => of_wandb(launch, wandb, &mut sources).await,
        None => sources.unseen.push("W&B: what `launch.apiKey` names gives no key".into()),
    }
    sources
}

async fn of_cluster(launch: &DesiredLaunch, cluster: &Cluster, sources: &mut Sources) {
    let jobs: BTreeSet<&str> = launch.queues.iter().map(|queue| queue.namespace.as_str()).collect();
    let agents: BTreeSet<&str> = launch.agents.iter().map(|agent| agent.release.namespace.as_str()).collect();
    let controllers: BTreeSet<(Controller, &str)> =
        launch.queues.iter().map(|queue| (Controller::of(queue), queue.namespace.as_str())).collect();
    for (controller, space) in controllers {
        let mut found = Vec::new();
        list(cluster, &controller.path(space), "jobs", &mut found, &mut sources.unseen).await;
        sources.jobs.extend(found.into_iter().map(|job| (controller, job)));
    }
    for space in &jobs {
        // Of Kubernetes' Jobs and of Volcano's.
        let path = format!("/api/v1/namespaces/{space}/events?fieldSelector=involvedObject.kind%3DJob");
        list(cluster, &path, "events", &mut sources.events, &mut sources.unseen).await;
    }
    let waiting: BTreeSet<&str> = sources
        .jobs
        .iter()
        .filter(|(_, job)| is_suspended(job))
        .map(|(_, job)| text(job, "/metadata/namespace"))
        .collect();
    for space in waiting {
        match cluster.request(Method::GET, &kueue::path(space), None, "list the Workloads of Kueue").await {
            Ok(mut found) => {
                if let Some(items) = found["items"].as_array_mut() {
                    sources.workloads.append(items);
                }
            }
            // Nobody has Kueue: somebody suspended the Job by hand.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => sources.unseen.push(error.words()),
        }
    }
    for space in jobs.union(&agents) {
        list(cluster, &format!("/api/v1/namespaces/{space}/pods"), "pods", &mut sources.pods, &mut sources.unseen)
            .await;
    }
}

/// Whether a pod there has no node.
fn waits_for_a_node(sources: &Sources) -> bool {
    let waits = |pod: &Value| text(pod, "/spec/nodeName").is_empty() && text(pod, "/status/phase") == "Pending";
    sources.pods.iter().any(waits)
}

/// Nodes, and every pod that has not ended.
async fn room(cluster: &Cluster, unseen: &mut Vec<String>) -> Option<Room> {
    let mut room = Room::default();
    let before = unseen.len();
    list(cluster, "/api/v1/nodes", "nodes", &mut room.nodes, unseen).await;
    let going = "/api/v1/pods?fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed";
    list(cluster, going, "pods", &mut room.pods, unseen).await;
    (unseen.len() == before).then_some(room)
}

async fn list(cluster: &Cluster, path: &str, what: &str, into: &mut Vec<Value>, unseen: &mut Vec<String>) {
    match cluster.request(Method::GET, path, None, &format!("list the {what}")).await {
        Ok(mut found) => {
            if let Some(items) = found["items"].as_array_mut() {
                into.append(items);
            }
        }
        Err(error) => unseen.push(error.words()),
    }
}

async fn of_wandb(launch: &DesiredLaunch, wandb: &Wandb, sources: &mut Sources) {
    for queue in &launch.queues {
        match wandb.items(&queue.name).await {
            Ok(items) => {
                sources.items.insert(queue.name.clone(), items);
            }
            Err(error) => {
                // One that cannot be reached is not asked again for each queue.
                sources.unseen.push(error.to_string());
                return;
            }
        }
    }
}
