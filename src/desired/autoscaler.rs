//! Cluster Autoscaler on EKS: what runs it, what it may do in AWS, and what keeps it from a running job.
//!
//! Facts are of kubernetes/autoscaler, tag cluster-autoscaler-1.36.1: `config/flags/flags.go`, `cloudprovider/aws`, the lists of objects
//! that it keeps (`utils/kubernetes/listers.go`, `simulator`), `core/scaledown`. Its rights in the cluster are held to the program
//! itself, which runs under them against the stand (docs/eks-testing.md).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use wbk_provider_api::{EksAutoscaler, EksIdentity, EksIdentityWay, TaintEffect};
use wbk_provider_eks::marks::Marks;
use wbk_provider_eks::wanted::{SCALED, scaled_cluster};

use super::collect::{Built, Collector};
use super::eks;
use super::pools::{POOL_LABEL, cluster_name, pool_spec};
use crate::blueprint::schema::{Blueprint, NodePool};
use crate::blueprint::steps;

/// Its name everywhere: objects, the Lease that its replicas elect a leader by, the service account.
pub(crate) const NAME: &str = "cluster-autoscaler";
/// Where it runs.
pub(crate) const NAMESPACE: &str = "kube-system";
/// The ConfigMap that it writes what it sees into (`--status-config-map-name`, its default).
pub(crate) const STATUS: &str = "cluster-autoscaler-status";
/// A pod with this annotation is never moved by it (simulator/drainability/rules/notsafetoevict).
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Health and metrics (`--address`, its default).
const PORT: u16 = 8085;

/// The newest release for each minor version of Kubernetes, as the repository has tags on 2026-08-22. It is made for the minor version
/// that it is called by (README, "Releases").
const RELEASES: [(&str, &str); 7] = [
    ("1.30", "v1.30.7"),
    ("1.31", "v1.31.5"),
    ("1.32", "v1.32.7"),
    ("1.33", "v1.33.6"),
    ("1.34", "v1.34.5"),
    ("1.35", "v1.35.2"),
    ("1.36", "v1.36.1"),
];

/// The release for a minor version of Kubernetes, and whether it is made for it: the nearest is taken otherwise.
pub(crate) fn release(kubernetes: &str) -> (&'static str, bool) {
    let (oldest, newest) = (RELEASES[0], RELEASES[RELEASES.len() - 1]);
    let minor = |text: &str| text.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    match RELEASES.iter().find(|(minor, _)| *minor == kubernetes) {
        Some((_, release)) => (release, true),
        None if minor(kubernetes) < minor(oldest.0) => (oldest.1, false),
        None => (newest.1, false),
    }
}

/// Whether the platform runs it: pools scale by it, and the blueprint does not bring its chart.
pub(crate) fn runs(blueprint: &Blueprint) -> bool {
    eks::scaler(blueprint) == Some(EksAutoscaler::ClusterAutoscaler) && !is_brought(blueprint)
}

/// Whether the blueprint brings a chart of it: two of them would undo each other's work.
pub(crate) fn is_brought(blueprint: &Blueprint) -> bool {
    blueprint.charts.iter().any(|chart| chart.chart.contains(NAME))
}

/// Pools that it can run on: with nodes from the beginning, since nobody else would make one for it, and open to every pod.
pub(crate) fn hosts(blueprint: &Blueprint) -> Vec<&NodePool> {
    let open = |pool: &&NodePool| {
        let spec = pool_spec(blueprint, pool);
        spec.size.min > 0 && spec.taints.iter().all(|taint| taint.effect == TaintEffect::PreferNoSchedule)
    };
    blueprint.node_pools.iter().filter(open).collect()
}

/// The annotation that keeps whoever scales from a pod that shall run to its end. A pod of a Job counts as one that is made anew
/// elsewhere, and would be moved from a node that is half empty (simulator/drainability/rules/replicated).
pub(crate) fn kept(blueprint: &Blueprint) -> Option<Value> {
    match eks::scaler(blueprint)? {
        EksAutoscaler::ClusterAutoscaler => Some(json!({SAFE_TO_EVICT: "false"})),
        // Karpenter's word (karpenter.sh/v1, DoNotDisruptAnnotationKey).
        EksAutoscaler::AutoMode => Some(json!({"karpenter.sh/do-not-disrupt": "true"})),
        EksAutoscaler::None => None,
    }
}

/// Who it is in AWS; `None` where it does not run, or where the blueprint says who it is.
pub(super) fn identity(blueprint: &Blueprint, told: &[EksIdentity]) -> Option<EksIdentity> {
    let is_told = told.iter().any(|identity| identity.namespace == NAMESPACE && identity.service_account == NAME);
    (runs(blueprint) && !is_told).then(|| EksIdentity {
        namespace: NAMESPACE.into(),
        service_account: NAME.into(),
        via: EksIdentityWay::PodIdentity,
        policies: BTreeSet::new(),
        inline: BTreeMap::from([(NAME.to_owned(), policy(blueprint))]),
    })
}

/// What it calls (cloudprovider/aws/aws_wrapper.go), without what only groups without a launch template need. Describing cannot be
/// narrowed; what changes something is narrowed to the groups of this cluster by their tags.
fn policy(blueprint: &Blueprint) -> Value {
    let cluster = cluster_name(blueprint);
    let region = blueprint.cluster.region.clone().unwrap_or_default();
    let marks = Marks { blueprint: String::new(), cluster: cluster.clone(), region, tags: BTreeMap::new() };
    let groups = format!("arn:{}:eks:{}:*:nodegroup/{cluster}/*", marks.partition(), marks.region);
    let own: Map<String, Value> = [(SCALED.to_owned(), "true"), (scaled_cluster(&cluster), "owned")]
        .into_iter()
        .map(|(tag, value)| (format!("aws:ResourceTag/{tag}"), value.into()))
        .collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Look", "Effect": "Allow", "Resource": "*",
                "Action": ["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities",
                    "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions"],
            },
            {"Sid": "LookAtGroups", "Effect": "Allow", "Resource": groups, "Action": "eks:DescribeNodegroup"},
            {
                "Sid": "Scale", "Effect": "Allow", "Resource": "*",
                "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
                "Condition": {"StringEquals": own},
            },
        ],
    })
}

/// What it says of itself in [`STATUS`]; `None` where the text is something else.
pub(crate) fn status(text: &str) -> Option<Value> {
    Some(crate::blueprint::read_values(text, STATUS).ok()?.to_json())
}

/// Everything that runs it.
pub(super) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    if !runs(blueprint) {
        return;
    }
    for object in objects(blueprint) {
        collector.add(steps!["cluster", "eks", "autoscaler"], object);
    }
}

fn objects(blueprint: &Blueprint) -> Vec<Built> {
    const RBAC: &str = "rbac.authorization.k8s.io/v1";
    let own = |api: &str, kind: &str, namespace: Option<&str>| {
        Built::new(api, kind, namespace, NAME).with_metadata("labels", [(&APP.to_owned(), &NAME.to_owned())])
    };
    let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]);
    let reference = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME});
    vec![
        own("v1", "ServiceAccount", Some(NAMESPACE)),
        own(RBAC, "ClusterRole", None).with("rules", cluster_rules()),
        own(RBAC, "ClusterRoleBinding", None)
            .with("subjects", subjects.clone())
            .with("roleRef", reference("ClusterRole")),
        own(RBAC, "Role", Some(NAMESPACE)).with("rules", rules()),
        own(RBAC, "RoleBinding", Some(NAMESPACE)).with("subjects", subjects).with("roleRef", reference("Role")),
        own("policy/v1", "PodDisruptionBudget", Some(NAMESPACE))
            .with("spec", json!({"maxUnavailable": 1, "selector": {"matchLabels": {APP: NAME}}})),
        own("apps/v1", "Deployment", Some(NAMESPACE)).with("spec", deployment(blueprint)),
    ]
}

const APP: &str = "app.kubernetes.io/name";

/// What it looks at everywhere, the taints that it marks nodes with, and evictions.
fn cluster_rules() -> Value {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let look = ["get", "list", "watch"];
    json!([
        rule(
            "",
            &[
                "namespaces",
                "nodes",
                "persistentvolumeclaims",
                "persistentvolumes",
                "pods",
                "replicationcontrollers",
                "services",
            ],
            &look
        ),
        rule("", &["nodes"], &["update"]),
        rule("", &["pods/eviction"], &["create"]),
        rule("", &["events"], &["create", "patch"]),
        rule("apps", &["daemonsets", "replicasets", "statefulsets"], &look),
        rule("batch", &["jobs"], &look),
        rule("policy", &["poddisruptionbudgets"], &look),
        rule("resource.k8s.io", &["deviceclasses", "resourceclaims", "resourceslices"], &look),
        rule(
            "storage.k8s.io",
            &["csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments"],
            &look
        ),
    ])
}

/// Its Lease and its status. What has no name yet when it is created cannot be granted by name.
fn rules() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [STATUS], "verbs": ["get", "update", "delete"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [NAME], "verbs": ["get", "update"]},
    ])
}

/// How it is started.
fn arguments(blueprint: &Blueprint) -> Vec<String> {
    let cluster = cluster_name(blueprint);
    vec![
        "--cloud-provider=aws".into(),
        format!("--namespace={NAMESPACE}"),
        format!("--cluster-name={cluster}"),
        format!("--node-group-auto-discovery=asg:tag={SCALED},{}", scaled_cluster(&cluster)),
        // Of the pools that a pod fits on, the one with the least left over.
        "--expander=least-waste".into(),
        // Pools that differ by name alone are filled evenly.
        "--balance-similar-node-groups=true".into(),
        format!("--balancing-ignore-label={POOL_LABEL}"),
        // CoreDNS and its like have budgets; without this no node that has one of them ever goes.
        "--skip-nodes-with-system-pods=false".into(),
        // A node with any GPU in use is no candidate, whatever its pods say: one of eight is 0.125. Not 0: nothing is below it, so
        // that empty nodes would stay (core/scaledown/eligibility).
        "--scale-down-gpu-utilization-threshold=0.01".into(),
        "--v=2".into(),
    ]
}

fn deployment(blueprint: &Blueprint) -> Value {
    let labels = json!({APP: NAME});
    let hosts = hosts(blueprint);
    let nodes: u32 = hosts.iter().map(|pool| pool.size.min).sum();
    let version = blueprint.cluster.version.clone().unwrap_or_default();
    let mut pod = json!({
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels},
        }],
        "containers": [{
            "name": NAME,
            "image": format!("registry.k8s.io/autoscaling/{NAME}:{}", release(&version).0),
            "command": ["./cluster-autoscaler"],
            "args": arguments(blueprint),
            "env": [{"name": "AWS_REGION", "value": blueprint.cluster.region.clone().unwrap_or_default()}],
            "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
            "livenessProbe": {"httpGet": {"path": "/health-check", "port": "http"}},
            // As upstream's own example asks; it grows with nodes and pods, so that memory has room.
            "resources": {"requests": {"cpu": "100m", "memory": "600Mi"}, "limits": {"memory": "1Gi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
        }],
    });
    if !hosts.is_empty() {
        let mut names: Vec<&str> = hosts.iter().map(|pool| pool.name.as_str()).collect();
        names.sort_unstable();
        let term = json!({"matchExpressions": [{"key": POOL_LABEL, "operator": "In", "values": names}]});
        pod["affinity"] =
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
    }
    json!({
        "replicas": nodes.clamp(1, 2),
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    })
}

/// The label by which it knows a node with GPUs before they are advertised: such a node is not counted as ready, and no second one is
/// made for the same pod (processors/customresources/gpu_processor.go).
const GPU_LABEL: &str = "k8s.amazonaws.com/accelerator";
/// Resources that it knows for GPUs (utils/gpu, GPUVendorResourceNames), of those that the tool knows. A node of the label without any
/// of them is never ready for it.
const GPUS: [&str; 2] = ["nvidia.com/gpu", "amd.com/gpu"];

/// The labels that nodes of a pool must be born with for it, with the reason of each.
pub(super) fn labels_at_birth(blueprint: &Blueprint, pool: &NodePool) -> Vec<(&'static str, String, &'static str)> {
    let Some(accelerator) = &pool.accelerator else { return Vec::new() };
    let offered = super::gpu::offered_by(blueprint, pool);
    let counted = offered.keys().any(|resource| GPUS.contains(&resource.as_str()));
    if eks::scaler(blueprint) != Some(EksAutoscaler::ClusterAutoscaler) || !counted {
        return Vec::new();
    }
    let why = "Cluster Autoscaler waits for the GPUs of a node with it, and makes no second one meanwhile";
    vec![(GPU_LABEL, accelerator.model.clone(), why)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(more: &str) -> Blueprint {
        let text = format!(
            "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: x}}\n\
             cluster: {{provider: eks, region: us-gov-west-1, version: \"1.34\"}}\ngpu: {{plugin: nvidia}}\n\
             nodePools:\n\
             - {{name: system, machine: m7i.xlarge, size: {{min: 2, max: 4}}}}\n\
             - {{name: l4, machine: g6.xlarge, accelerator: {{model: nvidia-l4, count: 1}}, size: {{min: 0, max: 3}}}}\n{more}"
        );
        let tree = crate::blueprint::read_values(&text, "x").expect("YAML");
        serde_json::from_value(tree.to_json()).expect("a blueprint")
    }

    fn manifest(blueprint: &Blueprint, kind: &str) -> Value {
        let built = objects(blueprint).into_iter().find(|object| object.kind() == kind);
        built.expect("it is there").into_manifest()
    }

    #[test]
    fn the_release_is_that_of_the_minor_version_and_the_nearest_otherwise() {
        assert_eq!(release("1.34"), ("v1.34.5", true));
        assert_eq!((release("1.29"), release("1.40")), (("v1.30.7", false), ("v1.36.1", false)));
    }

    #[test]
    fn it_runs_where_there_are_nodes_and_knows_its_groups_by_the_tags_of_the_cluster() {
        let blueprint = blueprint("");
        let spec = &manifest(&blueprint, "Deployment")["spec"];
        assert_eq!(spec["replicas"], 2);
        let pod = &spec["template"]["spec"];
        let values = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0/values";
        assert_eq!(pod.pointer(values), Some(&json!(["system"])));
        let arguments = pod["containers"][0]["args"].as_array().unwrap();
        let discovery =
            "--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/x";
        assert!(arguments.contains(&discovery.into()), "{arguments:?}");
    }

    #[test]
    fn a_chart_of_the_blueprint_takes_its_place_with_all_that_belongs_to_it() {
        let brought = blueprint("charts: [{name: ca, chart: ./cluster-autoscaler, namespace: x}]\n");
        assert!(!runs(&brought) && identity(&brought, &[]).is_none());
        assert!(runs(&blueprint("")));
    }

    #[test]
    fn it_may_scale_the_groups_of_its_own_cluster_alone() {
        let identity = identity(&blueprint(""), &[]).expect("it runs");
        let policy = &identity.inline[NAME];
        assert_eq!(policy["Statement"][1]["Resource"], "arn:aws-us-gov:eks:us-gov-west-1:*:nodegroup/x/*");
        let own = &policy["Statement"][2]["Condition"]["StringEquals"];
        assert_eq!(own["aws:ResourceTag/k8s.io/cluster-autoscaler/x"], "owned");
        assert_eq!(own["aws:ResourceTag/k8s.io/cluster-autoscaler/enabled"], "true");
    }

    #[test]
    fn a_node_whose_gpus_it_cannot_count_is_not_held_back() {
        let shared = "gpu: {plugin: nvidia, sharing: [{pool: l4, strategy: time-slicing, replicas: 4}]}";
        let plain = blueprint("");
        assert_eq!(labels_at_birth(&plain, &plain.node_pools[1])[0].1, "nvidia-l4");
        let mut blueprint = plain.clone();
        let tree = crate::blueprint::read_values(shared, "x").expect("YAML").to_json();
        blueprint.gpu = serde_json::from_value(tree["gpu"].clone()).expect("a section");
        assert_eq!(labels_at_birth(&blueprint, &blueprint.node_pools[1]), Vec::new());
    }

    #[test]
    fn pods_of_queues_are_kept_from_it() {
        assert_eq!(kept(&blueprint("")), Some(json!({SAFE_TO_EVICT: "false"})));
    }
}
