//! Versions of add-ons.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use wbk_provider_api::Wanted;

use crate::aws::Aws;
use crate::error::AwsError;

/// What EKS calls the default version of each add-on whose version nobody pinned, for the wanted Kubernetes version. One that EKS does
/// not know is absent.
///
/// # Errors
/// They could not be asked for.
pub async fn defaults(aws: &Aws, wanted: &Wanted) -> Result<BTreeMap<String, String>, AwsError> {
    let open = wanted.cluster.eks.iter().flat_map(|eks| &eks.addons).filter(|(_, addon)| addon.version.is_none());
    let asked = open.map(|(name, _)| async move {
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
    Ok(try_join_all(asked).await?.into_iter().flatten().collect())
}
