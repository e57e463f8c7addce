//! Versions of add-ons.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use wbk_provider_api::Wanted;

use crate::aws::Aws;
use crate::error::AwsError;
use crate::wanted;
use crate::world::World;

/// The version of each add-on whose version nobody pinned, for the wanted Kubernetes version: the one that it has and keeps, or the one that
/// EKS calls the default, which is asked for. One that EKS does not know is absent.
///
/// # Errors
/// They could not be asked for.
pub async fn versions(aws: &Aws, wanted: &Wanted, world: &World) -> Result<BTreeMap<String, String>, AwsError> {
    let addons = wanted.cluster.eks.iter().flat_map(|eks| &eks.addons);
    let open: BTreeSet<&String> = addons.filter(|(_, addon)| addon.version.is_none()).map(|(name, _)| name).collect();
    let stays: BTreeMap<String, String> = open
        .iter()
        .filter_map(|name| Some(((*name).clone(), wanted::addon_that_stays(wanted, world, name)?)))
        .collect();
    let asked = open.into_iter().filter(|name| !stays.contains_key(*name)).map(|name| async move {
        let version = wanted.cluster.version.clone();
        let request = aws.eks.describe_addon_versions().addon_name(name).set_kubernetes_version(version);
        let answer = request.send().await.map_err(AwsError::sdk(format!("ask for the versions of add-on {name}")))?;
        let versions =
            answer.addons.unwrap_or_default().into_iter().flat_map(|addon| addon.addon_versions.unwrap_or_default());
        let versions: Vec<_> = versions.collect();
        let is_default = |version: &&aws_sdk_eks::types::AddonVersionInfo| {
            version.compatibilities().iter().any(|fits| fits.default_version)
        };
        // EKS lists the newest first.
        let chosen = versions.iter().find(is_default).or(versions.first());
        Ok::<_, AwsError>(chosen.and_then(|chosen| Some((name.clone(), chosen.addon_version.clone()?))))
    });
    let asked = try_join_all(asked).await?;
    Ok(asked.into_iter().flatten().chain(stays).collect())
}
