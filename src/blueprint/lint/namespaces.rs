//! Namespaces: what their parts say about each other and about the pools.

use std::collections::BTreeMap;

use wbk_provider_api::ProviderKind;

use super::Report;
use super::cluster::is_account_with_namespace;
use crate::blueprint::path::{Step, steps};
use crate::blueprint::schema::{Binding, NetworkPolicy, Quota, Rule};
use crate::desired::{SecretReference, gpu_resources, pool_gpus, pool_spec};

/// Namespaces that Kubernetes makes and needs.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

pub(super) fn rules(report: &mut Report<'_>) {
    for index in 0..report.loaded.blueprint.namespaces.len() {
        namespace(report, index);
        bindings(report, index);
        quota(report, index);
        network(report, index);
    }
    secret_cycles(report);
}

fn namespace(report: &mut Report<'_>, index: usize) {
    let blueprint = &report.loaded.blueprint;
    let namespace = &blueprint.namespaces[index];
    if SYSTEM.contains(&namespace.name.as_str()) {
        report.error(
            steps!["namespaces", index, "name"],
            "this namespace belongs to Kubernetes; a blueprint would own and one day delete it",
            "put single objects for it under `objects:`",
        );
    } else if namespace.name == "default" {
        report.warning(
            steps!["namespaces", index, "name"],
            "the namespace `default` cannot be deleted",
            "use a namespace of your own",
        );
    }
    for key in namespace.labels.keys().filter(|key| key.starts_with("pod-security.kubernetes.io/")) {
        report.error(
            steps!["namespaces", index, "labels", key],
            "this label is what `podSecurity` says",
            "write `podSecurity: …` instead",
        );
    }
    if let (Some(defaults), Some(limits)) = (&namespace.defaults, &namespace.limits) {
        if defaults.cpu.zip(limits.cpu).is_some_and(|(request, limit)| request > limit) {
            report.error(
                steps!["namespaces", index, "limits", "cpu"],
                "the limit is less than the default request",
                "raise it, or lower `defaults.cpu`",
            );
        }
        if defaults.memory.zip(limits.memory).is_some_and(|(request, limit)| request > limit) {
            let path = steps!["namespaces", index, "limits", "memory"];
            report.error(path, "the limit is less than the default request", "raise it, or lower `defaults.memory`");
        }
    }
    if let Some(quota) = &namespace.quota {
        let has = |get: fn(&crate::blueprint::schema::ComputeAmounts) -> bool| {
            namespace.defaults.as_ref().is_some_and(get) || namespace.limits.as_ref().is_some_and(get)
        };
        for (key, in_quota, has_default) in [
            ("cpu", quota.cpu.is_some(), has(|amounts| amounts.cpu.is_some())),
            ("memory", quota.memory.is_some(), has(|amounts| amounts.memory.is_some())),
        ] {
            if in_quota && !has_default {
                report.warning(
                    steps!["namespaces", index, "quota", key],
                    &format!("with this quota every container must request {key}, or its pod is refused"),
                    &format!("add `defaults: {{{key}: …}}`"),
                );
            }
        }
    }
    for (number, volume) in namespace.storage.iter().enumerate() {
        if let Some(class) = &volume.class
            && blueprint.cluster.provider == ProviderKind::Local
            && !blueprint.storage_classes.iter().any(|known| &known.name == class)
        {
            let path = steps!["namespaces", index, "storage", number, "class"];
            report.warning(path, "no such class is under `storageClasses`", "add it there, or name one that is");
        }
    }
    for (number, identity) in namespace.identities.iter().enumerate() {
        for (place, name) in identity.image_pull_secrets.iter().enumerate() {
            if !namespace.secrets.iter().any(|secret| &secret.name == name) {
                let path = steps!["namespaces", index, "identities", number, "imagePullSecrets", place];
                report.warning(path, "the blueprint makes no such secret in this namespace", "add it under `secrets:`");
            }
        }
    }
    for (number, role) in namespace.roles.iter().enumerate() {
        rules_of_role(report, steps!["namespaces", index, "roles", number, "rules"], &role.rules);
    }
}

/// A role of a namespace names resources.
fn rules_of_role(report: &mut Report<'_>, path: &[Step<'_>], rules: &[Rule]) {
    for (number, rule) in rules.iter().enumerate() {
        let path: Vec<Step<'_>> = path.iter().copied().chain([number.into()]).collect();
        if !rule.non_resource_urls.is_empty() {
            report.error(
                &path,
                "`nonResourceURLs` belong in a cluster role",
                "move the rule to the top-level `roles:`",
            );
        } else if rule.resources.is_empty() {
            report.error(&path, "`resources` is missing", "write for example `resources: [pods]`");
        }
    }
}

fn bindings(report: &mut Report<'_>, index: usize) {
    let namespace = &report.loaded.blueprint.namespaces[index];
    for (number, binding) in namespace.bindings.iter().enumerate() {
        let path = steps!["namespaces", index, "bindings", number];
        let Binding { name, service_account, group, user, role, cluster_role, rules } = binding;
        if [service_account, group, user].iter().filter(|subject| subject.is_some()).count() != 1 {
            report.error(
                path,
                "a binding has exactly one of `serviceAccount`, `group` and `user`",
                "write one; use a second binding for another",
            );
        }
        if [role.is_some(), cluster_role.is_some(), !rules.is_empty()].iter().filter(|set| **set).count() != 1 {
            report.error(
                path,
                "a binding has exactly one of `role`, `clusterRole` and `rules`",
                "write one; use a second binding for another",
            );
        }
        if !rules.is_empty() && namespace.roles.iter().any(|role| &role.name == name) {
            report.error(
                path,
                "its `rules` make a role of this name, which `roles` has already",
                "rename the binding, or write `role: …`",
            );
        }
        rules_of_role(report, steps!["namespaces", index, "bindings", number, "rules"], rules);
        if let Some(role) = role
            && !namespace.roles.iter().any(|known| &known.name == role)
        {
            report.error(
                steps!["namespaces", index, "bindings", number, "role"],
                "this namespace has no role of this name",
                "add it under `roles:`",
            );
        }
        if let Some(role) = cluster_role {
            cluster_role_exists(report, steps!["namespaces", index, "bindings", number, "clusterRole"], role);
        }
        if let Some(account) = service_account {
            let path = steps!["namespaces", index, "bindings", number, "serviceAccount"];
            if account.contains('/') && !is_account_with_namespace(account) {
                report.error(path, "expected a name, or namespace/name", "write for example `wandb-jobs/default`");
            }
            account_exists(report, path, account.split_once('/').unwrap_or((&namespace.name, account)));
        }
    }
}

pub(super) fn account_exists(report: &mut Report<'_>, path: &[Step<'_>], (namespace, account): (&str, &str)) {
    let known = report.loaded.blueprint.namespaces.iter().find(|known| known.name == namespace);
    let there = account == "default"
        || known.is_none_or(|known| known.identities.iter().any(|identity| identity.service_account == account));
    if !there {
        let message = format!("the blueprint makes no service account {namespace}/{account}");
        report.warning(path, &message, "add it under the namespace's `identities:`, unless a chart makes it");
    }
}

pub(super) fn cluster_role_exists(report: &mut Report<'_>, path: &[Step<'_>], role: &str) {
    let built_in = ["view", "edit", "admin", "cluster-admin"].contains(&role) || role.starts_with("system:");
    if !built_in && !report.loaded.blueprint.roles.iter().any(|known| known.name == role) {
        report.warning(
            path,
            "the blueprint makes no cluster role of this name",
            "add it under the top-level `roles:`, unless a chart makes it",
        );
    }
}

fn quota(report: &mut Report<'_>, index: usize) {
    let blueprint = &report.loaded.blueprint;
    let Some(quota) = &blueprint.namespaces[index].quota else { return };
    let resources = gpu_resources(blueprint);
    if quota.gpu.is_some() && resources.len() > 1 {
        report.error(
            steps!["namespaces", index, "quota", "gpu"],
            &format!("the pools have GPUs of several vendors ({})", resources.join(", ")),
            "say which under `extra`: {requests.amd.com/gpu: 8}",
        );
    }
    unenforced(report, index, quota);
    // What an existing cluster has is not known here.
    if blueprint.cluster.provider == ProviderKind::Existing {
        return;
    }
    let described = pool_gpus(blueprint);
    let mut gpus: BTreeMap<String, u64> = BTreeMap::new();
    let (mut cpu, mut memory, mut all) = (0u64, 0u64, 0u64);
    for pool in &blueprint.node_pools {
        let spec = pool_spec(blueprint, pool);
        let nodes = u64::from(spec.size.max);
        cpu = cpu.saturating_add(spec.shape.cpu_millis.saturating_mul(nodes));
        memory = memory.saturating_add(spec.shape.memory_bytes.saturating_mul(nodes));
        if let Some(gpu) = spec.shape.gpu {
            all += u64::from(gpu.count) * nodes;
            let offered = described.get(&pool.name).map(|gpus| gpus.allocatable.clone()).unwrap_or_default();
            // What nothing advertises yet is counted whole: a quota may be there before the plugin.
            let whole = BTreeMap::from([(gpu.resource, u64::from(gpu.count))]);
            for (resource, count) in if offered.is_empty() { whole } else { offered } {
                *gpus.entry(resource).or_default() += count * nodes;
            }
        }
    }
    if let Some(wanted) = quota.gpu
        && u64::from(wanted) > all
        && resources.len() <= 1
    {
        too_much(report, steps!["namespaces", index, "quota", "gpu"], u64::from(wanted), all);
    }
    for (key, amount) in &quota.extra {
        let resource = key.strip_prefix("requests.").unwrap_or_default();
        if let Some(wanted) = amount.to_string().parse::<u64>().ok().filter(|_| is_gpu(resource)) {
            let most = gpus.get(resource).copied().unwrap_or(0);
            if wanted > most {
                too_much(report, steps!["namespaces", index, "quota", "extra", key], wanted, most);
            }
        }
    }
    if quota.cpu.is_some_and(|wanted| wanted.millis > cpu) {
        let message = format!("all pools at their largest have {} CPU", crate::blueprint::Cpu { millis: cpu });
        report.warning(
            steps!["namespaces", index, "quota", "cpu"],
            &message,
            "lower the quota, or raise a pool's `size.max`",
        );
    }
    if quota.memory.is_some_and(|wanted| wanted.0 > memory) {
        let message = format!("all pools at their largest have {} of memory", crate::blueprint::Bytes(memory));
        report.warning(
            steps!["namespaces", index, "quota", "memory"],
            &message,
            "lower the quota, or raise a pool's `size.max`",
        );
    }
}

fn too_much(report: &mut Report<'_>, path: &[Step<'_>], wanted: u64, most: u64) {
    let message = format!("a quota of {wanted} GPUs that no pool can meet: all pools at their largest have {most}");
    report.error(path, &message, "lower the quota, or raise a GPU pool's `size.max`");
}

fn is_gpu(resource: &str) -> bool {
    matches!(
        resource,
        "nvidia.com/gpu" | "nvidia.com/gpu.shared" | "amd.com/gpu" | "gpu.intel.com/xe" | "gpu.intel.com/i915"
    ) || resource.starts_with("nvidia.com/mig-")
}

/// Quotas that Kubernetes takes and never counts.
fn unenforced(report: &mut Report<'_>, index: usize, quota: &Quota) {
    for key in quota.extra.keys() {
        let path = steps!["namespaces", index, "quota", "extra", key];
        let bare = key.strip_prefix("limits.").unwrap_or(key);
        if bare.contains('/')
            && !key.starts_with("requests.")
            && !key.starts_with("count/")
            && !key.contains(".storageclass.storage.k8s.io/")
        {
            let hint = format!("write `requests.{bare}`");
            report.error(
                path,
                "Kubernetes counts an extended resource only as `requests.…`, and silently ignores this",
                &hint,
            );
        } else if ["cpu", "memory", "pods", "requests.cpu", "requests.memory", "requests.storage"]
            .contains(&key.as_str())
        {
            report.error(
                path,
                "this has a word of its own",
                "write it beside `extra`: `cpu`, `memory`, `pods`, `storage`",
            );
        }
    }
    if quota.gpu.is_some() {
        for resource in gpu_resources(&report.loaded.blueprint) {
            let key = format!("requests.{resource}");
            if quota.extra.contains_key(&key) {
                let path = steps!["namespaces", index, "quota", "extra", &key];
                report.error(path, "`gpu` says this already", "keep one of them");
            }
        }
    }
}

fn network(report: &mut Report<'_>, index: usize) {
    let blueprint = &report.loaded.blueprint;
    let Some(NetworkPolicy::Rules(rules)) = &blueprint.namespaces[index].network_policy else { return };
    for (direction, list) in [("ingress", &rules.ingress), ("egress", &rules.egress)] {
        for (number, allowed) in list.iter().flatten().enumerate() {
            for (place, peer) in allowed.peers.iter().enumerate() {
                let path = steps!["namespaces", index, "networkPolicy", direction, number, "peers", place];
                let selects_pods = peer.namespace.is_some() || !peer.pods.is_empty();
                if selects_pods == peer.cidr.is_some() {
                    report.error(
                        path,
                        "a peer is either `cidr`, or `namespace` and `pods`",
                        "write one; use a second peer for another",
                    );
                }
                if let Some(namespace) = &peer.namespace
                    && !SYSTEM.contains(&namespace.as_str())
                    && namespace != "default"
                    && !blueprint.namespaces.iter().any(|known| &known.name == namespace)
                {
                    report.warning(path, "the blueprint makes no namespace of this name", "check the name");
                }
            }
        }
    }
}

/// A Secret filled from a Secret filled from the first.
fn secret_cycles(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for namespace in &blueprint.namespaces {
        for secret in &namespace.secrets {
            let from = format!("{}/{}", namespace.name, secret.name);
            for reference in secret.keys.values() {
                if let SecretReference::Secret(text) = reference
                    && let Some((to, _key)) = text.rsplit_once('/')
                {
                    edges.entry(from.clone()).or_default().push(to.to_owned());
                }
            }
        }
    }
    for (index, namespace) in blueprint.namespaces.iter().enumerate() {
        for (number, secret) in namespace.secrets.iter().enumerate() {
            let start = format!("{}/{}", namespace.name, secret.name);
            if let Some(cycle) = cycle_through(&start, &edges) {
                let path = steps!["namespaces", index, "secrets", number];
                report.error(
                    path,
                    &format!("a cycle: {}", cycle.join(" needs ")),
                    "take one of the values from somewhere else",
                );
            }
        }
    }
}

/// The way from `start` back to `start`, where there is one.
fn cycle_through(start: &str, edges: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in way.last().and_then(|last| edges.get(last)).into_iter().flatten() {
            let longer: Vec<String> = way.iter().chain([next]).cloned().collect();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}
