//! What EKS and EC2 would refuse, or take and make useless, told before a call that costs. What a region offers and an account may
//! have is not known here: the provider's preflight looks it up.

mod cluster;
mod disks;
mod given;
mod identities;
mod images;
mod machines;
mod network;
mod pools;
mod scaling;

use wbk_provider_api::ProviderKind;

use super::Report;
use crate::blueprint::path::steps;

pub(super) fn rules(report: &mut Report<'_>) {
    if report.loaded.blueprint.cluster.provider != ProviderKind::Eks {
        return elsewhere(report);
    }
    cluster::rules(report);
    given::rules(report);
    network::rules(report);
    pools::rules(report);
    scaling::rules(report);
    identities::rules(report);
}

/// Words of EKS for another provider's cluster.
fn elsewhere(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let hint = "remove it, or write `provider: eks`";
    if blueprint.cluster.eks.is_some() {
        report.error(steps!["cluster", "eks"], "means something only with provider eks", hint);
    }
    for (index, pool) in blueprint.node_pools.iter().enumerate() {
        if pool.eks.is_some() {
            report.error(steps!["nodePools", index, "eks"], "means something only with provider eks", hint);
        }
    }
    for (index, namespace) in blueprint.namespaces.iter().enumerate() {
        for (number, identity) in namespace.identities.iter().enumerate() {
            if identity.grants.eks.is_some() {
                let message =
                    format!("nothing is granted in AWS on a cluster of provider {}", blueprint.cluster.provider);
                let path = steps!["namespaces", index, "identities", number, "grants", "eks"];
                report.warning(path, &message, "remove it, unless another provider uses the blueprint too");
            }
        }
    }
}

/// The region, where one was named that is one.
fn region<'a>(report: &Report<'a>) -> Option<&'a str> {
    report.loaded.blueprint.cluster.region.as_deref().filter(|region| is_region(region))
}

/// `us-west-2`, `us-gov-east-1`, `ap-southeast-4`: letters, words and a digit.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match &parts[..] {
        [area, words @ .., number] => {
            area.len() == 2
                && word(area)
                && !words.is_empty()
                && words.iter().all(word)
                && number.parse::<u8>().is_ok_and(|number| (1..10).contains(&number))
        }
        _ => false,
    }
}

/// Whether a zone is one of a region's own, `us-west-2a`: not a local zone, where EKS has no control plane.
fn is_zone_of(zone: &str, region: &str) -> bool {
    zone.strip_prefix(region).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// `subnet-0a1b…`, `cr-0a1b…`: an id of EC2, old or new.
fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The parts of an ARN: service, region, account and resource.
fn arn(text: &str) -> Option<[&str; 4]> {
    match text.splitn(6, ':').collect::<Vec<_>>()[..] {
        ["arn", _, service, region, account, resource] => Some([service, region, account, resource]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_aws_are_told_from_others() {
        for region in ["us-west-2", "us-gov-east-1", "ap-southeast-4", "eu-central-1"] {
            assert!(is_region(region), "{region}");
        }
        for region in ["us-west2", "us-west-2a", "europe-west4", "west-us", "", "us-1", "US-EAST-1"] {
            assert!(!is_region(region), "{region}");
        }
        assert!(is_zone_of("us-west-2a", "us-west-2"));
        assert!(!is_zone_of("us-west-2-lax-1a", "us-west-2") && !is_zone_of("us-east-1a", "us-west-2"));
        assert!(is_id("subnet-0123456789abcdef0", "subnet-") && is_id("cr-01234567", "cr-"));
        assert!(!is_id("subnet-xyz", "subnet-") && !is_id("vpc-01234567", "subnet-"));
        assert_eq!(arn("arn:aws:iam::1:role/a:b"), Some(["iam", "", "1", "role/a:b"]));
    }
}
