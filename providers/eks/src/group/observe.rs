//! Describes the node groups of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eks::types::{Nodegroup, Taint as GroupTaint, TaintEffect as GroupEffect};
use futures::future::join_all;
use wbk_provider_api::{Capacity, Seen, Taint, TaintEffect};

use super::health;
use super::scaling::ScalingGroups;
use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::{Marks, POOL};
use crate::names::Names;
use crate::shape::GroupShape;
use crate::version::Minor;
use crate::world::GroupFound;

/// The node groups of the cluster whose names count, whoever made them, as AWS describes them; by name.
///
/// # Errors
/// They could not be listed. One that could not be described is unknown on its own.
pub async fn describe_all(
    aws: &Aws,
    marks: &Marks,
    counts: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Seen<Nodegroup>>, AwsError> {
    let mut names = Vec::new();
    let mut pages = aws.eks.list_nodegroups().cluster_name(&marks.cluster).into_paginator().items().send();
    while let Some(name) = pages.next().await {
        match name.map_err(AwsError::sdk(format!("list the node groups of EKS cluster {}", marks.cluster))) {
            Ok(name) => names.push(name),
            Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        }
    }
    names.retain(|name| counts(name));
    let groups = join_all(names.into_iter().map(|name| async move {
        let seen = match describe(aws, marks, &name).await {
            Ok(Some(group)) => Seen::Present(group),
            Ok(None) => Seen::Absent,
            Err(error) => Seen::Unknown(error.why()),
        };
        (name, seen)
    }));
    Ok(groups.await.into_iter().filter(|(_, seen)| *seen != Seen::Absent).collect())
}

/// One node group; `None` where there is none.
///
/// # Errors
/// It could not be seen.
pub(super) async fn describe(aws: &Aws, marks: &Marks, name: &str) -> Result<Option<Nodegroup>, AwsError> {
    let request = aws.eks.describe_nodegroup().cluster_name(&marks.cluster).nodegroup_name(name);
    match request.send().await.map_err(AwsError::sdk(format!("describe node group {name}"))) {
        Ok(answer) => Ok(answer.nodegroup),
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// It in our words.
pub(crate) fn found(group: &Nodegroup, marks: &Marks, names: &Names, scaling: &ScalingGroups) -> GroupFound {
    let tags: BTreeMap<String, String> = group.tags.clone().unwrap_or_default().into_iter().collect();
    let sizes = group.scaling_config.as_ref();
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    let version = group.version.as_deref().unwrap_or_default();
    let follows = group.launch_template.as_ref().map(|template| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        names.template(&text(&template.id), &text(&template.version))
    });
    let (launch_template, template) = follows.unzip();
    let template = template.flatten();
    // In a template the machine is nowhere else.
    let machine = template.as_ref().and_then(|template| template.machine.clone());
    let shape = GroupShape {
        version: Minor::parse(version).map_or_else(|| version.to_owned(), |minor| minor.to_string()),
        machines: machine.map_or_else(|| group.instance_types().iter().cloned().collect(), |one| [one].into()),
        ami: group.ami_type.as_ref().map(|ami| ami.as_str().to_owned()).unwrap_or_default(),
        capacity: match group.capacity_type.as_ref().map(|capacity| capacity.as_str()) {
            Some("SPOT") => Capacity::Spot,
            Some(_) | None => Capacity::OnDemand,
        },
        disk_gib: launch_template.is_none().then(|| number(group.disk_size)),
        capacity_block: template.as_ref().and_then(|template| template.capacity_block.clone()),
        launch_template,
        template,
        subnets: group.subnets().iter().map(|id| names.subnet(id)).collect(),
        role: names.role(group.node_role.as_deref().unwrap_or_default()),
        min: number(sizes.and_then(|sizes| sizes.min_size)),
        max: number(sizes.and_then(|sizes| sizes.max_size)),
        labels: group.labels.clone().unwrap_or_default().into_iter().collect(),
        taints: group.taints().iter().map(taint).collect(),
        max_unavailable: number(group.update_config.as_ref().and_then(|config| config.max_unavailable)),
        repair: group.node_repair_config.as_ref().and_then(|config| config.enabled).unwrap_or(false),
    };
    let behind = group.resources.as_ref().map(|resources| resources.auto_scaling_groups()).unwrap_or_default();
    let behind = behind.iter().filter_map(|group| group.name.clone());
    GroupFound {
        given: false,
        pool: tags.get(POOL).filter(|_| marks.are_on(&tags)).cloned(),
        status: group.status.as_ref().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        shape,
        desired: number(sizes.and_then(|sizes| sizes.desired_size)),
        tags,
        scaling_groups: behind.filter_map(|name| Some((name.clone(), scaling.get(&name)?.clone()))).collect(),
        issues: issues(group),
        codes: codes(group),
        jobs: BTreeMap::new(),
    }
}

/// The codes of what AWS says is wrong with a group.
pub(super) fn codes(group: &Nodegroup) -> BTreeSet<String> {
    let issues = group.health.as_ref().map(|health| health.issues()).unwrap_or_default();
    issues.iter().filter_map(|issue| issue.code.as_ref()).map(|code| code.as_str().to_owned()).collect()
}

/// What AWS says is wrong with a group, in words a person can act on.
pub(super) fn issues(group: &Nodegroup) -> Vec<String> {
    let health = group.health.as_ref().map(|health| health.issues()).unwrap_or_default();
    health
        .iter()
        .map(|issue| {
            let code = issue.code.as_ref().map(|code| code.as_str().to_owned()).unwrap_or_default();
            let message = issue.message.clone().unwrap_or_default();
            match health::means(&code) {
                Some(means) => format!("{means} ({code}: {message})"),
                None => format!("{code}: {message}"),
            }
        })
        .collect()
}

fn taint(taint: &GroupTaint) -> Taint {
    Taint {
        key: taint.key.clone().unwrap_or_default(),
        value: taint.value.clone().unwrap_or_default(),
        effect: match taint.effect.as_ref().map(GroupEffect::as_str) {
            Some("NO_EXECUTE") => TaintEffect::NoExecute,
            Some("PREFER_NO_SCHEDULE") => TaintEffect::PreferNoSchedule,
            Some(_) | None => TaintEffect::NoSchedule,
        },
    }
}

/// A taint in the API's spelling.
pub(super) fn to_group_taint(taint: &Taint) -> GroupTaint {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => GroupEffect::NoSchedule,
        TaintEffect::NoExecute => GroupEffect::NoExecute,
        TaintEffect::PreferNoSchedule => GroupEffect::PreferNoSchedule,
    };
    let value = (!taint.value.is_empty()).then(|| taint.value.clone());
    GroupTaint::builder().key(&taint.key).set_value(value).effect(effect).build()
}
