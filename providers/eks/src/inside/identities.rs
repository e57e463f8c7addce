//! Pod Identity associations: which service accounts are which roles.

use std::collections::BTreeMap;

use aws_sdk_eks::types::PodIdentityAssociation;
use futures::future::try_join_all;
use wbk_provider_api::PartId;

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::names::{self, Names};
use crate::part::{Found, Part, sort};
use crate::shape::RoleRef;
use crate::work::{Work, settled};

pub(super) async fn observe(
    aws: &Aws,
    marks: &Marks,
    names: &Names,
    one: Option<&str>,
) -> Result<BTreeMap<PartId, Found>, AwsError> {
    Ok(all(aws, marks, one.and_then(|name| name.split_once('/')))
        .await?
        .into_iter()
        .map(|association| {
            let namespace = association.namespace.clone().unwrap_or_default();
            let account = association.service_account.clone().unwrap_or_default();
            let role = match names.role(association.role_arn.as_deref().unwrap_or_default()) {
                RoleRef::Part(part) => part,
                RoleRef::Arn(arn) => arn,
            };
            let id = PartId::new(sort::POD_IDENTITY, format!("{namespace}/{account}"));
            let part = Part::PodIdentity { namespace, service_account: account, role };
            let tags = association.tags.clone().unwrap_or_default().into_iter().collect();
            (id, Found { id: association.association_arn.unwrap_or_default(), part, tags, issues: Vec::new() })
        })
        .collect())
}

/// Every association, whoever made it.
pub(crate) async fn all(
    aws: &Aws,
    marks: &Marks,
    account: Option<(&str, &str)>,
) -> Result<Vec<PodIdentityAssociation>, AwsError> {
    let ids = match list(aws, marks, account).await {
        Ok(ids) => ids,
        Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let found = try_join_all(ids.iter().map(|id| describe(aws, marks, id))).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Ids of the associations of the cluster, or of one service account.
async fn list(aws: &Aws, marks: &Marks, account: Option<(&str, &str)>) -> Result<Vec<String>, AwsError> {
    let request = aws
        .eks
        .list_pod_identity_associations()
        .cluster_name(&marks.cluster)
        .set_namespace(account.map(|(namespace, _)| namespace.to_owned()))
        .set_service_account(account.map(|(_, name)| name.to_owned()));
    let mut pages = request.into_paginator().items().send();
    let mut ids = Vec::new();
    while let Some(summary) = pages.next().await {
        let attempted = format!("list the pod identities of EKS cluster {}", marks.cluster);
        ids.extend(summary.map_err(AwsError::sdk(attempted))?.association_id);
    }
    Ok(ids)
}

async fn describe(aws: &Aws, marks: &Marks, id: &str) -> Result<Option<PodIdentityAssociation>, AwsError> {
    let request = aws.eks.describe_pod_identity_association().cluster_name(&marks.cluster).association_id(id);
    match request.send().await.map_err(AwsError::sdk(format!("describe pod identity {id}"))) {
        Ok(answer) => Ok(answer.association),
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn create(
    work: &Work<'_>,
    (namespace, account): (&str, &str),
    role: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    if !list(work.aws, work.marks, Some((namespace, account))).await?.is_empty() {
        return update(work, (namespace, account), role, tags).await;
    }
    let arn = names::role_arn(work, &RoleRef::Part(role.to_owned())).await?;
    // A role that was just made is not known to EKS at once.
    settled(|| {
        let request = work
            .aws
            .eks
            .create_pod_identity_association()
            .cluster_name(&work.marks.cluster)
            .namespace(namespace)
            .service_account(account)
            .role_arn(&arn)
            .set_tags(Some(tags.clone().into_iter().collect()))
            .client_request_token(work.client_token(&format!("identity {namespace}/{account}")));
        let attempted = format!("give service account {namespace}/{account} its role");
        async move { request.send().await.map(drop).map_err(AwsError::sdk(attempted)) }
    })
    .await
}

pub(super) async fn update(
    work: &Work<'_>,
    (namespace, account): (&str, &str),
    role: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    let arn = names::role_arn(work, &RoleRef::Part(role.to_owned())).await?;
    for id in list(work.aws, work.marks, Some((namespace, account))).await? {
        let Some(found) = describe(work.aws, work.marks, &id).await? else { continue };
        let what = format!("the pod identity of {namespace}/{account}");
        super::tag(work, found.association_arn.as_deref(), tags, &what).await?;
        if found.role_arn.as_deref() != Some(arn.as_str()) {
            let request = work.aws.eks.update_pod_identity_association().cluster_name(&work.marks.cluster);
            let token = work.client_token(&format!("identity {namespace}/{account}"));
            let request = request.association_id(&id).role_arn(&arn).client_request_token(token);
            request.send().await.map_err(AwsError::sdk(format!("change {what}")))?;
        }
    }
    Ok(())
}

pub(super) async fn delete(work: &Work<'_>, namespace: &str, account: &str) -> Result<(), AwsError> {
    for id in list(work.aws, work.marks, Some((namespace, account))).await? {
        let request = work.aws.eks.delete_pod_identity_association().cluster_name(&work.marks.cluster);
        let attempted = format!("take its role from service account {namespace}/{account}");
        match request.association_id(id).send().await.map_err(AwsError::sdk(attempted)) {
            Ok(_) => {}
            Err(error) if error.kind == AwsErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
