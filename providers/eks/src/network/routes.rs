//! Route tables: one default route, and the subnets that follow it.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ResourceType, RouteTable};

use super::ask::{self, filter};
use super::describe::{EVERYWHERE, Leads, associated, default_route};
use super::tagged::{self, Tags, by_id};
use super::vpc::nameless;
use super::{nat, remove::remove};
use crate::error::{AwsError, AwsErrorKind};
use crate::part::{Way, sort};
use crate::work::{Work, settled};

pub(super) async fn create(
    work: &Work<'_>,
    name: &str,
    (out, subnets): (&Way, &BTreeSet<String>),
    tags: &Tags,
) -> Result<String, AwsError> {
    let attempted = format!("create the route table {name}");
    let id = match tagged::find(work, sort::ROUTE_TABLE, name).await? {
        Some(thing) => thing.id,
        None => {
            let vpc = tagged::the_vpc(work).await?;
            let token = work.client_token(name);
            let made = settled(|| async {
                let call = work.aws.ec2.create_route_table().vpc_id(&vpc).client_token(&token);
                let call = call.tag_specifications(tagged::given(ResourceType::RouteTable, tags));
                call.send().await.map_err(AwsError::sdk(&attempted))
            })
            .await?;
            made.route_table.and_then(|table| table.route_table_id).ok_or_else(|| nameless(&attempted))?
        }
    };
    set(work, &id, out, subnets).await.map_err(AwsError::after_change)?;
    Ok(id)
}

/// Makes a table's default route and its subnets what they should be. Other routes are others' and stay.
pub(super) async fn set(work: &Work<'_>, id: &str, out: &Way, subnets: &BTreeSet<String>) -> Result<(), AwsError> {
    let table = settled(|| look(work, id)).await?;
    set_route(work, id, &table, out).await?;
    set_subnets(work, id, &table, subnets).await
}

async fn look(work: &Work<'_>, id: &str) -> Result<RouteTable, AwsError> {
    let missing =
        || AwsError::new(format!("find the route table {id}"), AwsErrorKind::NotFound, "EC2 does not know it");
    ask::tables(work.aws, vec![by_id(sort::ROUTE_TABLE, id)]).await?.pop().ok_or_else(missing)
}

async fn set_route(work: &Work<'_>, id: &str, table: &RouteTable, out: &Way) -> Result<(), AwsError> {
    let wanted = match out {
        Way::Internet => Some(Leads::Internet(tagged::the_gateway(work).await?)),
        Way::Nat(name) => {
            let nat = tagged::need(work, sort::NAT_GATEWAY, name).await?;
            nat::until_available(work, &nat).await?;
            Some(Leads::Nat(nat))
        }
        Way::Nowhere => None,
    };
    if default_route(table) == wanted {
        return Ok(());
    }
    let there = table.routes().iter().any(|route| route.destination_cidr_block() == Some(EVERYWHERE));
    let ec2 = &work.aws.ec2;
    let Some(wanted) = wanted else {
        let attempted = format!("delete the default route of the route table {id}");
        let done = ec2.delete_route().route_table_id(id).destination_cidr_block(EVERYWHERE).send().await;
        return match done.map_err(AwsError::sdk(attempted)) {
            Err(error) if error.kind == AwsErrorKind::NotFound => Ok(()),
            done => done.map(drop),
        };
    };
    let attempted = format!("set the default route of the route table {id}");
    let (gateway, nat) = match wanted {
        Leads::Internet(gateway) => (Some(gateway), None),
        Leads::Nat(nat) => (None, Some(nat)),
        Leads::Elsewhere(id) => return Err(AwsError::refused(attempted, format!("{id} is no way out of a network"))),
    };
    settled(|| async {
        if !there {
            let call = ec2.create_route().route_table_id(id).destination_cidr_block(EVERYWHERE);
            let done = call.set_gateway_id(gateway.clone()).set_nat_gateway_id(nat.clone()).send().await;
            match done.map_err(AwsError::sdk(&attempted)) {
                // One with another target: what was seen is old.
                Err(error) if error.kind == AwsErrorKind::AlreadyThere => {}
                done => return done.map(drop),
            }
        }
        let call = ec2.replace_route().route_table_id(id).destination_cidr_block(EVERYWHERE);
        let done = call.set_gateway_id(gateway.clone()).set_nat_gateway_id(nat.clone()).send().await;
        done.map(drop).map_err(AwsError::sdk(&attempted))
    })
    .await
}

async fn set_subnets(
    work: &Work<'_>,
    id: &str,
    table: &RouteTable,
    subnets: &BTreeSet<String>,
) -> Result<(), AwsError> {
    let needed = subnets.iter().map(|name| tagged::need(work, sort::SUBNET, name));
    let wanted: BTreeSet<String> = futures::future::try_join_all(needed).await?.into_iter().collect();
    let has = associated(table);
    let ec2 = &work.aws.ec2;
    for (subnet, association) in has.iter().filter(|(subnet, _)| !wanted.contains(*subnet)) {
        let attempted = format!("take the subnet {subnet} off the route table {id}");
        disassociate(work, association, attempted).await?;
    }
    for subnet in wanted.iter().filter(|subnet| !has.contains_key(*subnet)) {
        let attempted = format!("let the subnet {subnet} follow the route table {id}");
        // A subnet follows one table: where it is another, the two are exchanged, so that it is never without routes.
        let others = ask::tables(work.aws, vec![filter("association.subnet-id", [subnet])]).await?;
        let other = others.iter().find_map(|table| associated(table).remove(subnet));
        match other {
            Some(association) => {
                let call = ec2.replace_route_table_association().association_id(association).route_table_id(id);
                call.send().await.map_err(AwsError::sdk(attempted))?;
            }
            None => {
                settled(|| async {
                    let call = ec2.associate_route_table().subnet_id(subnet).route_table_id(id);
                    call.send().await.map_err(AwsError::sdk(&attempted))
                })
                .await?;
            }
        }
    }
    Ok(())
}

async fn disassociate(work: &Work<'_>, association: &str, attempted: String) -> Result<(), AwsError> {
    let done = work.aws.ec2.disassociate_route_table().association_id(association).send().await;
    match done.map_err(AwsError::sdk(attempted)) {
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(()),
        done => done.map(drop),
    }
}

pub(super) async fn delete(work: &Work<'_>, id: &str) -> Result<(), AwsError> {
    let table = match look(work, id).await {
        Err(error) if error.kind == AwsErrorKind::NotFound => return Ok(()),
        table => table?,
    };
    for (subnet, association) in associated(&table) {
        disassociate(work, &association, format!("take the subnet {subnet} off the route table {id}")).await?;
    }
    remove(work, &format!("the route table {id}"), None, || async {
        let done = work.aws.ec2.delete_route_table().route_table_id(id).send().await;
        done.map(drop).map_err(AwsError::sdk(format!("delete the route table {id}")))
    })
    .await
}
