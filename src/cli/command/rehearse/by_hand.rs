//! Changes to a running platform that no blueprint asked for: what drift has to find.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cli::{failure::Failure, situation::Connection};
use crate::desired::{Desired, DesiredObject};

/// The name under which the changes are made; drift has to name it.
pub(super) const HAND: &str = "rehearsal-by-hand";

/// Kinds of which one object is changed, the most telling first.
const CHANGEABLE: [&str; 6] = ["ResourceQuota", "ConfigMap", "Role", "ClusterRole", "Deployment", "Namespace"];
/// Kinds of which one object is deleted: nothing else goes with it.
const REMOVABLE: [&str; 7] =
    ["PriorityClass", "NetworkPolicy", "Role", "ConfigMap", "LimitRange", "DaemonSet", "Deployment"];

/// Something that was changed, and how drift has to call it.
pub(super) struct Planted {
    /// What was done, for people.
    pub what: String,
    /// The thing, as drift prints it.
    pub object: String,
    /// `changed` or `removed`; empty where either would do.
    pub kind: &'static str,
}

/// Changes a value of one object and deletes another, of those that the blueprint has.
pub(super) async fn change(connection: &Connection, desired: &Desired) -> Result<Vec<Planted>, Failure> {
    let mut planted = Vec::new();
    let changed = CHANGEABLE.iter().find_map(|kind| {
        let of_kind = desired.objects.iter().filter(|object| object.id.gvk.kind == *kind);
        of_kind.into_iter().find_map(|object| Some((object, other_value(object)?)))
    });
    if let Some((object, (what, patch))) = changed {
        let params = PatchParams { field_manager: Some(HAND.into()), ..PatchParams::default() };
        let api = api(connection, object)?;
        api.patch(&object.id.name, &params, &Patch::Merge(patch))
            .await
            .with_context(|| format!("change {} by hand", object.id))?;
        planted.push(Planted {
            what: format!("{what} of {} was changed", object.id),
            object: object.id.to_string(),
            kind: "changed",
        });
    }
    let is_other = |object: &&DesiredObject| changed_id(&planted) != Some(object.id.to_string());
    let removed = REMOVABLE
        .iter()
        .find_map(|kind| desired.objects.iter().filter(is_other).find(|object| object.id.gvk.kind == *kind));
    if let Some(object) = removed {
        let api = api(connection, object)?;
        api.delete(&object.id.name, &DeleteParams::background())
            .await
            .with_context(|| format!("delete {} by hand", object.id))?;
        planted.push(Planted {
            what: format!("{} was deleted", object.id),
            object: object.id.to_string(),
            kind: "removed",
        });
    }
    Ok(planted)
}

fn changed_id(planted: &[Planted]) -> Option<String> {
    planted.first().map(|planted| planted.object.clone())
}

/// Another value for a field that the blueprint sets and that can be changed in place, as a merge patch.
fn other_value(object: &DesiredObject) -> Option<(String, Value)> {
    let manifest = &object.manifest;
    match object.id.gvk.kind.as_str() {
        "ResourceQuota" => {
            let (key, _) = manifest["spec"]["hard"].as_object()?.iter().next()?;
            Some((key.clone(), json!({"spec": {"hard": {key: "1"}}})))
        }
        "ConfigMap" => {
            let (key, _) = manifest["data"].as_object()?.iter().next()?;
            Some((format!("key {key}"), json!({"data": {key: "changed by hand"}})))
        }
        "Deployment" => {
            let replicas = manifest["spec"]["replicas"].as_u64()?;
            Some(("the number of replicas".into(), json!({"spec": {"replicas": replicas + 1}})))
        }
        "Role" | "ClusterRole" => {
            manifest["rules"].as_array()?;
            let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]);
            Some(("the rules".into(), json!({"rules": rules})))
        }
        "Namespace" => {
            let labels = manifest["metadata"]["labels"].as_object()?;
            let (key, _) = labels.iter().find(|(key, _)| key.starts_with("pod-security.kubernetes.io/enforce"))?;
            Some((format!("label {key}"), json!({"metadata": {"labels": {key: "privileged"}}})))
                .filter(|_| labels.get(key).and_then(Value::as_str) != Some("privileged"))
        }
        _ => None,
    }
}

/// Takes one node of every spot pool, as a cloud does: the node goes, and its pods go with it.
pub(super) async fn reclaim_spot(connection: &Connection, desired: &Desired) -> Result<Vec<Planted>, Failure> {
    let client = connection.cluster.client().clone();
    let (nodes, pods) = (Api::<Node>::all(client.clone()), Api::<Pod>::all(client.clone()));
    let mut planted = Vec::new();
    for pool in desired.wanted.pools.values() {
        if pool.capacity != wbk_provider_api::Capacity::Spot {
            continue;
        }
        let of_pool = ListParams::default().labels(&format!("wbk-infra/pool={}", pool.name));
        let found = nodes.list(&of_pool).await.with_context(|| format!("list the nodes of pool {}", pool.name))?;
        let Some(node) = found.items.first() else { continue };
        let name = node.name_any();
        nodes.delete(&name, &DeleteParams::default()).await.with_context(|| format!("reclaim node {name}"))?;
        let on_it = ListParams::default().fields(&format!("spec.nodeName={name}"));
        for pod in pods.list(&on_it).await.with_context(|| format!("list the pods of node {name}"))? {
            let own = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            match own.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    return Err(Failure::from(
                        anyhow::Error::new(error).context(format!("end the pods of node {name}")),
                    ));
                }
            }
        }
        planted.push(Planted {
            what: format!("spot node {name} was taken back"),
            object: format!("node pool {}", pool.name),
            kind: "",
        });
    }
    Ok(planted)
}

fn api(connection: &Connection, object: &DesiredObject) -> Result<Api<DynamicObject>, Failure> {
    let gvk = &object.id.gvk;
    let resource = connection.discovery.find(gvk).with_context(|| format!("find out where {} is served", object.id))?;
    let resource = ApiResource {
        group: gvk.group.clone(),
        version: gvk.version.clone(),
        api_version: gvk.api_version(),
        kind: gvk.kind.clone(),
        plural: resource.plural.clone(),
    };
    let client = connection.cluster.client().clone();
    Ok(match &object.id.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    })
}
