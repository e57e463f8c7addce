//! What has to change, from what is wanted and what was seen. Pure.

use serde_json::Value;
use wbk_provider_api::{
    ClusterSeen, Disruption, FieldDiff, Observed, Operation, OperationAction, PoolSeen, PoolSpec, ProviderTarget, Seen,
    TaintEffect, Wanted, differences,
};

/// A first creation pulls or builds its programs and images: [`crate::machine`] says how long each may take.
const CLUSTER_SECONDS: u64 = 3600;
/// Labels take a second, loading an image half a minute, and draining a node waits for its pods.
const POOL_SECONDS: u64 = 900;

/// What makes the world as it is wanted.
pub(crate) fn plan(wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
    let cluster = ProviderTarget::Cluster(wanted.cluster.name.clone());
    let found = match &seen.cluster {
        // What cannot be seen is neither created nor changed.
        Seen::Unknown(_) => return Vec::new(),
        Seen::Absent => {
            let nodes: u32 = wanted.pools.values().map(|pool| pool.size.min).sum();
            let reason = format!("there is no kind cluster of this name; it is made with {nodes} nodes in its pools");
            let mut operations =
                vec![Operation::new(OperationAction::Create, cluster.clone(), reason, CLUSTER_SECONDS)];
            operations.extend(wanted.pools.values().map(|pool| {
                let needs = vec![cluster.clone()];
                let reason = format!("there is no such pool; it has {} nodes of the new cluster", pool.size.min);
                let target = ProviderTarget::NodePool(pool.name.clone());
                Operation { needs, ..Operation::new(OperationAction::Create, target, reason, POOL_SECONDS) }
            }));
            return operations;
        }
        Seen::Present(found) if !found.running => {
            let reason = "not all of it runs, or its creation was interrupted; its node pools are seen when it runs";
            let start = Operation::new(OperationAction::Start, cluster, reason, CLUSTER_SECONDS);
            return vec![Operation { expect: found.fingerprint.clone(), ..start }];
        }
        Seen::Present(found) => found,
    };
    let mut operations = Vec::new();
    let mut anew = Anew::of(wanted, found);
    for (name, pool) in &wanted.pools {
        match seen.pools.get(name) {
            Some(Seen::Unknown(_)) => {}
            Some(Seen::Present(there)) => {
                anew.grows(pool, there.nodes);
                operations.extend(update(pool, there));
            }
            Some(Seen::Absent) | None if pool.size.min > 0 => anew.grows(pool, 0),
            Some(Seen::Absent) | None => {
                let reason = "there is no such pool; it has no nodes now".to_owned();
                let target = ProviderTarget::NodePool(name.clone());
                operations.push(Operation::new(OperationAction::Create, target, reason, POOL_SECONDS));
            }
        }
    }
    for (name, there) in &seen.pools {
        if let (false, Seen::Present(there)) = (wanted.pools.contains_key(name), there)
            && !anew.keeps(name)
        {
            operations.push(delete(name, there, "the blueprint no longer has it"));
        }
    }
    if let Some(replace) = anew.operation(cluster, found, &operations) {
        operations.push(replace);
    }
    operations
}

/// What removes everything of the blueprint's: nodes go with their cluster, at once.
pub(crate) fn plan_destroy(wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
    let Seen::Present(found) = &seen.cluster else { return Vec::new() };
    let jobs: Vec<&str> = seen.pools.values().filter_map(Seen::present).flat_map(|pool| jobs(pool, |_| true)).collect();
    let name = &wanted.cluster.name;
    let mut lost = format!("everything in kind cluster {name}");
    if !jobs.is_empty() {
        lost = format!("{lost}, with Job pods {}", jobs.join(", "));
    }
    let target = ProviderTarget::Cluster(name.clone());
    vec![Operation {
        disruption: Disruption::LosesData(lost),
        expect: found.fingerprint.clone(),
        ..Operation::new(OperationAction::Delete, target, "the platform is destroyed", POOL_SECONDS)
    }]
}

/// Why a cluster must be made anew: what kind cannot change.
struct Anew {
    reasons: Vec<String>,
    diff: Vec<FieldDiff>,
    /// The pool that the control plane is a node of, where that is to change.
    former: Option<String>,
}

impl Anew {
    fn of(wanted: &Wanted, found: &ClusterSeen) -> Self {
        let mut anew = Self { reasons: Vec::new(), diff: found.deviations.clone(), former: None };
        for diff in &found.deviations {
            anew.reasons.push(match diff.path.as_str() {
                "kind.controlPlane" => {
                    anew.former = diff.old.as_ref().and_then(Value::as_str).map(str::to_owned);
                    "the pool of its control plane is fixed".into()
                }
                path => format!("{path} is fixed"),
            });
        }
        if let (Some(minor), Some(has)) = (wanted.cluster.version.as_deref(), found.version.as_deref())
            && has != minor
            && !has.strip_prefix(minor).is_some_and(|rest| rest.starts_with('.'))
        {
            anew.reasons.push("kind changes no cluster's Kubernetes version".into());
            anew.diff.push(FieldDiff { path: "version".into(), old: Some(has.into()), new: Some(minor.into()) });
        }
        anew
    }

    fn grows(&mut self, pool: &PoolSpec, has: u32) {
        if pool.size.min > has {
            self.reasons
                .push(format!("kind adds no nodes to a cluster, and pool {} needs {}", pool.name, pool.size.min));
            self.diff.push(FieldDiff {
                path: format!("nodePools[{}].nodes", pool.name),
                old: Some(has.into()),
                new: Some(pool.size.min.into()),
            });
        }
    }

    /// A pool that holds the control plane cannot be taken away from under it.
    fn keeps(&self, pool: &str) -> bool {
        self.former.as_deref() == Some(pool)
    }

    fn operation(self, cluster: ProviderTarget, found: &ClusterSeen, before: &[Operation]) -> Option<Operation> {
        if self.reasons.is_empty() {
            return None;
        }
        let name = match &cluster {
            ProviderTarget::Cluster(name) | ProviderTarget::NodePool(name) => name.clone(),
            ProviderTarget::Part(id) => id.name.clone(),
        };
        let reason = format!("{}: it must be deleted and made anew", self.reasons.join("; "));
        Some(Operation {
            diff: self.diff,
            disruption: Disruption::LosesData(format!("everything in kind cluster {name}")),
            expect: found.fingerprint.clone(),
            // What can be changed in place is, whether or not this is allowed.
            needs: before.iter().map(|operation| operation.target.clone()).collect(),
            ..Operation::new(OperationAction::Replace, cluster, reason, CLUSTER_SECONDS)
        })
    }
}

fn update(pool: &PoolSpec, found: &PoolSeen) -> Option<Operation> {
    // Nodes that are missing are the cluster's matter; nothing here can make them, and an update must not say that it did.
    let here =
        if pool.size.min > found.nodes { PoolSpec { size: found.spec.size, ..pool.clone() } } else { pool.clone() };
    let mut changes = differences(&found.spec, &here);
    let reason = match (changes.is_empty(), found.deviations.is_empty(), found.nodes > pool.size.min) {
        (true, true, false) => return None,
        (false, true, _) => "the blueprint wants it otherwise",
        (true, _, _) => "its nodes are not as the pool says",
        (false, false, _) => "the blueprint wants it otherwise, and its nodes are not as the pool says",
    };
    changes.extend(found.deviations.iter().cloned());
    let target = ProviderTarget::NodePool(pool.name.clone());
    Some(Operation {
        diff: changes,
        disruption: disruption(pool, found),
        expect: found.fingerprint.clone(),
        ..Operation::new(OperationAction::Update, target, reason, POOL_SECONDS)
    })
}

fn disruption(pool: &PoolSpec, found: &PoolSeen) -> Disruption {
    if found.nodes > pool.size.min {
        let surplus = found.nodes - pool.size.min;
        let jobs = jobs(found, |_| true);
        let among =
            if jobs.is_empty() { String::new() } else { format!(", Job pods {} may be among them", jobs.join(", ")) };
        return Disruption::Stops(format!("the pods of {surplus} nodes that are drained and removed{among}"));
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
    let disruption = if !stopped.is_empty() {
        Disruption::Stops(format!("Job pods {}", stopped.join(", ")))
    } else if found.nodes > 0 {
        Disruption::Rolling
    } else {
        Disruption::None
    };
    let target = ProviderTarget::NodePool(name.into());
    Operation {
        disruption,
        expect: found.fingerprint.clone(),
        ..Operation::new(OperationAction::Delete, target, reason, POOL_SECONDS)
    }
}

fn jobs(found: &PoolSeen, on: impl Fn(&str) -> bool) -> Vec<&str> {
    found.jobs.iter().filter(|(node, _)| on(node)).flat_map(|(_, pods)| pods.iter().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::nodes::tests::{pool, wanted};

    fn seen(wanted: &Wanted) -> Observed {
        let there = |pool: &PoolSpec| {
            Seen::Present(PoolSeen {
                spec: pool.clone(),
                nodes: pool.size.min,
                deviations: Vec::new(),
                jobs: BTreeMap::new(),
                fingerprint: "f".into(),
            })
        };
        Observed::of(
            Seen::Present(ClusterSeen {
                version: Some("1.36.3".into()),
                running: true,
                fingerprint: "c".into(),
                deviations: Vec::new(),
            }),
            wanted.pools.iter().map(|(name, pool)| (name.clone(), there(pool))).collect(),
        )
    }

    fn lines(operations: &[Operation]) -> Vec<String> {
        operations.iter().map(|operation| format!("{:?} {}", operation.action, operation.target)).collect()
    }

    #[test]
    fn more_nodes_mean_a_new_cluster_and_fewer_do_not() {
        let before = wanted(vec![pool("a", 2), pool("b", 1)]);
        let world = seen(&before);
        let more = plan(&wanted(vec![pool("a", 3), pool("b", 1)]), &world);
        assert_eq!(lines(&more), ["Replace cluster k"], "no update can add a node");
        assert!(more[0].reason.contains("pool a needs 3"), "{}", more[0].reason);
        assert!(matches!(more[0].disruption, Disruption::LosesData(_)));
        let mut labelled = pool("a", 3);
        labelled.labels.insert("new".into(), "1".into());
        let both = plan(&wanted(vec![labelled, pool("b", 1)]), &world);
        assert_eq!(lines(&both), ["Update node pool a", "Replace cluster k"]);
        let paths: Vec<&str> = both[0].diff.iter().map(|diff| diff.path.as_str()).collect();
        assert_eq!(paths, ["labels.new"], "what can be changed in place is");
        let added = plan(&wanted(vec![pool("a", 2), pool("b", 1), pool("c", 1)]), &world);
        assert_eq!(lines(&added), ["Replace cluster k"]);
        let fewer = plan(&wanted(vec![pool("a", 1)]), &world);
        assert_eq!(lines(&fewer), ["Update node pool a", "Delete node pool b"]);
        assert!(matches!(fewer[0].disruption, Disruption::Stops(_)));
        assert_eq!(fewer[1].disruption, Disruption::Rolling);
    }

    #[test]
    fn labels_and_taints_change_in_place() {
        let before = wanted(vec![pool("a", 1)]);
        let mut after = before.clone();
        after.pools.get_mut("a").unwrap().labels.insert("new".into(), "1".into());
        let operations = plan(&after, &seen(&before));
        assert_eq!(lines(&operations), ["Update node pool a"]);
        assert_eq!((operations[0].diff[0].path.as_str(), &operations[0].disruption), ("labels.new", &Disruption::None));
    }

    #[test]
    fn another_version_or_image_means_a_new_cluster() {
        let mut other = wanted(vec![pool("a", 1)]);
        let mut world = seen(&other);
        other.cluster.version = Some("1.36".into());
        assert_eq!(plan(&other, &world), [], "a patch release of it");
        other.cluster.version = Some("1.3".into());
        assert_eq!(lines(&plan(&other, &world)), ["Replace cluster k"]);
        other.cluster.version = None;
        if let Seen::Present(cluster) = &mut world.cluster {
            cluster.deviations.push(FieldDiff { path: "kind.image".into(), old: Some("x".into()), new: None });
        }
        assert_eq!(lines(&plan(&other, &world)), ["Replace cluster k"]);
    }

    #[test]
    fn what_was_interrupted_or_stopped_is_started() {
        let wanted = wanted(vec![pool("a", 1)]);
        let mut world = seen(&wanted);
        if let Seen::Present(cluster) = &mut world.cluster {
            cluster.running = false;
        }
        assert_eq!(lines(&plan(&wanted, &world)), ["Start cluster k"]);
        assert_eq!(lines(&plan_destroy(&wanted, &world)), ["Delete cluster k"]);
    }
}
