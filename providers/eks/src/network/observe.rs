//! What is there of a network: six describes at once, and two more for the VPC that they find.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::Why;

use super::ask::{self, filter, ours};
use super::describe::{Anchors, Answers, NetworkSeen, allocation, describe};
use crate::aws::Aws;
use crate::error::AwsError;
use crate::marks::Marks;
use crate::part::sort;

/// Looks at a network. Each sort on its own may be unknown; nothing of it fails as a whole.
///
/// Everything is found by its tags. Where the cluster names its VPC, what is in that VPC is asked for instead, so that things without
/// their tags are seen too.
pub async fn observe(aws: &Aws, marks: &Marks, anchors: &Anchors) -> NetworkSeen {
    let within = |name: &str| match &anchors.vpc {
        Some(vpc) => vec![filter(name, [vpc])],
        None => ours(marks),
    };
    let asked = |sort: &str| anchors.asks(sort);
    let (vpcs, gateways, subnets, addresses, nats, tables) = futures::join!(
        when(asked(sort::VPC), ask::vpcs(aws, ours(marks))),
        when(asked(sort::INTERNET_GATEWAY), ask::gateways(aws, within("attachment.vpc-id"))),
        when(asked(sort::SUBNET), ask::subnets(aws, within("vpc-id"))),
        when(asked(sort::ELASTIC_IP), ask::addresses(aws, ours(marks))),
        when(asked(sort::NAT_GATEWAY), ask::nats(aws, within("vpc-id"))),
        when(asked(sort::ROUTE_TABLE), ask::tables(aws, within("vpc-id"))),
    );
    let gateways = async {
        let mut gateways = gateways?;
        // One that somebody detached is in no VPC.
        if anchors.vpc.is_some() && gateways.is_empty() && asked(sort::INTERNET_GATEWAY) {
            gateways = ask::gateways(aws, ours(marks)).await?;
        }
        Ok(gateways)
    };
    let vpcs = async {
        let mut vpcs = vpcs?;
        let is_there = |id: &String| vpcs.iter().any(|vpc| vpc.vpc_id() == Some(id.as_str()));
        if let Some(id) = anchors.vpc.as_ref().filter(|id| asked(sort::VPC) && !is_there(id)) {
            vpcs.extend(ask::vpcs(aws, vec![filter("vpc-id", [id])]).await?);
        }
        // Where the VPC is only what others are in, how it resolves names is nobody's concern.
        let counts = anchors.only.as_ref().is_none_or(|only| only.iter().eq([&sort::VPC]));
        let ids: Vec<String> =
            vpcs.iter().filter(|_| counts).filter_map(|vpc| vpc.vpc_id().map(str::to_owned)).collect();
        let ask = |id: String| async move { Ok::<_, AwsError>((id.clone(), ask::has_dns_names(aws, &id).await?)) };
        let dns = futures::future::try_join_all(ids.into_iter().map(ask)).await;
        Ok((vpcs, dns.map(|all| all.into_iter().collect::<BTreeMap<_, _>>())))
    };
    let addresses = async {
        let mut addresses = addresses?;
        let known: BTreeSet<&str> = addresses.iter().filter_map(|address| address.allocation_id()).collect();
        let unnamed: Vec<String> = match &nats {
            Ok(nats) if anchors.vpc.is_some() && asked(sort::ELASTIC_IP) => {
                nats.iter().filter_map(allocation).filter(|id| !known.contains(id)).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        if !unnamed.is_empty() {
            addresses.extend(ask::addresses(aws, vec![filter("allocation-id", unnamed)]).await?);
        }
        Ok(addresses)
    };
    let (vpcs, gateways, addresses): (Result<_, AwsError>, Result<_, AwsError>, Result<_, AwsError>) =
        futures::join!(vpcs, gateways, addresses);
    let (vpcs, dns_names) = match vpcs {
        Ok((vpcs, dns)) => (Ok(vpcs), dns.map_err(why)),
        Err(error) => (Err(why(error)), Ok(BTreeMap::new())),
    };
    let answers = Answers {
        vpcs,
        dns_names,
        gateways: gateways.map_err(why),
        subnets: subnets.map_err(why),
        addresses: addresses.map_err(why),
        nats: nats.map_err(why),
        tables: tables.map_err(why),
    };
    describe(marks, anchors, answers)
}

/// Nothing, where it is not asked for.
async fn when<T>(asked: bool, ask: impl Future<Output = Result<Vec<T>, AwsError>>) -> Result<Vec<T>, AwsError> {
    if asked { ask.await } else { Ok(Vec::new()) }
}

fn why(error: AwsError) -> Why {
    error.why()
}
