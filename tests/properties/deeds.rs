//! What others do to a cluster before this tool looks, and while it works.

use proptest::prelude::*;
use serde_json::{Value, json};
use wbk_infra::cluster::{BLUEPRINT_LABEL, Marks, Provenance};
use wbk_infra::id::Digest;

use super::BLUEPRINT;
use super::platform::objects;
use super::world;
use super::world::{Rig, key};

/// What somebody did to an object before this tool looks.
#[derive(Debug, Clone)]
pub enum Deed {
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

pub fn deed() -> impl Strategy<Value = Deed> {
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

pub fn labelled(blueprint: &str, manifest: &Value) -> Value {
    Marks::new(blueprint).mark(manifest, &Digest("d".into()), "copied", Provenance::Made)
}

pub fn perform(rig: &Rig, deed: &Deed) {
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

/// Deeds that leave the server willing, so that an apply can come to its end.
pub fn is_mild(deed: &Deed) -> bool {
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
