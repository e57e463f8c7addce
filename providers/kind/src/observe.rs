//! Reads a cluster: its containers, and of one that runs its record, nodes, Jobs and images, all at once.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use sha2::{Digest as _, Sha256};
use wbk_provider_api::{ClusterSeen, FieldDiff, PoolSeen, PoolSpec, Seen, Wanted};

use crate::containers::{Container, control_plane};
use crate::machine::Machine;
use crate::nodes::{self, Found};
use crate::{KindError, record};

/// The label that the Job controller puts on its pods.
const OF_A_JOB: &str = "batch.kubernetes.io/job-name";

/// Everything that was read of a running cluster.
pub(crate) struct World {
    pub containers: Vec<Container>,
    pub record: Option<ConfigMap>,
    pub nodes: BTreeMap<String, Node>,
    jobs: Vec<Pod>,
    images: BTreeMap<String, BTreeSet<String>>,
    version: Option<String>,
}

impl World {
    pub(crate) async fn read(
        machine: &Machine,
        client: &kube::Client,
        containers: Vec<Container>,
        load: &BTreeSet<String>,
    ) -> Result<Self, KindError> {
        let of_jobs = ListParams::default()
            .labels(OF_A_JOB)
            .fields("spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed");
        let all = ListParams::default();
        let records = Api::<ConfigMap>::namespaced(client.clone(), record::NAMESPACE);
        let nodes = Api::<Node>::all(client.clone());
        let pods = Api::<Pod>::all(client.clone());
        let from_server = async {
            futures::try_join!(
                records.get_opt(record::NAME),
                nodes.list(&all),
                pods.list(&of_jobs),
                client.apiserver_version()
            )
            .map_err(KindError::api("read the nodes"))
        };
        let images = async {
            if load.is_empty() {
                return Ok(Vec::new());
            }
            let running = containers.iter().filter(|container| container.running);
            try_join_all(running.map(|container| async {
                Ok::<_, KindError>((container.name.clone(), machine.images(&container.name).await?))
            }))
            .await
        };
        let ((record, nodes, jobs, version), images) = futures::try_join!(from_server, images)?;
        Ok(Self {
            record,
            nodes: nodes.items.into_iter().map(|node| (node.name_any(), node)).collect(),
            jobs: jobs.items,
            images: images.into_iter().collect(),
            version: Some(version.git_version.trim_start_matches('v').to_owned()),
            containers,
        })
    }

    /// The containers of a pool, in the order in which kind numbers nodes.
    pub(crate) fn of_pool(&self, pool: &str) -> Vec<&Container> {
        let mut found: Vec<&Container> =
            self.containers.iter().filter(|container| container.pool.as_deref() == Some(pool)).collect();
        found.sort_by_key(|container| (container.role as u8, container.name.len(), container.name.clone()));
        found
    }

    /// The images of `load` that nodes of a pool lack, by node.
    pub(crate) fn lacking(&self, container: &Container, load: &BTreeSet<String>) -> Vec<String> {
        // A node that was not asked (it does not run) is known by that already.
        let has = self.images.get(&container.name);
        load.iter().filter(|image| has.is_some_and(|has| !has.contains(*image))).cloned().collect()
    }

    fn found<'a>(&'a self, pool: &str, load: &BTreeSet<String>) -> Vec<Found<'a>> {
        self.of_pool(pool)
            .into_iter()
            .map(|container| Found {
                name: &container.name,
                running: container.running,
                node: self.nodes.get(&container.name),
                lacks: self.lacking(container, load),
            })
            .collect()
    }

    /// One pool, wanted or not.
    pub(crate) fn pool(&self, wanted: &Wanted, name: &str) -> Seen<PoolSeen> {
        let found = self.found(name, &wanted.cluster.kind.load);
        let recorded = self.record.as_ref().and_then(|record| record::pools(record).remove(name));
        let spec = match recorded.or_else(|| nodes::rebuilt(name, wanted.pools.get(name), &found)) {
            Some(spec) => spec,
            None => return Seen::Absent,
        };
        let deviations = nodes::deviations(&wanted.blueprint, &spec, &found);
        let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in &self.jobs {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
            if found.iter().any(|one| one.name == node) {
                let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
                jobs.entry(node).or_default().push(name);
            }
        }
        let fingerprint = fingerprint(&spec, &deviations, &self.of_pool(name));
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        Seen::Present(PoolSeen { spec, nodes: count, deviations, jobs, fingerprint })
    }

    /// The pools that are wanted, and those that are there and are not.
    pub(crate) fn pools(&self, wanted: &Wanted) -> BTreeMap<String, Seen<PoolSeen>> {
        let mut names: BTreeSet<String> = wanted.pools.keys().cloned().collect();
        names.extend(self.record.iter().flat_map(|record| record::pools(record).into_keys()));
        names.extend(self.containers.iter().filter_map(|container| container.pool.clone()));
        names
            .iter()
            .map(|name| (name.clone(), self.pool(wanted, name)))
            // A pool that is not wanted and not there is not worth a word.
            .filter(|(name, seen)| wanted.pools.contains_key(name) || *seen != Seen::Absent)
            .collect()
    }

    /// The cluster, where it is complete.
    pub(crate) fn cluster(&self, wanted: &Wanted) -> ClusterSeen {
        ClusterSeen {
            version: self.version.clone(),
            running: self.record.is_some() && control_plane(&self.containers).is_some_and(|node| node.running),
            fingerprint: identity(&self.containers),
            deviations: fixed(wanted, &self.containers),
        }
    }
}

/// What of a cluster cannot be changed, where it is not as wanted.
pub(crate) fn fixed(wanted: &Wanted, containers: &[Container]) -> Vec<FieldDiff> {
    let mut diff = Vec::new();
    let Some(found) = control_plane(containers) else { return diff };
    let kind = &wanted.cluster.kind;
    if let Some(image) = kind.image.as_ref().filter(|image| **image != found.image) {
        let (old, new) = (Some(found.image.clone().into()), Some(image.clone().into()));
        diff.push(FieldDiff { path: "kind.image".into(), old, new });
    }
    if kind.control_plane != found.pool {
        let value = |pool: &Option<String>| pool.clone().map(Into::into);
        diff.push(FieldDiff {
            path: "kind.controlPlane".into(),
            old: value(&found.pool),
            new: value(&kind.control_plane),
        });
    }
    diff
}

/// What a cluster is told from its successor by: the control plane's container. Workers come and go.
pub(crate) fn identity(containers: &[Container]) -> String {
    let id = control_plane(containers).or(containers.first()).map(|container| container.id.as_str());
    id.unwrap_or_default().chars().take(24).collect()
}

/// Digest of all that a change of the pool builds on; heartbeats and what others write are not in it.
fn fingerprint(spec: &PoolSpec, deviations: &[FieldDiff], containers: &[&Container]) -> String {
    let ids: Vec<&str> = containers.iter().map(|container| container.id.as_str()).collect();
    let all = serde_json::to_vec(&(spec, deviations, ids)).expect("what was seen is plain data");
    Sha256::digest(all).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// Which of the nodes lack which of the images, for loading: image to nodes.
pub(crate) async fn lacking(
    machine: &Machine,
    containers: &[&Container],
    load: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<String>>, KindError> {
    let mut lacking: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if load.is_empty() {
        return Ok(lacking);
    }
    let listed = join_all(containers.iter().map(|container| machine.images(&container.name))).await;
    for (container, has) in containers.iter().zip(listed) {
        let has = has?;
        for image in load.iter().filter(|image| !has.contains(*image)) {
            lacking.entry(image.clone()).or_default().push(container.name.clone());
        }
    }
    Ok(lacking)
}
