//! Which kinds have a namespace: Kubernetes' own as data, others from the CRDs in the same blueprint.

use std::collections::BTreeMap;

use super::brought::Brought;
use crate::id::GroupKind;

/// Whether objects of a kind have a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Cluster,
    Namespaced,
}

/// Kubernetes' own kinds without a namespace (`kubectl api-resources --namespaced=false` of 1.36). Every other kind of
/// the groups in [`BUILT_IN_GROUPS`] has one.
const CLUSTER_SCOPED: &[(&str, &[&str])] = &[
    ("", &["Namespace", "Node", "PersistentVolume", "ComponentStatus"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("authentication.k8s.io", &["TokenReview", "SelfSubjectReview"]),
    ("authorization.k8s.io", &["SubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("internal.apiserver.k8s.io", &["StorageVersion"]),
    ("networking.k8s.io", &["IngressClass", "IPAddress", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "ResourceSlice", "DeviceTaintRule"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["StorageClass", "VolumeAttachment", "CSIDriver", "CSINode", "VolumeAttributesClass"]),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

/// Groups of Kubernetes itself. Other groups of `k8s.io` come as definitions (`gateway.networking.k8s.io`).
const BUILT_IN_GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Kinds whose scope a CRD of the blueprint says.
#[derive(Debug, Default)]
pub(super) struct Scopes(BTreeMap<GroupKind, Scope>);

impl Scopes {
    /// Learns from a definition.
    pub(super) fn learn(&mut self, brought: &Brought) {
        if let Some(scope) = brought.scope() {
            self.0.insert(brought.kind(), scope);
        }
    }

    /// The scope of a kind; `None` where only the cluster knows it.
    pub(super) fn of(&self, kind: &GroupKind) -> Option<Scope> {
        if let Some(scope) = self.0.get(kind) {
            return Some(*scope);
        }
        if !is_builtin_group(&kind.group) {
            return None;
        }
        let cluster =
            CLUSTER_SCOPED.iter().any(|(group, kinds)| *group == kind.group && kinds.contains(&kind.kind.as_str()));
        Some(if cluster { Scope::Cluster } else { Scope::Namespaced })
    }
}

/// Whether every Kubernetes API server has a group's kinds.
pub(crate) fn is_builtin_group(group: &str) -> bool {
    BUILT_IN_GROUPS.contains(&group)
}

/// Whether a built-in kind lives in namespaces; `None` for kinds that only a cluster knows.
pub fn builtin_scope(gvk: &crate::id::Gvk) -> Option<bool> {
    Scopes::default().of(&gvk.group_kind()).map(|scope| scope == Scope::Namespaced)
}
