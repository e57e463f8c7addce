//! Pure readings of live objects: numbers, texts and conditions, and whether a workload is rolled out.

use serde_json::Value;

/// How far a workload's roll-out is, in words either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// It is.
    Ready(String),
    /// It is not, or not yet.
    NotReady(String),
}

/// A number in an object; absent counts as zero, as Kubernetes omits zeros.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// A text in an object, or the empty one.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The object's name, or the empty text.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The condition of that type, where the object has one.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| text(condition, "/type") == kind)
}

/// Whether the condition of that type is True.
pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

/// Says that an object is being deleted, and what it waits for; its conditions stay as they were until it is gone.
pub(crate) fn going(object: &Value) -> Option<String> {
    let since = object.pointer("/metadata/deletionTimestamp")?.as_str()?;
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names: Vec<&str> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
    let held = if names.is_empty() { String::new() } else { format!(", held by {}", names.join(", ")) };
    Some(format!("it is being deleted since {since}{held}"))
}

/// Reads a Deployment, StatefulSet or DaemonSet.
pub(crate) fn workload(kind: &str, object: &Value) -> Rollout {
    if let Some(words) = going(object) {
        return Rollout::NotReady(words);
    }
    let (generation, seen) = (number(object, "/metadata/generation"), number(object, "/status/observedGeneration"));
    if seen < generation {
        return Rollout::NotReady(format!("its controller has not seen generation {generation} yet (seen: {seen})"));
    }
    match kind {
        "StatefulSet" => stateful_set(object),
        "DaemonSet" => daemon_set(object),
        _ => deployment(object),
    }
}

fn deployment(object: &Value) -> Rollout {
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let available = number(object, "/status/availableReplicas");
    let all = number(object, "/status/replicas");
    let stalled = condition(object, "Progressing")
        .filter(|progressing| text(progressing, "/reason") == "ProgressDeadlineExceeded")
        .map(|progressing| format!("; {}", text(progressing, "/message")))
        .unwrap_or_default();
    if updated < wanted {
        Rollout::NotReady(format!("{updated} of {wanted} replicas are of the current revision{stalled}"))
    } else if all > updated {
        Rollout::NotReady(format!("{} replicas of an old revision are still there{stalled}", all - updated))
    } else if available < wanted {
        Rollout::NotReady(format!("{available} of {wanted} replicas available{stalled}"))
    } else {
        Rollout::Ready(format!("{available} of {wanted} replicas available"))
    }
}

fn stateful_set(object: &Value) -> Rollout {
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let ready = number(object, "/status/readyReplicas");
    let updated = number(object, "/status/updatedReplicas");
    let rolls = text(object, "/spec/updateStrategy/type") != "OnDelete";
    let to_update = wanted - number(object, "/spec/updateStrategy/rollingUpdate/partition").min(wanted);
    if ready < wanted {
        Rollout::NotReady(format!("{ready} of {wanted} replicas ready"))
    } else if rolls && updated < to_update {
        Rollout::NotReady(format!("{updated} of {to_update} replicas are of the current revision"))
    } else {
        Rollout::Ready(format!("{ready} of {wanted} replicas ready"))
    }
}

fn daemon_set(object: &Value) -> Rollout {
    let wanted = number(object, "/status/desiredNumberScheduled");
    let available = number(object, "/status/numberAvailable");
    let updated = number(object, "/status/updatedNumberScheduled");
    let rolls = text(object, "/spec/updateStrategy/type") != "OnDelete";
    if rolls && updated < wanted {
        Rollout::NotReady(format!("{updated} of {wanted} nodes run the current revision"))
    } else if available < wanted {
        Rollout::NotReady(format!("available on {available} of {wanted} nodes"))
    } else {
        Rollout::Ready(format!("available on {available} of {wanted} nodes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ready(kind: &str, object: &Value) -> bool {
        matches!(workload(kind, object), Rollout::Ready(_))
    }

    #[test]
    fn a_deployment_is_ready_when_all_current_replicas_are_available_and_no_old_one_is_left() {
        let object = |status: Value| json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let good = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert!(ready("Deployment", &object(good.clone())));
        for (field, value) in
            [("observedGeneration", 1), ("updatedReplicas", 1), ("availableReplicas", 1), ("replicas", 3)]
        {
            let mut worse = good.clone();
            worse[field] = json!(value);
            assert!(!ready("Deployment", &object(worse)), "{field}");
        }
        assert!(!ready("Deployment", &json!({"metadata": {"generation": 1}})), "no status");
    }

    #[test]
    fn a_deployment_without_replicas_wants_one_and_with_zero_none() {
        assert!(!ready("Deployment", &json!({"metadata": {}, "spec": {}})));
        assert!(ready("Deployment", &json!({"metadata": {}, "spec": {"replicas": 0}})));
    }

    #[test]
    fn a_stateful_set_minds_its_partition() {
        let object = |partition: i64, updated: i64| {
            json!({"metadata": {"generation": 1},
                "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}},
                "status": {"observedGeneration": 1, "readyReplicas": 3, "updatedReplicas": updated}})
        };
        assert!(!ready("StatefulSet", &object(0, 2)));
        assert!(ready("StatefulSet", &object(1, 2)));
        assert!(ready("StatefulSet", &object(9, 0)));
    }

    #[test]
    fn what_is_being_deleted_is_not_ready_whatever_its_status_says() {
        let object = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]},
            "spec": {"replicas": 0}});
        let words = "it is being deleted since 2026-01-01T00:00:00Z, held by a/b";
        assert_eq!(workload("Deployment", &object), Rollout::NotReady(words.into()));
    }

    #[test]
    fn a_daemon_set_that_no_node_wants_is_ready() {
        assert!(ready("DaemonSet", &json!({"metadata": {}, "status": {}})));
        let object = json!({"metadata": {}, "status":
            {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}});
        assert_eq!(workload("DaemonSet", &object), Rollout::NotReady("available on 1 of 2 nodes".into()));
    }
}
