//! Why a pod does not run, in one sentence, read off its own status. Pure.

use serde_json::Value;

use super::rollout::{condition, number, text};

/// What keeps a pod from running or made it fail; `None` for one that runs and is ready, or succeeded.
pub(crate) fn pod_trouble(pod: &Value) -> Option<String> {
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

/// Whether a pod failed because the container runtime did not start a container: nothing of it ever ran. The reasons are containerd's
/// (`errorStartReason` of its CRI plugin) and Docker's; Kubernetes' own pod tests take the two for the same.
pub(crate) fn never_began(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Failed"
        && container_statuses(pod)
            .any(|status| matches!(text(status, "/state/terminated/reason"), "StartError" | "ContainerCannotRun"))
}

fn node(pod: &Value) -> String {
    let node = text(pod, "/spec/nodeName");
    if node.is_empty() { "no node".into() } else { format!("node {node}") }
}

/// The statuses of its containers, init containers first.
pub(crate) fn container_statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    lists.into_iter().filter_map(|pointer| pod.pointer(pointer)?.as_array()).flatten()
}

fn container_trouble(pod: &Value) -> Option<String> {
    container_statuses(pod).find_map(|status| {
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
pub(crate) fn one_line(message: &str) -> String {
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
    fn a_container_that_was_never_started_is_told_from_one_that_failed() {
        let ended = |reason: &str| {
            json!({"status": {"phase": "Failed", "containerStatuses": [
                {"name": "main", "state": {"terminated": {"reason": reason, "exitCode": 128}}}]}})
        };
        assert!(never_began(&ended("StartError")) && never_began(&ended("ContainerCannotRun")));
        assert!(!never_began(&ended("Error")) && !never_began(&ended("OOMKilled")));
        let mut restarts = ended("StartError");
        restarts["status"]["phase"] = json!("Running");
        assert!(!never_began(&restarts), "its kubelet tries again by itself");
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
}
