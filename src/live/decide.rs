//! The server's verdict on an object that metadata alone does not decide: a dry-run apply of that object, nothing else.

use serde_json::Value;
use wbk_provider_api::{FieldDiff, Why};

use super::{Birth, Found, Holder, ObjectState, Verdict, differences, missing_or_different};
use crate::{
    cluster::{
        Cluster, ClusterError, DIGEST_ANNOTATION, ErrorKind, FieldConflict, Guard, Marks, Meta, Provenance, Resource,
    },
    desired::IgnoreRule,
    id::{Digest, ObjectId},
};

/// What a verdict is asked about.
pub(super) struct Question<'a> {
    /// The object.
    pub id: &'a ObjectId,
    /// The kind as served.
    pub resource: &'a Resource,
    /// The manifest as it would be sent: marked, secrets filled.
    pub manifest: Value,
    /// The manager that sends it.
    pub manager: &'a str,
    /// What metadata said; `None` where the LIST did not have it.
    pub seen: Option<&'a Meta>,
    /// Ignore rules that concern it.
    pub ignore: Vec<&'a IgnoreRule>,
    /// Whether what the server refuses may be accepted once earlier steps of the plan ran, and why.
    pub premature: Option<String>,
}

/// Asks the server. Never changes anything.
pub(super) async fn decide(cluster: &Cluster, marks: &Marks, question: Question<'_>) -> ObjectState {
    match ask(cluster, marks, &question).await {
        Ok(state) => state,
        Err(error) => match error.kind {
            ErrorKind::Refused => match (&question.premature, question.seen) {
                (Some(why), None) => ObjectState::Absent(Birth::Estimated(format!(
                    "{why}; tried now, the server says: {}",
                    error.words()
                ))),
                (None, None) => ObjectState::Absent(Birth::Refused(error.words())),
                (_, Some(meta)) => ObjectState::Present(found(marks, meta), Verdict::Refused(error.words())),
            },
            _ => ObjectState::Unknown(Why(chain(&error))),
        },
    }
}

async fn ask(cluster: &Cluster, marks: &Marks, question: &Question<'_>) -> Result<ObjectState, ClusterError> {
    let Question { id, resource, manager, .. } = question;
    let mut manifest = question.manifest.clone();
    let mut live = None;
    if !question.ignore.is_empty() {
        live = cluster.get(resource, id).await?;
        if let Some(live) = &live {
            keep_ignored(&mut manifest, live, &question.ignore);
        }
    }
    let guard = |force| Guard { manager: (*manager).to_owned(), force };
    let mut conflicts = Vec::new();
    let tried = match cluster.try_apply(resource, id, &manifest, &guard(false)).await {
        Err(error) => match error.kind {
            ErrorKind::FieldConflict(found) => {
                conflicts = found;
                cluster.try_apply(resource, id, &manifest, &guard(true)).await
            }
            _ => Err(error),
        },
        tried => tried,
    };
    let tried = match tried {
        Ok(tried) => tried,
        Err(error) if error.kind == ErrorKind::Refused && is_immutable(&error.words()) => {
            let Some(meta) = current(cluster, question).await? else { return Err(error) };
            let live = match live {
                Some(live) => live,
                None => cluster.get(resource, id).await?.unwrap_or_default(),
            };
            let diff = without_marks(missing_or_different(&live, &manifest));
            return Ok(ObjectState::Present(found(marks, &meta), Verdict::Immutable { diff, words: error.words() }));
        }
        Err(error) => return Err(error),
    };
    if tried.created {
        return Ok(ObjectState::Absent(Birth::Tried));
    }
    let Some(meta) = current(cluster, question).await? else { return Ok(ObjectState::Absent(Birth::Tried)) };
    let live = match live {
        Some(live) => live,
        None => match cluster.get(resource, id).await? {
            Some(live) => live,
            None => return Ok(ObjectState::Absent(Birth::Tried)),
        },
    };
    let diff = differences(&live, &tried.object);
    // Content that is equal while our field set would change means that fields were taken from us and put back: who
    // changes them next would not be seen. They are taken back.
    let keeps_ownership = owned_fields(&live, manager) == owned_fields(&tried.object, manager);
    let verdict = if diff.is_empty() && keeps_ownership {
        Verdict::Same
    } else {
        Verdict::Differs { diff: without_marks(diff), holders: holders(&meta, conflicts) }
    };
    Ok(ObjectState::Present(found(marks, &meta), verdict))
}

/// The metadata: as listed, or read now where the LIST did not have the object (labels stripped, or not ours).
async fn current(cluster: &Cluster, question: &Question<'_>) -> Result<Option<Meta>, ClusterError> {
    match question.seen {
        Some(meta) => Ok(Some(meta.clone())),
        None => cluster.get_metadata(question.resource, question.id).await,
    }
}

/// What a step that touches this object has to find again.
pub(crate) fn found(marks: &Marks, meta: &Meta) -> Found {
    Found {
        uid: meta.uid.clone(),
        fingerprint: fingerprint(meta),
        owner: marks.owner(meta),
        deleting: meta.deleting.then(|| meta.finalizers.clone()),
        applied_digest: meta.annotations.get(DIGEST_ANNOTATION).cloned(),
        adopted: Provenance::of(meta) == Provenance::Adopted,
    }
}

/// Changes with every write outside the status: uid and the entries of all managers that did not write through `status`.
pub(crate) fn fingerprint(meta: &Meta) -> Digest {
    let mut bytes = meta.uid.clone().into_bytes();
    for entry in meta.managers.iter().filter(|entry| entry.subresource != "status") {
        bytes.extend_from_slice(entry.manager.as_bytes());
        bytes.extend_from_slice(entry.fingerprint().0.as_bytes());
    }
    Digest::of_bytes(&bytes)
}

fn owned_fields<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    object
        .pointer("/metadata/managedFields")?
        .as_array()?
        .iter()
        .find(|entry| {
            entry["manager"] == manager && entry["operation"] == "Apply" && entry.get("subresource").is_none()
        })
        .map(|entry| &entry["fieldsV1"])
}

/// Our own annotations say where and what; that they change is not news for a person.
fn without_marks(diff: Vec<FieldDiff>) -> Vec<FieldDiff> {
    diff.into_iter()
        .filter(|field| {
            !field.path.contains(DIGEST_ANNOTATION) && !field.path.contains(crate::cluster::ORIGIN_ANNOTATION)
        })
        .collect()
}

/// Adds who and when to the server's conflicts. The message names a subresource's manager as `"x" with subresource "scale"`.
fn holders(meta: &Meta, conflicts: Vec<FieldConflict>) -> Vec<Holder> {
    conflicts
        .into_iter()
        .map(|conflict| {
            let entry = meta
                .managers
                .iter()
                .filter(|entry| entry.manager == conflict.manager && entry.subresource != "status")
                .max_by_key(|entry| entry.time_seconds);
            Holder {
                subresource: entry.map(|entry| entry.subresource.clone()).unwrap_or_default(),
                time: entry.map(crate::cluster::ManagerEntry::time).unwrap_or_default(),
                conflict,
            }
        })
        .collect()
}

/// Puts the live values of ignored fields into the manifest, so that applying it changes nothing there.
pub(crate) fn keep_ignored(manifest: &mut Value, live: &Value, rules: &[&IgnoreRule]) {
    for rule in rules {
        let Some(kept) = live.pointer(&rule.path) else { continue };
        if let Some(wanted) = manifest.pointer_mut(&rule.path) {
            *wanted = kept.clone();
        }
    }
}

/// The words in which the server refuses a change of what cannot change. Seen on Kubernetes 1.36: `field is immutable`
/// (most), `may not be changed in an update` (PriorityClass), `cannot change roleRef` (bindings), `updates to … are
/// forbidden` (StorageClass), `spec is immutable after creation` (PersistentVolumeClaim).
fn is_immutable(words: &str) -> bool {
    let words = words.to_lowercase();
    ["immutable", "may not be changed", "cannot change roleref", "updates to ", "may not change once set"]
        .iter()
        .any(|part| words.contains(part))
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &ClusterError) -> String {
    format!("{error}: {}", error.words())
}
