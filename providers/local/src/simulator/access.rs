//! What the simulator may do in a cluster.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{LocalError, names};

/// Gives the simulator's certificate its role; done at every start, so that one that was deleted comes back.
pub(crate) async fn grant(client: &kube::Client) -> Result<(), LocalError> {
    let name = "wbk-infra:simulator";
    let apply = PatchParams::apply(names::FIELD_MANAGER).force();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
            {"apiGroups": [""], "resources": ["nodes/status", "pods/status"], "verbs": ["patch"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": names::SIMULATOR_USER}],
    });
    let failed = || LocalError::api("give the simulator its rights");
    Api::<ClusterRole>::all(client.clone()).patch(name, &apply, &Patch::Apply(role)).await.map_err(failed())?;
    Api::<ClusterRoleBinding>::all(client.clone())
        .patch(name, &apply, &Patch::Apply(binding))
        .await
        .map_err(failed())?;
    Ok(())
}
