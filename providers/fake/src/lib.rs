//! A provider in memory: a cluster and its node pools as values, with the failures that a test asks for. It keeps the
//! promises of every provider (fingerprints are checked, a token is done once) and starts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use wbk_provider_api::{
    Access, ClusterSeen, Disruption, FieldDiff, LeftBehind, Leftover, Observed, Operation, OperationAction, PoolSeen,
    PoolSpec, ProgressSink, Provider, ProviderError, ProviderKind, ProviderTarget, Seen, Wanted, Why,
};

/// Nothing here takes time; a step that does not end in this time hangs.
const SECONDS: u64 = 60;

/// A failure to order, for the next operation on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, with nothing changed.
    Refused,
    /// It is done, and its answer is lost.
    AnswerLost,
}

/// A cluster and node pools in memory.
#[derive(Debug, Default)]
pub struct FakeProvider {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cluster: Option<u64>,
    running: bool,
    pools: BTreeMap<String, Pool>,
    unseen: Option<String>,
    outdated: Option<String>,
    faults: BTreeMap<String, Fault>,
    tokens: BTreeSet<String>,
    performed: Vec<(OperationAction, String)>,
    /// Makes fingerprints: grows with every change.
    clock: u64,
}

#[derive(Debug)]
struct Pool {
    spec: PoolSpec,
    deviations: Vec<FieldDiff>,
    jobs: BTreeMap<String, Vec<String>>,
    version: u64,
}

impl FakeProvider {
    /// Nothing is there.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cluster of a blueprint is there and runs, with its pools.
    pub fn with(wanted: &Wanted) -> Self {
        let fake = Self::new();
        {
            let mut state = fake.lock();
            state.make_cluster();
            for pool in wanted.pools.values() {
                state.put_pool(pool);
            }
        }
        fake
    }

    /// Stops the cluster, as a reboot does.
    pub fn stop(&self) {
        self.lock().running = false;
    }

    /// Somebody changed a node of a pool by hand.
    pub fn deviate(&self, pool: &str, difference: FieldDiff) {
        self.touch(pool, |pool| pool.deviations.push(difference));
    }

    /// The cluster is not as it is wanted from now on in something that is fixed, and why it must be made anew.
    pub fn outdate(&self, why: &str) {
        self.lock().outdated = Some(why.to_owned());
    }

    /// A Job's pod runs on a node of a pool.
    pub fn run_job(&self, pool: &str, pod: &str) {
        self.touch(pool, |found| found.jobs.entry(format!("{}-0", found.spec.name)).or_default().push(pod.into()));
    }

    /// Nothing can be seen from now on, and why.
    pub fn hide(&self, why: &str) {
        self.lock().unseen = Some(why.to_owned());
    }

    /// Everything can be seen again.
    pub fn show(&self) {
        self.lock().unseen = None;
    }

    /// Orders a failure of the next operation on a target.
    pub fn fail(&self, target: &ProviderTarget, fault: Fault) {
        self.lock().faults.insert(target.to_string(), fault);
    }

    /// What was done, in order: each effect once.
    pub fn performed(&self) -> Vec<(OperationAction, String)> {
        self.lock().performed.clone()
    }

    /// Whether the cluster is there and runs.
    pub fn is_running(&self) -> bool {
        let state = self.lock();
        state.cluster.is_some() && state.running
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked says so itself; the state is still whole, because every change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, pool: &str, change: impl FnOnce(&mut Pool)) {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        if let Some(found) = state.pools.get_mut(pool) {
            found.version = now;
            change(found);
        }
    }
}

impl State {
    fn make_cluster(&mut self) {
        self.clock += 1;
        self.cluster = Some(self.clock);
        self.running = true;
    }

    fn put_pool(&mut self, spec: &PoolSpec) {
        self.clock += 1;
        let jobs = self.pools.remove(&spec.name).map(|pool| pool.jobs).unwrap_or_default();
        let pool = Pool { spec: spec.clone(), deviations: Vec::new(), jobs, version: self.clock };
        self.pools.insert(spec.name.clone(), pool);
    }

    fn fingerprint(&self, target: &ProviderTarget) -> String {
        let version = match target {
            ProviderTarget::Cluster(_) => self.cluster,
            ProviderTarget::NodePool(name) => self.pools.get(name).map(|pool| pool.version),
            ProviderTarget::Part(_) => None,
        };
        version.map(|version| version.to_string()).unwrap_or_default()
    }

    fn perform(&mut self, wanted: &Wanted, operation: &Operation) -> Result<(), String> {
        match (&operation.target, operation.action) {
            (ProviderTarget::Cluster(_), OperationAction::Create) => self.make_cluster(),
            (ProviderTarget::Cluster(_), OperationAction::Start) => self.running = true,
            (ProviderTarget::Cluster(_), OperationAction::Delete) => {
                if !self.pools.is_empty() {
                    return Err("it still has node pools".into());
                }
                self.cluster = None;
                self.running = false;
            }
            (ProviderTarget::Cluster(_), OperationAction::Replace) => {
                self.pools.clear();
                self.make_cluster();
                self.outdated = None;
                wanted.pools.values().for_each(|pool| self.put_pool(pool));
            }
            (ProviderTarget::Cluster(_), OperationAction::Update) => {
                return Err("a cluster in memory has nothing to change".into());
            }
            (ProviderTarget::NodePool(name), OperationAction::Create | OperationAction::Update) => {
                if !self.running {
                    return Err("its cluster does not run".into());
                }
                let Some(spec) = wanted.pools.get(name) else { return Err("the blueprint has no such pool".into()) };
                self.put_pool(spec);
            }
            (ProviderTarget::NodePool(name), OperationAction::Delete) => {
                self.pools.remove(name);
            }
            (ProviderTarget::NodePool(_), OperationAction::Start | OperationAction::Replace) => {
                return Err("every change of a pool is made in place".into());
            }
            (ProviderTarget::Part(_), _) => return Err("a cluster in memory has no parts".into()),
        }
        Ok(())
    }
}

/// The cause of a failure here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Because(String);

fn refused(operation: &Operation, left: LeftBehind, why: impl Into<String>) -> ProviderError {
    ProviderError {
        attempted: format!("change {} in memory", operation.target),
        left,
        hint: Some("plan again".into()),
        source: Some(Box::new(Because(why.into()))),
    }
}

#[async_trait]
impl Provider for FakeProvider {
    /// It stands for a provider that makes clusters.
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    async fn observe(&self, wanted: &Wanted) -> Observed {
        let state = self.lock();
        let names = || wanted.pools.keys().chain(state.pools.keys());
        if let Some(why) = &state.unseen {
            let pools = names().map(|name| (name.clone(), Seen::Unknown(Why(why.clone())))).collect();
            return Observed::of(Seen::Unknown(Why(why.clone())), pools);
        }
        let Some(cluster) = state.cluster else {
            let pools = names().map(|name| (name.clone(), Seen::Absent)).collect();
            return Observed::of(Seen::Absent, pools);
        };
        let pool = |name: &String| match state.pools.get(name) {
            _ if !state.running => Seen::Unknown(Why("the cluster does not run".into())),
            None => Seen::Absent,
            Some(pool) => Seen::Present(PoolSeen {
                spec: pool.spec.clone(),
                nodes: pool.spec.size.min,
                deviations: pool.deviations.clone(),
                jobs: pool.jobs.clone(),
                fingerprint: pool.version.to_string(),
            }),
        };
        let pools = names().map(|name| (name.clone(), pool(name))).collect();
        let fingerprint = cluster.to_string();
        let version = wanted.cluster.version.clone();
        Observed::of(
            Seen::Present(ClusterSeen { version, running: state.running, fingerprint, deviations: Vec::new() }),
            pools,
        )
    }

    fn plan(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        let cluster = ProviderTarget::Cluster(wanted.cluster.name.clone());
        let mut operations = Vec::new();
        let mut needs = Vec::new();
        match &seen.cluster {
            Seen::Unknown(_) => return operations,
            Seen::Absent => {
                operations.push(operation(OperationAction::Create, cluster.clone(), "there is no cluster", ""));
                needs.push(cluster);
            }
            Seen::Present(found) if !found.running => {
                return vec![operation(OperationAction::Start, cluster, "it does not run", &found.fingerprint)];
            }
            Seen::Present(_) => {}
        }
        for (name, spec) in &wanted.pools {
            let target = ProviderTarget::NodePool(name.clone());
            let planned = match seen.pools.get(name) {
                Some(Seen::Unknown(_)) => continue,
                Some(Seen::Present(found)) if found.spec == *spec && found.deviations.is_empty() => continue,
                Some(Seen::Present(found)) => Operation {
                    diff: found.deviations.clone(),
                    ..operation(OperationAction::Update, target, "it is not as the blueprint says", &found.fingerprint)
                },
                Some(Seen::Absent) | None => operation(OperationAction::Create, target, "there is no such pool", ""),
            };
            operations.push(Operation { needs: needs.clone(), ..planned });
        }
        for (name, found) in &seen.pools {
            if let (false, Seen::Present(found)) = (wanted.pools.contains_key(name), found) {
                operations.push(delete(name, found, "the blueprint no longer has it"));
            }
        }
        if let (Seen::Present(found), Some(why)) = (&seen.cluster, self.lock().outdated.as_deref()) {
            let name = wanted.cluster.name.clone();
            operations.push(Operation {
                disruption: Disruption::LosesData(format!("everything in cluster {name}")),
                ..operation(OperationAction::Replace, ProviderTarget::Cluster(name), why, &found.fingerprint)
            });
        }
        operations
    }

    fn plan_destroy(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        let Seen::Present(cluster) = &seen.cluster else { return Vec::new() };
        let mut operations: Vec<Operation> = seen
            .pools
            .iter()
            .filter_map(|(name, pool)| Some(delete(name, pool.present()?, "the platform is destroyed")))
            .collect();
        let name = wanted.cluster.name.clone();
        operations.push(Operation {
            disruption: Disruption::LosesData(format!("everything in cluster {name}")),
            needs: operations.iter().map(|operation| operation.target.clone()).collect(),
            ..operation(
                OperationAction::Delete,
                ProviderTarget::Cluster(name),
                "the platform is destroyed",
                &cluster.fingerprint,
            )
        });
        operations
    }

    async fn perform(
        &self,
        wanted: &Wanted,
        operation: &Operation,
        token: &str,
        _progress: ProgressSink<'_>,
    ) -> Result<(), ProviderError> {
        let mut state = self.lock();
        if state.tokens.contains(token) {
            return Ok(());
        }
        let fault = state.faults.remove(&operation.target.to_string());
        if fault == Some(Fault::Refused) {
            return Err(refused(operation, LeftBehind::Nothing, "a test ordered this refusal"));
        }
        if state.fingerprint(&operation.target) != operation.expect {
            return Err(refused(operation, LeftBehind::Nothing, "it changed since the plan was made"));
        }
        state.perform(wanted, operation).map_err(|why| refused(operation, LeftBehind::Nothing, why))?;
        state.tokens.insert(token.to_owned());
        state.performed.push((operation.action, operation.target.to_string()));
        if fault == Some(Fault::AnswerLost) {
            return Err(refused(operation, LeftBehind::Unknown, "a test ordered that the answer is lost"));
        }
        Ok(())
    }

    async fn access(&self, wanted: &Wanted) -> Result<Access, ProviderError> {
        Err(ProviderError {
            attempted: format!("reach the cluster {} in memory", wanted.cluster.name),
            left: LeftBehind::Nothing,
            hint: Some("a test brings its own connection".into()),
            source: None,
        })
    }

    async fn leftovers(&self, wanted: &Wanted) -> Vec<Leftover> {
        let state = self.lock();
        let cluster = state.cluster.map(|_| format!("cluster {}", wanted.cluster.name));
        let pools = state.pools.keys().map(|name| format!("node pool {name}"));
        cluster
            .into_iter()
            .chain(pools)
            .map(|what| Leftover { what, hint: "destroy again".into(), costs: None })
            .collect()
    }
}

fn operation(action: OperationAction, target: ProviderTarget, reason: &str, expect: &str) -> Operation {
    Operation { expect: expect.into(), ..Operation::new(action, target, reason, SECONDS) }
}

fn delete(name: &str, found: &PoolSeen, reason: &str) -> Operation {
    let jobs: Vec<&str> = found.jobs.values().flatten().map(String::as_str).collect();
    let disruption =
        if jobs.is_empty() { Disruption::None } else { Disruption::Stops(format!("Job pods {}", jobs.join(", "))) };
    let target = ProviderTarget::NodePool(name.into());
    Operation { disruption, ..operation(OperationAction::Delete, target, reason, &found.fingerprint) }
}
