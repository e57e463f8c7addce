//! Somebody else's cluster and node groups that the blueprint names: found by name, so that the names must be theirs.

use std::collections::BTreeMap;

use wbk_provider_api::EksAuthentication;

use super::super::Report;
use super::{arn, region};
use crate::blueprint::path::steps;
use crate::blueprint::schema::{EksSection, NodePool};

/// Longest name of a node group (botocore, eks CreateNodegroup).
const NAME: usize = 63;

/// Whether a pool is a node group that is somebody else's.
pub(super) fn is_given(pool: &NodePool) -> bool {
    pool.eks.as_ref().is_some_and(|section| section.group.is_some())
}

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let section = blueprint.cluster.eks.as_ref();
    let given = section.and_then(|section| section.given.as_deref());
    if let (Some(section), Some(given)) = (section, given) {
        cluster(report, section, given);
    }
    if let (Some(EksAuthentication::ConfigMap), false) =
        (section.map(|section| section.authentication), given.is_some())
    {
        let hint = "write `authentication: api`";
        let path = steps!["cluster", "eks", "authentication"];
        report.error(path, "only clusters that were made so years ago have the aws-auth map alone", hint);
    }
    groups(report, given.is_some());
}

fn cluster(report: &mut Report<'_>, section: &EksSection, given: &str) {
    let path = steps!["cluster", "eks", "given"];
    let hint = "write the cluster's own, as `aws eks describe-cluster --name NAME --query cluster.arn` prints it";
    let parts = arn(given);
    let Some([_, place, account, resource]) = parts.filter(|[service, _, _, resource]| {
        *service == "eks" && resource.strip_prefix("cluster/").is_some_and(|name| !name.is_empty())
    }) else {
        return report.error(path, &format!("{given:?} is no EKS cluster"), hint);
    };
    let blueprint = &report.loaded.blueprint;
    if let Some(name) = blueprint.cluster.name.as_deref().filter(|name| resource.strip_prefix("cluster/") != Some(name))
    {
        report.error(path, &format!("this is another cluster than {name}"), "remove `cluster.name`: the ARN has it");
    }
    if region(report).is_some_and(|region| region != place) {
        report.error(path, &format!("the cluster is in {place}"), &format!("write `region: {place}`"));
    }
    if section.account.as_deref().is_some_and(|own| own != account) {
        let message = format!("the cluster is of account {account}, and the blueprint is pinned to another");
        report.error(path, &message, "remove `account`: the ARN says it");
    }
    if section.network.as_ref().is_none_or(|network| network.subnets.is_empty()) {
        let hint = "write `network: {subnets: [subnet-…, subnet-…]}` with those that the cluster has";
        report.error(path, "a given cluster is in subnets that are there already", hint);
    }
    if section.authentication == EksAuthentication::ConfigMap && !section.access.is_empty() {
        let hint = "write `authentication: api-and-config-map` first, which cannot be taken back";
        report.error(
            steps!["cluster", "eks", "access"],
            "a cluster with the aws-auth map alone has no access entries",
            hint,
        );
    }
}

fn groups(report: &mut Report<'_>, given: bool) {
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, pool) in report.loaded.blueprint.node_pools.iter().enumerate() {
        let Some(section) = &pool.eks else { continue };
        if let Some(version) = section.version.as_deref().filter(|version| version.split('.').count() > 2) {
            let minor: Vec<&str> = version.split('.').take(2).collect();
            let hint = format!("write `version: \"{}\"`", minor.join("."));
            let path = steps!["nodePools", index, "eks", "version"];
            report.error(path, "EKS takes minor versions, and patches them by itself", &hint);
        }
        let Some(name) = section.group.as_deref() else { continue };
        let path = steps!["nodePools", index, "eks", "group"];
        if !given {
            let hint = "remove it, or write `given` with the ARN of the cluster that it is in";
            report.error(path, "names a node group that is somebody else's, and the cluster is not", hint);
        }
        if !is_name(name) {
            let hint = "write it as `aws eks list-nodegroups` prints it";
            report.error(path, &format!("{name:?} is no name of a node group"), hint);
        }
        if let Some(other) = named.insert(name, &pool.name) {
            report.error(path, &format!("pool {other} is node group {name} already"), "name each node group once");
        }
        let own = [
            ("disk", section.disk.is_some()),
            ("efa", section.efa),
            ("capacityBlock", section.capacity_block.is_some()),
            ("zones", !section.zones.is_empty()),
        ];
        for (key, _) in own.into_iter().filter(|(_, set)| *set) {
            let path = steps!["nodePools", index, "eks", key];
            report.error(path, "a node group that is there has its own, and keeps it", "remove it");
        }
    }
}

/// A letter or digit first, then dashes and underscores too.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() <= NAME
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_of_node_groups_are_told_from_others() {
        assert!(is_name("ng-1a2b_C") && is_name("0"));
        assert!(!is_name("") && !is_name("-ng") && !is_name("a.b") && !is_name(&"x".repeat(64)));
    }
}
