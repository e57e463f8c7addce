//! Priorities work: on a full pool a pod of a high class pushes out one of a low class. Opt-in (`--allow preemption`): it
//! fills the pool for a few seconds. It runs only where nobody else holds GPUs of the pool, so that only its own pods can
//! be pushed out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::constraints::Constraints;
use super::pods::{self, Does, goes_on};
use super::{few, of_kind};
use crate::cluster::{condition, name, number, text};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::{CheckContext, Nodes, OptIn, VerifyOptions};
use crate::verify::follow::{Ended, Followed, Following, Goal, Growth, Kind, Made, conclude, make, remove};
use crate::verify::marks::object_name;
use crate::verify::placement::{GpuAsk, Placement, held, offered, takes_pods};

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let Some((low, high)) = classes(desired) else { return };
    for pool in desired.wanted.pools.values() {
        let placement = Placement::of(pool, desired);
        if let Some(gpu) = placement.gpu.clone() {
            let (low, high) = (low.id.name.clone(), high.clone());
            checks.push(Arc::new(PushesOut { placement, gpu, low, high }));
        }
    }
}

/// The lowest class of the blueprint, and the highest that may push others out.
fn classes(desired: &Desired) -> Option<(&DesiredObject, &DesiredObject)> {
    let value = |class: &&DesiredObject| number(&class.manifest, "/value");
    let all = || of_kind(desired, "scheduling.k8s.io", "PriorityClass");
    let low = all().min_by_key(value)?;
    let high = all().filter(|class| text(&class.manifest, "/preemptionPolicy") != "Never").max_by_key(value)?;
    (value(&low) < value(&high)).then_some((low, high))
}

struct PushesOut {
    placement: Placement,
    gpu: GpuAsk,
    low: String,
    high: DesiredObject,
}

#[async_trait]
impl Check for PushesOut {
    fn id(&self) -> CheckId {
        CheckId::about("preemption.works", &self.placement.pool)
    }

    fn title(&self) -> String {
        format!("on a full pool {}, {} pushes out {}", self.placement.pool, self.high.id.name, self.low)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.high.origin.clone())
    }

    fn applies(&self, desired: &Desired, options: &VerifyOptions) -> Applicability {
        if !options.allows(OptIn::Preemption) {
            let why = "it fills the pool for some seconds: ask for it with --allow preemption";
            return Applicability::Skipped(why.into());
        }
        pods::applies(&self.placement, desired)
    }

    fn makes(&self) -> bool {
        true
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        cx.options.sample_deadline * 2 + cx.options.patience + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let mut made = Vec::new();
        let outcome = self.prove(cx, &mut made).await;
        join_all(made.iter().map(|one| remove(cx, one))).await;
        outcome.unwrap_or_else(Outcome::from)
    }
}

impl PushesOut {
    fn following<'a>(&'a self, check: &'a CheckId, bound: Duration) -> Following<'a> {
        Following {
            check,
            placement: &self.placement,
            resource: Some(&self.gpu.resource),
            goal: Goal::Runs,
            growth: Growth::Fixed,
            bound,
        }
    }

    async fn prove(&self, cx: &CheckContext, made: &mut Vec<Made>) -> Result<Outcome, Trouble> {
        let (id, space, bound) = (self.id(), pods::space(cx), cx.options.sample_deadline);
        let limits = Constraints::of(cx, space).await?;
        let all = cx.all_nodes().await?;
        let nodes: Vec<&Value> = self.placement.nodes(&all).into_iter().filter(|node| takes_pods(node)).collect();
        let free: Vec<u64> = nodes
            .iter()
            .map(|node| u64::try_from(offered(node, &self.gpu.resource)).unwrap_or(0))
            .filter(|gpus| *gpus > 0)
            .collect();
        if free.is_empty() {
            let why = format!("no node of pool {} offers {}", self.placement.pool, self.gpu.resource);
            return Ok(Outcome::inconclusive(why));
        }
        let total: u64 = free.iter().sum();
        if let Some(most) = cx.quota_of(space, &self.gpu.resource).filter(|most| *most < total + 1) {
            let resource = &self.gpu.resource;
            let why = format!(
                "the quota of {space} has {most} {resource}, which cannot fill the pool's {total} and one more"
            );
            return Ok(Outcome::inconclusive(why));
        }
        // In the order in which all checks take them, so that no two wait for each other; then nothing of this run is on
        // the pool.
        let _quota = cx.quota_room(&self.placement, space, total + 1).await;
        let _alone = cx.whole_pool(&self.placement).await;
        let others = cx.live_pods().await?;
        let taken: Vec<String> = others
            .iter()
            .filter(|pod| nodes.iter().any(|node| name(node) == text(pod, "/spec/nodeName")))
            .filter(|pod| held(pod, &self.gpu.resource) > 0 && !is_ours(cx, pod))
            .map(|pod| format!("{}/{}", text(pod, "/metadata/namespace"), name(pod)))
            .collect();
        if !taken.is_empty() {
            let why =
                format!("others hold GPUs of pool {}, and might be pushed out: {}", self.placement.pool, few(&taken));
            return Ok(Outcome::inconclusive(why));
        }
        let source = format!("POST, GET /api/v1/namespaces/{space}/pods");
        let wanted = format!("a pod of class {} is pushed out for one of class {}", self.low, self.high.id.name);
        let evidence = |measured: String| Evidence::new(measured, wanted, source);
        let pod = |what: String, class: &str, count: u64| {
            let does = Does {
                gpus: Some((self.gpu.resource.clone(), count)),
                command: json!(["sleep", "3600"]),
                ..Does::nothing(cx, &self.placement, bound)
            };
            let mut pod = does.pod(cx, "p", &self.placement, &limits);
            pod["metadata"]["name"] = json!(object_name(&what, &self.placement.pool, &cx.run));
            pod["spec"]["priorityClassName"] = json!(class);
            goes_on(&mut pod);
            pod
        };
        // All of them at once, so that large pools take no longer.
        for (at, gpus) in free.iter().enumerate() {
            match make(cx, &id, (Kind::Pod, space), pod(format!("low{at}"), &self.low, *gpus), bound).await? {
                Ok(one) => made.push(one),
                Err(refused) => return Ok(conclude(&Followed::refused(refused), &self.placement, evidence)),
            }
        }
        for one in made.iter_mut() {
            let followed = self.following(&id, bound).follow(cx, one.clone()).await?;
            if let Some(there) = &followed.made {
                *one = there.clone();
            }
            if !matches!(followed.ended, Ended::Reached) {
                return Ok(conclude(&followed, &self.placement, evidence));
            }
        }
        let lows: Vec<String> = made.iter().map(|one| one.path.clone()).collect();
        let began = Instant::now();
        let high = pod("high".into(), &self.high.id.name, 1);
        let following = self.following(&id, cx.options.patience.max(Duration::from_secs(10)));
        let followed = following.send(cx, (Kind::Pod, space), high).await?;
        made.extend(followed.made.clone());
        let pushed = self.pushed_out(cx, &lows).await?;
        Ok(match (&followed.ended, pushed) {
            (Ended::Reached, Some(pushed)) => {
                let simulated = if cx.nodes == Nodes::Simulated { " (simulated nodes)" } else { "" };
                let seconds = began.elapsed().as_secs_f64();
                let measured = format!("{pushed} made way on node {} in {seconds:.1} s{simulated}", followed.node());
                Outcome::pass(
                    evidence(followed.told(&measured))
                        .with(json!({"node": followed.node(), "seconds": seconds, "filled": free})),
                )
            }
            (Ended::Reached, None) => {
                Outcome::inconclusive("the pool had room after all: nothing was pushed out, and nothing had to be")
            }
            (ended, _) if followed.made.is_none() || matches!(ended, Ended::NotBegun(_)) => {
                conclude(&followed, &self.placement, evidence)
            }
            _ => {
                let words = format!(
                    "nothing was pushed out of the full pool {} for {}",
                    self.placement.pool, self.high.id.name
                );
                let hint =
                    "a gang scheduler preempts only where its configuration says so; see the classes' preemptionPolicy";
                Outcome::fail(evidence(words), hint)
            }
        })
    }

    /// The first of the low pods that is gone or going for the scheduler's sake.
    async fn pushed_out(&self, cx: &CheckContext, lows: &[String]) -> Result<Option<String>, Trouble> {
        for path in lows {
            let name = path.rsplit('/').next().unwrap_or(path);
            match cx.api().find::<Value>(path).await? {
                None => return Ok(Some(name.to_owned())),
                Some(pod) => {
                    let target = condition(&pod, "DisruptionTarget").map(|target| text(target, "/reason"));
                    if target == Some("PreemptionByScheduler") {
                        return Ok(Some(name.to_owned()));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn is_ours(cx: &CheckContext, pod: &Value) -> bool {
    let labels = pod.pointer("/metadata/labels");
    labels.and_then(|labels| labels.get(crate::verify::marks::RUN)?.as_str()) == Some(cx.run.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::desired;

    fn class(name: &str, value: i64, policy: &str) -> Value {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "preemptionPolicy": policy})
    }

    #[test]
    fn the_lowest_makes_way_for_the_highest_that_preempts() {
        let both = |manifests: Vec<Value>| {
            let desired = desired(manifests);
            classes(&desired).map(|(low, high)| (low.id.name.clone(), high.id.name.clone()))
        };
        let preempts = "PreemptLowerPriority";
        let all = vec![class("low", 0, "Never"), class("mid", 10, preempts), class("polite", 99, "Never")];
        assert_eq!(both(all), Some(("low".into(), "mid".into())));
        assert_eq!(both(vec![class("one", 1, preempts)]), None);
        assert_eq!(both(vec![]), None);
    }
}
