//! Node groups: sizes, zones, capacity, disks, labels and taints.

use wbk_provider_api::{Capacity, EksNat};
use wbk_provider_eks::catalog;

use super::super::Report;
use super::{disks, images, is_id, is_zone_of, machines, region};
use crate::blueprint::path::steps;
use crate::blueprint::schema::{EksPoolSection, NodePool};
use crate::desired::pool_spec;

/// Labels and taints of a node group; for taints EKS user guide, "Node taints on managed node groups".
const MOST: usize = 50;
/// Longest key of a label or a taint, prefix included (botocore, eks labelKey and taintKey). Kubernetes itself takes longer ones.
const KEY: usize = 63;
/// What labels of a node group may not begin with (aws/containers-roadmap issue 1451, in EKS' own words).
const RESERVED: [&str; 3] = ["kubernetes.io/", "k8s.io/", "eks.amazonaws.com/"];

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    for (index, pool) in blueprint.node_pools.iter().enumerate() {
        machines::rules(report, index, pool);
        images::rules(report, index, pool);
        if pool.size.max == Some(0) {
            let path = steps!["nodePools", index, "size"];
            report.error(path, "EKS takes no node group whose most is 0", "raise max, or remove the pool");
        }
        marks(report, index, pool);
        if let Some(section) = &pool.eks {
            zones(report, index, section);
            block(report, index, pool, section);
            disks::rules(report, index, section);
            fabric(report, index, pool, section);
        }
    }
}

fn marks(report: &mut Report<'_>, index: usize, pool: &NodePool) {
    let spec = pool_spec(&report.loaded.blueprint, pool);
    for (key, count) in [("labels", spec.labels.len()), ("taints", spec.taints.len())] {
        if count > MOST {
            let message = format!("{count} {key} with those that follow from the pool, and EKS takes {MOST}");
            report.error(steps!["nodePools", index, key], &message, "keep those that somebody selects by");
        }
    }
    for key in pool.labels.keys() {
        let path = steps!["nodePools", index, "labels", key];
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        let reserved = |own: &&&str| {
            let own = own.trim_end_matches('/');
            prefix == own || prefix.strip_suffix(own).is_some_and(|rest| rest.ends_with('.'))
        };
        if let Some(own) = RESERVED.iter().find(reserved) {
            report.error(path, &format!("EKS takes no labels under {own}"), "use another prefix");
        } else if key.len() > KEY {
            let message = format!("a key of {} characters, and EKS takes {KEY} with the prefix", key.len());
            report.error(path, &message, "use a shorter one");
        }
    }
    for (number, taint) in pool.taints.iter().enumerate().filter(|(_, taint)| taint.key.len() > KEY) {
        let message = format!("a key of {} characters, and EKS takes {KEY} with the prefix", taint.key.len());
        report.error(steps!["nodePools", index, "taints", number], &message, "use a shorter one");
    }
}

fn zones(report: &mut Report<'_>, index: usize, section: &EksPoolSection) {
    let eks = report.loaded.blueprint.cluster.eks.as_ref();
    let network = eks.and_then(|eks| eks.network.as_ref());
    let all: &[String] = network.map(|network| network.zones.as_slice()).unwrap_or_default();
    for (number, zone) in section.zones.iter().enumerate() {
        let path = steps!["nodePools", index, "eks", "zones", number];
        if let Some(region) = region(report).filter(|region| !is_zone_of(zone, region)) {
            report.error(path, &format!("{zone:?} is no zone of {region}"), &format!("write for example `{region}a`"));
        } else if !all.is_empty() && !all.contains(zone) {
            report.error(path, &format!("the network has no subnet in {zone}"), &format!("it has {}", all.join(", ")));
        }
    }
}

/// Fabric adapters: in one zone, and where EC2 gives a machine with several of them an address.
fn fabric(report: &mut Report<'_>, index: usize, pool: &NodePool, section: &EksPoolSection) {
    if !section.efa {
        return;
    }
    let path = steps!["nodePools", index, "eks", "efa"];
    if section.zones.len() != 1 {
        report.error(
            path,
            "fabric adapters reach each other within one zone, and so does a placement group; the pool is in more",
            "write `zones: [ZONE]` with one that has the machines",
        );
    }
    let adapters = crate::desired::eks_machine(pool).map_or(0, |machine| machine.efa);
    let network = report.loaded.blueprint.cluster.eks.as_ref().and_then(|eks| eks.network.as_ref());
    if adapters > 1 && network.and_then(|network| network.nat) == Some(EksNat::None) {
        report.error(
            path,
            "EC2 gives no public address to a machine with several interfaces, and without NAT nothing else leads out",
            "write `nat: one` under `cluster.eks.network`",
        );
    }
    for (number, name) in section.also.iter().enumerate() {
        if let Some(other) = catalog::machine(name).filter(|other| other.efa != adapters) {
            let message = format!("{name} has {} fabric adapters, and the pool's machine {adapters}", other.efa);
            let hint = "one launch template is for all of them: name machines with as many";
            report.error(steps!["nodePools", index, "eks", "also", number], &message, hint);
        }
    }
}

fn block(report: &mut Report<'_>, index: usize, pool: &NodePool, section: &EksPoolSection) {
    let Some(block) = &section.capacity_block else { return };
    let path = steps!["nodePools", index, "eks", "capacityBlock"];
    if !is_id(block, "cr-") {
        let hint = "write its id: `cr-` and 17 hexadecimal digits";
        report.error(path, &format!("{block:?} is no capacity reservation"), hint);
    }
    if pool.capacity == Capacity::Spot {
        report.error(path, "a capacity block is paid ahead, and spot is the opposite", "remove `capacity: spot`");
    }
    if section.zones.len() != 1 {
        report.error(path, "a capacity block is in one zone", "write `zones: [ZONE]` with the zone of the block");
    }
}
