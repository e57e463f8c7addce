//! NAT gateways and their addresses.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{DomainType, NatGateway, NatGatewayState, ResourceType};

use super::ask::{self, ours, tags_of};
use super::describe::failure;
use super::remove::remove;
use super::tagged::{self, Tags, by_id};
use super::vpc::nameless;
use crate::error::{AwsError, AwsErrorKind, Trouble};
use crate::marks::PART;
use crate::part::sort;
use crate::work::{Work, settled};

pub(super) async fn create_address(work: &Work<'_>, name: &str, tags: &Tags) -> Result<String, AwsError> {
    if let Some(thing) = tagged::find(work, sort::ELASTIC_IP, name).await? {
        return Ok(thing.id);
    }
    let attempted = format!("create the elastic IP {name}");
    let call = work.aws.ec2.allocate_address().domain(DomainType::Vpc);
    let made = call.tag_specifications(tagged::given(ResourceType::ElasticIp, tags)).send().await;
    let made = made.map_err(AwsError::sdk(&attempted))?.allocation_id.ok_or_else(|| nameless(&attempted))?;
    let undo = |id: String| async move { delete_address(work, &id).await };
    tagged::only(work, (sort::ELASTIC_IP, name), made, undo).await.map_err(AwsError::after_change)
}

pub(super) async fn delete_address(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let what = format!("the elastic IP {id}");
    remove(work, &what, None, || async {
        let done = work.aws.ec2.release_address().allocation_id(id).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("release {what}"))).map_err(held_by_a_gateway)
    })
    .await
}

/// An address that a NAT gateway still holds is refused with `AuthFailure`, as if it were somebody else's (kubernetes-sigs/
/// cluster-api-provider-aws, `releaseAddresses`). It was described with the same credentials just now.
fn held_by_a_gateway(error: AwsError) -> AwsError {
    match error.kind {
        AwsErrorKind::Credentials(Trouble::Invalid) => AwsError { kind: AwsErrorKind::InUse, ..error },
        _ => error,
    }
}

pub(super) async fn create(
    work: &Work<'_>,
    name: &str,
    (subnet, address): (&str, &str),
    tags: &Tags,
) -> Result<String, AwsError> {
    let attempted = format!("create the NAT gateway {name}");
    let id = match tagged::find(work, sort::NAT_GATEWAY, name).await? {
        Some(thing) => thing.id,
        None => {
            let (subnet, address) = futures::try_join!(
                tagged::need(work, sort::SUBNET, subnet),
                tagged::need(work, sort::ELASTIC_IP, address)
            )?;
            let token = work.client_token(&format!("{name} {}", dead(work, name).await?));
            let made = settled(|| async {
                let call = work.aws.ec2.create_nat_gateway().subnet_id(&subnet).allocation_id(&address);
                let call = call.tag_specifications(tagged::given(ResourceType::Natgateway, tags));
                call.client_token(&token).send().await.map_err(AwsError::sdk(&attempted))
            })
            .await?;
            made.nat_gateway.and_then(|nat| nat.nat_gateway_id).ok_or_else(|| nameless(&attempted))?
        }
    };
    until_available(work, &id).await?;
    Ok(id)
}

/// The ids of those of a name that failed or went. A client token answers with what it made, also where that is dead: one that is made
/// anew has a token of its own.
async fn dead(work: &Work<'_>, name: &str) -> Result<String, AwsError> {
    let is_dead = |nat: &&NatGateway| {
        let tags = tags_of(nat.tags());
        let lives = matches!(nat.state(), Some(NatGatewayState::Available | NatGatewayState::Pending));
        !lives && work.marks.are_on(&tags) && tags.get(PART).is_some_and(|part| part == name)
    };
    let all = ask::nats(work.aws, ours(work.marks)).await?;
    let ids: BTreeSet<&str> = all.iter().filter(is_dead).filter_map(|nat| nat.nat_gateway_id()).collect();
    Ok(ids.into_iter().collect::<Vec<_>>().join(" "))
}

/// Waits until a NAT gateway passes packets. About two minutes.
pub(super) async fn until_available(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let mut waiting = work.wait_for(format!("the NAT gateway {id} to be available"));
    loop {
        let nat = look(work, id).await?;
        match nat.as_ref().and_then(NatGateway::state) {
            Some(NatGatewayState::Available) => return Ok(()),
            Some(NatGatewayState::Failed) => {
                let words = nat.as_ref().map(failure).unwrap_or_default();
                return Err(AwsError::new(format!("make the NAT gateway {id}"), AwsErrorKind::Failed, words));
            }
            Some(NatGatewayState::Deleted | NatGatewayState::Deleting) => {
                let words = "somebody deletes it";
                return Err(AwsError::new(format!("make the NAT gateway {id}"), AwsErrorKind::Failed, words));
            }
            Some(state) => waiting.on(state.as_str()).await?,
            None => waiting.on("not known to EC2 yet").await?,
        }
    }
}

async fn look(work: &Work<'_>, id: &str) -> Result<Option<NatGateway>, AwsError> {
    Ok(ask::nats(work.aws, vec![by_id(sort::NAT_GATEWAY, id)]).await?.pop())
}

/// Deletes a NAT gateway and waits until it is gone: until then its address and its subnet cannot go. About a minute.
pub(super) async fn delete(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let what = format!("the NAT gateway {id}");
    match look(work, id).await? {
        None => return Ok(()),
        Some(nat) if !work.marks.are_on(&tags_of(nat.tags())) => return Err(tagged::is_foreign(sort::NAT_GATEWAY, id)),
        // One that failed, or goes already, must be gone before its address is.
        Some(_) => {}
    }
    remove(work, &what, None, || async {
        let done = work.aws.ec2.delete_nat_gateway().nat_gateway_id(id).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("delete {what}")))
    })
    .await?;
    let mut waiting = work.wait_for(format!("{what} to be gone"));
    loop {
        match look(work, id).await.map_err(AwsError::after_change)?.as_ref().and_then(NatGateway::state) {
            None | Some(NatGatewayState::Deleted) => return Ok(()),
            Some(state) => waiting.on(state.as_str()).await?,
        }
    }
}
