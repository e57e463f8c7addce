//! The pods that checks make: pinned to a pool and tolerating it, as small as the namespace allows, acceptable to every
//! level of pod security, ending and going by themselves.

use std::time::Duration;

use serde_json::{Value, json};

use super::constraints::{Constraints, resources};
use crate::cluster::{name, text};
use crate::desired::Desired;
use crate::quantity::Quantity;
use crate::verify::api::Trouble;
use crate::verify::check::Applicability;
use crate::verify::context::{CheckContext, Nodes};
use crate::verify::marks::object_name;
use crate::verify::placement::{Placement, held, offered, takes_pods};
use crate::verify::probe::restricted_container;

/// Covers the explanation and the removal after a check gave up: a pod that its deadline kills takes its reason with it.
const AFTER_GIVING_UP: Duration = Duration::from_secs(60);

/// How long a simulated pod plays a program that goes on; a real one sleeps.
const SIMULATED_DURATION: &str = "wbk-infra/simulate-duration";

/// What a pod of a check does.
#[derive(Debug, Clone)]
pub(super) struct Does {
    /// The image.
    pub(super) image: String,
    /// The program; on simulated nodes none runs.
    pub(super) command: Value,
    /// How many of a GPU resource.
    pub(super) gpus: Option<(String, u64)>,
    /// When the kubelet ends it.
    pub(super) bound: Duration,
}

impl Does {
    /// Ends at once, with one GPU where the pool has any.
    pub(super) fn nothing(cx: &CheckContext, placement: &Placement, bound: Duration) -> Self {
        let gpus = placement.gpu.as_ref().map(|gpu| (gpu.resource.clone(), 1));
        Self { image: cx.image().to_owned(), command: json!(["true"]), gpus, bound }
    }

    /// The spec of its pod.
    pub(super) fn spec(&self, cx: &CheckContext, placement: &Placement, limits: &Constraints) -> Value {
        let mut amounts = limits.small(1);
        if let Some((resource, count)) = &self.gpus {
            amounts.insert(resource.clone(), Quantity::whole(i64::try_from(*count).unwrap_or(i64::MAX)));
        }
        let mut container = restricted_container(&self.image, resources(&amounts));
        if cx.nodes == Nodes::Real {
            container["command"] = self.command.clone();
        }
        let mut spec = json!({
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // Not 0: a node must have let go of the GPU before another pod is given it.
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": (self.bound + AFTER_GIVING_UP).as_secs(),
            "containers": [container],
        });
        placement.place(&mut spec);
        spec
    }

    /// The pod itself.
    pub(super) fn pod(&self, cx: &CheckContext, what: &str, placement: &Placement, limits: &Constraints) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": object_name(what, &placement.pool, &cx.run)},
            "spec": self.spec(cx, placement, limits),
        })
    }
}

/// A pod that goes on until it is removed.
pub(super) fn goes_on(pod: &mut Value) {
    pod["metadata"]["annotations"][SIMULATED_DURATION] = json!("1h");
}

/// Whether a check that puts a pod on a pool can run: the pool has nodes, and there is a namespace for it.
pub(super) fn applies(placement: &Placement, desired: &Desired) -> Applicability {
    if placement.size.min == 0 {
        let why = format!("pool {} may have no nodes (min 0), and a pod would make it grow", placement.pool);
        return Applicability::Skipped(why);
    }
    needs_namespace(desired)
}

/// As [`applies`], for one pod with at most one GPU, which a pool with `min: 0` may have room for: whether it has is
/// [`would_grow`]'s question, on the live nodes.
pub(super) fn may_apply(placement: &Placement, desired: &Desired) -> Applicability {
    if placement.size.min == 0 { needs_namespace(desired) } else { applies(placement, desired) }
}

/// Why one small pod could make a pool that may be empty grow; `None` where a node has room for it, and where the pool has no right
/// to be empty.
pub(super) async fn would_grow(cx: &CheckContext, placement: &Placement) -> Result<Option<String>, Trouble> {
    if placement.size.min > 0 {
        return Ok(None);
    }
    let nodes = cx.all_nodes().await?;
    let nodes: Vec<&Value> = placement.nodes(&nodes).into_iter().filter(|node| takes_pods(node)).collect();
    let pool = &placement.pool;
    if nodes.is_empty() {
        return Ok(Some(format!("pool {pool} has no nodes now (min 0), and a pod would make it grow")));
    }
    let Some(gpu) = &placement.gpu else { return Ok(None) };
    let pods = cx.live_pods().await?;
    let free = |node: &&Value| {
        let here = pods.iter().filter(|pod| text(pod, "/spec/nodeName") == name(node));
        offered(node, &gpu.resource) - here.map(|pod| held(pod, &gpu.resource)).sum::<i128>()
    };
    if nodes.iter().any(|node| free(node) > 0) {
        return Ok(None);
    }
    Ok(Some(format!("no {} is free on the nodes of pool {pool} (min 0), and a pod would make it grow", gpu.resource)))
}

/// Whether there is a namespace in which a check may make something.
pub(super) fn needs_namespace(desired: &Desired) -> Applicability {
    if desired.promises.job_namespaces.is_empty() {
        Applicability::Skipped("the blueprint has no namespace for Jobs".into())
    } else {
        Applicability::Applies
    }
}

/// The namespace in which checks make things; [`needs_namespace`] says that there is one.
pub(super) fn space(cx: &CheckContext) -> &str {
    cx.desired.promises.job_namespaces.first().map_or("default", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{desired, gpu_pool};
    use crate::verify::checks::tests::context;

    #[tokio::test]
    async fn the_pod_is_pinned_tolerant_small_and_restricted() {
        let cx = context(desired(vec![]), Nodes::Simulated);
        let placement = Placement::of(&gpu_pool("A_100", 1, 1), &cx.desired);
        let does = Does::nothing(&cx, &placement, Duration::from_secs(180));
        let pod = does.pod(&cx, "smi", &placement, &Constraints::default());
        assert_eq!(pod["metadata"]["name"], json!(format!("wbk-verify-smi-a100-{}", cx.run)));
        let spec = &pod["spec"];
        assert_eq!(spec["nodeSelector"], json!({"wbk-infra/pool": "A_100"}));
        assert_eq!(spec["tolerations"][0]["operator"], json!("Exists"));
        assert_eq!(spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], json!("1"));
        assert_eq!(spec["containers"][0]["securityContext"]["runAsNonRoot"], json!(true));
        assert_eq!(spec["containers"][0].get("command"), None, "nothing runs on simulated nodes");
        assert_eq!(spec["activeDeadlineSeconds"], json!(240));
        let real = context(desired(vec![]), Nodes::Real);
        let spec = does.spec(&real, &placement, &Constraints::default());
        assert_eq!(spec["containers"][0]["command"], json!(["true"]));
    }

    #[test]
    fn pools_without_nodes_and_blueprints_without_namespaces_are_skipped_with_the_reason() {
        let mut state = desired(vec![]);
        let of = |min| Placement::of(&gpu_pool("a", min, 4), &desired(vec![]));
        assert!(matches!(applies(&of(1), &state), Applicability::Skipped(why) if why.contains("namespace")));
        state.promises.job_namespaces = vec!["jobs".into()];
        assert!(matches!(applies(&of(0), &state), Applicability::Skipped(why) if why.contains("min 0")));
        assert_eq!(applies(&of(1), &state), Applicability::Applies);
    }
}
