//! What is left in EC2 with a cluster's name on it after a destroy: machines, disks and load balancers that controllers made, whose tags
//! are theirs and not this tool's.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Instance, NetworkInterface, SecurityGroup, Volume};
use wbk_provider_api::{Capacity, Costs, Leftover};

use crate::aws::Aws;
use crate::error::AwsError;

/// Tags that controllers put on what they make: the cloud provider's, the EBS driver's and Karpenter's is `kubernetes.io/cluster/NAME`,
/// the AWS Load Balancer Controller's has the name as its value (kubernetes-sigs/aws-load-balancer-controller, `pkg/deploy/tracking`).
const OF_CONTROLLER: &str = "elbv2.k8s.aws/cluster";
/// On what EKS itself makes.
const OF_EKS: &str = "eks:cluster-name";
/// How lists of prices name what is no machine.
const BALANCER: &str = "(load-balancer)";

/// Looks for it. What could not be looked for is told as left, perhaps.
pub(crate) async fn look(aws: &Aws, cluster: &str) -> Vec<Leftover> {
    let (machines, disks, groups) = futures::join!(machines(aws, cluster), disks(aws, cluster), groups(aws, cluster));
    let balancers = match &groups {
        Ok(groups) => balancers(aws, groups).await,
        Err(_) => Ok(Vec::new()),
    };
    let groups = groups.map(|groups| groups.iter().map(|group| of_group(aws, group)).collect());
    let mut left = Vec::new();
    for (what, found) in
        [("machines", machines), ("disks", disks), ("security groups", groups), ("load balancers", balancers)]
    {
        match found {
            Ok(found) => left.extend(found),
            Err(error) => left.push(Leftover {
                what: format!(
                    "{what} with the cluster's tags, perhaps: they could not be looked for ({})",
                    error.why().0
                ),
                hint: "give the rights that are missing, and destroy again".into(),
                costs: None,
            }),
        }
    }
    left
}

fn owned(cluster: &str) -> Filter {
    // A subnet that clusters share says `shared`; what one made says `owned`.
    Filter::builder().name(format!("tag:kubernetes.io/cluster/{cluster}")).values("owned").build()
}

fn named(key: &str, cluster: &str) -> Filter {
    Filter::builder().name(format!("tag:{key}")).values(cluster).build()
}

async fn machines(aws: &Aws, cluster: &str) -> Result<Vec<Leftover>, AwsError> {
    let lives = Filter::builder().name("instance-state-name");
    let lives =
        lives.set_values(Some(["pending", "running", "stopping", "stopped"].map(str::to_owned).to_vec())).build();
    let ask = |filter: Filter| {
        let pages = aws.ec2.describe_instances().filters(filter).filters(lives.clone()).into_paginator().send();
        async move {
            let pages = pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk("describe instances"))?;
            let reservations = pages.into_iter().flat_map(|page| page.reservations.unwrap_or_default());
            Ok::<Vec<Instance>, AwsError>(
                reservations.flat_map(|reservation| reservation.instances.unwrap_or_default()).collect(),
            )
        }
    };
    let (one, other) = futures::try_join!(ask(owned(cluster)), ask(named(OF_EKS, cluster)))?;
    let all: BTreeMap<String, Instance> =
        one.into_iter().chain(other).map(|found| (found.instance_id.clone().unwrap_or_default(), found)).collect();
    Ok(all
        .into_iter()
        .map(|(id, found)| {
            let machine = found.instance_type.map(|machine| machine.as_str().to_owned()).unwrap_or_default();
            let state = found.state.and_then(|state| Some(state.name?.as_str().to_owned())).unwrap_or_default();
            let capacity = if found.instance_lifecycle.is_some() { Capacity::Spot } else { Capacity::OnDemand };
            // One that is stopped costs its disks alone, which are told on their own.
            let runs = state == "running" || state == "pending";
            Leftover {
                what: format!("instance {id} ({machine}, {state})"),
                hint: format!("aws ec2 terminate-instances --region {} --instance-ids {id}", aws.region),
                costs: runs.then_some(Costs { of: machine, capacity, count: 1 }),
            }
        })
        .collect())
}

async fn disks(aws: &Aws, cluster: &str) -> Result<Vec<Leftover>, AwsError> {
    let pages = aws.ec2.describe_volumes().filters(owned(cluster)).into_paginator().items().send();
    let found: Vec<Volume> = pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk("describe volumes"))?;
    Ok(found
        .into_iter()
        .map(|disk| {
            let id = disk.volume_id.unwrap_or_default();
            let kind = disk.volume_type.map(|kind| kind.as_str().to_owned()).unwrap_or_default();
            let size = disk.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            Leftover {
                what: format!("volume {id} ({size} GiB of {kind}, with its data)"),
                hint: format!("aws ec2 delete-volume --region {} --volume-id {id}", aws.region),
                costs: Some(Costs { of: format!("({kind}-gib)"), capacity: Capacity::OnDemand, count: size }),
            }
        })
        .collect())
}

async fn groups(aws: &Aws, cluster: &str) -> Result<Vec<SecurityGroup>, AwsError> {
    let ask = |filter: Filter| {
        let pages = aws.ec2.describe_security_groups().filters(filter).into_paginator().items().send();
        async move { pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk("describe security groups")) }
    };
    let (one, other) = futures::try_join!(ask(owned(cluster)), ask(named(OF_CONTROLLER, cluster)))?;
    let all: BTreeMap<String, SecurityGroup> =
        one.into_iter().chain(other).map(|group| (group.group_id.clone().unwrap_or_default(), group)).collect();
    Ok(all.into_values().collect())
}

fn of_group(aws: &Aws, group: &SecurityGroup) -> Leftover {
    let id = group.group_id.as_deref().unwrap_or_default();
    Leftover {
        what: format!("security group {id} ({})", group.group_name.as_deref().unwrap_or_default()),
        hint: format!("aws ec2 delete-security-group --region {} --group-id {id}", aws.region),
        costs: None,
    }
}

/// Load balancers by their network interfaces in the security groups of the cluster's: EC2 writes the name in each (`ELB app/NAME/ID`).
async fn balancers(aws: &Aws, groups: &[SecurityGroup]) -> Result<Vec<Leftover>, AwsError> {
    let ids: Vec<String> = groups.iter().filter_map(|group| group.group_id.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter::builder().name("group-id").set_values(Some(ids)).build();
    let pages = aws.ec2.describe_network_interfaces().filters(filter).into_paginator().items().send();
    let found: Vec<NetworkInterface> =
        pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk("describe network interfaces"))?;
    let names: BTreeSet<String> =
        found.iter().filter_map(|interface| balancer(interface.description()?)).map(str::to_owned).collect();
    let region = &aws.region;
    Ok(names
        .into_iter()
        .map(|name| Leftover {
            what: format!("load balancer {name}"),
            hint: format!(
                "find it with: aws elbv2 describe-load-balancers --region {region} --names {name}, and delete it"
            ),
            costs: Some(Costs { of: BALANCER.into(), capacity: Capacity::OnDemand, count: 1 }),
        })
        .collect())
}

/// The name of the load balancer that a network interface is of, by its description.
pub(crate) fn balancer(description: &str) -> Option<&str> {
    let rest = description.strip_prefix("ELB ")?;
    // `app/NAME/ID`, `net/NAME/ID`; a classic one is its name alone.
    Some(rest.split('/').nth(1).unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::balancer;

    #[test]
    fn a_network_interface_says_which_load_balancer_it_is_of() {
        assert_eq!(balancer("ELB app/k8s-apps-web-0a1b/50dc6c495c0c9188"), Some("k8s-apps-web-0a1b"));
        assert_eq!(balancer("ELB a1b2c3"), Some("a1b2c3"));
        assert_eq!(balancer("Interface for NAT Gateway nat-1"), None);
    }
}
