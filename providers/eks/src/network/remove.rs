//! Deleting what others may still be in: load balancers' and nodes' network interfaces go some minutes after what made them.

use aws_sdk_ec2::types::Filter;

use super::ask;
use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::work::Work;

/// As many as one line names.
const NAMED: usize = 4;

/// Calls a delete until it is done: what is gone already is, and what is in the way is waited for, by name, until the deadline.
pub(super) async fn remove<F>(
    work: &Work<'_>,
    what: &str,
    place: Option<Filter>,
    mut call: impl FnMut() -> F,
) -> Result<(), AwsError>
where
    F: Future<Output = Result<(), AwsError>>,
{
    let mut waiting = work.wait_for(format!("{what} to be in use by nothing"));
    loop {
        match call().await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind == AwsErrorKind::InUse => {
                let in_the_way = match &place {
                    Some(place) => in_the_way(work.aws, place).await,
                    None => Vec::new(),
                };
                let state = if in_the_way.is_empty() { error.source.to_string() } else { in_the_way.join(", ") };
                waiting.on(&state).await.map_err(|late| {
                    late.with_hint(
                        "delete what is in the way: Services of type LoadBalancer, nodes, and what others made in this network",
                    )
                })?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What is in a VPC or a subnet and is no part of ours, in words. What cannot be seen is left out: this only explains.
async fn in_the_way(aws: &Aws, place: &Filter) -> Vec<String> {
    let is_vpc = place.name() == Some("vpc-id");
    let within = || vec![place.clone()];
    let interfaces = async { ask::interfaces(aws, within()).await.unwrap_or_default() };
    let subnets = async { if is_vpc { ask::subnets(aws, within()).await.unwrap_or_default() } else { Vec::new() } };
    let groups = async { if is_vpc { ask::groups(aws, within()).await.unwrap_or_default() } else { Vec::new() } };
    let (interfaces, subnets, groups) = futures::join!(interfaces, subnets, groups);
    let interfaces = interfaces.into_iter().map(|interface| {
        let id = interface.network_interface_id.unwrap_or_default();
        if let Some(balancer) = interface.description.as_deref().and_then(crate::left::balancer) {
            return format!("load balancer {balancer} (network interface {id})");
        }
        let whose = interface.attachment.and_then(|attachment| attachment.instance_id).or(interface.description);
        format!("network interface {id} ({})", whose.unwrap_or_default())
    });
    let subnets = subnets.into_iter().map(|subnet| format!("subnet {}", subnet.subnet_id.unwrap_or_default()));
    let groups = groups.into_iter().filter(|group| group.group_name() != Some("default")).map(|group| {
        format!("security group {} ({})", group.group_id.unwrap_or_default(), group.group_name.unwrap_or_default())
    });
    let mut all: Vec<String> = interfaces.chain(subnets).chain(groups).collect();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
}
