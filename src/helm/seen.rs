//! What releases there are, and what is to be done about one. Pure: the records' metadata comes in, a decision goes out.
//!
//! Helm keeps each revision of a release in a Secret `sh.helm.release.v1.<name>.v<revision>`; its labels say all that a plan
//! needs, so one metadata-only LIST of Secrets answers for every release and no record's content (which holds every rendered
//! Secret) is ever read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::desired::DesiredRelease;
use crate::id::{Digest, ReleaseId};

/// Label selector of helm's records among the Secrets.
pub const RECORD_SELECTOR: &str = "owner=helm";
/// Label on a record: the blueprint that the release belongs to.
pub const BLUEPRINT_LABEL: &str = "wbk-infra/blueprint";
/// Label on a record: what went into this revision; see [`digest_label`].
pub const DIGEST_LABEL: &str = "wbk-infra/digest";
/// Field managers under which helm writes objects: the same name in 3 (operation `Update`) and 4 (operation `Apply`).
pub const HELM_FIELD_MANAGERS: &[&str] = &["helm"];
/// Label that helm puts on every object of a release.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGED_BY_VALUE: &str = "Helm";
/// Annotation that helm puts on every object of a release: the release's name.
pub const RELEASE_NAME_ANNOTATION: &str = "meta.helm.sh/release-name";
/// Annotation that helm puts on every object of a release: the release's namespace.
pub const RELEASE_NAMESPACE_ANNOTATION: &str = "meta.helm.sh/release-namespace";

/// Characters of the digest that the label carries. A label's value has at most 63 characters and a SHA-256 has 64; 40 are
/// 160 bits, which nobody finds a collision for.
const LABEL_DIGEST_LENGTH: usize = 40;
/// Changes when the same inputs must count as changed for every release.
const INPUT_FORMAT: u32 = 1;

/// The metadata of one Secret that holds a revision of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRecord {
    /// The Secret's namespace, which is the release's.
    pub namespace: String,
    /// The Secret's name.
    pub name: String,
    /// The Secret's labels.
    pub labels: BTreeMap<String, String>,
}

/// One release, as its records say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSeen {
    /// The latest revision.
    pub revision: u32,
    /// Its status.
    pub status: ReleaseStatus,
    /// What went into it, where this tool made it: the value of [`DIGEST_LABEL`].
    pub digest: Option<String>,
    /// The blueprint that it belongs to, where it belongs to one.
    pub blueprint: Option<String>,
    /// When the record was written last, in seconds since 1970. A pending release that is younger than helm's timeout may
    /// have a helm at work on it.
    pub modified: Option<i64>,
    /// The newest earlier revision that was deployed once.
    pub previous_deployed: Option<u32>,
}

/// Status of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseStatus {
    /// It is what is there.
    Deployed,
    /// It was tried and failed.
    Failed,
    /// A helm is, or was, installing it.
    PendingInstall,
    /// A helm is, or was, upgrading to it.
    PendingUpgrade,
    /// A helm is, or was, rolling back to it.
    PendingRollback,
    /// A later revision took its place.
    Superseded,
    /// A helm is, or was, removing it.
    Uninstalling,
    /// It was removed, and its record kept.
    Uninstalled,
    /// A status this tool does not know, or none.
    Unknown(String),
}

impl ReleaseStatus {
    /// Reads the `status` label.
    pub fn parse(text: &str) -> Self {
        match text {
            "deployed" => Self::Deployed,
            "failed" => Self::Failed,
            "pending-install" => Self::PendingInstall,
            "pending-upgrade" => Self::PendingUpgrade,
            "pending-rollback" => Self::PendingRollback,
            "superseded" => Self::Superseded,
            "uninstalling" => Self::Uninstalling,
            "uninstalled" => Self::Uninstalled,
            other => Self::Unknown(other.to_owned()),
        }
    }

    /// Whether helm refuses any further work on the release, or a removal was begun and not ended.
    pub fn is_unfinished(&self) -> bool {
        match self {
            Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback | Self::Uninstalling => true,
            Self::Deployed | Self::Failed | Self::Superseded | Self::Uninstalled | Self::Unknown(_) => false,
        }
    }
}

impl std::fmt::Display for ReleaseStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deployed => "deployed",
            Self::Failed => "failed",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
            Self::Superseded => "superseded",
            Self::Uninstalling => "uninstalling",
            Self::Uninstalled => "uninstalled",
            Self::Unknown(other) => other,
        })
    }
}

/// The name of the Secret that holds a revision. An executor that forgets a pending revision deletes it by this name, with the
/// record's uid and resourceVersion as preconditions.
pub fn record_name(release: &ReleaseId, revision: u32) -> String {
    format!("sh.helm.release.v1.{}.v{revision}", release.name)
}

/// The value of [`DIGEST_LABEL`]: the first 40 characters of a digest.
pub fn digest_label(digest: &Digest) -> &str {
    &digest.0[..digest.0.len().min(LABEL_DIGEST_LENGTH)]
}

/// The digest of a release: over everything that goes into helm, and nothing that comes out of it, so that a chart that makes
/// a new password at each render is not upgraded by every plan.
///
/// The cluster's version and API versions are not in it: a chart may come out otherwise under another API server, and the plan
/// shows that as differences of the rendered objects. In the digest they would upgrade every release whenever one of them
/// brings a custom resource, and a plan right after an apply would not be empty.
pub fn input_digest(desired: &DesiredRelease, chart: &Digest) -> Digest {
    let DesiredRelease { id, chart: _, values, origin: _ } = desired;
    Digest::of_json(&json!({
        "format": INPUT_FORMAT,
        "namespace": id.namespace,
        "name": id.name,
        "chart": chart.0,
        "values": values,
    }))
}

/// Gathers the releases from the metadata of Secrets. What is not a record of helm's is passed over.
pub fn releases_from_secrets(records: impl IntoIterator<Item = ReleaseRecord>) -> BTreeMap<ReleaseId, ReleaseSeen> {
    let mut revisions: BTreeMap<ReleaseId, BTreeMap<u32, BTreeMap<String, String>>> = BTreeMap::new();
    for ReleaseRecord { namespace, name, labels } in records {
        let Some((release, revision)) = parse_record_name(&name) else { continue };
        if labels.get("owner").map(String::as_str) != Some("helm") {
            continue;
        }
        let id = ReleaseId { namespace, name: release.to_owned() };
        revisions.entry(id).or_default().insert(revision, labels);
    }
    revisions.into_iter().filter_map(|(id, revisions)| Some((id, seen(&revisions)?))).collect()
}

fn parse_record_name(name: &str) -> Option<(&str, u32)> {
    let (release, revision) = name.strip_prefix("sh.helm.release.v1.")?.rsplit_once(".v")?;
    Some((release, revision.parse().ok()?)).filter(|(release, _)| !release.is_empty())
}

fn seen(revisions: &BTreeMap<u32, BTreeMap<String, String>>) -> Option<ReleaseSeen> {
    let status = |labels: &BTreeMap<String, String>| {
        ReleaseStatus::parse(labels.get("status").map(String::as_str).unwrap_or_default())
    };
    let (revision, labels) = revisions.last_key_value()?;
    let newest = |wanted: ReleaseStatus| {
        let earlier = revisions.range(..revision).rev();
        earlier.into_iter().find(|(_, labels)| status(labels) == wanted).map(|(revision, _)| *revision)
    };
    let time = |label: &str| labels.get(label).and_then(|text| text.parse::<i64>().ok());
    Some(ReleaseSeen {
        revision: *revision,
        status: status(labels),
        digest: labels.get(DIGEST_LABEL).cloned(),
        blueprint: labels.get(BLUEPRINT_LABEL).cloned(),
        // Helm copies the labels of the revision before, so that a pending one has the older `modifiedAt` too.
        modified: time("modifiedAt").max(time("createdAt")),
        previous_deployed: newest(ReleaseStatus::Deployed).or_else(|| newest(ReleaseStatus::Superseded)),
    })
}

/// What is to be done about a release. The texts say why, in words for a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum ReleaseChange {
    /// Nothing, as far as records say; drift inside its objects is another question.
    None,
    /// It is not there.
    Install {
        /// Why.
        reason: String,
    },
    /// It is there, from other inputs or from a try that failed.
    Upgrade {
        /// The revision that is there.
        from: u32,
        /// Why.
        reason: String,
    },
    /// A helm died at work on it; this first.
    Repair {
        /// How.
        how: Repair,
        /// Why.
        reason: String,
    },
    /// It is somebody else's, and adopting it is for the blueprint to ask.
    Foreign {
        /// Whose it seems to be.
        reason: String,
    },
}

/// How an unfinished release is made whole. An executor must hold the cluster's lease, so that no helm of ours is at work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Repair {
    /// Delete the record of the pending revision (only it), then install or upgrade again with the same inputs: what the dead
    /// helm made is taken over, hooks run again, nothing is removed meanwhile.
    ForgetThenApply {
        /// The pending revision.
        pending: u32,
    },
    /// Roll back to the last good revision, which removes what only the pending one had, then upgrade.
    RollbackThenUpgrade {
        /// The revision to go back to.
        to: u32,
    },
    /// Uninstall what is there of it, then install.
    UninstallThenInstall,
}

/// Decides what is to be done about a release. `inputs` is [`input_digest`] of `desired`, `blueprint` the name of the blueprint.
pub fn release_change(
    desired: &DesiredRelease,
    inputs: &Digest,
    blueprint: &str,
    seen: Option<&ReleaseSeen>,
) -> ReleaseChange {
    let Some(seen) = seen else {
        return ReleaseChange::Install { reason: "no release of that name is there".into() };
    };
    match &seen.blueprint {
        // With its record kept, an uninstalled release is a name and nothing else.
        _ if seen.status == ReleaseStatus::Uninstalled => {}
        Some(owner) if owner == blueprint => {}
        Some(owner) => {
            return ReleaseChange::Foreign { reason: format!("{} belongs to blueprint {owner}", desired.id) };
        }
        None => {
            let reason = format!("{} was not made by wbk-infra", desired.id);
            return ReleaseChange::Foreign { reason };
        }
    }
    let same = seen.digest.as_deref() == Some(digest_label(inputs));
    let revision = seen.revision;
    let repair = |how, what: &str| ReleaseChange::Repair {
        how,
        reason: format!("revision {revision} is {}: {what}", seen.status),
    };
    match &seen.status {
        ReleaseStatus::Deployed if same => ReleaseChange::None,
        ReleaseStatus::Deployed => ReleaseChange::Upgrade { from: revision, reason: "chart or values changed".into() },
        ReleaseStatus::Failed => {
            ReleaseChange::Upgrade { from: revision, reason: format!("revision {revision} failed") }
        }
        ReleaseStatus::Uninstalled => {
            ReleaseChange::Install { reason: "it was uninstalled, and only its history is there".into() }
        }
        ReleaseStatus::Uninstalling => repair(Repair::UninstallThenInstall, "a removal was begun and not ended"),
        ReleaseStatus::PendingInstall if same => {
            repair(Repair::ForgetThenApply { pending: revision }, "the install of these same inputs was not ended")
        }
        ReleaseStatus::PendingInstall => {
            repair(Repair::UninstallThenInstall, "the install of other inputs was not ended")
        }
        ReleaseStatus::PendingUpgrade | ReleaseStatus::PendingRollback if same => {
            repair(Repair::ForgetThenApply { pending: revision }, "the upgrade to these same inputs was not ended")
        }
        ReleaseStatus::PendingUpgrade | ReleaseStatus::PendingRollback => match seen.previous_deployed {
            Some(to) => repair(Repair::RollbackThenUpgrade { to }, "an upgrade to other inputs was not ended"),
            None => repair(Repair::UninstallThenInstall, "an upgrade was not ended, and no good revision is left"),
        },
        // A latest revision that is superseded lost its successor's record: somebody deleted it. The next upgrade sorts it out.
        ReleaseStatus::Superseded => ReleaseChange::Upgrade {
            from: revision,
            reason: format!("revision {revision} is superseded, and the one after it is gone"),
        },
        ReleaseStatus::Unknown(status) => ReleaseChange::Foreign {
            reason: format!("{} has the status {status:?}, which this tool does not know", desired.id),
        },
    }
}

#[cfg(test)]
#[path = "seen_tests.rs"]
mod tests;
