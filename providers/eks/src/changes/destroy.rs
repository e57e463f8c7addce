//! What takes a platform away, from the inside out.

use wbk_provider_api::{Disruption, Operation, OperationAction, ProviderTarget, Seen, Wanted};

use super::{CLUSTER_SECONDS, fingerprint, groups, parts};
use crate::content::Content;
use crate::marks::Marks;
use crate::part::sort;
use crate::world::World;

/// What must be gone before a part of a sort can go.
fn before(sort: &str) -> &'static [&'static str] {
    match sort {
        sort::ELASTIC_IP => &[sort::NAT_GATEWAY],
        sort::ROUTE_TABLE => &[sort::NAT_GATEWAY],
        sort::SUBNET => &[sort::NAT_GATEWAY, sort::ROUTE_TABLE],
        sort::INTERNET_GATEWAY => &[sort::NAT_GATEWAY, sort::ELASTIC_IP, sort::ROUTE_TABLE],
        sort::VPC => &[sort::SUBNET, sort::INTERNET_GATEWAY, sort::ROUTE_TABLE],
        _ => &[],
    }
}

/// Sorts that are inside the cluster and go with it.
const INSIDE: [&str; 3] = [sort::ACCESS_ENTRY, sort::ADDON, sort::POD_IDENTITY];

/// What removes everything that is there and ours.
pub fn removal(wanted: &Wanted, world: &World) -> Vec<Operation> {
    let marks = Marks::of(wanted);
    let cluster = ProviderTarget::Cluster(wanted.cluster.name.clone());
    let mut operations: Vec<Operation> = groups::pools(world)
        .iter()
        .filter_map(|pool| groups::removal(world, pool, "the platform is destroyed"))
        .collect();
    let mut ground: Vec<ProviderTarget> = operations.iter().map(|operation| operation.target.clone()).collect();
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
        .filter(|(id, found)| marks.are_on(&found.tags) && !INSIDE.contains(&id.sort.as_str()))
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
