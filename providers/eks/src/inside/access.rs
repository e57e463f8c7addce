//! Access entries: who gets into the cluster.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eks::types::{AccessEntry, AccessScope, AccessScopeType};
use futures::future::try_join_all;
use wbk_provider_api::PartId;

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::names::{self, Names};
use crate::part::{Found, Part, sort};
use crate::shape::RoleRef;
use crate::work::Work;

/// The type of entries of Auto Mode's nodes (EKS API, CreateAccessEntry).
const OF_NODES: &str = "EC2";
/// What they may (EKS user guide, "Create a Node Class for Amazon EKS").
const NODE_POLICY: &str = "AmazonEKSAutoNodePolicy";
/// The name of the part.
pub(crate) const NODES: &str = "nodes";

/// Policies by name, each with its namespaces.
pub(crate) type Policies = BTreeMap<String, BTreeSet<String>>;

pub(super) async fn observe(
    aws: &Aws,
    marks: &Marks,
    names: &Names,
    wanted: &BTreeMap<PartId, Part>,
    one: Option<&str>,
) -> Result<BTreeMap<PartId, Found>, AwsError> {
    let principals = match one {
        Some(principal) => vec![principal.to_owned()],
        None => principals(aws, marks).await?,
    };
    let looked = try_join_all(principals.iter().map(|principal| look(aws, marks, principal, (names, wanted)))).await?;
    Ok(looked.into_iter().flatten().collect())
}

/// What EKS says of a cluster that has the aws-auth map alone: nobody has an access entry there.
const NO_ENTRIES: &str = "authentication mode";

async fn principals(aws: &Aws, marks: &Marks) -> Result<Vec<String>, AwsError> {
    let mut principals = Vec::new();
    let mut pages = aws.eks.list_access_entries().cluster_name(&marks.cluster).into_paginator().items().send();
    while let Some(principal) = pages.next().await {
        match principal.map_err(AwsError::sdk(format!("list the access entries of EKS cluster {}", marks.cluster))) {
            Ok(principal) => principals.push(principal),
            Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.kind == AwsErrorKind::Refused && error.source.to_string().contains(NO_ENTRIES) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(principals)
}

/// Every entry, whoever made it, with its policies.
pub(crate) async fn all(aws: &Aws, marks: &Marks) -> Result<Vec<(AccessEntry, Policies)>, AwsError> {
    let principals = principals(aws, marks).await?;
    let looked = try_join_all(principals.iter().map(|principal| async move {
        let (entry, policies) = futures::try_join!(describe(aws, marks, principal), policies(aws, marks, principal))?;
        Ok::<_, AwsError>(entry.map(|entry| (entry, policies)))
    }));
    Ok(looked.await?.into_iter().flatten().collect())
}

/// One entry, where it is ours or wanted. EKS makes entries of its own, for nodes and for whoever made the cluster.
async fn look(
    aws: &Aws,
    marks: &Marks,
    principal: &str,
    (names, wanted): (&Names, &BTreeMap<PartId, Part>),
) -> Result<Option<(PartId, Found)>, AwsError> {
    let id = PartId::new(sort::ACCESS_ENTRY, principal);
    let Some(entry) = describe(aws, marks, principal).await? else { return Ok(None) };
    let tags: BTreeMap<String, String> = entry.tags.clone().unwrap_or_default().into_iter().collect();
    if entry.r#type.as_deref() == Some(OF_NODES) {
        let is_there = marks.are_on(&tags) && policies(aws, marks, principal).await?.contains_key(NODE_POLICY);
        let part = Part::NodeAccess { role: names.role(principal) };
        let found = Found { id: entry.access_entry_arn.unwrap_or_default(), part, tags, issues: Vec::new() };
        // One without its policy is made so by making it again.
        return Ok(is_there.then(|| (PartId::new(sort::NODE_ACCESS, NODES), found)));
    }
    if !marks.are_on(&tags) && !wanted.contains_key(&id) {
        return Ok(None);
    }
    let part = Part::AccessEntry {
        principal: principal.to_owned(),
        groups: entry.kubernetes_groups().iter().cloned().collect(),
        policies: policies(aws, marks, principal).await?,
    };
    let id_of_aws = entry.access_entry_arn.unwrap_or_default();
    Ok(Some((id, Found { id: id_of_aws, part, tags, issues: Vec::new() })))
}

async fn describe(aws: &Aws, marks: &Marks, principal: &str) -> Result<Option<AccessEntry>, AwsError> {
    let request = aws.eks.describe_access_entry().cluster_name(&marks.cluster).principal_arn(principal);
    match request.send().await.map_err(AwsError::sdk(format!("describe the access entry of {principal}"))) {
        Ok(answer) => Ok(answer.access_entry),
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn policies(aws: &Aws, marks: &Marks, principal: &str) -> Result<Policies, AwsError> {
    let request = aws.eks.list_associated_access_policies().cluster_name(&marks.cluster).principal_arn(principal);
    let mut pages = request.into_paginator().send();
    let mut policies = Policies::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(AwsError::sdk(format!("list the access policies of {principal}")))?;
        for policy in page.associated_access_policies() {
            let arn = policy.policy_arn.as_deref().unwrap_or_default();
            let namespaces = policy.access_scope.as_ref().map(|scope| scope.namespaces()).unwrap_or_default();
            let name = arn.rsplit('/').next().unwrap_or(arn).to_owned();
            policies.insert(name, namespaces.iter().cloned().collect());
        }
    }
    Ok(policies)
}

pub(super) async fn create(
    work: &Work<'_>,
    principal: &str,
    groups: &BTreeSet<String>,
    wanted: &Policies,
    tags: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    if describe(work.aws, work.marks, principal).await?.is_some() {
        return update(work, principal, groups, wanted, tags).await;
    }
    let request = work
        .aws
        .eks
        .create_access_entry()
        .cluster_name(&work.marks.cluster)
        .principal_arn(principal)
        .set_kubernetes_groups(Some(groups.iter().cloned().collect()))
        .set_tags(Some(tags.clone().into_iter().collect()))
        .client_request_token(work.client_token(&format!("access {principal}")));
    request.send().await.map_err(AwsError::sdk(format!("create the access entry of {principal}")))?;
    associate(work, principal, wanted).await
}

/// Lets Auto Mode's nodes in, or finds that a former try did.
pub(super) async fn admit_nodes(
    work: &Work<'_>,
    role: &RoleRef,
    tags: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    let principal = names::role_arn(work, role).await?;
    if describe(work.aws, work.marks, &principal).await?.is_none() {
        let request = work
            .aws
            .eks
            .create_access_entry()
            .cluster_name(&work.marks.cluster)
            .principal_arn(&principal)
            .r#type(OF_NODES)
            .set_tags(Some(tags.clone().into_iter().collect()))
            .client_request_token(work.client_token("access of nodes"));
        request.send().await.map_err(AwsError::sdk("create the access entry of the nodes"))?;
    }
    associate(work, &principal, &Policies::from([(NODE_POLICY.to_owned(), BTreeSet::new())])).await
}

pub(super) async fn update(
    work: &Work<'_>,
    principal: &str,
    groups: &BTreeSet<String>,
    wanted: &Policies,
    tags: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    let attempted = format!("change the access entry of {principal}");
    let Some(entry) = describe(work.aws, work.marks, principal).await? else {
        return Err(AwsError::new(attempted, AwsErrorKind::NotFound, "it is gone"));
    };
    super::tag(work, entry.access_entry_arn.as_deref(), tags, &format!("the access entry of {principal}")).await?;
    let has: BTreeSet<String> = entry.kubernetes_groups().iter().cloned().collect();
    if has != *groups {
        let request = work
            .aws
            .eks
            .update_access_entry()
            .cluster_name(&work.marks.cluster)
            .principal_arn(principal)
            .set_kubernetes_groups(Some(groups.iter().cloned().collect()));
        request.send().await.map_err(AwsError::sdk(attempted))?;
    }
    associate(work, principal, wanted).await
}

/// Gives the policies that lack and takes those that are too many.
async fn associate(work: &Work<'_>, principal: &str, wanted: &Policies) -> Result<(), AwsError> {
    let has = policies(work.aws, work.marks, principal).await?;
    let arn = |name: &str| format!("arn:{}:eks::aws:cluster-access-policy/{name}", work.marks.partition());
    for (name, namespaces) in wanted.iter().filter(|(name, namespaces)| has.get(*name) != Some(namespaces)) {
        let kind = if namespaces.is_empty() { AccessScopeType::Cluster } else { AccessScopeType::Namespace };
        let scope =
            AccessScope::builder().r#type(kind).set_namespaces(Some(namespaces.iter().cloned().collect())).build();
        let request = work.aws.eks.associate_access_policy().cluster_name(&work.marks.cluster).principal_arn(principal);
        let request = request.policy_arn(arn(name)).access_scope(scope);
        request.send().await.map_err(AwsError::sdk(format!("give {principal} the access policy {name}")))?;
    }
    for name in has.keys().filter(|name| !wanted.contains_key(*name)) {
        let request =
            work.aws.eks.disassociate_access_policy().cluster_name(&work.marks.cluster).principal_arn(principal);
        let request = request.policy_arn(arn(name));
        request.send().await.map_err(AwsError::sdk(format!("take the access policy {name} from {principal}")))?;
    }
    Ok(())
}

pub(super) async fn delete(work: &Work<'_>, principal: &str) -> Result<(), AwsError> {
    let request = work.aws.eks.delete_access_entry().cluster_name(&work.marks.cluster).principal_arn(principal);
    match request.send().await.map_err(AwsError::sdk(format!("delete the access entry of {principal}"))) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
