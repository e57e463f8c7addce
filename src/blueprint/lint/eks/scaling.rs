//! Who scales the pools, and pools that nobody ever would.

use wbk_provider_api::EksAutoscaler;

use super::super::Report;
use crate::blueprint::path::steps;
use crate::blueprint::schema::EksAddonEntry;
use crate::desired::{autoscaler_hosts, autoscaler_is_brought, autoscaler_release, eks_scaler};

pub(super) fn rules(report: &mut Report<'_>) {
    match eks_scaler(&report.loaded.blueprint) {
        Some(EksAutoscaler::ClusterAutoscaler) => cluster_autoscaler(report),
        Some(EksAutoscaler::AutoMode) => auto_mode(report),
        // Where nobody said so, no pool has room.
        Some(EksAutoscaler::None) => unscaled(report),
        None => {}
    }
}

fn cluster_autoscaler(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let path = steps!["cluster", "eks", "autoscaler"];
    if autoscaler_is_brought(blueprint) {
        return;
    }
    if autoscaler_hosts(blueprint).is_empty() {
        report.error(
            path,
            "Cluster Autoscaler is a pod itself, and no pool without taints has a node from the beginning: nothing ever adds the first",
            "add a pool for it, {name: system, machine: m7i.xlarge, size: {min: 2, max: 4}}, or write `autoscaler: none`",
        );
    }
    if let Some(version) = &blueprint.cluster.version
        && let (release, false) = autoscaler_release(version)
    {
        let message = format!("no Cluster Autoscaler is known that is made for Kubernetes {version}: {release} runs");
        report.warning(path, &message, "a newer wbk-infra may know one");
    }
}

/// What Auto Mode's nodes have in them, as add-ons are called otherwise (EKS user guide, "EKS Auto Mode", add-ons).
const IN_AUTO_MODE: [&str; 6] =
    ["aws-ebs-csi-driver", "coredns", "eks-node-monitoring-agent", "eks-pod-identity-agent", "kube-proxy", "vpc-cni"];
/// Who makes volumes in EBS: the add-on, and Auto Mode (EKS user guide, "Create a storage class").
const EBS: (&str, &str) = ("ebs.csi.aws.com", "ebs.csi.eks.amazonaws.com");

/// What Auto Mode decides by itself, or does otherwise.
fn auto_mode(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    if blueprint.cluster.eks.as_ref().is_some_and(|eks| eks.given.is_some()) {
        let hint = "write `autoscaler: none`; whoever adds nodes there goes on with it";
        report.error(steps!["cluster", "eks", "autoscaler"], "a given cluster is not turned to Auto Mode", hint);
    }
    for (index, pool) in blueprint.node_pools.iter().enumerate() {
        let max = pool.size.max.unwrap_or(pool.size.min.max(1));
        if pool.size.min > 0 && max != pool.size.min {
            report.error(
                steps!["nodePools", index, "size"],
                "Auto Mode keeps a fixed number of nodes, or makes them for pods that wait; it has no least number above which it scales",
                "write `min: 0`, or the same number twice",
            );
        }
        let Some(eks) = &pool.eks else { continue };
        let said = [
            ("ami", eks.ami.is_some()),
            ("capacityBlock", eks.capacity_block.is_some()),
            ("efa", eks.efa),
            ("maxUnavailable", eks.max_unavailable != 1),
            ("repair", eks.repair),
        ];
        for (key, _) in said.into_iter().filter(|(_, said)| *said) {
            let message =
                "means nothing with `autoscaler: auto-mode`: AWS chooses images, and replaces nodes, by itself";
            report.error(steps!["nodePools", index, "eks", key], message, "remove it");
        }
    }
    for (index, addon) in blueprint.cluster.eks.iter().flat_map(|eks| &eks.addons).enumerate() {
        let name = match addon {
            EksAddonEntry::Name(name) => name,
            EksAddonEntry::Full(full) => &full.name,
        };
        if IN_AUTO_MODE.contains(&name.as_str()) {
            let message = format!("Auto Mode's nodes have {name} in them; a second one would be in its way");
            report.error(steps!["cluster", "eks", "addons", index], &message, "remove it");
        }
    }
    for (index, class) in blueprint.storage_classes.iter().enumerate() {
        if class.provisioner == EBS.0 {
            let message = format!("Auto Mode makes volumes as {}; nobody answers to {} there", EBS.1, EBS.0);
            let hint = format!("write `provisioner: {}`", EBS.1);
            report.error(steps!["storageClasses", index, "provisioner"], &message, &hint);
        }
    }
}

/// Pools that nobody would ever scale.
fn unscaled(report: &mut Report<'_>) {
    let pools = report.loaded.blueprint.node_pools.iter().enumerate();
    // Whoever scales somebody else's group was there before.
    for (index, pool) in pools.filter(|(_, pool)| !super::given::is_given(pool)) {
        let path = steps!["nodePools", index, "size"];
        let max = pool.size.max.unwrap_or(pool.size.min.max(1));
        if pool.size.min == 0 {
            report.error(
                path,
                "the pool begins empty, and with `autoscaler: none` nothing ever adds a node: EKS itself does not",
                "write `autoscaler: cluster-autoscaler` or `autoscaler: auto-mode`, or `min: 1`",
            );
        } else if max > pool.size.min {
            let message =
                format!("with `autoscaler: none` the pool stays at {}: nothing scales it to {max}", pool.size.min);
            report.warning(path, &message, "write `autoscaler: cluster-autoscaler`, or one size");
        }
    }
}
