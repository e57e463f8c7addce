//! The steps about objects: apply, replace, disown, delete, each bound to what the plan saw.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wbk_provider_api::LeftBehind;

use super::{
    absence::Absences,
    error::{Because, StepError},
    news::Newsroom,
    waiting::Wait,
};
use crate::{
    cluster::{Cluster, Discovery, ErrorKind, FIELD_MANAGER, Guard, Marks, Meta, Propagation, Provenance, Resource},
    desired::DesiredObject,
    id::{Gvk, ObjectId},
    live::{Remembered, SecretValues, fingerprint, keep_live, left_by, proof},
    plan::{Action, Expect, ObjectStep, Step, is_made_by_kubernetes},
};

/// Tries of a write whose object's status moved between looking and writing. Controllers write status a few times a second
/// at most while an object settles.
const TRIES: u32 = 8;

/// What the steps about objects share.
pub(super) struct ObjectRunner<'a> {
    pub cluster: &'a Cluster,
    pub discovery: &'a Discovery,
    pub marks: &'a Marks,
    pub values: &'a SecretValues,
    pub salt: &'a str,
    pub absences: &'a Absences,
    /// Namespaces that the plan deletes.
    pub leaving: &'a BTreeSet<String>,
    pub newsroom: &'a Newsroom,
}

/// What a step about an object answers: its key and what to remember of it.
pub(super) type Memory = Option<(String, Remembered)>;

impl ObjectRunner<'_> {
    pub(super) async fn run(
        &self,
        step: &Step,
        id: &ObjectId,
        object: &ObjectStep,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Memory, StepError> {
        let Some(resource) = self.discovery.find(&id.gvk) else {
            return Err(StepError {
                attempted: format!("{} {id}", step.action.word()),
                left: LeftBehind::Nothing,
                hint: Some("the step that brings this kind may have failed; apply again".into()),
                source: Some(Box::new(Because(format!(
                    "the cluster does not serve {} {}",
                    id.gvk.api_version(),
                    id.gvk.kind
                )))),
            });
        };
        let deadline = Instant::now() + Duration::from_secs(step.deadline_seconds);
        let wait = Wait { cluster: self.cluster, discovery: self.discovery, resource, id, deadline, say };
        match step.action {
            Action::Delete => self.delete(step, id, resource, &wait).await.map(|()| None),
            Action::Disown => self.disown(step, id, resource).await.map(|()| None),
            Action::Replace => {
                self.delete(step, id, resource, &wait).await?;
                self.apply_and_wait(id, object, &Expect::Absent, &wait).await
            }
            Action::Create | Action::Start | Action::Update | Action::Adopt => {
                self.apply_and_wait(id, object, &step.expect, &wait).await
            }
        }
    }

    async fn apply_and_wait(
        &self,
        id: &ObjectId,
        object: &ObjectStep,
        expect: &Expect,
        wait: &Wait<'_>,
    ) -> Result<Memory, StepError> {
        self.newsroom.expect(self.cluster, wait.resource, &id.gvk.group_kind());
        let (memory, version) = self.apply(id, object, wait.resource, expect).await?;
        wait.until_ready(self.newsroom.of(id, &version)).await?;
        Ok(memory)
    }

    /// Applies the object if it is still what the plan saw; controllers' status writes in between do not count. Answers its
    /// version too.
    async fn apply(
        &self,
        id: &ObjectId,
        object: &ObjectStep,
        resource: &Resource,
        expect: &Expect,
    ) -> Result<(Memory, String), StepError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let live = self.expected(id, resource, expect).await?;
            let provenance = if object.adopted { Provenance::Adopted } else { Provenance::Made };
            let (mut manifest, desired, digest) = self.manifest(id, object, provenance)?;
            if !(object.keep.is_empty() && object.yielded.is_empty())
                && let Some(current) = self.cluster.get(resource, id).await?
            {
                let left = object.keep.iter().map(|rule| &rule.path).chain(&object.yielded);
                keep_live(&mut manifest, &current, FIELD_MANAGER, left);
            }
            if let Some(live) = &live {
                manifest["metadata"]["uid"] = live.uid.clone().into();
                manifest["metadata"]["resourceVersion"] = live.resource_version.clone().into();
            }
            let guard = if object.take { Guard::taking() } else { Guard::ours() };
            match self.cluster.apply(resource, id, &manifest, &guard).await {
                Ok(applied) => {
                    if appeared(id, expect) && !applied.created {
                        return Err(StepError {
                            attempted: format!("create {id}"),
                            left: LeftBehind::Partial,
                            hint: Some("plan again: it shows what the object holds now".into()),
                            source: Some(Box::new(Because(
                                "an object of that name appeared meanwhile, and now holds our fields too".into(),
                            ))),
                        });
                    }
                    let remembered = proof(&applied.object, FIELD_MANAGER).map(|entry| Remembered {
                        uid: applied.object.uid.clone(),
                        entry,
                        values: self.values.fingerprint(&desired, self.salt),
                        left: left_by(&object.keep.iter().collect::<Vec<_>>()),
                    });
                    // What was yielded is as somebody else wants it: who decides otherwise next time must see it.
                    let remembered = remembered.filter(|_| object.yielded.is_empty());
                    debug_assert_eq!(
                        Some(&digest),
                        object.digest.as_ref(),
                        "the plan's digest is that of its manifest"
                    );
                    let memory = remembered.map(|remembered| (id.key().to_string(), remembered));
                    return Ok((memory, applied.object.resource_version));
                }
                Err(error) if error.kind == ErrorKind::Stale && live.is_some() && tried < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The object as it was found, if it is what the plan saw; `None` where nothing was expected and nothing is there.
    async fn expected(&self, id: &ObjectId, resource: &Resource, expect: &Expect) -> Result<Option<Meta>, StepError> {
        match expect {
            Expect::New | Expect::Revision(_) | Expect::Provider | Expect::Queue { .. } => Ok(None),
            Expect::Absent => match self.absences.is_absent(self.cluster, resource, id).await? {
                true => Ok(None),
                false => Err(StepError::stale(&id.to_string(), "an object of that name appeared since")),
            },
            Expect::Object { uid, fingerprint: seen } => match self.cluster.get_metadata(resource, id).await? {
                None => Err(StepError::stale(&id.to_string(), "it was deleted since")),
                Some(meta) if meta.uid != *uid => {
                    Err(StepError::stale(&id.to_string(), "another object has its name now"))
                }
                Some(meta) if fingerprint(&meta) != *seen => {
                    let last = meta
                        .managers
                        .iter()
                        .filter(|entry| entry.subresource != "status")
                        .max_by_key(|entry| entry.time_seconds);
                    let by = last
                        .map(|entry| format!(", last by {} at {}", entry.manager, entry.time()))
                        .unwrap_or_default();
                    Err(StepError::stale(&id.to_string(), format!("it was changed since{by}")))
                }
                Some(meta) => Ok(Some(meta)),
            },
        }
    }

    fn manifest(
        &self,
        id: &ObjectId,
        object: &ObjectStep,
        provenance: Provenance,
    ) -> Result<(Value, DesiredObject, crate::id::Digest), StepError> {
        let desired = DesiredObject {
            id: id.clone(),
            manifest: object.manifest.clone().into(),
            secrets: object.secrets.clone(),
            origin: crate::desired::Origin { path: object.origin.clone(), at: None },
        };
        if !self.values.complete(&desired) {
            return Err(StepError {
                attempted: format!("fill the keys of {id}"),
                left: LeftBehind::Nothing,
                hint: Some("set what the secret's references name and apply again".into()),
                source: Some(Box::new(Because("a referenced value is missing".into()))),
            });
        }
        let digest = desired.digest();
        Ok((self.marks.mark(&self.values.fill(&desired), &digest, &object.origin, provenance), desired, digest))
    }

    async fn delete(&self, step: &Step, id: &ObjectId, resource: &Resource, wait: &Wait<'_>) -> Result<(), StepError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let Some(meta) = self.cluster.get_metadata(resource, id).await? else { return Ok(()) };
            let Expect::Object { uid, fingerprint: seen } = &step.expect else {
                return Err(StepError::stale(&id.to_string(), "the plan does not say which object to delete"));
            };
            if meta.uid != *uid {
                return Err(StepError::stale(&id.to_string(), "another object has its name now"));
            }
            if fingerprint(&meta) != *seen && !meta.deleting {
                return Err(StepError::stale(&id.to_string(), "it was changed since"));
            }
            match self.cluster.delete(resource, id, uid, Some(&meta.resource_version), Propagation::Background).await {
                Ok(_) => return wait.until_gone(uid, self.goes_with_its_namespace(step, id)).await,
                Err(error) if error.kind == ErrorKind::Stale && tried < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn goes_with_its_namespace(&self, step: &Step, id: &ObjectId) -> bool {
        step.action == Action::Delete && id.namespace.as_ref().is_some_and(|namespace| self.leaving.contains(namespace))
    }

    /// Gives an adopted object back: an apply of nothing lets go of every field that we alone set.
    async fn disown(&self, step: &Step, id: &ObjectId, resource: &Resource) -> Result<(), StepError> {
        let Some(live) = self.expected(id, resource, &step.expect).await? else { return Ok(()) };
        let mut bare = json!({
            "apiVersion": id.gvk.api_version(), "kind": id.gvk.kind,
            "metadata": { "name": id.name, "uid": live.uid },
        });
        if let Some(namespace) = &id.namespace {
            bare["metadata"]["namespace"] = namespace.clone().into();
        }
        self.cluster.apply(resource, id, &bare, &Guard::ours()).await?;
        Ok(())
    }
}

/// Whether an object that was not created is somebody else's that appeared. Kubernetes itself makes some in each new
/// namespace; the blueprint adds to them.
fn appeared(id: &ObjectId, expect: &Expect) -> bool {
    match expect {
        Expect::Absent => true,
        Expect::New => !is_made_by_kubernetes(id),
        Expect::Object { .. } | Expect::Revision(_) | Expect::Provider | Expect::Queue { .. } => false,
    }
}

/// Whether a step may bring a kind that the discovery of before does not know.
pub(super) fn brings_kinds(gvk: &Gvk) -> bool {
    gvk.kind == "CustomResourceDefinition" || gvk.kind == "APIService"
}
