//! The only reader of the cluster side: one metadata-only LIST for each kind, all at once, then the server's verdict on
//! the few objects that metadata does not decide.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::{StreamExt, stream};
use serde_json::Value;
use wbk_provider_api::{Observed, Why};

use super::{
    Birth, ClusterState, Extra, FieldChange, Live, Memory, ObjectState, ReleaseState, Remembered, SecretValues,
    Verdict, World,
    decide::{Question, decide, found, proof},
    lists::{EarlyLists, Listed, Selection, kinds_to_list, list_all, parse_group_kind},
};
use crate::{
    cluster::{
        APPLYSET_ID, APPLYSET_KINDS, Cluster, DIGEST_ANNOTATION, Discovery, FIELD_MANAGER, Marks, Meta, Owner,
        Provenance, system_namespace,
    },
    desired::{Desired, DesiredObject, IgnoreRule},
    field::FieldPath,
    helm::{ReleaseRecord, releases_from_secrets},
    id::{Digest, GroupKind, ObjectId, ObjectKey, ReleaseId},
    parallel,
};

/// A desired release with what it renders.
#[derive(Debug, Clone)]
pub struct RenderedRelease {
    /// Which it is.
    pub id: ReleaseId,
    /// Digest of all that it is made from.
    pub inputs: Digest,
    /// Its objects as Helm applies them, Helm's labels and annotations included.
    pub objects: Vec<(ObjectId, Value)>,
    /// The kinds that its `crds/` bring.
    pub brings: BTreeSet<GroupKind>,
}

/// The API server, as far as it can be asked.
pub enum Reach<'a> {
    /// There is no cluster yet.
    NoCluster,
    /// It answers.
    Cluster {
        /// The connection.
        cluster: &'a Cluster,
        /// Its kinds.
        discovery: &'a Discovery,
        /// The context it was reached through.
        context: &'a str,
    },
    /// It does not answer.
    Unreachable(Why),
}

/// All that was seen, and what makes the next look cheaper.
pub struct Sight {
    /// For the planner.
    pub live: Live,
    /// To be kept.
    pub memory: Memory,
    /// Metadata of every object of ours that the LISTs had: for additions by others.
    pub metas: BTreeMap<ObjectKey, Meta>,
}

/// What is looked for.
pub struct Observer<'a> {
    /// The desired state.
    pub desired: &'a Desired,
    /// Its releases, rendered.
    pub releases: &'a [RenderedRelease],
    /// What is remembered.
    pub memory: Memory,
    /// Values of the secrets.
    pub values: &'a SecretValues,
    /// LISTs that are under way already.
    pub early: EarlyLists,
}

/// The manager under which Helm applies.
pub(crate) const HELM_MANAGER: &str = "helm";

/// About how many bytes a manifest has: 0.8 KiB is the mean of 25 common kinds.
const USUAL_MANIFEST: usize = 800;

impl Observer<'_> {
    /// Looks at everything. Never changes anything; what cannot be seen is Unknown with its reason.
    pub async fn observe(mut self, provider: Observed, reach: Reach<'_>) -> Sight {
        let (cluster, discovery, context) = match reach {
            Reach::NoCluster => {
                let left_out = self.left_out();
                return self.nothing(provider, ClusterState::Absent, &|kind| {
                    ObjectState::Absent(if left_out.contains(kind) {
                        Birth::NoKind
                    } else {
                        Birth::Estimated("there is no cluster yet".into())
                    })
                });
            }
            Reach::Unreachable(why) => {
                let state = ClusterState::Unknown(why.clone());
                return self.nothing(provider, state, &|_| ObjectState::Unknown(why.clone()));
            }
            Reach::Cluster { cluster, discovery, context } => (cluster, discovery, context),
        };
        let marks = Marks::new(&self.desired.name);
        let mut kinds = self.kinds();
        let early = std::mem::take(&mut self.early);
        let selection = Selection::new(&marks, !self.releases.is_empty());
        let mut listed = list_all((cluster, discovery), &selection, &kinds, early).await;
        // Kinds that earlier plans used and this blueprint no longer names: the ApplySet's parent lists them.
        let applyset = marks.applyset_id();
        let former: BTreeSet<GroupKind> = listed
            .metas
            .values()
            .filter(|meta| meta.labels.get(APPLYSET_ID) == Some(&applyset))
            .filter_map(|meta| meta.annotations.get(APPLYSET_KINDS))
            .flat_map(|kinds| kinds.split(',').map(parse_group_kind))
            .filter(|kind| !kinds.contains_key(kind) && !kind.kind.is_empty())
            .collect();
        if !former.is_empty() {
            let more: BTreeMap<GroupKind, Option<String>> = former.into_iter().map(|kind| (kind, None)).collect();
            let selection = Selection::new(&marks, false);
            listed.merge(list_all((cluster, discovery), &selection, &more, EarlyLists::default()).await);
            kinds.extend(more);
        }
        let Some(uid) = listed.namespaces.get("kube-system").cloned() else {
            let why = listed.unseen.get("Namespace").cloned().unwrap_or_else(|| {
                Why("the cluster has no namespace kube-system that these credentials may list".into())
            });
            let state = ClusterState::Unknown(why.clone());
            return self.nothing(provider, state, &|_| ObjectState::Unknown(why.clone()));
        };
        self.look(provider, cluster, discovery, World { uid, context: context.to_owned() }, listed).await
    }

    /// Kinds that the blueprint can do without, and that nothing in this plan brings.
    fn left_out(&self) -> BTreeSet<GroupKind> {
        let crds = kinds_of_crds(&self.desired.objects);
        let brought =
            |kind: &GroupKind| crds.contains(kind) || self.releases.iter().any(|release| release.brings.contains(kind));
        self.desired.promises.optional_kinds.iter().filter(|kind| !brought(kind)).cloned().collect()
    }

    /// Every kind that is to be listed, with the version the blueprint uses.
    fn kinds(&self) -> BTreeMap<GroupKind, Option<String>> {
        let rendered = self.releases.iter().flat_map(|release| release.objects.iter().map(|(id, _)| &id.gvk));
        kinds_to_list(self.desired, rendered)
    }

    fn nothing(self, provider: Observed, cluster: ClusterState, state: &dyn Fn(&GroupKind) -> ObjectState) -> Sight {
        let of = |key: ObjectKey| (key.clone(), state(&key.kind));
        let objects = self.desired.objects.iter().map(|object| of(object.id.key())).collect();
        let releases = self
            .releases
            .iter()
            .map(|release| {
                let seen = match &cluster {
                    ClusterState::Unknown(why) => ReleaseState::Unknown(why.clone()),
                    ClusterState::Absent | ClusterState::Reached(_) => ReleaseState::Seen {
                        record: None,
                        inputs: Some(release.inputs.clone()),
                        drifted: BTreeMap::new(),
                        objects: release.objects.len(),
                    },
                };
                (release.id.clone(), seen)
            })
            .collect();
        let live = Live {
            provider,
            cluster,
            objects,
            extras: Vec::new(),
            releases,
            queues: BTreeMap::new(),
            namespaces: BTreeSet::new(),
            unseen: BTreeMap::new(),
        };
        Sight { live, memory: self.memory, metas: BTreeMap::new() }
    }

    async fn look(
        self,
        provider: Observed,
        cluster: &Cluster,
        discovery: &Discovery,
        world: World,
        listed: Listed,
    ) -> Sight {
        let marks = Marks::new(&self.desired.name);
        let left_out = self.left_out();
        let crds_in_plan = kinds_of_crds(&self.desired.objects);
        let from_releases: BTreeSet<&GroupKind> = self.releases.iter().flat_map(|release| &release.brings).collect();
        let planned_namespaces: BTreeSet<&str> = self
            .desired
            .objects
            .iter()
            .filter(|object| object.id.gvk.kind == "Namespace")
            .map(|object| object.id.name.as_str())
            .collect();

        // Gathered as they come, nearly in order, and put into order at the end: cheaper than to insert each.
        let mut objects: Vec<(ObjectKey, ObjectState)> = Vec::with_capacity(self.desired.objects.len());
        let mut proven: Vec<(String, Remembered)> = Vec::with_capacity(self.desired.objects.len());
        let mut undecided = Vec::new();
        let metas: HashMap<&ObjectKey, &Meta> = listed.metas.iter().collect();
        let weight = |object: &DesiredObject| if object.manifest.is_digested() { 0 } else { USUAL_MANIFEST };
        let digests = parallel::map(&self.desired.objects, weight, DesiredObject::digest);
        for (object, digest) in self.desired.objects.iter().zip(digests) {
            let key = object.id.key();
            if !listed.unseen.is_empty()
                && let Some(why) = listed.unseen.get(&key.kind.to_string())
            {
                objects.push((key, ObjectState::Unknown(why.clone())));
                continue;
            }
            let Some(resource) = discovery.find(&object.id.gvk) else {
                let brought = crds_in_plan.contains(&key.kind) || from_releases.contains(&key.kind);
                let birth = if brought {
                    Birth::Estimated(format!("the kind {} comes earlier in this plan", key.kind))
                } else if !left_out.contains(&key.kind)
                    && !self.releases.is_empty()
                    && discovery.preferred(&key.kind).is_none()
                {
                    Birth::Estimated(format!(
                        "the kind {} is not served yet; a release of this plan may bring it",
                        key.kind
                    ))
                } else {
                    Birth::NoKind
                };
                objects.push((key, ObjectState::Absent(birth)));
                continue;
            };
            let seen = metas.get(&key).copied();
            let values = self.values.fingerprint(object, &self.memory.salt);
            let ignored = rules_for(&self.desired.policy.ignore, &object.id);
            if let Some(meta) = seen
                && !meta.deleting
                && meta.annotations.get(DIGEST_ANNOTATION) == Some(&digest.0)
                && let Some((name, remembered)) = self.memory.objects.get_key_value(&key.to_string())
                && remembered.uid == meta.uid
                && remembered.values == values
                && remembered.left == left_by(&ignored)
                && proof(meta, FIELD_MANAGER).as_ref() == Some(&remembered.entry)
            {
                proven.push((name.clone(), remembered.clone()));
                objects.push((key, ObjectState::Present(found(&marks, meta), Verdict::Same)));
                continue;
            }
            if seen.is_none()
                && let Some(namespace) = &object.id.namespace
                && !listed.namespaces.contains_key(namespace)
            {
                let birth = if planned_namespaces.contains(namespace.as_str()) {
                    Birth::Estimated(format!("the namespace {namespace} comes earlier in this plan"))
                } else {
                    Birth::Refused(format!("there is no namespace {namespace}, and the blueprint makes none"))
                };
                objects.push((key, ObjectState::Absent(birth)));
                continue;
            }
            let premature = crds_in_plan
                .contains(&key.kind)
                .then(|| format!("the kind {} is changed earlier in this plan", key.kind))
                .or_else(|| {
                    (key.kind.kind == "Pod").then(|| "what the pod refers to may come earlier in this plan".to_owned())
                });
            undecided.push((object, digest, values, ignored, resource, seen, premature));
        }
        let marks_ref = &marks;
        let decided = stream::iter(undecided)
            .map(|(object, digest, values, ignored, resource, seen, premature)| async move {
                let question = Question {
                    id: &object.id,
                    resource,
                    manifest: marks_ref.mark(
                        &self.values.fill(object),
                        &digest,
                        &origin(object),
                        seen.map_or(Provenance::Made, Provenance::of),
                    ),
                    manager: FIELD_MANAGER,
                    seen,
                    ignore: ignored.iter().map(|rule| &rule.path).collect(),
                    premature,
                };
                let (state, unlisted) = decide(cluster, marks_ref, question).await;
                (object, values, left_by(&ignored), seen, state, unlisted)
            })
            .buffer_unordered(64) // The cluster's gate is the real limit; this only bounds the futures.
            .collect::<Vec<_>>()
            .await;
        let mut objects: BTreeMap<ObjectKey, ObjectState> = objects.into_iter().collect();
        let mut renewed: BTreeMap<String, Remembered> = proven.into_iter().collect();
        let mut unlisted: BTreeMap<ObjectKey, Meta> = BTreeMap::new();
        for (object, values, left, seen, state, other) in decided {
            let key = object.id.key();
            if let (ObjectState::Present(found, Verdict::Same), Some(meta)) = (&state, seen)
                && let Some(entry) = proof(meta, FIELD_MANAGER)
                && found.applied_digest.as_deref() == Some(&object.digest().0)
            {
                renewed.insert(key.to_string(), Remembered { uid: meta.uid.clone(), entry, values, left });
            }
            unlisted.extend(other.map(|meta| (key.clone(), meta)));
            objects.insert(key, state);
        }

        let releases = self.look_at_releases(cluster, discovery, &marks, &listed, &mut renewed).await;
        let desired: HashSet<&ObjectKey> = objects.keys().collect();
        let mut extras: Vec<Extra> = listed
            .metas
            .iter()
            .filter(|(key, meta)| {
                !desired.contains(key)
                    && meta.labels.get(crate::cluster::BLUEPRINT_LABEL) == Some(&self.desired.name)
                    && !is_machinery(key, meta)
            })
            .filter_map(|(key, meta)| {
                let gvk = listed.versions.get(&key.kind)?;
                let id = ObjectId { gvk: gvk.clone(), namespace: key.namespace.clone(), name: key.name.clone() };
                Some(Extra { id, found: found(&marks, meta), controllers: meta.controllers.clone() })
            })
            .filter(|extra| match extra.found.owner {
                Owner::Ours => true,
                // Controllers copy labels to what they make (a Service's to its EndpointSlices): it goes with its owner.
                Owner::Copy => extra.controllers.is_empty(),
                Owner::Blueprint(_) | Owner::Release(_) | Owner::Stray { .. } | Owner::Foreign(_) => false,
            })
            .collect();
        extras.sort_by(|one, other| one.id.cmp(&other.id));

        let mut memory = self.memory;
        // That something is gone, or cannot be seen today, is no reason to forget that it was there: the next look shall say so too.
        for (key, state) in &objects {
            if matches!(state, ObjectState::Absent(_) | ObjectState::Unknown(_))
                && let Some((name, remembered)) = memory.objects.remove_entry(&key.to_string())
            {
                renewed.entry(name).or_insert(remembered);
            }
        }
        memory.objects = renewed;
        let live = Live {
            provider,
            cluster: ClusterState::Reached(world),
            objects,
            extras,
            releases,
            queues: BTreeMap::new(),
            namespaces: listed.namespaces.into_keys().collect(),
            unseen: listed.unseen,
        };
        let mut metas = listed.metas;
        // Objects whose labels somebody took away: they are no less ours.
        metas.extend(unlisted);
        Sight { live, memory, metas }
    }

    async fn look_at_releases(
        &self,
        cluster: &Cluster,
        discovery: &Discovery,
        marks: &Marks,
        listed: &Listed,
        renewed: &mut BTreeMap<String, Remembered>,
    ) -> BTreeMap<ReleaseId, ReleaseState> {
        let mut states = BTreeMap::new();
        if let Some(why) = listed.unseen.get("Secret").or_else(|| listed.unseen.get("Helm releases")) {
            return self
                .releases
                .iter()
                .map(|release| (release.id.clone(), ReleaseState::Unknown(why.clone())))
                .collect();
        }
        // A release that the blueprint no longer names is found by our labels on its record.
        let is_record = |meta: &&Meta| meta.labels.get("owner").is_some_and(|owner| owner == "helm");
        let known: BTreeSet<&str> = listed.helm.iter().map(|meta| meta.uid.as_str()).collect();
        let own = listed.metas.values().filter(is_record).filter(|meta| !known.contains(meta.uid.as_str()));
        let mut records = releases_from_secrets(listed.helm.iter().chain(own).map(|meta| ReleaseRecord {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone(),
            labels: meta.labels.clone(),
        }));
        for release in self.releases {
            let record = records.remove(&release.id);
            let mut drifted: BTreeMap<String, Vec<FieldChange>> = BTreeMap::new();
            let mut unknown = None;
            if record.is_some() {
                let checks = stream::iter(&release.objects)
                    .map(|(id, manifest)| self.look_at_rendered(cluster, discovery, marks, listed, id, manifest))
                    .buffer_unordered(64)
                    .collect::<Vec<_>>()
                    .await;
                for (key, outcome) in checks {
                    match outcome {
                        Rendered::Same(remembered) => {
                            renewed.insert(format!("helm {key}"), remembered);
                        }
                        Rendered::Drifted(diff) => {
                            drifted.insert(key.to_string(), diff);
                        }
                        Rendered::Unknown(why) => unknown = Some(why),
                    }
                }
            }
            let state = match unknown {
                Some(why) => ReleaseState::Unknown(why),
                None => ReleaseState::Seen {
                    record,
                    inputs: Some(release.inputs.clone()),
                    drifted,
                    objects: release.objects.len(),
                },
            };
            states.insert(release.id.clone(), state);
        }
        for (id, record) in records {
            if record.blueprint.as_deref() == Some(&self.desired.name) {
                states.insert(
                    id,
                    ReleaseState::Seen { record: Some(record), inputs: None, drifted: BTreeMap::new(), objects: 0 },
                );
            }
        }
        states
    }

    /// Compares one object of a release with what it renders: by memory, else by a dry-run under Helm's name.
    async fn look_at_rendered(
        &self,
        cluster: &Cluster,
        discovery: &Discovery,
        marks: &Marks,
        listed: &Listed,
        id: &ObjectId,
        manifest: &Value,
    ) -> (ObjectKey, Rendered) {
        let key = id.key();
        if let Some(why) = listed.unseen.get(&key.kind.to_string()) {
            return (key, Rendered::Unknown(why.clone()));
        }
        let gone = || {
            Rendered::Drifted(vec![FieldChange {
                path: FieldPath::default(),
                old: None,
                new: Some("(the whole object)".into()),
            }])
        };
        let (Some(resource), Some(meta)) = (discovery.find(&id.gvk), listed.metas.get(&key)) else {
            return (key, gone());
        };
        let content = Digest::of_json(manifest);
        let ignored = rules_for(&self.desired.policy.ignore, id);
        let entry = meta.managers.iter().find(|entry| entry.manager == HELM_MANAGER && entry.subresource.is_empty());
        let now = |entry: &crate::cluster::ManagerEntry| Remembered {
            uid: meta.uid.clone(),
            entry: entry.fingerprint(),
            values: Some(content.clone()),
            left: left_by(&ignored),
        };
        if let Some(entry) = entry
            && self.memory.objects.get(&format!("helm {key}")) == Some(&now(entry))
        {
            return (key, Rendered::Same(now(entry)));
        }
        let question = Question {
            id,
            resource,
            manifest: manifest.clone(),
            manager: HELM_MANAGER,
            seen: Some(meta),
            ignore: ignored.iter().map(|rule| &rule.path).collect(),
            premature: None,
        };
        let outcome = match decide(cluster, marks, question).await.0 {
            ObjectState::Present(_, Verdict::Same) => match entry {
                Some(entry) => Rendered::Same(now(entry)),
                None => Rendered::Same(Remembered {
                    uid: meta.uid.clone(),
                    entry: Digest(String::new()),
                    values: None,
                    left: None,
                }),
            },
            ObjectState::Present(_, Verdict::Differs { diff, .. } | Verdict::Immutable { diff, .. })
                if diff.is_empty() =>
            {
                match entry {
                    // Only ownership would change (Helm 3 records an Update, not an Apply): the content is what was rendered.
                    Some(entry) => Rendered::Same(now(entry)),
                    None => Rendered::Same(Remembered {
                        uid: meta.uid.clone(),
                        entry: Digest(String::new()),
                        values: None,
                        left: None,
                    }),
                }
            }
            ObjectState::Present(_, Verdict::Differs { diff, .. } | Verdict::Immutable { diff, .. }) => {
                Rendered::Drifted(diff)
            }
            ObjectState::Present(_, Verdict::Refused(words)) => {
                Rendered::Unknown(Why(format!("the server refuses to compare {id}: {words}")))
            }
            ObjectState::Absent(_) => gone(),
            ObjectState::Unknown(why) => Rendered::Unknown(why),
        };
        (key, outcome)
    }
}

enum Rendered {
    Same(Remembered),
    Drifted(Vec<FieldChange>),
    Unknown(Why),
}

/// The ApplySet's parent, the Lease's namespace and Helm's records: they carry our labels and are no objects of the blueprint.
fn is_machinery(key: &ObjectKey, meta: &Meta) -> bool {
    meta.labels.contains_key(APPLYSET_ID)
        || (key.kind.kind == "Namespace" && key.name == system_namespace())
        || meta.labels.get("owner").is_some_and(|owner| owner == "helm")
}

fn kinds_of_crds(objects: &[DesiredObject]) -> BTreeSet<GroupKind> {
    objects.iter().filter_map(DesiredObject::brings).collect()
}

/// The ignore rules that concern an object; expired ones were left out when the blueprint was resolved.
pub(crate) fn rules_for<'a>(rules: &'a [IgnoreRule], id: &ObjectId) -> Vec<&'a IgnoreRule> {
    rules
        .iter()
        .filter(|rule| {
            rule.kind == id.gvk.kind
                && rule.namespace.as_ref().is_none_or(|namespace| Some(namespace) == id.namespace.as_ref())
                && rule.name.as_ref().is_none_or(|name| *name == id.name)
        })
        .collect()
}

/// Digest of the fields that rules leave as they are: what was proven under other rules is not proven.
pub(crate) fn left_by(rules: &[&IgnoreRule]) -> Option<Digest> {
    let paths: BTreeSet<&FieldPath> = rules.iter().map(|rule| &rule.path).collect();
    (!paths.is_empty()).then(|| Digest::of_json(&serde_json::json!(paths)))
}

/// The origin as it is written on an object: the path in the blueprint. File and line are left out, because a blank line
/// above must not make a change.
pub(crate) fn origin(object: &DesiredObject) -> String {
    object.origin.path.clone()
}
