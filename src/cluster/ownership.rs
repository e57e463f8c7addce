//! Whose objects are whose: the marks that this tool writes on everything it makes, and reads back.
//!
//! The ApplySet labels and annotations are those of KEP-3659, so that `kubectl` and other tools see the set too.

use base64::Engine as _;
use serde_json::{Value, json};

use super::Meta;
use crate::id::{Digest, ReleaseId};

/// The one field manager of this tool.
pub const FIELD_MANAGER: &str = "wbk-infra";
/// Says which tool manages an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// This tool's value of it.
pub const MANAGED_BY: &str = "wbk-infra";
/// Helm's value of it.
pub const HELM_MANAGED_BY: &str = "Helm";
/// Says which blueprint an object belongs to.
pub const BLUEPRINT_LABEL: &str = "wbk-infra/blueprint";
/// The digest of the desired object, applied with it.
pub const DIGEST_ANNOTATION: &str = "wbk-infra/digest";
/// Where in the blueprint the object comes from.
pub const ORIGIN_ANNOTATION: &str = "wbk-infra/origin";
/// Names the ApplySet that a member is part of.
pub const APPLYSET_PART_OF: &str = "applyset.kubernetes.io/part-of";
/// On the parent: the ApplySet's id.
pub const APPLYSET_ID: &str = "applyset.kubernetes.io/id";
/// On the parent: the kinds that members have.
pub const APPLYSET_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// On an object that was there before this tool took it over: it is given back, not deleted.
pub const ADOPTED_ANNOTATION: &str = "wbk-infra/adopted";
/// On the parent: the tool and its version.
pub const APPLYSET_TOOLING: &str = "applyset.kubernetes.io/tooling";

/// The namespace that holds the ApplySet's parent and the Lease.
pub fn system_namespace() -> &'static str {
    "wbk-infra"
}

/// The marks of one blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// The blueprint's name.
    pub blueprint: String,
}

/// Where an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// This tool made it.
    Made,
    /// It was there before and was adopted.
    Adopted,
}

impl Provenance {
    /// As an object's annotations say.
    pub fn of(meta: &Meta) -> Self {
        if meta.annotations.contains_key(ADOPTED_ANNOTATION) { Self::Adopted } else { Self::Made }
    }
}

/// Who an object belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This blueprint: our labels are on it and our manager applied it.
    Ours,
    /// Another blueprint of this tool.
    Blueprint(String),
    /// A Helm release.
    Release(ReleaseId),
    /// It carries our labels, yet our manager never applied it: a copy.
    Copy,
    /// It carries another blueprint's labels, yet our manager never applied it.
    Stray {
        /// The blueprint.
        labelled: String,
        /// The managers that wrote it.
        managers: Vec<String>,
    },
    /// Somebody else: the managers that wrote it.
    Foreign(Vec<String>),
}

impl Marks {
    /// The marks of a blueprint.
    pub fn new(blueprint: impl Into<String>) -> Self {
        Self { blueprint: blueprint.into() }
    }

    /// The name of the ApplySet's parent and of the Lease.
    pub fn parent_name(&self) -> String {
        format!("blueprint-{}", self.blueprint)
    }

    /// The ApplySet's id as KEP-3659 computes it from the parent's name, namespace, kind and group.
    pub fn applyset_id(&self) -> String {
        use sha2::Digest as _;
        let unhashed = format!("{}.{}.ConfigMap.", self.parent_name(), system_namespace());
        let hash = sha2::Sha256::digest(unhashed.as_bytes());
        format!("applyset-{}-v1", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash))
    }

    /// The label selector that finds everything of this blueprint.
    pub fn selector(&self) -> String {
        format!("{BLUEPRINT_LABEL}={}", self.blueprint)
    }

    /// The manifest with our marks: what is sent to the server. `digest` is that of the unmarked manifest.
    pub fn mark(&self, manifest: &Value, digest: &Digest, origin: &str, provenance: Provenance) -> Value {
        let mut marked = manifest.clone();
        let metadata = &mut marked["metadata"];
        let adopted =
            (provenance == Provenance::Adopted).then(|| ("annotations", ADOPTED_ANNOTATION, "true".to_owned()));
        let always = [
            ("labels", MANAGED_BY_LABEL, MANAGED_BY.to_owned()),
            ("labels", BLUEPRINT_LABEL, self.blueprint.clone()),
            ("labels", APPLYSET_PART_OF, self.applyset_id()),
            ("annotations", DIGEST_ANNOTATION, digest.0.clone()),
            ("annotations", ORIGIN_ANNOTATION, origin.to_owned()),
        ];
        for (map, key, value) in always.into_iter().chain(adopted) {
            if !metadata[map].is_object() {
                metadata[map] = json!({});
            }
            metadata[map][key] = value.into();
        }
        marked
    }

    /// Whose object this is.
    pub fn owner(&self, meta: &Meta) -> Owner {
        let label = |key: &str| meta.labels.get(key).map(String::as_str);
        if label(MANAGED_BY_LABEL) == Some(HELM_MANAGED_BY)
            && let (Some(name), Some(namespace)) = (
                meta.annotations.get("meta.helm.sh/release-name"),
                meta.annotations.get("meta.helm.sh/release-namespace"),
            )
        {
            return Owner::Release(ReleaseId { namespace: namespace.clone(), name: name.clone() });
        }
        let applied = meta.applied_by(FIELD_MANAGER).is_some();
        match label(BLUEPRINT_LABEL) {
            Some(blueprint) if applied && blueprint == self.blueprint => Owner::Ours,
            Some(blueprint) if blueprint == self.blueprint => Owner::Copy,
            Some(blueprint) if applied => Owner::Blueprint(blueprint.to_owned()),
            // Its labels were stripped; our manager's fields still say that this tool applied it.
            None if applied => Owner::Ours,
            labelled => {
                let mut managers: Vec<String> = meta.managers.iter().map(|entry| entry.manager.clone()).collect();
                managers.sort();
                managers.dedup();
                match labelled {
                    Some(labelled) => Owner::Stray { labelled: labelled.to_owned(), managers },
                    None => Owner::Foreign(managers),
                }
            }
        }
    }
}
