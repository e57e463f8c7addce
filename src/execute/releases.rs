//! The steps about Helm releases.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use http::Method;
use wbk_provider_api::LeftBehind;

use super::{
    actuator::ReleaseRunner,
    error::{Because, StepError},
    waiting::Wait as ObjectWait,
};
use crate::{
    cluster::{Cluster, Discovery, ErrorKind},
    helm::{
        ClusterAccess, Conflicts, Helm, HelmError, InstallOptions, Ownership, Repair, RollbackOptions, Wait,
        record_name,
    },
    id::{ObjectId, ReleaseId},
    plan::{Action, Expect, ReleaseAction, ReleaseStep, Step, Target},
};

/// Runs releases with a helm program.
pub struct HelmRunner {
    /// The program.
    pub helm: Helm,
    /// A kubeconfig file that reaches the cluster; kept until this is dropped.
    pub access: ClusterAccess,
    /// For records of a helm that died, and for the readiness of what a release brings.
    pub cluster: Cluster,
    /// The kinds there are.
    pub discovery: Discovery,
    /// The blueprint's name.
    pub blueprint: String,
    /// Releases that are adopted with their objects.
    pub adopt: std::collections::BTreeSet<String>,
    /// Objects that each release renders; they are waited for.
    pub objects: std::collections::BTreeMap<ReleaseId, Vec<ObjectId>>,
    /// The folder that relative chart paths start from.
    pub folder: PathBuf,
}

fn failed(error: HelmError, left: LeftBehind) -> StepError {
    let hint = error.hint().map(|hint| hint.to_string());
    StepError { attempted: error.to_string(), left, hint, source: error_source(error) }
}

fn error_source(error: HelmError) -> Option<Box<dyn std::error::Error + Send + Sync>> {
    // The error's own text is `attempted`; its causes follow.
    std::error::Error::source(&error)
        .map(|source| Box::new(Because(source.to_string())) as Box<dyn std::error::Error + Send + Sync>)
}

impl HelmRunner {
    async fn apply(
        &self,
        id: &ReleaseId,
        step: &Step,
        release: &ReleaseStep,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), StepError> {
        let (Some(desired), Some(inputs)) = (&release.desired, &release.inputs) else {
            return Err(StepError::stale(&step.target.to_string(), "the plan does not say what to install"));
        };
        say("the chart".into());
        let chart = self.helm.chart(&desired.chart).await.map_err(|error| failed(error, LeftBehind::Nothing))?;
        if crate::helm::input_digest(desired, &chart.digest) != *inputs {
            return Err(StepError::stale(&step.target.to_string(), "its chart changed since"));
        }
        let adopting = self.adopt.contains(&step.target.to_string());
        let options = InstallOptions {
            blueprint: &self.blueprint,
            inputs,
            wait: Wait::HooksOnly,
            // A release's objects are the chart's: what others changed in them is drift, and the plan showed it.
            conflicts: Conflicts::Take,
            ownership: if adopting { Ownership::Adopt } else { Ownership::Respect },
            deadline: Duration::from_secs(step.deadline_seconds),
        };
        say(format!("helm {}", if step.action == Action::Create { "install" } else { "upgrade" }));
        self.helm
            .install_or_upgrade(&self.access, id, &chart, &desired.values, options)
            .await
            .map_err(|error| failed(error, LeftBehind::Partial))?;
        self.wait(id, step, say).await
    }

    /// Waits for what the release brought, with the same words as for our own objects.
    async fn wait(&self, id: &ReleaseId, step: &Step, say: &(dyn Fn(String) + Send + Sync)) -> Result<(), StepError> {
        let deadline = std::time::Instant::now() + Duration::from_secs(step.deadline_seconds);
        for object in self.objects.get(id).into_iter().flatten() {
            let Some(resource) = self.discovery.find(&object.gvk) else { continue };
            let say_object = |what: String| say(format!("{object}: {what}"));
            let wait = ObjectWait {
                cluster: &self.cluster,
                discovery: &self.discovery,
                resource,
                id: object,
                deadline,
                say: &say_object,
            };
            wait.until_ready().await?;
        }
        Ok(())
    }

    /// The newest revision is the one that the plan saw.
    async fn expected(&self, id: &ReleaseId, step: &Step) -> Result<(), StepError> {
        let found = self.helm.status(&self.access, id).await.map_err(|error| failed(error, LeftBehind::Nothing))?;
        let revision = found.map_or(0, |found| found.revision);
        match &step.expect {
            Expect::Revision(expected) if *expected == revision => Ok(()),
            Expect::Revision(expected) => Err(StepError::stale(
                &step.target.to_string(),
                format!("it is at revision {revision}, and the plan saw {expected} (0: none)"),
            )),
            Expect::Absent | Expect::New | Expect::Object { .. } | Expect::Provider => Ok(()),
        }
    }

    /// Deletes the record of a revision that a dead helm left pending.
    async fn forget(&self, id: &ReleaseId, revision: u32) -> Result<(), StepError> {
        let path = format!("/api/v1/namespaces/{}/secrets/{}", id.namespace, record_name(id, revision));
        match self.cluster.request(Method::DELETE, &path, None, "forget a revision that was cut off").await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl ReleaseRunner for HelmRunner {
    async fn run(
        &self,
        step: &Step,
        release: &ReleaseStep,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), StepError> {
        let Target::Release(id) = &step.target else {
            return Err(StepError::stale(&step.target.to_string(), "it is no release"));
        };
        self.expected(id, step).await?;
        let deadline = Duration::from_secs(step.deadline_seconds);
        let uninstall = async || {
            say("helm uninstall".to_owned());
            self.helm.uninstall(&self.access, id, deadline).await.map_err(|error| failed(error, LeftBehind::Partial))
        };
        match release.action {
            ReleaseAction::Install | ReleaseAction::Upgrade => self.apply(id, step, release, say).await,
            ReleaseAction::Uninstall => uninstall().await.map(drop),
            ReleaseAction::Repair(Repair::ForgetThenApply { pending }) => {
                self.forget(id, pending).await?;
                self.apply(id, step, release, say).await
            }
            ReleaseAction::Repair(Repair::RollbackThenUpgrade { to }) => {
                let options = RollbackOptions { to, conflicts: Conflicts::Take, deadline };
                say(format!("helm rollback to revision {to}"));
                self.helm
                    .rollback(&self.access, id, options)
                    .await
                    .map_err(|error| failed(error, LeftBehind::Partial))?;
                self.apply(id, step, release, say).await
            }
            ReleaseAction::Repair(Repair::UninstallThenInstall) => {
                uninstall().await?;
                self.apply(id, step, release, say).await
            }
        }
    }
}
