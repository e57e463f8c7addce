//! EKS: the IAM policy that a blueprint needs; tokens for API servers of clusters, in the words of kubeconfigs' credential plugins.

use serde_json::json;
use wbk_provider_api::Wanted;
use wbk_provider_eks::aws::Aws;
use wbk_provider_eks::error::AwsError;
use wbk_provider_eks::rights::{Purpose, policy};

use super::session::out;
use crate::cli::args::{BlueprintArgs, EksCommand, PolicyFor};
use crate::cli::aws::way;
use crate::cli::environment::Environment;
use crate::cli::failure::{Exit, Failure};
use crate::cli::situation::{files, read};

/// Longest managed policy, white space aside (IAM, "IAM and AWS STS quotas").
const LONGEST: usize = 6144;

/// What only EKS has.
///
/// # Errors
/// There are no AWS credentials, or the blueprint is of another provider.
pub async fn eks(command: &EksCommand, environment: &Environment) -> Result<Exit, Failure> {
    match command {
        EksCommand::Policy { blueprint, to } => rights(blueprint, *to, environment).await,
        EksCommand::Token { cluster, region } => token(cluster, region, environment).await,
    }
}

pub(super) fn failed(error: AwsError) -> Failure {
    let hint = error.hint();
    Failure { hint, ..Failure::from(anyhow::Error::from(error)) }
}

/// Prints what a client of an API server asks its plugin for (`client.authentication.k8s.io/v1`).
async fn token(cluster: &str, region: &str, environment: &Environment) -> Result<Exit, Failure> {
    let aws = Aws::connect_by(region, &way(environment)?).await.map_err(failed)?;
    let token = wbk_provider_eks::token(&aws, cluster).await.map_err(failed)?;
    let until = jiff::Timestamp::try_from(token.until).map_err(|error| Failure::from(anyhow::Error::from(error)))?;
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token.bearer, "expirationTimestamp": until.to_string()},
    });
    out(&credential.to_string());
    Ok(Exit::Done)
}

async fn rights(blueprint: &BlueprintArgs, to: PolicyFor, environment: &Environment) -> Result<Exit, Failure> {
    let desired = read(&files(blueprint)?, environment)?;
    if desired.wanted.cluster.eks.is_none() {
        return Err(Failure::usage(format!(
            "the blueprint is of provider {}, and not of eks",
            desired.wanted.cluster.provider
        )));
    }
    let purpose = match to {
        PolicyFor::Plan => Purpose::Plan,
        PolicyFor::Apply => Purpose::Apply,
    };
    let account = match pinned(&desired.wanted) {
        Some(account) => account,
        None => {
            let region = desired.wanted.cluster.region.clone().unwrap_or_default();
            let aws = Aws::connect_by(&region, &way(environment)?).await.map_err(failed)?;
            aws.caller().await.map_err(failed)?.account.clone()
        }
    };
    let text = serde_json::to_string_pretty(&policy(&desired.wanted, &account, purpose))?;
    let length = text.chars().filter(|letter| !letter.is_whitespace()).count();
    if length > LONGEST {
        anstream::eprintln!(
            "warning: the policy has {length} letters, and a managed one may have {LONGEST}; as an inline policy of a role it may have 10240"
        );
    }
    out(&text);
    Ok(Exit::Done)
}

/// The account that the blueprint names.
pub(super) fn pinned(wanted: &Wanted) -> Option<String> {
    let eks = wanted.cluster.eks.as_ref()?;
    eks.account.clone().or_else(|| eks.given.as_ref()?.split(':').nth(4).map(str::to_owned))
}
