//! What happens next to a pod on a simulated node. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::node::Faults;
use crate::names;

/// How long a pod that finishes runs, where its annotation does not say.
const DURATION: Duration = Duration::from_secs(1);

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// It is as it should be.
    Nothing,
    /// Look again then.
    LookIn(Duration),
    /// Merge this into it, by its status.
    Patch(Value),
    /// The same for a start that fails, once that is counted on its node.
    NotStarted(Value),
    /// Remove it: its containers have stopped.
    Remove,
}

/// How long a kubelet says why a pull failed before it says that it backs off.
const FIRST_PULL: Duration = Duration::from_secs(1);

/// What happens next to a pod that is bound to a simulated node with such faults.
pub(super) fn next(pod: &Pod, faults: &Faults, now: Timestamp) -> Next {
    let (Some(spec), status) = (&pod.spec, pod.status.clone().unwrap_or_default()) else { return Next::Nothing };
    let phase = status.phase.as_deref().unwrap_or("Pending");
    let ended = matches!(phase, "Succeeded" | "Failed");
    if pod.metadata.deletion_timestamp.is_some() {
        let tracked = !pod.finalizers().is_empty();
        return match pod.metadata.deletion_grace_period_seconds {
            // Ours already, or a forced deletion; only finalizers are left.
            Some(0) if tracked => Next::Nothing,
            // A Job counts its pod by how it ended.
            _ if tracked && !ended => Next::Patch(finished(pod, spec, &status, 137, now)),
            _ => Next::Remove,
        };
    }
    if ended {
        return Next::Nothing;
    }
    if let Some(reason) = pod.annotations().get(names::SIMULATE_FAILURE) {
        let why = |_: &str| "simulated by an annotation of the pod".to_owned();
        return if waits_with(&status, reason) {
            Next::Nothing
        } else {
            Next::Patch(waiting(pod, spec, (reason, &why), now))
        };
    }
    if phase != "Running" && faults.not_ready.is_some() {
        // Looked at again when the node changes.
        return Next::Nothing;
    }
    if phase != "Running" && spec.containers.iter().any(|container| unpullable(container).is_some()) {
        return pull(pod, spec, &status, now);
    }
    if phase != "Running" && faults.start_errors > 0 && finishes(pod, spec) {
        return Next::NotStarted(not_started(pod, spec, &status, now));
    }
    if phase != "Running" {
        return Next::Patch(running(pod, spec, &status, now));
    }
    if !finishes(pod, spec) {
        return Next::Nothing;
    }
    let began = status.start_time.as_ref().map_or(now, |time| time.0);
    let ran = Duration::try_from(now.duration_since(began)).unwrap_or(Duration::ZERO);
    match duration(pod).checked_sub(ran) {
        Some(left) if !left.is_zero() => Next::LookIn(left),
        _ => Next::Patch(finished(pod, spec, &status, exit_code(pod, faults), now)),
    }
}

/// Pods of Jobs finish, and so do pods of nobody that are not to be started again.
fn finishes(pod: &Pod, spec: &PodSpec) -> bool {
    match pod.owner_references().iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) => owner.kind == "Job",
        None => spec.restart_policy.as_deref().is_some_and(|policy| policy != "Always"),
    }
}

fn duration(pod: &Pod) -> Duration {
    let given = pod.annotations().get(names::SIMULATE_DURATION);
    // A duration that cannot be read runs as long as one that was not given.
    given.and_then(|text| parse_duration(text)).unwrap_or(DURATION)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.trim().parse().ok()?;
    Duration::try_from(span).ok()
}

fn exit_code(pod: &Pod, faults: &Faults) -> i32 {
    let own = pod.annotations().get(names::SIMULATE_EXIT_CODE).and_then(|text| text.trim().parse().ok());
    own.or(faults.exit_code).unwrap_or(0)
}

/// The registry of an image that nobody can pull: its host is below `.invalid`, which by RFC 2606 is no host anywhere.
fn unpullable(container: &Container) -> Option<&str> {
    let (host, _) = container.image.as_deref()?.split_once('/')?;
    host.split(':').next()?.ends_with(".invalid").then_some(host)
}

/// A pull that fails: first with the registry's trouble, then with the kubelet's back-off. The words are containerd's and
/// the kubelet's.
fn pull(pod: &Pod, spec: &PodSpec, status: &PodStatus, now: Timestamp) -> Next {
    let of =
        |name: &str| spec.containers.iter().find(|container| container.name == name).and_then(|c| c.image.as_deref());
    if waits_with(status, "ImagePullBackOff") {
        return Next::Nothing;
    }
    if waits_with(status, "ErrImagePull") {
        let began = status.start_time.as_ref().map_or(now, |time| time.0);
        let waited = Duration::try_from(now.duration_since(began)).unwrap_or(Duration::ZERO);
        return match FIRST_PULL.checked_sub(waited) {
            Some(left) if !left.is_zero() => Next::LookIn(left),
            _ => {
                let why = |name: &str| format!("Back-off pulling image \"{}\"", of(name).unwrap_or_default());
                Next::Patch(waiting(pod, spec, ("ImagePullBackOff", &why), now))
            }
        };
    }
    let why = |name: &str| {
        let image = of(name).unwrap_or_default();
        let host = image.split('/').next().unwrap_or_default();
        format!(
            "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": dial tcp: lookup {host}: no such host"
        )
    };
    Next::Patch(waiting(pod, spec, ("ErrImagePull", &why), now))
}

fn waits_with(status: &PodStatus, reason: &str) -> bool {
    status.container_statuses.iter().flatten().any(|container| {
        container.state.as_ref().and_then(|state| state.waiting.as_ref()?.reason.as_deref()) == Some(reason)
    })
}

/// All containers wait with a reason, and a message for each.
fn waiting(pod: &Pod, spec: &PodSpec, (reason, why): (&str, &dyn Fn(&str) -> String), now: Timestamp) -> Value {
    let statuses: Vec<Value> = spec
        .containers
        .iter()
        .map(|container| {
            let state = json!({"waiting": {"reason": reason, "message": why(&container.name)}});
            container_status(pod, container, &state, false)
        })
        .collect();
    let conditions = json!([
        condition("PodScheduled", "True", "", now),
        condition("Initialized", "True", "", now),
        condition("ContainersReady", "False", "ContainersNotReady", now),
        condition("Ready", "False", "ContainersNotReady", now),
    ]);
    let began = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map_or(now, |time| time.0);
    let status = json!({
        "phase": "Pending", "startTime": began, "hostIP": host(pod), "conditions": conditions,
        "containerStatuses": statuses,
    });
    patch(pod, status)
}

fn running(pod: &Pod, spec: &PodSpec, status: &PodStatus, now: Timestamp) -> Value {
    let state = json!({"running": {"startedAt": now}});
    let done = terminated(0, now, now);
    let init: Vec<Value> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|container| {
            let state = if is_sidecar(container) { &state } else { &done };
            container_status(pod, container, state, true)
        })
        .collect();
    let containers: Vec<Value> =
        spec.containers.iter().map(|container| container_status(pod, container, &state, true)).collect();
    let address = address(pod, spec);
    let kinds = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];
    let conditions = conditions(status, &kinds.map(|kind| condition(kind, "True", "", now)), now);
    let status = json!({
        "phase": "Running", "startTime": now, "hostIP": host(pod), "hostIPs": [{"ip": host(pod)}],
        "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions,
        "initContainerStatuses": init, "containerStatuses": containers,
    });
    patch(pod, status)
}

fn finished(pod: &Pod, spec: &PodSpec, status: &PodStatus, code: i32, now: Timestamp) -> Value {
    let began = status.start_time.as_ref().map_or(now, |time| time.0);
    let state = terminated(code, began, now);
    let containers: Vec<Value> =
        spec.containers.iter().map(|container| container_status(pod, container, &state, false)).collect();
    let (phase, reason) = if code == 0 { ("Succeeded", "PodCompleted") } else { ("Failed", "PodFailed") };
    let ours = [condition("ContainersReady", "False", reason, now), condition("Ready", "False", reason, now)];
    let conditions = conditions(status, &ours, now);
    patch(pod, json!({"phase": phase, "conditions": conditions, "containerStatuses": containers}))
}

/// Reason and exit code are containerd's (`errorStartReason`, `errorStartExitCode` of its CRI plugin).
fn not_started(pod: &Pod, spec: &PodSpec, status: &PodStatus, now: Timestamp) -> Value {
    let state = json!({"terminated": {
        "exitCode": 128, "reason": "StartError", "message": "simulated by an annotation of the node",
        "startedAt": Timestamp::UNIX_EPOCH, "finishedAt": now,
    }});
    let containers: Vec<Value> =
        spec.containers.iter().map(|container| container_status(pod, container, &state, false)).collect();
    let kinds = ["ContainersReady", "Ready"];
    let conditions = conditions(status, &kinds.map(|kind| condition(kind, "False", "PodFailed", now)), now);
    let status = json!({
        "phase": "Failed", "startTime": now, "hostIP": host(pod), "conditions": conditions, "containerStatuses": containers,
    });
    patch(pod, status)
}

/// The uid makes it a patch of this pod alone, not of one that took its name.
fn patch(pod: &Pod, status: Value) -> Value {
    json!({"metadata": {"uid": pod.uid()}, "status": status})
}

fn terminated(code: i32, began: Timestamp, now: Timestamp) -> Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now}})
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn container_status(pod: &Pod, container: &Container, state: &Value, up: bool) -> Value {
    let image = container.image.as_deref().unwrap_or_default();
    let started = up && state.get("running").is_some();
    json!({
        "name": container.name, "image": image, "imageID": format!("simulated://{image}"), "restartCount": 0,
        "containerID": format!("simulated://{}/{}", pod.uid().unwrap_or_default(), container.name),
        "ready": up, "started": started, "state": state,
    })
}

fn condition(kind: &str, status: &str, reason: &str, now: Timestamp) -> Value {
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": now});
    if !reason.is_empty() {
        condition["reason"] = reason.into();
    }
    condition
}

/// Those that are there, with ours in their place; a pod on a node is scheduled, whoever bound it.
fn conditions(status: &PodStatus, ours: &[Value], now: Timestamp) -> Vec<Value> {
    let is_ours = |kind: &str| ours.iter().any(|condition| condition["type"] == kind);
    let mut all: Vec<Value> = status
        .conditions
        .iter()
        .flatten()
        .filter(|condition| !is_ours(&condition.type_))
        .map(|condition| serde_json::to_value(condition).expect("a condition is plain data"))
        .collect();
    if !all.iter().any(|condition| condition["type"] == "PodScheduled") {
        all.push(condition("PodScheduled", "True", "", now));
    }
    all.extend_from_slice(ours);
    all
}

fn host(pod: &Pod) -> String {
    node_address(pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default())
}

fn address(pod: &Pod, spec: &PodSpec) -> String {
    if spec.host_network == Some(true) {
        return host(pod);
    }
    let digest = Sha256::digest(pod.uid().unwrap_or_default());
    // 22 bits of 10.64.0.0/10; nothing listens there, it has only to look and differ like an address.
    format!("10.{}.{}.{}", 64 + (digest[0] & 63), digest[1], digest[2].clamp(1, 254))
}

/// The address that a node of that name has.
pub(super) fn node_address(name: &str) -> String {
    let digest = Sha256::digest(name);
    format!("172.30.{}.{}", digest[0], digest[1].clamp(1, 254))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(extra: Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": "p", "namespace": "d", "uid": "u"},
            "spec": {"nodeName": "n", "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
        });
        merge(&mut pod, extra);
        serde_json::from_value(pod).unwrap()
    }

    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn status(next: Next) -> Value {
        match next {
            Next::Patch(patch) => patch["status"].clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pod_runs_then_finishes_after_its_duration_with_its_exit_code() {
        let annotations = json!({"wbk-infra/simulate-duration": "30s", "wbk-infra/simulate-exit-code": "3"});
        let pending = pod(json!({"metadata": {"annotations": annotations}}));
        let running = status(next(&pending, &Faults::default(), at(0)));
        assert_eq!(running["phase"], "Running");
        let running = pod(json!({"metadata": {"annotations": annotations}, "status": running}));
        assert_eq!(next(&running, &Faults::default(), at(10)), Next::LookIn(Duration::from_secs(20)));
        let ended = status(next(&running, &Faults::default(), at(30)));
        assert_eq!(ended["phase"], "Failed");
        assert_eq!(ended["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
        assert_eq!(next(&pod(json!({"status": ended})), &Faults::default(), at(31)), Next::Nothing);
    }

    #[test]
    fn a_pod_of_a_daemon_set_runs_on() {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "x", "uid": "y", "controller": true}]);
        let pending = pod(json!({"metadata": {"ownerReferences": owner}, "spec": {"restartPolicy": "Always"}}));
        let mut running = pending.clone();
        running.status = serde_json::from_value(status(next(&pending, &Faults::default(), at(0)))).unwrap();
        assert_eq!(next(&running, &Faults::default(), at(1000)), Next::Nothing);
    }

    #[test]
    fn a_deleted_pod_is_removed_and_a_tracked_one_ends_first() {
        let gone = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30});
        assert_eq!(next(&pod(json!({"metadata": gone})), &Faults::default(), at(0)), Next::Remove);
        let mut tracked = gone.clone();
        tracked["finalizers"] = json!(["batch.kubernetes.io/job-tracking"]);
        let ended = status(next(&pod(json!({"metadata": tracked})), &Faults::default(), at(0)));
        assert_eq!(ended["phase"], "Failed");
        tracked["deletionGracePeriodSeconds"] = json!(0);
        assert_eq!(next(&pod(json!({"metadata": tracked})), &Faults::default(), at(0)), Next::Nothing);
    }

    #[test]
    fn an_image_that_cannot_be_pulled_keeps_the_pod_waiting() {
        let failure = json!({"annotations": {"wbk-infra/simulate-failure": "ImagePullBackOff"}});
        let first = status(next(&pod(json!({"metadata": failure})), &Faults::default(), at(0)));
        assert_eq!(first["containerStatuses"][0]["state"]["waiting"]["reason"], "ImagePullBackOff");
        assert_eq!(next(&pod(json!({"metadata": failure, "status": first})), &Faults::default(), at(1)), Next::Nothing);
    }

    #[test]
    fn an_image_of_no_registry_is_pulled_in_vain_as_a_kubelet_does() {
        let image = json!({"spec": {"containers": [{"name": "c", "image": "registry.invalid/x:1"}]}});
        let with = |status: &Value| {
            let mut pod: Value = json!({"status": status});
            merge(&mut pod, image.clone());
            self::pod(pod)
        };
        let first = status(next(&with(&json!({})), &Faults::default(), at(0)));
        let waiting = &first["containerStatuses"][0]["state"]["waiting"];
        assert_eq!(waiting["reason"], "ErrImagePull");
        assert!(waiting["message"].as_str().unwrap().ends_with("lookup registry.invalid: no such host"));
        assert_eq!(next(&with(&first), &Faults::default(), at(0)), Next::LookIn(Duration::from_secs(1)));
        let second = status(next(&with(&first), &Faults::default(), at(1)));
        assert_eq!(second["containerStatuses"][0]["state"]["waiting"]["reason"], "ImagePullBackOff");
        assert_eq!(next(&with(&second), &Faults::default(), at(2)), Next::Nothing);
    }

    #[test]
    fn a_start_error_ends_what_would_finish_and_leaves_alone_what_runs_on() {
        let faults = Faults { start_errors: 1, ..Faults::default() };
        let Next::NotStarted(patch) = next(&pod(json!({})), &faults, at(0)) else { panic!("it was started") };
        assert_eq!(patch["status"]["phase"], "Failed");
        let ended = &patch["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("StartError"), &json!(128)));
        let service = pod(json!({"spec": {"restartPolicy": "Always"}}));
        assert_eq!(status(next(&service, &faults, at(0)))["phase"], "Running");
    }

    #[test]
    fn a_node_that_is_not_ready_starts_nothing_and_a_bad_one_fails_its_pods() {
        let down = Faults { not_ready: Some("down".into()), ..Faults::default() };
        assert_eq!(next(&pod(json!({})), &down, at(0)), Next::Nothing);
        let bad = Faults { exit_code: Some(9), ..Faults::default() };
        let running = pod(json!({"status": status(next(&pod(json!({})), &bad, at(0)))}));
        assert_eq!(status(next(&running, &bad, at(2)))["containerStatuses"][0]["state"]["terminated"]["exitCode"], 9);
        let own = json!({"metadata": {"annotations": {"wbk-infra/simulate-exit-code": "0"}}, "status": running.status});
        assert_eq!(status(next(&pod(own), &bad, at(2)))["phase"], "Succeeded", "what the pod says goes before");
    }
}
