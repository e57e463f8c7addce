//! The cluster, its pools, and cluster-wide objects.

use wbk_provider_api::ProviderKind;

use super::Report;
use crate::blueprint::path::steps;

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let cluster = &blueprint.cluster;
    if cluster.provider != ProviderKind::Existing {
        let only_existing = [
            ("context", cluster.context.is_some()),
            ("kubeconfig", cluster.kubeconfig.is_some()),
            ("uid", cluster.uid.is_some()),
        ];
        for (key, set) in only_existing {
            if set {
                report.error(
                    steps!["cluster", key],
                    "means something only with provider existing",
                    "remove it, or write `provider: existing`",
                );
            }
        }
    } else if cluster.uid.is_none() {
        report.warning(
            steps!["cluster"],
            "`uid` is not set, so whatever cluster the context names is taken for this one",
            "pin it: kubectl get namespace kube-system -o jsonpath='{.metadata.uid}'",
        );
    }
    kind(report);
    pools(report);
    defaults(report);
    cluster_bindings(report);
}

fn kind(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let cluster = &blueprint.cluster;
    let section = cluster.kind.as_ref();
    if cluster.provider != ProviderKind::Kind {
        if section.is_some() {
            let hint = "remove it, or write `provider: kind`";
            report.error(steps!["cluster", "kind"], "means something only with provider kind", hint);
        }
        return;
    }
    let image = section.and_then(|section| section.image.as_deref());
    if let (Some(version), None) = (&cluster.version, image)
        && wbk_provider_kind::pins::image(version).is_none()
    {
        let known = wbk_provider_kind::pins::versions();
        report.error(
            steps!["cluster", "version"],
            &format!("no node image for Kubernetes {version} is known here ({known} is)"),
            "write `kind: {image: kindest/node:v…@sha256:…}`; kind's release notes list them with digests",
        );
    }
    if let Some(name) = section.and_then(|section| section.control_plane.as_ref()) {
        let path = steps!["cluster", "kind", "controlPlane"];
        match blueprint.node_pools.iter().find(|pool| pool.name == *name) {
            None => report.error(path, "there is no pool of this name", "name one of `nodePools`"),
            Some(pool) if pool.size.min == 0 => {
                report.error(
                    path,
                    "the pool may have no nodes, and a control plane is one",
                    "give the pool `size: {min: 1}`",
                );
            }
            Some(_) => {}
        }
    }
    for (index, pool) in blueprint.node_pools.iter().enumerate() {
        if pool.shape.is_some() {
            report.warning(
                steps!["nodePools", index, "shape"],
                "nodes of kind have what this machine has, all of them the same",
                "remove it, unless another provider uses the blueprint too",
            );
        }
    }
}

fn pools(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let on_this_machine = matches!(blueprint.cluster.provider, ProviderKind::Local | ProviderKind::Kind);
    if on_this_machine && blueprint.node_pools.is_empty() {
        report.warning(
            steps!["nodePools"],
            "there is no pool, so no pod can run",
            "add a pool: {name: system, size: {min: 1}}",
        );
    }
    for (index, pool) in blueprint.node_pools.iter().enumerate() {
        if let Some(max) = pool.size.max
            && pool.size.min > max
        {
            let message = format!("min {} is more than max {max}", pool.size.min);
            report.error(steps!["nodePools", index, "size"], &message, "raise max or lower min");
        }
        if pool.size.max == Some(0) {
            report.warning(
                steps!["nodePools", index, "size"],
                "the pool never has a node",
                "raise max or remove the pool",
            );
        }
        // Nodes that are somebody else's have the labels that are written, and queues look for these.
        let is_given = pool.eks.as_ref().is_some_and(|section| section.group.is_some());
        for key in pool.labels.keys().filter(|key| is_reserved(key) && !is_given) {
            report.error(
                steps!["nodePools", index, "labels", key],
                "labels under wbk-infra/ are set by wbk-infra",
                "use another prefix",
            );
        }
        for (number, taint) in pool.taints.iter().enumerate() {
            if is_reserved(&taint.key) {
                let path = steps!["nodePools", index, "taints", number];
                report.error(
                    path,
                    "taints under wbk-infra/ follow from the pool",
                    "write `capacity: spot` for a spot pool",
                );
            }
            if pool.taints[..number].iter().any(|other| (&other.key, other.effect) == (&taint.key, taint.effect)) {
                let message = format!("the taint {}:{} is there twice", taint.key, taint.effect.as_str());
                report.error(steps!["nodePools", index, "taints", number], &message, "keep one of them");
            }
        }
        if blueprint.cluster.provider == ProviderKind::Local && pool.machine.is_some() && pool.shape.is_none() {
            report.warning(
                steps!["nodePools", index, "machine"],
                "the local provider knows no machine types, and takes the default shape",
                "add `shape: {cpu: 8, memory: 32Gi}`",
            );
        }
    }
    let every_pool_tainted = !blueprint.node_pools.is_empty()
        && blueprint.node_pools.iter().all(|pool| {
            crate::desired::pool_spec(blueprint, pool)
                .taints
                .iter()
                .any(|taint| taint.effect != wbk_provider_api::TaintEffect::PreferNoSchedule)
        });
    if every_pool_tainted {
        let message = "every pool has a taint, so a pod without tolerations (DNS, a chart's controller) has no node";
        report.warning(
            steps!["nodePools"],
            message,
            "add a pool without GPUs, on demand: {name: system, size: {min: 1}}",
        );
    }
}

fn is_reserved(key: &str) -> bool {
    key.starts_with("wbk-infra/")
}

fn defaults(report: &mut Report<'_>) {
    let defaults: Vec<usize> = report
        .loaded
        .blueprint
        .storage_classes
        .iter()
        .enumerate()
        .filter(|(_, class)| class.default)
        .map(|(index, _)| index)
        .collect();
    if let [_, rest @ ..] = defaults.as_slice() {
        for index in rest {
            report.error(
                steps!["storageClasses", *index, "default"],
                "a second default storage class",
                "keep one default",
            );
        }
    }
    for (index, role) in report.loaded.blueprint.roles.iter().enumerate() {
        for (number, rule) in role.rules.iter().enumerate() {
            if rule.resources.is_empty() == rule.non_resource_urls.is_empty() {
                let message = "a rule of a cluster role names either `resources` or `nonResourceURLs`";
                report.error(
                    steps!["roles", index, "rules", number],
                    message,
                    "write one of them; split the rule for both",
                );
            }
        }
    }
}

fn cluster_bindings(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    for (index, binding) in blueprint.bindings.iter().enumerate() {
        let path = steps!["bindings", index];
        let subjects = [&binding.service_account, &binding.group, &binding.user];
        if subjects.iter().filter(|subject| subject.is_some()).count() != 1 {
            report.error(
                path,
                "a binding has exactly one of `serviceAccount`, `group` and `user`",
                "write one; use a second binding for another",
            );
        }
        if binding.service_account.as_deref().is_some_and(|account| !is_account_with_namespace(account)) {
            report.error(
                steps!["bindings", index, "serviceAccount"],
                "expected namespace/name",
                "write for example `wandb-jobs/default`",
            );
        }
        if let Some((namespace, account)) = binding.service_account.as_deref().and_then(|text| text.split_once('/')) {
            super::namespaces::account_exists(
                report,
                steps!["bindings", index, "serviceAccount"],
                (namespace, account),
            );
        }
        super::namespaces::cluster_role_exists(report, steps!["bindings", index, "clusterRole"], &binding.cluster_role);
    }
}

pub(super) fn is_account_with_namespace(text: &str) -> bool {
    text.split('/').count() == 2 && text.split('/').all(|part| !part.is_empty())
}
