//! When an object is ready, read off its own status: pure, so that it can be tested and explained.

use serde_json::Value;

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
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Readiness::Waiting("being deleted".into());
    }
    let group = object["apiVersion"].as_str().unwrap_or_default().rsplit_once('/').map_or("", |(group, _)| group);
    let kind = object["kind"].as_str().unwrap_or_default();
    match (group, kind) {
        ("", "Namespace") => match object.pointer("/status/phase").and_then(Value::as_str) {
            Some("Active") => Readiness::Ready,
            phase => Readiness::Waiting(format!("phase {}", phase.unwrap_or("unknown"))),
        },
        ("", "Pod") => pod(object),
        ("apps", "Deployment") => observed(object).unwrap_or_else(|| deployment(object)),
        ("apps", "StatefulSet") => observed(object)
            .unwrap_or_else(|| counted(object, "/spec/replicas", "/status/readyReplicas", "/status/updatedReplicas")),
        ("apps", "DaemonSet") => observed(object).unwrap_or_else(|| {
            counted(object, "/status/desiredNumberScheduled", "/status/numberReady", "/status/updatedNumberScheduled")
        }),
        ("batch", "Job") => job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => conditions(object, &["Established", "NamesAccepted"]),
        ("apiregistration.k8s.io", "APIService") => conditions(object, &["Available"]),
        _ => Readiness::Ready,
    }
}

fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}

/// A status written for an older generation says nothing about this one.
fn observed(object: &Value) -> Option<Readiness> {
    let wanted = number(object, "/metadata/generation").unwrap_or(0);
    let seen = number(object, "/status/observedGeneration").unwrap_or(0);
    (seen < wanted).then(|| Readiness::Waiting(format!("its controller has not yet seen generation {wanted}")))
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == name)
}

fn conditions(object: &Value, names: &[&str]) -> Readiness {
    for name in names {
        match condition(object, name) {
            Some(condition) if condition["status"] == "True" => {}
            Some(condition) => {
                return Readiness::Waiting(format!("{name}: {}", condition["message"].as_str().unwrap_or("not yet")));
            }
            None => return Readiness::Waiting(format!("condition {name}")),
        }
    }
    Readiness::Ready
}

fn deployment(object: &Value) -> Readiness {
    if let Some(condition) = condition(object, "Progressing")
        && condition["reason"] == "ProgressDeadlineExceeded"
    {
        return Readiness::Failed(condition["message"].as_str().unwrap_or("progress deadline exceeded").to_owned());
    }
    counted(object, "/spec/replicas", "/status/availableReplicas", "/status/updatedReplicas")
}

fn counted(object: &Value, wanted: &str, ready: &str, updated: &str) -> Readiness {
    let wanted = number(object, wanted).unwrap_or(if wanted.starts_with("/spec") { 1 } else { 0 });
    let (ready, updated) = (number(object, ready).unwrap_or(0), number(object, updated).unwrap_or(0));
    if updated < wanted {
        Readiness::Waiting(format!("{updated} of {wanted} pods are of the newest revision"))
    } else if ready < wanted {
        Readiness::Waiting(format!("{ready} of {wanted} pods are ready"))
    } else {
        Readiness::Ready
    }
}

fn job(object: &Value) -> Readiness {
    if let Some(failed) = condition(object, "Failed").filter(|condition| condition["status"] == "True") {
        return Readiness::Failed(failed["message"].as_str().unwrap_or("the job failed").to_owned());
    }
    match condition(object, "Complete").is_some_and(|condition| condition["status"] == "True") {
        true => Readiness::Ready,
        false if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) => Readiness::Ready,
        false => Readiness::Waiting(format!(
            "{} active, {} succeeded",
            number(object, "/status/active").unwrap_or(0),
            number(object, "/status/succeeded").unwrap_or(0)
        )),
    }
}

/// What a pod waits for: its phase, the container that is not ready and why.
fn pod(object: &Value) -> Readiness {
    let phase = object.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
    match phase {
        "Succeeded" => return Readiness::Ready,
        "Failed" => {
            return Readiness::Failed(
                object.pointer("/status/message").and_then(Value::as_str).unwrap_or("the pod failed").to_owned(),
            );
        }
        _ => {}
    }
    if condition(object, "Ready").is_some_and(|condition| condition["status"] == "True") {
        return Readiness::Ready;
    }
    Readiness::Waiting(pod_reason(object).unwrap_or_else(|| format!("phase {phase}")))
}

/// Why a pod does not run: a container's state, else the scheduler's word.
fn pod_reason(pod: &Value) -> Option<String> {
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for container in pod.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            for state in ["waiting", "terminated"] {
                let Some(reason) = container.pointer(&format!("/state/{state}/reason")).and_then(Value::as_str) else {
                    continue;
                };
                if reason == "Completed" {
                    continue;
                }
                let message =
                    container.pointer(&format!("/state/{state}/message")).and_then(Value::as_str).unwrap_or_default();
                let name = container["name"].as_str().unwrap_or_default();
                return Some(format!("container {name}: {reason} {message}").trim_end().to_owned());
            }
        }
    }
    condition(pod, "PodScheduled")
        .filter(|condition| condition["status"] == "False")
        .and_then(|condition| condition["message"].as_str())
        .map(|message| format!("not scheduled: {message}"))
}

/// Names the pod of a list that explains best why its owner is not ready.
pub(crate) fn explain_pods(pods: &[Value]) -> Option<String> {
    pods.iter().find_map(|pod| match readiness(pod) {
        Readiness::Ready => None,
        Readiness::Waiting(why) | Readiness::Failed(why) => {
            Some(format!("pod {}: {why}", pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?")))
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_waits_for_its_controller_then_its_pods_then_is_ready() {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 2},
            "spec": {"replicas": 2}, "status": {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2}});
        assert_eq!(readiness(&object), Readiness::Waiting("its controller has not yet seen generation 2".into()));
        object["status"]["observedGeneration"] = 2.into();
        assert_eq!(readiness(&object), Readiness::Ready);
        object["status"]["availableReplicas"] = 1.into();
        assert_eq!(readiness(&object), Readiness::Waiting("1 of 2 pods are ready".into()));
    }

    #[test]
    fn a_pod_names_its_container_and_reason() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Pending",
            "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}});
        assert_eq!(explain_pods(&[object]), Some("pod p: container main: ImagePullBackOff no such image".into()));
    }

    #[test]
    fn a_failed_job_is_failed() {
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]}});
        assert_eq!(readiness(&object), Readiness::Failed("BackoffLimitExceeded".into()));
    }
}
