//! The server's verdict on an object that metadata alone does not decide: a dry-run apply of that object, nothing else.

use std::collections::BTreeSet;

use serde_json::Value;
use wbk_provider_api::Why;

use super::{Birth, FieldChange, Found, Holder, ObjectState, Verdict, differences, keep_live, missing_or_different};
use crate::{
    cluster::{
        Cluster, ClusterError, DIGEST_ANNOTATION, ErrorKind, FieldConflict, Guard, ManagerEntry, Marks, Meta, Owner,
        Provenance, Resource,
    },
    field::{Element, FieldPath, FieldSet, field_paths},
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
    /// Fields that are left as they are.
    pub ignore: Vec<&'a FieldPath>,
    /// Whether what the server refuses may be accepted once earlier steps of the plan ran, and why.
    pub premature: Option<String>,
}

/// Asks the server. Never changes anything. The metadata is answered where the LIST did not have it.
pub(super) async fn decide(cluster: &Cluster, marks: &Marks, question: Question<'_>) -> (ObjectState, Option<Meta>) {
    let mut unlisted = None;
    let state = match ask(cluster, marks, &question, &mut unlisted).await {
        Ok(state) => state,
        Err(error) => match error.kind {
            ErrorKind::Refused => match (&question.premature, question.seen) {
                (Some(why), None) => ObjectState::Absent(Birth::Estimated(format!(
                    "{why}; tried now, the server says: {}",
                    error.words()
                ))),
                (None, None) => ObjectState::Absent(Birth::Refused(error.words())),
                (_, Some(meta)) => {
                    ObjectState::Present(found_as(marks, meta, &question.manifest), Verdict::Refused(error.words()))
                }
            },
            _ => ObjectState::Unknown(Why(chain(&error))),
        },
    };
    (state, unlisted)
}

async fn ask(
    cluster: &Cluster,
    marks: &Marks,
    question: &Question<'_>,
    unlisted: &mut Option<Meta>,
) -> Result<ObjectState, ClusterError> {
    let Question { id, resource, manager, .. } = question;
    let mut manifest = question.manifest.clone();
    let mut live = None;
    if !question.ignore.is_empty() {
        live = cluster.get(resource, id).await?;
        if let Some(live) = &live {
            keep_live(&mut manifest, live, manager, question.ignore.iter().copied());
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
            let Some(meta) = current(cluster, question, unlisted).await? else { return Err(error) };
            let live = match live {
                Some(live) => live,
                None => cluster.get(resource, id).await?.unwrap_or_default(),
            };
            let diff = without_marks(missing_or_different(&live, &manifest));
            return Ok(ObjectState::Present(
                found_as(marks, &meta, &manifest),
                Verdict::Immutable { diff, words: error.words() },
            ));
        }
        Err(error) => return Err(error),
    };
    if tried.created {
        return Ok(ObjectState::Absent(Birth::Tried));
    }
    let Some(meta) = current(cluster, question, unlisted).await? else { return Ok(ObjectState::Absent(Birth::Tried)) };
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
        let mut moved: BTreeSet<FieldPath> = diff.iter().map(|field| field.path.clone()).collect();
        if wanted_digest(&manifest).is_some_and(|wanted| meta.annotations.get(DIGEST_ANNOTATION) == Some(wanted)) {
            moved.extend(lost_fields(&live, &tried.object, manager));
        }
        let diff = without_marks(diff);
        Verdict::Differs { holders: holders(&meta, &manifest, manager, &moved, conflicts), diff }
    };
    Ok(ObjectState::Present(found_as(marks, &meta, &manifest), verdict))
}

fn wanted_digest(manifest: &Value) -> Option<&String> {
    match manifest["metadata"]["annotations"].get(DIGEST_ANNOTATION) {
        Some(Value::String(digest)) => Some(digest),
        Some(_) | None => None,
    }
}

/// As [`found`], for the object under a desired name. The digest on it covers its kind, its place and its name: where it is
/// today's, this very object was applied by this tool, though its managed fields were wiped since.
fn found_as(marks: &Marks, meta: &Meta, manifest: &Value) -> Found {
    let mut found = found(marks, meta);
    let same = wanted_digest(manifest).is_some_and(|digest| found.applied_digest.as_ref() == Some(digest));
    if same && matches!(found.owner, Owner::Copy | Owner::Stray { .. } | Owner::Foreign(_)) {
        found.owner = Owner::Ours;
    }
    found
}

/// Fields that an apply would make ours again, though they have the value that they shall have.
fn lost_fields(live: &Value, tried: &Value, manager: &str) -> Vec<FieldPath> {
    let set = |object| owned_fields(object, manager).map(|fields| FieldSet::of(fields).paths()).unwrap_or_default();
    set(tried).difference(&set(live)).cloned().collect()
}

/// The metadata: as listed, or read now where the LIST did not have the object (labels stripped, or not ours).
async fn current(
    cluster: &Cluster,
    question: &Question<'_>,
    unlisted: &mut Option<Meta>,
) -> Result<Option<Meta>, ClusterError> {
    if let Some(meta) = question.seen {
        return Ok(Some(meta.clone()));
    }
    *unlisted = cluster.get_metadata(question.resource, question.id).await?;
    Ok(unlisted.clone())
}

/// What must stay the same for our fields to be untouched: our entry, and those of others who hold a field of ours too.
///
/// Our entry alone is not enough. Somebody changes a value: the field leaves our set. An apply in our name of that same
/// value changes no content, so that the server gives the field back to our set and keeps the old time (seen on 1.36): the
/// entry is as before, the value is not, and only the other's entry tells.
pub(crate) fn proof(meta: &Meta, manager: &str) -> Option<Digest> {
    let entry = meta.applied_by(manager)?;
    let others: Vec<&ManagerEntry> = meta
        .managers
        .iter()
        .filter(|other| other.subresource != "status" && (other.manager != manager || other.operation != "Apply"))
        .collect();
    if others.is_empty() {
        return Some(entry.fingerprint());
    }
    let mine = field_paths(&entry.fields);
    let own = entry.fingerprint();
    let mut bytes = own.0.clone().into_bytes();
    for other in others {
        let shared = field_paths(&other.fields).iter().any(|theirs| mine.iter().any(|path| path.meets(theirs)));
        if shared {
            bytes.extend_from_slice(other.manager.as_bytes());
            bytes.extend_from_slice(other.fingerprint().0.as_bytes());
        }
    }
    Some(if bytes.len() == own.0.len() { own } else { Digest::of_bytes(&bytes) })
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
fn without_marks(diff: Vec<FieldChange>) -> Vec<FieldChange> {
    let is_mark = |element: &Element| match element {
        Element::Field(name) => name == DIGEST_ANNOTATION || name == crate::cluster::ORIGIN_ANNOTATION,
        Element::Item(_) | Element::Member(_) | Element::Index(_) => false,
    };
    diff.into_iter().filter(|field| !field.path.0.iter().any(is_mark)).collect()
}

/// Who holds the fields that moved, the last writer first; each field as its holder has it (a list that is changed as a whole
/// is held as a whole). The entries of the managers say so; where they do not (they were wiped), the server's conflicts do.
fn holders(
    meta: &Meta,
    sent: &Value,
    manager: &str,
    moved: &BTreeSet<FieldPath>,
    conflicts: Vec<FieldConflict>,
) -> Vec<Holder> {
    let others = meta
        .managers
        .iter()
        .filter(|entry| entry.subresource != "status" && !(entry.manager == manager && entry.operation == "Apply"));
    let mut found: Vec<(i64, Holder)> = Vec::new();
    for entry in others {
        let held = field_paths(&entry.fields);
        for field in held.into_iter().filter(|held| moved.iter().any(|moved| moved.meets(held))) {
            // The subresource scale keeps no time.
            let time = if entry.time_seconds == 0 { String::new() } else { entry.time() };
            let holder = Holder { manager: entry.manager.clone(), field, subresource: entry.subresource.clone(), time };
            found.push((entry.time_seconds, holder));
        }
    }
    if found.is_empty() {
        let unknown = |conflict: FieldConflict| Holder {
            field: FieldPath::of_conflict(&conflict.field, sent),
            manager: conflict.manager,
            subresource: String::new(),
            time: String::new(),
        };
        return conflicts.into_iter().map(unknown).collect();
    }
    found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    found.into_iter().map(|(_, holder)| holder).collect()
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
