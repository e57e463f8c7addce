//! The local provider behind the trait that every provider implements.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use wbk_provider_api::{
    Access, ClusterSeen, LeftBehind, Leftover, Observed, Operation, OperationAction, ProgressSink, Provider,
    ProviderError, ProviderKind, ProviderTarget, Seen, Wanted, Why, in_words,
};

use crate::cluster::{self, Clusters};
use crate::pools::{self, World};
use crate::{LocalError, Settings};

/// Reading takes milliseconds; a server that does not answer in this time is not seen.
const READ: Duration = Duration::from_secs(15);

/// Clusters on this machine whose nodes are simulated.
#[derive(Debug, Clone)]
pub struct LocalProvider {
    clusters: Clusters,
}

impl LocalProvider {
    /// A provider with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { clusters: Clusters::new(settings) }
    }

    /// The clusters that it keeps, for what the trait has no word for: list, stop, logs.
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    async fn world(&self, name: &str) -> Result<World, LocalError> {
        let read = async { World::read(&cluster::client(&self.clusters.access(name)?).await?).await };
        tokio::time::timeout(READ, read).await.map_err(|_| LocalError::Late {
            what: format!("the API server of local cluster {name} to answer"),
            seconds: READ.as_secs(),
            log: String::new(),
        })?
    }

    async fn run(&self, wanted: &Wanted, operation: &Operation, progress: ProgressSink<'_>) -> Result<(), LocalError> {
        use OperationAction::{Create, Delete, Replace, Start, Update};
        match (&operation.target, operation.action) {
            (ProviderTarget::Cluster(name), Create | Start) => {
                self.expect(name, &operation.expect)?;
                self.clusters.start(name, wanted.cluster.version.as_deref(), progress).await.map(drop)
            }
            (ProviderTarget::Cluster(name), Delete) => {
                self.expect(name, &operation.expect)?;
                self.alone(wanted, name).await?;
                self.clusters.delete(name, progress).await
            }
            (ProviderTarget::Cluster(name), Replace | Update) => Err(LocalError::Refused {
                what: format!("local cluster {name} is not replaced, because its data would be lost"),
                hint: format!("if it may be lost: wbk-infra local delete {name}, then apply again"),
            }),
            (ProviderTarget::NodePool(name), Create | Update) => {
                let Some(pool) = wanted.pools.get(name) else {
                    return Err(LocalError::Moved { what: format!("the blueprint's node pool {name}") });
                };
                let client = self.client(wanted).await?;
                pools::apply(&client, &wanted.blueprint, pool, &operation.expect, progress).await
            }
            (ProviderTarget::NodePool(name), Delete) => {
                let client = self.client(wanted).await?;
                pools::delete(&client, &wanted.blueprint, name, &operation.expect, progress).await
            }
            (ProviderTarget::NodePool(name), Start | Replace) => Err(LocalError::Refused {
                what: format!("node pool {name} cannot be started or replaced: every change of it is made in place"),
                hint: "plan again".into(),
            }),
            (ProviderTarget::Part(id), _) => {
                Err(LocalError::Refused { what: format!("a local cluster has no {id}"), hint: "plan again".into() })
            }
        }
    }

    async fn client(&self, wanted: &Wanted) -> Result<kube::Client, LocalError> {
        cluster::client(&self.clusters.access(&wanted.cluster.name)?).await
    }

    /// The cluster that was planned on is the one that is there. One that is gone is for the operation to see.
    fn expect(&self, name: &str, expect: &str) -> Result<(), LocalError> {
        match self.clusters.status(name)? {
            Some(status) if !expect.is_empty() && status.id != expect => {
                Err(LocalError::Moved { what: format!("local cluster {name}") })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Nobody else's pools are in it. One that does not run or does not answer cannot be asked, and its deletion was planned
    /// and agreed, in words that say so.
    async fn alone(&self, wanted: &Wanted, name: &str) -> Result<(), LocalError> {
        if !self.clusters.status(name)?.is_some_and(|status| status.is_running()) {
            return Ok(());
        }
        let Ok(world) = self.world(name).await else { return Ok(()) };
        let others = world.other_blueprints(&wanted.blueprint);
        if others.is_empty() {
            return Ok(());
        }
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        Err(LocalError::Refused {
            what: format!("local cluster {name} is not deleted: it has node pools of {others} too"),
            hint: format!("destroy {others} first, or: wbk-infra local delete {name}"),
        })
    }

    /// Refuses a cluster that is not the one that the blueprint pins.
    async fn pinned(&self, wanted: &Wanted, access: &Access) -> Result<(), LocalError> {
        let Some(pin) = &wanted.cluster.uid else { return Ok(()) };
        let client = cluster::client(access).await?;
        let namespace = Api::<Namespace>::all(client).get("kube-system").await;
        let uid = namespace.map_err(LocalError::api("read the namespace kube-system"))?.uid().unwrap_or_default();
        if uid == *pin {
            return Ok(());
        }
        Err(LocalError::Refused {
            what: format!("local cluster {} has the uid {uid}, and the blueprint pins {pin}", wanted.cluster.name),
            hint: "remove cluster.uid from the blueprint, or name the cluster that it pins".into(),
        })
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    async fn observe(&self, wanted: &Wanted) -> Observed {
        let pools = |seen: fn(String) -> Seen<wbk_provider_api::PoolSeen>, why: &str| {
            wanted.pools.keys().map(|name| (name.clone(), seen(why.to_owned()))).collect()
        };
        let unknown = |why: String| Seen::Unknown(Why(why));
        let status = match self.clusters.status(&wanted.cluster.name) {
            Ok(Some(status)) => status,
            Ok(None) => return Observed::of(Seen::Absent, pools(|_| Seen::Absent, "")),
            Err(error) => {
                let why = in_words(&error);
                return Observed::of(Seen::Unknown(Why(why.clone())), pools(unknown, &why));
            }
        };
        let version = status.version.clone().or_else(|| Some(status.minor.clone()));
        let seen = |running| {
            Seen::Present(ClusterSeen {
                version: version.clone(),
                running,
                fingerprint: status.id.clone(),
                deviations: Vec::new(),
            })
        };
        if !status.is_running() {
            return Observed::of(seen(false), pools(unknown, "the cluster does not run"));
        }
        match self.world(&wanted.cluster.name).await {
            Ok(world) => Observed::of(seen(true), pools::observe(&world, wanted)),
            // Its processes live and its API server does not answer: a start waits for it and says what is wrong.
            Err(error) => Observed::of(seen(false), pools(unknown, &in_words(&error))),
        }
    }

    fn plan(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        pools::plan(wanted, seen)
    }

    fn plan_destroy(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        pools::plan_destroy(wanted, seen)
    }

    /// The token is not needed: every operation here is idempotent by itself.
    async fn perform(
        &self,
        wanted: &Wanted,
        operation: &Operation,
        _token: &str,
        progress: ProgressSink<'_>,
    ) -> Result<(), ProviderError> {
        self.run(wanted, operation, progress).await.map_err(|error| {
            let verb = operation.action.verb();
            let left = left_behind(&error);
            error.into_provider(format!("cannot {verb} {}", operation.target), left)
        })
    }

    async fn access(&self, wanted: &Wanted) -> Result<Access, ProviderError> {
        let name = &wanted.cluster.name;
        let access = async {
            match self.clusters.status(name)? {
                None => return Err(LocalError::NoCluster { name: name.clone() }),
                Some(status) if status.pid(cluster::Component::ApiServer).is_none() => {
                    return Err(LocalError::NotRunning { name: name.clone() });
                }
                Some(_) => {}
            }
            let access = self.clusters.access(name)?;
            self.pinned(wanted, &access).await?;
            Ok(access)
        };
        access
            .await
            .map_err(|error| error.into_provider(format!("cannot reach local cluster {name}"), LeftBehind::Nothing))
    }

    async fn leftovers(&self, wanted: &Wanted) -> Vec<Leftover> {
        match self.clusters.leftovers(&wanted.cluster.name) {
            Ok(left) => left.into_iter().map(|(what, hint)| Leftover { what, hint, costs: None }).collect(),
            Err(error) => {
                let hint = error.hint().unwrap_or_default();
                vec![Leftover { what: in_words(&error), hint, costs: None }]
            }
        }
    }
}

/// What was refused before anything was done left nothing; the rest is finished by the next apply.
fn left_behind(error: &LocalError) -> LeftBehind {
    match error {
        LocalError::Name { .. }
        | LocalError::NoCluster { .. }
        | LocalError::NotRunning { .. }
        | LocalError::Version { .. }
        | LocalError::NoAssets { .. }
        | LocalError::Checksum { .. }
        | LocalError::Moved { .. }
        | LocalError::Refused { .. } => LeftBehind::Nothing,
        _ => LeftBehind::Partial,
    }
}
