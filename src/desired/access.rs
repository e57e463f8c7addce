//! Roles and bindings.

use serde_json::{Value, json};

use super::collect::{Built, Collector};
use crate::blueprint::schema::{Binding, Namespace, Rule};
use crate::blueprint::steps;

const API: &str = "rbac.authorization.k8s.io/v1";
const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn collect_cluster(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    for (index, role) in blueprint.roles.iter().enumerate() {
        let object = Built::new(API, "ClusterRole", None, &role.name).with("rules", rules(&role.rules));
        collector.add(steps!["roles", index], object);
    }
    for (index, binding) in blueprint.bindings.iter().enumerate() {
        let subject =
            subject(binding.service_account.as_deref(), binding.group.as_deref(), binding.user.as_deref(), "default");
        let object = Built::new(API, "ClusterRoleBinding", None, &binding.name)
            .with("subjects", json!([subject]))
            .with("roleRef", json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": binding.cluster_role}));
        collector.add(steps!["bindings", index], object);
    }
}

pub(super) fn collect_namespace(collector: &mut Collector<'_>, index: usize, namespace: &Namespace) {
    let name = namespace.name.as_str();
    for (number, role) in namespace.roles.iter().enumerate() {
        let object = Built::new(API, "Role", Some(name), &role.name).with("rules", rules(&role.rules));
        collector.add(steps!["namespaces", index, "roles", number], object);
    }
    for (number, binding) in namespace.bindings.iter().enumerate() {
        let Binding { name: binding_name, service_account, group, user, role, cluster_role, rules: own_rules } =
            binding;
        if !own_rules.is_empty() {
            let object = Built::new(API, "Role", Some(name), binding_name).with("rules", rules(own_rules));
            collector.add(steps!["namespaces", index, "bindings", number, "rules"], object);
        }
        let (kind, role_name) = match (cluster_role, role) {
            (Some(role), _) => ("ClusterRole", role),
            (None, Some(role)) => ("Role", role),
            (None, None) => ("Role", binding_name),
        };
        let subject = subject(service_account.as_deref(), group.as_deref(), user.as_deref(), name);
        let object = Built::new(API, "RoleBinding", Some(name), binding_name)
            .with("subjects", json!([subject]))
            .with("roleRef", json!({"apiGroup": GROUP, "kind": kind, "name": role_name}));
        collector.add(steps!["namespaces", index, "bindings", number], object);
    }
}

/// Exactly one is set, which lint has checked; a missing one makes a subject that nobody is.
fn subject(account: Option<&str>, group: Option<&str>, user: Option<&str>, namespace: &str) -> Value {
    if let Some(account) = account {
        let (namespace, name) = account.split_once('/').unwrap_or((namespace, account));
        return json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    }
    let (kind, name) = match (group, user) {
        (Some(group), _) => ("Group", group),
        (None, user) => ("User", user.unwrap_or_default()),
    };
    json!({"apiGroup": GROUP, "kind": kind, "name": name})
}

fn rules(rules: &[Rule]) -> Vec<Value> {
    rules
        .iter()
        .map(|rule| {
            let mut value = json!({"verbs": rule.verbs});
            let lists = [
                ("resources", &rule.resources),
                ("resourceNames", &rule.resource_names),
                ("nonResourceURLs", &rule.non_resource_urls),
            ];
            for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
                value[key] = json!(list);
            }
            if rule.non_resource_urls.is_empty() {
                value["apiGroups"] = json!(rule.api_groups);
            }
            value
        })
        .collect()
}
