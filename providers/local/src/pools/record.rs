//! A pool's record in the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use wbk_provider_api::PoolSpec;

use crate::names;

/// Where records are.
pub(super) const NAMESPACE: &str = "kube-system";
const KEY: &str = "pool.json";

/// The record's name.
pub(super) fn name(pool: &str) -> String {
    format!("wbk-infra-pool-{pool}")
}

/// The record of a pool. The blueprint is an annotation, not the label that the objects of a blueprint are found by:
/// the record is the provider's, as a cloud's is the cloud's.
pub(super) fn make(blueprint: &str, spec: &PoolSpec) -> ConfigMap {
    let mut record = ConfigMap::default();
    record.metadata.name = Some(name(&spec.name));
    record.metadata.namespace = Some(NAMESPACE.into());
    record.labels_mut().insert(names::POOL.into(), spec.name.clone());
    record.annotations_mut().insert(names::BLUEPRINT.into(), blueprint.into());
    let json = serde_json::to_string_pretty(spec).expect("a pool is plain data");
    record.data = Some(BTreeMap::from([(KEY.to_owned(), json)]));
    record
}

/// The pool that a record is of, and its blueprint; `None` where it is damaged.
pub(super) fn read(record: &ConfigMap) -> Option<(String, PoolSpec)> {
    let blueprint = record.annotations().get(names::BLUEPRINT)?.clone();
    let spec: PoolSpec = serde_json::from_str(record.data.as_ref()?.get(KEY)?).ok()?;
    (record.name_any() == name(&spec.name)).then_some((blueprint, spec))
}
