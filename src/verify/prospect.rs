//! Pure: what will become of a pod that does not run, read off its own status, its events and the nodes of its pool:
//! whether waiting can help, and in one sentence why it waits.

use serde_json::Value;

use super::placement::{Placement, is_cordoned, offered, takes_pods};
use crate::cluster::{condition, container_statuses, is_true, name, one_line, text};

/// What can be seen at one moment.
pub(super) struct Scene<'a> {
    /// Where the pod shall go.
    pub(super) placement: &'a Placement,
    /// The GPU resource that it asks for.
    pub(super) resource: Option<&'a str>,
    /// The pod; `None` where its Job has none yet.
    pub(super) pod: Option<&'a Value>,
    /// Events about the pod, or about the Job that has none.
    pub(super) events: &'a [Value],
    /// All nodes.
    pub(super) nodes: &'a [Value],
}

/// Why a pod does not run. What follows from a cause (fault or doubt, hint) is decided where checks end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its pool has no node.
    NoNodes,
    /// Every node of the pool is cordoned.
    Cordoned,
    /// No node of the pool takes pods.
    NotReady,
    /// A taint that the pool does not say.
    Tainted,
    /// No node of the pool offers GPUs.
    NoGpus,
    /// Everything is taken.
    Full,
    /// The scheduler says no for another reason, or nothing.
    Unscheduled,
    /// The image cannot be pulled.
    Image,
    /// The container cannot be made, or does not stay up.
    Container,
    /// The node's kubelet has not started it.
    Kubelet,
    /// A quota has no room.
    Quota,
    /// Pod security, a LimitRange, a policy or a webhook refused it.
    Refused,
    /// It waits, and nothing says why.
    Waiting,
}

/// What will become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prospect {
    /// Why it does not run.
    pub(super) cause: Cause,
    /// The same in words.
    pub(super) words: String,
    /// Whether it may come right without anybody's doing.
    pub(super) heals: Heals,
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heals {
    /// It takes its time: nothing is wrong yet.
    InTime,
    /// Something is wrong that may pass: worth some patience.
    Perhaps,
    /// Not by itself.
    Never,
}

fn prospect(cause: Cause, heals: Heals, words: impl Into<String>) -> Prospect {
    Prospect { cause, words: words.into(), heals }
}

/// Reads the scene of a pod that has neither ended nor reached what is waited for.
pub(super) fn foresee(scene: &Scene<'_>) -> Prospect {
    let Some(pod) = scene.pod else { return without_pod(scene) };
    if text(pod, "/spec/nodeName").is_empty() { unscheduled(scene, pod) } else { on_its_node(scene, pod) }
}

/// Reads a refusal to make a pod.
pub(super) fn refused(message: &str) -> Prospect {
    let words = one_line(message);
    let never = |cause| prospect(cause, Heals::Never, format!("refused: {words}"));
    let perhaps = |cause| prospect(cause, Heals::Perhaps, format!("refused: {words}"));
    if words.contains("exceeded quota:") {
        perhaps(Cause::Quota)
    } else if words.contains("status unknown for quota") || words.contains("failed calling webhook") {
        perhaps(Cause::Refused)
    } else if words.contains("is forbidden:") || words.contains("denied") || words.contains("is invalid:") {
        // Pod security, a LimitRange, a quota that wants something declared, a policy, a webhook that answered.
        never(Cause::Refused)
    } else {
        perhaps(Cause::Refused)
    }
}

fn without_pod(scene: &Scene<'_>) -> Prospect {
    match newest(scene.events, |event| text(event, "/reason") == "FailedCreate") {
        Some(event) => refused(text(event, "/message")),
        None => prospect(Cause::Waiting, Heals::InTime, "no pod was made for it yet"),
    }
}

fn unscheduled(scene: &Scene<'_>, pod: &Value) -> Prospect {
    let said = condition(pod, "PodScheduled").filter(|c| text(c, "/status") == "False");
    let Some(said) = said else {
        let words = "the scheduler has not looked at it (does kube-scheduler run?)";
        return prospect(Cause::Unscheduled, Heals::Perhaps, words);
    };
    let message = one_line(text(said, "/message"));
    let pool = &scene.placement.pool;
    let of_pool = scene.placement.nodes(scene.nodes);
    if of_pool.is_empty() {
        let scaler = newest(scene.events, |event| text(event, "/reason") == "NotTriggerScaleUp");
        return match scaler {
            Some(event) => {
                let words = format!("pool {pool} has no node, and the autoscaler makes none: {}", message_of(event));
                prospect(Cause::NoNodes, Heals::Never, words)
            }
            None => match newest(scene.events, |event| text(event, "/reason") == "TriggeredScaleUp") {
                Some(event) => {
                    let words =
                        format!("pool {pool} has no node yet, and the autoscaler asked for one: {}", message_of(event));
                    prospect(Cause::NoNodes, Heals::InTime, words)
                }
                None => prospect(Cause::NoNodes, Heals::Perhaps, format!("pool {pool} has no node")),
            },
        };
    }
    if of_pool.iter().all(|node| is_cordoned(node)) {
        let words = format!("every node of pool {pool} is cordoned (unschedulable): {}", names(&of_pool));
        return prospect(Cause::Cordoned, Heals::Never, words);
    }
    let usable: Vec<&Value> = of_pool.iter().copied().filter(|node| takes_pods(node)).collect();
    if usable.is_empty() {
        let states: Vec<String> = of_pool.iter().map(|node| state(node)).collect();
        let words = format!("no node of pool {pool} takes pods: {}", few(&states));
        return prospect(Cause::NotReady, Heals::Perhaps, words);
    }
    let tainted: Vec<String> =
        usable.iter().filter_map(|node| Some((node, untolerated(node, pod)?))).map(named).collect();
    if tainted.len() == usable.len() {
        let words = format!("pool {pool} has taints that the blueprint does not say: {}", few(&tainted));
        return prospect(Cause::Tainted, Heals::Perhaps, words);
    }
    if let Some(resource) = scene.resource
        && usable.iter().all(|node| offered(node, resource) == 0)
    {
        let words = format!("no node of pool {pool} offers {resource}: {}", names(&usable));
        return prospect(Cause::NoGpus, Heals::Perhaps, words);
    }
    if message.contains("Insufficient ") || message.contains("Too many pods") {
        return prospect(Cause::Full, Heals::Perhaps, format!("not scheduled: {message}"));
    }
    prospect(Cause::Unscheduled, Heals::Perhaps, format!("not scheduled: {message}"))
}

fn on_its_node(scene: &Scene<'_>, pod: &Value) -> Prospect {
    let on = text(pod, "/spec/nodeName");
    for status in container_statuses(pod) {
        let Some(waiting) = status.pointer("/state/waiting") else { continue };
        let reason = text(waiting, "/reason");
        let message = one_line(text(waiting, "/message"));
        let joint = if message.is_empty() { "" } else { ": " };
        let image = text(status, "/image");
        match reason {
            "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                let words = format!("node {on} cannot pull image {image} ({reason}{joint}{message})");
                return prospect(Cause::Image, Heals::Never, words);
            }
            "ErrImagePull" => {
                // The first try failed; the back-off after the second says that it is not a moment's trouble.
                let final_words = ["not found", "manifest unknown", "unauthorized", "denied"];
                let heals =
                    if final_words.iter().any(|words| message.contains(words)) { Heals::Never } else { Heals::Perhaps };
                let words = format!("node {on} cannot pull image {image} ({reason}{joint}{message})");
                return prospect(Cause::Image, heals, words);
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff" => {
                let words = format!("its container does not start on node {on} ({reason}{joint}{message})");
                return prospect(Cause::Container, Heals::Never, words);
            }
            _ => {}
        }
    }
    let node = scene.nodes.iter().find(|node| name(node) == on);
    match node {
        None => prospect(Cause::Kubelet, Heals::Perhaps, format!("its node {on} is gone")),
        Some(node) if !is_true(node, "Ready") => prospect(
            Cause::NotReady,
            Heals::Perhaps,
            format!("it was given to a node that takes no pods: {}", state(node)),
        ),
        Some(_) => {
            let trouble = newest(scene.events, |event| text(event, "/type") == "Warning");
            match trouble {
                Some(event) => prospect(Cause::Kubelet, Heals::InTime, format!("on node {on}: {}", message_of(event))),
                None if text(pod, "/status/phase") == "Running" => {
                    prospect(Cause::Waiting, Heals::InTime, format!("it runs on node {on}"))
                }
                None => prospect(Cause::Kubelet, Heals::InTime, format!("node {on} has not started it yet")),
            }
        }
    }
}

/// A node and what keeps pods from it.
pub(super) fn state(node: &Value) -> String {
    let cordoned = if is_cordoned(node) { " and cordoned" } else { "" };
    match condition(node, "Ready") {
        Some(ready) if text(ready, "/status") == "True" && is_cordoned(node) => format!("{} is cordoned", name(node)),
        Some(ready) if text(ready, "/status") == "True" => format!("{} is Ready", name(node)),
        Some(ready) => {
            let message = one_line(text(ready, "/message"));
            let joint = if message.is_empty() { "" } else { ": " };
            format!("{} is NotReady{cordoned} ({}{joint}{message})", name(node), text(ready, "/reason"))
        }
        None => format!("{} is NotReady{cordoned} (its kubelet has not reported)", name(node)),
    }
}

/// The first taint of a node that keeps a pod from it.
pub(super) fn untolerated<'a>(node: &'a Value, pod: &Value) -> Option<&'a Value> {
    let tolerations = pod.pointer("/spec/tolerations").and_then(Value::as_array);
    let tolerations: Vec<&Value> = tolerations.into_iter().flatten().collect();
    node.pointer("/spec/taints")?.as_array()?.iter().find(|taint| {
        text(taint, "/effect") != "PreferNoSchedule"
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    })
}

/// As the scheduler decides (`Toleration.ToleratesTaint`); `Lt` and `Gt` tolerate nothing here.
fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (effect, key) = (text(toleration, "/effect"), text(toleration, "/key"));
    (effect.is_empty() || effect == text(taint, "/effect"))
        && (key.is_empty() || key == text(taint, "/key"))
        && match text(toleration, "/operator") {
            "Exists" => true,
            "" | "Equal" => !key.is_empty() && text(toleration, "/value") == text(taint, "/value"),
            _ => false,
        }
}

fn named((node, taint): (&&Value, &Value)) -> String {
    let value = match text(taint, "/value") {
        "" => String::new(),
        value => format!("={value}"),
    };
    format!("{} has {}{value}:{}", name(node), text(taint, "/key"), text(taint, "/effect"))
}

fn names(nodes: &[&Value]) -> String {
    few(&nodes.iter().map(|node| name(node).to_owned()).collect::<Vec<_>>())
}

fn few(words: &[String]) -> String {
    super::checks::few(words)
}

fn message_of(event: &Value) -> String {
    one_line(&format!("{}: {}", text(event, "/reason"), text(event, "/message")))
}

/// The newest of the events that count.
fn newest(events: &[Value], counts: impl Fn(&Value) -> bool) -> Option<&Value> {
    events.iter().filter(|event| counts(event)).max_by_key(|event| super::explain::time(event))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::checks::fixture::{desired, gpu_pool, node};

    fn placement() -> Placement {
        Placement::of(&gpu_pool("a100", 1, 2), &desired(vec![]))
    }

    fn pod(message: &str) -> Value {
        let mut spec = json!({});
        placement().place(&mut spec);
        json!({"spec": spec, "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}})
    }

    fn seen(pod: Option<&Value>, events: &[Value], nodes: &[Value]) -> Prospect {
        foresee(&Scene { placement: &placement(), resource: Some("nvidia.com/gpu"), pod, events, nodes })
    }

    fn nodes() -> Vec<Value> {
        let pool = gpu_pool("a100", 2, 2);
        vec![node(&pool, "n0", true), node(&pool, "n1", true), node(&gpu_pool("other", 1, 1), "o", true)]
    }

    #[test]
    fn cordoned_nodes_do_not_come_back_by_themselves() {
        let mut all = nodes();
        all[0]["spec"]["unschedulable"] = json!(true);
        let full = pod("0/3 nodes are available: 1 Insufficient nvidia.com/gpu.");
        assert_eq!(seen(Some(&full), &[], &all).cause, Cause::Full, "one node is left");
        all[1]["spec"]["unschedulable"] = json!(true);
        let found = seen(Some(&full), &[], &all);
        assert_eq!((found.cause, found.heals), (Cause::Cordoned, Heals::Never));
        assert_eq!(found.words, "every node of pool a100 is cordoned (unschedulable): n0, n1");
    }

    #[test]
    fn nodes_that_are_not_ready_are_named_with_their_reason() {
        let mut all = nodes();
        all[0] = node(&gpu_pool("a100", 2, 2), "n0", false);
        all[1]["spec"]["unschedulable"] = json!(true);
        let found = seen(Some(&pod("0/3 nodes")), &[], &all);
        assert_eq!((found.cause, found.heals), (Cause::NotReady, Heals::Perhaps));
        assert_eq!(found.words, "no node of pool a100 takes pods: n0 is NotReady (KubeletNotReady), n1 is cordoned");
    }

    #[test]
    fn a_plugin_that_is_gone_is_told_from_a_pool_that_is_full() {
        let mut all = nodes();
        let waiting = pod("0/3 nodes are available: 2 Insufficient nvidia.com/gpu.");
        assert_eq!(seen(Some(&waiting), &[], &all).cause, Cause::Full);
        for node in &mut all {
            node["status"]["allocatable"] = json!({"cpu": "16"});
        }
        let found = seen(Some(&waiting), &[], &all);
        assert_eq!(found.cause, Cause::NoGpus);
        assert_eq!(found.words, "no node of pool a100 offers nvidia.com/gpu: n0, n1");
    }

    #[test]
    fn a_taint_that_nobody_said_is_named() {
        let mut all = nodes();
        for node in &mut all {
            node["spec"]["taints"] = json!([{"key": "nvidia.com/gpu", "value": "other", "effect": "NoSchedule"},
                {"key": "dedicated", "value": "x", "effect": "NoExecute"}]);
        }
        let found = seen(Some(&pod("0/3 nodes")), &[], &all);
        assert_eq!(found.cause, Cause::Tainted);
        assert!(found.words.ends_with("n0 has dedicated=x:NoExecute, n1 has dedicated=x:NoExecute"), "{}", found.words);
    }

    #[test]
    fn tolerations_are_read_as_the_scheduler_reads_them() {
        let taint = json!({"key": "k", "value": "v", "effect": "NoSchedule"});
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "k", "value": "v"}), true),
            (json!({"key": "k", "operator": "Equal", "value": "w"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
        ] {
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration}");
        }
    }

    #[test]
    fn an_image_is_given_up_when_its_registry_said_no_or_the_kubelet_backs_off() {
        let waiting = |reason: &str, message: &str| {
            json!({"spec": {"nodeName": "n0"}, "status": {"phase": "Pending", "containerStatuses": [
                {"name": "probe", "image": "r/i:1", "state": {"waiting": {"reason": reason, "message": message}}}]}})
        };
        let heals = |reason: &str, message: &str| {
            let found = seen(Some(&waiting(reason, message)), &[], &nodes());
            (found.cause, found.heals)
        };
        assert_eq!(heals("ErrImagePull", "dial tcp: i/o timeout"), (Cause::Image, Heals::Perhaps));
        assert_eq!(heals("ErrImagePull", "r/i:1: not found"), (Cause::Image, Heals::Never));
        assert_eq!(heals("ImagePullBackOff", ""), (Cause::Image, Heals::Never));
        assert_eq!(heals("RunContainerError", "no nvidia runtime"), (Cause::Container, Heals::Never));
        assert_eq!(heals("ContainerCreating", ""), (Cause::Kubelet, Heals::InTime));
    }

    #[test]
    fn a_kubelet_that_died_under_the_pod_is_seen() {
        let mut all = nodes();
        all[0] = node(&gpu_pool("a100", 2, 2), "n0", false);
        let given = json!({"spec": {"nodeName": "n0"}, "status": {"phase": "Pending"}});
        assert_eq!(seen(Some(&given), &[], &all).cause, Cause::NotReady);
        assert_eq!(seen(Some(&given), &[], &[]).words, "its node n0 is gone");
    }

    #[test]
    fn refusals_are_told_apart() {
        let event = |message: &str| json!({"reason": "FailedCreate", "message": message, "lastTimestamp": "2026-01-01T00:00:00Z"});
        for (message, cause, heals) in [
            (
                r#"Error creating: pods "x" is forbidden: exceeded quota: q, requested: pods=1"#,
                Cause::Quota,
                Heals::Perhaps,
            ),
            (
                r#"Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest""#,
                Cause::Refused,
                Heals::Never,
            ),
            (r#"Error creating: admission webhook "a.b" denied the request: no"#, Cause::Refused, Heals::Never),
            (
                r#"Error creating: Internal error occurred: failed calling webhook "a.b": connection refused"#,
                Cause::Refused,
                Heals::Perhaps,
            ),
        ] {
            let found = seen(None, &[event(message)], &nodes());
            assert_eq!((found.cause, found.heals), (cause, heals), "{message}");
            assert!(found.words.starts_with("refused: Error creating"));
        }
        assert_eq!(seen(None, &[], &nodes()).heals, Heals::InTime);
    }

    #[test]
    fn a_pool_without_nodes_waits_for_its_autoscaler_unless_that_said_no() {
        let waiting = pod("0/1 nodes are available");
        assert_eq!(seen(Some(&waiting), &[], &[]).heals, Heals::Perhaps);
        let said = json!({"reason": "NotTriggerScaleUp", "message": "pod didn't trigger scale-up: 1 max node group size reached"});
        let found = seen(Some(&waiting), &[said], &[]);
        assert_eq!(found.heals, Heals::Never);
        assert!(found.words.contains("max node group size"), "{}", found.words);
        let said =
            json!({"reason": "TriggeredScaleUp", "message": "pod triggered scale-up: [{eks-l4-0 0->1 (max: 2)}]"});
        let found = seen(Some(&waiting), &[said], &[]);
        assert_eq!(found.heals, Heals::InTime);
        assert!(found.words.contains("0->1"), "{}", found.words);
    }
}
