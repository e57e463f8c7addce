//! The Auto Scaling groups behind node groups, as an autoscaler sees and moves them.
//!
//! Quirks: fakecloud's groups know neither zones (its EC2 is not the one that has the subnets), nor instance types, nor instances, and
//! their desired number moves nothing. Here a group has what its node group has: its zones, its types, an instance for each node; and
//! its nodes follow its desired number. AWS itself picks the instance that TerminateInstanceInAutoScalingGroup names; here the last goes.

use std::fmt::Write as _;
use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, xml_answer};
use super::checks;
use super::eks::Eks;
use super::world::{Cluster, GroupPhase};
use crate::asked::parameter;
use crate::{StandError, xml};

/// A node group, by the Auto Scaling group behind it.
struct Behind {
    cluster: Arc<Cluster>,
    group: String,
}

impl Eks {
    /// An answer of Auto Scaling.
    pub(super) async fn scaling(
        self: &Arc<Self>,
        operation: &str,
        request: Request<Bytes>,
    ) -> Result<Answer, StandError> {
        let form = request.body().clone();
        match operation {
            "DescribeAutoScalingGroups" => {
                let answer = self.emulators.send("autoscaling", request).await?;
                if !answer.status().is_success() {
                    return Ok(answer);
                }
                let told = String::from_utf8_lossy(answer.body()).into_owned();
                let told = self.completed(&told).await?;
                Ok(answer.map(|_| told.into()))
            }
            // fakecloud notes that it launched nothing, as a failure, which an autoscaler takes for a lack of machines.
            "DescribeScalingActivities" => Ok(result(operation, "<Activities></Activities>")),
            "SetDesiredCapacity" => {
                let answer = self.emulators.send("autoscaling", request).await?;
                let name = parameter(&form, "AutoScalingGroupName").unwrap_or_default();
                let desired = parameter(&form, "DesiredCapacity").and_then(|number| number.parse().ok());
                if answer.status().is_success()
                    && let (Some(behind), Some(desired)) = (self.behind(&name).await?, desired)
                {
                    self.resize(&behind, desired).await?;
                }
                Ok(answer)
            }
            "TerminateInstanceInAutoScalingGroup" => {
                let instance = parameter(&form, "InstanceId").unwrap_or_default();
                let Some((behind, nodes)) = self.of_instance(&instance).await? else {
                    return self.emulators.send("autoscaling", request).await;
                };
                if parameter(&form, "ShouldDecrementDesiredCapacity").as_deref() == Some("true") {
                    self.resize(&behind, nodes.saturating_sub(1)).await?;
                }
                let activity = format!(
                    "<Activity><ActivityId>{instance}</ActivityId><AutoScalingGroupName>{}</AutoScalingGroupName>\
                     <Description>Terminating EC2 instance: {instance}</Description><Cause>asked</Cause>\
                     <StartTime>{}</StartTime><StatusCode>InProgress</StatusCode></Activity>",
                    behind.group,
                    jiff::Timestamp::now()
                );
                Ok(result(operation, &activity))
            }
            _ => self.emulators.send("autoscaling", request).await,
        }
    }

    /// The answer of DescribeAutoScalingGroups, with what the groups behind node groups have.
    async fn completed(&self, told: &str) -> Result<String, StandError> {
        const GROUP: &str = "<member><AutoScalingGroupName>";
        let mut parts = told.split(GROUP);
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            whole.push_str(GROUP);
            let found = match owner(part).and_then(|(cluster, group)| Some((self.world.get(&cluster)?, group))) {
                Some((cluster, group)) => self.complete(part, &cluster, &group).await?,
                None => part.to_owned(),
            };
            whole.push_str(&found);
        }
        Ok(whole)
    }

    async fn complete(&self, part: &str, cluster: &Cluster, group: &str) -> Result<String, StandError> {
        let (status, described) =
            self.emulators.eks("GET", &format!("/clusters/{}/node-groups/{group}", cluster.name)).await?;
        if status != StatusCode::OK {
            return Ok(part.to_owned());
        }
        let described = &described["nodegroup"];
        let zones = checks::subnets(&self.emulators, &described["subnets"]).await.map(|place| place.zones);
        let mut all_zones = String::new();
        for zone in zones.into_iter().flatten() {
            // Writing to a string does not fail.
            let _ = write!(all_zones, "<member>{zone}</member>");
        }
        let mut instances = String::new();
        for (instance, zone) in self.instances(cluster, group).await? {
            let _ = write!(
                instances,
                "<member><InstanceId>{instance}</InstanceId><AvailabilityZone>{zone}</AvailabilityZone>\
                 <LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus>\
                 <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
            );
        }
        let mut types = String::new();
        for one in described["instanceTypes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let _ = write!(types, "<member><InstanceType>{one}</InstanceType></member>");
        }
        let policy = format!(
            "<MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification><LaunchTemplateName>eks-{group}</LaunchTemplateName>\
             <Version>1</Version></LaunchTemplateSpecification><Overrides>{types}</Overrides></LaunchTemplate></MixedInstancesPolicy>"
        );
        let part = filled(part, "AvailabilityZones", &all_zones);
        let part = filled(&part, "Instances", &instances);
        Ok(part.replacen("<Instances>", &format!("{policy}<Instances>"), 1))
    }

    /// The nodes of a node group as instances, each with its zone.
    async fn instances(&self, cluster: &Cluster, group: &str) -> Result<Vec<(String, String)>, StandError> {
        match &*cluster.plane.read().await {
            Some(plane) => plane.instances(group).await,
            None => Ok(Vec::new()),
        }
    }

    /// The node group that an Auto Scaling group is behind.
    async fn behind(&self, name: &str) -> Result<Option<Behind>, StandError> {
        let asked = [("AutoScalingGroupNames.member.1", name)];
        let told = self.emulators.autoscaling("DescribeAutoScalingGroups", &asked).await?;
        let found = owner(&told).and_then(|(cluster, group)| Some((self.world.get(&cluster)?, group)));
        Ok(found.map(|(cluster, group)| Behind { cluster, group }))
    }

    /// The node group that an instance is of, and how many nodes that has.
    async fn of_instance(&self, instance: &str) -> Result<Option<(Behind, u32)>, StandError> {
        for cluster in self.world.everything() {
            for group in cluster.groups() {
                let nodes = self.instances(&cluster, &group).await?;
                if nodes.iter().any(|(id, _)| id == instance) {
                    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
                    return Ok(Some((Behind { cluster, group }, count)));
                }
            }
        }
        Ok(None)
    }

    /// What the Auto Scaling group wants the node group has, and its nodes follow.
    async fn resize(self: &Arc<Self>, behind: &Behind, desired: u32) -> Result<(), StandError> {
        let Behind { cluster, group } = behind;
        let path = format!("/clusters/{}/node-groups/{group}", cluster.name);
        let (_, described) = self.emulators.eks("GET", &path).await?;
        let mut scaling = described["nodegroup"]["scalingConfig"].clone();
        scaling["desiredSize"] = desired.into();
        self.emulators.eks_post(&format!("{path}/update-config"), &json!({"scalingConfig": scaling})).await?;
        // A node group whose nodes an autoscaler moves stays ACTIVE.
        let turn = cluster.set_group(group, GroupPhase::Active);
        let (this, cluster, group) = (Arc::clone(self), Arc::clone(cluster), group.clone());
        self.tasks.lock().await.spawn(async move {
            let _turn = turn.lock().await;
            if let Err(error) = this.make_nodes(&cluster, &group).await {
                eprintln!("{error}");
            }
        });
        Ok(())
    }
}

/// Cluster and node group of an Auto Scaling group, by the tags that EKS puts on it.
fn owner(group: &str) -> Option<(String, String)> {
    let tag = |key: &str| {
        let value = group.split_once(&format!("<Key>{key}</Key>"))?.1;
        xml::text(value, "Value").map(str::to_owned)
    };
    Some((tag("eks:cluster-name")?, tag("eks:nodegroup-name")?))
}

/// An element with another content; the first of its name.
fn filled(text: &str, name: &str, content: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    match (text.find(&open), text.find(&close)) {
        (Some(begin), Some(end)) => format!("{}{open}{content}{}", &text[..begin], &text[end..]),
        _ => text.replacen(&format!("<{name}/>"), &format!("{open}{content}{close}"), 1),
    }
}

fn result(operation: &str, inner: &str) -> Answer {
    xml_answer(&format!(
        "<{operation}Response xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><{operation}Result>{inner}</{operation}Result>\
         <ResponseMetadata><RequestId>stand</RequestId></ResponseMetadata></{operation}Response>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_by_its_tags_and_filled_in_its_own_elements_alone() {
        let group = "a</AutoScalingGroupName><AvailabilityZones></AvailabilityZones><Instances><member>old</member></Instances>\
                     <Tags><member><Key>eks:cluster-name</Key><Value>c</Value></member><member><Key>eks:nodegroup-name</Key><Value>g</Value></member></Tags>";
        assert_eq!(owner(group), Some(("c".into(), "g".into())));
        let filled = filled(&filled(group, "Instances", "new"), "AvailabilityZones", "z");
        assert!(
            filled.contains("<AvailabilityZones>z</AvailabilityZones><Instances>new</Instances><Tags>"),
            "{filled}"
        );
        assert_eq!(owner("no tags"), None);
    }
}
