//! The Auto Scaling groups behind node groups, as far as Cluster Autoscaler reads them.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types::{Filter, Tag};

use crate::aws::Aws;
use crate::error::AwsError;
use crate::marks::Marks;

/// Their tags, by name.
pub type ScalingGroups = BTreeMap<String, BTreeMap<String, String>>;

/// The tag that EKS puts on the groups that it makes.
const OF_CLUSTER: &str = "eks:cluster-name";

/// The Auto Scaling groups of the cluster.
///
/// # Errors
/// They could not be listed.
pub async fn scaling_groups(aws: &Aws, marks: &Marks) -> Result<ScalingGroups, AwsError> {
    let filter = Filter::builder().name(format!("tag:{OF_CLUSTER}")).values(&marks.cluster).build();
    let mut pages = aws.autoscaling.describe_auto_scaling_groups().filters(filter).into_paginator().items().send();
    let mut groups = ScalingGroups::new();
    while let Some(group) = pages.next().await {
        let group = group.map_err(AwsError::sdk("list the Auto Scaling groups of the cluster"))?;
        let tags =
            group.tags().iter().filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())));
        groups.insert(group.auto_scaling_group_name.clone().unwrap_or_default(), tags.collect());
    }
    Ok(groups)
}

/// Puts tags on one, for the group and not for its machines.
///
/// # Errors
/// AWS' words.
pub(super) async fn tag(aws: &Aws, group: &str, tags: &BTreeMap<String, String>) -> Result<(), AwsError> {
    if tags.is_empty() {
        return Ok(());
    }
    let tags = tags.iter().map(|(key, value)| {
        Tag::builder()
            .resource_type("auto-scaling-group")
            .resource_id(group)
            .key(key)
            .value(value)
            .propagate_at_launch(false)
            .build()
    });
    let request = aws.autoscaling.create_or_update_tags().set_tags(Some(tags.collect()));
    request.send().await.map(drop).map_err(AwsError::sdk(format!("tag Auto Scaling group {group}")))
}
