//! A plan as a file: versioned, canonical, hashed. Reading and writing bytes is the caller's; this is the format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Payload, Plan, Target};
use crate::{
    desired::{ConflictChoice, Desired, DesiredCost, DesiredLaunch, DesiredObject, Origin, Policy, Promises},
    id::Digest,
};

/// The format this program writes, and the only one it reads.
pub const PLAN_FORMAT: u32 = 1;

/// A plan with what guards it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SavedPlan {
    /// Marks the file for people and tools.
    pub kind: String,
    /// Format of the file.
    pub format: u32,
    /// Digest of the plan in its canonical form: it names the plan and shows every edit.
    pub digest: Digest,
    /// Names and digests of the blueprint's files: after the plan is applied they are planned again if they are the same.
    pub blueprint_files: Vec<(String, Digest)>,
    /// What was adopted, as printed.
    pub adopt: Vec<String>,
    /// How many plans that say the same were applied before this one was made: the world came back to what it was, and this
    /// one is another plan.
    #[serde(default, skip_serializing_if = "is_first")]
    pub repeats: u32,
    /// The plan.
    pub plan: Plan,
}

/// A plan file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// Not a plan.
    #[error("this is no plan file of wbk-infra")]
    NotAPlan(#[source] serde_json::Error),
    /// Another version of the program wrote it.
    #[error("the plan file has format {found}, and this program reads format {PLAN_FORMAT}")]
    OtherFormat {
        /// The format found.
        found: u64,
    },
    /// Its content is not what was written.
    #[error("the plan file was edited or damaged: its digest is not that of its plan")]
    Edited,
}

impl SavedPlan {
    /// Seals a plan.
    pub fn new(plan: Plan, blueprint_files: &[(String, Digest)], adopt: Vec<String>) -> Self {
        let blueprint_files = blueprint_files.to_vec();
        let digest = digest(&plan, &blueprint_files, &adopt, 0);
        let kind = "wbk-infra-plan".into();
        Self { kind, format: PLAN_FORMAT, digest, blueprint_files, adopt, repeats: 0, plan }
    }

    /// The first of the plans that say the same which was not applied yet.
    #[must_use]
    pub fn not_yet_applied(mut self, was_applied: &dyn Fn(&Digest) -> bool) -> Self {
        while was_applied(&self.digest) {
            self.repeats += 1;
            self.digest = digest(&self.plan, &self.blueprint_files, &self.adopt, self.repeats);
        }
        self
    }

    /// What the plan's steps want, as far as a plan knows it: enough to look at the world and to follow the references of
    /// secrets; not enough to plan again.
    pub fn as_desired(&self) -> Desired {
        let mut objects = Vec::new();
        let mut releases = Vec::new();
        let mut service = None;
        for step in &self.plan.steps {
            match (&step.payload, &step.target) {
                (Payload::Object(object), Target::Object(id)) if !object.manifest.is_null() => {
                    objects.push(DesiredObject {
                        id: id.clone(),
                        manifest: object.manifest.clone().into(),
                        secrets: object.secrets.clone(),
                        origin: Origin { path: object.origin.clone(), at: step.at.clone() },
                    })
                }
                (Payload::Release(release), _) => releases.extend(release.desired.clone()),
                (Payload::Queue(queue), _) => service = Some(queue.service.clone()),
                (Payload::Object(_) | Payload::Provider(_), _) => {}
            }
        }
        Desired {
            name: self.plan.blueprint.clone(),
            wanted: self.plan.wanted.clone(),
            objects,
            releases,
            gpus: BTreeMap::new(),
            // For its key: what the steps write is in them.
            launch: service.map(|service| DesiredLaunch {
                service,
                agents: Vec::new(),
                queues: Vec::new(),
                notices: Vec::new(),
            }),
            promises: Promises::default(),
            policy: Policy { max_deletes: 0, protect: Vec::new(), ignore: Vec::new(), conflicts: ConflictChoice::Stop },
            cost: DesiredCost::default(),
        }
    }

    /// The file's bytes: the same plan gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).expect("a plan holds nothing that JSON cannot");
        let mut text = serde_json::to_string_pretty(&value).expect("a JSON value prints");
        text.push('\n');
        text.into_bytes()
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// It is no plan, of another format, or was edited.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanFileError> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(PlanFileError::NotAPlan)?;
        if let Some(found) = value["format"].as_u64()
            && value["kind"] == "wbk-infra-plan"
            && found != u64::from(PLAN_FORMAT)
        {
            return Err(PlanFileError::OtherFormat { found });
        }
        let saved: Self = serde_json::from_value(value).map_err(PlanFileError::NotAPlan)?;
        if saved.digest == digest(&saved.plan, &saved.blueprint_files, &saved.adopt, saved.repeats) {
            Ok(saved)
        } else {
            Err(PlanFileError::Edited)
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_first(repeats: &u32) -> bool {
    *repeats == 0
}

fn digest(plan: &Plan, blueprint_files: &[(String, Digest)], adopt: &[String], repeats: u32) -> Digest {
    let mut value = serde_json::json!([plan, blueprint_files, adopt]);
    if let (false, Some(parts)) = (is_first(&repeats), value.as_array_mut()) {
        parts.push(repeats.into());
    }
    Digest::of_json(&value)
}
