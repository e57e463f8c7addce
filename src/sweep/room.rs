//! How many agents a pool and a namespace's quota have room for, reckoned on what one pod asks for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::desired::Desired;
use crate::gpu::PoolProof;
use crate::quantity::Quantity;

/// Room for agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// As many fit at once.
    pub agents: u64,
    /// What bounds them.
    pub because: String,
    /// What gives more room.
    pub fix: String,
}

/// What one pod of a Job asks for: requests, limits, and itself.
fn asked(job: &Value) -> BTreeMap<String, Quantity> {
    let mut asked: BTreeMap<String, Quantity> = BTreeMap::new();
    let containers = job.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    for container in containers.into_iter().flatten() {
        for (part, prefix) in [("requests", "requests."), ("limits", "limits.")] {
            for (name, amount) in container["resources"][part].as_object().into_iter().flatten() {
                if let Some(amount) = Quantity::of(amount) {
                    let sum = asked.entry(format!("{prefix}{name}")).or_default();
                    *sum = *sum + amount;
                }
            }
        }
    }
    asked.insert("pods".into(), Quantity::whole(1));
    asked
}

/// How often `part` is in `whole`.
fn times(whole: Quantity, part: Quantity) -> u64 {
    if part <= Quantity::default() {
        return u64::MAX;
    }
    // Exact: in billionths. A negative rest has no room.
    let (mut low, mut high) = (0_u64, 1_u64 << 32);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if part.times(middle) <= whole { low = middle } else { high = middle - 1 }
    }
    low
}

/// The tightest of pool and quota; `None` where neither says anything.
pub fn room(desired: &Desired, pools: &[PoolProof], pool: Option<&str>, job: &Value) -> Option<Room> {
    let asked = asked(job);
    let of_pool = pool.and_then(|pool| pool_room(pools, pool, &asked));
    let namespace = job["metadata"]["namespace"].as_str().unwrap_or_default();
    of_pool.into_iter().chain(quota_room(desired, namespace, &asked)).min_by_key(|room| room.agents)
}

fn pool_room(pools: &[PoolProof], pool: &str, asked: &BTreeMap<String, Quantity>) -> Option<Room> {
    let mut agents = 0_u64;
    let mut because = None;
    let mut seen = false;
    for proof in pools.iter().filter(|proof| proof.pool.as_deref().unwrap_or(&proof.name) == pool) {
        let tightest = proof
            .resources
            .iter()
            .filter_map(|resource| {
                let wanted = asked.get(&format!("requests.{}", resource.name)).or_else(|| asked.get(&resource.name))?;
                Some((times(resource.left.parse().ok()?, *wanted), &resource.name))
            })
            .min()?;
        seen = true;
        agents = agents.saturating_add(tightest.0.saturating_mul(u64::from(proof.max)));
        because = Some(format!(
            "pool {pool} has at most {} nodes, and {} of one are enough for {}",
            proof.max, tightest.1, tightest.0
        ));
    }
    because.filter(|_| seen).map(|because| Room { agents, because, fix: format!("raise nodePools[{pool}].size.max") })
}

fn quota_room(desired: &Desired, namespace: &str, asked: &BTreeMap<String, Quantity>) -> Option<Room> {
    let quotas = desired
        .objects
        .iter()
        .filter(|object| object.id.gvk.kind == "ResourceQuota" && object.id.namespace.as_deref() == Some(namespace));
    let bounds = quotas.flat_map(|quota| quota.manifest["spec"]["hard"].as_object().into_iter().flatten());
    bounds
        .filter_map(|(name, hard)| {
            let wanted = asked.get(name).or_else(|| asked.get(&format!("requests.{name}")))?;
            let hard = Quantity::of(hard)?;
            Some(Room {
                agents: times(hard, *wanted),
                because: format!(
                    "the quota of namespace {namespace} allows {hard} {name}, and an agent asks for {wanted}"
                ),
                fix: format!("raise the quota of namespaces[{namespace}]"),
            })
        })
        .min_by_key(|room| room.agents)
}

/// Pods that one GPU of a pool is shared by; `None` where its nodes are not known.
pub fn agents_per_gpu(desired: &Desired, pools: &[PoolProof], pool: Option<&str>, job: &Value) -> Option<u64> {
    let pool = pool?;
    let gpus = desired.wanted.pools.get(pool)?.accelerator.as_ref()?.count;
    let proof = pools.iter().find(|proof| proof.pool.as_deref().unwrap_or(&proof.name) == pool)?;
    let asked = asked(job);
    let shares = proof
        .resources
        .iter()
        .find(|resource| resource.name.contains('/') && asked.contains_key(&format!("limits.{}", resource.name)))?;
    let wanted = asked.get(&format!("limits.{}", shares.name))?;
    let shares: Quantity = shares.allocatable.parse().ok()?;
    Some((times(shares, *wanted) / u64::from(gpus.max(1))).max(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gpu::NodeResource;

    fn proof(max: u32, left: &[(&str, &str)]) -> PoolProof {
        let resource = |(name, left): &(&str, &str)| NodeResource {
            name: (*name).into(),
            allocatable: (*left).into(),
            left: (*left).into(),
            from: "the node".into(),
        };
        PoolProof {
            name: "l4".into(),
            pool: None,
            min: 0,
            max,
            accelerator: None,
            taints: Vec::new(),
            labels: Vec::new(),
            resources: left.iter().map(resource).collect(),
            daemon_sets: Vec::new(),
        }
    }

    fn job() -> Value {
        json!({"spec": {"template": {"spec": {"containers": [{"resources": {
            "requests": {"cpu": "1500m", "memory": "6Gi", "nvidia.com/gpu": "1"}, "limits": {"memory": "6Gi", "nvidia.com/gpu": "1"}}}]}}}})
    }

    #[test]
    fn the_scarcest_of_a_nodes_resources_bounds_its_agents() {
        let asked = asked(&job());
        let room = |left: &[(&str, &str)]| pool_room(&[proof(3, left)], "l4", &asked).map(|room| room.agents);
        assert_eq!(room(&[("cpu", "8"), ("memory", "64Gi"), ("nvidia.com/gpu", "4"), ("pods", "110")]), Some(12));
        assert_eq!(room(&[("cpu", "2900m"), ("memory", "64Gi"), ("nvidia.com/gpu", "4")]), Some(3));
        assert_eq!(room(&[("cpu", "8"), ("memory", "17Gi"), ("nvidia.com/gpu", "4")]), Some(6));
        assert_eq!(room(&[("cpu", "1")]), Some(0));
        assert_eq!(pool_room(&[proof(3, &[("cpu", "8")])], "other", &asked), None);
    }

    #[test]
    fn amounts_are_divided_exactly() {
        let quantity = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(times(quantity("1"), quantity("100m")), 10);
        assert_eq!(times(quantity("1"), quantity("101m")), 9);
        assert_eq!(times(quantity("16Gi"), quantity("16Gi")), 1);
        assert_eq!(times(quantity("0"), quantity("1")), 0);
        assert_eq!(times(quantity("1"), quantity("0")), u64::MAX);
    }
}
