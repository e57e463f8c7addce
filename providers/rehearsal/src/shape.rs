//! What is wanted of a cloud, as it is asked of the local provider. Pure.

use wbk_provider_api::{PoolSize, ProviderKind, Wanted, birth, rehearsed_place};

/// Most nodes of a pool in a rehearsal: two show that more than one works, and each costs memory on this machine.
const NODES: u32 = 2;

/// The same platform on a local control plane: names stay, nodes get what the cloud would add, and every pool has a node,
/// because a pool that starts at zero has nothing to prove anything on.
pub fn rehearsed(wanted: &Wanted) -> Wanted {
    let mut local = wanted.clone();
    let provider = wanted.cluster.provider;
    local.cluster.provider = ProviderKind::Local;
    local.cluster.context = None;
    local.cluster.kubeconfig = None;
    local.cluster.uid = None;
    // Any version of the cloud is rehearsed on the one that this program brings.
    local.cluster.version = None;
    for pool in local.pools.values_mut() {
        let added = birth(provider, pool);
        for (key, value) in added.labels.into_iter().chain(rehearsed_place(wanted.cluster.region.as_deref())) {
            pool.labels.entry(key).or_insert(value);
        }
        pool.taints.extend(added.taints);
        pool.taints.sort();
        let min = pool.size.min.clamp(1, NODES);
        pool.size = PoolSize { min, max: pool.size.max.max(min) };
    }
    local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsed_pool_has_what_the_cloud_adds_and_at_least_one_node() {
        let mut wanted = wbk_provider_api::contract::wanted();
        wanted.cluster.provider = ProviderKind::Eks;
        wanted.pools.get_mut("one").unwrap().size = PoolSize { min: 0, max: 40 };
        let local = rehearsed(&wanted);
        assert_eq!(local.cluster.provider, ProviderKind::Local);
        let one = &local.pools["one"];
        assert_eq!(one.labels["eks.amazonaws.com/nodegroup"], "one");
        assert_eq!((one.size.min, one.size.max), (1, 40));
        assert_eq!(local, rehearsed(&wanted));
    }
}
