//! Which nodes belong to a pool.

use wbk_provider_api::PoolSpec;

/// The label that says to which pool of a blueprint a node belongs.
pub(super) const POOL_LABEL: &str = "wbk-infra/pool";

/// The selector that takes in the nodes of a pool: the pool label, or all its labels where the pool has no such label.
pub(super) fn pool_selector(pool: &PoolSpec) -> String {
    match pool.labels.get(POOL_LABEL) {
        Some(value) => format!("{POOL_LABEL}={value}"),
        None => pool.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","),
    }
}
