//! Subnets.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType};

use super::ask::filter;
use super::remove::remove;
use super::tagged::{self, Tags};
use super::vpc::nameless;
use crate::error::{AwsError, AwsErrorKind};
use crate::part::{Part, Tier, sort};
use crate::work::{Work, settled};

pub(super) async fn create(work: &Work<'_>, name: &str, part: &Part, tags: &Tags) -> Result<String, AwsError> {
    let attempted = format!("create the subnet {name}");
    let Part::Subnet { zone, cidr, tier } = part else {
        return Err(AwsError::refused(attempted, "it is wanted as something else"));
    };
    let id = match tagged::find(work, sort::SUBNET, name).await? {
        Some(thing) => thing.id,
        None => {
            let vpc = tagged::the_vpc(work).await?;
            let made = settled(|| async {
                let call = work.aws.ec2.create_subnet().vpc_id(&vpc).availability_zone(zone).cidr_block(cidr);
                let made = call.tag_specifications(tagged::given(ResourceType::Subnet, tags)).send().await;
                made.map_err(AwsError::sdk(&attempted))
            })
            .await;
            match made {
                Ok(made) => made.subnet.and_then(|subnet| subnet.subnet_id).ok_or_else(|| nameless(&attempted))?,
                // Its addresses are taken: by itself, where a look missed it or an answer was lost.
                Err(error) if error.kind == AwsErrorKind::AlreadyThere => {
                    tagged::need(work, sort::SUBNET, name).await.map_err(|_| error)?
                }
                Err(error) => return Err(error),
            }
        }
    };
    if *tier == Tier::Public {
        set_tier(work, &id, *tier).await.map_err(AwsError::after_change)?;
    }
    Ok(id)
}

/// Whether machines in it get public addresses: what makes a subnet of one tier or the other, beside its routes.
pub(super) async fn set_tier(work: &Work<'_>, id: &str, tier: Tier) -> Result<(), AwsError> {
    let value = AttributeBooleanValue::builder().value(tier == Tier::Public).build();
    settled(|| async {
        let call = work.aws.ec2.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(value.clone());
        let attempted = format!("say whether machines in the subnet {id} get public addresses");
        call.send().await.map(drop).map_err(AwsError::sdk(attempted))
    })
    .await
}

pub(super) async fn delete(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let what = format!("the subnet {id}");
    remove(work, &what, Some(filter("subnet-id", [id])), || async {
        let done = work.aws.ec2.delete_subnet().subnet_id(id).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("delete {what}")))
    })
    .await
}
