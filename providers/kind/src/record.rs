//! What the provider remembers in the cluster: each pool as it was last made, in one ConfigMap. It is written when a cluster is
//! complete, so a cluster without one is one whose creation was interrupted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use wbk_provider_api::PoolSpec;

use crate::nodes::BLUEPRINT;

/// Where it is.
pub(crate) const NAMESPACE: &str = "kube-system";
/// Its name.
pub(crate) const NAME: &str = "wbk-infra-kind";
/// The same in the file system of the control plane, for when the API server does not answer.
pub(crate) const FILE: &str = "/kind/wbk-infra-made";

const SUFFIX: &str = ".json";

/// A new record without pools. The blueprint is an annotation, not the label that the objects of a blueprint are found by: the
/// record is the provider's, as a cloud's is the cloud's.
pub(crate) fn new(blueprint: &str) -> ConfigMap {
    let mut record = ConfigMap::default();
    record.metadata.name = Some(NAME.into());
    record.metadata.namespace = Some(NAMESPACE.into());
    record.annotations_mut().insert(BLUEPRINT.into(), blueprint.into());
    record
}

/// The merge patch that writes a pool, or takes it out.
pub(crate) fn patch(name: &str, pool: Option<&PoolSpec>) -> Value {
    let text = pool.map(|pool| serde_json::to_string(pool).expect("a pool is plain data"));
    json!({"data": {format!("{name}{SUFFIX}"): text}})
}

/// The pools in a record; one that is damaged is left out, and then shown by its nodes alone.
pub(crate) fn pools(record: &ConfigMap) -> BTreeMap<String, PoolSpec> {
    let entries = record.data.iter().flatten();
    entries
        .filter_map(|(key, text)| {
            let spec: PoolSpec = serde_json::from_str(text).ok()?;
            (key.strip_suffix(SUFFIX)? == spec.name).then(|| (spec.name.clone(), spec))
        })
        .collect()
}
