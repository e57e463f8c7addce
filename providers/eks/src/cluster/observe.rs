//! Describes the cluster.

use std::collections::BTreeSet;

use aws_sdk_eks::types::{Cluster, LogType};
use wbk_provider_api::{EksEndpoint, EksSupport};

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::names::Names;
use crate::shape::ClusterShape;
use crate::world::ClusterFound;

/// The cluster of the marks' name; `None` where there is none.
///
/// # Errors
/// It could not be seen.
pub async fn describe(aws: &Aws, marks: &Marks) -> Result<Option<Cluster>, AwsError> {
    let attempted = format!("describe EKS cluster {}", marks.cluster);
    match aws.eks.describe_cluster().name(&marks.cluster).send().await.map_err(AwsError::sdk(attempted)) {
        Ok(answer) => Ok(answer.cluster),
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// It in our words.
pub(crate) fn found(cluster: &Cluster, marks: &Marks, names: &Names) -> ClusterFound {
    let tags = cluster.tags.clone().unwrap_or_default().into_iter().collect();
    let vpc = cluster.resources_vpc_config.as_ref();
    let subnet_ids: BTreeSet<String> = vpc.map(|vpc| vpc.subnet_ids().iter().cloned().collect()).unwrap_or_default();
    let public = vpc.is_some_and(|vpc| vpc.endpoint_public_access);
    let from = |list: &[String]| list.iter().cloned().collect();
    let shape = ClusterShape {
        version: cluster.version.clone().unwrap_or_default(),
        role: names.role(cluster.role_arn.as_deref().unwrap_or_default()),
        subnets: subnet_ids.iter().map(|id| names.subnet(id)).collect(),
        endpoint: EksEndpoint {
            public,
            private: vpc.is_some_and(|vpc| vpc.endpoint_private_access),
            public_cidrs: vpc.filter(|_| public).map(|vpc| from(vpc.public_access_cidrs())).unwrap_or_default(),
        },
        authentication: cluster
            .access_config
            .as_ref()
            .and_then(|access| access.authentication_mode.as_ref())
            .map(|mode| mode.as_str().to_owned())
            .unwrap_or_default(),
        logging: logs(cluster),
        encryption_key: cluster.encryption_config().iter().find_map(|config| config.provider.as_ref()?.key_arn.clone()),
        support: match cluster.upgrade_policy.as_ref().and_then(|policy| policy.support_type.as_ref()) {
            Some(support) if support.as_str() == "STANDARD" => EksSupport::Standard,
            // What EKS does where nobody asked (EKS user guide, "cluster upgrade policy").
            Some(_) | None => EksSupport::Extended,
        },
        deletion_protection: cluster.deletion_protection.unwrap_or(false),
        auto_mode: cluster.compute_config.as_ref().and_then(|compute| compute.enabled).unwrap_or(false),
    };
    let health = cluster.health.as_ref();
    ClusterFound {
        arn: cluster.arn.clone().unwrap_or_default(),
        ours: marks.are_on(&tags),
        status: cluster.status.as_ref().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        shape,
        tags,
        endpoint: cluster.endpoint.clone(),
        authority: cluster.certificate_authority.as_ref().and_then(|authority| authority.data.clone()),
        issuer: cluster.identity.as_ref().and_then(|identity| identity.oidc.as_ref()?.issuer.clone()),
        vpc: vpc.and_then(|vpc| vpc.vpc_id.clone()),
        security_group: vpc.and_then(|vpc| vpc.cluster_security_group_id.clone()),
        subnet_ids,
        issues: health
            .map(|health| health.issues().iter().filter_map(|issue| issue.message.clone()).collect())
            .unwrap_or_default(),
    }
}

fn logs(cluster: &Cluster) -> BTreeSet<String> {
    let setups = cluster.logging.as_ref().map(|logging| logging.cluster_logging()).unwrap_or_default();
    let on = setups.iter().filter(|setup| setup.enabled == Some(true));
    on.flat_map(|setup| setup.types().iter().map(LogType::as_str).map(str::to_owned)).collect()
}
