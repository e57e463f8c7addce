//! EKS as the stand answers it: fakecloud's answers, and what a cluster's Kubernetes does meanwhile.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use http::Request;
use hyper::body::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use super::answer::{Answer, Refusal, Trouble};
use super::tokens::Tokens;
use super::world::{Cluster, Phase, World};
use crate::StandError;
use crate::eks_api::EksCall;
use crate::emulators::Emulators;

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
        let answer = match self.dispatch(call, &body, request).await {
            Ok(answer) => answer,
            Err(Trouble::Refused(refusal)) => return Ok(refusal.answer()),
            Err(Trouble::Failed(error)) => return Err(error),
        };
        let Ok(mut value) = serde_json::from_slice::<Value>(answer.body()) else { return Ok(answer) };
        self.world.present(&mut value, asked_group.as_deref(), call.cluster.as_deref());
        Ok(answer.map(|_| value.to_string().into()))
    }

    async fn dispatch(
        self: &Arc<Self>,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Answer, Trouble> {
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
                    return Err(not_active(&cluster).into());
                }
                let answer = self.once(call, body, request).await?;
                if answer.status().is_success() && body["addonName"] == "coredns" {
                    self.install_system(&cluster).await;
                }
                Ok(answer)
            }
            ("DeleteAddon" | "DeleteAccessEntry", Some(cluster), Some(name)) => {
                let answer = self.emulators.send("eks", request).await?;
                self.tokens.forget(&cluster.name, Some(name));
                Ok(answer)
            }
            _ => Ok(self.once(call, body, request).await?),
        }
    }

    /// Sends it, unless it is a repetition of what was done.
    pub(super) async fn once(
        &self,
        call: &EksCall,
        body: &Value,
        request: Request<Bytes>,
    ) -> Result<Answer, StandError> {
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
}

/// EKS's words (eksctl-io/eksctl #2244).
pub(super) fn not_active(cluster: &Cluster) -> Refusal {
    Refusal::new("InvalidRequestException", format!("Cluster '{}' is not in ACTIVE status", cluster.name))
}
