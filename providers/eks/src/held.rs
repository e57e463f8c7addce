//! What controllers in the cluster made in AWS for objects of whoever: load balancers of Services and Ingresses, disks of claims. When
//! the cluster goes before them, nobody takes them down, and they are paid for on.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use wbk_provider_api::PartId;

use crate::error::{AwsError, AwsErrorKind};
use crate::part::{Found, Part, sort};
use crate::work::Work;

/// The driver of EBS' disks, as an add-on or by its chart.
const EBS: &str = "ebs.csi.aws.com";
/// What the AWS Load Balancer Controller keeps an Ingress by until its load balancer is gone (kubernetes-sigs/aws-load-balancer-controller,
/// `pkg/ingress/finalizer.go`): its own, or with the name of a group.
const OF_CONTROLLER: [&str; 2] = ["ingress.k8s.aws/resources", "group.ingress.k8s.aws/"];

/// Everything of that in the cluster.
///
/// # Errors
/// The API server does not answer, or does not let these credentials list.
pub(crate) async fn observe(client: &kube::Client) -> kube::Result<BTreeMap<PartId, Found>> {
    let all = ListParams::default();
    let services = Api::<Service>::all(client.clone());
    let ingresses = Api::<Ingress>::all(client.clone());
    let volumes = Api::<PersistentVolume>::all(client.clone());
    let (services, ingresses, volumes) =
        futures::try_join!(services.list(&all), ingresses.list(&all), volumes.list(&all))?;
    let services = services.into_iter().filter_map(of_service);
    let ingresses = ingresses.into_iter().filter_map(of_ingress);
    Ok(services.chain(ingresses).chain(volumes.into_iter().filter_map(of_volume)).collect())
}

fn balancer(kind: &str, object: &impl ResourceExt, address: Option<String>) -> (PartId, Found) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let id = PartId::new(sort::LOAD_BALANCER, format!("{kind} {namespace}/{name}"));
    let part = Part::LoadBalancer { kind: kind.to_owned(), namespace, name, address };
    (id, Found { id: object.uid().unwrap_or_default(), part, tags: BTreeMap::new(), issues: Vec::new() })
}

fn of_service(service: Service) -> Option<(PartId, Found)> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() != Some("LoadBalancer") {
        return None;
    }
    let entries = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let address = entries.and_then(|entries| entries.first()?.hostname.clone());
    Some(balancer("Service", &service, address))
}

fn of_ingress(ingress: Ingress) -> Option<(PartId, Found)> {
    let kept = ingress.finalizers().iter().any(|kept| OF_CONTROLLER.iter().any(|own| kept.starts_with(own)));
    if !kept {
        return None;
    }
    let entries = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let address = entries.and_then(|entries| entries.first()?.hostname.clone());
    Some(balancer("Ingress", &ingress, address))
}

fn of_volume(volume: PersistentVolume) -> Option<(PartId, Found)> {
    let spec = volume.spec.as_ref()?;
    let disk = spec.csi.as_ref().filter(|csi| csi.driver == EBS)?.volume_handle.clone();
    let claim = spec
        .claim_ref
        .as_ref()
        .and_then(|claim| Some(format!("{}/{}", claim.namespace.as_ref()?, claim.name.as_ref()?)));
    let part = Part::Volume {
        disk,
        size: spec.capacity.as_ref().and_then(|capacity| capacity.get("storage")).map(|size| size.0.clone()),
        claim,
        retained: spec.persistent_volume_reclaim_policy.as_deref() != Some("Delete"),
    };
    let id = PartId::new(sort::VOLUME, volume.name_any());
    Some((id, Found { id: volume.uid().unwrap_or_default(), part, tags: BTreeMap::new(), issues: Vec::new() }))
}

/// Removes one by its object, so that whoever made it takes it down, and waits until that is done.
///
/// # Errors
/// The API server's words; nobody took it down before the deadline.
pub(crate) async fn remove(work: &Work<'_>, client: &kube::Client, id: &PartId, part: &Part) -> Result<(), AwsError> {
    match part {
        Part::LoadBalancer { kind, namespace, name, address: _ } => {
            let what = format!("{kind} {namespace}/{name} to be gone with its load balancer");
            match kind.as_str() {
                "Ingress" => {
                    gone(work, &Api::<Ingress>::namespaced(client.clone(), namespace), (name, By::Us), &what).await
                }
                _ => gone(work, &Api::<Service>::namespaced(client.clone(), namespace), (name, By::Us), &what).await,
            }
        }
        Part::Volume { disk, claim, .. } => {
            let volumes = Api::<PersistentVolume>::all(client.clone());
            let what = format!("volume {} to be gone with its disk {disk}", id.name);
            let Some((namespace, claim)) = claim.as_deref().and_then(|claim| claim.split_once('/')) else {
                return gone(work, &volumes, (&id.name, By::Us), &what).await;
            };
            let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
            let of_claim = format!("claim {namespace}/{claim} to be used by no pod and gone");
            gone(work, &claims, (claim, By::Us), &of_claim).await?;
            // Taken away under its driver's hands, the object would go and the disk stay.
            gone(work, &volumes, (&id.name, By::Its), &what).await
        }
        _ => Err(AwsError::refused(format!("remove {id}"), "no controller in the cluster made it")),
    }
}

/// Who deletes an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// This tool.
    Us,
    /// Whoever made it.
    Its,
}

async fn gone<K>(work: &Work<'_>, api: &Api<K>, (name, by): (&str, By), what: &str) -> Result<(), AwsError>
where
    K: Clone + DeserializeOwned + Debug + ResourceExt,
{
    let failed = |error: kube::Error| {
        AwsError::new(format!("wait for {what}"), AwsErrorKind::Unreachable, error.to_string()).after_change()
    };
    let mut waiting = work.wait_for(what);
    let mut asked = by == By::Its;
    while let Some(object) = api.get_opt(name).await.map_err(failed)? {
        if !asked && object.meta().deletion_timestamp.is_none() {
            match api.delete(name, &DeleteParams::background()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
            asked = true;
            continue;
        }
        asked = true;
        let kept = object.finalizers().join(", ");
        let state = if kept.is_empty() { "it goes".to_owned() } else { format!("it goes when {kept} is done") };
        waiting.on(&state).await.map_err(|late| {
            late.with_hint(
                "see that the controller that made it runs, or delete what it made by hand and take its finalizer away",
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_controllers_of_aws_made_is_told_from_what_others_made() {
        let service = |kind: &str| {
            let text = json!({"metadata": {"name": "web", "namespace": "apps", "uid": "u"}, "spec": {"type": kind}});
            of_service(serde_json::from_value(text).unwrap()).map(|(id, _)| id.to_string())
        };
        assert_eq!(service("LoadBalancer").unwrap(), "load balancer Service apps/web");
        assert_eq!(service("ClusterIP"), None);
        let ingress = |finalizer: &str| {
            let meta = json!({"name": "web", "namespace": "apps", "finalizers": [finalizer]});
            of_ingress(serde_json::from_value(json!({"metadata": meta})).unwrap()).is_some()
        };
        assert!(
            ingress("ingress.k8s.aws/resources") && ingress("group.ingress.k8s.aws/shared") && !ingress("other.io/x")
        );
        let volume = |driver: &str, policy: &str| {
            let spec = json!({"csi": {"driver": driver, "volumeHandle": "vol-1"}, "persistentVolumeReclaimPolicy": policy,
                "capacity": {"storage": "20Gi"}, "claimRef": {"namespace": "jobs", "name": "data"}});
            let volume = json!({"metadata": {"name": "pvc-1", "uid": "u"}, "spec": spec});
            of_volume(serde_json::from_value(volume).unwrap()).map(|(_, found)| found.part)
        };
        let Some(Part::Volume { disk, size, claim, retained }) = volume(EBS, "Retain") else { panic!("a disk") };
        assert_eq!(
            (disk.as_str(), size.as_deref(), claim.as_deref(), retained),
            ("vol-1", Some("20Gi"), Some("jobs/data"), true)
        );
        assert!(matches!(volume(EBS, "Delete"), Some(Part::Volume { retained: false, .. })));
        assert_eq!(volume("nfs.csi.k8s.io", "Delete"), None);
    }
}
