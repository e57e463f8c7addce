//! Networks against a real EC2 emulator (moto), which checks CIDRs, duplicates and dependencies as EC2 does.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, Tag};
use support::{Parts, Tags, aws, marks, work};
use tokio::time::Instant;
use wbk_provider_api::PartId;
use wbk_provider_eks::aws::Aws;
use wbk_provider_eks::error::AwsErrorKind;
use wbk_provider_eks::marks::{CLUSTER, Marks, PART};
use wbk_provider_eks::network::{Anchors, NetworkSeen, create, delete, given, observe, update, zones};
use wbk_provider_eks::part::{Part, Tier, Way, sort};
use wbk_provider_eks::work::Work;

const ZONES: [&str; 3] = ["us-west-2a", "us-west-2b", "us-west-2c"];

/// The parts of a network over three zones with one NAT gateway, in an order that lets each be made.
fn network() -> Vec<(PartId, Part)> {
    let mut parts = vec![
        ("network".to_owned(), Part::Vpc { cidr: "10.0.0.0/16".into(), dns_names: true }),
        ("network".to_owned(), Part::InternetGateway { attached: true }),
    ];
    for (tier, first) in [(Tier::Public, 0), (Tier::Private, 128)] {
        for (at, zone) in ZONES.iter().enumerate() {
            let cidr = format!("10.0.{}.0/19", first + at * 32);
            parts.push((subnet(tier, zone), Part::Subnet { zone: (*zone).into(), cidr, tier }));
        }
    }
    let all = |tier| ZONES.iter().map(|zone| subnet(tier, zone)).collect::<BTreeSet<_>>();
    let nat = Part::NatGateway { subnet: subnet(Tier::Public, ZONES[0]), address: ZONES[0].into() };
    parts.extend([
        ("public".to_owned(), Part::RouteTable { out: Way::Internet, subnets: all(Tier::Public) }),
        (ZONES[0].to_owned(), Part::ElasticIp {}),
        (ZONES[0].to_owned(), nat),
        ("private".to_owned(), Part::RouteTable { out: Way::Nat(ZONES[0].into()), subnets: all(Tier::Private) }),
    ]);
    parts.into_iter().map(|(name, part)| (part.id(name), part)).collect()
}

fn subnet(tier: Tier, zone: &str) -> String {
    format!("{}-{zone}", tier.as_str())
}

fn tags(marks: &Marks, id: &PartId) -> Tags {
    marks.tags(&id.name, &[("kubernetes.io/role/elb", "1")])
}

async fn make(work: &Work<'_>) -> BTreeMap<PartId, String> {
    let mut ids = BTreeMap::new();
    for (id, part) in network() {
        let made = create(work, &id, &part, &tags(work.marks, &id)).await;
        ids.insert(id.clone(), made.unwrap_or_else(|error| panic!("{id}: {error}: {}", error.source)));
    }
    ids
}

async fn look(aws: &Aws, marks: &Marks) -> NetworkSeen {
    let seen = observe(aws, marks, &Anchors::default()).await;
    assert!(seen.unknown.is_empty(), "{:?}", seen.unknown);
    seen
}

fn parts(seen: &NetworkSeen) -> Parts {
    seen.found.iter().map(|(id, found)| (id.clone(), found.part.clone())).collect()
}

fn wanted() -> Parts {
    network().into_iter().collect()
}

/// Sees everything as wanted: parts, all tags, no issue.
async fn is_as_wanted(aws: &Aws, marks: &Marks) {
    let seen = look(aws, marks).await;
    assert_eq!(parts(&seen), wanted());
    for (id, found) in &seen.found {
        assert_eq!(found.tags, tags(marks, id), "{id}");
        assert!(found.issues.is_empty(), "{id}: {:?}", found.issues);
    }
}

/// Sees one part differ, mends it, and sees everything as wanted.
async fn differs_and_is_mended(work: &Work<'_>, sort: &str, name: &str) {
    let id = PartId::new(sort, name);
    let seen = look(work.aws, work.marks).await;
    let found = seen.found.get(&id).unwrap_or_else(|| panic!("{id} is still seen: {:?}", seen.found.keys()));
    let wanted = wanted()[&id].clone();
    let all_tags = tags(work.marks, &id);
    assert!(found.part != wanted || found.tags != all_tags, "{id} differs");
    update(work, &id, found, (&wanted, &all_tags)).await.unwrap_or_else(|error| panic!("{error}: {}", error.source));
    is_as_wanted(work.aws, work.marks).await;
}

async fn take_down(work: &Work<'_>) {
    let seen = look(work.aws, work.marks).await;
    for (id, _) in network().into_iter().rev() {
        let Some(found) = seen.found.get(&id) else { continue };
        for _ in 0..2 {
            let gone = delete(work, &id, &found.id).await;
            gone.unwrap_or_else(|error| panic!("{id}: {error}: {}", error.source));
        }
    }
    assert_eq!(look(work.aws, work.marks).await.found, BTreeMap::new());
}

fn by_cluster(cluster: &str) -> Filter {
    Filter::builder().name(format!("tag:{CLUSTER}")).values(cluster).build()
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn a_network_of_three_zones_is_made_once_found_by_its_tags_and_taken_down() {
    let (aws, marks) = (aws().await, marks("whole"));
    let work = work(&aws, &marks);
    assert_eq!(look(&aws, &marks).await, NetworkSeen::default());
    let first = make(&work).await;
    is_as_wanted(&aws, &marks).await;

    // Every answer was lost: all of it is asked for again, with the same token.
    assert_eq!(make(&work).await, first);
    is_as_wanted(&aws, &marks).await;
    let addresses = aws.ec2.describe_addresses().filters(by_cluster("whole")).send().await.unwrap();
    assert_eq!(addresses.addresses().len(), 1);

    // Six describes and the two DNS attributes of the VPC; no more where the cluster names it.
    let before = aws.requests();
    look(&aws, &marks).await;
    assert_eq!(aws.requests() - before, 8);
    let anchors =
        Anchors { vpc: Some(first[&PartId::new(sort::VPC, "network")].clone()), wanted: wanted(), only: None };
    let before = aws.requests();
    let seen = observe(&aws, &marks, &anchors).await;
    assert_eq!((parts(&seen), aws.requests() - before), (wanted(), 8));

    take_down(&work).await;
    let left = aws.ec2.describe_vpcs().filters(by_cluster("whole")).send().await.unwrap();
    assert!(left.vpcs().is_empty());
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn what_somebody_changed_is_seen_and_mended() {
    let (aws, marks) = (aws().await, marks("mended"));
    let work = work(&aws, &marks);
    let ids = make(&work).await;
    let id = |sort: &str, name: &str| ids[&PartId::new(sort, name)].clone();
    let private = id(sort::ROUTE_TABLE, "private");
    let ec2 = &aws.ec2;

    ec2.delete_route().route_table_id(&private).destination_cidr_block("0.0.0.0/0").send().await.unwrap();
    differs_and_is_mended(&work, sort::ROUTE_TABLE, "private").await;

    let gateway = id(sort::INTERNET_GATEWAY, "network");
    let replaced = ec2.replace_route().route_table_id(&private).destination_cidr_block("0.0.0.0/0");
    replaced.gateway_id(&gateway).send().await.unwrap();
    differs_and_is_mended(&work, sort::ROUTE_TABLE, "private").await;

    let found = ec2.describe_route_tables().route_table_ids(&private).send().await.unwrap();
    let association = found.route_tables()[0].associations()[0].route_table_association_id().unwrap();
    ec2.disassociate_route_table().association_id(association).send().await.unwrap();
    differs_and_is_mended(&work, sort::ROUTE_TABLE, "private").await;

    // A subnet that follows the other table: both differ, and each is mended by itself.
    let found = ec2.describe_route_tables().route_table_ids(&private).send().await.unwrap();
    let association = found.route_tables()[0].associations()[0].route_table_association_id().unwrap();
    let public = id(sort::ROUTE_TABLE, "public");
    ec2.replace_route_table_association().association_id(association).route_table_id(&public).send().await.unwrap();
    assert_ne!(parts(&look(&aws, &marks).await), wanted());
    differs_and_is_mended(&work, sort::ROUTE_TABLE, "private").await;

    let subnet_id = id(sort::SUBNET, &subnet(Tier::Public, ZONES[1]));
    let off = || AttributeBooleanValue::builder().value(false).build();
    ec2.modify_subnet_attribute().subnet_id(&subnet_id).map_public_ip_on_launch(off()).send().await.unwrap();
    differs_and_is_mended(&work, sort::SUBNET, &subnet(Tier::Public, ZONES[1])).await;

    let vpc = id(sort::VPC, "network");
    ec2.modify_vpc_attribute().vpc_id(&vpc).enable_dns_hostnames(off()).send().await.unwrap();
    differs_and_is_mended(&work, sort::VPC, "network").await;

    for (sort, name) in [(sort::NAT_GATEWAY, ZONES[0]), (sort::SUBNET, "private-us-west-2a")] {
        ec2.delete_tags().resources(id(sort, name)).tags(Tag::builder().key(PART).build()).send().await.unwrap();
        differs_and_is_mended(&work, sort, name).await;
    }
    take_down(&work).await;
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn a_detached_internet_gateway_is_seen_and_attached() {
    let (aws, marks) = (aws().await, marks("detached"));
    let work = work(&aws, &marks);
    let parts: Vec<(PartId, Part)> = network().into_iter().take(2).collect();
    let mut ids = Vec::new();
    for (id, part) in &parts {
        ids.push(create(&work, id, part, &tags(&marks, id)).await.unwrap());
    }
    aws.ec2.detach_internet_gateway().vpc_id(&ids[0]).internet_gateway_id(&ids[1]).send().await.unwrap();
    let anchors = Anchors { vpc: Some(ids[0].clone()), wanted: wanted(), only: None };
    let found = observe(&aws, &marks, &anchors).await.found.remove(&parts[1].0).expect("it is seen, also by the VPC");
    assert_eq!(found.part, Part::InternetGateway { attached: false });
    update(&work, &parts[1].0, &found, (&parts[1].1, &tags(&marks, &parts[1].0))).await.unwrap();
    let found = look(&aws, &marks).await.found.remove(&parts[1].0).unwrap();
    assert_eq!(found.part, parts[1].1);
    take_down(&work).await;
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn a_network_without_any_tag_is_found_in_the_clusters_vpc_and_tagged_again() {
    let (aws, marks) = (aws().await, marks("untagged"));
    let work = work(&aws, &marks);
    let ids = make(&work).await;
    let all: Vec<String> = ids.values().cloned().collect();
    let keys = tags(&marks, &PartId::new(sort::VPC, "network")).into_keys();
    let keys = keys.map(|key| Tag::builder().key(key).build()).collect();
    aws.ec2.delete_tags().set_resources(Some(all)).set_tags(Some(keys)).send().await.unwrap();
    assert!(look(&aws, &marks).await.found.is_empty());

    let anchors = Anchors { vpc: Some(ids[&PartId::new(sort::VPC, "network")].clone()), wanted: wanted(), only: None };
    let seen = observe(&aws, &marks, &anchors).await;
    assert_eq!(parts(&seen), wanted());
    for (id, found) in &seen.found {
        assert_eq!((found.tags.len(), &found.id), (0, &ids[id]), "{id}");
        let refused = delete(&work, id, &found.id).await.expect_err("what does not carry our marks is never deleted");
        assert_eq!(refused.kind, AwsErrorKind::Refused, "{id}");
    }
    for (id, part) in network() {
        let done = update(&work, &id, &seen.found[&id], (&part, &tags(&marks, &id))).await;
        done.unwrap_or_else(|error| panic!("{id}: {error}: {}", error.source));
    }
    is_as_wanted(&aws, &marks).await;
    take_down(&work).await;
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn what_is_in_the_way_of_a_deletion_is_named_when_the_deadline_comes() {
    let (aws, marks) = (aws().await, marks("lingering"));
    let patient = work(&aws, &marks);
    let mut ids = BTreeMap::new();
    for (id, part) in network().into_iter().take(3) {
        ids.insert(id.clone(), create(&patient, &id, &part, &tags(&marks, &id)).await.unwrap());
    }
    // moto lets a subnet go with what is in it, and keeps a VPC that has subnets.
    let id = PartId::new(sort::VPC, "network");
    let subnet = &ids[&PartId::new(sort::SUBNET, subnet(Tier::Public, ZONES[0]))];
    let gateway = PartId::new(sort::INTERNET_GATEWAY, "network");
    delete(&patient, &gateway, &ids[&gateway]).await.unwrap();
    let interface = aws.ec2.create_network_interface().subnet_id(subnet).description("ELB net/k8s-jobs");
    let interface = interface.send().await.unwrap().network_interface.unwrap().network_interface_id.unwrap();
    let hurried = Work { until: Instant::now() + Duration::from_secs(2), ..patient };
    let late = delete(&hurried, &id, &ids[&id]).await.expect_err("something is in it");
    assert_eq!(late.kind, AwsErrorKind::Late);
    let words = late.source.to_string();
    assert!(
        [&interface, subnet].iter().all(|id| words.contains(*id)) && words.contains("load balancer k8s-jobs"),
        "{words}"
    );

    let said = std::sync::Mutex::new(Vec::new());
    let hear = |progress: wbk_provider_api::Progress| said.lock().unwrap().push(progress.0);
    let removed = async {
        aws.ec2.delete_network_interface().network_interface_id(&interface).send().await.unwrap();
        while said.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        aws.ec2.delete_subnet().subnet_id(subnet).send().await.unwrap();
    };
    let heard = Work { say: &hear, ..patient };
    let (deleted, ()) = tokio::join!(delete(&heard, &id, &ids[&id]), removed);
    deleted.expect("what was in the way has gone");
    assert!(said.lock().unwrap().iter().any(|line| line.contains(subnet)), "{said:?}");
    take_down(&patient).await;
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn facts_on_others_subnets_and_zones() {
    let (aws, marks) = (aws().await, marks("facts"));
    let work = work(&aws, &marks);
    let ids = make(&work).await;
    let subnet_id = |tier| ids[&PartId::new(sort::SUBNET, subnet(tier, ZONES[0]))].clone();
    let (public, private) = (subnet_id(Tier::Public), subnet_id(Tier::Private));
    let before = aws.requests();
    let seen = given(&aws, &[public.clone(), private.clone(), "subnet-0none".into()].into()).await.unwrap();
    assert_eq!(aws.requests() - before, 2);
    assert_eq!(seen.missing, BTreeSet::from(["subnet-0none".to_owned()]));
    assert_eq!((seen.subnets[&public].public, seen.subnets[&private].public), (Some(true), Some(false)));
    let facts = &seen.subnets[&private];
    assert_eq!((facts.zone.as_str(), facts.vpc.as_str()), (ZONES[0], ids[&PartId::new(sort::VPC, "network")].as_str()));
    assert!(facts.free_addresses > 8000, "{facts:?}");

    let zones = zones(&aws).await.unwrap();
    assert!(ZONES.iter().all(|name| zones.iter().any(|zone| zone.name == *name && zone.control_plane)), "{zones:?}");
    take_down(&work).await;
}
