//! Looks, plans and applies on a cluster in memory, with the product's own observer, planner and actuator.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use wbk_infra::cluster::Cluster;
use wbk_infra::desired::{Desired, SecretReference};
use wbk_infra::execute::{Actuator, Execution, Holder, Journal, Limits, PlatformActuator, StepError, Stop, execute};
use wbk_infra::helm::input_digest;
use wbk_infra::id::{Digest, ObjectId, ReleaseId};
use wbk_infra::live::{
    EarlyLists, Live, Memory, Observer, Reach, Remembered, RenderedRelease, SecretValue, SecretValues,
};
use wbk_infra::plan::{self, Action, Payload, Plan, PlanOptions, Step, StepId, Target};
use wbk_provider_api::{LeftBehind, Operation, Provider as _};
use wbk_provider_fake::FakeProvider;

use super::helm::{Helm, rendered};
use super::http;
use super::store::Store;

/// What each release renders.
pub type Charts = BTreeMap<ReleaseId, Vec<(ObjectId, Value)>>;

/// What goes wrong during an apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The step that starts as this one (from 0) fails with nothing done.
    FailStep(usize),
    /// The process dies before this write (from 0) arrives.
    DieBefore(usize),
    /// The process dies after this write arrived and before its answer.
    DieAfter(usize),
}

/// The store, and where in its writes the process dies.
pub struct Shared {
    store: Mutex<Store>,
    fault: Mutex<Fault>,
    writes: AtomicUsize,
    dead: Notify,
}

impl Shared {
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn before_write(&self) {
        if self.fault() == Fault::DieBefore(self.writes.load(Ordering::SeqCst)) {
            self.die().await;
        }
    }

    pub async fn after_write(&self) {
        if self.fault() == Fault::DieAfter(self.writes.fetch_add(1, Ordering::SeqCst)) {
            self.die().await;
        }
    }

    async fn die(&self) {
        self.dead.notify_one();
        std::future::pending::<()>().await;
    }
}

/// A platform's ground: provider, cluster, charts, secrets, and what is remembered between looks.
pub struct Rig {
    pub shared: Arc<Shared>,
    pub provider: FakeProvider,
    pub charts: Charts,
    /// Why the API server does not answer.
    pub silent: Option<String>,
    values: SecretValues,
    memory: Mutex<Memory>,
}

/// One look and what it leads to.
pub struct Seen {
    pub live: Live,
    pub operations: Vec<Operation>,
}

/// What an apply did and told.
pub struct Applied {
    /// `None`: the process died.
    pub execution: Option<Execution>,
    /// Steps in the order in which they began.
    pub began: Vec<StepId>,
    /// Everything that was told: events and the journal.
    pub told: String,
}

impl Rig {
    /// A cluster that is there and empty.
    pub fn new(provider: FakeProvider, secret: &str) -> Self {
        let shared = Shared {
            store: Mutex::new(Store::new("uid-of-the-cluster")),
            fault: Mutex::new(Fault::None),
            writes: AtomicUsize::new(0),
            dead: Notify::new(),
        };
        let value = SecretValue::new(secret.as_bytes().to_vec());
        let values = SecretValues::new(BTreeMap::from([(SecretReference::Env("CANARY".into()), value)]));
        Self {
            shared: Arc::new(shared),
            provider,
            charts: Charts::new(),
            silent: None,
            values,
            memory: Mutex::new(forgotten()),
        }
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store()
    }

    /// Loses the inventory, which is a cache.
    pub fn forget(&self) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = forgotten();
    }

    fn remember(&self, answered: BTreeMap<String, Option<Remembered>>) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in answered {
            match value {
                Some(value) => memory.objects.insert(key, value),
                None => memory.objects.remove(&key),
            };
        }
    }

    fn cluster(&self) -> Cluster {
        Cluster::new(http::client(&self.shared), 16, Duration::from_secs(10))
    }

    fn rendered(&self, desired: &Desired) -> Vec<RenderedRelease> {
        let chart = Digest::of_bytes(b"a chart");
        desired
            .releases
            .iter()
            .map(|release| RenderedRelease {
                id: release.id.clone(),
                inputs: input_digest(release, &chart),
                objects: rendered(&self.charts, &release.id),
                brings: Default::default(),
            })
            .collect()
    }

    /// Looks at everything.
    pub async fn look(&self, desired: &Desired) -> Seen {
        let observed = self.provider.observe(&desired.wanted).await;
        let operations = self.provider.plan(&desired.wanted, &observed);
        let cluster = self.cluster();
        let discovery = cluster.discover().await.expect("the store answers");
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let releases = self.rendered(desired);
        let observer =
            Observer { desired, releases: &releases, memory, values: &self.values, early: EarlyLists::default() };
        let reach = if let Some(why) = &self.silent {
            Reach::Unreachable(wbk_provider_api::Why(why.clone()))
        } else if self.provider.is_running() {
            Reach::Cluster { cluster: &cluster, discovery: &discovery, context: "memory" }
        } else {
            Reach::NoCluster
        };
        let sight = observer.observe(observed, reach).await;
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = sight.memory;
        Seen { live: sight.live, operations }
    }

    /// Looks and plans.
    pub async fn plan(&self, desired: &Desired, options: &PlanOptions) -> Plan {
        let seen = self.look(desired).await;
        plan::plan(desired, &seen.live, &seen.operations, options)
    }

    /// Looks and plans to take everything away.
    pub async fn destroy(&self, desired: &Desired, options: &PlanOptions) -> Plan {
        let seen = self.look(desired).await;
        let observed = self.provider.observe(&desired.wanted).await;
        let operations = self.provider.plan_destroy(&desired.wanted, &observed);
        plan::destroy(desired, &seen.live, &operations, options)
    }

    /// Carries a plan out.
    pub async fn apply(&self, plan: &Plan, fault: Fault) -> Applied {
        let mut plan = plan.clone();
        for step in &mut plan.steps {
            // What a finalizer holds back is given up at the first look.
            step.deadline_seconds = 0;
        }
        self.shared.writes.store(0, Ordering::SeqCst);
        // Two writes at once may have died at the same count: the second death is no death of this apply.
        while self.shared.dead.notified().now_or_never().is_some() {}
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        let told = Mutex::new(String::new());
        let events = |event: wbk_infra::execute::Event| {
            told.lock().unwrap_or_else(PoisonError::into_inner).push_str(&format!("{event:?}\n"));
        };
        let limits = Limits { parallel: 16, timeout: Duration::from_secs(10) };
        let holder = (Holder::this_process("test"), &events as wbk_infra::execute::EventSink<'_>);
        let salt = self.memory.lock().unwrap_or_else(PoisonError::into_inner).salt.clone();
        let helm = Helm { shared: &self.shared, charts: &self.charts, blueprint: plan.blueprint.clone() };
        let cluster = self.cluster();
        let discovery = cluster.discover().await.expect("the store answers");
        let platform = PlatformActuator::new(&plan, &self.provider, (&self.values, salt), limits, holder)
            .with_releases(&helm)
            .with_cluster(cluster, discovery);
        let watched = Watched { platform: &platform, rig: self, began: Mutex::new(Vec::new()), fault };
        // Every announcement is synced; in memory that costs nothing.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let path = folder.path().join("journal");
        let digest = Digest::of_json(&serde_json::to_value(&plan).expect("a plan is JSON"));
        let (journal, _) = Journal::begin(&path, &digest, plan.steps.len(), "2026-01-01T00:00:00Z").expect("a journal");
        let (_stop, stopped) = watch::channel(Stop::No);
        let fence = || platform.may_write();
        let execution = tokio::select! {
            execution = execute(&plan, &digest, &watched, (&journal, &events), (&fence, stopped)) => {
                Some(execution.expect("the journal is written"))
            }
            () = self.shared.dead.notified() => None,
        };
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = Fault::None;
        if let Some(execution) = &execution {
            self.remember(platform.remembered());
            platform.end(execution.is_complete()).await.expect("the parent is written");
        }
        let began = watched.began.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        told.push_str(&std::fs::read_to_string(&path).expect("the journal is text"));
        Applied { execution, began, told }
    }
}

fn forgotten() -> Memory {
    Memory { version: 1, salt: "salt".into(), objects: BTreeMap::new() }
}

/// The product's actuator, watched, on a provider whose cluster is the store.
struct Watched<'a> {
    platform: &'a PlatformActuator<'a>,
    rig: &'a Rig,
    began: Mutex<Vec<StepId>>,
    fault: Fault,
}

#[async_trait]
impl Actuator for Watched<'_> {
    async fn run(&self, step: &Step, token: &str, say: &(dyn Fn(String) + Send + Sync)) -> Result<(), StepError> {
        let number = {
            let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
            began.push(step.id.clone());
            began.len() - 1
        };
        if self.fault == Fault::FailStep(number) {
            let attempted = format!("{} {}", step.action.word(), step.target);
            return Err(StepError { attempted, left: LeftBehind::Nothing, hint: None, source: None });
        }
        // The product waits 3 s for a kind that is not served yet; here its definition's step was needed and is done.
        if let Target::Object(id) = &step.target
            && !self.rig.store().kinds().iter().any(|kind| kind.group == id.gvk.group && kind.kind == id.gvk.kind)
        {
            let attempted = format!("{} {id}: the kind is not served", step.action.word());
            return Err(StepError { attempted, left: LeftBehind::Nothing, hint: None, source: None });
        }
        if !matches!(step.payload, Payload::Provider(_)) {
            return self.platform.run(step, token, say).await;
        }
        self.rig.shared.before_write().await;
        let outcome = self.platform.run(step, token, say).await;
        if outcome.is_ok() && matches!(step.target, Target::Cluster(_)) {
            match step.action {
                Action::Delete => *self.rig.store() = Store::default(),
                Action::Create => *self.rig.store() = Store::new("uid-of-another-cluster"),
                Action::Start | Action::Update | Action::Replace | Action::Adopt | Action::Disown => {}
            }
        }
        self.rig.shared.after_write().await;
        outcome
    }
}
