//! What takes a platform away, from the inside out.

use wbk_provider_api::{Disruption, Operation, OperationAction, PartId, ProviderTarget, Seen, Wanted};

use super::{CLUSTER_SECONDS, fingerprint, groups, parts};
use crate::content::Content;
use crate::marks::Marks;
use crate::part::{Found, Part, sort};
use crate::world::World;

/// What must be gone before a part of a sort can go.
pub(super) fn before(sort: &str) -> &'static [&'static str] {
    match sort {
        sort::ELASTIC_IP => &[sort::NAT_GATEWAY],
        sort::ROUTE_TABLE => &[sort::NAT_GATEWAY],
        sort::SUBNET => &[sort::NAT_GATEWAY, sort::ROUTE_TABLE],
        sort::INTERNET_GATEWAY => &[sort::NAT_GATEWAY, sort::ELASTIC_IP, sort::ROUTE_TABLE],
        sort::SECURITY_GROUP => &[sort::PLACEMENT_GROUP],
        // They are looked for where there is one of these: the last to go.
        sort::LAUNCH_TEMPLATE => &[sort::PLACEMENT_GROUP, sort::SECURITY_GROUP],
        sort::VPC => &[sort::SUBNET, sort::INTERNET_GATEWAY, sort::ROUTE_TABLE, sort::SECURITY_GROUP],
        _ => &[],
    }
}

/// Sorts that are inside the cluster and go with it.
const INSIDE: [&str; 4] = [sort::ACCESS_ENTRY, sort::NODE_ACCESS, sort::ADDON, sort::POD_IDENTITY];

/// What removes what controllers made in AWS, while they still run: somebody's way in, and somebody's data, so that each goes only when
/// named.
fn held(world: &World) -> Vec<Operation> {
    let operation = |(id, found): (&PartId, &Found)| {
        let (reason, disruption) = match &found.part {
            Part::LoadBalancer { kind, namespace, name, address } => {
                let at = address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
                let reason = format!(
                    "AWS keeps the load balancer{at} of {kind} {namespace}/{name} when the cluster goes before it"
                );
                (reason, Disruption::Stops(format!("what comes in through {kind} {namespace}/{name}")))
            }
            Part::Volume { disk, size, claim, retained: false } => {
                let size = size.as_deref().unwrap_or("of unknown size");
                let whose = claim.as_ref().map_or("that no claim has".to_owned(), |claim| format!("of claim {claim}"));
                let reason = format!("AWS keeps disk {disk} ({size}) {whose} when the cluster goes before it");
                (reason, Disruption::LosesData(format!("disk {disk} ({size}) {whose}")))
            }
            _ => return None,
        };
        let content = Content::Part { part: found.part.clone(), tags: found.tags.clone() };
        Some(Operation {
            disruption,
            expect: fingerprint(&found.id),
            content: serde_json::to_value(content).expect("a content is plain data"),
            ..Operation::new(
                OperationAction::Delete,
                ProviderTarget::Part(id.clone()),
                reason,
                parts::deadline(&found.part),
            )
        })
    };
    world.parts.iter().filter_map(operation).collect()
}

/// Disks that stay whatever goes.
fn retained(world: &World) -> Vec<String> {
    let disk = |found: &Found| match &found.part {
        Part::Volume { disk, claim, retained: true, .. } => {
            Some(claim.as_ref().map_or(disk.clone(), |claim| format!("{disk} of claim {claim}")))
        }
        _ => None,
    };
    world.parts.values().filter_map(disk).collect()
}

/// What removes everything that is there and ours.
pub fn removal(wanted: &Wanted, world: &World) -> Vec<Operation> {
    let marks = Marks::of(wanted);
    let cluster = ProviderTarget::Cluster(wanted.cluster.name.clone());
    let held = held(world);
    let first: Vec<ProviderTarget> = held.iter().map(|operation| operation.target.clone()).collect();
    let mut operations: Vec<Operation> = groups::pools(world)
        .iter()
        .filter_map(|pool| groups::removal(world, pool, "the platform is destroyed"))
        // Controllers need nodes to take down what they made.
        .map(|operation| Operation { needs: first.clone(), ..operation })
        .collect();
    operations.extend(held);
    let mut ground: Vec<ProviderTarget> = operations.iter().map(|operation| operation.target.clone()).collect();
    let goes = !matches!(&world.cluster, Seen::Present(found) if !found.ours);
    if let Seen::Present(found) = &world.cluster
        && found.ours
    {
        let foreign =
            world.groups.iter().filter(|(_, group)| group.present().is_some_and(|group| group.pool.is_none()));
        let foreign: Vec<&str> = foreign.map(|(name, _)| name.as_str()).collect();
        let also = match foreign.is_empty() {
            true => String::new(),
            false => format!("; AWS keeps it while somebody else's node groups are there: {}", foreign.join(", ")),
        };
        let retained = retained(world);
        let also = match retained.is_empty() {
            true => also,
            false => format!(
                "{also}; disks that stay and are paid for on, as their claims say Retain: {}",
                retained.join(", ")
            ),
        };
        operations.push(Operation {
            disruption: Disruption::LosesData(format!("everything in EKS cluster {}{also}", wanted.cluster.name)),
            expect: fingerprint(found),
            needs: ground.clone(),
            content: serde_json::to_value(Content::Nothing).expect("a content is plain data"),
            ..Operation::new(OperationAction::Delete, cluster.clone(), "the platform is destroyed", CLUSTER_SECONDS)
        });
        ground.push(cluster);
    }
    let ours: Vec<_> = world
        .parts
        .iter()
        // On a cluster that stays, what was put inside goes on its own.
        .filter(|(id, found)| marks.are_on(&found.tags) && !(goes && INSIDE.contains(&id.sort.as_str())))
        .collect();
    for (id, found) in &ours {
        let inside = ours.iter().filter(|(other, _)| before(&id.sort).contains(&other.sort.as_str()));
        let needs = inside.map(|(other, _)| ProviderTarget::Part((*other).clone())).chain(ground.clone()).collect();
        let content = Content::Part { part: found.part.clone(), tags: found.tags.clone() };
        operations.push(Operation {
            needs,
            // Whatever else of it changes while what is in it goes.
            expect: fingerprint(&found.id),
            content: serde_json::to_value(content).expect("a content is plain data"),
            ..Operation::new(
                OperationAction::Delete,
                ProviderTarget::Part((*id).clone()),
                "the platform is destroyed",
                parts::deadline(&found.part),
            )
        });
    }
    operations
}
