//! What becomes of a cluster that EKS is asked for: its security group, its control plane, its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Request;
use hyper::body::Bytes;
use serde_json::Value;

use super::answer::{Answer, Refusal, Trouble, json_answer};
use super::checks;
use super::eks::Eks;
use super::world::{Cluster, Phase};
use crate::cluster::Plane;
use crate::eks_api::EksCall;
use crate::{StandError, xml};

impl Eks {
    pub(super) async fn create_cluster(
        self: &Arc<Self>,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Answer, Trouble> {
        let place = checks::subnets(&self.emulators, &body["resourcesVpcConfig"]["subnetIds"]).await?;
        checks::two_zones(&place)?;
        checks::cluster_role(&self.emulators, &body["roleArn"]).await?;
        checks::auto_mode(body)?;
        let answer = self.once(call, body, request).await?;
        let name = body["name"].as_str().unwrap_or_default();
        if answer.status().is_success()
            && let Some(cluster) = self.world.add(name, &place.vpc)
        {
            let with_addons = body["bootstrapSelfManagedAddons"] != false;
            let auto_mode = body["computeConfig"]["enabled"] == true;
            let this = Arc::clone(self);
            self.tasks.lock().await.spawn(async move {
                let phase = this.start_plane(&cluster, with_addons, auto_mode).await.unwrap_or_else(|error| {
                    eprintln!("{error}");
                    Phase::Failed(error.to_string())
                });
                cluster.set_phase(phase);
            });
        }
        Ok(answer)
    }

    async fn start_plane(&self, cluster: &Cluster, with_addons: bool, auto_mode: bool) -> Result<Phase, StandError> {
        let name = format!("eks-{}", self.planes.fetch_add(1, Ordering::Relaxed));
        self.make_security_group(cluster, &name).await?;
        let plane = Plane::start(&self.local, &name, &cluster.name, Arc::clone(&self.hosts)).await?;
        let (endpoint, authority) = plane.endpoint();
        if with_addons {
            plane.install_system().await?;
        }
        if auto_mode {
            plane.install_auto_mode().await?;
        }
        *cluster.plane.write().await = Some(plane);
        Ok(Phase::Active { endpoint, authority })
    }

    /// Quirk: EKS makes the cluster's security group in the VPC; fakecloud makes it in its own EC2, which nobody asks.
    async fn make_security_group(&self, cluster: &Cluster, unique: &str) -> Result<(), StandError> {
        let name = format!("eks-cluster-sg-{}-{unique}", cluster.name);
        let owned = format!("kubernetes.io/cluster/{}", cluster.name);
        let vpc = cluster.vpc();
        let parameters = [
            ("GroupName", name.as_str()),
            ("GroupDescription", "EKS created security group"),
            ("VpcId", &vpc),
            ("TagSpecification.1.ResourceType", "security-group"),
            ("TagSpecification.1.Tag.1.Key", "aws:eks:cluster-name"),
            ("TagSpecification.1.Tag.1.Value", &cluster.name),
            ("TagSpecification.1.Tag.2.Key", &owned),
            ("TagSpecification.1.Tag.2.Value", "owned"),
        ];
        let made = self.emulators.ec2("CreateSecurityGroup", &parameters).await?;
        if let Some(id) = xml::text(&made, "groupId") {
            cluster.set_security_group(id);
        }
        Ok(())
    }

    pub(super) async fn install_system(&self, cluster: &Cluster) {
        let plane = cluster.plane.read().await;
        if let Some(plane) = &*plane
            && let Err(error) = plane.install_system().await
        {
            eprintln!("{error}");
        }
    }

    /// Quirk: fakecloud forgets a cluster in the moment of its deletion. In EKS it is DELETING for minutes; here until its control plane
    /// has ended.
    pub(super) async fn delete_cluster(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        request: Request<Bytes>,
    ) -> Result<Answer, Trouble> {
        let path = format!("/clusters/{}", cluster.name);
        for (part, words) in [("node-groups", "nodegroups"), ("fargate-profiles", "Fargate profiles")] {
            let (_, listed) = self.emulators.eks("GET", &format!("{path}/{part}")).await?;
            let key = if part == "node-groups" { "nodegroups" } else { "fargateProfileNames" };
            if listed[key].as_array().is_some_and(|some| !some.is_empty()) {
                // EKS's words (kubernetes-sigs/cluster-api-provider-aws #2176).
                return Err(Refusal::new("ResourceInUseException", format!("Cluster has {words} attached")).into());
            }
        }
        if cluster.phase() == Phase::Creating {
            // Assumed: the documentation is silent about it.
            let message = format!("Cluster '{}' is being created and cannot be deleted now", cluster.name);
            return Err(Refusal::new("ResourceInUseException", message).into());
        }
        let begun = cluster.phase() == Phase::Deleting;
        cluster.set_phase(Phase::Deleting);
        let (status, described) = self.emulators.eks("GET", &path).await?;
        if !begun {
            let (this, cluster) = (Arc::clone(self), Arc::clone(cluster));
            self.tasks.lock().await.spawn(async move { this.end_cluster(&cluster, request).await });
        }
        Ok(json_answer(status, &described))
    }

    async fn end_cluster(&self, cluster: &Cluster, request: Request<Bytes>) {
        if let Some(plane) = cluster.plane.write().await.take()
            && let Err(error) = plane.end().await
        {
            eprintln!("{error}");
        }
        if let Some(group) = cluster.security_group()
            && let Err(error) = self.emulators.ec2("DeleteSecurityGroup", &[("GroupId", group.as_str())]).await
        {
            eprintln!("the security group of cluster {}: {error}", cluster.name);
        }
        if let Err(error) = self.emulators.send("eks", request).await {
            eprintln!("{error}");
        }
        self.tokens.forget(&cluster.name, None);
        self.world.remove(&cluster.name);
    }
}
