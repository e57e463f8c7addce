//! The control plane of one EKS cluster: a cluster of the local provider, kubelets that are played by a task of this process, and
//! the endpoint in front of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinHandle;
use wbk_provider_api::{
    ClusterSpec, KindSpec, PoolSpec, Progress, Provider as _, ProviderKind, ProviderTarget, Wanted,
};
use wbk_provider_local::cluster::Clusters;
use wbk_provider_local::{LocalProvider, Settings, simulator};

use super::api_server::ApiServer;
use crate::StandError;

/// Owner of the nodes on the local control plane; labels of node groups may say another blueprint's name.
const OWNER: &str = "eks-stand";

/// A running control plane. [`Plane::end`] ends its processes; the rest ends with this value.
pub(crate) struct Plane {
    provider: LocalProvider,
    name: String,
    admin: kube::Client,
    api: ApiServer,
    kubelets: JoinHandle<()>,
    /// The pools as they shall be; whoever changes one holds this for as long as it takes to plan.
    pools: tokio::sync::Mutex<BTreeMap<String, PoolSpec>>,
}

impl Plane {
    /// Starts it; `name` is the local cluster's, `cluster` the one of EKS.
    pub(crate) async fn start(
        settings: &Settings,
        name: &str,
        cluster: &str,
        hosts: Arc<[String]>,
    ) -> Result<Self, StandError> {
        let failed = |error: &dyn std::error::Error| {
            StandError::plane(format!("cannot start the API server of cluster {cluster}"), error)
        };
        let provider = LocalProvider::new(settings.clone());
        let status = provider.clusters().start(name, None, &tell).await.map_err(|error| failed(&error))?;
        let admin = administrator(provider.clusters(), name).await.map_err(|error| failed(&*error))?;
        let kubeconfig = status.directory.join("pki").join("simulator.kubeconfig");
        let kubelets = tokio::spawn(async move {
            let log = |line: &str| eprintln!("simulated nodes: {line}");
            if let Err(error) = simulator::run(&kubeconfig, std::future::pending(), &log).await {
                eprintln!("simulated nodes: {error}");
            }
        });
        let api = ApiServer::open(cluster, hosts, admin.clone()).await?;
        Ok(Self { provider, name: name.into(), admin, api, kubelets, pools: tokio::sync::Mutex::default() })
    }

    /// The URL of its endpoint, and the authority's certificate, PEM.
    pub(crate) fn endpoint(&self) -> (String, String) {
        (format!("https://{}", self.api.address), self.api.authority.clone())
    }

    /// Puts in what EKS runs there itself: CoreDNS.
    pub(crate) async fn install_system(&self) -> Result<(), StandError> {
        let mut wanted = self.wanted(BTreeMap::new());
        wanted.cluster.provider = ProviderKind::Eks;
        wbk_provider_rehearsal::install(&self.admin, &wanted)
            .await
            .map_err(|error| StandError::plane("cannot install CoreDNS", &error))
    }

    /// Makes the nodes of a pool as it says, and waits until they are ready.
    pub(crate) async fn keep(&self, pool: PoolSpec) -> Result<(), StandError> {
        let name = pool.name.clone();
        self.pools.lock().await.insert(name.clone(), pool);
        self.reconcile(&name).await
    }

    /// Takes the nodes of a pool away.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), StandError> {
        self.pools.lock().await.remove(name);
        self.reconcile(name).await
    }

    async fn reconcile(&self, name: &str) -> Result<(), StandError> {
        let wanted = self.wanted(self.pools.lock().await.clone());
        let seen = self.provider.observe(&wanted).await;
        let target = ProviderTarget::NodePool(name.into());
        for operation in self.provider.plan(&wanted, &seen).iter().filter(|operation| operation.target == target) {
            self.provider
                .perform(&wanted, operation, "", &|_| {})
                .await
                .map_err(|error| StandError::plane("cannot make nodes", &error))?;
        }
        Ok(())
    }

    fn wanted(&self, pools: BTreeMap<String, PoolSpec>) -> Wanted {
        let cluster = ClusterSpec {
            provider: ProviderKind::Local,
            name: self.name.clone(),
            version: None,
            region: None,
            context: None,
            kubeconfig: None,
            uid: None,
            kind: KindSpec::default(),
            eks: None,
        };
        Wanted { blueprint: OWNER.into(), cluster, pools }
    }

    /// Ends its processes and removes its data.
    pub(crate) async fn end(self) -> Result<(), StandError> {
        self.kubelets.abort();
        let failed = |error| StandError::plane(format!("cannot end control plane {}", self.name), &error);
        self.provider.clusters().delete(&self.name, &|_| {}).await.map_err(failed)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.kubelets.abort();
    }
}

async fn administrator(clusters: &Clusters, name: &str) -> Result<kube::Client, Box<dyn std::error::Error>> {
    let access = clusters.access(name)?;
    let options =
        kube::config::KubeConfigOptions { context: Some(access.context), ..kube::config::KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(access.kubeconfig, &options).await?;
    // The API server is on this machine, whatever proxy the environment names.
    config.proxy_url = None;
    Ok(kube::Client::try_from(config)?)
}

/// The control plane's programs may have to be built first: that takes minutes, and is said.
fn tell(progress: Progress) {
    eprintln!("  {}", progress.0);
}
