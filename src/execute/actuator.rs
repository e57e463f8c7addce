//! What runs one step: the provider, the API server, or Helm.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use wbk_provider_api::{Progress, Provider};

use super::{
    absence::Absences,
    error::StepError,
    event::EventSink,
    lease::Lease,
    news::Newsroom,
    objects::{ObjectRunner, brings_kinds},
    parent::Parent,
    urgency::urgency,
};
use crate::{
    cluster::{Cluster, Discovery, Marks, connect},
    holder::Holder,
    id::Digest,
    live::{Remembered, SecretValues},
    plan::{Action, Payload, Plan, QueueStep, ReleaseStep, Step, StepId, Target},
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
        at: (&Cluster, &Discovery),
        step: &Step,
        release: &ReleaseStep,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), StepError>;
}

/// Runs the steps about queues of W&B Launch.
#[async_trait]
pub trait QueueRunner: Send + Sync {
    /// Makes, changes or removes.
    ///
    /// # Errors
    /// W&B's words, and what was left behind.
    async fn run(&self, step: &Step, queue: &QueueStep) -> Result<(), StepError>;
}

/// The real one: a provider, an API server that may only come up on the way, and Helm.
pub struct PlatformActuator<'a> {
    plan: &'a Plan,
    provider: &'a dyn Provider,
    marks: Marks,
    values: &'a SecretValues,
    salt: String,
    releases: Option<&'a dyn ReleaseRunner>,
    queues: Option<&'a dyn QueueRunner>,
    limits: Limits,
    holder: Holder,
    saved_plan: Option<Digest>,
    /// Where waits for the Lease are told.
    events: EventSink<'a>,
    cluster: tokio::sync::RwLock<Reached>,
    remembered: Mutex<BTreeMap<String, Option<Remembered>>>,
    urgency: BTreeMap<StepId, u32>,
    absences: Absences,
    /// Namespaces that the plan deletes.
    leaving: BTreeSet<String>,
    newsroom: Newsroom,
}

/// The connection, and what must be held before anything is written over it.
#[derive(Default)]
struct Reached {
    connection: Option<(Cluster, std::sync::Arc<Discovery>)>,
    lease: Option<Lease>,
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
        (values, salt): (&'a SecretValues, String),
        limits: Limits,
        (holder, events): (Holder, EventSink<'a>),
    ) -> Self {
        let marks = Marks::new(&plan.blueprint);
        Self {
            plan,
            provider,
            urgency: urgency(plan),
            absences: Absences::new(plan),
            leaving: leaving(plan),
            newsroom: Newsroom::new(plan, &marks),
            marks,
            values,
            salt,
            releases: None,
            queues: None,
            limits,
            holder,
            saved_plan: None,
            events,
            cluster: tokio::sync::RwLock::new(Reached::default()),
            remembered: Mutex::new(BTreeMap::new()),
        }
    }

    /// With Helm.
    #[must_use]
    pub fn with_releases(mut self, releases: &'a dyn ReleaseRunner) -> Self {
        self.releases = Some(releases);
        self
    }

    /// With W&B.
    #[must_use]
    pub fn with_queues(mut self, queues: &'a dyn QueueRunner) -> Self {
        self.queues = Some(queues);
        self
    }

    /// For a saved plan, which is applied once.
    #[must_use]
    pub fn once(mut self, digest: Digest) -> Self {
        self.saved_plan = Some(digest);
        self
    }

    /// With a connection that is there already.
    #[must_use]
    pub fn with_cluster(self, cluster: Cluster, discovery: Discovery) -> Self {
        let reached = Reached { connection: Some((cluster, std::sync::Arc::new(discovery))), lease: None };
        Self { cluster: tokio::sync::RwLock::new(reached), ..self }
    }

    /// What the server answered: to be merged into the memory. `None` for what was removed.
    pub fn remembered(&self) -> BTreeMap<String, Option<Remembered>> {
        self.remembered.lock().expect("no holder of this lock panics").clone()
    }

    /// The connection, made at first use; the Lease is held and the ApplySet's parent written when this returns.
    ///
    /// # Errors
    /// The provider gives no access, the server does not answer, or another apply holds the Lease.
    pub async fn reach(&self) -> Result<(Cluster, std::sync::Arc<Discovery>), StepError> {
        {
            let reached = self.cluster.read().await;
            if let (Some(connection), Some(_)) = (&reached.connection, &reached.lease) {
                return Ok(connection.clone());
            }
        }
        let mut slot = self.cluster.write().await;
        if slot.connection.is_none() {
            let access = self.provider.access(&self.plan.wanted).await?;
            let cluster = Cluster::new(connect(&access).await?, self.limits.parallel, self.limits.timeout);
            let discovery = std::sync::Arc::new(cluster.discover().await?);
            slot.connection = Some((cluster, discovery));
        }
        let Some((cluster, discovery)) = slot.connection.clone() else {
            return Err(StepError::stale("the connection", "it was just made and is gone"));
        };
        if slot.lease.is_none() {
            let lease =
                Lease::take(&cluster, &self.marks, &self.holder, self.events).await.map_err(|error| StepError {
                    attempted: "begin to write to the cluster".into(),
                    left: wbk_provider_api::LeftBehind::Nothing,
                    hint: Some("wait for the other apply, or look who runs it".into()),
                    source: Some(Box::new(error)),
                })?;
            slot.lease = Some(lease);
            if !self.plan.destroys {
                let parent = Parent { cluster: &cluster, discovery: &discovery, marks: &self.marks };
                parent.begin(&self.plan.kinds, self.saved_plan.as_ref()).await?;
            }
        }
        Ok((cluster, discovery))
    }

    /// Whether this process may still write.
    ///
    /// # Errors
    /// Another apply took the Lease over; the text says so.
    pub fn may_write(&self) -> Result<(), String> {
        match self.cluster.try_read() {
            Ok(reached) if reached.lease.as_ref().is_some_and(Lease::is_lost) => {
                Err("another apply took the lease over: this one must not write any more".into())
            }
            // While it is being taken nobody writes.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ends an apply: the ApplySet's parent says what is left, and the Lease is handed back.
    ///
    /// # Errors
    /// The parent could not be written; the Lease is handed back all the same.
    pub async fn end(&self, complete: bool) -> Result<(), StepError> {
        let mut slot = self.cluster.write().await;
        let Some(lease) = slot.lease.take() else { return Ok(()) };
        let outcome = match slot.connection.as_ref().filter(|_| complete && !lease.is_lost()) {
            Some((cluster, discovery)) => {
                let parent = Parent { cluster, discovery, marks: &self.marks };
                match (self.plan.destroys, self.plan.not_planned.is_empty()) {
                    (false, _) => parent.complete(&self.plan.kinds).await,
                    (true, true) => parent.remove().await,
                    // What is kept is found again by the kinds that the parent names.
                    (true, false) => Ok(()),
                }
            }
            None => Ok(()),
        };
        lease.release().await;
        outcome
    }

    /// Whether the plan took the cluster itself away: then nothing in it is left to be tidied.
    fn takes_cluster_away(&self) -> bool {
        self.plan.steps.iter().any(|step| step.action == Action::Delete && matches!(step.target, Target::Cluster(_)))
    }

    /// Holds the Lease before a step of the provider's, wherever there is a cluster that keeps one.
    async fn fence(&self, action: Action, target: &Target) -> Result<(), StepError> {
        let there = self.plan.world.is_some();
        match (target, action) {
            // The last thing in the cluster before the cluster itself.
            (Target::Cluster(_), Action::Delete) if there && self.takes_cluster_away() => {
                self.reach().await?;
                self.end(false).await
            }
            // Another apply that works in it is waited for; what comes afterwards is in another cluster.
            (Target::Cluster(_), Action::Replace) if there => {
                self.reach().await?;
                self.end(false).await?;
                self.cluster.write().await.connection = None;
                Ok(())
            }
            // One that does not answer is taken away by its provider alone.
            (Target::NodePool(_), Action::Delete) if !there => Ok(()),
            (Target::NodePool(_), _) => self.reach().await.map(drop),
            // The ground under a cluster that goes first, or that is not there yet.
            (Target::Part(_), _) if !there || self.takes_cluster_away() => Ok(()),
            (Target::Part(_), _) => self.reach().await.map(drop),
            (Target::Cluster(_) | Target::Object(_) | Target::Release(_) | Target::Queue(_), _) => Ok(()),
        }
    }

    /// Looks again which kinds there are.
    async fn rediscover(&self) -> Result<(), StepError> {
        let mut slot = self.cluster.write().await;
        if let Some((cluster, discovery)) = &mut slot.connection {
            *discovery = std::sync::Arc::new(cluster.discover().await?);
        }
        Ok(())
    }
}

#[async_trait]
impl Actuator for PlatformActuator<'_> {
    async fn run(&self, step: &Step, token: &str, say: &(dyn Fn(String) + Send + Sync)) -> Result<(), StepError> {
        match (&step.payload, &step.target) {
            (Payload::Provider(operation), target) => {
                self.fence(step.action, target).await?;
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
                let cluster = cluster.urgent(self.urgency.get(&step.id).copied().unwrap_or(0));
                let runner = ObjectRunner {
                    cluster: &cluster,
                    discovery: &discovery,
                    marks: &self.marks,
                    values: self.values,
                    salt: &self.salt,
                    absences: &self.absences,
                    leaving: &self.leaving,
                    newsroom: &self.newsroom,
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
                let (cluster, discovery) = self.reach().await?;
                releases.run((&cluster, &discovery), step, release, say).await?;
                self.rediscover().await
            }
            (Payload::Queue(queue), Target::Queue(_)) => {
                // Under the same lease as all else: two applies do not write one queue in turns.
                if self.plan.world.is_some() || !self.plan.destroys {
                    self.reach().await?;
                }
                let Some(queues) = self.queues else {
                    return Err(StepError::stale(&step.target.to_string(), "W&B was not asked when this apply began"));
                };
                queues.run(step, queue).await
            }
            (Payload::Object(_) | Payload::Release(_) | Payload::Queue(_), target) => {
                Err(StepError::stale(&target.to_string(), "the plan's step does not fit its target"))
            }
        }
    }
}

/// The namespaces that a plan deletes.
fn leaving(plan: &Plan) -> BTreeSet<String> {
    let deleted = plan.steps.iter().filter(|step| step.action == Action::Delete);
    let name = |step: &Step| match &step.target {
        Target::Object(id) if id.gvk.kind == "Namespace" && id.gvk.group.is_empty() => Some(id.name.clone()),
        _ => None,
    };
    deleted.filter_map(name).collect()
}
