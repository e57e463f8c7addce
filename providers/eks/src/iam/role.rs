//! Roles.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{Role as IamRole, Tag};
use serde_json::Value;

use super::policy::{canonical, decoded};
use super::trust::{Place, document, trust_of};
use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::part::{Found, Part, Role};
use crate::work::{Work, settled};

type Tags = BTreeMap<String, String>;

/// Names of the roles under our path. Their tags are not among what a list answers.
pub(super) async fn listed(aws: &Aws, marks: &Marks) -> Result<BTreeSet<String>, AwsError> {
    let pages = aws.iam.list_roles().path_prefix(marks.iam_path()).into_paginator().items().send();
    let roles =
        pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk("list the IAM roles of this cluster"))?;
    Ok(roles.into_iter().map(|role| role.role_name).collect())
}

/// A role as IAM tells it.
pub(super) struct Looked {
    role: IamRole,
    tags: Tags,
    managed: BTreeSet<String>,
    inline: BTreeMap<String, Value>,
}

impl Looked {
    pub(super) fn tags(&self) -> &Tags {
        &self.tags
    }

    /// It in our words. Whom it trusts is told by where it is.
    pub(super) fn found(self, place: &Place<'_>) -> Found {
        let Self { role, tags, managed, inline } = self;
        let trust = role.assume_role_policy_document().map(decoded).unwrap_or(Value::Null);
        let part = Part::Role(Role { trust: trust_of(&trust, place), managed, inline });
        Found { id: role.arn, part, tags, issues: Vec::new() }
    }
}

/// A role as it is: three requests at once, and one for each inline policy.
///
/// # Errors
/// [`AwsErrorKind::NotFound`] where there is none.
pub(super) async fn look(aws: &Aws, name: &str) -> Result<Looked, AwsError> {
    let ((role, tags), managed, inline) = futures::try_join!(get(aws, name), attached(aws, name), inline(aws, name))?;
    Ok(Looked { role, tags, managed, inline })
}

async fn get(aws: &Aws, name: &str) -> Result<(IamRole, Tags), AwsError> {
    let attempted = format!("read the IAM role {name}");
    let said = aws.iam.get_role().role_name(name).send().await.map_err(AwsError::sdk(&attempted))?;
    let nameless = || AwsError::new(&attempted, AwsErrorKind::Garbled, "the answer holds no role");
    let role = said.role.ok_or_else(nameless)?;
    let tags = tags_of(role.tags());
    Ok((role, tags))
}

pub(super) fn tags_of(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

async fn attached(aws: &Aws, name: &str) -> Result<BTreeSet<String>, AwsError> {
    let pages = aws.iam.list_attached_role_policies().role_name(name).into_paginator().items().send();
    let attempted = format!("list the policies of the IAM role {name}");
    let policies = pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk(attempted))?;
    Ok(policies.into_iter().filter_map(|policy| policy.policy_arn).collect())
}

async fn inline(aws: &Aws, name: &str) -> Result<BTreeMap<String, Value>, AwsError> {
    let pages = aws.iam.list_role_policies().role_name(name).into_paginator().items().send();
    let attempted = format!("list the inline policies of the IAM role {name}");
    let names = pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk(attempted))?;
    let read = |policy: String| async move {
        let call = aws.iam.get_role_policy().role_name(name).policy_name(&policy);
        let attempted = format!("read the policy {policy} of the IAM role {name}");
        let said = call.send().await.map_err(AwsError::sdk(attempted))?;
        Ok::<_, AwsError>((policy, canonical(&decoded(&said.policy_document))))
    };
    Ok(futures::future::try_join_all(names.into_iter().map(read)).await?.into_iter().collect())
}

/// The name in an ARN: what follows its path.
fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Makes a role, or finishes one of ours. Answers its ARN.
pub(super) async fn create(
    work: &Work<'_>,
    part: &str,
    (role, place): (&Role, &Place<'_>),
    tags: &Tags,
) -> Result<String, AwsError> {
    let name = work.marks.role_name(part);
    let attempted = format!("create the IAM role {name}");
    let trust = document(&role.trust, place).ok_or_else(|| no_issuer(&attempted))?;
    let call = work.aws.iam.create_role().role_name(&name).path(work.marks.iam_path());
    let call = call.assume_role_policy_document(trust.to_string()).set_tags(Some(to_tags(tags, &attempted)?));
    let said = settled(|| async { call.clone().send().await.map_err(AwsError::sdk(&attempted)) }).await;
    let arn = match said {
        Ok(said) => said.role.map(|role| role.arn),
        Err(error) if error.kind == AwsErrorKind::AlreadyThere => {
            let (there, tags) = get(work.aws, &name).await?;
            if !work.marks.are_on(&tags) {
                let why = format!("{} has that name and does not carry this blueprint's tags", there.arn);
                return Err(AwsError::refused(attempted, why)
                    .with_hint("give the cluster another name (cluster.name), or delete that role if nobody uses it"));
            }
            Some(there.arn)
        }
        Err(error) => return Err(error),
    };
    let arn = arn.ok_or_else(|| AwsError::new(&attempted, AwsErrorKind::Garbled, "the answer holds no role"))?;
    set(work, &arn, (role, place), tags).await.map_err(AwsError::after_change)?;
    Ok(arn)
}

/// Makes a role that is there what it should be: trust, policies, tags. Policies that others gave it are taken off it.
pub(super) async fn set(
    work: &Work<'_>,
    arn: &str,
    (role, place): (&Role, &Place<'_>),
    tags: &Tags,
) -> Result<(), AwsError> {
    let (iam, name) = (&work.aws.iam, name_of(arn));
    // As it is now: what was seen when it was planned may be old.
    let there = settled(|| look(work.aws, name)).await?.found(place);
    let Part::Role(has) = there.part else {
        return Err(AwsError::refused(format!("change the IAM role {name}"), "it is no role"));
    };
    let lacks: Tags = tags.iter().filter(|(key, value)| there.tags.get(*key) != Some(value)).map(owned).collect();
    // Each call may meet a part of IAM that does not know a new role yet.
    if !lacks.is_empty() {
        let attempted = format!("tag the IAM role {name}");
        let lacks = to_tags(&lacks, &attempted)?;
        settled(|| async {
            let call = iam.tag_role().role_name(name).set_tags(Some(lacks.clone()));
            call.send().await.map_err(AwsError::sdk(&attempted))
        })
        .await?;
    }
    if has.trust != role.trust {
        let attempted = format!("say who may be the IAM role {name}");
        let trust = document(&role.trust, place).ok_or_else(|| no_issuer(&attempted))?.to_string();
        settled(|| async {
            let call = iam.update_assume_role_policy().role_name(name).policy_document(&trust);
            call.send().await.map_err(AwsError::sdk(&attempted))
        })
        .await?;
    }
    for policy in role.managed.difference(&has.managed) {
        settled(|| async {
            let attempted = format!("attach the policy {policy} to the IAM role {name}");
            let done = iam.attach_role_policy().role_name(name).policy_arn(policy).send().await;
            done.map_err(AwsError::sdk(attempted)).map_err(|error| no_such_policy(error, policy))
        })
        .await?;
    }
    for policy in has.managed.difference(&role.managed) {
        detach(work, name, policy).await?;
    }
    for (policy, document) in &role.inline {
        if has.inline.get(policy).is_none_or(|found| *found != canonical(document)) {
            let (attempted, document) =
                (format!("write the policy {policy} of the IAM role {name}"), document.to_string());
            settled(|| async {
                let call = iam.put_role_policy().role_name(name).policy_name(policy).policy_document(&document);
                call.send().await.map_err(AwsError::sdk(&attempted))
            })
            .await?;
        }
    }
    for policy in has.inline.keys().filter(|policy| !role.inline.contains_key(*policy)) {
        delete_inline(work, name, policy).await?;
    }
    Ok(())
}

/// A policy that there is none of stays missing, other than a role that was just made: IAM has one code for both.
fn no_such_policy(error: AwsError, policy: &str) -> AwsError {
    if error.kind != AwsErrorKind::NotFound || !error.source.to_string().contains(policy) {
        return error;
    }
    AwsError { kind: AwsErrorKind::Refused, ..error }.with_hint(
        "write the policy's ARN, or its name with its path: service-role/NAME; `aws iam list-policies` lists them",
    )
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

pub(super) fn to_tags(tags: &Tags, attempted: &str) -> Result<Vec<Tag>, AwsError> {
    let tag = |(key, value): (&String, &String)| {
        let built = Tag::builder().key(key).value(value).build();
        built.map_err(|error| AwsError::refused(attempted, error.to_string()))
    };
    tags.iter().map(tag).collect()
}

fn no_issuer(attempted: &str) -> AwsError {
    AwsError::refused(attempted, "the cluster has no OIDC issuer yet").with_hint("plan again when the cluster is there")
}

async fn detach(work: &Work<'_>, name: &str, policy: &str) -> Result<(), AwsError> {
    let done = work.aws.iam.detach_role_policy().role_name(name).policy_arn(policy).send().await;
    gone(done.map(drop).map_err(AwsError::sdk(format!("detach the policy {policy} from the IAM role {name}"))))
}

async fn delete_inline(work: &Work<'_>, name: &str, policy: &str) -> Result<(), AwsError> {
    let done = work.aws.iam.delete_role_policy().role_name(name).policy_name(policy).send().await;
    gone(done.map(drop).map_err(AwsError::sdk(format!("delete the policy {policy} of the IAM role {name}"))))
}

/// What is gone already is done.
pub(super) fn gone(done: Result<(), AwsError>) -> Result<(), AwsError> {
    match done {
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Deletes a role with its policies. Instance profiles that EKS made for node groups go with those: until then it waits.
pub(super) async fn delete(work: &Work<'_>, arn: &str) -> Result<(), AwsError> {
    let name = name_of(arn);
    let tags = match get(work.aws, name).await {
        Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(()),
        found => found?.1,
    };
    if !work.marks.are_on(&tags) {
        let why = "it does not carry this blueprint's tags, and what is not ours is never deleted";
        return Err(AwsError::refused(format!("delete the IAM role {name}"), why));
    }
    let mut waiting = work.wait_for(format!("the IAM role {name} to be in use by nothing"));
    loop {
        let (managed, inline) = futures::try_join!(attached(work.aws, name), inline(work.aws, name))?;
        for policy in &managed {
            detach(work, name, policy).await?;
        }
        for policy in inline.keys() {
            delete_inline(work, name, policy).await.map_err(AwsError::after_change)?;
        }
        let done = work.aws.iam.delete_role().role_name(name).send().await;
        match done.map(drop).map_err(AwsError::sdk(format!("delete the IAM role {name}"))) {
            Err(error) if error.kind == AwsErrorKind::InUse => waiting.on(&error.source.to_string()).await?,
            done => return gone(done).map_err(AwsError::after_change),
        }
    }
}
