//! EKS as the stand answers it: fakecloud's answers, and what a cluster's Kubernetes does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, StatusCode};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use super::answer::{Answer, Refusal, json_answer};
use super::checks::{self, Place};
use super::tokens::Tokens;
use super::world::{Cluster, GroupPhase, Issue, Phase, World};
use crate::cluster::{Machine, Plane, pool, pool_name};
use crate::eks_api::EksCall;
use crate::emulators::Emulators;
use crate::{StandError, xml};

/// What all requests to EKS share.
pub(super) struct Eks {
    pub(super) emulators: Emulators,
    pub(super) local: wbk_provider_local::Settings,
    /// Hosts that a token's URL may name: the stand's own.
    pub(super) hosts: Arc<[String]>,
    pub(super) world: World,
    pub(super) tokens: Tokens,
    /// Control planes that were started; each has a name of its own.
    pub(super) planes: AtomicU32,
    /// What goes on behind answers.
    pub(super) tasks: tokio::sync::Mutex<JoinSet<()>>,
    /// Writers take turns: a token is looked up and remembered around the write.
    pub(super) writing: tokio::sync::Mutex<()>,
}

impl Eks {
    pub(super) async fn answer(
        self: &Arc<Self>,
        call: &EksCall,
        request: Request<Bytes>,
    ) -> Result<Answer, StandError> {
        // A GET has no body.
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let group = call.child.clone().filter(|_| call.operation.contains("Nodegroup"));
        let query = request.uri().query().unwrap_or_default().to_owned();
        let asked_group = group.or_else(|| crate::asked::parameter(query.as_bytes(), "nodegroupName"));
        let answer = match self.dispatch(call, &body, request).await? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(refusal.answer()),
        };
        let Ok(mut value) = serde_json::from_slice::<Value>(answer.body()) else { return Ok(answer) };
        self.world.present(&mut value, asked_group.as_deref(), call.cluster.as_deref());
        let (mut parts, _) = answer.into_parts();
        parts.headers.remove(http::header::CONTENT_LENGTH);
        Ok(Answer::from_parts(parts, value.to_string().into()))
    }

    async fn dispatch(
        self: &Arc<Self>,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Result<Answer, Refusal>, StandError> {
        let cluster = call.cluster.as_deref().and_then(|name| self.world.get(name));
        match (call.operation, cluster, call.child.as_deref()) {
            ("CreateCluster", ..) => self.create_cluster(call, body, request).await,
            ("DeleteCluster", Some(cluster), _) => self.delete_cluster(&cluster, request).await,
            ("CreateNodegroup", Some(cluster), _) => self.create_group(&cluster, call, body, request).await,
            ("UpdateNodegroupConfig" | "UpdateNodegroupVersion", Some(cluster), Some(name)) => {
                self.update_group(&cluster, name, call, body, request).await
            }
            ("DeleteNodegroup", Some(cluster), Some(name)) => self.delete_group(&cluster, name, request).await,
            ("CreateAddon", Some(cluster), _) => {
                if cluster.phase() == Phase::Creating {
                    return Ok(Err(not_active(&cluster)));
                }
                let answer = self.once(call, body, request).await?;
                if answer.status().is_success() && body["addonName"] == "coredns" {
                    self.install_system(&cluster).await;
                }
                Ok(Ok(answer))
            }
            ("DeleteAddon" | "DeleteAccessEntry", Some(cluster), Some(name)) => {
                let answer = self.emulators.send("eks", request).await?;
                self.tokens.forget(&cluster.name, Some(name));
                Ok(Ok(answer))
            }
            _ => self.once(call, body, request).await.map(Ok),
        }
    }

    /// Sends it, unless it is a repetition of what was done.
    async fn once(&self, call: &EksCall, body: &Value, request: Request<Bytes>) -> Result<Answer, StandError> {
        if body["clientRequestToken"].is_null() {
            return self.emulators.send("eks", request).await;
        }
        let _turn = self.writing.lock().await;
        if let Some(before) = self.tokens.answered(call, body) {
            return Ok(before);
        }
        let answer = self.emulators.send("eks", request).await?;
        self.tokens.remember(call, body, &answer);
        Ok(answer)
    }

    async fn create_cluster(
        self: &Arc<Self>,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Result<Answer, Refusal>, StandError> {
        let place = match checks::subnets(&self.emulators, &body["resourcesVpcConfig"]["subnetIds"]).await {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let role = checks::cluster_role(&self.emulators, &body["roleArn"]).await;
        if let Err(refusal) = checks::two_zones(&place).and(role) {
            return Ok(Err(refusal));
        }
        let answer = self.once(call, body, request).await?;
        let name = body["name"].as_str().unwrap_or_default();
        if answer.status().is_success() && self.world.get(name).is_none() {
            let cluster = self.world.insert(name, &place.vpc);
            self.make_security_group(&cluster, &place).await?;
            let with_addons = body["bootstrapSelfManagedAddons"] != false;
            let this = Arc::clone(self);
            self.tasks.lock().await.spawn(async move { this.start_plane(&cluster, with_addons).await });
        }
        Ok(Ok(answer))
    }

    /// Quirk: EKS makes the cluster's security group in the VPC; fakecloud makes it in its own EC2, which nobody asks.
    async fn make_security_group(&self, cluster: &Cluster, place: &Place) -> Result<(), StandError> {
        let name = format!("eks-cluster-sg-{}-{}", cluster.name, self.planes.load(Ordering::Relaxed));
        let owned = format!("kubernetes.io/cluster/{}", cluster.name);
        let made = self
            .emulators
            .ec2(
                "CreateSecurityGroup",
                &[
                    ("GroupName", name.as_str()),
                    ("GroupDescription", "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads."),
                    ("VpcId", place.vpc.as_str()),
                    ("TagSpecification.1.ResourceType", "security-group"),
                    ("TagSpecification.1.Tag.1.Key", "aws:eks:cluster-name"),
                    ("TagSpecification.1.Tag.1.Value", cluster.name.as_str()),
                    ("TagSpecification.1.Tag.2.Key", owned.as_str()),
                    ("TagSpecification.1.Tag.2.Value", "owned"),
                ],
            )
            .await?;
        if let Some(id) = xml::text(&made, "groupId") {
            cluster.set_security_group(id);
        }
        Ok(())
    }

    async fn start_plane(&self, cluster: &Arc<Cluster>, with_addons: bool) {
        let name = format!("eks-{}", self.planes.fetch_add(1, Ordering::Relaxed));
        match Plane::start(&self.local, &name, &cluster.name, Arc::clone(&self.hosts)).await {
            Ok(plane) => {
                let (endpoint, authority) = plane.endpoint();
                *cluster.plane.write().await = Some(plane);
                if with_addons {
                    self.install_system(cluster).await;
                }
                cluster.set_phase(Phase::Active { endpoint, authority });
            }
            Err(error) => {
                eprintln!("{error}");
                cluster.set_phase(Phase::Failed(error.to_string()));
            }
        }
    }

    async fn install_system(&self, cluster: &Cluster) {
        let plane = cluster.plane.read().await;
        if let Some(plane) = &*plane
            && let Err(error) = plane.install_system().await
        {
            eprintln!("{error}");
        }
    }

    /// Quirk: fakecloud forgets a cluster in the moment of its deletion. In EKS it is DELETING for minutes; here until its control plane
    /// has ended.
    async fn delete_cluster(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        request: Request<Bytes>,
    ) -> Result<Result<Answer, Refusal>, StandError> {
        let path = format!("/clusters/{}", cluster.name);
        for (part, words) in [("node-groups", "nodegroups"), ("fargate-profiles", "Fargate profiles")] {
            let (_, listed) = self.emulators.eks("GET", &format!("{path}/{part}")).await?;
            let key = if part == "node-groups" { "nodegroups" } else { "fargateProfileNames" };
            if listed[key].as_array().is_some_and(|some| !some.is_empty()) {
                // EKS's words (kubernetes-sigs/cluster-api-provider-aws #2176).
                return Ok(Err(Refusal::new("ResourceInUseException", format!("Cluster has {words} attached"))));
            }
        }
        if cluster.phase() == Phase::Creating {
            // Assumed: the documentation is silent about it.
            let message = format!("Cluster '{}' is being created and cannot be deleted now", cluster.name);
            return Ok(Err(Refusal::new("ResourceInUseException", message)));
        }
        let begun = cluster.phase() == Phase::Deleting;
        cluster.set_phase(Phase::Deleting);
        let (status, described) = self.emulators.eks("GET", &path).await?;
        if !begun {
            let (this, cluster) = (Arc::clone(self), Arc::clone(cluster));
            self.tasks.lock().await.spawn(async move { this.end_cluster(&cluster, request).await });
        }
        Ok(Ok(json_answer(status, &described)))
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

    async fn create_group(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Result<Answer, Refusal>, StandError> {
        if !matches!(cluster.phase(), Phase::Active { .. }) {
            return Ok(Err(not_active(cluster)));
        }
        if let Err(refusal) =
            checks::taints(&body["taints"]).and_then(|()| checks::scaling(&body["scalingConfig"], None))
        {
            return Ok(Err(refusal));
        }
        let role = checks::node_role(&self.emulators, &body["nodeRole"]).await;
        if let Err(refusal) = checks::subnets(&self.emulators, &body["subnets"]).await.and(role) {
            return Ok(Err(refusal));
        }
        let answer = self.once(call, body, request).await?;
        let name = body["nodegroupName"].as_str().unwrap_or_default().to_owned();
        if answer.status().is_success() && cluster.group(&name).is_none() {
            if let Some(issue) = self.world.fails(body) {
                cluster.set_group(&name, GroupPhase::Failed(issue));
            } else {
                self.work(cluster, &name, GroupPhase::Creating).await;
            }
        }
        Ok(Ok(answer))
    }

    async fn update_group(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        name: &str,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Result<Answer, Refusal>, StandError> {
        let repeated = self.tokens.answered(call, body);
        if let Some(before) = repeated {
            return Ok(Ok(before));
        }
        if cluster.group(name).is_some_and(|phase| phase != GroupPhase::Active) {
            // EKS's words (aws/karpenter-provider-aws #133).
            let message = "Nodegroup cannot be updated as it is currently not in Active State";
            return Ok(Err(Refusal::new("ResourceInUseException", message)));
        }
        let (_, described) =
            self.emulators.eks("GET", &format!("/clusters/{}/node-groups/{name}", cluster.name)).await?;
        let has = &described["nodegroup"]["scalingConfig"];
        let scaling =
            if body["scalingConfig"].is_object() { checks::scaling(&body["scalingConfig"], Some(has)) } else { Ok(()) };
        if let Err(refusal) = checks::taints(&body["taints"]["addOrUpdateTaints"]).and(scaling) {
            return Ok(Err(refusal));
        }
        let answer = self.once(call, body, request).await?;
        if answer.status().is_success() {
            self.work(cluster, name, GroupPhase::Updating).await;
        }
        Ok(Ok(answer))
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

    async fn make_nodes(&self, cluster: &Cluster, name: &str) -> Result<(), StandError> {
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
    async fn delete_group(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        name: &str,
        request: Request<Bytes>,
    ) -> Result<Result<Answer, Refusal>, StandError> {
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
        Ok(Ok(json_answer(status, &described)))
    }
}

/// EKS's words (eksctl-io/eksctl #2244).
fn not_active(cluster: &Cluster) -> Refusal {
    Refusal::new("InvalidRequestException", format!("Cluster '{}' is not in ACTIVE status", cluster.name))
}
