//! Paths of Kubernetes' own kinds that every server since 1.27 has: they can be asked for before discovery has answered.

use super::Resource;
use crate::id::Gvk;

/// Group version, then kind and plural of each: `kubectl api-resources` of 1.36, less what is seldom in a blueprint. Discovery
/// has the last word: an entry that a server does not have costs a request that is thrown away.
const KINDS: &[(&str, &[(&str, &str)])] = &[
    (
        "v1",
        &[
            ("ConfigMap", "configmaps"),
            ("LimitRange", "limitranges"),
            ("Namespace", "namespaces"),
            ("PersistentVolume", "persistentvolumes"),
            ("PersistentVolumeClaim", "persistentvolumeclaims"),
            ("ResourceQuota", "resourcequotas"),
            ("Secret", "secrets"),
            ("Service", "services"),
            ("ServiceAccount", "serviceaccounts"),
        ],
    ),
    ("apps/v1", &[("DaemonSet", "daemonsets"), ("Deployment", "deployments"), ("StatefulSet", "statefulsets")]),
    ("batch/v1", &[("CronJob", "cronjobs"), ("Job", "jobs")]),
    (
        "rbac.authorization.k8s.io/v1",
        &[
            ("ClusterRole", "clusterroles"),
            ("ClusterRoleBinding", "clusterrolebindings"),
            ("Role", "roles"),
            ("RoleBinding", "rolebindings"),
        ],
    ),
    ("networking.k8s.io/v1", &[("Ingress", "ingresses"), ("NetworkPolicy", "networkpolicies")]),
    ("policy/v1", &[("PodDisruptionBudget", "poddisruptionbudgets")]),
    ("autoscaling/v2", &[("HorizontalPodAutoscaler", "horizontalpodautoscalers")]),
    ("scheduling.k8s.io/v1", &[("PriorityClass", "priorityclasses")]),
    ("storage.k8s.io/v1", &[("StorageClass", "storageclasses")]),
    ("apiextensions.k8s.io/v1", &[("CustomResourceDefinition", "customresourcedefinitions")]),
];

/// Kinds above without a namespace.
const CLUSTER_SCOPED: [&str; 7] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
];

/// The kind as a server is expected to serve it; `None` where only discovery knows.
pub(crate) fn well_known(gvk: &Gvk) -> Option<Resource> {
    let api_version = gvk.api_version();
    let (_, kinds) = KINDS.iter().find(|(group, _)| *group == api_version)?;
    let (kind, plural) = kinds.iter().find(|(kind, _)| *kind == gvk.kind)?;
    Some(Resource { gvk: gvk.clone(), plural: (*plural).to_owned(), namespaced: !CLUSTER_SCOPED.contains(kind) })
}
