//! Makes, changes, replaces and removes node groups, and waits for them.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_eks::types::{
    AmiTypes, CapacityTypes, LaunchTemplateSpecification, NodeRepairConfig, Nodegroup, NodegroupScalingConfig,
    NodegroupUpdateConfig, UpdateLabelsPayload, UpdateTaintsPayload,
};
use wbk_provider_api::Capacity;

use super::health::{helps, is_about_capacity};
use super::nodes;
use super::observe::{self, describe};
use super::scaling::{self, ScalingGroups};
use crate::content::GroupContent;
use crate::error::{AwsError, AwsErrorKind};
use crate::names::{self, Names};
use crate::shape::{GroupShape, TemplateRef};
use crate::template;
use crate::work::{Work, settled};
use crate::world::GroupFound;

/// Makes a node group and waits until it is there.
///
/// # Errors
/// AWS' words, with what its issues mean, and whether something was made.
pub async fn create(work: &Work<'_>, group: &GroupContent) -> Result<(), AwsError> {
    let (cluster, name) = (&work.marks.cluster, &group.name);
    delete(work, &group.clears).await?;
    if describe(work.aws, work.marks, name).await?.is_none() {
        let shape = &group.shape;
        let role = names::role_arn(work, &shape.role).await?;
        let subnets = names::subnet_ids(work, &shape.subnets).await?;
        let taints = shape.taints.iter().map(observe::to_group_taint).collect();
        let template = template_of(work, shape).await?;
        // What the template says is said nowhere else.
        let named = shape.template.as_ref().is_none_or(|template| template.machine.is_none());
        let machines: Option<Vec<String>> = named.then(|| shape.machines.iter().cloned().collect());
        settled(|| {
            let request = work
                .aws
                .eks
                .create_nodegroup()
                .cluster_name(cluster)
                .nodegroup_name(name)
                .node_role(&role)
                .set_subnets(Some(subnets.clone()))
                .set_instance_types(machines.clone())
                .ami_type(AmiTypes::from(shape.ami.as_str()))
                .capacity_type(match (&shape.capacity_block, shape.capacity) {
                    (Some(_), _) => CapacityTypes::CapacityBlock,
                    (None, Capacity::OnDemand) => CapacityTypes::OnDemand,
                    (None, Capacity::Spot) => CapacityTypes::Spot,
                })
                .set_disk_size(shape.disk_gib.map(number))
                .set_launch_template(template.clone())
                .version(&shape.version)
                .scaling_config(sizes(shape, shape.min))
                .set_labels(Some(shape.labels.clone().into_iter().collect()))
                .set_taints(Some(Vec::clone(&taints)))
                .update_config(update_config(shape))
                .node_repair_config(NodeRepairConfig::builder().enabled(shape.repair).build())
                .set_tags(Some(group.tags.clone().into_iter().collect()))
                .client_request_token(work.client_token(&format!("group {name}")));
            async move { request.send().await.map(drop).map_err(AwsError::sdk(format!("create node group {name}"))) }
        })
        .await?;
    }
    let made = wait_until_active(work, name, group.elsewhere.as_deref()).await?;
    tag_behind(work, &made, group).await
}

/// Waits until a node group is `ACTIVE`. `elsewhere` is what to do where EC2 has no such machines.
///
/// # Errors
/// It failed, with what its issues mean, is gone, or the deadline came.
pub async fn wait_until_active(work: &Work<'_>, name: &str, elsewhere: Option<&str>) -> Result<Nodegroup, AwsError> {
    let attempted = format!("wait for node group {name}");
    let mut waiting = work.wait_for(format!("node group {name}"));
    loop {
        let Some(group) = describe(work.aws, work.marks, name).await? else {
            return Err(AwsError::new(attempted, AwsErrorKind::NotFound, "it is gone").after_change());
        };
        let issues = observe::issues(&group);
        match group.status.as_ref().map(|status| status.as_str()) {
            Some("ACTIVE") => return Ok(group),
            Some(state @ ("CREATE_FAILED" | "DELETE_FAILED" | "DELETING" | "DEGRADED")) => {
                let words = format!("its state is {state}: {}", issues.join("; "));
                let error = AwsError::new(attempted, AwsErrorKind::Failed, words).after_change();
                let codes = observe::codes(&group);
                let helps = match (is_about_capacity(&codes), elsewhere) {
                    (true, Some(elsewhere)) => Some(elsewhere),
                    _ => helps(&codes),
                };
                return Err(match helps {
                    Some(helps) => error.with_hint(helps),
                    None => error,
                });
            }
            // Issues show while it is still tried: whoever waits learns why.
            Some(state) if !issues.is_empty() => waiting.on(&format!("{state}: {}", issues.join("; "))).await?,
            Some(state) => waiting.on(state).await?,
            None => waiting.on("unknown").await?,
        }
    }
}

async fn tag_behind(work: &Work<'_>, made: &Nodegroup, group: &GroupContent) -> Result<(), AwsError> {
    let behind = made.resources.as_ref().map(|resources| resources.auto_scaling_groups()).unwrap_or_default();
    for name in behind.iter().filter_map(|behind| behind.name.as_deref()) {
        scaling::tag(work.aws, name, &group.scaling_tags).await?;
    }
    Ok(())
}

/// Makes a node group so, in place.
///
/// # Errors
/// AWS' words; what was changed before stays.
pub async fn update(work: &Work<'_>, group: &GroupContent) -> Result<(), AwsError> {
    let (cluster, name) = (&work.marks.cluster, &group.name);
    delete(work, &group.clears).await?;
    let Some(now) = describe(work.aws, work.marks, name).await? else {
        return Err(AwsError::new(format!("change node group {name}"), AwsErrorKind::NotFound, "it is gone"));
    };
    let found = observe::found(&now, work.marks, &Names::default(), &ScalingGroups::default());
    let (has, shape) = (&found.shape, &group.shape);
    if let Some(tags) = missing(&found, group) {
        let request = work.aws.eks.tag_resource().set_resource_arn(now.nodegroup_arn.clone()).set_tags(Some(tags));
        request.send().await.map_err(AwsError::sdk(format!("tag node group {name}")))?;
    }
    tag_behind(work, &now, group).await?;
    let follows = now.launch_template.as_ref();
    let template = match template_of(work, shape).await? {
        Some(wanted) if !template::says(work, follows, shape.template.as_ref()).await? => Some(wanted),
        Some(_) | None => None,
    };
    if has.version != shape.version || template.is_some() {
        let to = match &template {
            None => format!("Kubernetes {}", shape.version),
            Some(to) => {
                format!(
                    "Kubernetes {} and its launch template's version {}",
                    shape.version,
                    to.version().unwrap_or("?")
                )
            }
        };
        let request = work.aws.eks.update_nodegroup_version().cluster_name(cluster).nodegroup_name(name);
        let token = work.client_token(&format!("group {name} {to}"));
        let request = request.version(&shape.version).set_launch_template(template).client_request_token(token);
        let attempted = format!("bring node group {name} to {to}");
        let answer = request.send().await.map_err(AwsError::sdk(attempted))?;
        finished(work, name, answer.update.and_then(|update| update.id)).await?;
    }
    let mut request = work.aws.eks.update_nodegroup_config().cluster_name(cluster).nodegroup_name(name);
    let mut differs = false;
    if has.labels != shape.labels {
        let gone = has.labels.keys().filter(|key| !shape.labels.contains_key(*key)).cloned().collect();
        let set: HashMap<String, String> = shape
            .labels
            .iter()
            .filter(|(key, value)| has.labels.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let labels = UpdateLabelsPayload::builder().set_add_or_update_labels(Some(set)).set_remove_labels(Some(gone));
        request = request.labels(labels.build());
        differs = true;
    }
    if has.taints != shape.taints {
        let of = |taints: &BTreeSet<_>, others: &BTreeSet<_>| {
            taints.difference(others).map(observe::to_group_taint).collect::<Vec<_>>()
        };
        // One of the same key and effect is changed by being set.
        let same = |taint: &&wbk_provider_api::Taint| {
            shape.taints.iter().any(|other| (&other.key, other.effect) == (&taint.key, taint.effect))
        };
        let gone: BTreeSet<_> = has.taints.iter().filter(|taint| !same(taint)).cloned().collect();
        let taints = UpdateTaintsPayload::builder()
            .set_add_or_update_taints(Some(of(&shape.taints, &has.taints)))
            .set_remove_taints(Some(of(&gone, &BTreeSet::new())));
        request = request.taints(taints.build());
        differs = true;
    }
    if (has.min, has.max) != (shape.min, shape.max) {
        // Whoever scales the group decides between the bounds; only what is outside of them is moved.
        request = request.scaling_config(sizes(shape, found.desired.clamp(shape.min, shape.max)));
        differs = true;
    }
    if has.max_unavailable != shape.max_unavailable {
        request = request.update_config(update_config(shape));
        differs = true;
    }
    if has.repair != shape.repair {
        request = request.node_repair_config(NodeRepairConfig::builder().enabled(shape.repair).build());
        differs = true;
    }
    if differs {
        let request = request.client_request_token(work.client_token(&format!("group {name}")));
        let answer = request.send().await.map_err(AwsError::sdk(format!("change node group {name}")))?;
        finished(work, name, answer.update.and_then(|update| update.id)).await?;
    }
    wait_until_active(work, name, group.elsewhere.as_deref()).await.map(drop)
}

/// The template that a group follows, in the version that is its default now.
async fn template_of(work: &Work<'_>, shape: &GroupShape) -> Result<Option<LaunchTemplateSpecification>, AwsError> {
    let (id, version) = match &shape.launch_template {
        None => return Ok(None),
        Some(TemplateRef::Part(name)) => {
            let current = template::current(work, name).await?;
            (current.id, current.version)
        }
        Some(TemplateRef::Id(id)) => (id.clone(), "$Default".to_owned()),
    };
    Ok(Some(LaunchTemplateSpecification::builder().id(id).version(version).build()))
}

fn missing(found: &GroupFound, group: &GroupContent) -> Option<HashMap<String, String>> {
    let missing: HashMap<String, String> = group
        .tags
        .iter()
        .filter(|(key, value)| found.tags.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!missing.is_empty()).then_some(missing)
}

async fn finished(work: &Work<'_>, name: &str, id: Option<String>) -> Result<(), AwsError> {
    crate::update::finished(work, Some(name), None, id, &format!("node group {name}")).await
}

/// The new group first; when its nodes are Ready with their GPUs, the old groups' pods move, and they go.
///
/// # Errors
/// AWS' or the cluster's words. The pool has its old nodes until the new ones are there.
pub async fn replace(work: &Work<'_>, group: &GroupContent, client: Option<&kube::Client>) -> Result<(), AwsError> {
    let mut carried = 0;
    for old in &group.replaces {
        let found = describe(work.aws, work.marks, old).await?;
        let sizes = found.and_then(|found| found.scaling_config);
        carried += sizes.and_then(|sizes| u32::try_from(sizes.desired_size?).ok()).unwrap_or_default();
    }
    // The pool never has fewer nodes than it had.
    let begins = carried.clamp(group.shape.min, group.shape.max);
    create(work, group).await?;
    grow(work, group, begins).await?;
    if carried > 0 {
        let Some(client) = client else {
            let words = "the API server of the cluster could not be reached, so that pods cannot move";
            let attempted = format!("replace the nodes of {}", group.name);
            return Err(AwsError::new(attempted, AwsErrorKind::Unreachable, words).after_change());
        };
        nodes::wait_for_nodes(work, client, (&group.name, begins), &group.replaces).await?;
        for old in &group.replaces {
            nodes::move_away(work, client, old).await?;
        }
    }
    delete(work, &group.replaces).await
}

async fn grow(work: &Work<'_>, group: &GroupContent, nodes: u32) -> Result<(), AwsError> {
    let name = &group.name;
    let has = describe(work.aws, work.marks, name).await?.and_then(|found| found.scaling_config?.desired_size);
    if has.and_then(|has| u32::try_from(has).ok()).is_some_and(|has| has >= nodes) {
        return Ok(());
    }
    let request = work.aws.eks.update_nodegroup_config().cluster_name(&work.marks.cluster).nodegroup_name(name);
    let request = request.scaling_config(sizes(&group.shape, nodes));
    let token = work.client_token(&format!("group {name} grows to {nodes}"));
    let answer = request.client_request_token(token).send().await;
    let answer = answer.map_err(AwsError::sdk(format!("give node group {name} {nodes} nodes")))?;
    finished(work, name, answer.update.and_then(|update| update.id)).await?;
    wait_until_active(work, name, group.elsewhere.as_deref()).await.map(drop)
}

/// Removes node groups and waits until they are gone. EKS drains their nodes itself.
///
/// # Errors
/// AWS' words, or the deadline came.
pub async fn delete(work: &Work<'_>, names: &BTreeSet<String>) -> Result<(), AwsError> {
    for name in names {
        let mut waiting = work.wait_for(format!("node group {name} to be gone"));
        let mut asked = false;
        while let Some(group) = describe(work.aws, work.marks, name).await? {
            let state = group.status.as_ref().map(|status| status.as_str().to_owned()).unwrap_or_default();
            if state == "DELETE_FAILED" && asked {
                let words = format!("its state is {state}: {}", observe::issues(&group).join("; "));
                let attempted = format!("delete node group {name}");
                return Err(AwsError::new(attempted, AwsErrorKind::Failed, words).after_change());
            }
            if !asked && state != "DELETING" {
                let request = work.aws.eks.delete_nodegroup().cluster_name(&work.marks.cluster).nodegroup_name(name);
                match request.send().await.map_err(AwsError::sdk(format!("delete node group {name}"))) {
                    Ok(_) => {}
                    Err(error) if error.kind == AwsErrorKind::NotFound => break,
                    Err(error) => return Err(error),
                }
                asked = true;
                continue;
            }
            waiting.on(&state).await?;
        }
    }
    Ok(())
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn sizes(shape: &GroupShape, desired: u32) -> NodegroupScalingConfig {
    NodegroupScalingConfig::builder()
        .min_size(number(shape.min))
        .max_size(number(shape.max))
        .desired_size(number(desired))
        .build()
}

fn update_config(shape: &GroupShape) -> NodegroupUpdateConfig {
    NodegroupUpdateConfig::builder().max_unavailable(number(shape.max_unavailable)).build()
}
