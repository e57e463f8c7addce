//! More than a pool can hold stays pending, wholly: where a gang scheduler runs, a group of which one half fits and the
//! other never will starts nothing; elsewhere, a pod that asks for more GPUs than any node has is not placed.
//!
//! Nothing ever starts, whatever the check finds, and no autoscaler is moved: no node of any kind would take the large pod.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::constraints::Constraints;
use super::pods::{self, Does};
use crate::cluster::{condition, name, one_line, text};
use crate::desired::Desired;
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::{CheckContext, VerifyOptions};
use crate::verify::follow::{Followed, Kind, conclude, make, remove};
use crate::verify::marks::object_name;
use crate::verify::placement::{GpuAsk, Placement};

/// The API of Volcano's groups of pods.
const VOLCANO: &str = "/apis/scheduling.volcano.sh/v1beta1";

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(150);

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        let placement = Placement::of(pool, desired);
        if let Some(gpu) = placement.gpu.clone() {
            checks.push(Arc::new(Oversized { placement, gpu }));
        }
    }
}

struct Oversized {
    placement: Placement,
    gpu: GpuAsk,
}

#[async_trait]
impl Check for Oversized {
    fn id(&self) -> CheckId {
        CheckId::about("gang.oversized", &self.placement.pool)
    }

    fn title(&self) -> String {
        format!(
            "what asks for more {} than pool {} can hold stays wholly pending",
            self.gpu.resource, self.placement.pool
        )
    }

    fn applies(&self, desired: &Desired, _options: &VerifyOptions) -> Applicability {
        pods::applies(&self.placement, desired)
    }

    fn makes(&self) -> bool {
        true
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        // Waiting for a quota's room as well, which others of this run hold at most as long as theirs lasts.
        cx.options.sample_deadline + cx.options.patience + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.prove(cx).await.unwrap_or_else(Outcome::from)
    }
}

impl Oversized {
    /// How many GPUs the large pod asks for: more than the whole pool ever has, or only more than a node has where the
    /// namespace's quota would refuse so many before the scheduler saw them.
    fn size(&self, cx: &CheckContext, space: &str) -> Option<u64> {
        let most = cx.quota_of(space, &self.gpu.resource).unwrap_or(u64::MAX);
        let (of_pool, of_node) = (u64::from(self.placement.size.max) * self.gpu.each + 1, self.gpu.each + 1);
        [of_pool, of_node].into_iter().find(|size| *size <= most)
    }

    async fn prove(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let (id, space) = (self.id(), pods::space(cx));
        let Some(size) = self.size(cx, space) else {
            let why = format!("the quota of {space} admits no pod that is larger than a node of the pool");
            return Ok(Outcome::skipped(why));
        };
        let limits = Constraints::of(cx, space).await?;
        let gang = match cx.api().find::<Value>(VOLCANO).await {
            Ok(found) => found.is_some(),
            Err(Trouble::Forbidden { .. }) => false,
            Err(trouble) => return Err(trouble),
        };
        let small = u64::from(gang);
        let _room = cx.quota_room(&self.placement, space, size + small).await;
        let bound = cx.options.patience + LOOK;
        let does = |count: u64| {
            let gpus = Some((self.gpu.resource.clone(), count));
            Does { gpus, ..Does::nothing(cx, &self.placement, bound) }
        };
        let source = format!("POST and GET /api/v1/namespaces/{space}/pods, condition PodScheduled");
        let wanted = format!("a pod with {size} {} on pool {} stays pending", self.gpu.resource, self.placement.pool);
        let evidence = |measured: String| Evidence::new(measured, wanted, source);
        let mut wanted_pods = vec![does(size).pod(cx, "big", &self.placement, &limits)];
        if gang {
            wanted_pods.push(does(1).pod(cx, "small", &self.placement, &limits));
            let group = object_name("gang", &self.placement.pool, &cx.run);
            make_group(cx, &id, space, &group, bound).await?;
            for pod in &mut wanted_pods {
                pod["spec"]["schedulerName"] = json!("volcano");
                pod["metadata"]["annotations"]["scheduling.k8s.io/group-name"] = json!(group);
            }
        }
        let mut made = Vec::new();
        for pod in wanted_pods {
            match make(cx, &id, (Kind::Pod, space), pod, bound).await? {
                Ok(one) => made.push(one),
                Err(refused) => {
                    for one in &made {
                        remove(cx, one).await;
                    }
                    return Ok(conclude(&Followed::refused(refused), &self.placement, evidence));
                }
            }
        }
        let began = Instant::now();
        let deadline = began + cx.options.patience;
        let outcome = loop {
            let mut seen = Vec::new();
            for one in &made {
                seen.extend(cx.api().find::<Value>(&one.path).await?);
            }
            if seen.len() < made.len() {
                break Outcome::inconclusive("a pod of the check was deleted by somebody else");
            }
            if let Some(verdict) = judge(&seen, &self.gpu.resource, size, gang) {
                break match verdict {
                    Verdict::Held(words) => Outcome::pass(evidence(words)),
                    Verdict::Placed(words) => Outcome::fail(
                        evidence(words),
                        "see that gpus.allocatable holds, and for gangs that the pods' scheduler is the gang scheduler",
                    ),
                    Verdict::Unclear(words) => Outcome::inconclusive(words),
                };
            }
            let again = Instant::now() + PAUSE;
            if again > deadline {
                let seconds = cx.options.patience.as_secs_f32();
                break Outcome::inconclusive(format!("no scheduler has looked at the pod within {seconds:.0} s"));
            }
            tokio::time::sleep_until(again).await;
        };
        for one in &made {
            remove(cx, one).await;
        }
        Ok(outcome)
    }
}

/// Makes Volcano's group: both pods or none.
async fn make_group(cx: &CheckContext, id: &CheckId, space: &str, group: &str, bound: Duration) -> Result<(), Trouble> {
    let collection = format!("{VOLCANO}/namespaces/{space}/podgroups");
    let lease = cx.heartbeat.begin(cx, space).await;
    let mut object = json!({
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": group, "namespace": space},
        "spec": {"minMember": 2},
    });
    crate::verify::marks::stamp(cx, id, bound, lease.as_deref(), &mut object);
    cx.litter.note(format!("{collection}/{group}"));
    cx.api().post(&collection, &object).await.map(drop)
}

enum Verdict {
    Held(String),
    Placed(String),
    Unclear(String),
}

/// Judges the pods; `None` as long as the scheduler has not said anything about the large one.
fn judge(pods: &[Value], resource: &str, size: u64, gang: bool) -> Option<Verdict> {
    if let Some(placed) = pods.iter().find(|pod| !text(pod, "/spec/nodeName").is_empty()) {
        let part = if gang { "a part of the gang" } else { "it" };
        return Some(Verdict::Placed(format!(
            "{part} was given to node {} ({})",
            text(placed, "/spec/nodeName"),
            name(placed)
        )));
    }
    let said: Vec<&Value> = pods
        .iter()
        .filter_map(|pod| condition(pod, "PodScheduled").filter(|said| text(said, "/status") == "False"))
        .collect();
    if said.len() < pods.len() {
        return None;
    }
    let message = one_line(text(said[0], "/message"));
    if gang {
        let words = "the gang of two stays pending, also the half that would fit alone";
        return Some(Verdict::Held(format!("{words}: {message}")));
    }
    if !message.contains(&format!("Insufficient {resource}")) {
        return Some(Verdict::Unclear(format!("pending, but not for its size: {message}")));
    }
    Some(Verdict::Held(format!(
        "pending with {size} {resource}: {message} (no gang scheduler here: the scheduler overcommits nothing, and whether a \
         group of pods starts wholly or not at all is not promised)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str, message: &str) -> Value {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": node}});
        if !message.is_empty() {
            pod["status"]["conditions"] =
                json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]);
        }
        pod
    }

    #[test]
    fn only_a_refusal_for_its_size_is_a_proof() {
        let short = "0/5 nodes are available: 2 Insufficient nvidia.com/gpu, 3 node(s) didn't match.";
        let judged = |pods: &[Value], gang| judge(pods, "nvidia.com/gpu", 9, gang);
        assert!(judged(&[pod("", "")], false).is_none(), "nobody has looked yet");
        assert!(
            matches!(judged(&[pod("", short)], false), Some(Verdict::Held(words)) if words.contains("not promised"))
        );
        let other = "0/5 nodes are available: 5 node(s) were unschedulable.";
        assert!(matches!(judged(&[pod("", other)], false), Some(Verdict::Unclear(_))));
        assert!(matches!(judged(&[pod("n0", "")], false), Some(Verdict::Placed(_))));
    }

    #[test]
    fn a_gang_of_which_one_half_started_is_no_gang() {
        let judged = |pods: &[Value]| judge(pods, "nvidia.com/gpu", 9, true);
        let held = "pod group is not ready, 2 Pending, 2 minAvailable";
        assert!(judged(&[pod("", held), pod("", "")]).is_none());
        assert!(
            matches!(judged(&[pod("", held), pod("", held)]), Some(Verdict::Held(words)) if words.contains("would fit alone"))
        );
        assert!(
            matches!(judged(&[pod("", held), pod("n1", "")]), Some(Verdict::Placed(words)) if words.contains("part of the gang"))
        );
    }

    #[test]
    fn the_large_pod_fits_the_quota_so_that_the_scheduler_judges_it() {
        use crate::verify::checks::fixture::{desired, gpu_pool};
        use crate::verify::checks::tests::context;
        use crate::verify::context::Nodes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _inside = runtime.enter();
        let size = |quota: &str| {
            let mut state = desired(vec![]);
            state.promises.quotas.insert("jobs".into(), [("requests.nvidia.com/gpu".into(), quota.into())].into());
            let placement = Placement::of(&gpu_pool("a", 1, 2), &state);
            let gpu = placement.gpu.clone().expect("a GPU pool");
            Oversized { placement, gpu }.size(&context(state, Nodes::Simulated), "jobs")
        };
        assert_eq!((size("100"), size("16"), size("8")), (Some(17), Some(9), None));
    }
}
