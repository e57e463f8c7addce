//! The node debug pod: where a GPU pod failed, the node's own `nvidia-smi` tells whether its driver works. It is opt-in
//! (`--allow debug-pod`), since it is privileged, and it is always removed.
//!
//! The pod has the shape of `kubectl debug node/NODE --profile=sysadmin` (kubernetes/kubectl, pkg/cmd/debug: host network,
//! PID and IPC, `/` at `/host`, privileged: the device cgroup of a lesser container hides /dev/nvidia*), with a deadline
//! and without a terminal.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::of_kind;
use crate::cluster::text;
use crate::verify::check::CheckId;
use crate::verify::context::CheckContext;
use crate::verify::follow::{Ended, Following, Goal, Growth, Kind};
use crate::verify::marks::object_name;
use crate::verify::placement::Placement;
use crate::verify::probe::{Answer, dry_run};

/// Covers pulling a 2 MB image and one start of `nvidia-smi`, which takes seconds where the driver loads first.
pub(super) const BOUND: Duration = Duration::from_secs(60);

/// What the node said.
pub(super) struct Told {
    pub(super) words: String,
    pub(super) hint: Option<String>,
}

/// Where a node's operating system has `nvidia-smi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tool {
    path: &'static str,
    libraries: Option<&'static str>,
    known: bool,
}

/// By `status.nodeInfo.osImage`; `None` where the host has no shell tools at all. Facts: GKE's driver installer and the
/// distributions' driver packages.
fn tool(os_image: &str) -> Option<Tool> {
    let usual = |known| Some(Tool { path: "/usr/bin/nvidia-smi", libraries: None, known });
    if os_image.starts_with("Container-Optimized OS") {
        Some(Tool {
            path: "/home/kubernetes/bin/nvidia/bin/nvidia-smi",
            libraries: Some("/home/kubernetes/bin/nvidia/lib64"),
            known: true,
        })
    } else if os_image.starts_with("Bottlerocket") {
        None
    } else {
        let known = ["Ubuntu", "Amazon Linux 2023", "Microsoft Azure Linux", "CBL-Mariner", "Debian"];
        usual(known.iter().any(|system| os_image.starts_with(system)))
    }
}

/// Asks a node for its GPUs.
pub(super) async fn ask(cx: &CheckContext, check: &CheckId, node: &str, placement: &Placement) -> Told {
    let none = |words: String| Told { words, hint: None };
    let found: Result<Value, _> = cx.api().get(&format!("/api/v1/nodes/{node}")).await;
    let os_image = match &found {
        Ok(node) => text(node, "/status/nodeInfo/osImage"),
        Err(trouble) => return none(format!("node {node} could not be asked for its driver: {trouble}")),
    };
    let Some(tool) = tool(os_image) else {
        return none(format!(
            "node {node} runs {os_image}, whose host has no nvidia-smi: driver and plugin are not told apart"
        ));
    };
    let image = cx.image().to_owned();
    let pod = manifest(cx, node, &image, tool);
    let Some(space) = space(cx, &pod).await else {
        return none(
            "no namespace takes the privileged debug pod, so that driver and plugin are not told apart".into(),
        );
    };
    match run(cx, check, &space, pod, placement).await {
        Ok((Ended::Reached, log)) => read(node, tool, &log),
        Ok((Ended::Failed(words), _)) => Told {
            words: format!("on the node itself {} fails as well: {words}: the driver is at fault", tool.path),
            hint: Some(format!(
                "repair or install the driver of node {node}; the device plugin has nothing to advertise"
            )),
        },
        Ok((Ended::Stuck(found) | Ended::Late(found), _)) => {
            none(format!("the debug pod did not run on node {node}: {}", found.words))
        }
        Ok((Ended::NotBegun(words) | Ended::Gone(words), _)) => none(words),
        Err(why) => none(format!("the debug pod could not be made: {why}")),
    }
}

async fn run(
    cx: &CheckContext,
    check: &CheckId,
    space: &str,
    pod: Value,
    placement: &Placement,
) -> Result<(Ended, String), String> {
    let following =
        Following { check, placement, resource: None, goal: Goal::Ends, growth: Growth::Fixed, bound: BOUND };
    let followed = following.send(cx, (Kind::Pod, space), pod).await.map_err(|trouble| trouble.to_string())?;
    let log = match followed.ended {
        Ended::Reached => cx.api().text(&format!("{}/log", followed.path())).await.unwrap_or_default(), // Without a log it saw nothing.
        _ => String::new(),
    };
    followed.remove(cx).await;
    Ok((followed.ended, log))
}

fn read(node: &str, tool: Tool, log: &str) -> Told {
    let count = log.lines().filter(|line| line.starts_with("GPU ")).count();
    let assumed = if tool.known { "" } else { " (a usual place: this system is not a known one)" };
    if count == 0 {
        return Told {
            words: format!("on the node itself {}{assumed} lists no GPU: the driver sees none", tool.path),
            hint: Some(format!("see whether node {node} has a GPU at all, and what its kernel log says of it")),
        };
    }
    Told {
        words: format!("on the node itself {}{assumed} lists {count} GPUs: the driver works", tool.path),
        hint: Some(
            "the driver works: see the device plugin's log and the container runtime's set-up on that node".into(),
        ),
    }
}

/// The first namespace that would take the pod: one of the blueprint that enforces nothing less, else the cluster's own.
async fn space(cx: &CheckContext, pod: &Value) -> Option<String> {
    let level = |space: &Value| text(space, "/metadata/labels/pod-security.kubernetes.io~1enforce").to_owned();
    let of_blueprint = of_kind(&cx.desired, "", "Namespace")
        .filter(|space| level(&space.manifest) == "privileged")
        .map(|space| space.id.name.clone());
    let mut tried = BTreeSet::new();
    for space in of_blueprint.chain(["kube-system".into(), "default".into()]) {
        if !tried.insert(space.clone()) {
            continue;
        }
        let answer = dry_run(cx, &format!("/api/v1/namespaces/{space}/pods"), pod).await;
        if matches!(answer, Ok(Answer::Accepted(_))) {
            return Some(space);
        }
    }
    None
}

fn manifest(cx: &CheckContext, node: &str, image: &str, tool: Tool) -> Value {
    let mut container = json!({
        "name": "debugger",
        "image": image,
        "command": ["chroot", "/host", tool.path, "-L"],
        "terminationMessagePolicy": "File",
        "securityContext": {"privileged": true},
        "volumeMounts": [{"name": "host-root", "mountPath": "/host"}],
    });
    if let Some(libraries) = tool.libraries {
        container["env"] = json!([{"name": "LD_LIBRARY_PATH", "value": libraries}]);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": object_name("debug", node, &cx.run)},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": BOUND.as_secs(),
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "hostNetwork": true,
            "hostPID": true,
            "hostIPC": true,
            "tolerations": [{"operator": "Exists"}],
            "volumes": [{"name": "host-root", "hostPath": {"path": "/"}}],
            "containers": [container],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::name;
    use crate::verify::checks::fixture::desired;
    use crate::verify::checks::tests::context;
    use crate::verify::context::Nodes;

    #[test]
    fn each_system_has_its_place() {
        let path = |os: &str| tool(os).map(|tool| (tool.path, tool.known));
        assert_eq!(path("Ubuntu 24.04.3 LTS"), Some(("/usr/bin/nvidia-smi", true)));
        assert_eq!(path("Amazon Linux 2023.8.20250721"), Some(("/usr/bin/nvidia-smi", true)));
        assert_eq!(
            path("Container-Optimized OS from Google"),
            Some(("/home/kubernetes/bin/nvidia/bin/nvidia-smi", true))
        );
        assert_eq!(path("Bottlerocket OS 1.42.0 (aws-k8s-1.34-nvidia)"), None);
        assert_eq!(path("Gentoo"), Some(("/usr/bin/nvidia-smi", false)), "assumed, and said so");
    }

    #[tokio::test]
    async fn the_pod_has_the_shape_of_kubectl_debug_and_a_deadline() {
        let cx = context(desired(vec![]), Nodes::Real);
        let cos = tool("Container-Optimized OS from Google").expect("a tool");
        let pod = manifest(&cx, "gke-a-1", "busybox", cos);
        let spec = &pod["spec"];
        assert_eq!(spec["nodeName"], "gke-a-1");
        for shared in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(spec[shared], true, "{shared}");
        }
        assert_eq!(spec["containers"][0]["securityContext"]["privileged"], true);
        assert_eq!(spec["containers"][0]["env"][0]["value"], "/home/kubernetes/bin/nvidia/lib64");
        assert_eq!(spec["activeDeadlineSeconds"], 60);
        assert!(name(&pod).starts_with("wbk-verify-debug-gke-a-1-"));
    }

    #[test]
    fn the_driver_is_told_from_the_plugin() {
        let ubuntu = tool("Ubuntu").expect("a tool");
        assert!(read("n", ubuntu, "GPU 0: x\nGPU 1: y\n").words.ends_with("lists 2 GPUs: the driver works"));
        assert!(read("n", ubuntu, "No devices were found").words.ends_with("the driver sees none"));
    }
}
