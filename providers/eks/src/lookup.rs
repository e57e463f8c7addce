//! Looks up what a region and an account say about a plan before it is run: [`Facts`].

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{CapacityReservationType, Filter, LocationType};
use futures::future::try_join_all;
use wbk_provider_api::{EksNetwork, Wanted};

use crate::aws::Aws;
use crate::catalog::{self, Quota};
use crate::error::{AwsError, AwsErrorKind};
use crate::facts::{BlockFact, Fact, Facts, QuotaFact, SubnetFact, VersionFact, VersionStatus};
use crate::network;

/// Looks everything up at once: one request for each sort of fact, and one for each quota. Versions of add-ons are asked for when it is
/// known which add-ons need one.
pub async fn facts(aws: &Aws, wanted: &Wanted) -> Facts {
    let (account, zones, offered, quotas, versions, blocks, subnets) = futures::join!(
        aws.caller(),
        network::zones(aws),
        offered(aws, wanted),
        quotas(aws, wanted),
        versions(aws),
        blocks(aws, wanted),
        subnets(aws, wanted)
    );
    Facts {
        account: fact(account.map(|caller| caller.account.clone())),
        zones: fact(zones.map(|zones| {
            zones.into_iter().filter(|zone| zone.control_plane).map(|zone| (zone.name, zone.id)).collect()
        })),
        offered: fact(offered),
        quotas: fact(quotas),
        versions: fact(versions),
        addon_versions: Fact::unknown("not asked for yet"),
        images: Fact::unknown("Systems Manager, which tells it, is not asked"),
        blocks: fact(blocks),
        subnets: fact(subnets),
    }
}

pub(crate) fn fact<T>(answer: Result<T, AwsError>) -> Fact<T> {
    match answer {
        Ok(known) => Fact::Known(known),
        Err(error) => Fact::Unknown(error.why()),
    }
}

fn machines(wanted: &Wanted) -> BTreeSet<String> {
    wanted.cluster.eks.iter().flat_map(|eks| eks.pools.values()).flat_map(|pool| pool.machines.clone()).collect()
}

async fn offered(aws: &Aws, wanted: &Wanted) -> Result<BTreeMap<String, BTreeSet<String>>, AwsError> {
    let machines = machines(wanted);
    let mut offered: BTreeMap<String, BTreeSet<String>> =
        machines.iter().map(|machine| (machine.clone(), BTreeSet::new())).collect();
    if machines.is_empty() {
        return Ok(offered);
    }
    let filter = Filter::builder().name("instance-type").set_values(Some(machines.into_iter().collect())).build();
    let request = aws.ec2.describe_instance_type_offerings().location_type(LocationType::AvailabilityZone);
    let mut pages = request.filters(filter).into_paginator().items().send();
    while let Some(offering) = pages.next().await {
        let offering = offering.map_err(AwsError::sdk("ask which zones have the machines"))?;
        if let (Some(machine), Some(zone)) = (offering.instance_type, offering.location) {
            offered.entry(machine.as_str().to_owned()).or_default().insert(zone);
        }
    }
    Ok(offered)
}

async fn quotas(aws: &Aws, wanted: &Wanted) -> Result<BTreeMap<String, QuotaFact>, AwsError> {
    let eks = wanted.cluster.eks.as_deref();
    let of_pool = |pool: &wbk_provider_api::PoolSpec| -> Vec<Quota> {
        let machines = eks.and_then(|eks| eks.pools.get(&pool.name)).map(|pool| pool.machines.clone());
        let known = machines.unwrap_or_default().into_iter().filter_map(|name| catalog::machine(&name));
        known.filter_map(|machine| catalog::quota(machine, pool.capacity)).collect()
    };
    let wanted: BTreeSet<Quota> = wanted.pools.values().flat_map(of_pool).collect();
    let asked = wanted.into_iter().map(|quota| async move {
        let request = aws.quotas.get_service_quota().service_code("ec2").quota_code(quota.code);
        match request.send().await.map_err(AwsError::sdk(format!("ask for the quota {}", quota.name))) {
            Ok(answer) => {
                let value = answer.quota.and_then(|quota| quota.value);
                // Quotas of vCPUs are whole numbers below a million.
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of vCPUs")]
                let fact = value.map(|value| QuotaFact { limit: value.max(0.0) as u64, used: None });
                Ok(fact.map(|fact| (quota.code.to_owned(), fact)))
            }
            Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    });
    Ok(try_join_all(asked).await?.into_iter().flatten().collect())
}

async fn versions(aws: &Aws) -> Result<BTreeMap<String, VersionFact>, AwsError> {
    let mut pages = aws.eks.describe_cluster_versions().include_all(true).into_paginator().items().send();
    let mut versions = BTreeMap::new();
    while let Some(version) = pages.next().await {
        let version = version.map_err(AwsError::sdk("ask for the Kubernetes versions of EKS"))?;
        let status = match version.version_status.as_ref().map(|status| status.as_str()) {
            Some("EXTENDED_SUPPORT") => VersionStatus::Extended,
            Some("UNSUPPORTED") => VersionStatus::Ended,
            Some(_) | None => VersionStatus::Standard,
        };
        let day = |date: Option<aws_smithy_types::DateTime>| {
            let text = date?.fmt(aws_smithy_types::date_time::Format::DateTime).ok()?;
            Some(text.get(..10)?.to_owned())
        };
        let fact = VersionFact {
            status,
            standard_until: day(version.end_of_standard_support_date),
            extended_until: day(version.end_of_extended_support_date),
        };
        versions.extend(version.cluster_version.map(|name| (name, fact)));
    }
    Ok(versions)
}

/// Each on its own, so that one that is not there hides no other.
async fn blocks(aws: &Aws, wanted: &Wanted) -> Result<BTreeMap<String, BlockFact>, AwsError> {
    let pools = wanted.cluster.eks.iter().flat_map(|eks| eks.pools.values());
    let ids: BTreeSet<&String> = pools.filter_map(|pool| pool.capacity_block.as_ref()).collect();
    let found = try_join_all(ids.into_iter().map(|id| async move {
        let request = aws.ec2.describe_capacity_reservations().capacity_reservation_ids(id);
        match request.send().await.map_err(AwsError::sdk(format!("look at capacity block {id}"))) {
            Ok(answer) => {
                let all = answer.capacity_reservations.unwrap_or_default();
                let one = all.into_iter().find(|one| one.capacity_reservation_id() == Some(id.as_str()));
                Ok(one.map(|one| (id.clone(), block(one))))
            }
            Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }))
    .await?;
    Ok(found.into_iter().flatten().collect())
}

fn block(one: aws_sdk_ec2::types::CapacityReservation) -> BlockFact {
    let minute = |time: Option<aws_smithy_types::DateTime>| {
        let text = time?.fmt(aws_smithy_types::date_time::Format::DateTime).ok()?;
        Some(format!("{}Z", text.get(..16)?))
    };
    BlockFact {
        block: one.reservation_type == Some(CapacityReservationType::CapacityBlock),
        machine: one.instance_type.unwrap_or_default(),
        zone: one.availability_zone.unwrap_or_default(),
        total: one.total_instance_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        state: one.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        begins: minute(one.start_date),
        ends: minute(one.end_date),
    }
}

async fn subnets(aws: &Aws, wanted: &Wanted) -> Result<BTreeMap<String, SubnetFact>, AwsError> {
    let Some(EksNetwork::Given { subnets }) = wanted.cluster.eks.as_ref().map(|eks| &eks.network) else {
        return Ok(BTreeMap::new());
    };
    let given = network::given(aws, subnets).await?;
    let fact = |facts: network::SubnetFacts| SubnetFact { zone: facts.zone, free: facts.free_addresses.into() };
    Ok(given.subnets.into_iter().map(|(id, facts)| (id, fact(facts))).collect())
}
