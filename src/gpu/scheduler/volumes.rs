//! Volumes that tie a pod to some of the nodes: a bound volume's node affinity and zone, and claims that can never be bound.
//!
//! Source: plugins volumebinding and volumezone of pkg/scheduler (Kubernetes 1.36).

use std::collections::BTreeMap;

use serde_json::Value;

use super::labels::{Found, Labels, Truth};
use super::pod::text_map;
use super::selector::NodeSelector;

/// A PersistentVolumeClaim, as far as it decides where its pods can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It has this volume.
    Bound(Volume),
    /// It gets a volume where its first pod is; only nodes that meet this can have one.
    Later {
        /// `allowedTopologies` of its class; `None` for every node.
        topologies: Option<NodeSelector>,
    },
    /// No volume can come for it, and why: the scheduler's words.
    Never {
        /// What the scheduler says.
        words: String,
        /// Whether it says it of each node, or of the pod.
        of_each_node: bool,
    },
    /// It cannot be said, and why.
    Unknown(String),
}

impl Claim {
    /// Keys of the labels of nodes that it depends on.
    pub fn keys(&self) -> Vec<String> {
        let of = |selector: &Option<NodeSelector>| -> Vec<String> {
            let terms = selector.iter().flat_map(|selector| &selector.terms);
            terms.flat_map(|term| &term.expressions).map(|one| one.key.clone()).collect()
        };
        match self {
            // A zone is looked for under either key, and a node without any is everywhere.
            Self::Bound(volume) => {
                let zones = ZONES.iter().filter(|_| !volume.zones.is_empty()).map(|key| (*key).to_owned());
                of(&volume.node_affinity).into_iter().chain(zones).collect()
            }
            Self::Later { topologies } => of(topologies),
            Self::Never { .. } | Self::Unknown(_) => Vec::new(),
        }
    }
}

/// A PersistentVolume, as far as it decides where its pods can be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volume {
    /// What its nodes must be; `None` for every node.
    pub node_affinity: Option<NodeSelector>,
    /// Its zones and regions, by label: one of the values.
    pub zones: Vec<(String, Vec<String>)>,
}

/// Labels of a volume that its nodes must have.
const ZONES: [&str; 4] = [
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

impl Volume {
    /// Reads a PersistentVolume.
    pub fn of(volume: &Value) -> Self {
        let required = &volume["spec"]["nodeAffinity"]["required"];
        let labels = text_map(&volume["metadata"]["labels"]);
        let zones = ZONES
            .iter()
            .filter_map(|key| {
                let value = labels.get(*key)?;
                Some(((*key).to_owned(), value.split("__").map(str::to_owned).collect()))
            })
            .collect();
        Self { node_affinity: (!required.is_null()).then(|| NodeSelector::parse(required)), zones }
    }

    /// Whether a node is in its zones.
    pub(super) fn zone_fits(&self, labels: &Labels) -> Truth {
        // A node without any such label is everywhere.
        let somewhere = ZONES.iter().fold(Truth::No, |so_far, key| so_far.or(|| labels.exists(key)));
        if somewhere == Truth::No {
            return Truth::Yes;
        }
        self.zones.iter().fold(Truth::Yes, |so_far, (key, values)| {
            so_far.and(|| {
                let key = match labels.get(key) {
                    Found::Absent => newer(key),
                    Found::Is(_) | Found::Open(_) | Found::Perhaps(_) => key,
                };
                values.iter().fold(Truth::No, |so_far, value| so_far.or(|| labels.has(key, value)))
            })
        })
    }
}

/// The key that took a beta key's place.
fn newer(key: &str) -> &str {
    match key {
        "failure-domain.beta.kubernetes.io/zone" => "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region" => "topology.kubernetes.io/region",
        other => other,
    }
}

/// The claims that are known, from claims, volumes and classes.
pub fn claims<'a>(objects: impl Iterator<Item = &'a Value> + Clone) -> BTreeMap<(String, String), Claim> {
    let of_kind = |kind: &'static str| objects.clone().filter(move |object| object["kind"] == kind);
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let volumes: BTreeMap<String, &Value> = of_kind("PersistentVolume").map(|volume| (name(volume), volume)).collect();
    let classes: BTreeMap<String, &Value> = of_kind("StorageClass").map(|class| (name(class), class)).collect();
    of_kind("PersistentVolumeClaim")
        .map(|claim| {
            let namespace = claim["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
            ((namespace, name(claim)), one(claim, &volumes, &classes))
        })
        .collect()
}

fn one(claim: &Value, volumes: &BTreeMap<String, &Value>, classes: &BTreeMap<String, &Value>) -> Claim {
    let spec = &claim["spec"];
    if let Some(volume) = spec["volumeName"].as_str().filter(|name| !name.is_empty()) {
        return match volumes.get(volume) {
            Some(volume) => Claim::Bound(Volume::of(volume)),
            None => Claim::Unknown(format!("the volume {volume} of its claim is not known")),
        };
    }
    let default = || {
        classes.iter().find(|(_, class)| {
            class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
        })
    };
    let class = match spec["storageClassName"].as_str() {
        Some("") => None,
        Some(name) => match classes.get(name) {
            Some(class) => Some(*class),
            None => return Claim::Unknown(format!("the storage class {name} of its claim is not known")),
        },
        None => match default() {
            Some((_, class)) => Some(*class),
            None => return Claim::Unknown("its claim names no storage class, and no default is known".into()),
        },
    };
    let provisioned = class.is_some_and(|class| class["provisioner"] != "kubernetes.io/no-provisioner");
    let waits = class.is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer");
    if !provisioned {
        if volumes.is_empty() {
            let words = if waits {
                "node(s) didn't find available persistent volumes to bind"
            } else {
                "pod has unbound immediate PersistentVolumeClaims"
            };
            return Claim::Never { words: words.into(), of_each_node: waits };
        }
        return Claim::Unknown("which volume its claim gets is decided when it is bound".into());
    }
    if !waits {
        return Claim::Unknown("its claim is bound before its pod is placed, to a volume that may have a zone".into());
    }
    let topologies = class.and_then(|class| allowed(&class["allowedTopologies"]));
    Claim::Later { topologies }
}

/// `allowedTopologies` in the form of a node selector.
fn allowed(value: &Value) -> Option<NodeSelector> {
    let terms: Vec<Value> = value
        .as_array()?
        .iter()
        .map(|term| {
            let expressions: Vec<Value> = term["matchLabelExpressions"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| serde_json::json!({"key": one["key"], "operator": "In", "values": one["values"]}))
                .collect();
            serde_json::json!({"matchExpressions": expressions})
        })
        .collect();
    (!terms.is_empty()).then(|| NodeSelector::parse(&serde_json::json!({"nodeSelectorTerms": terms})))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_keeps_its_pods_in_its_zone() {
        let volume = Volume::of(&json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a__b"}}, "spec": {}}));
        let node = |zone: &str| Labels::of([(&"topology.kubernetes.io/zone".to_owned(), &zone.to_owned())]);
        assert_eq!(volume.zone_fits(&node("b")), Truth::Yes);
        assert_eq!(volume.zone_fits(&node("c")), Truth::No);
        assert_eq!(volume.zone_fits(&Labels::default()), Truth::Yes, "a node without a zone is in every one");
    }

    #[test]
    fn a_claim_without_provisioner_and_volume_is_never_bound() {
        let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"namespace": "jobs", "name": "data"},
            "spec": {"storageClassName": "local"}});
        let class = |provisioner: &str| {
            json!({"kind": "StorageClass", "metadata": {"name": "local"}, "provisioner": provisioner,
                "volumeBindingMode": "WaitForFirstConsumer"})
        };
        let key = ("jobs".to_owned(), "data".to_owned());
        let objects = [claim.clone(), class("kubernetes.io/no-provisioner")];
        assert!(matches!(claims(objects.iter())[&key], Claim::Never { of_each_node: true, .. }));
        let objects = [claim, class("csi.example.com")];
        assert_eq!(claims(objects.iter())[&key], Claim::Later { topologies: None });
    }
}
