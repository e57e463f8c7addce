//! When an object is ready, read off its own status: pure, so that it can be tested and explained.

use serde_json::Value;

use super::{
    pod::pod_trouble,
    rollout::{Rollout, condition, going, is_true, name, number, text, workload},
};

/// Whether an object is ready, and if not, what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It is.
    Ready,
    /// It is not yet; what for, one line.
    Waiting(String),
    /// It will not become so without a change.
    Failed(String),
}

/// Reads an object's readiness. Kinds without a notion of it are ready once they are there.
pub fn readiness(object: &Value) -> Readiness {
    if let Some(words) = going(object) {
        return Readiness::Waiting(words);
    }
    let group = object["apiVersion"].as_str().unwrap_or_default().rsplit_once('/').map_or("", |(group, _)| group);
    let kind = object["kind"].as_str().unwrap_or_default();
    match (group, kind) {
        ("", "Namespace") => match text(object, "/status/phase") {
            "Active" => Readiness::Ready,
            phase => Readiness::Waiting(format!("phase {phase}")),
        },
        ("", "Pod") => pod(object),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => rollout(kind, object),
        ("batch", "Job") => job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => conditions(object, &["Established", "NamesAccepted"]),
        ("apiregistration.k8s.io", "APIService") => conditions(object, &["Available"]),
        _ => Readiness::Ready,
    }
}

fn rollout(kind: &str, object: &Value) -> Readiness {
    match workload(kind, object) {
        Rollout::Ready(_) => Readiness::Ready,
        Rollout::NotReady(words) => match condition(object, "Progressing") {
            Some(progressing) if text(progressing, "/reason") == "ProgressDeadlineExceeded" => Readiness::Failed(words),
            Some(_) | None => Readiness::Waiting(words),
        },
    }
}

fn conditions(object: &Value, names: &[&str]) -> Readiness {
    match names.iter().find(|name| !is_true(object, name)) {
        Some(name) => {
            let message = condition(object, name).map(|condition| text(condition, "/message")).unwrap_or_default();
            Readiness::Waiting(format!("condition {name} {message}").trim_end().to_owned())
        }
        None => Readiness::Ready,
    }
}

fn job(object: &Value) -> Readiness {
    if is_true(object, "Failed") {
        let message = condition(object, "Failed").map(|condition| text(condition, "/message")).unwrap_or_default();
        return Readiness::Failed(if message.is_empty() { "the job failed".into() } else { message.to_owned() });
    }
    if is_true(object, "Complete") || object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Readiness::Ready;
    }
    let (active, succeeded) = (number(object, "/status/active"), number(object, "/status/succeeded"));
    Readiness::Waiting(format!("{active} active, {succeeded} succeeded"))
}

fn pod(object: &Value) -> Readiness {
    match pod_trouble(object) {
        None if is_true(object, "Ready") || text(object, "/status/phase") == "Succeeded" => Readiness::Ready,
        None => Readiness::Waiting(format!("phase {}", text(object, "/status/phase"))),
        Some(trouble) if text(object, "/status/phase") == "Failed" => Readiness::Failed(trouble),
        Some(trouble) => Readiness::Waiting(trouble),
    }
}

/// Names the pod of a list that explains best why its owner is not ready.
pub(crate) fn explain_pods(pods: &[Value]) -> Option<String> {
    pods.iter().find_map(|pod| Some(format!("pod {}: {}", name(pod), pod_trouble(pod)?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_waits_and_fails_when_its_deadline_is_over() {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 1},
            "spec": {"replicas": 2}, "status": {"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}});
        assert_eq!(readiness(&object), Readiness::Waiting("1 of 2 replicas available".into()));
        object["status"]["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no progress"}]);
        assert_eq!(readiness(&object), Readiness::Failed("1 of 2 replicas available; no progress".into()));
    }

    #[test]
    fn the_pod_at_fault_is_named() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Pending",
            "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
        assert_eq!(explain_pods(&[object]), Some("pod p: container main waits (ImagePullBackOff)".into()));
    }

    #[test]
    fn a_failed_job_is_failed() {
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]}});
        assert_eq!(readiness(&object), Readiness::Failed("BackoffLimitExceeded".into()));
    }
}
