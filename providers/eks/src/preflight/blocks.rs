//! Capacity blocks: whether they are what the pool is written for, and when.

use wbk_provider_api::{EksPool, Finding, PoolSpec, ProviderTarget, Weight};

use super::Situation;
use crate::facts::BlockFact;

pub(super) fn findings(situation: &Situation<'_>) -> Vec<Finding> {
    let Some(known) = situation.facts.blocks.known() else { return Vec::new() };
    let mut found = Vec::new();
    for (name, eks) in situation.eks().into_iter().flat_map(|eks| &eks.pools) {
        let (Some(id), Some(pool)) = (&eks.capacity_block, situation.wanted.pools.get(name)) else { continue };
        match known.get(id) {
            None => {
                let says = format!("{} has no capacity reservation {id}", situation.region());
                let hint =
                    format!("`aws ec2 describe-capacity-reservations --region {}` lists them", situation.region());
                found.push(situation.against(ProviderTarget::NodePool(name.clone()), says, hint));
            }
            Some(block) => found.extend(one(situation, (id, block), (pool, eks))),
        }
    }
    found
}

fn one(situation: &Situation<'_>, (id, block): (&str, &BlockFact), (pool, eks): (&PoolSpec, &EksPool)) -> Vec<Finding> {
    let target = || ProviderTarget::NodePool(pool.name.clone());
    let mut found = Vec::new();
    if !block.block {
        let says = format!("{id} is a capacity reservation and no capacity block");
        found.push(situation.against(target(), says, "name a capacity block, `eks.capacityBlock: cr-…`".into()));
    }
    if !eks.machines.contains(&block.machine) {
        let says = format!("capacity block {id} has {}, and the pool has {}", block.machine, eks.machines.join(", "));
        found.push(situation.against(target(), says, format!("write `machine: {}`", block.machine)));
    }
    if !eks.zones.contains(&block.zone) {
        let own: Vec<&str> = eks.zones.iter().map(String::as_str).collect();
        let says = format!("capacity block {id} is in {}, and the pool is in {}", block.zone, own.join(", "));
        found.push(situation.against(target(), says, format!("write `eks: {{zones: [{}]}}`", block.zone)));
    }
    if pool.size.max > block.total {
        let says = format!("capacity block {id} has {} machines, and the pool may have {}", block.total, pool.size.max);
        found.push(situation.against(target(), says, format!("write `max: {}`", block.total)));
    }
    if block.is_over() {
        let hint = "name another, or remove the pool".to_owned();
        found.push(situation.against(target(), block.words(id), hint));
    } else if block.state != "active" {
        let hint = match pool.size.min {
            0 => "nodes come when Jobs ask for them after that".to_owned(),
            min => format!("the group is made without nodes; apply after that gives it {min}"),
        };
        found.push(Finding { target: target(), weight: Weight::Advice, says: block.words(id), hint });
    } else if let Some(ends) = &block.ends {
        // EKS user guide, "Create a managed node group with Capacity Blocks for ML".
        let says = format!("capacity block {id} ends at {ends}; EKS takes the nodes away 40 minutes before");
        let hint = "let Jobs write checkpoints before that".to_owned();
        found.push(Finding { target: target(), weight: Weight::Advice, says, hint });
    }
    found
}
