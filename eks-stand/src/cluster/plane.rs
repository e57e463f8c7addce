//! The control plane of one EKS cluster: a cluster of the local provider, kubelets that are played by a task of this process, and
//! the endpoint in front of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
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
/// The label that EKS puts on the nodes of a node group.
const NODE_GROUP: &str = "eks.amazonaws.com/nodegroup";

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

    /// Puts in what Auto Mode brings, as far as it is seen from outside: the kinds of its pools. Quirk: nothing makes nodes of them, and
    /// AWS publishes no definition of NodeClass, so that any object is one.
    pub(crate) async fn install_auto_mode(&self) -> Result<(), StandError> {
        let failed = |error: &dyn std::error::Error| StandError::plane("cannot install the kinds of Auto Mode", error);
        let definition = tokio::task::spawn_blocking(crate::provide::node_pool_definition).await;
        let pool = definition.map_err(|error| failed(&error))??;
        let open = serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let class = serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "nodeclasses.eks.amazonaws.com"},
            "spec": {
                "group": "eks.amazonaws.com", "scope": "Cluster",
                "names": {"kind": "NodeClass", "listKind": "NodeClassList", "plural": "nodeclasses", "singular": "nodeclass"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": open}}],
            },
        });
        for (kind, body) in [("application/yaml", pool), ("application/json", class.to_string().into_bytes())] {
            let request = http::Request::post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
                .header(http::header::CONTENT_TYPE, kind)
                .body(body)
                .map_err(|error| failed(&error))?;
            self.admin.request_text(request).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Makes the nodes of a pool as it says, and waits until they are ready.
    pub(crate) async fn keep(&self, pool: PoolSpec) -> Result<(), StandError> {
        let name = pool.name.clone();
        let group = pool.labels.get(NODE_GROUP).cloned();
        self.pools.lock().await.insert(name.clone(), pool);
        self.reconcile(&name).await?;
        match group {
            Some(group) => self.identify(&group).await,
            None => Ok(()),
        }
    }

    /// The nodes of a node group as instances: their ids, and the zone of each.
    pub(crate) async fn instances(&self, group: &str) -> Result<Vec<(String, String)>, StandError> {
        let nodes = self.nodes_of(group).await?;
        let instance = |node: &Node| {
            let id = node.spec.as_ref()?.provider_id.as_deref()?.strip_prefix("aws:///")?;
            id.split_once('/').map(|(zone, instance)| (instance.to_owned(), zone.to_owned()))
        };
        Ok(nodes.iter().filter_map(instance).collect())
    }

    async fn nodes_of(&self, group: &str) -> Result<Vec<Node>, StandError> {
        let api: kube::Api<Node> = kube::Api::all(self.admin.clone());
        let of_group = kube::api::ListParams::default().labels(&format!("{NODE_GROUP}={group}"));
        let listed = api.list(&of_group).await.map_err(|error| StandError::plane("cannot list nodes", &error))?;
        Ok(listed.items)
    }

    /// Nodes of EC2 name their instance; by it an autoscaler knows which node is which.
    async fn identify(&self, group: &str) -> Result<(), StandError> {
        let api: kube::Api<Node> = kube::Api::all(self.admin.clone());
        for node in self.nodes_of(group).await? {
            let meta = &node.metadata;
            let (Some(name), Some(uid)) = (&meta.name, &meta.uid) else { continue };
            if node.spec.as_ref().is_some_and(|spec| spec.provider_id.is_some()) {
                continue;
            }
            let zone = meta.labels.as_ref().and_then(|labels| labels.get("topology.kubernetes.io/zone"));
            let digits: String = uid.chars().filter(char::is_ascii_hexdigit).take(17).collect();
            let id = format!("aws:///{}/i-{digits}", zone.map_or("", String::as_str));
            let patch = kube::api::Patch::Merge(serde_json::json!({"spec": {"providerID": id}}));
            let done = api.patch(name, &kube::api::PatchParams::default(), &patch).await;
            done.map_err(|error| StandError::plane("cannot say which instance a node is", &error))?;
        }
        Ok(())
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
