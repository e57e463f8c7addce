//! Node groups: made, changed in place, made anew beside the old one, removed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wbk_provider_api::{
    Disruption, FieldDiff, Gate, Operation, OperationAction, PoolSeen, PoolSize, PoolSpec, ProviderTarget, Seen,
    TaintEffect, differences,
};

use super::{Draft, GROUP_SECONDS, fingerprint, tag_differences};
use crate::content::{Content, GroupContent};
use crate::marks::digest;
use crate::shape::{GROUP_FIXED, GroupShape};
use crate::wanted::WantedGroup;
use crate::world::{GroupFound, World};

/// Longest name of a node group (EKS, CreateNodegroup).
const NAME: usize = 63;

impl Draft<'_> {
    pub(super) fn groups(&mut self) {
        for (pool, wanted) in self.platform.groups.clone() {
            self.group(&pool, &wanted);
        }
        self.surplus_groups();
    }

    fn group(&mut self, pool: &str, wanted: &WantedGroup) {
        // The plan names it among what could not be seen.
        if let Some(Seen::Unknown(_)) = self.world.groups.get(pool) {
            return;
        }
        let given = self.wanted.cluster.eks.as_ref().and_then(|eks| eks.pools.get(pool)?.group.clone());
        if let Some(name) = given {
            return self.given_group(pool, wanted, &name);
        }
        let of_pool: BTreeMap<String, GroupFound> =
            self.world.groups_of(pool).map(|(name, group)| (name.clone(), group.clone())).collect();
        let fits = |group: &GroupFound| group.status != "DELETING" && fixed(&group.shape) == fixed(&wanted.shape);
        let mut fitting = of_pool.iter().filter(|(_, group)| fits(group));
        // The one that carries nodes, should there be two.
        let first = fitting.next();
        let current = fitting.fold(first, |best, other| match best {
            Some(best) if best.1.desired >= other.1.desired => Some(best),
            _ => Some(other),
        });
        match current {
            None if of_pool.is_empty() => self.create_group(pool, wanted),
            None => self.replace_group(pool, wanted, None, &of_pool),
            Some((name, found)) => {
                let others: BTreeMap<String, GroupFound> =
                    of_pool.iter().filter(|(other, _)| *other != name).map(|(n, g)| (n.clone(), g.clone())).collect();
                if others.is_empty() {
                    self.keep_group(pool, wanted, name, found);
                } else {
                    self.replace_group(pool, wanted, Some(name), &of_pool);
                }
            }
        }
    }

    /// A group that is somebody else's changes in place as the blueprint says; it is never made, replaced or removed.
    fn given_group(&mut self, pool: &str, wanted: &WantedGroup, name: &str) {
        let target = ProviderTarget::NodePool(pool.to_owned());
        let found = match self.world.groups.get(name) {
            Some(Seen::Unknown(_)) => return,
            Some(Seen::Present(found)) if found.pool.as_deref() == Some(pool) => found.clone(),
            Some(Seen::Present(found)) => {
                let whose = found.pool.clone().unwrap_or_default();
                let operation = self.group_operation(
                    OperationAction::Update,
                    pool,
                    "it is another pool's",
                    wanted,
                    (name.into(), BTreeSet::new()),
                );
                self.push(operation);
                return self.block(
                    target,
                    format!("node group {name} is of pool {whose}"),
                    "name each node group once",
                );
            }
            Some(Seen::Absent) | None => {
                let reason = format!("the blueprint names node group {name} as given, and it is not there");
                let operation = self.group_operation(
                    OperationAction::Create,
                    pool,
                    &reason,
                    wanted,
                    (name.into(), BTreeSet::new()),
                );
                self.push(operation);
                return self.block(target, reason, "name the one that is there, or remove `group` to have one made");
            }
        };
        let others: Vec<FieldDiff> = group_differences(&found, wanted)
            .into_iter()
            .filter(|diff| diff.path.split(['.', '[']).next().is_some_and(|field| GROUP_FIXED.contains(&field)))
            .collect();
        if found.status == "CREATE_FAILED" {
            let hint = "look at it in AWS' console; it is somebody else's, so that it is not made anew";
            return self.advise(target, format!("node group {name} could not be made: {}", issues(&found)), hint);
        }
        if others.is_empty() {
            return self.keep_group(pool, wanted, name, &found);
        }
        let reason = format!("node group {name} cannot change {} while it lives", fixed_names(&others));
        let operation =
            self.group_operation(OperationAction::Replace, pool, &reason, wanted, (name.into(), BTreeSet::new()));
        self.push(Operation { diff: others, expect: pool_fingerprint(&[&found]), ..operation });
        let hint = "write what is there; or give the pool another name without `group`, so that a node group of its own is made";
        self.block(target, format!("{reason}, and it is somebody else's, so that it is not replaced"), hint);
    }

    fn create_group(&mut self, pool: &str, wanted: &WantedGroup) {
        let reason = format!("there is no node group of this pool; it begins with {} nodes", wanted.shape.min);
        let name = self.free_name(pool, &wanted.shape);
        let operation = self.group_operation(OperationAction::Create, pool, &reason, wanted, (name, BTreeSet::new()));
        self.push(operation);
    }

    fn keep_group(&mut self, pool: &str, wanted: &WantedGroup, name: &str, found: &GroupFound) {
        let target = ProviderTarget::NodePool(pool.to_owned());
        let content = (name.to_owned(), BTreeSet::new());
        match found.status.as_str() {
            "CREATING" => {
                let reason = "its node group is being made; it is waited for";
                let operation = self.group_operation(OperationAction::Start, pool, reason, wanted, content);
                return self.push(Operation { expect: pool_fingerprint(&[found]), gate: Gate::Pods, ..operation });
            }
            "CREATE_FAILED" => {
                let reason = format!("its node group could not be made: {}", issues(found));
                let content = (name.to_owned(), BTreeSet::from([name.to_owned()]));
                let operation = self.group_operation(OperationAction::Replace, pool, &reason, wanted, content);
                return self.push(Operation { expect: pool_fingerprint(&[found]), ..operation });
            }
            _ => {}
        }
        if !found.issues.is_empty() {
            self.advise(target, issues(found), "look at the node group's health in AWS' console");
        }
        let diff = group_differences(found, wanted);
        if diff.is_empty() {
            return;
        }
        let operation =
            self.group_operation(OperationAction::Update, pool, "the blueprint wants it otherwise", wanted, content);
        let disruption = in_place_disruption(found, wanted);
        self.push(Operation { diff, disruption, expect: pool_fingerprint(&[found]), ..operation });
    }

    fn replace_group(
        &mut self,
        pool: &str,
        wanted: &WantedGroup,
        current: Option<&String>,
        of_pool: &BTreeMap<String, GroupFound>,
    ) {
        let old: BTreeSet<String> = of_pool.keys().filter(|name| Some(*name) != current).cloned().collect();
        let name = current.cloned().unwrap_or_else(|| self.free_name(pool, &wanted.shape));
        let went_before = current.is_some();
        let mut diff: Vec<FieldDiff> = Vec::new();
        for group in old.iter().filter_map(|name| of_pool.get(name)) {
            for new in group_differences(group, wanted) {
                if !diff.iter().any(|old| old.path == new.path) {
                    diff.push(new);
                }
            }
        }
        let reason = match went_before {
            true => format!("a replacement was begun: {} goes when its pods have moved to {name}", list(&old)),
            false => format!(
                "a node group cannot change {} while it lives: {name} is made first, then pods move, then {} goes",
                fixed_names(&diff),
                list(&old)
            ),
        };
        let jobs: Vec<&str> = old
            .iter()
            .filter_map(|name| of_pool.get(name))
            .flat_map(|group| group.jobs.values().flatten().map(String::as_str))
            .collect();
        let disruption = match jobs.is_empty() {
            true => Disruption::Rolling,
            false => Disruption::Stops(format!("Job pods {}", jobs.join(", "))),
        };
        let groups: Vec<&GroupFound> = of_pool.values().collect();
        let operation = self.group_operation(OperationAction::Replace, pool, &reason, wanted, (name, old));
        self.push(Operation { diff, disruption, expect: pool_fingerprint(&groups), ..operation });
    }

    /// Pools that the blueprint no longer has, and groups that are nobody's here.
    fn surplus_groups(&mut self) {
        for pool in pools(self.world) {
            if !self.platform.groups.contains_key(&pool) {
                let operation = removal(self.world, &pool, "the blueprint no longer has it");
                self.changes.operations.extend(operation);
            }
        }
        let foreign: Vec<String> = self
            .world
            .groups
            .iter()
            .filter(|(_, group)| group.present().is_some_and(|group| group.pool.is_none()))
            .map(|(name, _)| name.clone())
            .collect();
        if !foreign.is_empty() {
            let says = format!("the cluster has node groups that are not this blueprint's: {}", foreign.join(", "));
            self.advise(self.cluster_target(), says, "remove them, or write them as pools after an import");
        }
    }

    /// The pool's own name; where a group of that name is of another make, one that tells this make.
    fn free_name(&self, pool: &str, shape: &GroupShape) -> String {
        if !self.world.groups.contains_key(pool) {
            return pool.to_owned();
        }
        let make = digest(&serde_json::to_string(&fixed(shape)).expect("a shape is plain data"));
        let mut end = NAME - 7;
        while !pool.is_char_boundary(end.min(pool.len())) {
            end -= 1;
        }
        format!("{}-{}", &pool[..end.min(pool.len())], &make[..6])
    }

    fn group_operation(
        &self,
        action: OperationAction,
        pool: &str,
        reason: &str,
        wanted: &WantedGroup,
        (name, replaces): (String, BTreeSet<String>),
    ) -> Operation {
        let content = Content::Group(GroupContent {
            name,
            shape: wanted.shape.clone(),
            tags: wanted.tags.clone(),
            scaling_tags: wanted.scaling_tags.clone(),
            replaces,
        });
        Operation {
            needs: wanted.needs.iter().cloned().collect(),
            content: serde_json::to_value(content).expect("a content is plain data"),
            ..Operation::new(action, ProviderTarget::NodePool(pool.to_owned()), reason, GROUP_SECONDS)
        }
    }
}

/// What removes the groups of a pool.
pub(super) fn removal(world: &World, pool: &str, reason: &str) -> Option<Operation> {
    let groups: BTreeMap<&String, &GroupFound> = world.groups_of(pool).filter(|(_, group)| !group.given).collect();
    if groups.is_empty() {
        return None;
    }
    let jobs: Vec<&str> = groups.values().flat_map(|group| group.jobs.values().flatten().map(String::as_str)).collect();
    let nodes: u32 = groups.values().map(|group| group.desired).sum();
    let disruption = match (jobs.is_empty(), nodes) {
        (false, _) => Disruption::Stops(format!("Job pods {}", jobs.join(", "))),
        (true, 0) => Disruption::None,
        (true, _) => Disruption::Rolling,
    };
    let found: Vec<&GroupFound> = groups.values().copied().collect();
    let content = Content::Groups(groups.keys().map(|name| (*name).clone()).collect());
    Some(Operation {
        disruption,
        expect: pool_fingerprint(&found),
        content: serde_json::to_value(content).expect("a content is plain data"),
        ..Operation::new(OperationAction::Delete, ProviderTarget::NodePool(pool.to_owned()), reason, GROUP_SECONDS)
    })
}

/// Pools that have groups of ours.
pub(crate) fn pools(world: &World) -> BTreeSet<String> {
    world.groups.values().filter_map(Seen::present).filter_map(|group| group.pool.clone()).collect()
}

/// A pool as it is found, in the words of what is wanted.
pub fn pool_seen(wanted: &PoolSpec, groups: &[&GroupFound]) -> PoolSeen {
    let group = groups.iter().max_by_key(|group| group.desired);
    let spec = group.map_or_else(
        || wanted.clone(),
        |group| PoolSpec {
            machine: wanted
                .machine
                .clone()
                .filter(|machine| group.shape.machines.contains(machine))
                .or_else(|| group.shape.machines.first().cloned()),
            size: PoolSize { min: group.shape.min, max: group.shape.max },
            capacity: group.shape.capacity,
            labels: group.shape.labels.clone(),
            taints: group.shape.taints.iter().cloned().collect(),
            ..wanted.clone()
        },
    );
    let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for group in groups {
        jobs.extend(group.jobs.clone());
    }
    PoolSeen {
        spec,
        nodes: groups.iter().map(|group| group.desired).sum(),
        deviations: Vec::new(),
        jobs,
        fingerprint: pool_fingerprint(groups),
    }
}

/// What a stale write is refused by. Nodes come and go with the autoscaler, and Jobs with their users: neither makes a plan stale.
pub(crate) fn pool_fingerprint(groups: &[&GroupFound]) -> String {
    let lasting: Vec<(&GroupShape, &str, &BTreeMap<String, String>)> =
        groups.iter().map(|group| (&group.shape, group.status.as_str(), &group.tags)).collect();
    fingerprint(&lasting)
}

fn group_differences(found: &GroupFound, wanted: &WantedGroup) -> Vec<FieldDiff> {
    let mut diff = differences(&found.shape, &wanted.shape);
    diff.extend(tag_differences(&found.tags, &wanted.tags, "tags"));
    if found.given {
        return diff;
    }
    for (name, tags) in &found.scaling_groups {
        diff.extend(tag_differences(tags, &wanted.scaling_tags, &format!("autoScalingGroups[{name}].tags")));
    }
    diff
}

/// The fields that only a new group has otherwise.
fn fixed(shape: &GroupShape) -> BTreeMap<String, Value> {
    let Ok(Value::Object(fields)) = serde_json::to_value(shape) else { return BTreeMap::new() };
    fields.into_iter().filter(|(key, _)| GROUP_FIXED.contains(&key.as_str())).collect()
}

fn fixed_names(diff: &[FieldDiff]) -> String {
    let names: BTreeSet<&str> = diff
        .iter()
        .filter_map(|diff| diff.path.split(['.', '[']).next())
        .filter(|name| GROUP_FIXED.contains(name))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn in_place_disruption(found: &GroupFound, wanted: &WantedGroup) -> Disruption {
    let jobs: Vec<&str> = found.jobs.values().flatten().map(String::as_str).collect();
    if found.shape.version != wanted.shape.version {
        // Every node is made anew, one after the other; EKS drains each.
        return match jobs.is_empty() {
            true => Disruption::Rolling,
            false => Disruption::Stops(format!("Job pods {}", jobs.join(", "))),
        };
    }
    let evicting: Vec<&str> = wanted
        .shape
        .taints
        .iter()
        .filter(|taint| taint.effect == TaintEffect::NoExecute && !found.shape.taints.contains(taint))
        .map(|taint| taint.key.as_str())
        .collect();
    if !evicting.is_empty() {
        return Disruption::Stops(format!("pods that do not tolerate {}", evicting.join(", ")));
    }
    if found.desired > wanted.shape.max {
        let surplus = found.desired - wanted.shape.max;
        return Disruption::Stops(format!("the pods of {surplus} nodes that are drained and removed"));
    }
    Disruption::None
}

fn issues(found: &GroupFound) -> String {
    if found.issues.is_empty() { "AWS gives no reason".into() } else { found.issues.join("; ") }
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
