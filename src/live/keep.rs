//! Leaves fields to whoever holds them: what is sent is changed so that applying it changes nothing there.

use serde_json::Value;

use crate::field::{FieldPath, FieldSet};

/// Makes of a manifest one that leaves these fields of the live object as they are, in value and in ownership: what the
/// manager holds of them is sent with its live value, what it does not hold is not sent. A field that the live object does
/// not have keeps what the manifest says: that is its first value. Inside a value that is changed as a whole (an atomic list)
/// the live part is put into the whole; a whole of somebody else's that is then as it is there is not sent.
pub(crate) fn keep_live<'a>(
    manifest: &mut Value,
    live: &Value,
    manager: &str,
    paths: impl IntoIterator<Item = &'a FieldPath>,
) {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let sets: Vec<(bool, FieldSet)> = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["subresource"] != "status")
        .map(|entry| {
            let ours = entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].is_null();
            (ours, FieldSet::of(&entry["fieldsV1"]))
        })
        .collect();
    let mut wholes = std::collections::BTreeSet::new();
    for (_, set) in &sets {
        wholes.extend(set.paths());
    }
    let held = sets.iter().find(|(ours, _)| *ours).map(|(_, set)| set.part_of(live)).unwrap_or_default();
    let mut partly = std::collections::BTreeSet::new();
    for path in paths {
        let Some(value) = path.value(live) else { continue };
        let whole = wholes.iter().find(|whole| path != *whole && path.is_within(whole));
        match (path.value(&held), whole) {
            (Some(held), _) => path.put(manifest, held.clone()),
            (None, Some(whole)) => {
                path.put(manifest, value.clone());
                partly.insert(whole);
            }
            (None, None) => path.remove(manifest),
        }
    }
    // Somebody else's whole that is as it shall be is theirs.
    for whole in partly {
        if whole.value(manifest) == whole.value(live) {
            whole.remove(manifest);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "metadata": {"labels": {"a.b/c": "theirs"}, "managedFields": [
                {"manager": "wbk-infra", "operation": "Apply", "fieldsV1": {
                    "f:spec": {"f:template": {"f:containers": {"k:{\"name\":\"main\"}": {"f:name": {}, "f:image": {}}}}, "f:rules": {}}}},
                {"manager": "rival", "operation": "Update", "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:a.b/c": {}}},
                    "f:spec": {"f:replicas": {}, "f:hosts": {}, "f:template": {"f:containers": {"k:{\"name\":\"main\"}": {"f:tty": {}}}}}}},
            ]},
            "spec": {"replicas": 5, "hosts": [{"host": "theirs"}], "rules": [{"verb": "live", "other": 1}],
                "template": {"containers": [{"name": "main", "image": "live", "tty": true}]}},
        })
    }

    fn kept(manifest: Value, paths: &[&str]) -> Value {
        let mut manifest = manifest;
        let paths: Vec<FieldPath> = paths.iter().map(|path| path.parse().expect("a path")).collect();
        keep_live(&mut manifest, &live(), "wbk-infra", &paths);
        manifest
    }

    #[test]
    fn what_another_holds_is_not_sent() {
        let mine = json!({"metadata": {"name": "x", "labels": {"a.b/c": "mine"}}, "spec": {"replicas": 1, "template":
            {"containers": [{"name": "main", "image": "mine", "tty": false}]}}});
        let sent = kept(mine, &["metadata.labels[a.b/c]", "/spec/replicas", "spec.template.containers[name=main].tty"]);
        let expected = json!({"metadata": {"name": "x"}, "spec": {"template": {"containers": [{"name": "main", "image": "mine"}]}}});
        assert_eq!(sent, expected);
    }

    #[test]
    fn what_is_ours_is_sent_with_its_live_value_even_where_the_blueprint_no_longer_says_it() {
        let path = "spec.template.containers[name=main].image";
        let sent = kept(json!({"spec": {"template": {"containers": [{"name": "main", "image": "mine"}]}}}), &[path]);
        assert_eq!(sent["spec"]["template"]["containers"][0]["image"], "live");
        let sent = kept(json!({"spec": {"template": {"containers": [{"name": "main"}]}}}), &[path]);
        assert_eq!(sent["spec"]["template"]["containers"][0]["image"], "live");
        let sent = kept(json!({"spec": {"template": {"containers": []}}}), &[path]);
        assert_eq!(sent["spec"]["template"]["containers"], json!([]), "a container that goes is not held by its image");
    }

    #[test]
    fn a_part_of_what_changes_as_a_whole_is_put_into_the_whole() {
        let sent = kept(
            json!({"spec": {"rules": [{"verb": "mine", "other": 2}], "hosts": [{"host": "mine", "port": 1}]}}),
            &["spec.rules[0].verb", "spec.hosts[0].host"],
        );
        assert_eq!(
            sent,
            json!({"spec": {"rules": [{"verb": "live", "other": 2}], "hosts": [{"host": "theirs", "port": 1}]}})
        );
        let sent = kept(json!({"spec": {"hosts": [{"host": "mine"}], "rules": []}}), &["spec.hosts"]);
        assert_eq!(sent, json!({"spec": {"rules": []}}), "the whole list is theirs");
        let sent = kept(json!({"spec": {"hosts": [{"host": "mine"}], "rules": []}}), &["spec.hosts[0].host"]);
        assert_eq!(sent, json!({"spec": {"rules": []}}), "nothing else of it is wanted otherwise");
    }

    #[test]
    fn a_field_that_is_not_there_gets_its_first_value() {
        assert_eq!(kept(json!({"spec": {"paused": true}}), &["spec.paused"]), json!({"spec": {"paused": true}}));
    }
}
