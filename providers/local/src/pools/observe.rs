//! Reads the pools of a running cluster: three lists, at once.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use sha2::{Digest as _, Sha256};
use wbk_provider_api::{PoolSeen, PoolSpec, Seen, Wanted, Why};

use super::{nodes, record};
use crate::{LocalError, names};

/// The label that the Job controller puts on its pods.
const OF_A_JOB: &str = "batch.kubernetes.io/job-name";

/// Everything that was read.
pub(crate) struct World {
    records: Vec<ConfigMap>,
    nodes: Vec<Node>,
    jobs: Vec<Pod>,
}

impl World {
    pub(crate) async fn read(client: &kube::Client) -> Result<Self, LocalError> {
        let of_pools = ListParams::default().labels(names::POOL);
        let all = ListParams::default();
        let of_jobs = ListParams::default()
            .labels(OF_A_JOB)
            .fields("spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed");
        let records = Api::<ConfigMap>::namespaced(client.clone(), record::NAMESPACE);
        let nodes = Api::<Node>::all(client.clone());
        let pods = Api::<Pod>::all(client.clone());
        let (records, nodes, jobs) = futures::try_join!(records.list(&of_pools), nodes.list(&all), pods.list(&of_jobs))
            .map_err(LocalError::api("read the node pools"))?;
        Ok(Self { records: records.items, nodes: nodes.items, jobs: jobs.items })
    }

    /// The nodes of a pool that are ours.
    pub(super) fn nodes_of(&self, pool: &str) -> Vec<Node> {
        self.nodes.iter().filter(|node| nodes::pool_of(node) == Some(pool)).cloned().collect()
    }

    /// The blueprints that have pools here, beside `blueprint`.
    pub(crate) fn other_blueprints(&self, blueprint: &str) -> BTreeSet<String> {
        let of = |record: &ConfigMap| record.annotations().get(names::BLUEPRINT).cloned();
        self.records.iter().filter_map(of).filter(|found| found != blueprint).collect()
    }

    /// One pool, wanted or not.
    pub(super) fn pool(&self, blueprint: &str, name: &str, wanted: Option<&PoolSpec>) -> Seen<PoolSeen> {
        let nodes = self.nodes_of(name);
        let found = self.records.iter().find(|found| found.name_any() == record::name(name)).and_then(record::read);
        let spec = match found {
            Some((owner, _)) if owner != blueprint => {
                return Seen::Unknown(Why(format!("a pool of this name belongs to the blueprint {owner}")));
            }
            Some((_, spec)) => spec,
            None => match nodes::rebuilt(name, wanted, &nodes) {
                Some(spec) => spec,
                None => return Seen::Absent,
            },
        };
        let deviations = nodes::deviations(blueprint, &spec, &nodes);
        let on_nodes: BTreeSet<String> = nodes.iter().map(ResourceExt::name_any).collect();
        let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in &self.jobs {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
            if on_nodes.contains(&node) {
                jobs.entry(node).or_default().push(format!(
                    "{}/{}",
                    pod.namespace().unwrap_or_default(),
                    pod.name_any()
                ));
            }
        }
        let fingerprint = fingerprint(&spec, &deviations, &nodes);
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        Seen::Present(PoolSeen { spec, nodes: count, deviations, jobs, fingerprint })
    }
}

/// The pools that are wanted, and those that are the blueprint's and are not.
pub(crate) fn observe(world: &World, wanted: &Wanted) -> BTreeMap<String, Seen<PoolSeen>> {
    let mut names: BTreeSet<String> = wanted.pools.keys().cloned().collect();
    names.extend(
        world
            .records
            .iter()
            .filter_map(record::read)
            .filter(|(owner, _)| *owner == wanted.blueprint)
            .map(|(_, spec)| spec.name),
    );
    names.extend(
        world
            .nodes
            .iter()
            .filter(|node| nodes::blueprint_of(node) == Some(wanted.blueprint.as_str()))
            .filter_map(|node| nodes::pool_of(node).map(str::to_owned)),
    );
    let seen = |name: &String| world.pool(&wanted.blueprint, name, wanted.pools.get(name));
    names
        .iter()
        .map(|name| (name.clone(), seen(name)))
        .filter(|(name, seen)| {
            // A pool that is not wanted and not there is not worth a word.
            wanted.pools.contains_key(name) || *seen != Seen::Absent
        })
        .collect()
}

/// Digest of all that a change of the pool builds on; heartbeats and what others write are not in it.
fn fingerprint(spec: &PoolSpec, deviations: &[wbk_provider_api::FieldDiff], nodes: &[Node]) -> String {
    let mut uids: Vec<String> = nodes.iter().filter_map(ResourceExt::uid).collect();
    uids.sort();
    let all = serde_json::to_vec(&(spec, deviations, uids)).expect("what was seen is plain data");
    let digest = Sha256::digest(all);
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
