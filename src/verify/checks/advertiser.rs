//! Exactly one thing advertises GPUs on each node: none leaves them unseen, two take turns in what the kubelet believes.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::advertisers::{Advertiser, Of, of, on};
use super::few;
use super::settle::settled;
use crate::cluster::{name, text};
use crate::desired::Desired;
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, VerifyOptions};
use crate::verify::placement::{Placement, Source, source};

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        let placement = Placement::of(pool, desired);
        if let Some(gpu) = &placement.gpu {
            let resource = gpu.resource.clone();
            checks.push(Arc::new(ExactlyOne { source: source(pool, desired), placement, resource }));
        }
    }
}

struct ExactlyOne {
    placement: Placement,
    resource: String,
    source: Source,
}

#[async_trait]
impl Check for ExactlyOne {
    fn id(&self) -> CheckId {
        CheckId::about("gpus.advertiser", &self.placement.pool)
    }

    fn title(&self) -> String {
        format!("exactly one device plugin advertises {} on each node of pool {}", self.resource, self.placement.pool)
    }

    fn applies(&self, _desired: &Desired, _options: &VerifyOptions) -> Applicability {
        match &self.source {
            Source::Nobody(why) => Applicability::Skipped(format!("nothing shall advertise GPUs here: {why}")),
            Source::Pods | Source::Platform(_) => Applicability::Applies,
        }
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await
    }
}

impl ExactlyOne {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let (nodes, pods) = (cx.all_nodes().await?, cx.live_pods().await?);
        let nodes = self.placement.nodes(&nodes);
        if nodes.is_empty() {
            return Ok(Outcome::skipped(format!("pool {} has no nodes now", self.placement.pool)));
        }
        let outcome = judge(&nodes, &on(&nodes, &pods), &self.resource, &self.source, cx.nodes.noun());
        match outcome {
            Outcome::Fail { mut evidence, hint } => {
                if let Some(why) = missing(cx, &self.placement, &nodes, &pods, &self.resource).await {
                    evidence.measured.push_str("; ");
                    evidence.measured.push_str(&why);
                }
                Ok(Outcome::Fail { evidence, hint })
            }
            outcome => Ok(outcome),
        }
    }
}

/// Judges the advertisers of each node.
fn judge(nodes: &[&Value], all: &[Advertiser], resource: &str, source: &Source, noun: &str) -> Outcome {
    let mut faults = Vec::new();
    let mut doubts = Vec::new();
    let mut named = Vec::new();
    for node in nodes {
        let here = |of: &dyn Fn(&Advertiser) -> bool| -> Vec<&Advertiser> {
            all.iter().filter(|one| one.node == name(node) && of(one)).collect()
        };
        let ours = here(&|one| one.of.takes_in(resource));
        let unclear = here(&|one| one.of == Of::Unknown);
        let pods = |list: &[&Advertiser]| list.iter().map(|one| one.pod.clone()).collect::<Vec<_>>().join(" and ");
        if !ours.is_empty() && !unclear.is_empty() {
            doubts.push(format!("{}: {} advertises, and {} may", name(node), pods(&ours), pods(&unclear)));
        }
        match (source, ours.as_slice()) {
            (Source::Pods, [one]) | (Source::Platform(_), [one]) if one.trouble.is_some() => {
                let trouble = one.trouble.as_deref().unwrap_or_default();
                faults.push(format!("{}: pod {} does not advertise: {trouble}", name(node), one.pod));
            }
            (Source::Platform(why), [one]) if !one.of_platform => {
                faults.push(format!("{}: pod {} advertises beside the platform ({why})", name(node), one.pod));
            }
            (Source::Pods | Source::Platform(_), [one]) => named.push(format!("{}: {}", name(node), one.pod)),
            (Source::Platform(why), []) => named.push(format!("{}: the platform ({why})", name(node))),
            (Source::Pods, []) if unclear.is_empty() => faults.push(format!("{}: nothing advertises", name(node))),
            (Source::Pods, []) => {
                faults.push(format!("{}: nothing known advertises; {} may", name(node), pods(&unclear)));
            }
            (_, many) => faults.push(format!("{}: {} advertise it ({})", name(node), many.len(), pods(many))),
        }
    }
    let wanted = format!("1 on each of {} {noun}", nodes.len());
    let data = json!({"resource": resource, "advertisers": named, "faults": faults});
    let from = "GET /api/v1/pods: device-plugin directory, images, names";
    if faults.is_empty() && !doubts.is_empty() {
        return Outcome::inconclusive(format!(
            "{}: what mounts the kubelet's directory of device plugins may advertise {resource} a second time; annotate its pods \
             with wbk-infra/provides: the resource that they advertise",
            few(&doubts)
        ));
    }
    if faults.is_empty() {
        return Outcome::pass(Evidence::new(format!("1 on each: {}", few(&named)), wanted, from).with(data));
    }
    let hint = if faults.iter().any(|fault| fault.contains("advertise")) && faults.iter().any(|f| f.contains(" and ")) {
        "remove all but one: where the platform or the GPU Operator brings one, no other plugin may be installed"
    } else {
        "a device plugin must run on each node of the pool: it must tolerate the pool's taints and match its labels"
    };
    Outcome::fail(Evidence::new(few(&faults), wanted, from).with(data), hint)
}

/// Why a device plugin that is there has no pod on a node: its DaemonSet's own conditions, as far as they can be told.
async fn missing(
    cx: &CheckContext,
    placement: &Placement,
    nodes: &[&Value],
    pods: &[Value],
    resource: &str,
) -> Option<String> {
    let bare: Vec<&&Value> =
        nodes.iter().filter(|node| !on(&[node], pods).iter().any(|one| one.of.takes_in(resource))).collect();
    let node = bare.first()?;
    // An explanation is an extra.
    let sets = cx.recent.list(&cx.api(), "/apis/apps/v1/daemonsets", "").await.ok()?;
    let sets: Vec<&Value> =
        sets.iter().filter(|set| of(&set["spec"]["template"]).is_some_and(|of| of.takes_in(resource))).collect();
    if sets.is_empty() {
        return Some(format!("no DaemonSet of a device plugin for {resource} is in the cluster"));
    }
    let mut why: Vec<(bool, String)> = sets
        .iter()
        .map(|set| {
            let label = format!("DaemonSet {}/{}", text(set, "/metadata/namespace"), name(set));
            match keeps_from(&set["spec"]["template"], node) {
                Some(Keeps::Label(why)) => (true, format!("{label} has no pod on {}: {why}", name(node))),
                Some(Keeps::Taint(why)) => (false, format!("{label} has no pod on {}: {why}", name(node))),
                None => (false, format!("{label} has no pod on {} of pool {}", name(node), placement.pool)),
            }
        })
        .collect();
    // Those that are for other nodes say least.
    why.sort_by_key(|(is_for_others, _)| *is_for_others);
    Some(few(&why.into_iter().map(|(_, why)| why).collect::<Vec<_>>()))
}

/// What keeps a DaemonSet's pods from a node, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keeps {
    /// A label that it selects by.
    Label(String),
    /// A taint that it does not tolerate.
    Taint(String),
}

/// What keeps a DaemonSet's pods from a node, of the two usual reasons: a taint and a node selector. DaemonSets tolerate
/// the node's own condition taints by themselves.
fn keeps_from(template: &Value, node: &Value) -> Option<Keeps> {
    let selector = template.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let labels = node.pointer("/metadata/labels");
    let lacking = selector.into_iter().flatten().find(|(key, value)| labels.and_then(|l| l.get(*key)) != Some(*value));
    if let Some((key, value)) = lacking {
        return Some(Keeps::Label(format!("the node has no label {key}={}", value.as_str().unwrap_or_default())));
    }
    let taint = crate::verify::prospect::untolerated(node, template)?;
    if text(taint, "/key").starts_with("node.kubernetes.io/") {
        return None;
    }
    Some(Keeps::Taint(format!("it does not tolerate taint {}:{}", text(taint, "/key"), text(taint, "/effect"))))
}

/// What has become of the device plugin of a pool's nodes, in words, for checks whose pod gets no GPU.
pub(in crate::verify) async fn in_words(cx: &CheckContext, placement: &Placement, resource: &str) -> Option<String> {
    // An explanation is an extra.
    let (nodes, pods) = (cx.all_nodes().await.ok()?, cx.live_pods().await.ok()?);
    let nodes = placement.nodes(&nodes);
    let found = on(&nodes, &pods);
    let stuck: Vec<String> = found
        .iter()
        .filter(|one| one.of.takes_in(resource))
        .filter_map(|one| Some(format!("pod {} on {}: {}", one.pod, one.node, one.trouble.as_ref()?)))
        .collect();
    if !stuck.is_empty() {
        return Some(format!("device plugin: {}", few(&stuck)));
    }
    match missing(cx, placement, &nodes, &pods, resource).await {
        Some(why) => Some(format!("device plugin: {why}")),
        None => Some("its device plugin runs, and advertises none: see its log".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"a": "b"}},
            "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]}})
    }

    fn one(pod: &str, node: &str, trouble: Option<&str>) -> Advertiser {
        Advertiser {
            pod: pod.into(),
            node: node.into(),
            of: Of::Domain("nvidia.com"),
            trouble: trouble.map(str::to_owned),
            of_platform: pod.starts_with("kube-system/"),
        }
    }

    fn judged(source: &Source, all: &[Advertiser]) -> Outcome {
        let (n0, n1) = (node("n0"), node("n1"));
        judge(&[&n0, &n1], all, "nvidia.com/gpu", source, "nodes")
    }

    fn measured(outcome: Outcome) -> String {
        match outcome {
            Outcome::Fail { evidence, .. } => evidence.measured,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_on_each_node_is_right_and_none_and_two_are_named() {
        let right = [one("g/a", "n0", None), one("g/b", "n1", None)];
        assert!(matches!(judged(&Source::Pods, &right), Outcome::Pass { .. }));
        let none = [one("g/a", "n0", None)];
        assert_eq!(measured(judged(&Source::Pods, &none)), "n1: nothing advertises");
        let two = [one("g/a", "n0", None), one("h/x", "n0", None), one("g/b", "n1", None)];
        assert_eq!(measured(judged(&Source::Pods, &two)), "n0: 2 advertise it (g/a and h/x)");
        let dead = [one("g/a", "n0", None), one("g/b", "n1", Some("container ctr waits (CrashLoopBackOff)"))];
        assert_eq!(
            measured(judged(&Source::Pods, &dead)),
            "n1: pod g/b does not advertise: container ctr waits (CrashLoopBackOff)"
        );
    }

    #[test]
    fn what_may_be_a_second_advertiser_is_a_doubt() {
        let mut all = vec![one("g/a", "n0", None), one("g/b", "n1", None)];
        all.push(Advertiser { of: Of::Unknown, ..one("x/mystery", "n0", None) });
        match judged(&Source::Pods, &all) {
            Outcome::Inconclusive { reason } => {
                assert!(reason.starts_with("n0: g/a advertises, and x/mystery may: what"))
            }
            other => panic!("{other:?}"),
        }
        all[2].of = Of::Named(vec!["nvidia.com/gpu".into()]);
        assert_eq!(measured(judged(&Source::Pods, &all)), "n0: 2 advertise it (g/a and x/mystery)");
    }

    #[test]
    fn a_platform_that_brings_its_own_has_no_other_beside_it() {
        let platform = Source::Platform("GKE runs its own".into());
        assert!(matches!(judged(&platform, &[]), Outcome::Pass { .. }), "Bottlerocket's has no pod");
        let own = [one("kube-system/nvidia-gpu-device-plugin", "n0", None), one("kube-system/x", "n1", None)];
        assert!(matches!(judged(&platform, &own), Outcome::Pass { .. }));
        let other = [one("gpu/plugin", "n0", None)];
        assert!(measured(judged(&platform, &other)).starts_with("n0: pod gpu/plugin advertises beside the platform"));
    }

    #[test]
    fn what_keeps_a_plugin_from_a_node_is_said() {
        let tolerant = json!({"spec": {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}});
        assert_eq!(keeps_from(&tolerant, &node("n")), None);
        assert_eq!(
            keeps_from(&json!({"spec": {}}), &node("n")),
            Some(Keeps::Taint("it does not tolerate taint nvidia.com/gpu:NoSchedule".into()))
        );
        let choosy = json!({"spec": {"nodeSelector": {"gpu": "yes"}}});
        assert_eq!(keeps_from(&choosy, &node("n")), Some(Keeps::Label("the node has no label gpu=yes".into())));
    }
}
