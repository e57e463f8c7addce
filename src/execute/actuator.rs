//! What runs one step: the provider, the API server, or Helm.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use wbk_provider_api::{Progress, Provider};

use super::{
    error::StepError,
    objects::{ObjectRunner, brings_kinds},
};
use crate::{
    cluster::{Cluster, Discovery, Marks, connect},
    live::{Remembered, SecretValues},
    plan::{Payload, Plan, ReleaseStep, Step, Target},
};

/// Runs one step and waits until it holds.
#[async_trait]
pub trait Actuator: Send + Sync {
    /// Runs the step. `token` is the same for the same step of the same plan. `say` takes what is being waited for.
    ///
    /// # Errors
    /// Says what was left behind.
    async fn run(&self, step: &Step, token: &str, say: &(dyn Fn(String) + Send + Sync)) -> Result<(), StepError>;
}

/// Runs the steps about Helm releases.
#[async_trait]
pub trait ReleaseRunner: Send + Sync {
    /// Installs, upgrades, repairs or uninstalls.
    ///
    /// # Errors
    /// Helm's words, and what was left behind.
    async fn run(
        &self,
        step: &Step,
        release: &ReleaseStep,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), StepError>;
}

/// The real one: a provider, an API server that may only come up on the way, and Helm.
pub struct PlatformActuator<'a> {
    plan: &'a Plan,
    provider: &'a dyn Provider,
    marks: Marks,
    values: &'a SecretValues,
    salt: String,
    releases: Option<&'a dyn ReleaseRunner>,
    limits: Limits,
    cluster: tokio::sync::RwLock<Option<(Cluster, std::sync::Arc<Discovery>)>>,
    remembered: Mutex<BTreeMap<String, Option<Remembered>>>,
}

/// Bounds on requests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most at once.
    pub parallel: usize,
    /// For each.
    pub timeout: Duration,
}

impl<'a> PlatformActuator<'a> {
    /// Makes one for a plan.
    pub fn new(
        plan: &'a Plan,
        provider: &'a dyn Provider,
        values: &'a SecretValues,
        salt: impl Into<String>,
        limits: Limits,
    ) -> Self {
        Self {
            plan,
            provider,
            marks: Marks::new(&plan.blueprint),
            values,
            salt: salt.into(),
            releases: None,
            limits,
            cluster: tokio::sync::RwLock::new(None),
            remembered: Mutex::new(BTreeMap::new()),
        }
    }

    /// With Helm.
    #[must_use]
    pub fn with_releases(mut self, releases: &'a dyn ReleaseRunner) -> Self {
        self.releases = Some(releases);
        self
    }

    /// With a connection that is there already.
    #[must_use]
    pub fn with_cluster(self, cluster: Cluster, discovery: Discovery) -> Self {
        Self { cluster: tokio::sync::RwLock::new(Some((cluster, std::sync::Arc::new(discovery)))), ..self }
    }

    /// What the server answered: to be merged into the memory. `None` for what was removed.
    pub fn into_remembered(self) -> BTreeMap<String, Option<Remembered>> {
        self.remembered.into_inner().expect("no holder of this lock panics")
    }

    /// The connection, made at first use.
    ///
    /// # Errors
    /// The provider gives no access, or the server does not answer.
    pub async fn reach(&self) -> Result<(Cluster, std::sync::Arc<Discovery>), StepError> {
        if let Some(reached) = &*self.cluster.read().await {
            return Ok(reached.clone());
        }
        let mut slot = self.cluster.write().await;
        if let Some(reached) = &*slot {
            return Ok(reached.clone());
        }
        let access = self.provider.access(&self.plan.wanted).await?;
        let client = connect(&access).await?;
        let cluster = Cluster::new(client, self.limits.parallel, self.limits.timeout);
        let discovery = std::sync::Arc::new(cluster.discover().await?);
        let reached = (cluster, discovery);
        *slot = Some(reached.clone());
        Ok(reached)
    }

    /// Looks again which kinds there are.
    async fn rediscover(&self) -> Result<(), StepError> {
        let mut slot = self.cluster.write().await;
        if let Some((cluster, discovery)) = &mut *slot {
            *discovery = std::sync::Arc::new(cluster.discover().await?);
        }
        Ok(())
    }
}

#[async_trait]
impl Actuator for PlatformActuator<'_> {
    async fn run(&self, step: &Step, token: &str, say: &(dyn Fn(String) + Send + Sync)) -> Result<(), StepError> {
        match (&step.payload, &step.target) {
            (Payload::Provider(operation), _) => {
                let progress = |Progress(line): Progress| say(line);
                self.provider.perform(&self.plan.wanted, operation, token, &progress).await?;
                Ok(())
            }
            (Payload::Object(object), Target::Object(id)) => {
                let (cluster, mut discovery) = self.reach().await?;
                // A kind that came with an earlier step is served a moment after its definition is established.
                for pause in [50, 100, 200, 400, 800, 1600] {
                    if discovery.find(&id.gvk).is_some() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    self.rediscover().await?;
                    discovery = self.reach().await?.1;
                }
                let runner = ObjectRunner {
                    cluster: &cluster,
                    discovery: &discovery,
                    marks: &self.marks,
                    values: self.values,
                    salt: &self.salt,
                };
                let memory = runner.run(step, id, object, say).await?;
                if brings_kinds(&id.gvk) {
                    self.rediscover().await?;
                }
                let mut remembered = self.remembered.lock().expect("no holder of this lock panics");
                match memory {
                    Some((key, value)) => remembered.insert(key, Some(value)),
                    None => remembered.insert(id.key().to_string(), None),
                };
                Ok(())
            }
            (Payload::Release(release), Target::Release(_)) => {
                let Some(releases) = self.releases else {
                    return Err(StepError::stale(&step.target.to_string(), "no helm was found when this apply began"));
                };
                releases.run(step, release, say).await?;
                self.rediscover().await
            }
            (Payload::Object(_) | Payload::Release(_), target) => {
                Err(StepError::stale(&target.to_string(), "the plan's step does not fit its target"))
            }
        }
    }
}
