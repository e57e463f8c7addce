//! Tokens for API servers of EKS clusters, in the words of kubeconfigs' credential plugins.

use serde_json::json;
use wbk_provider_eks::aws::Aws;

use super::session::out;
use crate::cli::args::EksCommand;
use crate::cli::failure::{Exit, Failure};

/// Prints what a client of an API server asks its plugin for (`client.authentication.k8s.io/v1`).
///
/// # Errors
/// There are no AWS credentials.
pub async fn eks(command: &EksCommand) -> Result<Exit, Failure> {
    let EksCommand::Token { cluster, region } = command;
    let failed = |error: wbk_provider_eks::error::AwsError| {
        let hint = error.hint();
        Failure { hint, ..Failure::from(anyhow::Error::from(error)) }
    };
    let aws = Aws::connect(region).await.map_err(failed)?;
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
