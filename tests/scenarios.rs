//! Plans as text: each folder of `tests/scenarios` is one. `blueprint.yaml` says what is wanted, `before.yaml` what was applied
//! before (where it is another), `world.yaml` what others did since and what the user decided, `expected.txt` is the plan as a
//! person reads it. Adding one is adding files; `UPDATE_EXPECTED=1` writes what was found: then read the difference.
//!
//! Observer, planner and executor are the product's own, on a cluster in memory (`tests/support/world`); what a real API server
//! does is proven in `tests/fidelity`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use wbk_infra::blueprint::{DiskFiles, Source, load, read_values};
use wbk_infra::cluster::{FIELD_MANAGER, Marks, Provenance};
use wbk_infra::desired::{ConflictChoice, Desired};
use wbk_infra::id::{Digest, ObjectId, ReleaseId};
use wbk_infra::plan::{Plan, PlanOptions};
use wbk_provider_fake::FakeProvider;

#[path = "support/world/mod.rs"]
mod world;

use world::{Fault, Rig};

/// What is there, what others did, and what the user decided.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct World {
    /// Whether the cluster is not there yet.
    absent: bool,
    /// Whether nothing was applied before.
    fresh: bool,
    /// Why the API server does not answer.
    silent: Option<String>,
    /// What each release renders, by `namespace/name`.
    charts: BTreeMap<String, Vec<Value>>,
    /// What others did since, in order.
    deeds: Vec<Deed>,
    /// Whether the memory of the last apply is lost.
    forgotten: bool,
    /// Whether the platform is to be taken away.
    destroy: bool,
    adopt: Vec<String>,
    delete: Vec<String>,
    conflicts: Option<ConflictChoice>,
    /// Data that goes with releases, as the command line finds it.
    holding: BTreeMap<String, Vec<String>>,
    /// Digests of charts that nobody pinned, as the command line finds them.
    unpinned: BTreeMap<String, String>,
    /// The day on which it is planned.
    today: Option<String>,
    verbose: bool,
}

/// What somebody did.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Deed {
    /// Wrote these fields of an object, or made it.
    Write {
        by: String,
        #[serde(default)]
        through: String,
        manifest: Value,
    },
    /// Made an object with the labels of a blueprint.
    Copy { of: String, manifest: Value },
    /// Applied an object as another blueprint's.
    Apply { of: String, manifest: Value },
    /// Deleted an object.
    Delete(Value),
    /// Deleted an object that a finalizer holds.
    Linger { manifest: Value, finalizer: String },
    /// Took the right to list a kind, by its plural.
    Hide(String),
    /// Admission refuses an object from now on.
    Refuse { manifest: Value, words: String },
    /// The latest revision of a release has another status.
    Release { release: String, status: String },
    /// The cluster is not as it is wanted in something that its provider cannot change: why it must be made anew.
    Outdate(String),
    /// A Job's pod runs on a node of a pool.
    Job { pool: String, pod: String },
}

fn id(manifest: &Value) -> ObjectId {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").expect("a name");
    let (version, kind) = (text("/apiVersion").expect("a version"), text("/kind").expect("a kind"));
    ObjectId::new(version, kind, text("/metadata/namespace"), name)
}

fn release(name: &str) -> ReleaseId {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    ReleaseId { namespace: namespace.into(), name: name.into() }
}

fn desired(file: &Path, today: Option<&str>) -> Desired {
    let today = today.unwrap_or("2026-11-22").parse().expect("a day");
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let loaded = load(&[Source { name, text }]).unwrap_or_else(|problems| panic!("{}: {problems}", file.display()));
    loaded.resolve(&DiskFiles, today).unwrap_or_else(|problems| panic!("{}: {problems}", file.display()))
}

fn happen(rig: &Rig, deed: &Deed) {
    let mut store = rig.store();
    let at = |store: &world::Store, manifest: &Value| store.key_of(manifest).expect("a kind of the store");
    match deed {
        Deed::Write { by, through, manifest } => store.update(by, through, manifest),
        Deed::Copy { of, manifest } => {
            let marked = Marks::new(of).mark(manifest, &Digest("d".into()), "copied", Provenance::Made);
            store.update("kubectl", "", &marked);
        }
        Deed::Apply { of, manifest } => {
            let marked = Marks::new(of).mark(manifest, &Digest("d".into()), "theirs", Provenance::Made);
            let at = at(&store, manifest);
            let apply = world::Apply { manager: FIELD_MANAGER, force: true, dry: false, manifest: &marked };
            store.apply(&at, &apply).unwrap_or_else(|refusal| panic!("{}", refusal.words));
        }
        Deed::Delete(manifest) => {
            let at = at(&store, manifest);
            store.delete(&at, None, None).unwrap_or_else(|refusal| panic!("{}", refusal.words));
        }
        Deed::Linger { manifest, finalizer } => {
            let mut held = manifest.clone();
            held["metadata"]["finalizers"] = json!([finalizer]);
            store.update("controller", "", &held);
            let at = at(&store, manifest);
            store.delete(&at, None, None).unwrap_or_else(|refusal| panic!("{}", refusal.words));
        }
        Deed::Hide(plural) => {
            store.unseen.insert(plural.clone());
        }
        Deed::Refuse { manifest, words } => {
            let at = at(&store, manifest);
            store.refused.insert(at, words.clone());
        }
        Deed::Release { release: name, status } => world::set_status(&mut store, &release(name), status),
        Deed::Outdate(why) => rig.provider.outdate(why),
        Deed::Job { pool, pod } => rig.provider.run_job(pool, pod),
    }
}

async fn planned(folder: &Path) -> (Plan, bool) {
    let text = std::fs::read_to_string(folder.join("world.yaml")).unwrap_or_default();
    let value = read_values(&text, "world.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let value = value.to_json();
    let value = if value.is_null() { json!({}) } else { value };
    let world: World = serde_json::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let wanted = desired(&folder.join("blueprint.yaml"), world.today.as_deref());
    let before = Some(folder.join("before.yaml")).filter(|path| path.exists());
    let before = before.map_or_else(|| wanted.clone(), |path| desired(&path, None));
    let provider = if world.absent { FakeProvider::new() } else { FakeProvider::with(&before.wanted) };
    let mut rig = Rig::new(provider, "unused");
    for (name, manifests) in &world.charts {
        rig.charts.insert(release(name), manifests.iter().map(|manifest| (id(manifest), manifest.clone())).collect());
    }
    if !world.absent && !world.fresh {
        let plan = rig.plan(&before, &PlanOptions::default()).await;
        assert!(plan.not_planned.is_empty(), "{}: before: {:#?}", folder.display(), plan.not_planned);
        let applied = rig.apply(&plan, Fault::None).await;
        let execution = applied.execution.expect("nothing dies here");
        assert!(execution.is_complete(), "{}: before: {:#?}", folder.display(), execution);
    }
    for deed in &world.deeds {
        happen(&rig, deed);
    }
    if world.forgotten {
        rig.forget();
    }
    rig.silent = world.silent;
    let options = PlanOptions {
        adopt: world.adopt.into_iter().collect(),
        delete: world.delete.into_iter().collect(),
        conflicts: world.conflicts,
        holding: world.holding,
        unpinned: world.unpinned,
        running: BTreeMap::new(),
        findings: Vec::new(),
    };
    let plan = if world.destroy { rig.destroy(&wanted, &options).await } else { rig.plan(&wanted, &options).await };
    (plan, world.verbose)
}

#[tokio::test]
async fn every_scenario_is_planned_as_it_is_told() {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("tests/scenarios")
        .expect("the scenarios")
        .map(|entry| entry.expect("a folder").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() > 20, "scenarios are missing");
    let mut wrong = Vec::new();
    for folder in folders {
        let (plan, verbose) = planned(&folder).await;
        let found = anstream::adapter::strip_str(&wbk_infra::cli::plan_human(&plan, verbose, false)).to_string();
        let path = folder.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&path, &found).expect("it is written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if expected != found {
            wrong.push(format!("{} is planned otherwise:\n{found}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
