//! Rights to repositories of images in ECR: of service accounts that ask for them, and of agents that build images. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wbk_provider_api::{EksIdentity, EksIdentityWay};

use super::launch;
use crate::blueprint::schema::{Blueprint, Builder, EcrAccess, EcrGrant};

/// The name of the policy that is made of them.
pub(crate) const POLICY: &str = "ecr";
/// By which a service account names a role of its own.
const ROLE: &str = "eks.amazonaws.com/role-arn";

/// What reading an image takes (AWS' AmazonEC2ContainerRegistryPullOnly).
const PULL: [&str; 3] = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
/// What writing one takes beside it (ECR user guide, "IAM permissions for pushing an image").
const PUSH: [&str; 4] = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"];

/// A registry of ECR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registry<'a> {
    account: &'a str,
    region: &'a str,
    /// What comes after the host.
    repository: &'a str,
}

/// The registry that an image, or a server, is of: `111122223333.dkr.ecr.us-west-2.amazonaws.com/team/train`.
pub(crate) fn of(text: &str) -> Option<Registry<'_>> {
    let rest = text.strip_prefix("https://").unwrap_or(text);
    let (host, repository) = rest.split_once('/').unwrap_or((rest, ""));
    match host.split('.').collect::<Vec<_>>()[..] {
        [account, "dkr", "ecr", region, "amazonaws", "com"]
        | [account, "dkr", "ecr", region, "amazonaws", "com", "cn"] => {
            Some(Registry { account, region, repository: repository.trim_end_matches('/') })
        }
        _ => None,
    }
}

/// The policy of what a service account asks for; `*` is the account of whoever has it.
pub(super) fn policy(grants: &[EcrGrant], partition: &str, region: &str, account: Option<&str>) -> Option<Value> {
    let arn = |name: &str| format!("arn:{partition}:ecr:{region}:{}:repository/{name}", account.unwrap_or("*"));
    let of = |access: EcrAccess| -> Vec<String> {
        grants.iter().filter(|grant| grant.access == access).map(|grant| arn(&grant.repository)).collect()
    };
    document(&of(EcrAccess::Pull), &of(EcrAccess::Push))
}

fn document(pull: &[String], push: &[String]) -> Option<Value> {
    if pull.is_empty() && push.is_empty() {
        return None;
    }
    // A token is for all repositories: ECR has it no other way.
    let mut statements = vec![json!({"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken"], "Resource": ["*"]})];
    if !pull.is_empty() {
        statements.push(json!({"Effect": "Allow", "Action": PULL, "Resource": pull}));
    }
    if !push.is_empty() {
        let actions: Vec<&str> = PULL.into_iter().chain(PUSH).collect();
        statements.push(json!({"Effect": "Allow", "Action": actions, "Resource": push}));
    }
    Some(json!({"Version": "2012-10-17", "Statement": statements}))
}

/// Agents that build images for ECR, with the right to push them: builds run as their agent, in its namespace. One that logs in with a
/// password, or has a role already, has its right from there.
pub(super) fn builders(blueprint: &Blueprint, partition: &str) -> Vec<EksIdentity> {
    let agents = blueprint.launch.iter().flat_map(|launch| launch.agents.iter().map(move |agent| (launch, agent)));
    agents
        .filter_map(|(launch, agent)| {
            let Builder::Kaniko { destination, .. } = &agent.builder else { return None };
            let registry = of(destination).filter(|registry| !registry.repository.is_empty())?;
            if launch::pushes_to(launch, destination) || agent.annotations.contains_key(ROLE) {
                return None;
            }
            let Registry { account, region, repository } = registry;
            let arn = format!("arn:{partition}:ecr:{region}:{account}:repository/{repository}");
            Some(EksIdentity {
                namespace: launch.namespace.clone(),
                service_account: launch::agent_account(agent),
                via: EksIdentityWay::PodIdentity,
                policies: Default::default(),
                inline: BTreeMap::from([(POLICY.to_owned(), document(&[], &[arn])?)]),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_of_ecr_is_known_by_its_host() {
        let found = of("111122223333.dkr.ecr.us-west-2.amazonaws.com/team/train").unwrap();
        assert_eq!((found.account, found.region, found.repository), ("111122223333", "us-west-2", "team/train"));
        assert!(of("https://111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn").is_some());
        assert_eq!(of("ghcr.io/team/train"), None);
    }

    #[test]
    fn pushing_takes_reading_too_and_nothing_beside() {
        let grant = |repository: &str, access| EcrGrant { repository: repository.into(), access };
        let grants = [grant("base/*", EcrAccess::Pull), grant("train", EcrAccess::Push)];
        let policy = policy(&grants, "aws", "us-west-2", Some("111122223333")).unwrap();
        let statement = |index: usize| &policy["Statement"][index];
        assert_eq!(statement(0)["Action"], json!(["ecr:GetAuthorizationToken"]));
        assert_eq!(statement(1)["Resource"], json!(["arn:aws:ecr:us-west-2:111122223333:repository/base/*"]));
        assert_eq!(statement(2)["Resource"], json!(["arn:aws:ecr:us-west-2:111122223333:repository/train"]));
        assert_eq!(statement(2)["Action"].as_array().map(Vec::len), Some(7));
        assert_eq!(super::policy(&[], "aws", "us-west-2", None), None);
    }
}
