//! A sample Job runs to completion on each pool: the proof that the scheduler, the taints, the GPUs, the quota and pod
//! security agree.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::constraints::Constraints;
use super::pods::{self, Does};
use crate::desired::Desired;
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::{CheckContext, Nodes, VerifyOptions};
use crate::verify::follow::{Ended, Following, Goal, Growth, Kind, conclude};
use crate::verify::marks::object_name;
use crate::verify::placement::Placement;

/// How long a finished Job stays where nobody could remove it: long enough to be looked at, gone before the day is over.
const TTL_SECONDS: u64 = 600;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        checks.push(Arc::new(SampleJob { placement: Placement::of(pool, desired) }));
    }
}

struct SampleJob {
    placement: Placement,
}

#[async_trait]
impl Check for SampleJob {
    fn id(&self) -> CheckId {
        CheckId::about("jobs.sample", &self.placement.pool)
    }

    fn title(&self) -> String {
        let pool = &self.placement.pool;
        match &self.placement.gpu {
            Some(gpu) => format!("a Job with 1 {} runs to completion on pool {pool}", gpu.resource),
            None => format!("a Job runs to completion on pool {pool}"),
        }
    }

    fn applies(&self, desired: &Desired, _options: &VerifyOptions) -> Applicability {
        pods::may_apply(&self.placement, desired)
    }

    fn makes(&self) -> bool {
        true
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        cx.options.sample_deadline + cx.options.patience + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.prove(cx).await.unwrap_or_else(Outcome::from)
    }
}

impl SampleJob {
    async fn prove(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let (id, space, bound) = (self.id(), pods::space(cx), cx.options.sample_deadline);
        if let Some(why) = pods::would_grow(cx, &self.placement).await? {
            return Ok(Outcome::skipped(why));
        }
        let limits = Constraints::of(cx, space).await?;
        let _room = cx.room(&self.placement, space).await;
        let job = manifest(cx, &self.placement, bound, &limits);
        let wanted = format!("a Job pinned to pool {} completes", self.placement.pool);
        let source = format!("POST and GET /apis/batch/v1/namespaces/{space}/jobs");
        let evidence = |measured: String| Evidence::new(measured, wanted, source);
        let resource = self.placement.gpu.as_ref().map(|gpu| gpu.resource.as_str());
        let following = Following {
            check: &id,
            placement: &self.placement,
            resource,
            goal: Goal::Ends,
            growth: Growth::Fixed,
            bound,
        };
        let followed = following.send(cx, (Kind::Job, space), job).await?;
        followed.remove(cx).await;
        Ok(match followed.ended {
            Ended::Reached => {
                let simulated = match cx.nodes {
                    Nodes::Real => "",
                    Nodes::Simulated => " on a simulated node",
                };
                let measured = format!("completed in {:.1} s{simulated}", followed.took.as_secs_f64());
                Outcome::pass(evidence(followed.told(&measured)).with(json!({
                    "job": followed.path(), "node": followed.node(), "seconds": followed.took.as_secs_f64(),
                    "simulated": cx.nodes == Nodes::Simulated,
                })))
            }
            _ => conclude(&followed, &self.placement, evidence),
        })
    }
}

fn manifest(cx: &CheckContext, placement: &Placement, bound: Duration, limits: &Constraints) -> Value {
    let mut spec = Does::nothing(cx, placement, bound).spec(cx, placement, limits);
    // On the Job, where it counts from its start; on the pod it would hide that the Job gave up.
    let deadline = spec["activeDeadlineSeconds"].take();
    spec.as_object_mut().expect("a spec").remove("activeDeadlineSeconds");
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": object_name("job", &placement.pool, &cx.run)},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": {"metadata": {}, "spec": spec},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{desired, gpu_pool};
    use crate::verify::checks::tests::context;

    #[tokio::test]
    async fn the_job_ends_and_goes_by_itself() {
        let cx = context(desired(vec![]), Nodes::Simulated);
        let placement = Placement::of(&gpu_pool("a100", 1, 1), &cx.desired);
        let job = manifest(&cx, &placement, Duration::from_secs(180), &Constraints::default());
        assert_eq!(job["spec"]["activeDeadlineSeconds"], json!(240));
        assert_eq!(job["spec"]["template"]["spec"].get("activeDeadlineSeconds"), None);
        assert_eq!(job["spec"]["ttlSecondsAfterFinished"], json!(600));
        assert_eq!(job["spec"]["backoffLimit"], json!(0));
    }
}
