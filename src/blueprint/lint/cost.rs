//! Prices of one's own.

use wbk_provider_api::ProviderKind;

use super::Report;
use crate::blueprint::path::steps;

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let pools: Vec<&str> = blueprint.node_pools.iter().map(|pool| pool.name.as_str()).collect();
    for (index, price) in blueprint.cost.prices.iter().enumerate() {
        if price.hourly.is_some() == price.gpu_hourly.is_some() {
            report.error(
                steps!["cost", "prices", index],
                "a price is for a node or for each of its GPUs",
                "write one of `hourly` and `gpuHourly`",
            );
        }
        // Pools of an existing cluster are not the blueprint's, and have the names that its cloud gave them.
        if let Some(pool) = &price.pool
            && blueprint.cluster.provider != ProviderKind::Existing
            && !pools.contains(&pool.as_str())
        {
            let hint = match pools.as_slice() {
                [] => "name nodes by `machine`, `region`, `capacity` or `accelerator`".to_owned(),
                pools => format!("there is {}", pools.join(", ")),
            };
            report.error(steps!["cost", "prices", index, "pool"], &format!("there is no pool {pool}"), &hint);
        }
    }
}
