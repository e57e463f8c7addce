//! What becomes of a node group that EKS is asked for: the nodes on its cluster's control plane.

use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Bytes;
use serde_json::Value;

use super::answer::{Answer, Refusal, Trouble, json_answer};
use super::checks;
use super::eks::{Eks, not_active};
use super::world::{Cluster, GroupPhase, Issue, Phase};
use crate::cluster::{Machine, pool, pool_name};
use crate::eks_api::EksCall;
use crate::{StandError, xml};

impl Eks {
    pub(super) async fn create_group(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Answer, Trouble> {
        if !matches!(cluster.phase(), Phase::Active { .. }) {
            return Err(not_active(cluster).into());
        }
        checks::taints(&body["taints"])?;
        checks::scaling(&body["scalingConfig"], None)?;
        checks::subnets(&self.emulators, &body["subnets"]).await?;
        checks::node_role(&self.emulators, &body["nodeRole"]).await?;
        let answer = self.once(call, body, request).await?;
        let name = body["nodegroupName"].as_str().unwrap_or_default().to_owned();
        if answer.status().is_success() && cluster.add_group(&name) {
            if let Some(issue) = self.world.fails(body) {
                cluster.set_group(&name, GroupPhase::Failed(issue));
            } else {
                self.work(cluster, &name, GroupPhase::Creating).await;
            }
        }
        Ok(answer)
    }

    pub(super) async fn update_group(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        name: &str,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Answer, Trouble> {
        if let Some(before) = self.tokens.answered(call, body) {
            return Ok(before);
        }
        if cluster.group(name).is_some_and(|phase| phase != GroupPhase::Active) {
            // EKS's words (aws/karpenter-provider-aws #133).
            let message = "Nodegroup cannot be updated as it is currently not in Active State";
            return Err(Refusal::new("ResourceInUseException", message).into());
        }
        let (_, described) =
            self.emulators.eks("GET", &format!("/clusters/{}/node-groups/{name}", cluster.name)).await?;
        checks::taints(&body["taints"]["addOrUpdateTaints"])?;
        if body["scalingConfig"].is_object() {
            checks::scaling(&body["scalingConfig"], Some(&described["nodegroup"]["scalingConfig"]))?;
        }
        let answer = self.once(call, body, request).await?;
        if answer.status().is_success() {
            self.work(cluster, name, GroupPhase::Updating).await;
        }
        Ok(answer)
    }

    /// Makes the group's nodes as fakecloud describes them, in the background.
    async fn work(self: &Arc<Self>, cluster: &Arc<Cluster>, name: &str, phase: GroupPhase) {
        let turn = cluster.set_group(name, phase.clone());
        let (this, cluster, name) = (Arc::clone(self), Arc::clone(cluster), name.to_owned());
        self.tasks.lock().await.spawn(async move {
            let _turn = turn.lock().await;
            let now = match this.make_nodes(&cluster, &name).await {
                Ok(()) => GroupPhase::Active,
                Err(error) => {
                    eprintln!("{error}");
                    GroupPhase::Failed(Issue { code: "NodeCreationFailure".into(), message: error.to_string() })
                }
            };
            cluster.end_group_phase(&name, &phase, now);
        });
    }

    pub(super) async fn make_nodes(&self, cluster: &Cluster, name: &str) -> Result<(), StandError> {
        let (status, described) =
            self.emulators.eks("GET", &format!("/clusters/{}/node-groups/{name}", cluster.name)).await?;
        let group = &described["nodegroup"];
        if status != StatusCode::OK {
            return Ok(()); // It was deleted meanwhile.
        }
        let instance_type = self.instance_type(group).await?;
        let types = self.emulators.ec2("DescribeInstanceTypes", &[("InstanceType.1", instance_type.as_str())]).await?;
        let machine = Machine::of(&types)
            .ok_or_else(|| StandError::Ask { whom: "EC2".into(), why: format!("no shape of {instance_type}") })?;
        let place = checks::subnets(&self.emulators, &group["subnets"]).await;
        let zone = place.ok().and_then(|place| place.zones.into_iter().next()).unwrap_or_default();
        let pool = pool(group, &instance_type, &machine, &zone);
        match &*cluster.plane.read().await {
            Some(plane) => plane.keep(pool).await,
            None => Ok(()), // The cluster is being deleted.
        }
    }

    /// The first of its types; the launch template's where it names none itself (fakecloud then says t3.medium).
    async fn instance_type(&self, group: &Value) -> Result<String, StandError> {
        let template = &group["launchTemplate"];
        if let (Some(id), version) = (template["id"].as_str(), template["version"].as_str().unwrap_or("$Default")) {
            let versions = self
                .emulators
                .ec2(
                    "DescribeLaunchTemplateVersions",
                    &[("LaunchTemplateId", id), ("LaunchTemplateVersion.1", version)],
                )
                .await?;
            if let Some(instance_type) = xml::text(&versions, "instanceType") {
                return Ok(instance_type.to_owned());
            }
        }
        Ok(group["instanceTypes"][0].as_str().unwrap_or("t3.medium").to_owned())
    }

    /// Quirk: as with clusters, a deleted node group is DELETING until its nodes are gone.
    pub(super) async fn delete_group(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        name: &str,
        request: Request<Bytes>,
    ) -> Result<Answer, Trouble> {
        let (status, described) =
            self.emulators.eks("GET", &format!("/clusters/{}/node-groups/{name}", cluster.name)).await?;
        if status == StatusCode::OK && cluster.group(name) != Some(GroupPhase::Deleting) {
            let turn = cluster.set_group(name, GroupPhase::Deleting);
            let (this, cluster, name) = (Arc::clone(self), Arc::clone(cluster), name.to_owned());
            self.tasks.lock().await.spawn(async move {
                let _turn = turn.lock().await;
                if let Some(plane) = &*cluster.plane.read().await
                    && let Err(error) = plane.remove(&pool_name(&name)).await
                {
                    eprintln!("{error}");
                }
                if let Err(error) = this.emulators.send("eks", request).await {
                    eprintln!("{error}");
                }
                this.tokens.forget(&cluster.name, Some(&name));
                cluster.remove_group(&name);
            });
        }
        Ok(json_answer(status, &described))
    }
}
