//! `apply` of a saved plan, and what saving one needs.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::session::Session;
use crate::{
    cli::{
        args::{CheckArgs, DecisionArgs, Output},
        environment::Environment,
        failure::{Exit, Failure},
        show::ApplyReport,
        situation::{Purpose, read},
    },
    id::Digest,
    live::ClusterState,
    plan::SavedPlan,
};

impl Session<'_> {
    pub(super) async fn apply_saved(
        &self,
        saved: SavedPlan,
        checks: &CheckArgs,
        verify: bool,
    ) -> Result<Exit, Failure> {
        let marker = applied_mark(self.environment, &saved.digest);
        if marker.exists() {
            return Err(Failure::hinted(
                anyhow::anyhow!("this plan was applied before"),
                "a plan is applied once; plan again",
            ));
        }
        let desired = saved.as_desired();
        let situation =
            self.see(&desired, if saved.plan.destroys { Purpose::Destroy } else { Purpose::Apply }, None).await?;
        if let (Some(world), ClusterState::Reached(now)) = (&saved.plan.world, &situation.sight.live.cluster)
            && world.uid != now.uid
        {
            let error = anyhow::anyhow!(
                "the plan was made for the cluster with uid {}, and the context {} leads to {}",
                world.uid,
                now.context,
                now.uid
            );
            return Err(Failure::hinted(error, "use the context that the plan was made for, or plan again"));
        }
        let made = saved.plan.clone();
        if self.global.output == Output::Human {
            self.show_plan(&made, situation.simulated(&desired))?;
        }
        if let Some(folder) = marker.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        }
        std::fs::write(&marker, "").with_context(|| format!("mark the plan as applied in {}", marker.display()))?;
        let digest = saved.digest.clone();
        let simulated = situation.simulated(&desired);
        let execution = self.carry_out(&made, &digest, Some(digest.clone()), situation, saved.adopt.clone()).await?;
        let report = ApplyReport::new(&made, simulated, &execution);
        if let Some(exit) = self.report_execution(&execution) {
            self.show_report(&report)?;
            return Ok(exit);
        }
        let files: Vec<std::path::PathBuf> = saved.blueprint_files.iter().map(|(name, _)| name.into()).collect();
        let unchanged = blueprint_digests(&files).is_ok_and(|now| now == saved.blueprint_files);
        if made.destroys {
            self.show_report(&report)?;
            return Ok(Exit::Done);
        }
        if !unchanged || files.is_empty() {
            anstream::eprintln!(
                "the blueprint's files are not those the plan was made from: not planned again and not verified"
            );
            self.show_report(&report)?;
            return Ok(Exit::Done);
        }
        let desired = read(&files, self.environment)?;
        self.finish(&desired, &DecisionArgs::default(), (checks, verify), report).await
    }
}

/// The file that says that a saved plan was applied from this machine.
pub(super) fn applied_mark(environment: &Environment, digest: &Digest) -> PathBuf {
    environment.state.join("applied-plans").join(&digest.0)
}

/// The saved plan in a file, where it is one.
pub(super) fn saved_plan(path: &Path) -> Result<Option<SavedPlan>, Failure> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    // A plan is JSON with a mark; a blueprint may be JSON too, but has no such mark.
    let looks_like_one = bytes.first() == Some(&b'{')
        && String::from_utf8_lossy(&bytes[..bytes.len().min(100_000)]).contains("wbk-infra-plan")
        || String::from_utf8_lossy(&bytes).contains("\"kind\": \"wbk-infra-plan\"");
    if !looks_like_one {
        return Ok(None);
    }
    let saved = SavedPlan::from_bytes(&bytes).with_context(|| format!("use the plan {}", path.display()))?;
    Ok(Some(saved))
}

/// Names and digests of a blueprint's files.
pub(super) fn blueprint_digests(files: &[std::path::PathBuf]) -> Result<Vec<(String, Digest)>, Failure> {
    files
        .iter()
        .map(|file| {
            let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            Ok((file.display().to_string(), Digest::of_bytes(&bytes)))
        })
        .collect()
}
