//! Makes a pool as it is wanted, and removes one.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use wbk_provider_api::{PoolSeen, PoolSpec, Progress, ProgressSink, Seen, differences};

use super::observe::World;
use super::{nodes, record};
use crate::cluster::Wait;
use crate::{LocalError, names};

/// A node is ready a second after it was made; the rest is for busy machines.
const READY: Duration = Duration::from_secs(120);
/// A node's pods are removed by force, so only finalizers take time.
const GONE: Duration = Duration::from_secs(60);
/// Attempts of a patch that another writer got in between.
const ATTEMPTS: usize = 5;

/// Creates the pool, or changes it in place.
pub(crate) async fn apply(
    client: &kube::Client,
    blueprint: &str,
    pool: &PoolSpec,
    expect: &str,
    progress: ProgressSink<'_>,
) -> Result<(), LocalError> {
    let world = World::read(client).await?;
    match world.pool(blueprint, &pool.name, Some(pool)) {
        Seen::Unknown(why) => {
            return Err(LocalError::Refused {
                what: format!("node pool {} is not touched: {}", pool.name, why.0),
                hint: "give one of the two pools another name".into(),
            });
        }
        Seen::Absent => {
            // The record comes first: nodes without one would have no owner if this were interrupted.
            write_record(client, blueprint, pool).await?;
            make_nodes(client, blueprint, pool, &[], progress).await?;
        }
        Seen::Present(found) => {
            if differences(&found.spec, pool).is_empty() && found.deviations.is_empty() {
                return Ok(());
            }
            check(&found, pool, expect)?;
            let existing = world.nodes_of(&pool.name);
            // Nodes first, the record last: interrupted, the record still knows which labels were the old ones.
            change_nodes(client, blueprint, &found.spec, pool, &existing).await?;
            make_nodes(client, blueprint, pool, &existing, progress).await?;
            let kept = nodes::names_of(pool);
            for node in existing.iter().filter(|node| !kept.contains(&node.name_any())) {
                remove_node(client, node, progress).await?;
            }
            write_record(client, blueprint, pool).await?;
        }
    }
    ready(client, pool, progress).await
}

/// Removes the pool: its nodes, what runs on them, and its record.
pub(crate) async fn delete(
    client: &kube::Client,
    blueprint: &str,
    name: &str,
    expect: &str,
    progress: ProgressSink<'_>,
) -> Result<(), LocalError> {
    let world = World::read(client).await?;
    match world.pool(blueprint, name, None) {
        Seen::Absent => return Ok(()),
        Seen::Unknown(why) => {
            return Err(LocalError::Refused {
                what: format!("node pool {name} is not deleted: {}", why.0),
                hint: "destroy it with the blueprint that made it".into(),
            });
        }
        Seen::Present(found) if !expect.is_empty() && found.fingerprint != expect => {
            return Err(LocalError::Moved { what: format!("node pool {name}") });
        }
        Seen::Present(_) => {}
    }
    for node in world.nodes_of(name) {
        remove_node(client, &node, progress).await?;
    }
    let records = Api::<ConfigMap>::namespaced(client.clone(), record::NAMESPACE);
    gone_is_fine(records.delete(&record::name(name), &DeleteParams::default()).await.map(drop))
        .map_err(LocalError::api(format!("remove the record of node pool {name}")))
}

/// What is planned on is what is there; a creation that was interrupted is finished.
fn check(found: &PoolSeen, pool: &PoolSpec, expect: &str) -> Result<(), LocalError> {
    let unfinished =
        expect.is_empty() && found.spec == *pool && found.deviations.iter().all(|deviation| deviation.old.is_none());
    if unfinished || found.fingerprint == expect {
        Ok(())
    } else {
        Err(LocalError::Moved { what: format!("node pool {}", pool.name) })
    }
}

async fn write_record(client: &kube::Client, blueprint: &str, pool: &PoolSpec) -> Result<(), LocalError> {
    let records = Api::<ConfigMap>::namespaced(client.clone(), record::NAMESPACE);
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let record = record::make(blueprint, pool);
    records
        .patch(&record::name(&pool.name), &params, &Patch::Apply(record))
        .await
        .map(drop)
        .map_err(LocalError::api(format!("write the record of node pool {}", pool.name)))
}

async fn make_nodes(
    client: &kube::Client,
    blueprint: &str,
    pool: &PoolSpec,
    existing: &[Node],
    progress: ProgressSink<'_>,
) -> Result<(), LocalError> {
    let api = Api::<Node>::all(client.clone());
    let missing: Vec<String> = nodes::names_of(pool)
        .into_iter()
        .filter(|name| !existing.iter().any(|node| node.name_any() == *name))
        .collect();
    if !missing.is_empty() {
        progress(Progress(format!("making {} simulated nodes of pool {}", missing.len(), pool.name)));
    }
    let params = PostParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PostParams::default() };
    for name in missing {
        let node = nodes::make(blueprint, pool, &name);
        api.create(&params, &node).await.map_err(LocalError::api(format!("create node {name}")))?;
    }
    Ok(())
}

async fn change_nodes(
    client: &kube::Client,
    blueprint: &str,
    before: &PoolSpec,
    pool: &PoolSpec,
    existing: &[Node],
) -> Result<(), LocalError> {
    let api = Api::<Node>::all(client.clone());
    let params = PatchParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PatchParams::default() };
    let kept = nodes::names_of(pool);
    for node in existing.iter().filter(|node| kept.contains(&node.name_any())) {
        let name = node.name_any();
        let mut current = node.clone();
        let mut attempt = 1;
        while let Some(patch) = nodes::patch(blueprint, before, pool, &current) {
            match api.patch(&name, &params, &Patch::Merge(patch)).await {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => {
                    attempt += 1;
                    current = api.get(&name).await.map_err(LocalError::api(format!("read node {name}")))?;
                }
                Err(error) => return Err(LocalError::api(format!("change node {name}"))(error)),
            }
        }
    }
    Ok(())
}

/// The node goes first, so that nothing new lands on it; then its pods, which have no kubelet any more.
async fn remove_node(client: &kube::Client, node: &Node, progress: ProgressSink<'_>) -> Result<(), LocalError> {
    let name = node.name_any();
    progress(Progress(format!("removing simulated node {name}")));
    let this_one = Preconditions { uid: node.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
    gone_is_fine(Api::<Node>::all(client.clone()).delete(&name, &params).await.map(drop))
        .map_err(LocalError::api(format!("remove node {name}")))?;
    let pods = Api::<Pod>::all(client.clone());
    let on_it = ListParams::default().fields(&format!("spec.nodeName={name}"));
    let wait = Wait::new(format!("the pods of node {name} to be gone"), GONE);
    loop {
        let found = pods.list(&on_it).await.map_err(LocalError::api(format!("list the pods of node {name}")))?.items;
        if found.is_empty() {
            return Ok(());
        }
        // Those with a grace period of 0 were asked for already; their finalizers are waited for.
        for pod in found.iter().filter(|pod| pod.metadata.deletion_grace_period_seconds != Some(0)) {
            let in_namespace = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            let removed = in_namespace.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
            gone_is_fine(removed.map(drop))
                .map_err(LocalError::api(format!("remove pod {} of node {name}", pod.name_any())))?;
        }
        wait.again().await?;
    }
}

/// Every node of the pool has what the pool promises.
async fn ready(client: &kube::Client, pool: &PoolSpec, progress: ProgressSink<'_>) -> Result<(), LocalError> {
    if pool.size.min == 0 {
        return Ok(());
    }
    progress(Progress(format!("waiting for {} simulated nodes of pool {} to be ready", pool.size.min, pool.name)));
    let api = Api::<Node>::all(client.clone());
    let simulated = ListParams::default().labels(&format!("{}=true", names::SIMULATED));
    let wanted = nodes::names_of(pool);
    let wait = Wait::new(format!("the nodes of pool {} to be ready", pool.name), READY);
    loop {
        let found = api.list(&simulated).await.map_err(LocalError::api(format!("list the nodes of {}", pool.name)))?;
        if wanted.iter().all(|name| found.items.iter().any(|node| node.name_any() == *name && is_ready(node))) {
            return Ok(());
        }
        wait.again().await?;
    }
}

/// It says so, and the controllers have believed it: the taint that they put on new nodes is gone.
fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        && !taints.iter().any(|taint| taint.key == "node.kubernetes.io/not-ready")
}

fn gone_is_fine(result: kube::Result<()>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => result,
    }
}
