//! The cluster itself: where, which version, who gets in.

use wbk_provider_eks::catalog::{ACCESS_POLICIES, ADDONS};

use super::super::Report;
use super::{arn, is_region, region};
use crate::blueprint::check::nearest;
use crate::blueprint::path::steps;
use crate::blueprint::schema::{EksAddonEntry, EksSection};

/// Tags that one thing may have, without those of this tool: EKS' own limit (botocore, eks TagMap) is 50.
const TAGS: usize = 50 - OWN_TAGS;
/// `Name`, and the four under `wbk-infra/`.
const OWN_TAGS: usize = 5;
/// Ranges that may reach a public endpoint (EKS service quotas; not adjustable).
const PUBLIC_CIDRS: usize = 40;

pub(super) fn rules(report: &mut Report<'_>) {
    place(report);
    let blueprint = &report.loaded.blueprint;
    if let Some(section) = &blueprint.cluster.eks {
        endpoint(report, section);
        access(report, section);
        addons(report, section);
        tags(report, section);
        arns(report, section);
        fargate(report, section);
    }
}

fn place(report: &mut Report<'_>) {
    let cluster = &report.loaded.blueprint.cluster;
    match &cluster.region {
        None => report.error(
            steps!["cluster"],
            "`region` is missing: EKS is in one",
            "write for example `region: us-west-2`",
        ),
        Some(region) if !is_region(region) => report.error(
            steps!["cluster", "region"],
            &format!("{region:?} is no region of AWS"),
            "write for example `region: us-west-2`",
        ),
        Some(_) => {}
    }
    match &cluster.version {
        None => report.error(
            steps!["cluster"],
            "`version` is missing: an upgrade cannot be taken back, so nothing chooses it by itself",
            "write for example `version: \"1.34\"`; `aws eks describe-cluster-versions` lists them",
        ),
        Some(version) if version.split('.').count() > 2 => {
            let minor: Vec<&str> = version.split('.').take(2).collect();
            let hint = format!("write `version: \"{}\"`", minor.join("."));
            report.error(steps!["cluster", "version"], "EKS takes minor versions, and patches them by itself", &hint);
        }
        Some(_) => {}
    }
}

fn endpoint(report: &mut Report<'_>, section: &EksSection) {
    let Some(endpoint) = &section.endpoint else { return };
    let path = steps!["cluster", "eks", "endpoint"];
    match (endpoint.public, endpoint.private) {
        (false, false) => report.error(
            path,
            "an API server that is neither public nor private is reached by nobody, its nodes included",
            "write `private: true`",
        ),
        (false, true) => report.warning(
            path,
            "the API server is reached from its network alone, so this tool must run inside it",
            "run it there, or write `public: true` with `publicCidrs`",
        ),
        (true, _) => {}
    }
    let path = steps!["cluster", "eks", "endpoint", "publicCidrs"];
    if !endpoint.public && !endpoint.public_cidrs.is_empty() {
        report.error(
            path,
            "an API server that is not public has no public ranges",
            "remove them, or write `public: true`",
        );
    }
    if endpoint.public_cidrs.len() > PUBLIC_CIDRS {
        let message = format!("{} ranges, and EKS takes {PUBLIC_CIDRS}", endpoint.public_cidrs.len());
        report.error(path, &message, "join neighbouring ranges");
    }
    for (index, cidr) in endpoint.public_cidrs.iter().enumerate() {
        let address = cidr.split('/').next().unwrap_or_default();
        if address.parse::<std::net::Ipv4Addr>().map_or(true, |address| address.is_private()) {
            report.error(
                steps!["cluster", "eks", "endpoint", "publicCidrs", index],
                &format!("{cidr:?} is no range of public IPv4 addresses, written as 203.0.113.0/24"),
                "write the addresses that the internet sees; private ones reach the private endpoint",
            );
        }
    }
}

fn access(report: &mut Report<'_>, section: &EksSection) {
    for (index, entry) in section.access.iter().enumerate() {
        let path = steps!["cluster", "eks", "access", index];
        match &entry.policy {
            Some(policy) if !ACCESS_POLICIES.contains(&policy.as_str()) => {
                let hint = match nearest(policy, &ACCESS_POLICIES) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("EKS has {}", ACCESS_POLICIES.join(", ")),
                };
                let message = format!("{policy:?} is no access policy of EKS for people");
                report.error(steps!["cluster", "eks", "access", index, "policy"], &message, &hint);
            }
            None if !entry.namespaces.is_empty() => report.error(
                steps!["cluster", "eks", "access", index, "namespaces"],
                "namespaces are those of a policy, and there is none",
                "write `policy: AmazonEKSEditPolicy`, or remove them",
            ),
            None if entry.groups.is_empty() => report.warning(
                path,
                "whoever it is gets in and may do nothing",
                "write a `policy`, or `groups` that bindings name",
            ),
            _ => {}
        }
        let user = |[service, _, account, resource]: [&str; 4]| {
            service == "iam" && account.len() == 12 && (resource.starts_with("role/") || resource.starts_with("user/"))
        };
        if !arn(&entry.principal).is_some_and(user) {
            report.error(
                steps!["cluster", "eks", "access", index, "principal"],
                "EKS lets in users and roles of IAM",
                "write for example `arn:aws:iam::111122223333:role/platform`; of a session, the role that it was made from",
            );
        }
    }
}

fn addons(report: &mut Report<'_>, section: &EksSection) {
    let name = |entry: &EksAddonEntry| match entry {
        EksAddonEntry::Name(name) => name.clone(),
        EksAddonEntry::Full(full) => full.name.clone(),
    };
    for (index, entry) in section.addons.iter().enumerate() {
        let path = steps!["cluster", "eks", "addons", index];
        let own = name(entry);
        if section.addons[..index].iter().any(|other| name(other) == own) {
            report.error(path, &format!("the add-on {own} is there twice"), "keep one of them");
        }
        if !ADDONS.contains(&own.as_str()) {
            let hint = match nearest(&own, &ADDONS) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`aws eks describe-addon-versions` lists all add-ons, those of partners too".to_owned(),
            };
            report.warning(path, &format!("{own:?} is no add-on of AWS' own that is known here"), &hint);
        }
        if let EksAddonEntry::Full(full) = entry
            && let Some(version) = &full.version
            && !version.starts_with('v')
        {
            report.error(
                steps!["cluster", "eks", "addons", index, "version"],
                &format!("{version:?} is no version of an add-on"),
                "write it as EKS does: `v1.20.0-eksbuild.1`",
            );
        }
    }
}

fn tags(report: &mut Report<'_>, section: &EksSection) {
    if section.tags.len() > TAGS {
        let message = format!("{} tags, and there is room for {TAGS} beside the tool's own", section.tags.len());
        report.error(steps!["cluster", "eks", "tags"], &message, "keep those that somebody reads");
    }
    for (key, value) in &section.tags {
        let path = steps!["cluster", "eks", "tags", key];
        let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
        if key.to_ascii_lowercase().starts_with("aws:") {
            report.error(path, "tags under aws: are AWS' own", "use another prefix");
        } else if key.starts_with("wbk-infra/") || key == "Name" {
            report.error(path, "this tag is set by wbk-infra", "use another key");
        } else if key.is_empty() || key.chars().count() > 128 || !allowed(key) {
            let hint = "use at most 128 letters, digits, spaces and + - = . _ : / @";
            report.error(path, "AWS takes no such key of a tag", hint);
        } else if value.chars().count() > 256 || !allowed(value) {
            let hint = "use at most 256 letters, digits, spaces and + - = . _ : / @";
            report.error(path, "AWS takes no such value of a tag", hint);
        }
    }
}

/// Facts: EKS user guide, "Simplify compute management with AWS Fargate", considerations.
fn fargate(report: &mut Report<'_>, section: &EksSection) {
    if !section.fargate.is_empty() {
        report.error(
            steps!["cluster", "eks", "fargate"],
            "Fargate has no machines with GPUs, runs no DaemonSets (no device plugin, no discovery, no metrics), and gives pods no EKS Pod Identity",
            "give these pods a node pool without GPUs, such as `{name: system, machine: m7i.xlarge, size: {min: 2}}`",
        );
    }
}

fn arns(report: &mut Report<'_>, section: &EksSection) {
    for (key, role) in [("clusterRole", &section.cluster_role), ("nodeRole", &section.node_role)] {
        let Some([service, _, account, resource]) = role.as_deref().and_then(arn) else { continue };
        let path = steps!["cluster", "eks", key];
        if service != "iam" || !resource.starts_with("role/") {
            report.error(path, "this is no role of IAM", "write for example `arn:aws:iam::111122223333:role/eks`");
        } else if let Some(own) = section.account.as_deref().filter(|own| *own != account) {
            let message = format!("the role is of account {account}, and the blueprint is pinned to {own}");
            report.error(path, &message, "name a role of the cluster's own account");
        }
    }
    if let Some([service, place, _, resource]) = section.encryption_key.as_deref().and_then(arn) {
        let path = steps!["cluster", "eks", "encryptionKey"];
        let hint = "write for example `arn:aws:kms:us-west-2:111122223333:key/…`";
        if service != "kms" || !resource.starts_with("key/") {
            report.error(path, "this is no key of KMS; EKS takes no alias either", hint);
        } else if region(report).is_some_and(|region| region != place) {
            report.error(path, &format!("the key is in {place}, and the cluster is not"), hint);
        }
    }
}
