//! A pod as the scheduler sees it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ports::{HostPort, host_ports};
use super::resources::{Amounts, ContainerDefaults, PODS, pod_requests};
use super::selector::{LabelSelector, NodeSelector, Operator};
use super::taints::Toleration;

/// A pod as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The one node it asks for by name.
    pub node_name: Option<String>,
    /// Labels that its node must have.
    pub node_selector: Vec<(String, String)>,
    /// What its node must be; `None` where nothing is required.
    pub node_affinity: Option<NodeSelector>,
    /// Taints that it bears.
    pub tolerations: Vec<Toleration>,
    /// What it asks for.
    pub requests: Amounts,
    /// Ports of the node that it takes.
    pub ports: Vec<HostPort>,
    /// Pods that must be near.
    pub affinity: Vec<PodTerm>,
    /// Pods that must not be near.
    pub anti_affinity: Vec<PodTerm>,
    /// How pods like it must be spread.
    pub spread: Vec<Spread>,
    /// Its priority.
    pub priority: i64,
    /// Whether it pushes out pods of lower priority.
    pub preempts: bool,
    /// Claims that it mounts, by name.
    pub claims: Vec<String>,
    /// What of it this model does not know, each a sentence.
    pub unmodelled: Vec<String>,
}

/// Pods that must, or must not, be in the same topology domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTerm {
    /// Which pods.
    pub selector: LabelSelector,
    /// Of these namespaces.
    pub namespaces: BTreeSet<String>,
    /// And of the namespaces with these labels.
    pub namespace_selector: Option<LabelSelector>,
    /// The label of nodes by which domains are told apart.
    pub topology_key: String,
}

/// A topology spread constraint that keeps pods away (`DoNotSchedule`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// How many more pods one domain may have than another.
    pub max_skew: i64,
    /// The label of nodes by which domains are told apart.
    pub topology_key: String,
    /// Which pods are counted.
    pub selector: LabelSelector,
    /// With fewer domains than these the least is 0.
    pub min_domains: i64,
    /// Whether only nodes that the pod may be on are counted.
    pub honor_affinity: bool,
    /// Whether nodes with taints that it does not bear are left out.
    pub honor_taints: bool,
}

/// What a pod's meaning depends on, beside itself.
#[derive(Debug, Clone, Default)]
pub struct Admission<'a> {
    /// What containers of its namespace ask for where they do not say.
    pub defaults: Option<&'a ContainerDefaults>,
    /// The priority that its priority class gives it.
    pub priority: Option<i64>,
    /// Whether its priority class lets it preempt.
    pub preempts: Option<bool>,
}

impl Pod {
    /// Reads a pod, or the template of one: metadata and spec.
    pub fn of(template: &Value, namespace: &str, admission: &Admission<'_>) -> Self {
        let spec = &template["spec"];
        let metadata = &template["metadata"];
        let none = ContainerDefaults::default();
        let mut requests = Amounts::of(&pod_requests(spec, admission.defaults.unwrap_or(&none)));
        // A pod takes one place whatever it says.
        requests.remove(PODS);
        let labels = text_map(&metadata["labels"]);
        let affinity = &spec["affinity"];
        let terms = |kind: &str| pod_terms(&affinity[kind], namespace, &labels);
        let required = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        Self {
            name: metadata["name"].as_str().unwrap_or_default().to_owned(),
            namespace: namespace.to_owned(),
            node_name: spec["nodeName"].as_str().filter(|name| !name.is_empty()).map(str::to_owned),
            node_selector: text_map(&spec["nodeSelector"]).into_iter().collect(),
            node_affinity: (!required.is_null()).then(|| NodeSelector::parse(required)),
            tolerations: spec["tolerations"].as_array().into_iter().flatten().map(Toleration::parse).collect(),
            requests,
            ports: host_ports(spec),
            affinity: terms("podAffinity"),
            anti_affinity: terms("podAntiAffinity"),
            spread: spreads(&spec["topologySpreadConstraints"], &labels),
            priority: spec["priority"].as_i64().or(admission.priority).unwrap_or(0),
            preempts: match spec["preemptionPolicy"].as_str() {
                Some(policy) => policy != "Never",
                None => admission.preempts.unwrap_or(true),
            },
            claims: claims(spec, metadata["name"].as_str()),
            unmodelled: unmodelled(spec),
            labels,
        }
    }

    /// Whether it takes a port, sits beside or away from others: whether other pods matter beside what they use.
    pub fn minds_others(&self) -> bool {
        !(self.affinity.is_empty() && self.anti_affinity.is_empty() && self.spread.is_empty() && self.ports.is_empty())
    }
}

/// Labels, annotations, selectors: text by text.
pub(crate) fn text_map(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn pod_terms(value: &Value, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<PodTerm> {
    let required = value["requiredDuringSchedulingIgnoredDuringExecution"].as_array();
    required
        .into_iter()
        .flatten()
        .map(|term| {
            let mut selector = LabelSelector::parse(&term["labelSelector"]);
            selector.with_keys(&term["matchLabelKeys"], Operator::In, labels);
            selector.with_keys(&term["mismatchLabelKeys"], Operator::NotIn, labels);
            let mut namespaces: BTreeSet<String> = term["namespaces"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let by_labels = &term["namespaceSelector"];
            if namespaces.is_empty() && by_labels.is_null() {
                namespaces.insert(namespace.to_owned());
            }
            PodTerm {
                selector,
                namespaces,
                namespace_selector: (!by_labels.is_null()).then(|| LabelSelector::parse(by_labels)),
                topology_key: term["topologyKey"].as_str().unwrap_or_default().to_owned(),
            }
        })
        .collect()
}

fn spreads(value: &Value, labels: &BTreeMap<String, String>) -> Vec<Spread> {
    let hard = value.as_array().into_iter().flatten().filter(|one| one["whenUnsatisfiable"] == "DoNotSchedule");
    hard.map(|one| {
        let mut selector = LabelSelector::parse(&one["labelSelector"]);
        selector.with_keys(&one["matchLabelKeys"], Operator::In, labels);
        Spread {
            max_skew: one["maxSkew"].as_i64().unwrap_or(1),
            topology_key: one["topologyKey"].as_str().unwrap_or_default().to_owned(),
            selector,
            min_domains: one["minDomains"].as_i64().unwrap_or(1),
            honor_affinity: one["nodeAffinityPolicy"].as_str() != Some("Ignore"),
            honor_taints: one["nodeTaintsPolicy"].as_str() == Some("Honor"),
        }
    })
    .collect()
}

fn claims(spec: &Value, pod: Option<&str>) -> Vec<String> {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| {
            let own = || Some(format!("{}-{}", pod?, volume["name"].as_str()?));
            match volume["persistentVolumeClaim"]["claimName"].as_str() {
                Some(claim) => Some(claim.to_owned()),
                None if !volume["ephemeral"].is_null() => own(),
                None => None,
            }
        })
        .collect()
}

/// Disks that the scheduler counts or keeps apart by rules of their own.
const DISKS: [&str; 7] =
    ["gcePersistentDisk", "awsElasticBlockStore", "azureDisk", "vsphereVolume", "cinder", "rbd", "iscsi"];

fn unmodelled(spec: &Value) -> Vec<String> {
    let mut reasons = Vec::new();
    match spec["schedulerName"].as_str() {
        None | Some("" | "default-scheduler") => {}
        Some(other) => reasons.push(format!("the scheduler {other} places it, not kube-scheduler")),
    }
    let some = |key: &str| spec[key].as_array().is_some_and(|list| !list.is_empty());
    if some("schedulingGates") {
        reasons.push("it has scheduling gates: until somebody removes them it is not looked at".into());
    }
    if some("resourceClaims") {
        reasons.push("it claims devices by dynamic resource allocation (spec.resourceClaims)".into());
    }
    if !spec["schedulingGroup"].is_null() {
        reasons.push("it is scheduled as a group (spec.schedulingGroup)".into());
    }
    if spec["hostUsers"] == false && spec["hostNetwork"] == true {
        reasons
            .push("user namespaces in the node's network need a feature that nodes declare when they are there".into());
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        if let Some(disk) = DISKS.iter().find(|disk| !volume[**disk].is_null()) {
            reasons.push(format!("it mounts a {disk}, which has rules of its own"));
        }
    }
    let all = ["containers", "initContainers"].into_iter().flat_map(|key| spec[key].as_array().into_iter().flatten());
    if all.into_iter().any(|container| container["restartPolicyRules"].is_array()) {
        reasons.push("restart rules of containers may need a feature that nodes declare when they are there".into());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_modelled_is_said() {
        let pod = |spec: Value| Pod::of(&json!({"spec": spec}), "jobs", &Admission::default()).unmodelled;
        assert_eq!(pod(json!({"schedulerName": "default-scheduler"})), [""; 0]);
        for spec in [
            json!({"schedulerName": "volcano"}),
            json!({"schedulingGates": [{"name": "x"}]}),
            json!({"resourceClaims": [{"name": "x"}]}),
            json!({"volumes": [{"rbd": {}}]}),
        ] {
            assert_eq!(pod(spec.clone()).len(), 1, "{spec}");
        }
    }

    #[test]
    fn a_term_without_namespaces_is_about_the_pods_own() {
        let term =
            json!({"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "zone", "matchLabelKeys": ["v"]});
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
        let template = json!({"metadata": {"labels": {"v": "2"}}, "spec": {"affinity": {"podAntiAffinity": required}}});
        let pod = Pod::of(&template, "jobs", &Admission::default());
        let [term] = &pod.anti_affinity[..] else { panic!("one term: {pod:?}") };
        assert_eq!(term.namespaces.iter().collect::<Vec<_>>(), ["jobs"]);
        assert_eq!(term.selector.to_string(), "app=x, v=2");
    }
}
