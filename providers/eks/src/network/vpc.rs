//! The VPC and its internet gateway.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType};

use super::ask::{self, filter};
use super::remove::remove;
use super::tagged::{self, Tags};
use crate::error::{AwsError, AwsErrorKind};
use crate::part::sort;
use crate::work::{Work, settled};

pub(super) async fn create(work: &Work<'_>, name: &str, cidr: &str, tags: &Tags) -> Result<String, AwsError> {
    let attempted = format!("create the VPC {name}");
    let id = match tagged::find(work, sort::VPC, name).await? {
        Some(thing) => thing.id,
        None => {
            let call = work.aws.ec2.create_vpc().cidr_block(cidr);
            let made = call.tag_specifications(tagged::given(ResourceType::Vpc, tags)).send().await;
            let made = made.map_err(AwsError::sdk(&attempted))?;
            let made = made.vpc.and_then(|vpc| vpc.vpc_id).ok_or_else(|| nameless(&attempted))?;
            let undo = |id: String| async move { delete(work, &id).await };
            tagged::only(work, (sort::VPC, name), made, undo).await.map_err(AwsError::after_change)?
        }
    };
    give_dns_names(work, &id).await.map_err(AwsError::after_change)?;
    Ok(id)
}

/// A private API server's name is answered only in a VPC with both (EKS user guide, "Cluster API server endpoint").
pub(super) async fn give_dns_names(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let on = || AttributeBooleanValue::builder().value(true).build();
    // The resolver first: names need it. EC2 takes one attribute a call.
    let calls = [
        work.aws.ec2.modify_vpc_attribute().vpc_id(id).enable_dns_support(on()),
        work.aws.ec2.modify_vpc_attribute().vpc_id(id).enable_dns_hostnames(on()),
    ];
    for call in calls {
        settled(|| async {
            call.clone().send().await.map_err(AwsError::sdk(format!("let the VPC {id} resolve and give DNS names")))
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn delete(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let what = format!("the VPC {id}");
    remove(work, &what, Some(filter("vpc-id", [id])), || async {
        let done = work.aws.ec2.delete_vpc().vpc_id(id).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("delete {what}")))
    })
    .await
}

pub(super) async fn create_gateway(work: &Work<'_>, name: &str, tags: &Tags) -> Result<String, AwsError> {
    let attempted = format!("create the internet gateway {name}");
    let id = match tagged::find(work, sort::INTERNET_GATEWAY, name).await? {
        Some(thing) => thing.id,
        None => {
            let call = work.aws.ec2.create_internet_gateway();
            let made = call.tag_specifications(tagged::given(ResourceType::InternetGateway, tags)).send().await;
            let made = made.map_err(AwsError::sdk(&attempted))?;
            let made = made.internet_gateway.and_then(|gateway| gateway.internet_gateway_id);
            let undo = |id: String| async move { delete_gateway(work, &id).await };
            let made = made.ok_or_else(|| nameless(&attempted))?;
            tagged::only(work, (sort::INTERNET_GATEWAY, name), made, undo).await.map_err(AwsError::after_change)?
        }
    };
    attach(work, &id).await.map_err(AwsError::after_change)?;
    Ok(id)
}

/// Attaches an internet gateway to the network's VPC, where it is not.
pub(super) async fn attach(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let vpc = tagged::the_vpc(work).await?;
    if attachment(work, id).await?.as_ref() == Some(&vpc) {
        return Ok(());
    }
    let attached = settled(|| async {
        let done = work.aws.ec2.attach_internet_gateway().internet_gateway_id(id).vpc_id(&vpc).send().await;
        done.map_err(AwsError::sdk(format!("attach the internet gateway {id} to the VPC {vpc}")))
    })
    .await;
    match attached {
        // The answer of a former try was lost.
        Err(error) if error.kind == AwsErrorKind::AlreadyThere && attachment(work, id).await? == Some(vpc) => Ok(()),
        done => done.map(drop),
    }
}

async fn attachment(work: &Work<'_>, id: &str) -> Result<Option<String>, AwsError> {
    let found = ask::gateways(work.aws, vec![tagged::by_id(sort::INTERNET_GATEWAY, id)]).await?;
    Ok(found.first().and_then(|gateway| gateway.attachments().first()?.vpc_id().map(str::to_owned)))
}

pub(super) async fn delete_gateway(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    if let Some(vpc) = attachment(work, id).await? {
        // Refused for as long as an address of the network is mapped to the internet.
        remove(work, &format!("the internet gateway {id}"), Some(filter("vpc-id", [&vpc])), || async {
            let done = work.aws.ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(&vpc).send().await;
            done.map(drop).map_err(AwsError::sdk(format!("detach the internet gateway {id} from the VPC {vpc}")))
        })
        .await?;
    }
    remove(work, &format!("the internet gateway {id}"), None, || async {
        let done = work.aws.ec2.delete_internet_gateway().internet_gateway_id(id).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("delete the internet gateway {id}")))
    })
    .await
}

/// An answer that does not say what was made.
pub(super) fn nameless(attempted: &str) -> AwsError {
    AwsError::new(attempted, AwsErrorKind::Garbled, "the answer names nothing that was made")
}
