//! The only reader of the cluster side: one metadata-only LIST for each kind, all at once, then the server's verdict on
//! the few objects that metadata does not decide.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use serde_json::Value;
use wbk_provider_api::{Observed, Why};

use super::{
    Birth, ClusterState, Extra, FieldChange, Live, Memory, ObjectState, ReleaseState, Remembered, SecretValues,
    Verdict, World,
    decide::{Question, chain, decide, found, proof},
};
use crate::{
    cluster::{
        APPLYSET_ID, APPLYSET_KINDS, Cluster, DIGEST_ANNOTATION, Discovery, ErrorKind, FIELD_MANAGER, MANAGED_BY,
        Marks, Meta, Owner, Provenance, Resource, system_namespace,
    },
    desired::{Desired, DesiredObject, IgnoreRule},
    field::FieldPath,
    helm::{ReleaseRecord, releases_from_secrets},
    id::{Digest, GroupKind, Gvk, ObjectId, ObjectKey, ReleaseId},
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
}

/// The manager under which Helm applies.
pub(crate) const HELM_MANAGER: &str = "helm";

/// About how many bytes a manifest has: 0.8 KiB is the mean of 25 common kinds.
const USUAL_MANIFEST: usize = 800;

impl Observer<'_> {
    /// Looks at everything. Never changes anything; what cannot be seen is Unknown with its reason.
    pub async fn observe(self, provider: Observed, reach: Reach<'_>) -> Sight {
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
        let mut listed = list_all(cluster, discovery, &marks, &kinds, !self.releases.is_empty()).await;
        // Kinds that earlier plans used and this blueprint no longer names: the ApplySet's parent lists them.
        let former: BTreeSet<GroupKind> = listed
            .metas
            .values()
            .filter(|meta| meta.labels.get(APPLYSET_ID) == Some(&marks.applyset_id()))
            .filter_map(|meta| meta.annotations.get(APPLYSET_KINDS))
            .flat_map(|kinds| kinds.split(',').map(parse_group_kind))
            .filter(|kind| !kinds.contains_key(kind) && !kind.kind.is_empty())
            .collect();
        if !former.is_empty() {
            let more: BTreeMap<GroupKind, Option<String>> = former.into_iter().map(|kind| (kind, None)).collect();
            listed.merge(list_all(cluster, discovery, &marks, &more, false).await);
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
        let mut kinds: BTreeMap<GroupKind, Option<String>> = BTreeMap::new();
        let always = [Gvk::new("v1", "Namespace"), Gvk::new("v1", "ConfigMap")];
        let ids = self.desired.objects.iter().map(|object| &object.id.gvk);
        let rendered = self.releases.iter().flat_map(|release| release.objects.iter().map(|(id, _)| &id.gvk));
        for gvk in ids.chain(rendered).chain(&always) {
            kinds.entry(gvk.group_kind()).or_insert_with(|| Some(gvk.version.clone()));
        }
        if !self.releases.is_empty() {
            kinds.entry(GroupKind { group: String::new(), kind: "Secret".into() }).or_insert_with(|| Some("v1".into()));
        }
        kinds
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

        let mut objects: BTreeMap<ObjectKey, ObjectState> = BTreeMap::new();
        let mut renewed: BTreeMap<String, Remembered> = BTreeMap::new();
        let mut undecided = Vec::new();
        let digests = parallel::map(&self.desired.objects, |_| USUAL_MANIFEST, DesiredObject::digest);
        for (object, digest) in self.desired.objects.iter().zip(digests) {
            let key = object.id.key();
            if let Some(why) = listed.unseen.get(&key.kind.to_string()) {
                objects.insert(key, ObjectState::Unknown(why.clone()));
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
                objects.insert(key, ObjectState::Absent(birth));
                continue;
            };
            let seen = listed.metas.get(&key);
            let values = self.values.fingerprint(object, &self.memory.salt);
            let ignored = rules_for(&self.desired.policy.ignore, &object.id);
            if let Some(meta) = seen
                && !meta.deleting
                && meta.annotations.get(DIGEST_ANNOTATION) == Some(&digest.0)
                && let Some(remembered) = self.memory.objects.get(&key.to_string())
                && remembered.uid == meta.uid
                && remembered.values == values
                && remembered.left == left_by(&ignored)
                && proof(meta, FIELD_MANAGER).as_ref() == Some(&remembered.entry)
            {
                renewed.insert(key.to_string(), remembered.clone());
                objects.insert(key, ObjectState::Present(found(&marks, meta), Verdict::Same));
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
                objects.insert(key, ObjectState::Absent(birth));
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
        let desired_keys: BTreeSet<ObjectKey> = self.desired.objects.iter().map(|object| object.id.key()).collect();
        let mut extras: Vec<Extra> = listed
            .metas
            .iter()
            .filter(|(key, meta)| {
                !desired_keys.contains(key)
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
                Owner::Blueprint(_) | Owner::Release(_) | Owner::Foreign(_) => false,
            })
            .collect();
        extras.sort_by(|one, other| one.id.cmp(&other.id));

        let mut memory = self.memory;
        memory.objects = renewed;
        let live = Live {
            provider,
            cluster: ClusterState::Reached(world),
            objects,
            extras,
            releases,
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

/// What the LISTs answered.
#[derive(Default)]
struct Listed {
    metas: BTreeMap<ObjectKey, Meta>,
    helm: Vec<Meta>,
    /// Namespaces that exist, with their uids.
    namespaces: BTreeMap<String, String>,
    versions: BTreeMap<GroupKind, Gvk>,
    unseen: BTreeMap<String, Why>,
}

impl Listed {
    fn merge(&mut self, other: Self) {
        let Self { metas, helm, namespaces, versions, unseen } = other;
        self.metas.extend(metas);
        self.helm.extend(helm);
        self.namespaces.extend(namespaces);
        self.versions.extend(versions);
        self.unseen.extend(unseen);
    }
}

async fn list_all(
    cluster: &Cluster,
    discovery: &Discovery,
    marks: &Marks,
    kinds: &BTreeMap<GroupKind, Option<String>>,
    with_releases: bool,
) -> Listed {
    let mut jobs: Vec<(GroupKind, &Resource, String)> = Vec::new();
    let mut listed = Listed::default();
    for (kind, version) in kinds {
        let resource = version
            .as_ref()
            .and_then(|version| {
                discovery.find(&Gvk { group: kind.group.clone(), version: version.clone(), kind: kind.kind.clone() })
            })
            .or_else(|| discovery.preferred(kind));
        let Some(resource) = resource else {
            if discovery.stale.iter().any(|stale| stale.starts_with(&format!("{}/", kind.group))) {
                listed
                    .unseen
                    .insert(kind.to_string(), Why(format!("the API service of {} does not answer", kind.group)));
            }
            continue;
        };
        listed.versions.insert(kind.clone(), resource.gvk.clone());
        let selector = match (kind.group.as_str(), kind.kind.as_str(), with_releases) {
            // All of them: they are few, and tell which namespaces exist and which cluster this is.
            ("", "Namespace", _) => String::new(),
            (_, _, true) => format!("app.kubernetes.io/managed-by in ({MANAGED_BY},Helm)"),
            (_, _, false) => marks.selector(),
        };
        jobs.push((kind.clone(), resource, selector));
    }
    let secret = discovery.find(&Gvk::new("v1", "Secret")).filter(|_| with_releases);
    let releases = async {
        match secret {
            Some(secret) => Some(cluster.list_metadata(secret, None, "owner=helm").await),
            None => None,
        }
    };
    let lists = futures::future::join_all(jobs.iter().map(|(kind, resource, selector)| async move {
        (kind, cluster.list_metadata(resource, None, selector).await)
    }));
    let (answers, releases) = futures::join!(lists, releases);
    for (kind, answer) in answers {
        match answer {
            Ok(metas) => {
                for meta in metas {
                    if kind.group.is_empty() && kind.kind == "Namespace" {
                        listed.namespaces.insert(meta.name.clone(), meta.uid.clone());
                    }
                    let key =
                        ObjectKey { kind: kind.clone(), namespace: meta.namespace.clone(), name: meta.name.clone() };
                    listed.metas.insert(key, meta);
                }
            }
            Err(error) if error.kind == ErrorKind::NotFound => {} // The kind went away between discovery and LIST.
            Err(error) => {
                listed.unseen.insert(kind.to_string(), Why(chain(&error)));
            }
        }
    }
    match releases {
        Some(Ok(metas)) => listed.helm = metas,
        Some(Err(error)) => {
            listed.unseen.insert("Helm releases".into(), Why(chain(&error)));
        }
        None => {}
    }
    listed
}

/// `Deployment.apps` -> group and kind.
fn parse_group_kind(text: &str) -> GroupKind {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    GroupKind { group: group.to_owned(), kind: kind.to_owned() }
}

/// The ApplySet's parent, the Lease's namespace and Helm's records: they carry our labels and are no objects of the blueprint.
fn is_machinery(key: &ObjectKey, meta: &Meta) -> bool {
    meta.labels.contains_key(APPLYSET_ID)
        || (key.kind.kind == "Namespace" && key.name == system_namespace())
        || meta.labels.get("owner").is_some_and(|owner| owner == "helm")
}

fn kinds_of_crds(objects: &[DesiredObject]) -> BTreeSet<GroupKind> {
    objects
        .iter()
        .filter(|object| object.id.gvk.kind == "CustomResourceDefinition")
        .filter_map(|object| {
            let text = |pointer: &str| object.manifest.pointer(pointer)?.as_str().map(str::to_owned);
            Some(GroupKind { group: text("/spec/group")?, kind: text("/spec/names/kind")? })
        })
        .collect()
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
