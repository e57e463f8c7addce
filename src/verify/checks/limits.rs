//! LimitRanges do what the blueprint says: a container that declares nothing gets the defaults, one that asks for too much
//! is refused, and none is given a GPU that it did not ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::constraints::{Constraints, amounts, resources};
use super::{namespace, of_kind};
use crate::desired::{Desired, Origin};
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;
use crate::verify::probe::{Answer, Refusal, dry_run, pod, restricted_container};
use crate::verify::quantity::Quantity;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let spaces: BTreeSet<&str> = of_kind(desired, "", "LimitRange").map(namespace).collect();
    for space in spaces {
        let wanted = Constraints::wanted(desired, space);
        if !wanted.default_limits.is_empty() || !wanted.default_requests.is_empty() {
            let origin = of_kind(desired, "", "LimitRange").find(|range| namespace(range) == space);
            let origin = origin.map(|range| range.origin.clone());
            checks.push(Arc::new(Defaults { space: space.to_owned(), wanted, origin }));
        }
        let origin = of_kind(desired, "", "LimitRange").find(|range| namespace(range) == space);
        let origin = origin.map(|range| range.origin.clone());
        if let Some(excess) = Excess::of(&Constraints::wanted(desired, space)) {
            checks.push(Arc::new(Enforced { space: space.to_owned(), excess, origin }));
        }
    }
    for space in &desired.promises.job_namespaces {
        checks.push(Arc::new(NoGpus { space: space.clone() }));
    }
}

struct Defaults {
    space: String,
    wanted: Constraints,
    origin: Option<Origin>,
}

#[async_trait]
impl Check for Defaults {
    fn id(&self) -> CheckId {
        CheckId::about("limits.defaults", &self.space)
    }

    fn title(&self) -> String {
        format!("a container without resources gets the defaults of namespace {}", self.space)
    }

    fn origin(&self) -> Option<Origin> {
        self.origin.clone()
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/pods", self.space);
        let bare = pod(cx, vec![restricted_container(cx.image(), json!({}))]);
        match dry_run(cx, &path, &bare).await {
            Ok(answer) => judge(&self.wanted, answer, &format!("dry-run POST {path}")),
            Err(trouble) => trouble.into(),
        }
    }
}

/// A container that asks for more than a LimitRange allows.
#[derive(Debug, Clone, PartialEq)]
struct Excess {
    resource: String,
    most: Quantity,
    amounts: BTreeMap<String, Quantity>,
}

impl Excess {
    /// The first maximum of the LimitRanges, exceeded by one step.
    fn of(limits: &Constraints) -> Option<Self> {
        let bounds = limits.container_max.iter().chain(&limits.pod_max);
        let (resource, most) = bounds.into_iter().next()?;
        let step = match resource.as_str() {
            "memory" | "ephemeral-storage" => Quantity::whole(1 << 20),
            _ => Quantity::whole(1),
        };
        let mut amounts = limits.small(1);
        amounts.insert(resource.clone(), *most + step);
        Some(Self { resource: resource.clone(), most: *most, amounts })
    }
}

struct Enforced {
    space: String,
    excess: Excess,
    origin: Option<Origin>,
}

#[async_trait]
impl Check for Enforced {
    fn id(&self) -> CheckId {
        CheckId::about("limits.enforced", &self.space)
    }

    fn title(&self) -> String {
        format!("a pod that exceeds the LimitRange of namespace {} is refused", self.space)
    }

    fn origin(&self) -> Option<Origin> {
        self.origin.clone()
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/pods", self.space);
        let container = restricted_container(cx.image(), resources(&self.excess.amounts));
        match dry_run(cx, &path, &pod(cx, vec![container])).await {
            Ok(answer) => self.judge(answer, &format!("dry-run POST {path}")),
            Err(trouble) => trouble.into(),
        }
    }
}

impl Enforced {
    fn judge(&self, answer: Answer, source: &str) -> Outcome {
        let Excess { resource, most, amounts: _ } = &self.excess;
        let evidence =
            |measured: String| Evidence::new(measured, format!("more than {most} {resource} is refused"), source);
        match answer {
            Answer::Accepted(_) => Outcome::fail(
                evidence(format!("a pod with more than {most} {resource} would be accepted")),
                "see that the LimitRange is in the namespace, and that the admission plug-in LimitRanger is on",
            ),
            Answer::Refused(Refusal::LimitRange, message) => Outcome::pass(evidence(format!("refused: {message}"))),
            Answer::Refused(
                Refusal::Quota | Refusal::QuotaUncounted | Refusal::PodSecurity | Refusal::NoRight | Refusal::Other,
                message,
            ) => Outcome::inconclusive(format!("{source}: refused for another reason than its LimitRange: {message}")),
        }
    }
}

struct NoGpus {
    space: String,
}

#[async_trait]
impl Check for NoGpus {
    fn id(&self) -> CheckId {
        CheckId::about("limits.gpuless", &self.space)
    }

    fn title(&self) -> String {
        format!("a container without GPUs is given none in namespace {}", self.space)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/pods", self.space);
        let amounts = match Constraints::of(cx, &self.space).await {
            Ok(limits) => limits.small(1),
            Err(trouble) => return trouble.into(),
        };
        let container = restricted_container(cx.image(), resources(&amounts));
        match dry_run(cx, &path, &pod(cx, vec![container])).await {
            Ok(answer) => gpuless(answer, &format!("dry-run POST {path}")),
            Err(trouble) => trouble.into(),
        }
    }
}

/// Whether a resource is a GPU of some kind: `nvidia.com/gpu`, `nvidia.com/mig-1g.10gb`, `gpu.intel.com/xe`.
fn is_gpu(resource: &str) -> bool {
    resource.contains('/') && (resource.contains("gpu") || resource.contains("nvidia.com/"))
}

fn gpuless(answer: Answer, source: &str) -> Outcome {
    let evidence = |measured: String| Evidence::new(measured, "no GPU in its requests and limits", source);
    let hint = "take GPUs out of the namespace's LimitRanges: their `max` becomes every container's default, their `min` \
                refuses every container without one";
    match answer {
        Answer::Accepted(made) => {
            let given = made.pointer("/spec/containers/0/resources").cloned().unwrap_or(Value::Null);
            let gpus: BTreeSet<String> = [amounts(&given, "requests"), amounts(&given, "limits")]
                .into_iter()
                .flatten()
                .filter(|(resource, amount)| is_gpu(resource) && *amount != Quantity::default())
                .map(|(resource, amount)| format!("{amount} {resource}"))
                .collect();
            match gpus.is_empty() {
                true => Outcome::pass(evidence("a container that asks for no GPU gets none".into())),
                false => {
                    let list = gpus.into_iter().collect::<Vec<_>>().join(", ");
                    Outcome::fail(evidence(format!("a container that asks for no GPU is given {list}")), hint)
                }
            }
        }
        Answer::Refused(Refusal::LimitRange, message) if is_gpu_message(&message) => {
            Outcome::fail(evidence(format!("a container that asks for no GPU is refused: {message}")), hint)
        }
        Answer::Refused(
            Refusal::LimitRange
            | Refusal::Quota
            | Refusal::QuotaUncounted
            | Refusal::PodSecurity
            | Refusal::NoRight
            | Refusal::Other,
            message,
        ) => Outcome::inconclusive(format!("{source}: refused for another reason: {message}")),
    }
}

fn is_gpu_message(message: &str) -> bool {
    message.split_whitespace().any(is_gpu)
}

fn words(requests: &BTreeMap<String, Quantity>, limits: &BTreeMap<String, Quantity>) -> String {
    let list = |amounts: &BTreeMap<String, Quantity>| match amounts.is_empty() {
        true => "none".to_owned(),
        false => amounts.iter().map(|(resource, amount)| format!("{resource} {amount}")).collect::<Vec<_>>().join(", "),
    };
    format!("requests {}; limits {}", list(requests), list(limits))
}

fn judge(wanted: &Constraints, answer: Answer, source: &str) -> Outcome {
    let promise = words(&wanted.default_requests, &wanted.default_limits);
    match answer {
        Answer::Accepted(made) => {
            let given = made.pointer("/spec/containers/0/resources").cloned().unwrap_or(Value::Null);
            let (requests, limits) = (amounts(&given, "requests"), amounts(&given, "limits"));
            let evidence = Evidence::new(words(&requests, &limits), promise, source).with(given);
            if requests == wanted.default_requests && limits == wanted.default_limits {
                Outcome::pass(evidence)
            } else {
                Outcome::fail(evidence, "kubectl get limitrange in that namespace; wbk-infra drift says who changed it")
            }
        }
        Answer::Refused(Refusal::LimitRange, message) => Outcome::fail(
            Evidence::new(format!("a container that declares nothing is refused: {message}"), promise, source),
            "give the LimitRange defaults that lie within its own bounds",
        ),
        Answer::Refused(
            Refusal::Quota | Refusal::QuotaUncounted | Refusal::PodSecurity | Refusal::NoRight | Refusal::Other,
            message,
        ) => Outcome::inconclusive(format!("{source}: refused before its defaults could be seen: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Constraints {
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}}]}});
        Constraints::read([&range].into_iter())
    }

    #[test]
    fn defaults_are_compared_by_amount() {
        let made = |cpu: &str| {
            let list = json!({"cpu": cpu, "memory": "1024Mi"});
            Answer::Accepted(json!({"spec": {"containers": [{"resources": {"requests": list, "limits": list}}]}}))
        };
        assert!(matches!(judge(&wanted(), made("0.5"), ""), Outcome::Pass { .. }));
        assert!(matches!(judge(&wanted(), made("1"), ""), Outcome::Fail { .. }));
        let none = Answer::Accepted(json!({"spec": {"containers": [{"resources": {}}]}}));
        match judge(&wanted(), none, "") {
            Outcome::Fail { evidence, .. } => assert_eq!(evidence.measured, "requests none; limits none"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_quota_hides_the_answer() {
        let refused = Answer::Refused(Refusal::Quota, "exceeded quota".into());
        assert!(matches!(judge(&wanted(), refused, ""), Outcome::Inconclusive { .. }));
    }

    #[test]
    fn a_maximum_is_exceeded_by_one_step_and_only_its_refusal_proves_it() {
        let range =
            json!({"spec": {"limits": [{"type": "Container", "max": {"memory": "4Gi"}, "min": {"cpu": "100m"}}]}});
        let excess = Excess::of(&Constraints::read([&range].into_iter())).expect("a maximum");
        assert_eq!(excess.amounts["memory"], "4097Mi".parse().expect("a quantity"));
        assert_eq!(excess.amounts["cpu"], "100m".parse().expect("a quantity"), "keeps to the minimum of the others");
        assert_eq!(Excess::of(&wanted()), None, "defaults alone bound nothing");
        let check = Enforced { space: "jobs".into(), excess, origin: None };
        let refused = |kind| check.judge(Answer::Refused(kind, String::new()), "");
        assert!(matches!(refused(Refusal::LimitRange), Outcome::Pass { .. }));
        assert!(matches!(refused(Refusal::Quota), Outcome::Inconclusive { .. }));
        assert!(matches!(check.judge(Answer::Accepted(Value::Null), ""), Outcome::Fail { .. }));
    }

    #[test]
    fn a_gpu_that_nobody_asked_for_is_a_fault() {
        let made = |list: Value| {
            Answer::Accepted(json!({"spec": {"containers": [{"resources": {"requests": list, "limits": list}}]}}))
        };
        assert!(matches!(gpuless(made(json!({"cpu": "1"})), ""), Outcome::Pass { .. }));
        match gpuless(made(json!({"cpu": "1", "nvidia.com/gpu": "8"})), "") {
            Outcome::Fail { evidence, .. } => assert!(evidence.measured.ends_with("is given 8 nvidia.com/gpu")),
            other => panic!("{other:?}"),
        }
        let message = "minimum nvidia.com/gpu usage per Container is 1.  No request is specified";
        assert!(matches!(gpuless(Answer::Refused(Refusal::LimitRange, message.into()), ""), Outcome::Fail { .. }));
        let message = "minimum cpu usage per Container is 1";
        assert!(matches!(
            gpuless(Answer::Refused(Refusal::LimitRange, message.into()), ""),
            Outcome::Inconclusive { .. }
        ));
    }
}
