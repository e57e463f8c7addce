//! What others added to our objects: fields that no one of ours set, read off the other managers' entries. A server-side
//! dry-run cannot see them, because an apply leaves foreign fields alone.

use std::collections::BTreeSet;

use crate::{
    cluster::{FIELD_MANAGER, ManagerEntry, Meta},
    field::{FieldPath, field_paths},
};

/// A field that somebody added to an object of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// The field.
    pub path: FieldPath,
    /// Who.
    pub manager: String,
    /// When, RFC 3339.
    pub time: String,
}

/// Managers that complete objects as part of Kubernetes itself; what they add is no drift.
const SYSTEM: [&str; 7] = [
    // Not a manager: the server's name for all that was there when the first apply met no entries, defaults included.
    "before-first-apply",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-apiserver",
    "kubelet",
    "cloud-controller-manager",
    "wbk-infra-simulator",
];

/// Everything that managers other than `ours` added outside the status.
pub fn additions(meta: &Meta, ours: &[&str]) -> Vec<Addition> {
    let mine: BTreeSet<FieldPath> = meta
        .managers
        .iter()
        .filter(|entry| is_ours(entry, ours))
        .flat_map(|entry| field_paths(&entry.fields))
        .collect();
    let foreign = |entry: &&ManagerEntry| {
        entry.subresource.is_empty() && !is_ours(entry, ours) && !SYSTEM.contains(&entry.manager.as_str())
    };
    let mut found: Vec<Addition> = meta
        .managers
        .iter()
        .filter(foreign)
        .flat_map(|entry| {
            field_paths(&entry.fields)
                .into_iter()
                // A field below one of ours belongs to a value we set as a whole; a field of ours that they hold too is a
                // changed value and comes out of the dry-run.
                .filter(|path| !mine.iter().any(|own| path.is_within(own)))
                .map(|path| Addition { path, manager: entry.manager.clone(), time: entry.time() })
        })
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found.dedup_by(|one, other| one.path == other.path);
    found
}

/// This tool only ever applies: what was updated under its name, somebody else updated.
fn is_ours(entry: &ManagerEntry, ours: &[&str]) -> bool {
    (entry.manager == FIELD_MANAGER && entry.operation == "Apply") || ours.contains(&entry.manager.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn foreign_fields_are_additions_and_the_systems_are_not() {
        let entry = |manager: &str, operation: &str, fields: serde_json::Value| ManagerEntry {
            manager: manager.into(),
            operation: operation.into(),
            fields: fields.to_string().into_bytes(),
            ..ManagerEntry::default()
        };
        let meta = Meta {
            managers: vec![
                entry(FIELD_MANAGER, "Apply", json!({"f:data": {"f:a": {}}})),
                entry("kubectl-edit", "Update", json!({"f:data": {"f:b": {}}})),
                entry("kube-controller-manager", "Update", json!({"f:metadata": {"f:annotations": {"f:x": {}}}})),
            ],
            ..Meta::default()
        };
        let found: Vec<String> =
            additions(&meta, &[]).iter().map(|addition| format!("{} {}", addition.manager, addition.path)).collect();
        assert_eq!(found, ["kubectl-edit data.b"]);
    }
}
