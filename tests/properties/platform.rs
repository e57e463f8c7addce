//! What can be wanted: objects in variants, a release, pools, policies and options.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use wbk_infra::desired::{
    ChartSource, ConflictChoice, Desired, DesiredCost, DesiredObject, DesiredRelease, IgnoreRule, Origin, Policy,
    Promises, Protect, SecretReference, SecretSlot,
};
use wbk_infra::id::{ObjectId, ReleaseId};
use wbk_infra::plan::PlanOptions;
use wbk_provider_api::{Capacity, ClusterSpec, PoolSize, PoolSpec, ProviderKind, Wanted};

use super::BLUEPRINT;

/// Every object that a blueprint of these tests may have, in three variants.
pub fn objects(variant: u8) -> Vec<Value> {
    let v = variant;
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"tier": format!("t{v}")}}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 100 + u32::from(v)}),
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}, "provisioner": format!("p{v}")}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com", "labels": {"v": format!("{v}")}},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"}}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": [{"verbs": [format!("v{v}")]}]}),
    ];
    for ns in ["a", "b"] {
        all.extend([
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": ns}, "data": {"k": format!("{v}"), "fixed": "x"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two", "namespace": ns}, "data": {"only": "x"}}),
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota", "namespace": ns}, "spec": {"hard": {"pods": format!("{}", 10 + u32::from(v))}}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": ns}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": ns, "annotations": {"role": format!("r{v}")}}}),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": ns}, "spec": {"size": format!("{v}Gi"), "storageClassName": "fast"}}),
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": ns}, "spec": {"size": v}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": ns},
                "spec": {"replicas": 1 + u32::from(v), "selector": {"app": "web"}, "template": {"spec": {"priorityClassName": "high", "containers": [
                    {"name": "main", "image": format!("i:{v}"), "envFrom": [{"configMapRef": {"name": "one"}}, {"secretRef": {"name": "token"}}]}]}}}}),
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scale", "namespace": ns},
                "spec": {"scaleTargetRef": {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w"}, "maxReplicas": 3 + u32::from(v)}}),
        ]);
    }
    all
}

pub fn id_of(manifest: &Value) -> ObjectId {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").expect("a name");
    ObjectId::new(
        text("/apiVersion").expect("a version"),
        text("/kind").expect("a kind"),
        text("/metadata/namespace"),
        name,
    )
}

pub fn release_id() -> ReleaseId {
    ReleaseId { namespace: "a".into(), name: "rel".into() }
}

/// Which objects are wanted, each in a variant; a release and pools in one or none.
#[derive(Debug, Clone)]
pub struct Shape {
    pub objects: Vec<Option<u8>>,
    pub release: Option<u8>,
    pub pools: u8,
}

pub fn shape() -> impl Strategy<Value = Shape> {
    let count = objects(0).len();
    let one = prop_oneof![2 => Just(None), 3 => (0_u8..3).prop_map(Some)];
    (prop::collection::vec(one, count), prop::option::of(0_u8..2), 0_u8..3)
        .prop_map(|(objects, release, pools)| Shape { objects, release, pools })
}

pub fn desired(shape: &Shape, policy: &Policy) -> Desired {
    let variants: Vec<Vec<Value>> = (0..3).map(objects).collect();
    let mut objects: Vec<DesiredObject> = shape
        .objects
        .iter()
        .enumerate()
        .filter_map(|(at, variant)| {
            let manifest = variants[usize::from((*variant)?)][at].clone();
            let id = id_of(&manifest);
            let slot = SecretSlot::new("token", SecretReference::Env("CANARY".into()));
            let secrets = if id.gvk.kind == "Secret" { vec![slot] } else { Vec::new() };
            Some(DesiredObject {
                id,
                manifest: manifest.into(),
                secrets,
                origin: Origin { path: format!("objects[{at}]"), at: None },
            })
        })
        .collect();
    objects.sort_by(|one, other| one.id.cmp(&other.id));
    let releases = shape
        .release
        .map(|variant| DesiredRelease {
            id: release_id(),
            chart: ChartSource::Path { path: "charts/rel".into() },
            values: json!({"v": variant}),
            origin: Origin { path: "charts[rel]".into(), at: None },
        })
        .into_iter()
        .collect();
    let mut wanted = wanted();
    wanted.blueprint = BLUEPRINT.into();
    while wanted.pools.len() > usize::from(shape.pools) {
        wanted.pools.pop_last();
    }
    Desired {
        name: BLUEPRINT.into(),
        wanted,
        objects,
        releases,
        gpus: BTreeMap::new(),
        launch: None,
        promises: Promises::default(),
        policy: policy.clone(),
        cost: DesiredCost::default(),
    }
}

pub fn wanted() -> Wanted {
    let pool = |name: &str| PoolSpec {
        name: name.into(),
        machine: None,
        shape: wbk_provider_api::Shape { cpu_millis: 4000, memory_bytes: 8 << 30, pods: 110, gpu: None },
        accelerator: None,
        size: PoolSize { min: 1, max: 1 },
        capacity: Capacity::OnDemand,
        labels: BTreeMap::new(),
        taints: Vec::new(),
    };
    let cluster = ClusterSpec {
        provider: ProviderKind::Local,
        name: BLUEPRINT.into(),
        version: None,
        region: None,
        context: None,
        kubeconfig: None,
        uid: None,
        kind: Default::default(),
        eks: None,
    };
    Wanted {
        blueprint: BLUEPRINT.into(),
        cluster,
        pools: ["one", "two"].into_iter().map(|name| (name.to_owned(), pool(name))).collect(),
    }
}

pub fn open_policy() -> Policy {
    Policy { max_deletes: 100, protect: Vec::new(), ignore: Vec::new(), conflicts: ConflictChoice::Mend }
}

pub fn policy() -> impl Strategy<Value = Policy> {
    let conflicts = prop_oneof![
        4 => Just(ConflictChoice::Mend),
        1 => Just(ConflictChoice::Take),
        1 => Just(ConflictChoice::Yield),
        1 => Just(ConflictChoice::Stop)
    ];
    let protect =
        prop::option::weighted(0.3, prop::sample::select(vec!["ConfigMap", "Deployment", "Namespace", "Widget"]));
    let ignore = prop::option::weighted(0.3, Just(("ConfigMap", "/data/k")));
    (prop_oneof![Just(100_u32), 0_u32..4], protect, ignore, conflicts).prop_map(
        |(max_deletes, protect, ignore, conflicts)| Policy {
            max_deletes,
            protect: protect
                .into_iter()
                .map(|kind| Protect {
                    kind: kind.into(),
                    namespace: Some("a".into()).filter(|_| kind != "Namespace"),
                    name: None,
                })
                .collect(),
            ignore: ignore
                .into_iter()
                .map(|(kind, path)| IgnoreRule {
                    kind: kind.into(),
                    namespace: None,
                    name: None,
                    path: path.parse().expect("a path"),
                    reason: "a test".into(),
                    until: None,
                })
                .collect(),
            conflicts,
        },
    )
}

pub fn options() -> impl Strategy<Value = PlanOptions> {
    let names: Vec<String> = objects(0).iter().map(|manifest| id_of(manifest).to_string()).collect();
    let some = prop::collection::btree_set(prop::sample::select(names), 0..4);
    let all = prop::bool::weighted(0.2);
    (some.clone(), some, all).prop_map(|(adopt, mut delete, all)| {
        if all {
            delete.insert("all".into());
        }
        PlanOptions { adopt, delete, conflicts: None, ..PlanOptions::default() }
    })
}
