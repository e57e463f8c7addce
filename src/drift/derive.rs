//! Drift read off the live state: what was applied and is no longer so. A blueprint that changed since is not drift; it is
//! counted apart.

use std::collections::BTreeMap;

use serde_json::Value;
use wbk_provider_api::{Operation, OperationAction, Seen};

use super::{DriftItem, DriftKind, Severity, Unseen};
use crate::{
    cluster::{ManagerEntry, Meta, Owner},
    desired::{Desired, DesiredObject, DesiredQueue},
    field::{FieldPath, field_paths},
    helm::{ReleaseStatus, digest_label},
    id::ObjectKey,
    live::{Addition, ClusterState, FieldChange, Found, Holder, Live, ObjectState, QueueState, ReleaseState, Verdict},
    plan::Target,
};

/// What is known beside the live state.
pub struct Surroundings<'a> {
    /// Metadata of the objects that were listed.
    pub metas: &'a BTreeMap<ObjectKey, Meta>,
    /// What others added, with the objects' bodies to read the values from.
    pub additions: &'a BTreeMap<ObjectKey, (Vec<Addition>, Value)>,
    /// Whether an object was ever applied, as far as is remembered.
    pub applied_before: &'a dyn Fn(&ObjectKey) -> bool,
    /// Whether the value behind a reference of this Secret is another than the one that was applied.
    pub value_changed: &'a dyn Fn(&DesiredObject) -> bool,
    /// What the provider would change.
    pub operations: &'a [Operation],
}

/// What moved.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moved {
    /// The differences.
    pub items: Vec<DriftItem>,
    /// Things that are as they were applied.
    pub clean: usize,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// Things that the blueprint wants otherwise than it was applied: a plan, not drift.
    pub pending: usize,
}

/// Reads the drift off the live state.
pub fn drift(desired: &Desired, live: &Live, around: &Surroundings<'_>) -> Moved {
    let mut moved = Moved::default();
    provider(live, around, &mut moved);
    if let ClusterState::Unknown(why) = &live.cluster {
        moved.unseen.push(Unseen { what: "the cluster's objects".into(), why: why.0.clone() });
        return moved;
    }
    if live.cluster == ClusterState::Absent {
        return moved;
    }
    for object in &desired.objects {
        one_object(object, live, around, &mut moved);
    }
    for (id, state) in &live.releases {
        let at =
            desired.releases.iter().find(|release| release.id == *id).and_then(|release| release.origin.at.clone());
        release(&id.to_string(), state, at.as_ref(), around, &mut moved);
    }
    for queue in desired.launch.iter().flat_map(|launch| &launch.queues) {
        one_queue(queue, live, &mut moved);
    }
    for extra in &live.extras {
        match extra.found.owner {
            Owner::Copy => moved.items.push(DriftItem {
                origin: None,
                ..item(&extra.id.to_string(), None, DriftKind::Added, Severity::Warning, None)
            }),
            Owner::Ours => moved.pending += 1,
            Owner::Blueprint(_) | Owner::Release(_) | Owner::Stray { .. } | Owner::Foreign(_) => {}
        }
    }
    for (what, why) in &live.unseen {
        moved.unseen.push(Unseen { what: what.clone(), why: why.0.clone() });
    }
    moved
}

type Who = Option<(String, String)>;

fn item(object: &str, field: Option<String>, kind: DriftKind, severity: Severity, who: Who) -> DriftItem {
    let (manager, time) =
        who.map_or((None, None), |(manager, time)| (Some(manager), Some(time).filter(|time| !time.is_empty())));
    DriftItem { object: object.to_owned(), field, old: None, new: None, kind, manager, time, severity, origin: None }
}

fn one_object(object: &DesiredObject, live: &Live, around: &Surroundings<'_>, moved: &mut Moved) {
    let key = object.id.key();
    let name = object.id.to_string();
    match live.objects.get(&key) {
        None => {}
        Some(ObjectState::Unknown(why)) => moved.unseen.push(Unseen { what: name, why: why.0.clone() }),
        Some(ObjectState::Absent(_)) if (around.applied_before)(&key) => moved.items.push(DriftItem {
            origin: object.origin.at.clone(),
            ..item(&name, None, DriftKind::Removed, Severity::Error, None)
        }),
        Some(ObjectState::Absent(_)) => moved.pending += 1,
        Some(ObjectState::Present(found, _)) if found.deleting.is_some() => moved.items.push(DriftItem {
            new: Some("being deleted".into()),
            origin: object.origin.at.clone(),
            ..item(&name, None, DriftKind::Changed, Severity::Error, None)
        }),
        Some(ObjectState::Present(found, _)) if found.owner != Owner::Ours => moved.pending += 1,
        Some(ObjectState::Present(found, verdict)) => {
            let before = moved.items.len();
            changed_fields(object, found, verdict, around, moved);
            added_fields(object, around, moved);
            if moved.items.len() == before {
                moved.clean += 1;
            }
        }
    }
}

/// W&B says neither who changed a queue nor when.
fn one_queue(queue: &DesiredQueue, live: &Live, moved: &mut Moved) {
    let name = Target::Queue(queue.name.clone()).to_string();
    match live.queues.get(&queue.name) {
        None => {}
        Some(QueueState::Unknown(why)) => moved.unseen.push(Unseen { what: name, why: why.0.clone() }),
        // Whether it was there before nobody knows: a plan makes it.
        Some(QueueState::Absent) => moved.pending += 1,
        Some(QueueState::Present(found)) if found.is_edited() => {
            let changes = found.differences(queue);
            moved.items.extend(changes.into_iter().map(|change| DriftItem {
                // Drift tells what was applied first, then what is there.
                old: change.new.clone(),
                new: change.old.clone(),
                origin: queue.origin.at.clone(),
                ..item(&name, Some(change.path.to_string()), kind_of(&change.old, &change.new), Severity::Warning, None)
            }));
        }
        Some(QueueState::Present(found)) if found.content == queue.content.clone().marked() => moved.clean += 1,
        Some(QueueState::Present(_)) => moved.pending += 1,
    }
}

fn changed_fields(
    object: &DesiredObject,
    found: &Found,
    verdict: &Verdict,
    around: &Surroundings<'_>,
    moved: &mut Moved,
) {
    let name = object.id.to_string();
    let none = Vec::new();
    let (diff, holders) = match verdict {
        Verdict::Same => return,
        Verdict::Differs { diff, holders } => (diff, holders),
        Verdict::Immutable { diff, words: _ } => (diff, &none),
        Verdict::Refused(words) => {
            moved.unseen.push(Unseen { what: name, why: format!("the server refuses to compare it: {words}") });
            return;
        }
    };
    let as_applied =
        found.applied_digest.as_deref() == Some(object.digest().0.as_str()) && !(around.value_changed)(object);
    if !as_applied {
        moved.pending += 1;
    }
    for field in diff {
        let holder = holders.iter().find(|holder| field.path.meets(&holder.field));
        // Where the blueprint changed too, only what another manager holds is surely drift.
        if !as_applied && holder.is_none() {
            continue;
        }
        let who = holder.and_then(who).or_else(|| under_our_name(around, object, field));
        moved.items.push(field_item(object, field, who));
    }
    if diff.is_empty() && as_applied {
        for holder in holders {
            let Some(who) = who(holder).map(Some) else { continue };
            let field = holder.field.to_string();
            moved.items.push(DriftItem {
                origin: object.origin.at.clone(),
                ..item(&name, Some(field), DriftKind::Taken, Severity::Note, who)
            });
        }
        if holders.iter().all(|holder| who(holder).is_none()) {
            moved.items.push(DriftItem {
                origin: object.origin.at.clone(),
                ..item(&name, Some("ownership of its fields".into()), DriftKind::Taken, Severity::Note, None)
            });
        }
    }
}

/// A manager that somebody is behind: the server's stand-in for wiped entries is nobody.
fn who(holder: &Holder) -> Who {
    (holder.manager != "before-first-apply").then(|| (holder.manager.clone(), holder.time.clone()))
}

/// A value that nobody else holds was applied in this tool's name. Who took a field away leaves no trace: then nobody is
/// named, because the last writer may be somebody who did not do it.
fn under_our_name(around: &Surroundings<'_>, object: &DesiredObject, field: &FieldChange) -> Who {
    field.old.as_ref().and(field.new.as_ref())?;
    let entry = around.metas.get(&object.id.key())?.applied_by(crate::cluster::FIELD_MANAGER)?;
    field_paths(&entry.fields).iter().find(|path| field.path.is_within(path))?;
    Some((entry.manager.clone(), entry.time()))
}

/// A plan's diff goes from what is there to what is wanted; drift is told the other way.
fn field_item(object: &DesiredObject, field: &FieldChange, who: Who) -> DriftItem {
    DriftItem {
        old: field.new.clone(),
        new: field.old.clone(),
        origin: object.origin.at.clone(),
        ..item(
            &object.id.to_string(),
            Some(field.path.to_string()),
            kind_of(&field.old, &field.new),
            Severity::Warning,
            who,
        )
    }
}

fn kind_of(old: &Option<Value>, new: &Option<Value>) -> DriftKind {
    match (old, new) {
        (None, Some(_)) => DriftKind::Removed,
        (Some(_), None) => DriftKind::Added,
        (Some(_), Some(_)) | (None, None) => DriftKind::Changed,
    }
}

fn added_fields(object: &DesiredObject, around: &Surroundings<'_>, moved: &mut Moved) {
    let Some((additions, body)) = around.additions.get(&object.id.key()) else { return };
    let secret = object.id.gvk.kind == "Secret";
    for addition in additions {
        // A field that the blueprint sets is a changed value, and was told above.
        if addition.path.value(&object.manifest).is_some()
            || is_bookkeeping(&addition.path)
            || is_guard(&object.id.gvk.group, addition)
        {
            continue;
        }
        let value = addition.path.value(body).cloned();
        let Some(value) = value else { continue };
        moved.items.push(DriftItem {
            new: Some(if secret { "(hidden)".into() } else { value }),
            origin: object.origin.at.clone(),
            ..item(
                &object.id.to_string(),
                Some(addition.path.to_string()),
                DriftKind::Added,
                Severity::Warning,
                Some((addition.manager.clone(), addition.time.clone())),
            )
        });
    }
}

/// kubectl's own notes on objects, not changes of them.
fn is_bookkeeping(path: &FieldPath) -> bool {
    *path == FieldPath::fields(["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"])
}

/// A controller's finalizer on a resource of its own kind: how operators see that it goes. One that kubectl put there is somebody's hand.
fn is_guard(group: &str, addition: &Addition) -> bool {
    addition.path.is_within(&FieldPath::fields(["metadata", "finalizers"]))
        && group.contains('.')
        && !group.ends_with(".k8s.io")
        && !addition.manager.starts_with("kubectl")
}

/// Who holds a field of an object of a release now; Helm by somebody's hand counts too. Nobody is guessed.
fn writer_of_rendered(around: &Surroundings<'_>, object: &str, field: &FieldPath) -> Who {
    let (_, meta) = around.metas.iter().find(|(key, _)| key.to_string() == object)?;
    let holds = |entry: &&ManagerEntry| {
        entry.subresource != "status" && field_paths(&entry.fields).iter().any(|path| path.meets(field))
    };
    let found = meta.managers.iter().filter(holds).max_by_key(|entry| entry.time_seconds)?;
    // The scale subresource keeps no time.
    Some((found.manager.clone(), if found.time_seconds == 0 { String::new() } else { found.time() }))
}

fn release(name: &str, state: &ReleaseState, at: Option<&String>, around: &Surroundings<'_>, moved: &mut Moved) {
    let name = format!("helm release {name}");
    match state {
        ReleaseState::Unknown(why) => moved.unseen.push(Unseen { what: name, why: why.0.clone() }),
        ReleaseState::Seen { record: None, .. } => moved.pending += 1,
        ReleaseState::Seen { record: Some(_), inputs: None, .. } => moved.pending += 1,
        ReleaseState::Seen { record: Some(record), inputs: Some(inputs), drifted, objects: _ } => {
            let as_applied = record.digest.as_deref() == Some(digest_label(inputs));
            if !as_applied {
                moved.pending += 1;
            }
            if record.status != ReleaseStatus::Deployed {
                moved.items.push(DriftItem {
                    old: Some("deployed".into()),
                    new: Some(record.status.to_string().into()),
                    origin: at.cloned(),
                    ..item(&name, Some("status".into()), DriftKind::Changed, Severity::Error, None)
                });
                return;
            }
            if !as_applied {
                return;
            }
            for (object, fields) in drifted {
                for field in fields {
                    let whole = field.path.is_root();
                    moved.items.push(DriftItem {
                        old: if whole { None } else { field.new.clone() },
                        new: field.old.clone(),
                        origin: at.cloned(),
                        ..item(
                            &format!("{object} of {name}"),
                            (!whole).then(|| field.path.to_string()),
                            if whole { DriftKind::Removed } else { DriftKind::Changed },
                            if whole { Severity::Error } else { Severity::Warning },
                            writer_of_rendered(around, object, &field.path),
                        )
                    });
                }
            }
            if drifted.is_empty() {
                moved.clean += 1;
            }
        }
    }
}

fn provider(live: &Live, around: &Surroundings<'_>, moved: &mut Moved) {
    if let Seen::Unknown(why) = &live.provider.cluster {
        moved.unseen.push(Unseen { what: "the cluster".into(), why: why.0.clone() });
    }
    for operation in around.operations {
        let name = operation.target.to_string();
        match operation.action {
            OperationAction::Create => moved.items.push(item(&name, None, DriftKind::Removed, Severity::Error, None)),
            OperationAction::Start => moved.items.push(DriftItem {
                old: Some("running".into()),
                new: Some("stopped".into()),
                ..item(&name, Some("state".into()), DriftKind::Changed, Severity::Error, None)
            }),
            OperationAction::Delete => moved.pending += 1,
            OperationAction::Update | OperationAction::Replace => {
                for field in &operation.diff {
                    moved.items.push(DriftItem {
                        old: field.new.clone(),
                        new: field.old.clone(),
                        ..item(
                            &name,
                            Some(field.path.clone()),
                            kind_of(&field.old, &field.new),
                            Severity::Warning,
                            None,
                        )
                    });
                }
            }
        }
    }
    for foreign in &live.provider.foreign {
        moved.items.push(item(&foreign.to_string(), None, DriftKind::Added, Severity::Warning, None));
    }
    // What is wrong with a pool and no operation mends.
    for (name, pool) in &live.provider.pools {
        let target = wbk_provider_api::ProviderTarget::NodePool(name.clone());
        let Some(pool) = pool.present().filter(|_| !around.operations.iter().any(|one| one.target == target)) else {
            continue;
        };
        for field in &pool.deviations {
            let path = Some(field.path.clone());
            moved.items.push(DriftItem {
                old: field.new.clone(),
                new: field.old.clone(),
                ..item(&target.to_string(), path, kind_of(&field.old, &field.new), Severity::Warning, None)
            });
        }
    }
    let pools = live.provider.pools.values().filter(|pool| pool.present().is_some()).count();
    let touched = around.operations.iter().filter(|operation| operation.action != OperationAction::Delete).count();
    moved.clean += (pools + 1).saturating_sub(touched);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_finalizer_is_no_drift_and_a_hands_is() {
        let addition = |path: &[&str], manager: &str| Addition {
            path: FieldPath::fields(path.iter().copied()),
            manager: manager.into(),
            time: String::new(),
        };
        let finalizer = ["metadata", "finalizers", "guard"];
        assert!(is_guard("apps.wandb.com", &addition(&finalizer, "wandb-operator")));
        assert!(!is_guard("apps.wandb.com", &addition(&finalizer, "kubectl-edit")));
        assert!(!is_guard("apps.wandb.com", &addition(&["metadata", "labels", "a"], "wandb-operator")));
        assert!(!is_guard("apps", &addition(&finalizer, "somebody")));
    }
}
