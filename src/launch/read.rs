//! What the picture of Launch is made from: Jobs, pods and events of the cluster, items of W&B. What cannot be asked is said.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::board::Sources;
use crate::cluster::Cluster;
use crate::desired::DesiredLaunch;
use crate::wandb::Wandb;

/// Asks for it all; nothing fails.
pub async fn read(launch: &DesiredLaunch, cluster: Option<&Cluster>, wandb: Option<&Wandb>) -> Sources {
    let mut sources = Sources::default();
    match cluster {
        Some(cluster) => of_cluster(launch, cluster, &mut sources).await,
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
    for space in &jobs {
        let path = format!("/apis/batch/v1/namespaces/{space}/jobs");
        list(cluster, &path, "Jobs", &mut sources.jobs, &mut sources.unseen).await;
        let path = format!("/api/v1/namespaces/{space}/events?fieldSelector=involvedObject.kind%3DJob");
        list(cluster, &path, "events", &mut sources.events, &mut sources.unseen).await;
    }
    for space in jobs.union(&agents) {
        list(cluster, &format!("/api/v1/namespaces/{space}/pods"), "pods", &mut sources.pods, &mut sources.unseen)
            .await;
    }
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
