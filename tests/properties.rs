//! The laws of planning and applying, on random blueprints, worlds and policies: the product's own observer, planner,
//! executor and actuator on a cluster in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use wbk_infra::cluster::{ADOPTED_ANNOTATION, BLUEPRINT_LABEL, Marks, Provenance};
use wbk_infra::desired::{
    ChartSource, ConflictChoice, Desired, DesiredObject, DesiredRelease, IgnoreRule, Origin, Policy, Promises, Protect,
    SecretReference, SecretSlot,
};
use wbk_infra::id::{Digest, ObjectId, ReleaseId};
use wbk_infra::live::{ObjectState, Verdict};
use wbk_infra::plan::{Action, Phase, Plan, PlanOptions, SavedPlan, StepId, Target};
use wbk_provider_api::{Capacity, ClusterSpec, PoolSize, PoolSpec, ProviderKind, Wanted};
use wbk_provider_fake::FakeProvider;

#[path = "support/world/mod.rs"]
mod world;

use world::{Fault, Key, Rig, key};

const BLUEPRINT: &str = "research";
/// A secret's value: it must be told nowhere.
const CANARY: &str = "canary-7f3a9c-do-not-tell";

// --- what can be wanted --------------------------------------------------------------------------------------------

/// Every object that a blueprint of these tests may have, in three variants.
fn objects(variant: u8) -> Vec<Value> {
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

fn id_of(manifest: &Value) -> ObjectId {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").expect("a name");
    ObjectId::new(
        text("/apiVersion").expect("a version"),
        text("/kind").expect("a kind"),
        text("/metadata/namespace"),
        name,
    )
}

fn release_id() -> ReleaseId {
    ReleaseId { namespace: "a".into(), name: "rel".into() }
}

/// Which objects are wanted, each in a variant; a release and pools in one or none.
#[derive(Debug, Clone)]
struct Shape {
    objects: Vec<Option<u8>>,
    release: Option<u8>,
    pools: u8,
}

fn shape() -> impl Strategy<Value = Shape> {
    let count = objects(0).len();
    let one = prop_oneof![2 => Just(None), 3 => (0_u8..3).prop_map(Some)];
    (prop::collection::vec(one, count), prop::option::of(0_u8..2), 0_u8..3)
        .prop_map(|(objects, release, pools)| Shape { objects, release, pools })
}

fn desired(shape: &Shape, policy: &Policy) -> Desired {
    let variants: Vec<Vec<Value>> = (0..3).map(objects).collect();
    let mut objects: Vec<DesiredObject> = shape
        .objects
        .iter()
        .enumerate()
        .filter_map(|(at, variant)| {
            let manifest = variants[usize::from((*variant)?)][at].clone();
            let id = id_of(&manifest);
            let slot = SecretSlot { key: "token".into(), from: SecretReference::Env("CANARY".into()) };
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
    }
}

fn wanted() -> Wanted {
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
        context: None,
        kubeconfig: None,
        uid: None,
        kind: Default::default(),
    };
    Wanted {
        blueprint: BLUEPRINT.into(),
        cluster,
        pools: ["one", "two"].into_iter().map(|name| (name.to_owned(), pool(name))).collect(),
    }
}

fn open_policy() -> Policy {
    Policy { max_deletes: 100, protect: Vec::new(), ignore: Vec::new(), conflicts: ConflictChoice::Mend }
}

fn policy() -> impl Strategy<Value = Policy> {
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

fn options() -> impl Strategy<Value = PlanOptions> {
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

// --- what others do ------------------------------------------------------------------------------------------------

/// What somebody did to an object before this tool looks.
#[derive(Debug, Clone)]
enum Deed {
    /// Made it, where it was not there.
    Foreign(usize),
    /// Made it with our labels.
    Copy(usize),
    /// Another blueprint made it.
    Other(usize),
    /// Changed the field that the variants differ in.
    Edit(usize),
    /// An autoscaler scaled it.
    Scale(&'static str),
    /// Removed it.
    Remove(usize),
    /// Removed it, and a finalizer holds it.
    Linger(usize),
    /// Took our labels off it.
    Strip(usize),
    /// Set something that we do not.
    Add(usize),
    /// A kind may not be listed any more.
    Hide(&'static str),
    /// Admission refuses it.
    Refuse(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let slot = || 0..objects(0).len();
    prop_oneof![
        3 => slot().prop_map(Deed::Foreign),
        1 => slot().prop_map(Deed::Copy),
        1 => slot().prop_map(Deed::Other),
        3 => slot().prop_map(Deed::Edit),
        1 => prop::sample::select(vec!["a", "b"]).prop_map(Deed::Scale),
        2 => slot().prop_map(Deed::Remove),
        1 => slot().prop_map(Deed::Linger),
        1 => slot().prop_map(Deed::Strip),
        2 => slot().prop_map(Deed::Add),
        1 => prop::sample::select(vec!["configmaps", "persistentvolumeclaims", "deployments", "clusterroles"]).prop_map(Deed::Hide),
        1 => slot().prop_map(Deed::Refuse),
    ]
}

fn labelled(blueprint: &str, manifest: &Value) -> Value {
    Marks::new(blueprint).mark(manifest, &Digest("d".into()), "copied", Provenance::Made)
}

fn perform(rig: &Rig, deed: &Deed) {
    let slots = objects(2);
    let mut store = rig.store();
    let place =
        |store: &world::Store, slot: usize| store.key_of(&slots[slot]).filter(|at| store.objects.contains_key(at));
    match *deed {
        Deed::Foreign(slot) => {
            if place(&store, slot).is_none() {
                store.update("kubectl", "", &slots[slot]);
            }
        }
        Deed::Copy(slot) => {
            if place(&store, slot).is_none() {
                store.update("kubectl", "", &labelled(BLUEPRINT, &slots[slot]));
            }
        }
        Deed::Other(slot) => {
            if let (None, Some(at)) = (place(&store, slot), store.key_of(&slots[slot])) {
                let manifest = labelled("other", &slots[slot]);
                // Its namespace may be missing: then nothing was made.
                let _ = store
                    .apply(&at, &world::Apply { manager: "wbk-infra", force: true, dry: false, manifest: &manifest });
            }
        }
        Deed::Edit(slot) => {
            if place(&store, slot).is_some() {
                let mut edited = objects(7)[slot].clone();
                // What cannot change cannot be edited either.
                if ["PriorityClass", "StorageClass", "PersistentVolumeClaim"]
                    .contains(&edited["kind"].as_str().unwrap_or_default())
                {
                    edited = json!({"apiVersion": edited["apiVersion"], "kind": edited["kind"],
                        "metadata": {"name": edited["metadata"]["name"], "namespace": edited["metadata"]["namespace"], "annotations": {"edited": "yes"}}});
                }
                store.update("kubectl-edit", "", &edited);
            }
        }
        Deed::Scale(ns) => {
            if store.objects.contains_key(&key("deployments", "apps", ns, "web")) {
                let scaled = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": ns}, "spec": {"replicas": 9}});
                store.update("kube-controller-manager", "scale", &scaled);
            }
        }
        Deed::Remove(slot) | Deed::Linger(slot) => {
            if let Some(at) = place(&store, slot) {
                if let Deed::Linger(_) = deed {
                    let held = json!({"apiVersion": slots[slot]["apiVersion"], "kind": slots[slot]["kind"],
                        "metadata": {"name": at.3, "namespace": slots[slot]["metadata"]["namespace"], "finalizers": ["example.com/hold"]}});
                    store.update("a-controller", "", &held);
                }
                store.delete(&at, None, None).expect("it is there");
            }
        }
        Deed::Strip(slot) => {
            if let Some(at) = place(&store, slot) {
                store.strip(&at, &["metadata", "labels", BLUEPRINT_LABEL]);
            }
        }
        Deed::Add(slot) => {
            if place(&store, slot).is_some() {
                let added = json!({"apiVersion": slots[slot]["apiVersion"], "kind": slots[slot]["kind"],
                    "metadata": {"name": slots[slot]["metadata"]["name"], "namespace": slots[slot]["metadata"]["namespace"], "annotations": {"added": "yes"}}});
                store.update("kubectl-annotate", "", &added);
            }
        }
        Deed::Hide(plural) => {
            store.unseen.insert(plural.into());
        }
        Deed::Refuse(slot) => {
            if let Some(at) = store.key_of(&slots[slot]) {
                store.refused.insert(at, "a policy says no".into());
            }
        }
    }
}

// --- a case --------------------------------------------------------------------------------------------------------

/// A platform that was applied once, what others did before and since, and what is wanted now.
#[derive(Debug, Clone)]
struct Case {
    before: Vec<Deed>,
    first: Shape,
    since: Vec<Deed>,
    now: Shape,
    policy: Policy,
    options: PlanOptions,
    forgets: bool,
    cluster_is_there: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let deeds = || prop::collection::vec(deed(), 0..5);
    // What others made before is not hidden or refused yet: the first apply shall get far.
    let before = prop::collection::vec((0..objects(0).len()).prop_map(Deed::Foreign), 0..4);
    (before, shape(), deeds(), shape(), policy(), options(), any::<bool>(), prop::bool::weighted(0.9)).prop_map(
        |(before, first, since, now, policy, options, forgets, cluster_is_there)| Case {
            before,
            first,
            since,
            now,
            policy,
            options,
            forgets,
            cluster_is_there,
        },
    )
}

impl Case {
    async fn rig(&self) -> Rig {
        let first = desired(&self.first, &open_policy());
        let provider = if self.cluster_is_there { FakeProvider::with(&first.wanted) } else { FakeProvider::new() };
        let mut rig = Rig::new(provider, CANARY);
        let rendered = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-rel", "namespace": "a"}, "data": {"k": "x"}});
        rig.charts.insert(release_id(), vec![(id_of(&rendered), rendered)]);
        if !self.cluster_is_there {
            return rig;
        }
        for deed in &self.before {
            perform(&rig, deed);
        }
        let plan = rig.plan(&first, &PlanOptions::default()).await;
        rig.apply(&plan, Fault::None).await;
        for deed in &self.since {
            perform(&rig, deed);
        }
        if self.forgets {
            rig.forget();
        }
        rig
    }
}

/// Threads of a law: as many as the cores of a small machine. A case takes 0.2 s of one in a debug build.
const THREADS: u8 = 2;

/// Runs a law on many cases; the same ones each time.
fn law<S: Strategy, F: Future<Output = Result<(), TestCaseError>>>(
    cases: u32,
    strategy: impl Fn() -> S + Sync,
    test: impl Fn(S::Value) -> F + Sync,
) {
    let run = |thread: u8| {
        let cases = cases / u32::from(THREADS);
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[thread; 32]));
        let outcome = runner.run(&strategy(), |case| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(test(case))
        });
        outcome.map_err(|error| error.to_string())
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a law answers").err()).collect()
    });
    if let Some(failure) = failures.first() {
        panic!("{failure}");
    }
}

fn bytes(plan: &Plan) -> Vec<u8> {
    SavedPlan::new(plan.clone(), &[], Vec::new()).to_bytes()
}

/// Whether the object is of this blueprint, as written on it.
fn is_ours(object: &world::Object) -> bool {
    let label = object
        .content
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(BLUEPRINT_LABEL))
        .and_then(Value::as_str);
    let applied = object.managers.iter().any(|entry| entry.name == "wbk-infra" && entry.operation == "Apply");
    applied && label.is_none_or(|label| label == BLUEPRINT)
}

const MACHINERY: &str = "wbk-infra";

fn is_machinery(at: &Key) -> bool {
    at.2 == MACHINERY || at.3 == MACHINERY || at.3.starts_with("sh.helm.release") || at.3 == "of-rel"
}

fn is_data(target: &Target) -> bool {
    let Target::Object(id) = target else { return false };
    ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition", "StorageClass"].contains(&id.gvk.kind.as_str())
}

/// The laws that a plan alone must keep.
fn plan_is_lawful(plan: &Plan, desired: &Desired, options: &PlanOptions) -> Result<(), TestCaseError> {
    let ids: BTreeMap<&StepId, usize> = plan.steps.iter().enumerate().map(|(at, step)| (&step.id, at)).collect();
    prop_assert_eq!(ids.len(), plan.steps.len(), "each step once");
    for step in &plan.steps {
        prop_assert!(!step.reason.is_empty(), "{} has a reason", step.id);
        prop_assert!(step.deadline_seconds > 0);
        prop_assert_eq!(&step.id.0, &step.target.to_string());
        for need in &step.needs {
            let Some(at) = ids.get(need) else {
                return Err(TestCaseError::fail(format!("{} needs {need}, which is no step", step.id)));
            };
            prop_assert!(step.phase >= plan.steps[*at].phase, "{} changes after the removal {}", step.id, need);
        }
        if matches!(step.action, Action::Delete | Action::Replace) && is_data(&step.target) {
            let named = options.delete.contains("all") || options.delete.contains(&step.target.to_string());
            prop_assert!(named, "{} holds data and nobody named it", step.id);
        }
        if let Target::Object(id) = &step.target {
            let protected = desired.policy.protect.iter().any(|rule| {
                rule.kind == id.gvk.kind
                    && rule.namespace.as_ref().is_none_or(|namespace| Some(namespace) == id.namespace.as_ref())
            });
            prop_assert!(!protected || step.action == Action::Create, "{} is protected", step.id);
        }
    }
    // Taking away what nothing left needs ends with nothing: no cycle.
    let mut open: BTreeSet<&StepId> = ids.keys().copied().collect();
    while !open.is_empty() {
        let free: Vec<&StepId> = plan
            .steps
            .iter()
            .filter(|step| open.contains(&step.id) && step.needs.iter().all(|need| !open.contains(need)))
            .map(|step| &step.id)
            .collect();
        prop_assert!(!free.is_empty(), "a cycle among {open:?}");
        for id in free {
            open.remove(id);
        }
    }
    for entry in &plan.not_planned {
        prop_assert!(!entry.reason.is_empty(), "{} has a reason", entry.what);
    }
    if !plan.destroys {
        let taken = plan.steps.iter().filter(|step| matches!(step.action, Action::Delete | Action::Replace)).count();
        prop_assert!(taken <= desired.policy.max_deletes as usize, "{taken} deletions");
        let wanted = desired.objects.iter().map(|object| object.id.to_string());
        let wanted: Vec<String> = wanted
            .chain(desired.releases.iter().map(|release| Target::Release(release.id.clone()).to_string()))
            .collect();
        let mut unchanged = 0;
        for what in &wanted {
            let steps = plan.steps.iter().filter(|step| step.id.0 == *what).count();
            let reasons = plan.not_planned.iter().filter(|entry| entry.what == *what).count();
            prop_assert!(steps + reasons <= 1, "{what} is accounted for {} times", steps + reasons);
            unchanged += usize::from(steps + reasons == 0);
        }
        prop_assert_eq!(unchanged, plan.unchanged, "what is neither a step nor a reason is unchanged");
    }
    let text = bytes(plan);
    prop_assert!(!String::from_utf8_lossy(&text).contains(CANARY), "a secret's value is in the plan");
    prop_assert_eq!(&SavedPlan::from_bytes(&text).expect("it reads back").plan, plan);
    Ok(())
}

/// What is not ours, or may not be seen, is as it was; what a named namespace or definition took with it is told.
fn others_are_untouched(
    before: &world::Store,
    after: &world::Store,
    plan: &Plan,
    options: &PlanOptions,
) -> Result<(), TestCaseError> {
    let taken: BTreeSet<&Key> =
        after.log[before.log.len()..].iter().filter(|(verb, _)| *verb == "collateral").map(|(_, at)| at).collect();
    for (at, object) in &before.objects {
        let printed = plan_name(at);
        let adopted = options.adopt.contains(&printed) || (at.0 == "serviceaccounts" && at.3 == "default");
        let hidden = before.unseen.contains(&at.0);
        if is_machinery(at) || (!hidden && (is_ours(object) || adopted)) {
            continue;
        }
        // A namespace that was named goes with what is in it that nobody could know of: foreign objects carry no label.
        let copy = object.content.pointer("/metadata/labels").and_then(|labels| labels.get(BLUEPRINT_LABEL))
            == Some(&json!(BLUEPRINT));
        if taken.contains(at) && !hidden && !copy {
            continue;
        }
        prop_assert_eq!(
            after.objects.get(at),
            Some(object),
            "{:?} is not ours and was changed by {:#?}",
            at,
            plan.steps.iter().map(|step| (&step.action, &step.id)).collect::<Vec<_>>()
        );
    }
    Ok(())
}

fn plan_name(at: &Key) -> String {
    let (plural, group, namespace, name) = at;
    let manifest = objects(0).into_iter().find(|manifest| {
        let id = id_of(manifest);
        let singular = id.gvk.kind.to_lowercase();
        id.gvk.group == *group
            && (plural.starts_with(&singular) || singular.starts_with(plural.trim_end_matches("ies")))
            && id.name == *name
            && id.namespace.clone().unwrap_or_default() == *namespace
    });
    manifest.map(|manifest| id_of(&manifest).to_string()).unwrap_or_default()
}

// --- the laws ------------------------------------------------------------------------------------------------------

#[test]
fn a_plan_is_lawful_and_its_apply_does_it_and_nothing_else() {
    law(60, case, async |case: Case| {
        let rig = case.rig().await;
        let now = desired(&case.now, &case.policy);
        let seen = rig.look(&now).await;
        let plan = wbk_infra::plan::plan(&now, &seen.live, &seen.operations, &case.options);
        // Law 1: the same input gives the same bytes.
        let again = wbk_infra::plan::plan(&now, &seen.live, &seen.operations, &case.options);
        prop_assert_eq!(bytes(&plan), bytes(&again));
        // Laws 3 and 12.
        plan_is_lawful(&plan, &now, &case.options)?;
        // Law 4: ignorance plans nothing.
        for object in &now.objects {
            let state = &seen.live.objects[&object.id.key()];
            let step = plan.steps.iter().find(|step| step.target == Target::Object(object.id.clone()));
            match state {
                ObjectState::Unknown(_) => prop_assert!(step.is_none(), "{} could not be seen", object.id),
                ObjectState::Present(_, Verdict::Same) => {
                    prop_assert!(step.is_none_or(|step| step.action == Action::Adopt), "{} is as wanted", object.id);
                }
                ObjectState::Absent(_) | ObjectState::Present(..) => {}
            }
        }
        let before = rig.store().clone();
        let applied = rig.apply(&plan, Fault::None).await;
        let after = rig.store().clone();
        let execution = applied.execution.as_ref().expect("nobody killed it");
        // Law 2: the plan is the program.
        let planned: BTreeSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
        prop_assert_eq!(
            applied.began.iter().collect::<BTreeSet<_>>().len(),
            applied.began.len(),
            "each step began once"
        );
        let accounted: BTreeSet<&StepId> = execution
            .done
            .iter()
            .chain(execution.failed.iter().map(|(id, _)| id))
            .chain(execution.blocked.iter().map(|(id, _)| id))
            .collect();
        prop_assert_eq!(&accounted, &planned, "every step has an outcome");
        prop_assert!(execution.abandoned.is_empty());
        for (at, step) in applied.began.iter().enumerate() {
            let step = plan.steps.iter().find(|planned| planned.id == *step).expect("it was planned");
            for need in &step.needs {
                prop_assert!(applied.began[..at].contains(need), "{} began before {need}", step.id);
            }
            if step.phase == Phase::Prune {
                let late =
                    plan.steps.iter().find(|other| other.phase == Phase::Change && !execution.done.contains(&other.id));
                prop_assert!(
                    late.is_none(),
                    "{} is taken away although {:?} is not done",
                    step.id,
                    late.map(|step| &step.id)
                );
            }
        }
        // Law 5.
        if case.cluster_is_there {
            others_are_untouched(&before, &after, &plan, &case.options)?;
        }
        // Law 9.
        prop_assert!(!applied.told.contains(CANARY), "a secret's value was told");
        // A plan that the server tried must succeed: nothing moved since.
        for (id, error) in &execution.failed {
            let step = plan.steps.iter().find(|step| step.id == *id).expect("it was planned");
            let excused = step.estimated.is_some()
                || step.action == Action::Delete
                || step.action == Action::Replace
                || matches!(step.target, Target::Release(_));
            prop_assert!(excused, "{id} failed although the server had tried it: {}", error.line());
        }
        // Law 7: planning right after a complete apply gives an empty plan.
        if execution.is_complete() && case.cluster_is_there {
            let next = rig.plan(&now, &case.options).await;
            prop_assert!(
                next.is_empty(),
                "not empty after a complete apply: {:#?}",
                next.steps.iter().map(|step| (&step.action, &step.id, &step.reason, &step.diff)).collect::<Vec<_>>()
            );
            rig.forget();
            prop_assert!(rig.plan(&now, &case.options).await.is_empty(), "not empty without a memory");
        }
        Ok(())
    });
}

#[test]
fn a_world_that_moved_stops_the_step_with_nothing_wrong_written() {
    law(
        120,
        || (case(), prop::collection::vec(deed(), 1..4)),
        async |(mut case, meanwhile): (Case, Vec<Deed>)| {
            case.cluster_is_there = true;
            let rig = case.rig().await;
            let now = desired(&case.now, &case.policy);
            let plan = rig.plan(&now, &case.options).await;
            let planned_on = rig.store().clone();
            for deed in meanwhile.iter().filter(|deed| !matches!(deed, Deed::Hide(_) | Deed::Refuse(_))) {
                perform(&rig, deed);
            }
            let before = rig.store().clone();
            let applied = rig.apply(&plan, Fault::None).await;
            let after = rig.store().clone();
            let execution = applied.execution.expect("nobody killed it");
            for step in &plan.steps {
                let Target::Object(id) = &step.target else { continue };
                let at = plan_key(&before, id).or_else(|| plan_key(&planned_on, id));
                let Some(at) = at else { continue };
                let moved = planned_on.objects.get(&at) != before.objects.get(&at);
                let is_new = step.expect == wbk_infra::plan::Expect::New;
                if moved && !is_new && before.objects.contains_key(&at) {
                    prop_assert!(!execution.done.contains(&step.id), "{} moved and its step was done", step.id);
                    let collateral =
                        after.log[before.log.len()..].iter().any(|(verb, other)| *verb == "collateral" && *other == at);
                    prop_assert!(
                        collateral || after.objects.get(&at) == before.objects.get(&at),
                        "{} moved and was written",
                        step.id
                    );
                }
            }
            prop_assert!(!applied.told.contains(CANARY));
            Ok(())
        },
    );
}

fn plan_key(store: &world::Store, id: &ObjectId) -> Option<Key> {
    let manifest = json!({"apiVersion": id.gvk.api_version(), "kind": id.gvk.kind, "metadata": {"name": id.name, "namespace": id.namespace}});
    store.key_of(&manifest).filter(|at| store.objects.contains_key(at))
}

/// Deeds that leave the server willing, so that an apply can come to its end.
fn is_mild(deed: &Deed) -> bool {
    match deed {
        Deed::Foreign(_)
        | Deed::Copy(_)
        | Deed::Other(_)
        | Deed::Edit(_)
        | Deed::Scale(_)
        | Deed::Remove(_)
        | Deed::Add(_) => true,
        Deed::Linger(_) | Deed::Strip(_) | Deed::Hide(_) | Deed::Refuse(_) => false,
    }
}

/// What is there, without what each run makes anew (uids, versions, times).
fn content(store: &world::Store) -> BTreeMap<Key, Value> {
    store
        .objects
        .iter()
        .filter(|(at, _)| !is_machinery(at))
        .map(|(at, object)| (at.clone(), object.content.clone()))
        .collect()
}

#[test]
fn killed_or_failed_anywhere_the_next_apply_finishes_the_work() {
    let fault = || {
        prop_oneof![
            (0_usize..30).prop_map(Fault::FailStep),
            (0_usize..40).prop_map(Fault::DieBefore),
            (0_usize..40).prop_map(Fault::DieAfter)
        ]
    };
    law(
        160,
        || (case(), prop::collection::vec(fault(), 1..3)),
        async |(mut case, faults): (Case, Vec<Fault>)| {
            case.since.retain(is_mild);
            case.policy = Policy { conflicts: case.policy.conflicts, ..open_policy() };
            let now = desired(&case.now, &case.policy);
            let undisturbed = case.rig().await;
            let plan = undisturbed.plan(&now, &case.options).await;
            let straight = undisturbed.apply(&plan, Fault::None).await;
            if !straight.execution.as_ref().expect("nobody killed it").is_complete() {
                return Ok(());
            }
            let rig = case.rig().await;
            for fault in &faults {
                let plan = rig.plan(&now, &case.options).await;
                plan_is_lawful(&plan, &now, &case.options)?;
                let applied = rig.apply(&plan, *fault).await;
                prop_assert!(!applied.told.contains(CANARY));
            }
            let last = rig.plan(&now, &case.options).await;
            let applied = rig.apply(&last, Fault::None).await;
            let execution = applied.execution.expect("nobody killed it");
            let failed: Vec<String> =
                execution.failed.iter().map(|(id, error)| format!("{id}: {}", error.line())).collect();
            prop_assert!(execution.is_complete(), "the next apply does not finish: {failed:?}");
            prop_assert!(rig.plan(&now, &case.options).await.is_empty(), "it does not converge");
            prop_assert_eq!(
                content(&rig.store()),
                content(&undisturbed.store()),
                "another world than without the fault"
            );
            Ok(())
        },
    );
}

#[test]
fn destroying_all_leaves_nothing_of_ours() {
    law(
        120,
        || (case(), prop::bool::weighted(0.7)),
        async |(mut case, all): (Case, bool)| {
            case.cluster_is_there = true;
            case.policy = open_policy();
            let rig = case.rig().await;
            let wanted = desired(&case.first, &case.policy);
            let mut options = case.options.clone();
            if all {
                options.delete.insert("all".into());
            }
            let plan = rig.destroy(&wanted, &options).await;
            plan_is_lawful(&plan, &wanted, &options)?;
            let before = rig.store().clone();
            let applied = rig.apply(&plan, Fault::None).await;
            let execution = applied.execution.expect("nobody killed it");
            let cluster_goes = plan.steps.iter().any(|step| matches!(step.target, Target::Cluster(_)));
            if !cluster_goes {
                others_are_untouched(&before, &rig.store(), &plan, &PlanOptions::default())?;
            }
            let kept = plan
                .not_planned
                .iter()
                .any(|entry| entry.hint.is_none() || entry.why != wbk_infra::plan::WhyNot::Unmanaged);
            if execution.is_complete() && options.delete.contains("all") && !kept {
                let left: Vec<Key> = rig
                    .store()
                    .objects
                    .iter()
                    .filter(|(at, object)| is_ours(object) && !is_machinery(at))
                    .map(|(at, _)| at.clone())
                    .collect();
                prop_assert_eq!(left, Vec::<Key>::new(), "left behind");
                prop_assert!(rig.destroy(&wanted, &options).await.is_empty());
                for (at, object) in &rig.store().objects {
                    let adopted =
                        object.content.pointer("/metadata/annotations").and_then(|all| all.get(ADOPTED_ANNOTATION));
                    prop_assert!(adopted.is_none(), "{at:?} still says that it is adopted");
                }
            }
            Ok(())
        },
    );
}
