//! The kind provider behind the trait that every provider implements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use kube::config::{KubeConfigOptions, Kubeconfig};
use wbk_provider_api::{
    Access, ClusterSeen, Leftover, Observed, Operation, OperationAction, PoolSeen, ProgressSink, Provider,
    ProviderError, ProviderKind, ProviderTarget, Seen, Wanted, Why,
};

use crate::containers::{Container, control_plane, owned};
use crate::machine::Machine;
use crate::observe::{World, fixed, identity};
use crate::{Engine, KindError, Settings, perform, plan};

/// Reading takes a fraction of a second; a server that does not answer in this time is not seen.
const READ: Duration = Duration::from_secs(20);

/// Clusters in containers on this machine.
#[derive(Debug, Clone)]
pub struct KindProvider {
    machine: Machine,
}

impl KindProvider {
    /// A provider with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { machine: Machine::new(settings) }
    }

    /// The container engine that is used.
    ///
    /// # Errors
    /// None is there.
    pub fn engine(&self) -> Result<Engine, KindError> {
        self.machine.engine()
    }

    /// The version of the engine's server, as proof that it answers.
    ///
    /// # Errors
    /// It is not there or does not answer.
    pub async fn engine_version(&self) -> Result<String, KindError> {
        self.machine.engine_version().await
    }

    /// What kind says of itself; `None` where it is not there and would be built.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn kind_version(&self) -> Result<Option<String>, KindError> {
        match self.machine.kind_there() {
            Some(_) => self.machine.kind_version().await.map(Some),
            None => Ok(None),
        }
    }

    /// Names of the kind clusters on this machine, whoever made them.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn clusters(&self) -> Result<BTreeSet<String>, KindError> {
        self.machine.clusters().await
    }

    async fn run(&self, wanted: &Wanted, operation: &Operation, progress: ProgressSink<'_>) -> Result<(), KindError> {
        use OperationAction::{Create, Delete, Replace, Start, Update};
        let (machine, expect) = (&self.machine, operation.expect.as_str());
        match (&operation.target, operation.action) {
            (ProviderTarget::Cluster(_), Create | Start) => perform::start(machine, wanted, expect, progress).await,
            (ProviderTarget::Cluster(_), Replace) => perform::replace(machine, wanted, expect, progress).await,
            (ProviderTarget::Cluster(_), Delete) => perform::delete(machine, wanted, expect, progress).await,
            (ProviderTarget::NodePool(name), Create | Update) => match wanted.pools.get(name) {
                Some(pool) => perform::apply_pool(machine, wanted, pool, expect, progress).await,
                None => Err(KindError::Moved { what: format!("the blueprint's node pool {name}") }),
            },
            (ProviderTarget::NodePool(name), Delete) => {
                perform::delete_pool(machine, wanted, name, expect, progress).await
            }
            (target @ ProviderTarget::Cluster(_), Update)
            | (target @ ProviderTarget::NodePool(_), Start | Replace)
            | (target @ ProviderTarget::Part(_), _) => Err(KindError::Refused {
                what: format!("{target} is never changed in this way"),
                hint: "plan again".into(),
            }),
        }
    }

    async fn world(&self, wanted: &Wanted, containers: Vec<Container>) -> Result<World, KindError> {
        let read = async {
            let client = client(&self.machine, wanted).await?;
            World::read(&self.machine, &client, containers, &wanted.cluster.kind.load).await
        };
        tokio::time::timeout(READ, read).await.map_err(|_| KindError::Late {
            what: format!("the API server of kind cluster {} to answer", wanted.cluster.name),
            seconds: READ.as_secs(),
            hint: "apply starts what does not run".into(),
        })?
    }
}

#[async_trait]
impl Provider for KindProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Kind
    }

    async fn observe(&self, wanted: &Wanted) -> Observed {
        let all = |seen: &dyn Fn() -> Seen<PoolSeen>| -> BTreeMap<String, Seen<PoolSeen>> {
            wanted.pools.keys().map(|name| (name.clone(), seen())).collect()
        };
        let unknown = |why: String| Seen::Unknown(Why(why));
        let containers = match self.machine.containers(&wanted.cluster.name).await {
            Ok(containers) => containers,
            Err(error) => {
                let why = error.in_words();
                return Observed::of(Seen::Unknown(Why(why.clone())), all(&|| unknown(why.clone())));
            }
        };
        if containers.is_empty() {
            return Observed::of(Seen::Absent, all(&|| Seen::Absent));
        }
        if let Err(owner) = owned(&containers, &wanted.blueprint) {
            let name = wanted.cluster.name.clone();
            let why = KindError::Foreign { name, owner }.to_string();
            return Observed::of(Seen::Unknown(Why(why.clone())), all(&|| unknown(why.clone())));
        }
        let stopped = ClusterSeen {
            version: None,
            running: false,
            fingerprint: identity(&containers),
            deviations: fixed(wanted, &containers),
        };
        if !control_plane(&containers).is_some_and(|node| node.running) {
            let pools = all(&|| unknown("the cluster does not run".into()));
            return Observed::of(Seen::Present(stopped), pools);
        }
        match self.world(wanted, containers).await {
            Ok(world) if world.record.is_none() => {
                let pools = all(&|| unknown("the creation of the cluster was interrupted".into()));
                Observed::of(Seen::Present(stopped), pools)
            }
            Ok(world) => Observed::of(Seen::Present(world.cluster(wanted)), world.pools(wanted)),
            // Its containers run and its API server does not answer: a start waits for it and says what is wrong.
            Err(error) => {
                let why = error.in_words();
                Observed::of(Seen::Present(stopped), all(&|| unknown(why.clone())))
            }
        }
    }

    fn plan(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        plan::plan(wanted, seen)
    }

    fn plan_destroy(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        plan::plan_destroy(wanted, seen)
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
            error.into_provider(format!("cannot {verb} {}", operation.target))
        })
    }

    async fn access(&self, wanted: &Wanted) -> Result<Access, ProviderError> {
        let name = &wanted.cluster.name;
        access(&self.machine, wanted)
            .await
            .map_err(|error| error.into_provider(format!("cannot reach kind cluster {name}")))
    }

    async fn leftovers(&self, wanted: &Wanted) -> Vec<Leftover> {
        let name = &wanted.cluster.name;
        match self.machine.containers(name).await {
            Ok(containers) => containers
                .iter()
                .filter(|container| container.blueprint.as_deref() == Some(wanted.blueprint.as_str()))
                .map(|container| Leftover {
                    what: format!("container {}", container.name),
                    hint: format!("kind delete cluster --name {name}"),
                    costs: None,
                })
                .collect(),
            Err(error) => {
                vec![Leftover { what: error.in_words(), hint: error.hint().unwrap_or_default(), costs: None }]
            }
        }
    }
}

/// A kubeconfig of its own for the cluster that is there now.
async fn access(machine: &Machine, wanted: &Wanted) -> Result<Access, KindError> {
    let name = &wanted.cluster.name;
    let containers = machine.containers(name).await?;
    if containers.is_empty() {
        return Err(KindError::NoCluster { name: name.clone() });
    }
    owned(&containers, &wanted.blueprint).map_err(|owner| KindError::Foreign { name: name.clone(), owner })?;
    let first = control_plane(&containers).filter(|node| node.running);
    let Some(first) = first else { return Err(KindError::NotRunning { name: name.clone() }) };
    let kubeconfig = read_kubeconfig(machine, name, first).await?;
    Ok(Access { context: format!("kind-{name}"), kubeconfig, simulated_nodes: false })
}

/// From the file that kind wrote at the creation of this very cluster, else from kind, which asks the control plane.
async fn read_kubeconfig(machine: &Machine, name: &str, first: &Container) -> Result<Kubeconfig, KindError> {
    let folder = machine.settings().folder(name);
    let (file, of) = (folder.join("kubeconfig"), folder.join("kubeconfig.of"));
    // A file of a cluster that is gone has the wrong certificates: it is this one's only if it says so.
    let is_this = std::fs::read_to_string(&of).is_ok_and(|id| id == first.id);
    if is_this && let Ok(kubeconfig) = Kubeconfig::read_from(&file) {
        return Ok(kubeconfig);
    }
    let text = machine.kubeconfig(name).await?;
    let kubeconfig =
        Kubeconfig::from_yaml(&text).map_err(|source| KindError::Kubeconfig { name: name.to_owned(), source })?;
    std::fs::create_dir_all(&folder).map_err(KindError::file("create directory", &folder))?;
    write_private(&file, &text)?;
    write_private(&of, &first.id)?;
    Ok(kubeconfig)
}

/// Whole or not at all, and for this user alone.
fn write_private(path: &std::path::Path, text: &str) -> Result<(), KindError> {
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    // tempfile makes it 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(KindError::file("create a file in", folder))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(KindError::file("write", path))?;
    file.persist(path).map_err(|error| KindError::file("write", path)(error.error))?;
    Ok(())
}

/// A connection to the cluster's API server.
pub(crate) async fn client(machine: &Machine, wanted: &Wanted) -> Result<kube::Client, KindError> {
    let access = access(machine, wanted).await?;
    let options = KubeConfigOptions { context: Some(access.context), ..KubeConfigOptions::default() };
    let name = wanted.cluster.name.clone();
    let mut config = kube::Config::from_custom_kubeconfig(access.kubeconfig, &options)
        .await
        .map_err(|source| KindError::Kubeconfig { name, source })?;
    // It is on this machine.
    config.proxy_url = None;
    kube::Client::try_from(config).map_err(KindError::api("connect to the API server"))
}
