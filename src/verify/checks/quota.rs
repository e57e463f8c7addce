//! Quotas are there as wanted, counted by their controller, and enforced: a pod that exceeds one is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::constraints::Constraints;
use super::quota_probe::{Probe, probe};
use super::settle::settled;
use super::{namespace, of_kind, texts};
use crate::cluster::name;
use crate::desired::Desired;
use crate::quantity::Quantity;
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;
use crate::verify::probe::{Answer, Refusal, dry_run, pod};

type Hard = BTreeMap<String, String>;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for (space, hard) in wanted(desired) {
        checks.push(Arc::new(HardLimits { space: space.clone(), hard: hard.clone() }));
        checks.push(Arc::new(Enforced { space, hard }));
    }
}

/// The wanted `hard` map of each namespace: the blueprint's promise, or what its ResourceQuota objects say.
fn wanted(desired: &Desired) -> BTreeMap<String, Hard> {
    let mut all = desired.promises.quotas.clone();
    for quota in of_kind(desired, "", "ResourceQuota") {
        let space = namespace(quota);
        let scoped =
            quota.manifest.pointer("/spec/scopes").is_some() || quota.manifest.pointer("/spec/scopeSelector").is_some();
        if !desired.promises.quotas.contains_key(space) && !scoped {
            let hard = all.entry(space.to_owned()).or_default();
            for (resource, amount) in texts(&quota.manifest, "/spec/hard") {
                let lower =
                    match (hard.get(&resource).map(|known| known.parse::<Quantity>()), amount.parse::<Quantity>()) {
                        (Some(Ok(known)), Ok(amount)) => amount < known,
                        (None, _) => true,
                        (Some(_), _) => false,
                    };
                if lower {
                    hard.insert(resource, amount);
                }
            }
        }
    }
    all
}

fn path(space: &str) -> String {
    format!("/api/v1/namespaces/{space}/resourcequotas")
}

struct HardLimits {
    space: String,
    hard: Hard,
}

#[async_trait]
impl Check for HardLimits {
    fn id(&self) -> CheckId {
        CheckId::about("quota.hard", &self.space)
    }

    fn title(&self) -> String {
        format!("the quota of namespace {} is as wanted, and counted", self.space)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || {
            async {
                match cx.api().list(&path(&self.space), "").await {
                    Ok(quotas) => compare(&self.hard, &quotas, &format!("GET {}", path(&self.space))),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

/// Whether a quota counts only some pods.
fn is_scoped(quota: &Value) -> bool {
    ["/spec/scopes", "/spec/scopeSelector"].iter().any(|pointer| quota.pointer(pointer).is_some_and(|v| !v.is_null()))
}

/// The quota that bounds a resource most, of those that count every pod.
fn strictest<'a>(quotas: &'a [Value], resource: &str) -> Option<(&'a Value, Quantity)> {
    let bounds = quotas
        .iter()
        .filter(|quota| !is_scoped(quota))
        .filter_map(|quota| Some((quota, Quantity::of(quota.pointer("/spec/hard")?.get(resource)?)?)));
    bounds.min_by_key(|(_, amount)| *amount)
}

fn compare(wanted: &Hard, quotas: &[Value], source: &str) -> Outcome {
    let mut faults = Vec::new();
    let mut used = BTreeMap::new();
    for (resource, amount) in wanted {
        let Some((quota, live)) = strictest(quotas, resource) else {
            faults.push(format!("no quota bounds {resource}"));
            continue;
        };
        if amount.parse() != Ok(live) {
            faults.push(format!("{resource} is {live} in quota {}, not {amount}", name(quota)));
        }
        match quota.pointer("/status/used").and_then(|used| used.get(resource)?.as_str()) {
            Some(amount) => {
                used.insert(resource.clone(), amount.to_owned());
            }
            None => faults.push(format!("quota {} has not counted {resource} yet", name(quota))),
        }
    }
    let words = |amounts: &BTreeMap<String, String>| {
        amounts.iter().map(|(resource, amount)| format!("{resource} {amount}")).collect::<Vec<_>>().join(", ")
    };
    let measured = if faults.is_empty() { format!("as wanted; used: {}", words(&used)) } else { faults.join("; ") };
    let evidence = Evidence::new(measured, words(wanted), source).with(json!({"used": used, "faults": faults}));
    if faults.is_empty() {
        Outcome::pass(evidence)
    } else {
        Outcome::fail(evidence, "wbk-infra apply; where nothing is counted, see that kube-controller-manager runs")
    }
}

struct Enforced {
    space: String,
    hard: Hard,
}

#[async_trait]
impl Check for Enforced {
    fn id(&self) -> CheckId {
        CheckId::about("quota.enforced", &self.space)
    }

    fn title(&self) -> String {
        format!("a pod that exceeds the quota of namespace {} is refused", self.space)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        // A quota that was made a moment ago refuses everything until its controller has counted, so this settles too.
        settled(cx, || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await
    }
}

impl Enforced {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let constraints = Constraints::of(cx, &self.space).await?;
        let Probe { resource, containers } = match probe(&self.hard, &constraints, cx.options.image(cx.nodes)) {
            Ok(probe) => probe,
            Err(why) => return Ok(Outcome::skipped(why)),
        };
        let pods = format!("/api/v1/namespaces/{}/pods", self.space);
        let answer = dry_run(cx, &pods, &pod(cx, containers)).await?;
        Ok(judge(&resource, &self.hard[&resource], answer, &format!("dry-run POST {pods}")))
    }
}

fn judge(resource: &str, hard: &str, answer: Answer, source: &str) -> Outcome {
    let evidence =
        |measured: String| Evidence::new(measured, format!("a pod over {resource} {hard} is refused"), source);
    match answer {
        Answer::Accepted(_) => Outcome::fail(
            evidence(format!("a pod with more than {hard} {resource} would be accepted")),
            format!(
                "see that a ResourceQuota with {resource} is in the namespace, and that the admission plug-in ResourceQuota is on"
            ),
        ),
        Answer::Refused(Refusal::Quota, message) if message.contains(&format!("{resource}=")) => {
            Outcome::pass(evidence(format!("refused: {message}")))
        }
        Answer::Refused(Refusal::QuotaUncounted, message) => Outcome::fail(
            evidence(format!("every pod is refused, because the quota is not counted: {message}")),
            "see that kube-controller-manager runs",
        ),
        Answer::Refused(
            Refusal::Quota | Refusal::PodSecurity | Refusal::LimitRange | Refusal::NoRight | Refusal::Other,
            message,
        ) => Outcome::inconclusive(format!("{source}: refused for another reason than {resource}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::desired;

    fn hard(pairs: &[(&str, &str)]) -> Hard {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn quotas_come_from_promises_and_from_objects() {
        let mut state = desired(vec![
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "b"},
                "spec": {"hard": {"pods": 10, "cpu": "4"}}}),
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q2", "namespace": "b"},
                "spec": {"hard": {"cpu": "2"}}}),
        ]);
        state.promises.quotas.insert("a".into(), hard(&[("pods", "5")]));
        let all = wanted(&state);
        assert_eq!(all["a"], hard(&[("pods", "5")]));
        assert_eq!(all["b"], hard(&[("pods", "10"), ("cpu", "2")]));
    }

    #[test]
    fn a_quota_is_compared_by_amount_and_must_be_counted() {
        let live = |amount: &str, used: Value| json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": amount}}, "status": {"used": used}});
        let wanted = hard(&[("requests.cpu", "2000m")]);
        let used = json!({"requests.cpu": "0"});
        assert!(matches!(compare(&wanted, &[live("2", used.clone())], ""), Outcome::Pass { .. }));
        assert!(matches!(compare(&wanted, &[live("3", used.clone())], ""), Outcome::Fail { .. }));
        assert!(matches!(compare(&wanted, &[live("2", json!({}))], ""), Outcome::Fail { .. }), "not counted");
        assert!(matches!(compare(&wanted, &[], ""), Outcome::Fail { .. }), "not there");
        let stricter = [live("2", used.clone()), live("1", used)];
        assert!(matches!(compare(&wanted, &stricter, ""), Outcome::Fail { .. }), "another one is stricter");
    }

    #[test]
    fn only_a_refusal_for_this_resource_is_a_proof() {
        let refused = |kind, message: &str| judge("requests.cpu", "2", Answer::Refused(kind, message.into()), "");
        assert!(matches!(judge("requests.cpu", "2", Answer::Accepted(Value::Null), ""), Outcome::Fail { .. }));
        let message = "exceeded quota: q, requested: requests.cpu=3, used: requests.cpu=0, limited: requests.cpu=2";
        assert!(matches!(refused(Refusal::Quota, message), Outcome::Pass { .. }));
        assert!(matches!(
            refused(Refusal::Quota, "exceeded quota: q, requested: pods=1"),
            Outcome::Inconclusive { .. }
        ));
        assert!(matches!(refused(Refusal::QuotaUncounted, ""), Outcome::Fail { .. }));
        assert!(matches!(refused(Refusal::LimitRange, ""), Outcome::Inconclusive { .. }));
    }
}
