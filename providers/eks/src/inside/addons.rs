//! Add-ons that EKS runs.

use std::collections::BTreeMap;

use aws_sdk_eks::types::{Addon, ResolveConflicts};
use futures::future::try_join_all;
use serde_json::Value;
use wbk_provider_api::PartId;

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::part::{Found, Part, sort};
use crate::work::Work;

pub(super) async fn observe(
    aws: &Aws,
    marks: &Marks,
    wanted: &BTreeMap<PartId, Part>,
    one: Option<&str>,
) -> Result<BTreeMap<PartId, Found>, AwsError> {
    let addons = match one {
        Some(name) => describe(aws, marks, name).await?.into_iter().collect(),
        None => all(aws, marks).await?,
    };
    let found = addons.into_iter().map(|addon| {
        let name = addon.addon_name.clone().unwrap_or_default();
        let id = PartId::new(sort::ADDON, name);
        let configured = matches!(wanted.get(&id), Some(Part::Addon { configuration: Some(_), .. }));
        (id, found(&addon, configured))
    });
    // Somebody else's add-ons are nobody's concern here.
    Ok(found.filter(|(id, found)| marks.are_on(&found.tags) || wanted.contains_key(id)).collect())
}

/// Every add-on, whoever made it.
pub(crate) async fn all(aws: &Aws, marks: &Marks) -> Result<Vec<Addon>, AwsError> {
    let mut names = Vec::new();
    let mut pages = aws.eks.list_addons().cluster_name(&marks.cluster).into_paginator().items().send();
    while let Some(name) = pages.next().await {
        match name.map_err(AwsError::sdk(format!("list the add-ons of EKS cluster {}", marks.cluster))) {
            Ok(name) => names.push(name),
            Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    let addons = try_join_all(names.iter().map(|name| describe(aws, marks, name))).await?;
    Ok(addons.into_iter().flatten().collect())
}

async fn describe(aws: &Aws, marks: &Marks, name: &str) -> Result<Option<Addon>, AwsError> {
    let request = aws.eks.describe_addon().cluster_name(&marks.cluster).addon_name(name);
    match request.send().await.map_err(AwsError::sdk(format!("describe add-on {name}"))) {
        Ok(answer) => Ok(answer.addon),
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn found(addon: &Addon, configured: bool) -> Found {
    let configuration = addon.configuration_values.as_deref().filter(|text| !text.trim().is_empty());
    // What is no JSON is YAML that somebody wrote by hand: it is kept as the text that it is, and differs.
    let configuration =
        configuration.map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())));
    let status = addon.status.as_ref().map(|status| status.as_str().to_owned()).unwrap_or_default();
    let mut issues = Vec::new();
    if status == "CREATE_FAILED" {
        let health = addon.health.as_ref().map(|health| health.issues()).unwrap_or_default();
        issues.push(format!(
            "its state is {status}: {}",
            health.iter().filter_map(|issue| issue.message.clone()).collect::<Vec<_>>().join("; ")
        ));
    }
    Found {
        id: addon.addon_arn.clone().unwrap_or_default(),
        part: Part::Addon {
            version: addon.addon_version.clone().unwrap_or_default(),
            // An add-on that nobody configures is left as it is.
            configuration: configuration.filter(|_| configured),
        },
        tags: addon.tags.clone().unwrap_or_default().into_iter().collect(),
        issues,
    }
}

pub(super) async fn create(
    work: &Work<'_>,
    name: &str,
    version: &str,
    configuration: Option<&Value>,
    tags: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    if let Some(there) = describe(work.aws, work.marks, name).await? {
        let failed = there.status.as_ref().is_some_and(|status| status.as_str() == "CREATE_FAILED");
        if !failed {
            return wait(work, name).await;
        }
        delete(work, name).await?;
    }
    let request = work
        .aws
        .eks
        .create_addon()
        .cluster_name(&work.marks.cluster)
        .addon_name(name)
        .addon_version(version)
        .set_configuration_values(configuration.map(Value::to_string))
        // What a cluster was made with is taken over, not fought.
        .resolve_conflicts(ResolveConflicts::Overwrite)
        .set_tags(Some(tags.clone().into_iter().collect()))
        .client_request_token(work.client_token(&format!("addon {name}")));
    request.send().await.map_err(AwsError::sdk(format!("create add-on {name}")))?;
    wait(work, name).await
}

async fn wait(work: &Work<'_>, name: &str) -> Result<(), AwsError> {
    let attempted = format!("wait for add-on {name}");
    let mut waiting = work.wait_for(format!("add-on {name}"));
    loop {
        let Some(addon) = describe(work.aws, work.marks, name).await? else {
            return Err(AwsError::new(attempted, AwsErrorKind::NotFound, "it is gone").after_change());
        };
        let health = addon.health.as_ref().map(|health| health.issues()).unwrap_or_default();
        let issues: Vec<String> = health.iter().filter_map(|issue| issue.message.clone()).collect();
        match addon.status.as_ref().map(|status| status.as_str()) {
            Some("ACTIVE") => return Ok(()),
            Some(state @ ("CREATE_FAILED" | "UPDATE_FAILED" | "DELETE_FAILED" | "DELETING")) => {
                let words = format!("its state is {state}: {}", issues.join("; "));
                return Err(AwsError::new(attempted, AwsErrorKind::Failed, words).after_change());
            }
            // DEGRADED passes when its pods run: nodes may still be coming.
            Some(state) if !issues.is_empty() => waiting.on(&format!("{state}: {}", issues.join("; "))).await?,
            Some(state) => waiting.on(state).await?,
            None => waiting.on("unknown").await?,
        }
    }
}

pub(super) async fn update(
    work: &Work<'_>,
    name: &str,
    version: &str,
    configuration: Option<&Value>,
    tags: &BTreeMap<String, String>,
) -> Result<(), AwsError> {
    let Some(there) = describe(work.aws, work.marks, name).await? else {
        return Err(AwsError::new(format!("change add-on {name}"), AwsErrorKind::NotFound, "it is gone"));
    };
    let has = found(&there, configuration.is_some());
    super::tag(work, there.addon_arn.as_deref(), tags, &format!("add-on {name}")).await?;
    let wanted = Part::Addon { version: version.to_owned(), configuration: configuration.cloned() };
    if has.part != wanted {
        let request = work
            .aws
            .eks
            .update_addon()
            .cluster_name(&work.marks.cluster)
            .addon_name(name)
            .addon_version(version)
            .set_configuration_values(configuration.map(Value::to_string))
            .resolve_conflicts(ResolveConflicts::Overwrite)
            .client_request_token(work.client_token(&format!("addon {name}")));
        let answer = request.send().await.map_err(AwsError::sdk(format!("change add-on {name}")))?;
        let id = answer.update.and_then(|update| update.id);
        crate::update::finished(work, None, Some(name), id, &format!("add-on {name}")).await?;
    }
    wait(work, name).await
}

pub(super) async fn delete(work: &Work<'_>, name: &str) -> Result<(), AwsError> {
    let mut waiting = work.wait_for(format!("add-on {name} to be gone"));
    let mut asked = false;
    while let Some(addon) = describe(work.aws, work.marks, name).await? {
        let state = addon.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
        if !asked && state != "DELETING" {
            let request = work.aws.eks.delete_addon().cluster_name(&work.marks.cluster).addon_name(name);
            match request.send().await.map_err(AwsError::sdk(format!("delete add-on {name}"))) {
                Ok(_) => asked = true,
                Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
            continue;
        }
        waiting.on(&state).await?;
    }
    Ok(())
}
