//! The closure proof on the live cluster: what it needs is read, and it is made, once for all checks that judge it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::api::Trouble;
use super::context::CheckContext;
use super::placement::Placement;
use crate::cluster::{name, number, text};
use crate::desired::Desired;
use crate::gpu::{LiveNode, LiveObject, LiveQuestion, OF_THE_CLUSTER, Proof, Unseen, printed, prove_live};
use crate::id::ReleaseId;

/// How long a proof counts as of now: as long as the lists that it is made from.
const FRESH: Duration = Duration::from_millis(150);

/// A proof, and what of it is proven by more than paper.
#[derive(Debug, Clone)]
pub(super) struct Proven {
    /// The proof.
    pub(super) proof: Arc<Proof>,
    /// Workloads, as the proof calls them, all of whose pods are ready: of those a doubt is none.
    pub(super) ready: Arc<BTreeSet<String>>,
}

/// The newest proof of one run.
#[derive(Clone, Default)]
pub(super) struct LastProof {
    slot: Arc<Mutex<Option<(Instant, Proven)>>>,
}

impl LastProof {
    /// The proof as of now.
    pub(super) async fn now(&self, cx: &CheckContext) -> Result<Proven, Trouble> {
        let mut slot = self.slot.lock().await;
        if let Some((at, proven)) = &*slot
            && at.elapsed() < FRESH
        {
            return Ok(proven.clone());
        }
        let proven = prove(cx).await?;
        *slot = Some((Instant::now(), proven.clone()));
        Ok(proven)
    }

    /// The newest proof that any check asked for.
    pub(super) async fn last(&self) -> Option<Arc<Proof>> {
        self.slot.lock().await.as_ref().map(|(_, proven)| proven.proof.clone())
    }
}

/// A kind that is read. A list's items do not say their kind.
struct Kind {
    path: &'static str,
    api_version: &'static str,
    kind: &'static str,
    /// Whether nothing can be proven without it.
    needed: bool,
}

const fn kind(path: &'static str, api_version: &'static str, kind: &'static str, needed: bool) -> Kind {
    Kind { path, api_version, kind, needed }
}

/// What makes pods, and what says something about pods. Pods themselves are not: what makes them is judged.
const KINDS: [Kind; 13] = [
    kind("/apis/apps/v1/daemonsets", "apps/v1", "DaemonSet", true),
    kind("/apis/apps/v1/deployments", "apps/v1", "Deployment", true),
    kind("/apis/apps/v1/statefulsets", "apps/v1", "StatefulSet", true),
    kind("/apis/batch/v1/jobs", "batch/v1", "Job", true),
    kind("/apis/batch/v1/cronjobs", "batch/v1", "CronJob", true),
    kind("/api/v1/limitranges", "v1", "LimitRange", false),
    kind("/api/v1/resourcequotas", "v1", "ResourceQuota", false),
    kind("/api/v1/namespaces", "v1", "Namespace", false),
    kind("/api/v1/persistentvolumeclaims", "v1", "PersistentVolumeClaim", false),
    kind("/api/v1/persistentvolumes", "v1", "PersistentVolume", false),
    kind("/apis/storage.k8s.io/v1/storageclasses", "storage.k8s.io/v1", "StorageClass", false),
    kind("/apis/scheduling.k8s.io/v1/priorityclasses", "scheduling.k8s.io/v1", "PriorityClass", false),
    kind("/apis/node.k8s.io/v1/runtimeclasses", "node.k8s.io/v1", "RuntimeClass", false),
];

/// Of which resources GPU operators make DaemonSets: NVIDIA's and Intel's.
const GPU_OPERATORS: [&str; 3] = ["ClusterPolicy", "NVIDIADriver", "GpuDevicePlugin"];

/// Where the cluster's own workloads are.
const SYSTEM: &str = "kube-system";

async fn prove(cx: &CheckContext) -> Result<Proven, Trouble> {
    let api = cx.api();
    let reads = KINDS.iter().map(|kind| cx.recent.list(&api, kind.path, ""));
    let (nodes, lists) = tokio::join!(cx.all_nodes(), join_all(reads));
    let nodes = nodes?;
    let mut unseen = Vec::new();
    let mut all = Vec::new();
    for (kind, list) in KINDS.iter().zip(lists) {
        match list {
            Ok(list) => all.push((kind, list)),
            Err(trouble) if kind.needed || trouble.is_out_of_reach() => return Err(trouble),
            Err(trouble) => unseen.push(Unseen { what: format!("every {}", kind.kind), why: trouble.to_string() }),
        }
    }
    let found = Found::of(&cx.desired, &all);
    let objects = found.values.iter().map(|(value, whose)| LiveObject {
        value,
        of_platform: whose.of_platform,
        from: whose.from.clone(),
        at: whose.at.clone(),
    });
    let placements: Vec<Placement> =
        cx.desired.wanted.pools.values().map(|pool| Placement::of(pool, &cx.desired)).collect();
    let of_pool = |node: &Value| placements.iter().find(|pool| pool.takes_in(node)).map(|pool| pool.pool.as_str());
    let proof = prove_live(&LiveQuestion {
        desired: &cx.desired,
        nodes: nodes.iter().map(|value| LiveNode { value, pool: of_pool(value) }).collect(),
        objects: objects.collect(),
        unseen,
        arch: nodes.first().map_or("amd64", |node| text(node, "/status/nodeInfo/architecture")),
    });
    Ok(Proven { proof: Arc::new(proof), ready: Arc::new(found.ready) })
}

/// Whose an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whose {
    of_platform: bool,
    from: String,
    at: Option<String>,
}

/// What a proof is made from.
struct Found {
    values: Vec<(Value, Whose)>,
    ready: BTreeSet<String>,
}

impl Found {
    /// Takes what is of the platform, the DaemonSets of others (they take room, and may advertise GPUs), and what is said about the
    /// namespaces of the platform.
    fn of(desired: &Desired, all: &[(&Kind, Arc<Vec<Value>>)]) -> Self {
        let owners = Owners::of(desired);
        let mut found = Self { values: Vec::new(), ready: BTreeSet::new() };
        let mut spaces: BTreeSet<String> = desired.promises.job_namespaces.iter().cloned().collect();
        for (kind, list) in all {
            for value in list.iter() {
                let makes_pods = kind.needed;
                let whose = if makes_pods { owners.whose(kind.kind, value) } else { owners.anybody() };
                let taken = match kind.kind {
                    "DaemonSet" => true,
                    "LimitRange" | "ResourceQuota" => spaces.contains(text(value, "/metadata/namespace")),
                    _ if makes_pods => whose.of_platform && !has_ended(value) && !is_made(value),
                    _ => true,
                };
                if !taken {
                    continue;
                }
                let mut value = value.clone();
                value["apiVersion"] = kind.api_version.into();
                value["kind"] = kind.kind.into();
                if makes_pods && whose.of_platform {
                    spaces.insert(text(&value, "/metadata/namespace").to_owned());
                    if is_ready(kind.kind, &value) {
                        found.ready.insert(printed(&value));
                    }
                }
                found.values.push((value, whose));
            }
        }
        found
    }
}

/// Whether a controller made it of something else that is judged instead.
fn is_made(value: &Value) -> bool {
    let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| owner["controller"] == true && text(owner, "/kind") == "CronJob")
}

/// Whether a Job has done what it had to.
fn has_ended(value: &Value) -> bool {
    let conditions = value.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|one| matches!(text(one, "/type"), "Complete" | "Failed") && text(one, "/status") == "True")
}

fn is_ready(kind: &str, value: &Value) -> bool {
    let wanted = match kind {
        "Deployment" | "StatefulSet" => number(value, "/spec/replicas"),
        _ => return false,
    };
    wanted > 0 && number(value, "/status/readyReplicas") >= wanted
}

/// What is of the platform.
struct Owners<'a> {
    objects: BTreeMap<(&'a str, &'a str, &'a str), &'a crate::desired::Origin>,
    releases: BTreeMap<&'a ReleaseId, Option<String>>,
}

impl<'a> Owners<'a> {
    fn of(desired: &'a Desired) -> Self {
        let key = |object: &'a crate::desired::DesiredObject| {
            let id = &object.id;
            ((id.gvk.kind.as_str(), id.namespace.as_deref().unwrap_or("default"), id.name.as_str()), &object.origin)
        };
        let releases = desired.releases.iter().map(|release| (&release.id, release.origin.at.clone()));
        Self { objects: desired.objects.iter().map(key).collect(), releases: releases.collect() }
    }

    fn anybody(&self) -> Whose {
        Whose { of_platform: false, from: "the cluster".into(), at: None }
    }

    fn whose(&self, kind: &str, value: &Value) -> Whose {
        let space = text(value, "/metadata/namespace");
        let ours = |from: String, at: Option<String>| Whose { of_platform: true, from, at };
        if let Some(origin) = self.objects.get(&(kind, space, name(value))) {
            return ours(origin.path.clone(), origin.at.clone());
        }
        // Helm writes both on everything that a release holds.
        let annotated = |key: &str| text(value, &format!("/metadata/annotations/meta.helm.sh~1{key}")).to_owned();
        let id = ReleaseId { namespace: annotated("release-namespace"), name: annotated("release-name") };
        if let Some(at) = self.releases.get(&id) {
            return ours(format!("helm release {id}"), at.clone());
        }
        let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        if owners.into_iter().flatten().any(|owner| GPU_OPERATORS.contains(&text(owner, "/kind"))) {
            return ours("a GPU operator".into(), None);
        }
        match space {
            SYSTEM => ours(OF_THE_CLUSTER.into(), None),
            _ => Whose { of_platform: false, from: "not of this platform".into(), at: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::checks::fixture::desired;

    fn kind_of(name: &str) -> &'static Kind {
        KINDS.iter().find(|kind| kind.kind == name).expect("a kind that is read")
    }

    fn names(found: &Found) -> Vec<(String, bool)> {
        found.values.iter().map(|(value, whose)| (printed(value), whose.of_platform)).collect()
    }

    #[test]
    fn what_is_of_the_platform_is_judged_and_of_the_rest_daemon_sets_count() {
        let manifest =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "agent", "namespace": "w"}});
        let state = desired(vec![manifest]);
        let of =
            |space: &str, name: &str| json!({"metadata": {"namespace": space, "name": name}, "spec": {"replicas": 1}});
        let mut ready = of("w", "agent");
        ready["status"] = json!({"readyReplicas": 1});
        let deployments = Arc::new(vec![ready, of("w", "of-a-user"), of("kube-system", "coredns")]);
        let daemons = Arc::new(vec![of("other", "plugin")]);
        let limits = Arc::new(vec![of("w", "ours"), of("other", "theirs")]);
        let all =
            [(kind_of("DaemonSet"), daemons), (kind_of("Deployment"), deployments), (kind_of("LimitRange"), limits)];
        let found = Found::of(&state, &all);
        let expected = [
            ("DaemonSet.apps other/plugin", false),
            ("Deployment.apps w/agent", true),
            ("Deployment.apps kube-system/coredns", true),
            ("LimitRange w/ours", false),
        ];
        assert_eq!(names(&found), expected.map(|(what, ours)| (what.to_owned(), ours)));
        assert_eq!(found.values[1].1.at.as_deref(), Some("blueprint.yaml:1:1"), "it is found in the blueprint");
        assert_eq!(found.ready.iter().map(String::as_str).collect::<Vec<_>>(), ["Deployment.apps w/agent"]);
    }

    #[test]
    fn a_job_that_has_ended_asks_for_nothing() {
        let job = |kind: &str| json!({"status": {"conditions": [{"type": kind, "status": "True"}]}});
        assert!(has_ended(&job("Complete")) && has_ended(&job("Failed")) && !has_ended(&job("Suspended")));
    }
}
