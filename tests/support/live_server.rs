//! Requests to a test's API server, and nodes whose pods are played.

use std::time::Duration;

use futures::future::join_all;
use http::Request;
use serde_json::{Value, json};
use wbk_provider_api::PoolSpec;

/// Sends one request; answers of 400 and above panic with the server's words.
pub async fn send(client: &kube::Client, method: &str, path: &str, body: &Value) -> Value {
    try_send(client, method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// Sends one request.
pub async fn try_send(client: &kube::Client, method: &str, path: &str, body: &Value) -> kube::Result<Value> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let bytes = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header("content-type", kind).body(bytes);
    client.request(request.expect("a request")).await
}

/// The path of the collection in which a manifest is created.
pub fn collection(manifest: &Value) -> String {
    let api = manifest["apiVersion"].as_str().expect("apiVersion");
    let kind = manifest["kind"].as_str().expect("kind").to_lowercase();
    let plural = match kind.as_str() {
        "storageclass" | "priorityclass" => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    let root = if api.contains('/') { format!("/apis/{api}") } else { format!("/api/{api}") };
    match manifest["metadata"]["namespace"].as_str() {
        Some(space) => format!("{root}/namespaces/{space}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}

/// Makes the nodes of a pool, with its labels, taints and allocatable.
pub async fn make_nodes(client: &kube::Client, pool: &PoolSpec) {
    join_all((0..pool.size.min).map(|at| async move {
        let name = format!("{}-{at}", pool.labels["wbk-infra/pool"]);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": pool.labels},
            "spec": {"taints": pool.taints}});
        send(client, "POST", "/api/v1/nodes", &node).await;
        beat(client, &name, Some(pool)).await;
    }))
    .await;
}

async fn beat(client: &kube::Client, node: &str, pool: Option<&PoolSpec>) {
    let now = jiff::Timestamp::now().to_string();
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady",
        "lastHeartbeatTime": now, "lastTransitionTime": now});
    let mut status = json!({"conditions": [ready]});
    if let Some(pool) = pool {
        let mut offered = json!({"cpu": format!("{}m", pool.shape.cpu_millis), "pods": "110",
            "memory": pool.shape.memory_bytes.to_string()});
        if let Some(gpu) = &pool.shape.gpu {
            offered[&gpu.resource] = json!(gpu.count.to_string());
        }
        status["capacity"] = offered.clone();
        status["allocatable"] = offered;
    }
    send(client, "PATCH", &format!("/api/v1/nodes/{node}/status"), &json!({"status": status})).await;
}

/// Plays the kubelets of the nodes whose pool label begins with `prefix`, until it is dropped: pods of Jobs and
/// pods that are not to be started again succeed, others run; deleted ones go.
pub async fn play(client: kube::Client, prefix: String) {
    let mut ticks = 0_u32;
    // A kubelet's own rhythm stands in for a watch here: this is the played world, not what is tested.
    let mut rhythm = tokio::time::interval(Duration::from_millis(200));
    loop {
        rhythm.tick().await;
        let Ok(pods) = try_send(&client, "GET", "/api/v1/pods", &Value::Null).await else { continue };
        for pod in pods["items"].as_array().into_iter().flatten() {
            if pod["spec"]["nodeName"].as_str().is_some_and(|node| node.starts_with(&prefix)) {
                // A pod may go between the two requests; the next beat sees what is left.
                let _gone = play_pod(&client, pod).await;
            }
        }
        ticks += 1;
        if ticks.is_multiple_of(25) {
            let nodes = send(&client, "GET", "/api/v1/nodes", &Value::Null).await;
            for name in nodes["items"].as_array().into_iter().flatten().filter_map(|n| n["metadata"]["name"].as_str()) {
                if name.starts_with(&prefix) {
                    beat(&client, name, None).await;
                }
            }
        }
    }
}

async fn play_pod(client: &kube::Client, pod: &Value) -> kube::Result<()> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let path = format!("/api/v1/namespaces/{}/pods/{}", text("/metadata/namespace"), text("/metadata/name"));
    if !text("/metadata/deletionTimestamp").is_empty() {
        try_send(client, "DELETE", &path, &json!({"gracePeriodSeconds": 0})).await?;
        return Ok(());
    }
    if text("/status/phase") != "Pending" {
        return Ok(());
    }
    let owner = text("/metadata/ownerReferences/0/kind");
    let ends = owner == "Job" || owner.is_empty() && text("/spec/restartPolicy") == "Never";
    let now = jiff::Timestamp::now().to_string();
    let status = if ends {
        let ended = json!({"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now});
        let container = json!({"name": text("/spec/containers/0/name"), "image": "i", "imageID": "i", "ready": false,
            "restartCount": 0, "state": {"terminated": ended}});
        json!({"phase": "Succeeded", "containerStatuses": [container]})
    } else {
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]})
    };
    try_send(client, "PATCH", &format!("{path}/status"), &json!({"status": status})).await?;
    Ok(())
}
