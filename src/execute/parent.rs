//! The ApplySet's parent: the object in the cluster that says which kinds this blueprint's objects have, so that what the
//! blueprint no longer names is found, and which saved plans were applied.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;

use super::error::{Because, StepError};
use crate::{
    cluster::{
        APPLYSET_ID, APPLYSET_KINDS, BLUEPRINT_LABEL, Cluster, Discovery, ErrorKind, Guard, Marks, Meta,
        system_namespace,
    },
    id::{Digest, GroupKind, Gvk, ObjectId},
};

/// The saved plans that were applied last, by digest.
const APPLIED_ANNOTATION: &str = "wbk-infra/applied-plans";
/// How many of them are kept: older ones are stale anyway, because the world moved.
const KEPT: usize = 8;

/// The digests of the saved plans that the cluster remembers as applied.
///
/// # Errors
/// The parent could not be read.
pub async fn applied_plans(cluster: &Cluster, discovery: &Discovery, marks: &Marks) -> Result<Vec<Digest>, StepError> {
    let found = Parent { cluster, discovery, marks }.read().await?;
    let text = found.and_then(|meta| meta.annotations.get(APPLIED_ANNOTATION).cloned()).unwrap_or_default();
    Ok(text.split(',').filter(|part| !part.is_empty()).map(|part| Digest(part.to_owned())).collect())
}

/// The parent of one blueprint.
pub(super) struct Parent<'a> {
    pub cluster: &'a Cluster,
    pub discovery: &'a Discovery,
    pub marks: &'a Marks,
}

impl Parent<'_> {
    fn id(&self) -> ObjectId {
        ObjectId::new("v1", "ConfigMap", Some(system_namespace()), &self.marks.parent_name())
    }

    async fn read(&self) -> Result<Option<Meta>, StepError> {
        match self.discovery.find(&Gvk::new("v1", "ConfigMap")) {
            Some(resource) => Ok(self.cluster.get_metadata(resource, &self.id()).await?),
            None => Ok(None),
        }
    }

    /// Writes that these kinds come too; kinds of before stay until a complete apply says that they went.
    pub(super) async fn begin(
        &self,
        kinds: &BTreeSet<GroupKind>,
        saved_plan: Option<&Digest>,
    ) -> Result<(), StepError> {
        let found = self.read().await?;
        let annotation =
            |key: &str| found.as_ref().and_then(|meta| meta.annotations.get(key)).cloned().unwrap_or_default();
        let split = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let mut applied = split(&annotation(APPLIED_ANNOTATION));
        if let Some(digest) = saved_plan {
            if applied.contains(&digest.0) {
                return Err(StepError {
                    attempted: "apply the saved plan".into(),
                    left: wbk_provider_api::LeftBehind::Nothing,
                    hint: Some("a plan is applied once; plan again".into()),
                    source: Some(Box::new(Because("it was applied before".into()))),
                });
            }
            applied.insert(0, digest.0.clone());
            applied.truncate(KEPT);
        }
        let before = annotation(APPLYSET_KINDS);
        let mut all: BTreeSet<String> = split(&before).into_iter().collect();
        all.extend(kinds.iter().map(GroupKind::to_string));
        let all = all.into_iter().collect::<Vec<_>>().join(",");
        if found.is_some() && all == before && saved_plan.is_none() {
            return Ok(());
        }
        self.write(all, applied).await
    }

    /// Writes that only these kinds are left.
    pub(super) async fn complete(&self, kinds: &BTreeSet<GroupKind>) -> Result<(), StepError> {
        let Some(found) = self.read().await? else { return Ok(()) };
        let kinds = kinds.iter().map(GroupKind::to_string).collect::<Vec<_>>().join(",");
        if found.annotations.get(APPLYSET_KINDS) == Some(&kinds) {
            return Ok(());
        }
        let applied = found
            .annotations
            .get(APPLIED_ANNOTATION)
            .map(|text| text.split(',').map(str::to_owned).collect())
            .unwrap_or_default();
        self.write(kinds, applied).await
    }

    async fn write(&self, kinds: String, applied: Vec<String>) -> Result<(), StepError> {
        let id = self.id();
        let Some(resource) = self.discovery.find(&id.gvk) else { return Ok(()) };
        let mut manifest = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": id.name, "namespace": id.namespace,
                "labels": {
                    APPLYSET_ID: self.marks.applyset_id(),
                    BLUEPRINT_LABEL: self.marks.blueprint,
                    "app.kubernetes.io/managed-by": "wbk-infra",
                },
                "annotations": { crate::cluster::APPLYSET_TOOLING: "wbk-infra/v1", APPLYSET_KINDS: kinds },
            },
        });
        if !applied.is_empty() {
            manifest["metadata"]["annotations"][APPLIED_ANNOTATION] = applied.join(",").into();
        }
        self.cluster.apply(resource, &id, &manifest, &Guard::taking()).await?;
        Ok(())
    }

    /// Takes parent and Lease away, and their namespace when no other blueprint has a parent there.
    pub(super) async fn remove(&self) -> Result<(), StepError> {
        let namespace = system_namespace();
        let name = self.marks.parent_name();
        let gone = |outcome: Result<serde_json::Value, crate::cluster::ClusterError>| match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        let parents = format!("/api/v1/namespaces/{namespace}/configmaps");
        gone(
            self.cluster
                .request(Method::DELETE, &format!("{parents}/{name}"), None, "remove the ApplySet's parent")
                .await,
        )?;
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        gone(self.cluster.request(Method::DELETE, &format!("{leases}/{name}"), None, "remove the lease").await)?;
        let selector = APPLYSET_ID.replace('/', "%2F");
        let others = self
            .cluster
            .request(Method::GET, &format!("{parents}?labelSelector={selector}"), None, "look for other blueprints")
            .await?;
        if others["items"].as_array().is_none_or(Vec::is_empty) {
            gone(
                self.cluster
                    .request(
                        Method::DELETE,
                        &format!("/api/v1/namespaces/{namespace}"),
                        None,
                        "remove the namespace wbk-infra",
                    )
                    .await,
            )?;
        }
        Ok(())
    }
}
