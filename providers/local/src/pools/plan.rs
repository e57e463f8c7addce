//! What has to change, from what is wanted and what was seen. Pure.

use wbk_provider_api::{
    ClusterSeen, Disruption, FieldDiff, Observed, Operation, OperationAction, PoolSeen, PoolSpec, ProviderTarget, Seen,
    TaintEffect, Wanted, differences,
};

use super::nodes;

/// Creating or starting may have to build the control plane first: 4 minutes on two idle cores, 14 on busy ones.
const CLUSTER_SECONDS: u64 = 3600;
/// Nodes are ready in a second; deleting waits for their pods.
const POOL_SECONDS: u64 = 300;

/// What makes the world as it is wanted.
pub(crate) fn plan(wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
    let cluster = ProviderTarget::Cluster(wanted.cluster.name.clone());
    let mut operations = Vec::new();
    let needs = match &seen.cluster {
        // What cannot be seen is neither created nor changed.
        Seen::Unknown(_) => return operations,
        Seen::Absent => {
            operations.push(Operation::new(
                OperationAction::Create,
                cluster.clone(),
                "there is no local cluster of this name",
                CLUSTER_SECONDS,
            ));
            vec![cluster]
        }
        Seen::Present(found) => {
            if let Some(replace) = other_version(wanted, found) {
                return vec![replace];
            }
            if !found.running {
                operations.push(Operation {
                    expect: found.fingerprint.clone(),
                    ..Operation::new(
                        OperationAction::Start,
                        cluster,
                        "not all of its processes run; its node pools are seen when they do",
                        CLUSTER_SECONDS,
                    )
                });
                return operations;
            }
            Vec::new()
        }
    };
    for (name, pool) in &wanted.pools {
        match seen.pools.get(name) {
            Some(Seen::Unknown(_)) => {}
            Some(Seen::Present(found)) => operations.extend(update(pool, found, &needs)),
            Some(Seen::Absent) | None => operations.push(create(pool, &needs)),
        }
    }
    for (name, found) in &seen.pools {
        if let (false, Seen::Present(found)) = (wanted.pools.contains_key(name), found) {
            operations.push(delete(name, found, "the blueprint no longer has it"));
        }
    }
    operations
}

/// What removes everything of the blueprint's.
pub(crate) fn plan_destroy(wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
    let Seen::Present(cluster) = &seen.cluster else { return Vec::new() };
    let mut operations: Vec<Operation> = seen
        .pools
        .iter()
        .filter_map(|(name, found)| Some(delete(name, found.present()?, "the platform is destroyed")))
        .collect();
    let needs = operations.iter().map(|operation| operation.target.clone()).collect();
    operations.push(Operation {
        disruption: Disruption::LosesData(format!("everything in local cluster {}", wanted.cluster.name)),
        expect: cluster.fingerprint.clone(),
        needs,
        ..Operation::new(
            OperationAction::Delete,
            ProviderTarget::Cluster(wanted.cluster.name.clone()),
            "the platform is destroyed",
            POOL_SECONDS,
        )
    });
    operations
}

/// A cluster keeps its minor version for life: its data would have to move.
fn other_version(wanted: &Wanted, found: &ClusterSeen) -> Option<Operation> {
    let (minor, has) = (wanted.cluster.version.as_deref()?, found.version.as_deref()?);
    if has == minor || has.strip_prefix(minor).is_some_and(|rest| rest.starts_with('.')) {
        return None;
    }
    let diff = FieldDiff { path: "version".into(), old: Some(has.into()), new: Some(minor.into()) };
    Some(Operation {
        diff: vec![diff],
        disruption: Disruption::LosesData(format!("everything in local cluster {}", wanted.cluster.name)),
        expect: found.fingerprint.clone(),
        ..Operation::new(
            OperationAction::Replace,
            ProviderTarget::Cluster(wanted.cluster.name.clone()),
            format!("a local cluster keeps its minor version; it must be deleted and made anew for {minor}"),
            CLUSTER_SECONDS,
        )
    })
}

fn create(pool: &PoolSpec, needs: &[ProviderTarget]) -> Operation {
    let nodes = pool.size.min;
    Operation {
        needs: needs.to_vec(),
        ..Operation::new(
            OperationAction::Create,
            ProviderTarget::NodePool(pool.name.clone()),
            format!("there is no such pool; {nodes} simulated nodes are made"),
            POOL_SECONDS,
        )
    }
}

fn update(pool: &PoolSpec, found: &PoolSeen, needs: &[ProviderTarget]) -> Option<Operation> {
    let mut changes = differences(&found.spec, pool);
    let reason = match (changes.is_empty(), found.deviations.is_empty()) {
        (true, true) => return None,
        (false, true) => "the blueprint wants it otherwise",
        (true, false) => "its nodes are not as the pool says",
        (false, false) => "the blueprint wants it otherwise, and its nodes are not as the pool says",
    };
    changes.extend(found.deviations.iter().cloned());
    Some(Operation {
        diff: changes,
        disruption: disruption(pool, found),
        expect: found.fingerprint.clone(),
        needs: needs.to_vec(),
        ..Operation::new(OperationAction::Update, ProviderTarget::NodePool(pool.name.clone()), reason, POOL_SECONDS)
    })
}

fn disruption(pool: &PoolSpec, found: &PoolSeen) -> Disruption {
    let kept = nodes::names_of(pool);
    let stopped: Vec<&str> = jobs(found, |node| !kept.iter().any(|name| name == node));
    if !stopped.is_empty() {
        return Disruption::Stops(format!("Job pods {}", stopped.join(", ")));
    }
    let evicts: Vec<&str> = pool
        .taints
        .iter()
        .filter(|taint| taint.effect == TaintEffect::NoExecute && !found.spec.taints.contains(taint))
        .map(|taint| taint.key.as_str())
        .collect();
    if evicts.is_empty() {
        Disruption::None
    } else {
        Disruption::Stops(format!("pods that do not tolerate {}", evicts.join(", ")))
    }
}

fn delete(name: &str, found: &PoolSeen, reason: &str) -> Operation {
    let stopped = jobs(found, |_| true);
    Operation {
        disruption: if stopped.is_empty() {
            Disruption::None
        } else {
            Disruption::Stops(format!("Job pods {}", stopped.join(", ")))
        },
        expect: found.fingerprint.clone(),
        ..Operation::new(OperationAction::Delete, ProviderTarget::NodePool(name.into()), reason, POOL_SECONDS)
    }
}

fn jobs(found: &PoolSeen, on: impl Fn(&str) -> bool) -> Vec<&str> {
    found.jobs.iter().filter(|(node, _)| on(node)).flat_map(|(_, pods)| pods.iter().map(String::as_str)).collect()
}
