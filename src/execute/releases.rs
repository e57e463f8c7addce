//! The steps about Helm releases.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use http::Method;
use wbk_provider_api::{LeftBehind, Provider, Wanted};

use super::{
    actuator::ReleaseRunner,
    error::{Because, StepError},
    orphans::RunFolder,
    waiting::Wait as ObjectWait,
};
use crate::{
    cluster::{Cluster, Discovery, ErrorKind},
    helm::{
        ClusterAccess, Conflicts, Helm, HelmError, InstallOptions, Ownership, Repair, RollbackOptions, Wait,
        record_name,
    },
    id::{ObjectId, ReleaseId},
    plan::{Action, Expect, Plan, ReleaseAction, ReleaseStep, Step, Target},
};

/// Runs releases with a helm program.
pub struct HelmRunner<'a> {
    helm: Helm,
    provider: &'a dyn Provider,
    wanted: Wanted,
    blueprint: String,
    adopt: BTreeSet<String>,
    objects: BTreeMap<ReleaseId, Vec<ObjectId>>,
    /// Below it this process makes a folder for its kubeconfig.
    folder: PathBuf,
    kubeconfig: tokio::sync::OnceCell<KubeconfigFile>,
}

/// A kubeconfig file for helm, readable by this user alone, removed when dropped.
struct KubeconfigFile {
    _folder: RunFolder,
    access: ClusterAccess,
}

/// What the runner reaches the cluster with.
pub(super) struct Ground<'a> {
    pub cluster: &'a Cluster,
    pub discovery: &'a Discovery,
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

impl<'a> HelmRunner<'a> {
    /// Makes one. `objects` are what each release renders: they are waited for. `adopt` names what is taken over.
    ///
    /// `folder` is where [`super::end_orphans`] looks after a kill.
    pub fn new(
        (helm, folder): (Helm, PathBuf),
        provider: &'a dyn Provider,
        plan: &Plan,
        adopt: BTreeSet<String>,
        objects: BTreeMap<ReleaseId, Vec<ObjectId>>,
    ) -> Self {
        let (wanted, blueprint) = (plan.wanted.clone(), plan.blueprint.clone());
        Self { helm, provider, wanted, blueprint, adopt, objects, folder, kubeconfig: tokio::sync::OnceCell::new() }
    }

    /// A private kubeconfig file; the cluster may only have come up on the way.
    async fn access(&self) -> Result<&ClusterAccess, StepError> {
        let made = self.kubeconfig.get_or_try_init(async || {
            let access = self.provider.access(&self.wanted).await?;
            let failed = |source: std::io::Error| StepError {
                attempted: format!("write a private kubeconfig for helm below {}", self.folder.display()),
                left: LeftBehind::Nothing,
                hint: Some("free some space there, and let this user write to it".into()),
                source: Some(Box::new(source)),
            };
            let folder = RunFolder::make(&self.folder).map_err(failed)?;
            let path = folder.path().join("kubeconfig");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(failed)?;
            // A kubeconfig in JSON is a kubeconfig: JSON is YAML.
            serde_json::to_writer(&mut file, &access.kubeconfig).map_err(|error| failed(error.into()))?;
            file.flush().map_err(failed)?;
            let access = ClusterAccess { kubeconfig: path, context: Some(access.context) };
            Ok::<_, StepError>(KubeconfigFile { _folder: folder, access })
        });
        Ok(&made.await?.access)
    }

    async fn apply(
        &self,
        at: &Ground<'_>,
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
            .install_or_upgrade(self.access().await?, id, &chart, &desired.values, options)
            .await
            .map_err(|error| failed(error, LeftBehind::Partial))?;
        self.wait(at, id, step, say).await
    }

    /// Waits for what the release brought, with the same words as for our own objects.
    async fn wait(
        &self,
        at: &Ground<'_>,
        id: &ReleaseId,
        step: &Step,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), StepError> {
        let deadline = std::time::Instant::now() + Duration::from_secs(step.deadline_seconds);
        for object in self.objects.get(id).into_iter().flatten() {
            let Some(resource) = at.discovery.find(&object.gvk) else { continue };
            let say_object = |what: String| say(format!("{object}: {what}"));
            let wait = ObjectWait {
                cluster: at.cluster,
                discovery: at.discovery,
                resource,
                id: object,
                deadline,
                say: &say_object,
            };
            wait.until_ready(None).await?;
        }
        Ok(())
    }

    /// The newest revision is the one that the plan saw.
    async fn expected(&self, id: &ReleaseId, step: &Step) -> Result<(), StepError> {
        let found =
            self.helm.status(self.access().await?, id).await.map_err(|error| failed(error, LeftBehind::Nothing))?;
        let revision = found.map_or(0, |found| found.revision);
        match &step.expect {
            Expect::Revision(expected) if *expected == revision => Ok(()),
            Expect::Revision(expected) => Err(StepError::stale(
                &step.target.to_string(),
                format!("it is at revision {revision}, and the plan saw {expected} (0: none)"),
            )),
            Expect::Absent | Expect::New | Expect::Object { .. } | Expect::Provider | Expect::Queue { .. } => Ok(()),
        }
    }

    /// Deletes the record of a revision that a dead helm left pending.
    async fn forget(&self, at: &Ground<'_>, id: &ReleaseId, revision: u32) -> Result<(), StepError> {
        let path = format!("/api/v1/namespaces/{}/secrets/{}", id.namespace, record_name(id, revision));
        match at.cluster.request(Method::DELETE, &path, None, "forget a revision that was cut off").await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl ReleaseRunner for HelmRunner<'_> {
    async fn run(
        &self,
        (cluster, discovery): (&Cluster, &Discovery),
        step: &Step,
        release: &ReleaseStep,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), StepError> {
        let at = &Ground { cluster, discovery };
        let Target::Release(id) = &step.target else {
            return Err(StepError::stale(&step.target.to_string(), "it is no release"));
        };
        self.expected(id, step).await?;
        let deadline = Duration::from_secs(step.deadline_seconds);
        let uninstall = async || {
            say("helm uninstall".to_owned());
            self.helm
                .uninstall(self.access().await?, id, deadline)
                .await
                .map_err(|error| failed(error, LeftBehind::Partial))
        };
        match release.action {
            ReleaseAction::Install | ReleaseAction::Upgrade => self.apply(at, id, step, release, say).await,
            ReleaseAction::Uninstall => uninstall().await.map(drop),
            ReleaseAction::Repair(Repair::ForgetThenApply { pending }) => {
                self.forget(at, id, pending).await?;
                self.apply(at, id, step, release, say).await
            }
            ReleaseAction::Repair(Repair::RollbackThenUpgrade { to }) => {
                let options = RollbackOptions { to, conflicts: Conflicts::Take, deadline };
                say(format!("helm rollback to revision {to}"));
                self.helm
                    .rollback(self.access().await?, id, options)
                    .await
                    .map_err(|error| failed(error, LeftBehind::Partial))?;
                self.apply(at, id, step, release, say).await
            }
            ReleaseAction::Repair(Repair::UninstallThenInstall) => {
                uninstall().await?;
                self.apply(at, id, step, release, say).await
            }
        }
    }
}
