//! What a cost report is made from: nodes and pods. What cannot be asked is said.

use http::Method;
use serde_json::Value;

use crate::cluster::Cluster;

/// Objects as the API server has them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Nodes; `None` where they could not be listed.
    pub nodes: Option<Vec<Value>>,
    /// Pods of all namespaces; `None` where they could not be listed: of some alone nobody could say what is idle.
    pub pods: Option<Vec<Value>>,
    /// What could not be asked, and why.
    pub unseen: Vec<String>,
}

/// Asks for it; nothing fails.
pub async fn read_cost(cluster: &Cluster) -> Sources {
    let (nodes, pods) = futures::join!(
        list(cluster, "/api/v1/nodes", "list the nodes"),
        list(cluster, "/api/v1/pods", "list the pods")
    );
    let mut unseen = Vec::new();
    let mut seen = |found: Result<Vec<Value>, String>| found.map_err(|why| unseen.push(why)).ok();
    let (nodes, pods) = (seen(nodes), seen(pods));
    Sources { nodes, pods, unseen }
}

async fn list(cluster: &Cluster, path: &str, attempted: &str) -> Result<Vec<Value>, String> {
    let mut found = cluster.request(Method::GET, path, None, attempted).await.map_err(|error| error.words())?;
    match found["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Err(format!("{attempted}: the answer has no items")),
    }
}
