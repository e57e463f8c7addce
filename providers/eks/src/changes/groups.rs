//! Node groups: made, changed in place, made anew beside the old one, removed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wbk_provider_api::{
    Disruption, FieldDiff, Gate, Operation, OperationAction, PoolSeen, PoolSize, PoolSpec, ProviderTarget, Seen,
    TaintEffect, differences,
};

use super::{Draft, GROUP_SECONDS, fingerprint, tag_differences};
use crate::content::{Content, GroupContent};
use crate::group::{helps, is_about_capacity};
use crate::marks::digest;
use crate::shape::{GROUP_FIXED, GroupShape};
use crate::wanted::WantedGroup;
use crate::world::{GroupFound, World};

/// Longest name of a node group (EKS, CreateNodegroup).
const NAME: usize = 63;

type Groups = BTreeMap<String, GroupFound>;

/// The groups that an operation is about.
struct Which {
    /// The one that shall be.
    name: String,
    /// Those that go when it is there.
    replaces: BTreeSet<String>,
    /// Those that go first.
    clears: BTreeSet<String>,
}

impl Which {
    fn alone(name: String) -> Self {
        Self { name, replaces: BTreeSet::new(), clears: BTreeSet::new() }
    }
}

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
        let of_pool = self.world.groups_of(pool).map(|(name, group)| (name.clone(), group.clone()));
        let (dead, living): (Groups, Groups) = of_pool.partition(|(_, group)| group.status == "CREATE_FAILED");
        let fits = |group: &GroupFound| group.status != "DELETING" && fixed(&group.shape) == fixed(&wanted.shape);
        let mut fitting = living.iter().filter(|(_, group)| fits(group));
        // The one that carries nodes, should there be two.
        let first = fitting.next();
        let current = fitting.fold(first, |best, other| match best {
            Some(best) if best.1.desired >= other.1.desired => Some(best),
            _ => Some(other),
        });
        match current {
            None if living.is_empty() && dead.is_empty() => self.create_group(pool, wanted),
            None if living.is_empty() => self.retry_group(pool, wanted, &dead),
            None => self.replace_group(pool, wanted, None, (&living, &dead)),
            Some((name, found)) if living.len() == 1 => self.keep_group(pool, wanted, (name, found), &dead),
            Some((name, _)) => self.replace_group(pool, wanted, Some(name), (&living, &dead)),
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
                    Which::alone(name.into()),
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
                let operation =
                    self.group_operation(OperationAction::Create, pool, &reason, wanted, Which::alone(name.into()));
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
            return self.keep_group(pool, wanted, (&name.to_owned(), &found), &Groups::new());
        }
        let reason = format!("node group {name} cannot change {} while it lives", fixed_names(&others));
        let operation =
            self.group_operation(OperationAction::Replace, pool, &reason, wanted, Which::alone(name.into()));
        self.push(Operation { diff: others, expect: pool_fingerprint(&[&found]), ..operation });
        let hint = "write what is there; or give the pool another name without `group`, so that a node group of its own is made";
        self.block(target, format!("{reason}, and it is somebody else's, so that it is not replaced"), hint);
    }

    fn create_group(&mut self, pool: &str, wanted: &WantedGroup) {
        let reason = match &wanted.waits {
            Some(waits) => format!("there is no node group of this pool; {waits}"),
            None => format!("there is no node group of this pool; it begins with {} nodes", wanted.shape.min),
        };
        let name = self.free_name(pool, &wanted.shape);
        let operation = self.group_operation(OperationAction::Create, pool, &reason, wanted, Which::alone(name));
        self.push(operation);
    }

    /// What failed before it had a node goes, and is made anew: as it was, or elsewhere, as the blueprint now says.
    fn retry_group(&mut self, pool: &str, wanted: &WantedGroup, dead: &Groups) {
        let target = ProviderTarget::NodePool(pool.to_owned());
        let words: Vec<String> = dead.values().map(issues).collect();
        let reason = format!("its node group could not be made: {}", words.join("; "));
        let same = dead.values().all(|group| fixed(&group.shape) == fixed(&wanted.shape));
        let codes: BTreeSet<String> = dead.values().flat_map(|group| group.codes.clone()).collect();
        if same && let Some(helps) = self.helps(&codes, wanted) {
            let says = "as the blueprint is, the same is tried again".to_owned();
            self.advise(target, says, helps);
        }
        let mut diff: Vec<FieldDiff> = dead.values().map(health).collect();
        diff.extend(dead.values().flat_map(|group| group_differences(group, wanted)));
        let which = Which { name: pool.to_owned(), replaces: BTreeSet::new(), clears: dead.keys().cloned().collect() };
        let found: Vec<&GroupFound> = dead.values().collect();
        let operation = self.group_operation(OperationAction::Replace, pool, &reason, wanted, which);
        self.push(Operation { diff, expect: pool_fingerprint(&found), ..operation });
    }

    /// What helps against what AWS says, with the places that are known to have such machines.
    fn helps(&self, codes: &BTreeSet<String>, wanted: &WantedGroup) -> Option<String> {
        match is_about_capacity(codes) {
            true => Some(wanted.elsewhere.clone()),
            false => helps(codes).map(str::to_owned),
        }
    }

    fn keep_group(&mut self, pool: &str, wanted: &WantedGroup, (name, found): (&String, &GroupFound), dead: &Groups) {
        let target = ProviderTarget::NodePool(pool.to_owned());
        let which = Which { name: name.to_owned(), replaces: BTreeSet::new(), clears: dead.keys().cloned().collect() };
        let all: Vec<&GroupFound> = [found].into_iter().chain(dead.values()).collect();
        if found.status == "CREATING" {
            let reason = "its node group is being made; it is waited for";
            let operation = self.group_operation(OperationAction::Start, pool, reason, wanted, which);
            return self.push(Operation { expect: pool_fingerprint(&all), gate: Gate::Pods, ..operation });
        }
        if !found.issues.is_empty() || found.status == "DEGRADED" {
            let helps = self.helps(&found.codes, wanted);
            let helps = helps.unwrap_or_else(|| "look at the node group's health in AWS' console".to_owned());
            self.advise(target.clone(), format!("its node group is {}: {}", found.status, issues(found)), helps);
        }
        let mut diff = group_differences(found, wanted);
        if diff.is_empty() && dead.is_empty() {
            return;
        }
        let moves = moves_to_another_version(found, wanted);
        diff.extend(dead.values().map(health));
        let reason = match (dead.is_empty(), &wanted.waits) {
            (false, _) => "a node group of it could not be made, and is removed".to_owned(),
            (true, Some(waits)) => format!("the blueprint wants it otherwise; {waits}"),
            (true, None) => "the blueprint wants it otherwise".to_owned(),
        };
        let operation = self.group_operation(OperationAction::Update, pool, &reason, wanted, which);
        let disruption = in_place_disruption(found, wanted);
        self.push(Operation { diff, disruption, expect: pool_fingerprint(&all), ..operation });
        if moves && wanted.shape.capacity_block.is_some() && found.desired > 0 {
            let says = format!(
                "nodes of a capacity block are not made anew while they are there, and it has {}",
                found.desired
            );
            self.block(target, says, format!("when its Jobs are done: aws eks update-nodegroup-config --cluster-name {} --nodegroup-name {name} --scaling-config minSize=0,desiredSize=0; then apply", self.marks.cluster));
        }
    }

    fn replace_group(
        &mut self,
        pool: &str,
        wanted: &WantedGroup,
        current: Option<&String>,
        (of_pool, dead): (&Groups, &Groups),
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
        let groups: Vec<&GroupFound> = of_pool.values().chain(dead.values()).collect();
        let which = Which { name, replaces: old, clears: dead.keys().cloned().collect() };
        let operation = self.group_operation(OperationAction::Replace, pool, &reason, wanted, which);
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
        which: Which,
    ) -> Operation {
        let Which { name, replaces, clears } = which;
        let content = Content::Group(Box::new(GroupContent {
            name,
            shape: wanted.shape.clone(),
            tags: wanted.tags.clone(),
            scaling_tags: wanted.scaling_tags.clone(),
            replaces,
            clears,
            elsewhere: Some(wanted.elsewhere.clone()),
        }));
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
        // What failed before it had a node is made anew by an operation of its own.
        deviations: groups.iter().filter(|group| group.status == "DEGRADED").map(|group| health(group)).collect(),
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

/// Whether its nodes are made anew: for another Kubernetes version, or another version of their launch template.
fn moves_to_another_version(found: &GroupFound, wanted: &WantedGroup) -> bool {
    (&found.shape.version, &found.shape.template) != (&wanted.shape.version, &wanted.shape.template)
}

/// What is wrong with a group, as a difference to a healthy one.
fn health(found: &GroupFound) -> FieldDiff {
    let old = format!("{}: {}", found.status, issues(found));
    FieldDiff { path: "health".into(), old: Some(old.into()), new: Some("ACTIVE".into()) }
}

fn in_place_disruption(found: &GroupFound, wanted: &WantedGroup) -> Disruption {
    let jobs: Vec<&str> = found.jobs.values().flatten().map(String::as_str).collect();
    if moves_to_another_version(found, wanted) {
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
