//! Makes, changes and removes the cluster, and waits for it.

use aws_sdk_eks::operation::create_cluster::builders::CreateClusterFluentBuilder;
use aws_sdk_eks::types::{
    AuthenticationMode, BlockStorage, ComputeConfigRequest, CreateAccessConfigRequest, ElasticLoadBalancing,
    EncryptionConfig, KubernetesNetworkConfigRequest, LogSetup, LogType, Logging, Provider, StorageConfigRequest,
    SupportType, UpdateAccessConfigRequest, UpgradePolicyRequest, VpcConfigRequest,
};
use wbk_provider_api::{EksSupport, Progress};

use super::observe;
use crate::error::{AwsError, AwsErrorKind};
use crate::names::{self, Names};
use crate::shape::ClusterShape;
use crate::version::Minor;
use crate::work::{Work, settled};
use crate::world::ClusterFound;

/// Makes the cluster and waits until its API server answers.
///
/// # Errors
/// AWS' words, and whether something was made.
pub async fn create(
    work: &Work<'_>,
    shape: &ClusterShape,
    tags: &std::collections::BTreeMap<String, String>,
) -> Result<(), AwsError> {
    let name = &work.marks.cluster;
    if observe::describe(work.aws, work.marks).await?.is_none() {
        let role = names::role_arn(work, &shape.role).await?;
        let subnets = names::subnet_ids(work, &shape.subnets).await?;
        let network = VpcConfigRequest::builder()
            .set_subnet_ids(Some(subnets))
            .endpoint_public_access(shape.endpoint.public)
            .endpoint_private_access(shape.endpoint.private)
            .set_public_access_cidrs(
                shape.endpoint.public.then(|| shape.endpoint.public_cidrs.iter().cloned().collect()),
            )
            .build();
        let access = CreateAccessConfigRequest::builder()
            .authentication_mode(AuthenticationMode::from(shape.authentication.as_str()))
            // Whoever makes the cluster fills it.
            .bootstrap_cluster_creator_admin_permissions(true)
            .build();
        // A role that was just made is not known to EKS at once.
        settled(|| {
            let request = work
                .aws
                .eks
                .create_cluster()
                .name(name)
                .role_arn(&role)
                .version(&shape.version)
                .resources_vpc_config(network.clone())
                .access_config(access.clone())
                .upgrade_policy(UpgradePolicyRequest::builder().support_type(support(shape.support)).build())
                .deletion_protection(shape.deletion_protection)
                // Add-ons are parts of their own; those that EKS would install by itself could not be kept in step.
                .bootstrap_self_managed_addons(false)
                .set_logging((!shape.logging.is_empty()).then(|| logging(shape)))
                .set_encryption_config(shape.encryption_key.as_ref().map(|key| vec![encryption(key)]))
                .set_tags(Some(tags.clone().into_iter().collect()))
                .client_request_token(work.client_token("cluster"));
            let request = if shape.auto_mode { auto_mode(request) } else { request };
            async move { request.send().await.map(drop).map_err(AwsError::sdk(format!("create EKS cluster {name}"))) }
        })
        .await?;
    }
    wait_until_active(work).await
}

/// The three go on together or not at all (EKS user guide, "Create an EKS Auto Mode Cluster"). Its own node pools are left out, and so
/// is their role: the platform's pools bring theirs.
fn auto_mode(request: CreateClusterFluentBuilder) -> CreateClusterFluentBuilder {
    let balancing = ElasticLoadBalancing::builder().enabled(true).build();
    let storage = BlockStorage::builder().enabled(true).build();
    request
        .compute_config(ComputeConfigRequest::builder().enabled(true).build())
        .kubernetes_network_config(KubernetesNetworkConfigRequest::builder().elastic_load_balancing(balancing).build())
        .storage_config(StorageConfigRequest::builder().block_storage(storage).build())
}

fn support(support: EksSupport) -> SupportType {
    match support {
        EksSupport::Standard => SupportType::Standard,
        EksSupport::Extended => SupportType::Extended,
    }
}

fn encryption(key: &str) -> EncryptionConfig {
    EncryptionConfig::builder().provider(Provider::builder().key_arn(key).build()).build()
}

/// Every log that EKS knows, on or off as asked.
fn logging(shape: &ClusterShape) -> Logging {
    let all = [LogType::Api, LogType::Audit, LogType::Authenticator, LogType::ControllerManager, LogType::Scheduler];
    let (on, off): (Vec<LogType>, Vec<LogType>) = all.into_iter().partition(|log| shape.logging.contains(log.as_str()));
    let setup = |types: Vec<LogType>, enabled: bool| {
        (!types.is_empty()).then(|| LogSetup::builder().set_types(Some(types)).enabled(enabled).build())
    };
    let setups = [setup(on, true), setup(off, false)].into_iter().flatten().collect();
    Logging::builder().set_cluster_logging(Some(setups)).build()
}

/// Waits until the cluster is `ACTIVE`.
///
/// # Errors
/// It failed, with AWS' reasons, is gone, or the deadline came.
pub async fn wait_until_active(work: &Work<'_>) -> Result<(), AwsError> {
    let name = &work.marks.cluster;
    let attempted = format!("wait for EKS cluster {name}");
    let mut waiting = work.wait_for(format!("EKS cluster {name}"));
    loop {
        let found = observe::describe(work.aws, work.marks).await?;
        let found = found.map(|cluster| observe::found(&cluster, work.marks, &Names::default()));
        let Some(found) = found else {
            return Err(AwsError::new(attempted, AwsErrorKind::NotFound, "it is gone").after_change());
        };
        match found.status.as_str() {
            "ACTIVE" => return Ok(()),
            state @ ("FAILED" | "DELETING") => {
                let words = format!("its state is {state}: {}", found.issues.join("; "));
                return Err(AwsError::new(attempted, AwsErrorKind::Failed, words).after_change());
            }
            state => waiting.on(state).await?,
        }
    }
}

/// Makes the cluster so, one kind of change after the other, as EKS asks for.
///
/// # Errors
/// AWS' words; what was changed before stays.
pub async fn update(
    work: &Work<'_>,
    shape: &ClusterShape,
    tags: &std::collections::BTreeMap<String, String>,
    found: &ClusterFound,
) -> Result<(), AwsError> {
    let name = &work.marks.cluster;
    let missing: std::collections::HashMap<String, String> = tags
        .iter()
        .filter(|(key, value)| found.tags.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !missing.is_empty() {
        let request = work.aws.eks.tag_resource().resource_arn(&found.arn).set_tags(Some(missing));
        request.send().await.map_err(AwsError::sdk(format!("tag EKS cluster {name}")))?;
    }
    let attempted = format!("change EKS cluster {name}");
    let change = || work.aws.eks.update_cluster_config().name(name);
    let has = &found.shape;
    let network = (has.endpoint != shape.endpoint || has.subnets != shape.subnets).then_some(());
    if network.is_some() {
        let mut wanted = VpcConfigRequest::builder();
        if has.endpoint != shape.endpoint {
            let cidrs = shape.endpoint.public.then(|| shape.endpoint.public_cidrs.iter().cloned().collect());
            wanted = wanted
                .endpoint_public_access(shape.endpoint.public)
                .endpoint_private_access(shape.endpoint.private)
                .set_public_access_cidrs(cidrs);
            let request =
                change().resources_vpc_config(wanted.build()).client_request_token(work.client_token("endpoint"));
            let answer = request.send().await.map_err(AwsError::sdk(attempted.clone()))?;
            finished(work, answer.update.and_then(|update| update.id), "the endpoint").await?;
        }
        if has.subnets != shape.subnets {
            let ids = names::subnet_ids(work, &shape.subnets).await?;
            let wanted = VpcConfigRequest::builder().set_subnet_ids(Some(ids)).build();
            let request = change().resources_vpc_config(wanted).client_request_token(work.client_token("subnets"));
            let answer = request.send().await.map_err(AwsError::sdk(attempted.clone()))?;
            finished(work, answer.update.and_then(|update| update.id), "the subnets").await?;
        }
    }
    if has.logging != shape.logging {
        let request = change().logging(logging(shape)).client_request_token(work.client_token("logging"));
        let answer = request.send().await.map_err(AwsError::sdk(attempted.clone()))?;
        finished(work, answer.update.and_then(|update| update.id), "the logs").await?;
    }
    if has.authentication != shape.authentication {
        let mode = AuthenticationMode::from(shape.authentication.as_str());
        let access = UpdateAccessConfigRequest::builder().authentication_mode(mode).build();
        let request = change().access_config(access).client_request_token(work.client_token("access"));
        let answer = request.send().await.map_err(AwsError::sdk(attempted.clone()))?;
        finished(work, answer.update.and_then(|update| update.id), "the authentication mode").await?;
    }
    if has.support != shape.support {
        let policy = UpgradePolicyRequest::builder().support_type(support(shape.support)).build();
        let request = change().upgrade_policy(policy).client_request_token(work.client_token("support"));
        let answer = request.send().await.map_err(AwsError::sdk(attempted.clone()))?;
        finished(work, answer.update.and_then(|update| update.id), "the support policy").await?;
    }
    if has.deletion_protection != shape.deletion_protection {
        let request = change()
            .deletion_protection(shape.deletion_protection)
            .client_request_token(work.client_token("protection"));
        let answer = request.send().await.map_err(AwsError::sdk(attempted.clone()))?;
        finished(work, answer.update.and_then(|update| update.id), "the deletion protection").await?;
    }
    if let (None, Some(key)) = (&has.encryption_key, &shape.encryption_key) {
        let request = work.aws.eks.associate_encryption_config().cluster_name(name).encryption_config(encryption(key));
        let request = request.client_request_token(work.client_token("encryption"));
        let answer = request.send().await.map_err(AwsError::sdk(attempted.clone()))?;
        finished(work, answer.update.and_then(|update| update.id), "the encryption").await?;
    }
    upgrade(work, &has.version, &shape.version).await?;
    wait_until_active(work).await
}

/// From one minor version to another, one at a time.
async fn upgrade(work: &Work<'_>, from: &str, to: &str) -> Result<(), AwsError> {
    let (Some(from), Some(to)) = (Minor::parse(from), Minor::parse(to)) else { return Ok(()) };
    let name = &work.marks.cluster;
    for version in from.up_to(to) {
        (work.say)(Progress(format!("bringing the control plane of {name} to Kubernetes {version}")));
        let token = work.client_token(&format!("version {version}"));
        let request = work.aws.eks.update_cluster_version().name(name).version(version.to_string());
        let attempted = format!("bring EKS cluster {name} to Kubernetes {version}");
        let answer = request.client_request_token(token).send().await.map_err(AwsError::sdk(attempted))?;
        finished(work, answer.update.and_then(|update| update.id), &format!("Kubernetes {version}")).await?;
    }
    Ok(())
}

async fn finished(work: &Work<'_>, id: Option<String>, what: &str) -> Result<(), AwsError> {
    crate::update::finished(work, None, None, id, &format!("{what} of EKS cluster {}", work.marks.cluster)).await
}

/// Removes the cluster and waits until it is gone.
///
/// # Errors
/// AWS' words: it still has node groups, or is protected.
pub async fn delete(work: &Work<'_>) -> Result<(), AwsError> {
    let name = &work.marks.cluster;
    let mut waiting = work.wait_for(format!("EKS cluster {name} to be gone"));
    let mut asked = false;
    while let Some(cluster) = observe::describe(work.aws, work.marks).await? {
        let state = cluster.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
        if !asked && state != "DELETING" {
            let attempted = format!("delete EKS cluster {name}");
            match work.aws.eks.delete_cluster().name(name).send().await.map_err(AwsError::sdk(attempted)) {
                Ok(_) => asked = true,
                Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
            continue;
        }
        waiting.on(&state).await?;
    }
    Ok(())
}
