//! A pool that may be empty grows for a pod that needs it. Opt-in (`--allow scale-up`): its nodes cost what they cost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use wbk_provider_api::ProviderKind;

use super::constraints::Constraints;
use super::pods::{self, Does};
use crate::desired::Desired;
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::{CheckContext, OptIn, VerifyOptions};
use crate::verify::follow::{Ended, Following, Goal, Growth, Kind, conclude};
use crate::verify::placement::Placement;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values().filter(|pool| pool.size.min == 0 && pool.size.max > 0) {
        checks.push(Arc::new(FromZero { placement: Placement::of(pool, desired) }));
    }
}

struct FromZero {
    placement: Placement,
}

#[async_trait]
impl Check for FromZero {
    fn id(&self) -> CheckId {
        CheckId::about("scale.from-zero", &self.placement.pool)
    }

    fn title(&self) -> String {
        format!("pool {} grows for a pod that needs it", self.placement.pool)
    }

    fn applies(&self, desired: &Desired, options: &VerifyOptions) -> Applicability {
        let provider = desired.wanted.cluster.provider;
        if matches!(provider, ProviderKind::Local | ProviderKind::Kind) {
            return Applicability::Skipped(format!("nothing scales pools of provider {provider}"));
        }
        if !options.allows(OptIn::ScaleUp) {
            let why = "a node that comes for it costs money: ask for it with --allow scale-up";
            return Applicability::Skipped(why.into());
        }
        pods::needs_namespace(desired)
    }

    fn makes(&self) -> bool {
        true
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        cx.options.scale_deadline + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.prove(cx).await.unwrap_or_else(Outcome::from)
    }
}

impl FromZero {
    async fn prove(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let (id, space, bound) = (self.id(), pods::space(cx), cx.options.scale_deadline);
        let limits = Constraints::of(cx, space).await?;
        let before = self.placement.nodes(&cx.all_nodes().await?).len();
        let _room = cx.room(&self.placement, space).await;
        let mut pod = Does::nothing(cx, &self.placement, bound).pod(cx, "scale", &self.placement, &limits);
        // An autoscaler leaves pods alone that it cannot evict; this one it may.
        pod["metadata"]["annotations"] = json!({"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"});
        let source = format!("POST and GET /api/v1/namespaces/{space}/pods");
        let wanted = format!("a pod pinned to pool {} runs within {} s", self.placement.pool, bound.as_secs());
        let evidence = |measured: String| Evidence::new(measured, wanted, source);
        let following = Following {
            check: &id,
            placement: &self.placement,
            resource: self.placement.gpu.as_ref().map(|gpu| gpu.resource.as_str()),
            goal: Goal::Ends,
            growth: Growth::Expected,
            bound,
        };
        let followed = following.send(cx, (Kind::Pod, space), pod).await?;
        followed.remove(cx).await;
        Ok(match followed.ended {
            Ended::Reached => {
                let seconds = followed.took.as_secs_f64();
                let measured = format!(
                    "from {before} nodes: the pod ran on {} after {seconds:.0} s; the autoscaler takes the node away again",
                    followed.node()
                );
                Outcome::pass(
                    evidence(followed.told(&measured)).with(json!({"node": followed.node(), "seconds": seconds})),
                )
            }
            _ => conclude(&followed, &self.placement, evidence),
        })
    }
}
