//! What a live node is, as far as its price depends on it. Labels and provider ids are those that the clouds write.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wbk_provider_api::{Capacity, ProviderKind};

use crate::gpu::scheduler::{Amounts, quantities};

/// A cloud whose machines have public prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud.
    Gcp,
}

impl Cloud {
    /// `aws`, `azure`, `gcp`.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Aws, Self::Azure, Self::Gcp].into_iter().find(|cloud| cloud.as_str() == name)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
        }
    }

    /// The cloud of a provider that makes its nodes there.
    pub fn of_provider(provider: ProviderKind) -> Option<Self> {
        match provider {
            ProviderKind::Eks => Some(Self::Aws),
            ProviderKind::Aks => Some(Self::Azure),
            ProviderKind::Gke => Some(Self::Gcp),
            ProviderKind::Kind | ProviderKind::Local | ProviderKind::Existing => None,
        }
    }
}

/// What a live node is.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its pool: the blueprint's, else the cloud's word for it.
    pub pool: Option<String>,
    /// Its cloud.
    pub cloud: Option<Cloud>,
    /// Whether the cloud's own Kubernetes service runs it, which has a price of its own.
    pub managed: bool,
    /// Its region.
    pub region: Option<String>,
    /// Its machine type.
    pub machine: Option<String>,
    /// How it is paid for. No label of spot is on demand, as the clouds do not label all of their usual nodes.
    pub capacity: Capacity,
    /// A reservation or a capacity block: paid for ahead, so that no hour has a price.
    pub prepaid: bool,
    /// The model of its GPUs.
    pub model: Option<String>,
    /// What pods can have of it.
    pub allocatable: Amounts,
    /// When it came.
    pub since: Option<Timestamp>,
}

/// Pool labels, the blueprint's first. AWS EKS "managed node groups", GKE and AKS node labels, Karpenter "well-known labels".
const POOLS: [&str; 5] = [
    "wbk-infra/pool",
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "karpenter.sh/nodepool",
];
/// kubernetes.io "Well-Known Labels"; the second of each is its older spelling.
const MACHINES: [&str; 2] = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];
const REGIONS: [&str; 2] = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
/// Labels that say spot, with the value that says it. EKS writes it in capitals.
const SPOT: [(&str, &str); 7] = [
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("cloud.google.com/gke-provisioning", "spot"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
    ("wbk-infra/capacity", "spot"),
];
/// Labels that say paid ahead.
const PREPAID: [(&str, &str); 2] =
    [("eks.amazonaws.com/capacityType", "CAPACITY_BLOCK"), ("karpenter.sh/capacity-type", "reserved")];
/// Labels with the model: the blueprint's, the device plugins', the clouds'.
const MODELS: [&str; 6] = [
    "wbk-infra/accelerator",
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
];
/// Labels that only nodes of a cloud's own Kubernetes service have.
const SERVICES: [(&str, Cloud); 3] = [
    ("eks.amazonaws.com/", Cloud::Aws),
    ("cloud.google.com/gke-", Cloud::Gcp),
    ("kubernetes.azure.com/", Cloud::Azure),
];

impl NodeFacts {
    /// Reads them off a node; `provider` is the blueprint's, which is played in a rehearsal.
    pub fn of(node: &Value, provider: Option<ProviderKind>) -> Self {
        let labels = &node["metadata"]["labels"];
        let label = |key: &str| labels[key].as_str().filter(|value| !value.is_empty());
        let first = |keys: &[&str]| keys.iter().find_map(|key| label(key)).map(str::to_owned);
        let says = |list: &[(&str, &str)]| list.iter().any(|(key, value)| label(key) == Some(value));
        let service =
            labels.as_object().into_iter().flatten().find_map(|(key, _)| {
                SERVICES.iter().find(|(prefix, _)| key.starts_with(prefix)).map(|(_, cloud)| *cloud)
            });
        // k8s.io/cloud-provider-{aws,gcp,azure}: `aws:///us-west-2a/i-1`, `gce://project/zone/name`, `azure:///subscriptions/…`.
        let scheme = node["spec"]["providerID"].as_str().and_then(|id| id.split_once("://")).map(|(scheme, _)| scheme);
        let by_id = match scheme {
            Some("aws") => Some(Cloud::Aws),
            Some("gce") => Some(Cloud::Gcp),
            Some("azure") => Some(Cloud::Azure),
            Some(_) | None => None,
        };
        let cloud = by_id.or(service).or_else(|| provider.and_then(Cloud::of_provider));
        Self {
            name: node["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            pool: first(&POOLS),
            cloud,
            managed: service.is_some() || provider.and_then(Cloud::of_provider).is_some(),
            region: first(&REGIONS),
            machine: first(&MACHINES),
            capacity: if says(&SPOT) { Capacity::Spot } else { Capacity::OnDemand },
            prepaid: says(&PREPAID),
            model: first(&MODELS),
            allocatable: Amounts::of(&quantities(&node["status"]["allocatable"])),
            since: node["metadata"]["creationTimestamp"].as_str().and_then(|time| time.parse().ok()), // Then it is not said.
        }
    }

    /// GPUs that it offers, by resource.
    pub fn gpus(&self) -> BTreeMap<String, u64> {
        gpus_of(&self.allocatable)
    }
}

/// The GPUs among amounts, by resource.
pub(super) fn gpus_of(amounts: &Amounts) -> BTreeMap<String, u64> {
    let counted = |amount: i64| u64::try_from(amount).unwrap_or(0);
    amounts
        .iter()
        .filter(|(resource, amount)| gpu_weight(resource) > 0 && *amount > 0)
        .map(|(resource, amount)| (resource.to_owned(), counted(amount)))
        .collect()
}

/// How much of a node's GPUs one of a resource stands for, beside its other GPU resources; 0 for what is no GPU. A node has
/// GPUs, shares of them, or partitions: only partitions come in sizes, and their name begins with it (`nvidia.com/mig-3g.40gb`).
pub(super) fn gpu_weight(resource: &str) -> u128 {
    if let Some(profile) = resource.strip_prefix("nvidia.com/mig-") {
        let slices = profile.split_once('g').and_then(|(slices, _)| slices.parse().ok());
        return slices.unwrap_or(1); // A profile of another spelling counts as the smallest.
    }
    let known = ["nvidia.com/gpu", "nvidia.com/gpu.shared", "amd.com/gpu", "google.com/tpu", "aws.amazon.com/neuron"];
    u128::from(known.contains(&resource) || resource.starts_with("gpu.intel.com/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(labels: Value, id: &str) -> NodeFacts {
        let node = json!({"metadata": {"name": "n", "labels": labels}, "spec": {"providerID": id},
            "status": {"allocatable": {"cpu": "95500m", "memory": "680Gi", "nvidia.com/gpu": "8", "pods": "110"}}});
        NodeFacts::of(&node, None)
    }

    #[test]
    fn nodes_of_each_cloud_are_known_by_what_it_writes_on_them() {
        let eks = facts(
            json!({"eks.amazonaws.com/nodegroup": "a100", "eks.amazonaws.com/capacityType": "SPOT",
                "node.kubernetes.io/instance-type": "p4d.24xlarge", "topology.kubernetes.io/region": "us-west-2"}),
            "aws:///us-west-2a/i-0abc",
        );
        assert_eq!((eks.cloud, eks.managed, eks.capacity), (Some(Cloud::Aws), true, Capacity::Spot));
        assert_eq!((eks.pool.as_deref(), eks.machine.as_deref()), (Some("a100"), Some("p4d.24xlarge")));
        assert_eq!(eks.gpus()["nvidia.com/gpu"], 8);
        let gke = facts(
            json!({"cloud.google.com/gke-nodepool": "l4", "cloud.google.com/gke-provisioning": "standard",
                "cloud.google.com/gke-accelerator": "nvidia-l4", "wbk-infra/pool": "mine"}),
            "gce://project/us-central1-a/gke-1",
        );
        assert_eq!(
            (gke.cloud, gke.capacity, gke.pool.as_deref()),
            (Some(Cloud::Gcp), Capacity::OnDemand, Some("mine"))
        );
        assert_eq!(gke.model.as_deref(), Some("nvidia-l4"));
        let aks = facts(json!({"kubernetes.azure.com/scalesetpriority": "spot"}), "azure:///subscriptions/s/x");
        assert_eq!((aks.cloud, aks.capacity), (Some(Cloud::Azure), Capacity::Spot));
        let bare = facts(json!({}), "kind://docker/kind/kind-worker");
        assert_eq!((bare.cloud, bare.managed, bare.pool, bare.prepaid), (None, false, None, false));
        assert!(facts(json!({"karpenter.sh/capacity-type": "reserved"}), "aws:///z/i").prepaid);
    }

    #[test]
    fn partitions_count_by_their_slices_and_shares_alike() {
        assert_eq!([gpu_weight("nvidia.com/mig-3g.40gb"), gpu_weight("nvidia.com/mig-1g.5gb.me")], [3, 1]);
        assert_eq!([gpu_weight("nvidia.com/gpu"), gpu_weight("gpu.intel.com/i915"), gpu_weight("cpu")], [1, 1, 0]);
    }
}
