//! Quotas of vCPUs: what runs while the plan runs, surge included, and what an autoscaler may make of it later.

use std::collections::BTreeMap;

use wbk_provider_api::{
    Capacity, Disruption, EksPool, Finding, Operation, OperationAction, PoolSpec, ProviderTarget, Weight,
};

use super::Situation;
use crate::catalog::{self, Quota};
use crate::facts::{GroupNow, QuotaFact};

/// vCPUs by quota.
type Cpus = BTreeMap<Quota, u64>;

pub(super) fn findings(situation: &Situation<'_>) -> Vec<Finding> {
    let Some(limits) = situation.facts.quotas.known() else { return Vec::new() };
    let now = now(situation);
    let mut reached = others(limits, &now);
    add(&mut reached, &now);
    let mut found = during(situation, limits, &mut reached);
    let blocked: Vec<ProviderTarget> = found.iter().map(|finding| finding.target.clone()).collect();
    found.extend(
        later(situation, limits, &others(limits, &now))
            .into_iter()
            .filter(|finding| !blocked.contains(&finding.target)),
    );
    found
}

/// vCPUs of each of so many nodes, in the quota that they count in: of several machines, the largest.
fn cpus(machines: &[String], capacity: Capacity, block: bool, nodes: u64) -> Option<(Quota, u64)> {
    let known = machines.iter().filter_map(|name| catalog::machine(name));
    let largest = known.max_by_key(|machine| machine.vcpus).filter(|_| !block)?;
    Some((catalog::quota(largest, capacity)?, u64::from(largest.vcpus) * nodes))
}

fn of_group(group: &GroupNow) -> Option<(Quota, u64)> {
    cpus(&group.machines, group.capacity, group.block, u64::from(group.desired))
}

fn of_pool(pool: &PoolSpec, eks: &EksPool, nodes: u64) -> Option<(Quota, u64)> {
    cpus(&eks.machines, pool.capacity, eks.capacity_block.is_some(), nodes)
}

fn add(to: &mut Cpus, more: &Cpus) {
    for (quota, cpus) in more {
        *to.entry(*quota).or_default() += cpus;
    }
}

/// What this platform's groups run.
fn now(situation: &Situation<'_>) -> Cpus {
    let mut now = Cpus::new();
    for (quota, cpus) in situation.groups.iter().filter_map(of_group) {
        *now.entry(quota).or_default() += cpus;
    }
    now
}

/// What others run in the same quotas, where that is known.
fn others(limits: &BTreeMap<String, QuotaFact>, now: &Cpus) -> Cpus {
    let mut others = Cpus::new();
    for (quota, own) in now {
        let used = limits.get(quota.code).and_then(|fact| fact.used).unwrap_or_default();
        others.insert(*quota, used.saturating_sub(*own));
    }
    others
}

/// What others run in a quota in which nothing of ours runs yet.
fn used_by_others(limits: &BTreeMap<String, QuotaFact>, others: &Cpus, quota: Quota) -> u64 {
    let unseen = || limits.get(quota.code).and_then(|fact| fact.used).unwrap_or_default();
    others.get(&quota).copied().unwrap_or_else(unseen)
}

/// Nodes that an operation adds while it runs, beside those that are there.
fn surge(situation: &Situation<'_>, operation: &Operation, pool: &PoolSpec, eks: &EksPool) -> u64 {
    let desired: u64 =
        situation.groups.iter().filter(|group| group.pool == pool.name).map(|group| u64::from(group.desired)).sum();
    let grows = u64::from(pool.size.min).saturating_sub(desired);
    match operation.action {
        OperationAction::Create => u64::from(pool.size.min),
        // The new group is whole before the old one goes.
        OperationAction::Replace => desired.max(u64::from(pool.size.min)),
        // EKS user guide, "Understand each phase of node updates": the group grows by twice its zones or by maxUnavailable,
        // whichever is more, while nodes are replaced.
        OperationAction::Update if operation.disruption != Disruption::None && desired > 0 => {
            let zones = if eks.zones.is_empty() { situation.zones.len() } else { eks.zones.len() };
            grows + u64::from(eks.max_unavailable).max(2 * zones as u64)
        }
        OperationAction::Update | OperationAction::Start => grows,
        OperationAction::Delete => 0,
    }
}

/// Operations in their order, until a quota is full: what crosses it would fail.
fn during(situation: &Situation<'_>, limits: &BTreeMap<String, QuotaFact>, reached: &mut Cpus) -> Vec<Finding> {
    let mut found = Vec::new();
    let others = others(limits, &now(situation));
    for operation in situation.operations {
        let ProviderTarget::NodePool(name) = &operation.target else { continue };
        let Some((pool, eks)) =
            situation.wanted.pools.get(name).zip(situation.eks().and_then(|eks| eks.pools.get(name)))
        else {
            continue;
        };
        let nodes = surge(situation, operation, pool, eks);
        let Some((quota, more)) = of_pool(pool, eks, nodes) else { continue };
        let Some(limit) = limits.get(quota.code).map(|fact| fact.limit) else { continue };
        let before = *reached.entry(quota).or_insert_with(|| used_by_others(limits, &others, quota));
        if more > 0 && before + more > limit {
            found.push(Finding {
                target: operation.target.clone(),
                weight: Weight::Blocks,
                says: format!(
                    "it needs {more} vCPUs while it runs, {before} of the quota's {limit} are taken ({}, {})",
                    quota.name, quota.code
                ),
                hint: request(situation, quota, before + more),
            });
            continue;
        }
        reached.insert(quota, before + more);
    }
    found
}

/// All pools as large as they may be.
fn later(situation: &Situation<'_>, limits: &BTreeMap<String, QuotaFact>, others: &Cpus) -> Vec<Finding> {
    let mut peaks: BTreeMap<Quota, Vec<(u64, &PoolSpec)>> = BTreeMap::new();
    for pool in situation.wanted.pools.values() {
        let Some(eks) = situation.eks().and_then(|eks| eks.pools.get(&pool.name)) else { continue };
        if let Some((quota, cpus)) = of_pool(pool, eks, u64::from(pool.size.max)) {
            peaks.entry(quota).or_default().push((cpus, pool));
        }
    }
    let mut found = Vec::new();
    for (quota, pools) in peaks {
        let Some(limit) = limits.get(quota.code).map(|fact| fact.limit) else { continue };
        let taken = used_by_others(limits, others, quota);
        let own: u64 = pools.iter().map(|(cpus, _)| cpus).sum();
        if taken + own <= limit {
            continue;
        }
        // The one that asks for most is the one to speak of.
        let Some((_, largest)) = pools.iter().max_by_key(|(cpus, pool)| (*cpus, std::cmp::Reverse(&pool.name))) else {
            continue;
        };
        let names: Vec<&str> = pools.iter().map(|(_, pool)| pool.name.as_str()).collect();
        let beside = if taken > 0 { format!(" beside the {taken} of others") } else { String::new() };
        let one = situation
            .eks()
            .and_then(|eks| of_pool(largest, eks.pools.get(&largest.name)?, 1))
            .map_or(0, |(_, cpus)| cpus);
        let what = if taken + one > limit {
            format!("not one node of it fits: one has {one} vCPUs, and the quota is {limit}{beside}")
        } else {
            format!("at their largest, {} have {own} vCPUs{beside}, and the quota is {limit}", names.join(", "))
        };
        found.push(Finding {
            target: ProviderTarget::NodePool(largest.name.clone()),
            weight: Weight::Advice,
            says: format!("{what} ({}, {})", quota.name, quota.code),
            hint: request(situation, quota, taken + own),
        });
    }
    found
}

fn request(situation: &Situation<'_>, quota: Quota, cpus: u64) -> String {
    format!(
        "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {} --desired-value {cpus} --region {}",
        quota.code,
        situation.region()
    )
}
