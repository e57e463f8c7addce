//! Why something of Launch does not go on, and what mends it. Pure.
//!
//! Of most of this W&B shows nothing: the agent sees only what the scheduler says.

use serde::Serialize;
use serde_json::Value;

use crate::cluster::{condition, container_statuses, one_line, pod_trouble, text};
use crate::desired::DesiredQueue;
use crate::quantity::Quantity;

/// What keeps something, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Obstacle {
    /// What is in the way.
    pub why: String,
    /// One thing to do about it.
    pub fix: String,
}

impl Obstacle {
    /// Both in words.
    pub fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }
}

/// Admission refuses the pod of a job: a quota, Pod Security, a LimitRange, a priority class, a webhook. The phrases are those of the
/// admission plug-ins of Kubernetes 1.36.
pub(super) fn of_refusal(words: &str, queue: &DesiredQueue) -> Obstacle {
    let words = one_line(words);
    let space = &queue.namespace;
    let fix = if let Some((_, quota)) = words.split_once("exceeded quota: ") {
        let quota = quota.split(',').next().unwrap_or_default();
        match quota_admits_alone(&words) {
            true => format!(
                "it goes on when other jobs of {space} end: kubectl -n {space} describe quota {quota}; or raise namespaces[{space}].quota"
            ),
            false => format!(
                "alone it is more than the quota {quota} of {space} admits: raise namespaces[{space}].quota, or let the job ask for less"
            ),
        }
    } else if words.contains("failed quota: ") {
        format!("let launch.queues[{}] ask for what the quota of {space} counts", queue.name)
    } else if words.contains("violates PodSecurity") {
        format!("set namespaces[{space}].podSecurity: baseline; agents' pods cannot be `restricted`")
    } else if words.contains("PriorityClass") {
        "wbk-infra apply makes the priority classes of scheduling.priorities; launch.queues[].priority must be one of them"
            .to_owned()
    } else if words.contains("usage per") || words.contains("request ratio per") {
        format!("let launch.queues[{}] ask for what the LimitRange of {space} allows", queue.name)
    } else if words.contains("admission webhook") {
        "the webhook that it names must take it: it is not of this platform".to_owned()
    } else {
        format!("kubectl -n {space} get events says more")
    };
    Obstacle::new(format!("its pod is refused: {words}"), fix)
}

/// Whether what a quota refuses is alone within each bound that the refusal names: `requested: x=1, used: x=2, limited: x=2`.
pub(crate) fn quota_admits_alone(words: &str) -> bool {
    let amounts = |name: &str| -> Option<Vec<(&str, Quantity)>> {
        let (_, rest) = words.split_once(&format!("{name}: "))?;
        // The next word with a colon begins another list.
        let list = rest.split(": ").next()?;
        list.split([',', ' '])
            .filter_map(|one| one.split_once('='))
            .map(|(resource, amount)| Some((resource, amount.parse().ok()?)))
            .collect()
    };
    let (Some(asked), Some(limits)) = (amounts("requested"), amounts("limited")) else { return false };
    asked.iter().all(|(resource, amount)| limits.iter().any(|(other, limit)| other == resource && amount <= limit))
}

/// What keeps a pod that has a node, or made it fail.
pub(super) fn of_pod(pod: &Value, queue: &DesiredQueue) -> Option<Obstacle> {
    let (space, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
    if let Some(gone) = condition(pod, "DisruptionTarget").filter(|found| text(found, "/status") == "True") {
        let (reason, words) = (text(gone, "/reason"), one_line(text(gone, "/message")));
        return Some(Obstacle::new(
            format!("it was put off its node ({reason}): {words}"),
            "W&B does not put it back into the queue: push it again; it goes on where its checkpoint is",
        ));
    }
    let why = pod_trouble(pod)?;
    let fix =
        container_statuses(pod).find_map(|status| fix_of_container(status, queue)).unwrap_or_else(|| {
            match text(pod, "/spec/nodeName") {
                "" => format!("kubectl -n {space} describe pod {name} says more"),
                node => format!("kubectl describe node {node}, and the log of the pod: wbk-infra launch logs"),
            }
        });
    Some(Obstacle::new(why, fix))
}

fn fix_of_container(status: &Value, queue: &DesiredQueue) -> Option<String> {
    let space = &queue.namespace;
    let image = text(status, "/image");
    if let Some(ended) = status.pointer("/state/terminated") {
        let code = ended["exitCode"].as_i64().unwrap_or_default();
        return (code != 0).then(|| match text(ended, "/reason") {
            "OOMKilled" => format!(
                "it used more memory than launch.queues[{}].memory; /dev/shm counts as memory: raise it, or let it use less",
                queue.name
            ),
            "StartError" | "ContainerCannotRun" => {
                format!("the image {image} cannot run what it is told to: see its entrypoint and the item's arguments")
            }
            _ => "the program's own words: wbk-infra launch logs".to_owned(),
        });
    }
    match text(status, "/state/waiting/reason") {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Some(format!(
            "check the name {image}, and that namespace {space} may pull it (imagePullSecrets of its service account default)"
        )),
        "CreateContainerConfigError" => Some(format!(
            "make the Secret or ConfigMap that it names in namespace {space}: wbk-infra apply makes those of the blueprint"
        )),
        "CrashLoopBackOff" => Some("the program's own words: wbk-infra launch logs".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::{Origin, QueueContent};

    pub fn queue(name: &str) -> DesiredQueue {
        DesiredQueue {
            name: name.into(),
            content: QueueContent { config: json!({}), variables: json!({}), prioritization: true, links: Vec::new() },
            pool: Some("l4".into()),
            namespace: "jobs".into(),
            gpus: 1,
            job: Value::Null,
            origin: Origin { path: "launch".into(), at: None },
        }
    }

    #[test]
    fn each_refusal_names_the_thing_to_change() {
        let fix = |words: &str| of_refusal(words, &queue("l4")).fix;
        let quota = |asked: u32| {
            format!(
                "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1,requests.nvidia.com/gpu={asked}, used: pods=2,requests.nvidia.com/gpu=8, limited: pods=2,requests.nvidia.com/gpu=8"
            )
        };
        assert!(fix(&quota(8)).contains("describe quota q"), "{}", fix(&quota(8)));
        assert!(fix(&quota(9)).contains("alone it is more than"), "{}", fix(&quota(9)));
        assert!(fix("failed quota: q: must specify limits.memory").contains("launch.queues[l4]"));
        assert!(fix(r#"violates PodSecurity "restricted:latest""#).contains("podSecurity: baseline"));
        assert!(fix("no PriorityClass with name training was found").contains("scheduling.priorities"));
        assert!(fix("maximum memory usage per Container is 1Gi").contains("LimitRange"));
        assert!(fix("something else").contains("get events"));
    }

    #[test]
    fn each_end_of_a_container_names_the_thing_to_change() {
        let pod = |state: Value| {
            json!({"metadata": {"name": "p", "namespace": "jobs"}, "spec": {"nodeName": "n"}, "status": {"phase": "Pending",
                "containerStatuses": [{"name": "c", "image": "me/train:1", "state": state}]}})
        };
        let fix = |state: Value| of_pod(&pod(state), &queue("l4")).unwrap().fix;
        assert!(fix(json!({"waiting": {"reason": "ErrImagePull"}})).contains("me/train:1"));
        assert!(fix(json!({"waiting": {"reason": "CreateContainerConfigError"}})).contains("Secret"));
        assert!(fix(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})).contains("memory"));
        assert!(fix(json!({"terminated": {"exitCode": 1, "reason": "Error"}})).contains("launch logs"));
        let mut gone = pod(json!({"terminated": {"exitCode": 143, "reason": "Error"}}));
        gone["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod"}]);
        let told = of_pod(&gone, &queue("l4")).unwrap();
        assert!(told.why.contains("PreemptionByScheduler") && told.fix.contains("push it again"), "{told:?}");
    }
}
