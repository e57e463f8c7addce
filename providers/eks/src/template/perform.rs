//! A launch template made, given another version, or removed. Each may be called again after its answer was lost.

use aws_sdk_ec2::types::{
    CapacityReservationTarget, InstanceType, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateCapacityReservationSpecificationRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateHttpTokensState, LaunchTemplateInstanceMarketOptionsRequest,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceNetworkInterfaceSpecificationRequest,
    LaunchTemplatePlacementRequest, MarketType, RequestLaunchTemplateData, ResourceType, VolumeType,
};

use aws_sdk_eks::types::LaunchTemplateSpecification;

use super::observe::versions;
use super::read::template;
use super::{SecurityGroupRef, Template, TemplateDisk};
use crate::error::{AwsError, AwsErrorKind};
use crate::names::Names;
use crate::network::{given_tags, need, ours, put, tags_of};
use crate::part::{Found, sort};
use crate::work::{Work, settled};
use crate::{cluster, marks};

type Tags = std::collections::BTreeMap<String, String>;

/// A template that is there.
pub(crate) struct Current {
    /// `lt-…`.
    pub(crate) id: String,
    /// The version that new machines are made from.
    pub(crate) version: String,
    tags: Tags,
}

/// The template of a pool, by its tags.
///
/// # Errors
/// It could not be looked for, or is not there.
pub(crate) async fn current(work: &Work<'_>, name: &str) -> Result<Current, AwsError> {
    settled(|| async {
        find(work, name).await?.ok_or_else(|| {
            AwsError::new(
                format!("find the launch template {name}"),
                AwsErrorKind::NotFound,
                "nothing in EC2 carries its tags",
            )
            .with_hint("plan again: what it needs comes first then")
        })
    })
    .await
}

async fn find(work: &Work<'_>, name: &str) -> Result<Option<Current>, AwsError> {
    let request = work.aws.ec2.describe_launch_templates().set_filters(Some(ours(work.marks)));
    let pages = request.into_paginator().items().send();
    let found = pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk("describe launch templates"))?;
    // Its name in EC2 is one of a kind, and so is it.
    Ok(found.into_iter().find_map(|one| {
        let tags = tags_of(one.tags());
        let is_it = work.marks.are_on(&tags) && tags.get(marks::PART).is_some_and(|part| part == name);
        let version = one.default_version_number?.to_string();
        is_it.then_some(Current { id: one.launch_template_id?, version, tags })
    }))
}

/// Makes a template; one that is there by its tags is finished.
///
/// # Errors
/// Somebody else's has the name; what came back from EC2.
pub(crate) async fn create(work: &Work<'_>, name: &str, wanted: &Template, tags: &Tags) -> Result<(), AwsError> {
    if let Some(there) = find(work, name).await? {
        return bring(work, &there, wanted, tags).await;
    }
    let own = work.marks.ec2_name(name);
    let attempted = format!("create the launch template {own}");
    let data = data(work, wanted).await?;
    let made = settled(|| async {
        let call = work.aws.ec2.create_launch_template().launch_template_name(&own);
        let call = call.launch_template_data(data.clone()).client_token(work.client_token(&format!("template {name}")));
        let made = call.tag_specifications(given_tags(ResourceType::LaunchTemplate, tags)).send().await;
        made.map(drop).map_err(AwsError::sdk(&attempted))
    })
    .await;
    match made {
        // A former try's answer was lost; by now its tags are seen.
        Err(error) if error.kind == AwsErrorKind::AlreadyThere => match find(work, name).await? {
            Some(there) => bring(work, &there, wanted, tags).await,
            None => {
                Err(AwsError::refused(attempted, "one of that name is there and does not carry this blueprint's tags")
                    .with_hint("delete it if nobody uses it, or give the cluster another name (cluster.name)"))
            }
        },
        done => done,
    }
}

/// Makes a template that was found what it should be.
///
/// # Errors
/// What came back from EC2; it went meanwhile.
pub(crate) async fn update(
    work: &Work<'_>,
    name: &str,
    found: &Found,
    wanted: (&Template, &Tags),
) -> Result<(), AwsError> {
    put(work, &found.id, &found.tags, wanted.1).await?;
    bring(work, &current(work, name).await?, wanted.0, wanted.1).await
}

/// Gives it a version that says what is wanted, and makes that the default. A version that says so already is taken: a former try made
/// it, or the blueprint went back.
async fn bring(work: &Work<'_>, there: &Current, wanted: &Template, tags: &Tags) -> Result<(), AwsError> {
    put(work, &there.id, &there.tags, tags).await?;
    let data = data(work, wanted).await?;
    let names = known(work, wanted).await?;
    let all = versions(work.aws, &there.id).await?;
    let says_so = all
        .iter()
        .rev()
        .find(|version| version.launch_template_data().is_some_and(|data| template(data, &names) == *wanted));
    let number = match says_so.and_then(|version| version.version_number) {
        Some(number) => number.to_string(),
        None => {
            let attempted = format!("give the launch template {} another version", there.id);
            let token = work.client_token(&format!("template {} {}", there.id, all.len()));
            let call = work.aws.ec2.create_launch_template_version().launch_template_id(&there.id).client_token(token);
            let made = call.launch_template_data(data).send().await.map_err(AwsError::sdk(&attempted))?;
            let number = made.launch_template_version.and_then(|version| version.version_number);
            let nameless = || AwsError::new(&attempted, AwsErrorKind::Garbled, "the answer names no version");
            number.ok_or_else(nameless)?.to_string()
        }
    };
    if number == there.version {
        return Ok(());
    }
    let call = work.aws.ec2.modify_launch_template().launch_template_id(&there.id).default_version(&number);
    let attempted = format!("make version {number} of the launch template {} its default", there.id);
    call.send().await.map(drop).map_err(AwsError::sdk(attempted)).map_err(AwsError::after_change)
}

/// Whether the version that a group follows says what is wanted.
///
/// # Errors
/// It could not be read.
pub(crate) async fn says(
    work: &Work<'_>,
    follows: Option<&LaunchTemplateSpecification>,
    wanted: Option<&Template>,
) -> Result<bool, AwsError> {
    let (Some(follows), Some(wanted)) = (follows, wanted) else { return Ok(false) };
    let (Some(id), Some(version)) = (follows.id(), follows.version()) else { return Ok(false) };
    let names = known(work, wanted).await?;
    let all = versions(work.aws, id).await?;
    let is_it = |number: Option<i64>| number.is_some_and(|number| number.to_string() == version);
    let data = all.iter().find(|one| is_it(one.version_number)).and_then(|one| one.launch_template_data());
    Ok(data.is_some_and(|data| template(data, &names) == *wanted))
}

/// Removes a template with all its versions; what is not there is done.
///
/// # Errors
/// It does not carry this blueprint's marks; what came back from EC2.
pub(crate) async fn delete(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let attempted = format!("delete the launch template {id}");
    let asked = work.aws.ec2.describe_launch_templates().launch_template_ids(id).send().await;
    let there = match asked.map_err(AwsError::sdk(&attempted)) {
        Ok(answer) => answer.launch_templates.unwrap_or_default(),
        Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if there.is_empty() {
        return Ok(());
    }
    if !there.iter().any(|one| work.marks.are_on(&tags_of(one.tags()))) {
        let why = "it does not carry this blueprint's tags, and what is not ours is never deleted";
        return Err(AwsError::refused(attempted, why));
    }
    match work.aws.ec2.delete_launch_template().launch_template_id(id).send().await.map_err(AwsError::sdk(attempted)) {
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(()),
        done => done.map(drop),
    }
}

/// Names by the ids of what a template names, so that its versions are read in our words.
async fn known(work: &Work<'_>, wanted: &Template) -> Result<Names, AwsError> {
    let mut names = Names::default();
    for group in &wanted.security_groups {
        names.know_security_group(security_group(work, group).await?, group.clone());
    }
    if let Some(part) = &wanted.placement_group {
        names.know_placement_group(need(work, sort::PLACEMENT_GROUP, part).await?, part.clone());
    }
    Ok(names)
}

async fn security_group(work: &Work<'_>, group: &SecurityGroupRef) -> Result<String, AwsError> {
    match group {
        SecurityGroupRef::Id(id) => Ok(id.clone()),
        SecurityGroupRef::Part(name) => need(work, sort::SECURITY_GROUP, name).await,
        SecurityGroupRef::Cluster => {
            let attempted = format!("find the security group of EKS cluster {}", work.marks.cluster);
            let found = cluster::describe(work.aws, work.marks).await?;
            let id = found.and_then(|found| found.resources_vpc_config?.cluster_security_group_id);
            id.ok_or_else(|| AwsError::new(attempted, AwsErrorKind::NotFound, "the cluster has none yet"))
        }
    }
}

/// It as EC2 takes it.
async fn data(work: &Work<'_>, wanted: &Template) -> Result<RequestLaunchTemplateData, AwsError> {
    let mut groups = Vec::new();
    for group in &wanted.security_groups {
        groups.push(security_group(work, group).await?);
    }
    let interfaces = wanted.interfaces.iter().enumerate().map(|(index, (card, kind))| {
        // The first is the machine's own; EC2 takes device 1 on each further card (EC2 user guide, "Network cards").
        LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
            .device_index(i32::from(index > 0))
            .network_card_index(number(*card))
            .interface_type(kind)
            .set_groups(Some(groups.clone()))
            .delete_on_termination(true)
            .build()
    });
    let interfaces: Vec<_> = interfaces.collect();
    let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_put_response_hop_limit(number(wanted.metadata_hops))
        .http_tokens(match wanted.metadata_sessions {
            true => LaunchTemplateHttpTokensState::Required,
            false => LaunchTemplateHttpTokensState::Optional,
        });
    let mut data = RequestLaunchTemplateData::builder()
        .set_instance_type(wanted.machine.as_deref().map(InstanceType::from))
        .block_device_mappings(disk(&wanted.disk))
        .metadata_options(metadata.build());
    if !interfaces.is_empty() {
        data = data.set_network_interfaces(Some(interfaces));
    } else if !groups.is_empty() {
        data = data.set_security_group_ids(Some(groups));
    }
    if let Some(part) = &wanted.placement_group {
        let id = need(work, sort::PLACEMENT_GROUP, part).await?;
        data = data.placement(LaunchTemplatePlacementRequest::builder().group_id(id).build());
    }
    if let Some(block) = &wanted.capacity_block {
        let target = CapacityReservationTarget::builder().capacity_reservation_id(block).build();
        let reservation = LaunchTemplateCapacityReservationSpecificationRequest::builder()
            .capacity_reservation_target(target)
            .build();
        let market = LaunchTemplateInstanceMarketOptionsRequest::builder().market_type(MarketType::CapacityBlock);
        data = data.capacity_reservation_specification(reservation).instance_market_options(market.build());
    }
    Ok(data.build())
}

fn disk(disk: &TemplateDisk) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(number(disk.gib))
        .volume_type(VolumeType::from(disk.kind.as_str()))
        .set_throughput(disk.throughput.map(number))
        .set_iops(disk.iops.map(number))
        .set_encrypted(disk.key.as_ref().map(|_| true))
        .set_kms_key_id(disk.key.clone())
        .delete_on_termination(true);
    LaunchTemplateBlockDeviceMappingRequest::builder().device_name(&disk.device).ebs(ebs.build()).build()
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
