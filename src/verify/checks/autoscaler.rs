//! Cluster Autoscaler runs, and sees the group of every pool: a pool that it does not see stays as it is, and its pods wait for ever.
//!
//! Facts: kubernetes/autoscaler 1.36.1, `clusterstate/api/types.go` (the status since 1.30 is YAML), client-go's leader election.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::few;
use super::settle::settled;
use crate::cluster::text;
use crate::desired::{AUTOSCALER, AUTOSCALER_NAMESPACE, AUTOSCALER_STATUS, Desired, autoscaler_status};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, Nodes};

/// Seconds after which a Lease that nobody renewed is nobody's: it is held for 15 s and renewed every 2 s (leader election's defaults);
/// the rest is for clocks that differ.
const STALE: i64 = 60;

/// The label of nodes whose pods are played.
const SIMULATED: &str = "wbk-infra/simulated";

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let ours = desired.objects.iter().any(|object| {
        object.id.gvk.kind == "Deployment"
            && object.id.name == AUTOSCALER
            && object.id.namespace.as_deref() == Some(AUTOSCALER_NAMESPACE)
    });
    if ours {
        checks.push(Arc::new(Runs { pools: desired.wanted.pools.keys().cloned().collect() }));
    }
}

struct Runs {
    pools: Vec<String>,
}

#[async_trait]
impl Check for Runs {
    fn id(&self) -> CheckId {
        CheckId::once("autoscaler.sees")
    }

    fn title(&self) -> String {
        "Cluster Autoscaler runs and sees the group of every pool".into()
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await
    }
}

impl Runs {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let lease: Option<Value> = cx.api().find(&lease_path()).await?;
        if lease.is_none() && (cx.nodes == Nodes::Simulated || are_simulated(&cx.all_nodes().await?)) {
            return Ok(Outcome::skipped("on simulated nodes its pods are played: no autoscaler runs"));
        }
        let path = format!("/api/v1/namespaces/{AUTOSCALER_NAMESPACE}/configmaps/{AUTOSCALER_STATUS}");
        let status: Option<Value> = cx.api().find(&path).await?;
        Ok(judge(&self.pools, lease.as_ref(), status.as_ref(), cx.now()))
    }
}

/// Whether pods are played on all nodes, whatever the provider: the EKS stand's are the local provider's.
fn are_simulated(nodes: &[Value]) -> bool {
    let simulated = |node: &Value| node["metadata"]["labels"][SIMULATED] == "true";
    !nodes.is_empty() && nodes.iter().all(simulated)
}

fn lease_path() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{AUTOSCALER_NAMESPACE}/leases/{AUTOSCALER}")
}

/// Judges what it says of itself.
fn judge(pools: &[String], lease: Option<&Value>, status: Option<&Value>, now: Timestamp) -> Outcome {
    let source = format!("GET {}; ConfigMap {AUTOSCALER_NAMESPACE}/{AUTOSCALER_STATUS}", lease_path());
    let wanted = format!("a leader, and the groups of {} pools", pools.len());
    let evidence = |measured: String, data: Value| Evidence::new(measured, &wanted, &source).with(data);
    let log = format!("see its log: kubectl -n {AUTOSCALER_NAMESPACE} logs deployment/{AUTOSCALER}");
    let Some(lease) = lease else {
        let hint = format!(
            "no replica was ever the leader: kubectl -n {AUTOSCALER_NAMESPACE} get pods -l app.kubernetes.io/name={AUTOSCALER}"
        );
        return Outcome::fail(evidence("nobody holds its Lease".into(), Value::Null), hint);
    };
    let holder = text(lease, "/spec/holderIdentity");
    let renewed = text(lease, "/spec/renewTime").parse::<Timestamp>();
    let Ok(renewed) = renewed else { return Outcome::inconclusive("its Lease does not say when it was renewed") };
    let age = now.as_second() - renewed.as_second();
    if age > STALE || holder.is_empty() {
        let measured = format!("its leader {holder} was last seen {age} s ago");
        return Outcome::fail(evidence(measured, json!({"holder": holder, "seconds": age})), log);
    }
    let said = status.map(|status| text(status, "/data/status")).unwrap_or_default();
    let Some(said) = autoscaler_status(said) else {
        return Outcome::inconclusive(format!("ConfigMap {AUTOSCALER_STATUS} holds something that is not its status"));
    };
    let state = text(&said, "/autoscalerStatus");
    if state != "Running" {
        let words = if state.is_empty() { "it has not written its status yet" } else { "it is not running" };
        let hint = format!("{log}; as a rule it may not ask AWS: see its role in IAM, and its pod identity");
        return Outcome::fail(evidence(words.into(), json!({"holder": holder, "status": state})), hint);
    }
    let groups: BTreeMap<&str, &Value> =
        said["nodeGroups"].as_array().into_iter().flatten().map(|group| (text(group, "/name"), group)).collect();
    let missing: Vec<&str> =
        pools.iter().filter(|pool| !groups.keys().any(|group| is_of_pool(group, pool))).map(String::as_str).collect();
    let data = json!({"holder": holder, "groups": groups.keys().collect::<Vec<_>>(), "missing": missing});
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(|pool| (*pool).to_owned()).collect();
        let measured = format!("it sees {} groups, and none of pool {}", groups.len(), few(&names));
        let hint = "their Auto Scaling groups lack its tags: wbk-infra plan shows and apply mends them; then it sees them within a minute";
        return Outcome::fail(evidence(measured, data), hint);
    }
    let waiting: Vec<String> = groups.iter().filter_map(|(name, group)| backoff(name, group)).collect();
    let told = if waiting.is_empty() { String::new() } else { format!("; {}", few(&waiting)) };
    Outcome::pass(evidence(format!("{holder} leads, and sees {} groups{told}", groups.len()), data))
}

/// A group that it leaves alone for now, after nodes did not come.
fn backoff(name: &str, group: &Value) -> Option<String> {
    let why = text(group, "/scaleUp/backoffInfo/errorMessage");
    (text(group, "/scaleUp/status") == "Backoff").then(|| format!("{name} gets no nodes for now: {why}"))
}

/// EKS calls the Auto Scaling group of a node group `eks-NAME-UUID`; the node group is called as its pool, or as its pool with six
/// digits where it took another's place.
fn is_of_pool(group: &str, pool: &str) -> bool {
    const UUID: usize = 36;
    let Some(rest) = group.strip_prefix("eks-").and_then(|rest| rest.strip_prefix(pool)) else { return false };
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let Some(rest) = rest.strip_prefix('-') else { return false };
    rest.len() <= UUID + 7 && hex(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T10:00:00Z";
    const UUID: &str = "0acb1234-0000-1111-2222-333344445555";

    fn judged(renewed: &str, status: &str) -> Outcome {
        let lease = json!({"spec": {"holderIdentity": "ca-1", "renewTime": renewed}});
        let status = json!({"data": {"status": status}});
        let pools = ["l4".to_owned(), "l4-spot".to_owned()];
        judge(&pools, Some(&lease), Some(&status), NOW.parse().unwrap())
    }

    fn status(groups: &[&str]) -> String {
        let groups: Vec<String> =
            groups.iter().map(|group| format!("- name: {group}\n  health: {{status: Healthy}}\n")).collect();
        format!("time: x\nautoscalerStatus: Running\nnodeGroups:\n{}", groups.concat())
    }

    #[test]
    fn a_leader_that_sees_every_group_passes_whatever_the_groups_are_called() {
        let seen = status(&[&format!("eks-l4-ab12cd-{UUID}"), &format!("eks-l4-spot-{UUID}")]);
        assert!(matches!(judged("2026-11-22T09:59:58.5Z", &seen), Outcome::Pass { .. }));
    }

    #[test]
    fn a_group_of_another_pool_whose_name_begins_alike_is_not_taken_for_it() {
        let seen = status(&[&format!("eks-l4-spot-{UUID}")]);
        match judged(NOW, &seen) {
            Outcome::Fail { evidence, hint } => {
                assert_eq!(evidence.measured, "it sees 1 groups, and none of pool l4");
                assert!(hint.unwrap().contains("tags"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_that_nobody_runs_any_more_fails_though_its_status_is_there() {
        let seen = status(&[&format!("eks-l4-{UUID}"), &format!("eks-l4-spot-{UUID}")]);
        assert!(matches!(judged("2026-11-22T09:50:00Z", &seen), Outcome::Fail { .. }));
        assert!(matches!(judge(&[], None, None, NOW.parse().unwrap()), Outcome::Fail { .. }));
    }

    #[test]
    fn nodes_whose_pods_are_played_are_known_by_their_label() {
        let node = |simulated: &str| json!({"metadata": {"labels": {SIMULATED: simulated}}});
        assert!(are_simulated(&[node("true"), node("true")]));
        assert!(!are_simulated(&[node("true"), json!({"metadata": {}})]) && !are_simulated(&[]));
    }

    #[test]
    fn one_that_may_not_ask_aws_is_told_from_one_that_sees_nothing() {
        match judged(NOW, "autoscalerStatus: Initializing\n") {
            Outcome::Fail { hint, .. } => assert!(hint.unwrap().contains("IAM")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pool_that_gets_no_nodes_for_now_is_said() {
        let name = format!("eks-l4-{UUID}");
        let seen = format!(
            "autoscalerStatus: Running\nnodeGroups:\n- {{name: {name}, scaleUp: {{status: Backoff, backoffInfo: {{errorMessage: no capacity}}}}}}\n- {{name: eks-l4-spot-{UUID}}}\n"
        );
        match judged(NOW, &seen) {
            Outcome::Pass { evidence } => assert!(evidence.measured.contains("no capacity"), "{}", evidence.measured),
            other => panic!("{other:?}"),
        }
    }
}
