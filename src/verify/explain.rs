//! Why a pod does not run, in one sentence, from what the API server shows.

use serde_json::Value;

use super::context::CheckContext;
use super::readiness::{condition, name, number, text};

/// Explains the first pod at fault of those that the selector takes in; `None` where nothing is known, also where the
/// caller has no right to look: an explanation is an extra.
pub(super) async fn pods(cx: &CheckContext, namespace: &str, selector: &str) -> Option<String> {
    let api = cx.api();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    // Without a right to list pods there is no explanation, and the evidence stands without it.
    let pods = api.list(&path, selector).await.ok()?;
    let (pod, trouble) = pods.iter().find_map(|pod| Some((pod, pod_trouble(pod)?)))?;
    let event = last_event(cx, namespace, "Pod", name(pod)).await;
    let event = event.map(|event| format!("; last event: {event}")).unwrap_or_default();
    Some(format!("pod {}: {trouble}{event}", name(pod)))
}

/// The last event about an object, `reason: message`, where there is one and the caller may see it.
pub(super) async fn last_event(cx: &CheckContext, namespace: &str, kind: &str, name: &str) -> Option<String> {
    let path = format!("/api/v1/namespaces/{namespace}/events");
    let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
    // As above: an explanation is an extra.
    let events = cx.api().list_by_field(&path, &fields).await.ok()?;
    newest(&events).map(|event| one_line(&format!("{}: {}", text(event, "/reason"), text(event, "/message"))))
}

fn newest(events: &[Value]) -> Option<&Value> {
    // RFC 3339 texts of one offset (the server writes UTC) sort by time; series and old-style events keep it elsewhere.
    let time = |event: &Value| {
        ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/firstTimestamp", "/metadata/creationTimestamp"]
            .iter()
            .map(|pointer| text(event, pointer).to_owned())
            .find(|time| !time.is_empty())
            .unwrap_or_default()
    };
    events.iter().max_by_key(|event| time(event))
}

/// What keeps a pod from running or made it fail; `None` for one that runs and is ready, or succeeded.
pub(super) fn pod_trouble(pod: &Value) -> Option<String> {
    let phase = text(pod, "/status/phase");
    if phase == "Succeeded" {
        return None;
    }
    if let Some(container) = container_trouble(pod) {
        return Some(container);
    }
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|c| text(c, "/status") == "False") {
        let words = one_line(text(scheduled, "/message"));
        let reason = text(scheduled, "/reason");
        return Some(if words.is_empty() {
            format!("not scheduled ({reason})")
        } else {
            format!("not scheduled: {words}")
        });
    }
    match phase {
        "Running" => condition(pod, "Ready")
            .filter(|ready| text(ready, "/status") == "False")
            .map(|_| format!("runs on {} and is not ready", node(pod))),
        "Failed" => {
            let words = [text(pod, "/status/reason"), text(pod, "/status/message")];
            Some(format!("failed {}", one_line(words.join(" ").trim())))
        }
        "Pending" | "" if text(pod, "/spec/nodeName").is_empty() => {
            Some("waits for the scheduler, which has not looked at it".into())
        }
        "Pending" | "" => Some(format!("assigned to {}, whose kubelet has not started it", node(pod))),
        other => Some(format!("phase {other}")),
    }
}

fn node(pod: &Value) -> String {
    let node = text(pod, "/spec/nodeName");
    if node.is_empty() { "no node".into() } else { format!("node {node}") }
}

fn container_trouble(pod: &Value) -> Option<String> {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    statuses.iter().filter_map(|pointer| pod.pointer(pointer)?.as_array()).flatten().find_map(|status| {
        let container = text(status, "/name");
        if let Some(waiting) = status.pointer("/state/waiting") {
            let reason = text(waiting, "/reason");
            if matches!(reason, "" | "PodInitializing" | "ContainerCreating") {
                return None;
            }
            let message = one_line(text(waiting, "/message"));
            let joint = if message.is_empty() { "" } else { ": " };
            return Some(format!("container {container} waits ({reason}{joint}{message})"));
        }
        let ended = status.pointer("/state/terminated")?;
        let code = number(ended, "/exitCode");
        (code != 0).then(|| {
            let message = one_line(text(ended, "/message"));
            let joint = if message.is_empty() { "" } else { ": " };
            format!("container {container} ended with exit code {code} ({}{joint}{message})", text(ended, "/reason"))
        })
    })
}

/// The longest message that is repeated in full; a scheduler's message about 20 taints fits.
const LONGEST: usize = 400;

/// A message as one line without control characters, cut where it is endless.
pub(super) fn one_line(message: &str) -> String {
    let words: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unschedulable_pod_is_explained_in_the_schedulers_words() {
        let pod = json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}]}});
        let trouble = pod_trouble(&pod).expect("it is in trouble");
        assert_eq!(trouble, "not scheduled: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.");
    }

    #[test]
    fn container_states_come_first() {
        let pod = json!({"status": {"phase": "Pending", "containerStatuses": [
            {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such\nimage"}}}]}});
        assert_eq!(pod_trouble(&pod).expect("trouble"), "container main waits (ImagePullBackOff: no such image)");
        let pod = json!({"status": {"phase": "Failed", "containerStatuses": [
            {"name": "main", "state": {"terminated": {"reason": "Error", "exitCode": 3}}}]}});
        assert_eq!(pod_trouble(&pod).expect("trouble"), "container main ended with exit code 3 (Error)");
    }

    #[test]
    fn a_pod_that_runs_or_succeeded_is_in_no_trouble() {
        assert_eq!(pod_trouble(&json!({"status": {"phase": "Succeeded"}})), None);
        assert_eq!(pod_trouble(&json!({"status": {"phase": "Running"}})), None);
    }

    #[test]
    fn a_pod_that_nobody_starts_names_its_node() {
        let pod = json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Pending"}});
        assert_eq!(pod_trouble(&pod).expect("trouble"), "assigned to node n1, whose kubelet has not started it");
    }

    #[test]
    fn the_newest_event_is_found_across_the_kinds_of_times() {
        let events = [
            json!({"reason": "Old", "lastTimestamp": "2026-01-01T00:00:00Z"}),
            json!({"reason": "New", "lastTimestamp": null, "eventTime": "2026-01-01T00:00:05.000001Z"}),
        ];
        assert_eq!(newest(&events).map(|event| text(event, "/reason")), Some("New"));
    }
}
