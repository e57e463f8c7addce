//! Looking into desired objects, and naming them in sentences.

use serde_json::Value;

use crate::desired::{Desired, DesiredObject};

/// The desired objects of one kind.
pub(super) fn of_kind<'a>(
    desired: &'a Desired,
    group: &'a str,
    kind: &'a str,
) -> impl Iterator<Item = &'a DesiredObject> {
    desired.objects.iter().filter(move |object| object.id.gvk.group == group && object.id.gvk.kind == kind)
}

/// The namespace of a desired object; `default` where a namespaced one names none, as the API server reads it.
pub(super) fn namespace(object: &DesiredObject) -> &str {
    object.id.namespace.as_deref().unwrap_or("default")
}

/// Names for a sentence: the first few, and how many more.
pub(in crate::verify) fn few<S: AsRef<str>>(names: &[S]) -> String {
    /// As many as a line of a terminal holds.
    const SHOWN: usize = 5;
    let mut out = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        out.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    out
}

/// A map of texts at a pointer of an object.
pub(super) fn texts(object: &Value, pointer: &str) -> std::collections::BTreeMap<String, String> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}
