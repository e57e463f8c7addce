//! The LISTs of a look: metadata alone, one for each kind, all at once. Those whose path needs no discovery may start before it
//! has answered.

use std::collections::BTreeMap;

use tokio::task::JoinHandle;
use wbk_provider_api::Why;

use super::decide::chain;
use crate::{
    cluster::{Cluster, ClusterError, Discovery, ErrorKind, MANAGED_BY, Marks, Meta, Resource, well_known},
    desired::Desired,
    id::{GroupKind, Gvk, ObjectKey},
};

/// What the LISTs answered.
#[derive(Default)]
pub(super) struct Listed {
    pub metas: BTreeMap<ObjectKey, Meta>,
    pub helm: Vec<Meta>,
    /// Namespaces that exist, with their uids.
    pub namespaces: BTreeMap<String, String>,
    pub versions: BTreeMap<GroupKind, Gvk>,
    pub unseen: BTreeMap<String, Why>,
}

impl Listed {
    pub(super) fn merge(&mut self, other: Self) {
        let Self { metas, helm, namespaces, versions, unseen } = other;
        self.metas.extend(metas);
        self.helm.extend(helm);
        self.namespaces.extend(namespaces);
        self.versions.extend(versions);
        self.unseen.extend(unseen);
    }
}

/// Which objects of a kind are asked for.
pub(super) struct Selection {
    selector: String,
    with_releases: bool,
}

impl Selection {
    pub(super) fn new(marks: &Marks, with_releases: bool) -> Self {
        let selector = match with_releases {
            true => format!("app.kubernetes.io/managed-by in ({MANAGED_BY},Helm)"),
            false => marks.selector(),
        };
        Self { selector, with_releases }
    }

    fn of(&self, kind: &GroupKind) -> &str {
        match (kind.group.as_str(), kind.kind.as_str()) {
            // All of them: they are few, and tell which namespaces exist and which cluster this is.
            ("", "Namespace") => "",
            (_, _) => &self.selector,
        }
    }
}

/// Every kind that is to be listed for a desired state, with the version it uses.
pub(super) fn kinds_to_list<'a>(
    desired: &'a Desired,
    rendered: impl Iterator<Item = &'a Gvk>,
) -> BTreeMap<GroupKind, Option<String>> {
    let mut kinds: BTreeMap<GroupKind, Option<String>> = BTreeMap::new();
    let always = [Gvk::new("v1", "Namespace"), Gvk::new("v1", "ConfigMap")];
    let records = (!desired.releases.is_empty()).then(|| Gvk::new("v1", "Secret"));
    let mut last: Option<&Gvk> = None;
    for gvk in desired.objects.iter().map(|object| &object.id.gvk).chain(rendered) {
        // Objects are sorted by kind.
        if last != Some(gvk) {
            kinds.entry(gvk.group_kind()).or_insert_with(|| Some(gvk.version.clone()));
            last = Some(gvk);
        }
    }
    for gvk in always.into_iter().chain(records) {
        kinds.entry(gvk.group_kind()).or_insert(Some(gvk.version));
    }
    kinds
}

type Answer = Result<Vec<Meta>, ClusterError>;

/// LISTs of Kubernetes' own kinds that were sent before the server had said which kinds it has. An answer is used where
/// discovery then says that this is the path; a server without the kind answers 404, which nobody hears. What is dropped
/// unused is cancelled.
#[derive(Default)]
pub struct EarlyLists(BTreeMap<GroupKind, Early>);

struct Early {
    resource: Resource,
    selector: String,
    answer: JoinHandle<Answer>,
}

impl Drop for Early {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

impl EarlyLists {
    /// Sends them.
    pub fn start(cluster: &Cluster, desired: &Desired) -> Self {
        let selection = Selection::new(&Marks::new(&desired.name), !desired.releases.is_empty());
        let early = |(kind, version): (GroupKind, Option<String>)| {
            let gvk = Gvk { group: kind.group.clone(), version: version?, kind: kind.kind.clone() };
            let resource = well_known(&gvk)?;
            let selector = selection.of(&kind).to_owned();
            let (cluster, path, asked) = (cluster.clone(), resource.clone(), selector.clone());
            let answer = tokio::spawn(async move { cluster.list_metadata(&path, None, &asked).await });
            Some((kind, Early { resource, selector, answer }))
        };
        Self(kinds_to_list(desired, std::iter::empty()).into_iter().filter_map(early).collect())
    }

    fn take(&mut self, kind: &GroupKind, resource: &Resource, selector: &str) -> Option<Early> {
        self.0.remove(kind).filter(|early| early.resource == *resource && early.selector == selector)
    }
}

impl Early {
    /// The answer; `None` where the task was lost.
    async fn answer(mut self) -> Option<Answer> {
        (&mut self.answer).await.ok() // A task that panicked or was cancelled: the LIST is sent again.
    }
}

pub(super) async fn list_all(
    (cluster, discovery): (&Cluster, &Discovery),
    selection: &Selection,
    kinds: &BTreeMap<GroupKind, Option<String>>,
    mut early: EarlyLists,
) -> Listed {
    let mut jobs: Vec<(GroupKind, &Resource, Option<Early>)> = Vec::new();
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
        let sent = early.take(kind, resource, selection.of(kind));
        jobs.push((kind.clone(), resource, sent));
    }
    drop(early);
    let secret = discovery.find(&Gvk::new("v1", "Secret")).filter(|_| selection.with_releases);
    let releases = async {
        match secret {
            Some(secret) => Some(cluster.list_metadata(secret, None, "owner=helm").await),
            None => None,
        }
    };
    let lists = futures::future::join_all(jobs.into_iter().map(|(kind, resource, sent)| async move {
        let answer = match sent {
            Some(sent) => sent.answer().await,
            None => None,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => cluster.list_metadata(resource, None, selection.of(&kind)).await,
        };
        (kind, answer)
    }));
    let (answers, releases) = futures::join!(lists, releases);
    let mut metas = Vec::new();
    for (kind, answer) in answers {
        match answer {
            Ok(found) => {
                for meta in found {
                    if kind.group.is_empty() && kind.kind == "Namespace" {
                        listed.namespaces.insert(meta.name.clone(), meta.uid.clone());
                    }
                    let key =
                        ObjectKey { kind: kind.clone(), namespace: meta.namespace.clone(), name: meta.name.clone() };
                    metas.push((key, meta));
                }
            }
            Err(error) if error.kind == ErrorKind::NotFound => {} // The kind went away between discovery and LIST.
            Err(error) => {
                listed.unseen.insert(kind.to_string(), Why(chain(&error)));
            }
        }
    }
    // The server's order is nearly ours: cheaper than to insert each.
    listed.metas = metas.into_iter().collect();
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
pub(super) fn parse_group_kind(text: &str) -> GroupKind {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    GroupKind { group: group.to_owned(), kind: kind.to_owned() }
}
