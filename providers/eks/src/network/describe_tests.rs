use aws_sdk_ec2::types::{NatGatewayAddress, RouteTableAssociation, Tag};

use super::*;

fn marks() -> Marks {
    Marks { blueprint: "b".into(), cluster: "c".into(), region: "us-west-2".into(), tags: BTreeMap::new() }
}

fn tags(pairs: &[(&str, &str)]) -> Option<Vec<Tag>> {
    Some(pairs.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect())
}

fn ours(part: &str) -> Option<Vec<Tag>> {
    tags(&[(BLUEPRINT, "b"), (CLUSTER, "c"), (PART, part)])
}

fn vpc(id: &str, tags: Option<Vec<Tag>>) -> Vpc {
    Vpc::builder().vpc_id(id).cidr_block("10.0.0.0/16").set_tags(tags).build()
}

fn subnet(id: &str, zone: &str, tags: Option<Vec<Tag>>) -> Subnet {
    let subnet = Subnet::builder().subnet_id(id).availability_zone(zone).cidr_block("10.0.0.0/20");
    subnet.map_public_ip_on_launch(true).set_tags(tags).build()
}

fn nat(id: &str, state: NatGatewayState, tags: Option<Vec<Tag>>) -> NatGateway {
    let address = NatGatewayAddress::builder().allocation_id("eipalloc-1").build();
    let nat = NatGateway::builder().nat_gateway_id(id).subnet_id("subnet-1").nat_gateway_addresses(address);
    nat.state(state).failure_code("InsufficientFreeAddressesInSubnet").set_tags(tags).build()
}

fn table(route: Option<Route>, tags: Option<Vec<Tag>>) -> RouteTable {
    let association = RouteTableAssociation::builder().subnet_id("subnet-1").route_table_association_id("a-1").build();
    let table = RouteTable::builder().route_table_id("rtb-1").associations(association).set_tags(tags);
    route.into_iter().fold(table, |table, route| table.routes(route)).build()
}

fn to_nat(id: &str) -> Option<Route> {
    Some(Route::builder().destination_cidr_block(EVERYWHERE).nat_gateway_id(id).build())
}

/// One of everything.
fn answers() -> Answers {
    let address = Address::builder().allocation_id("eipalloc-1").set_tags(ours("z1")).build();
    Answers {
        vpcs: Ok(vec![vpc("vpc-1", ours("network"))]),
        dns_names: Ok(BTreeMap::from([("vpc-1".to_owned(), true)])),
        gateways: Ok(vec![InternetGateway::builder().internet_gateway_id("igw-1").set_tags(ours("network")).build()]),
        subnets: Ok(vec![subnet("subnet-1", "z1", ours("public-z1"))]),
        addresses: Ok(vec![address]),
        nats: Ok(vec![nat("nat-1", NatGatewayState::Available, ours("z1"))]),
        tables: Ok(vec![table(to_nat("nat-1"), ours("private"))]),
    }
}

fn tell(answers: Answers) -> NetworkSeen {
    describe(&marks(), &Anchors::default(), answers)
}

fn part(seen: &NetworkSeen, sort: &str, name: &str) -> Part {
    seen.found.get(&PartId::new(sort, name)).unwrap_or_else(|| panic!("{sort} {name}: {seen:?}")).part.clone()
}

fn nat_part() -> Part {
    Part::NatGateway { subnet: "public-z1".into(), address: "z1".into() }
}

#[test]
fn parts_name_each_other_by_their_names() {
    let seen = tell(answers());
    assert_eq!(part(&seen, sort::NAT_GATEWAY, "z1"), nat_part());
    let subnets = BTreeSet::from(["public-z1".to_owned()]);
    assert_eq!(part(&seen, sort::ROUTE_TABLE, "private"), Part::RouteTable { out: Way::Nat("z1".into()), subnets });
    assert_eq!(part(&seen, sort::VPC, "network"), Part::Vpc { cidr: "10.0.0.0/16".into(), dns_names: true });
    assert_eq!(part(&seen, sort::INTERNET_GATEWAY, "network"), Part::InternetGateway { attached: false });
    assert!(seen.unknown.is_empty());
    assert_eq!(seen.id(sort::SUBNET, "public-z1"), Some("subnet-1"));
}

#[test]
fn what_cannot_be_seen_hides_what_is_told_by_it_and_nothing_else() {
    let why = || Why("ec2:DescribeSubnets is not allowed".into());
    let seen = tell(Answers { subnets: Err(why()), ..answers() });
    let sorts: Vec<&str> = seen.unknown.keys().copied().collect();
    assert_eq!(sorts, [sort::NAT_GATEWAY, sort::ROUTE_TABLE, sort::SUBNET]);
    assert_eq!(seen.found.len(), 3, "VPC, internet gateway and address are seen: {seen:?}");
    let seen = tell(Answers { nats: Err(why()), ..answers() });
    assert_eq!(seen.unknown.keys().copied().collect::<Vec<_>>(), [sort::NAT_GATEWAY, sort::ROUTE_TABLE]);
}

#[test]
fn a_nat_gateway_that_goes_is_not_there_and_one_that_failed_says_why() {
    for state in [NatGatewayState::Deleted, NatGatewayState::Deleting] {
        let seen = tell(Answers { nats: Ok(vec![nat("nat-1", state, ours("z1"))]), ..answers() });
        assert!(!seen.found.contains_key(&PartId::new(sort::NAT_GATEWAY, "z1")));
        let Part::RouteTable { out, .. } = part(&seen, sort::ROUTE_TABLE, "private") else { unreachable!() };
        assert_eq!(out, Way::Nat("nat-1".into()), "a route to what is gone differs from what is wanted");
    }
    let seen = tell(Answers { nats: Ok(vec![nat("nat-1", NatGatewayState::Failed, ours("z1"))]), ..answers() });
    let found = &seen.found[&PartId::new(sort::NAT_GATEWAY, "z1")];
    assert_eq!(found.issues, ["it failed: InsufficientFreeAddressesInSubnet"]);
}

#[test]
fn two_things_of_one_name_are_told() {
    let vpcs = vec![vpc("vpc-2", ours("network")), vpc("vpc-1", ours("network"))];
    let seen = tell(Answers { vpcs: Ok(vpcs.clone()), ..answers() });
    let found = &seen.found[&PartId::new(sort::VPC, "network")];
    assert_eq!((found.id.as_str(), found.issues.len()), ("vpc-1", 1));
    assert!(found.issues[0].contains("vpc-2"), "{:?}", found.issues);
    let anchors = Anchors { vpc: Some("vpc-2".into()), ..Anchors::default() };
    let seen = describe(&marks(), &anchors, Answers { vpcs: Ok(vpcs), ..answers() });
    assert_eq!(seen.id(sort::VPC, "network"), Some("vpc-2"), "the cluster's own comes first");
}

#[test]
fn in_the_clusters_vpc_things_are_known_without_their_tags() {
    let subnet_part = Part::Subnet { zone: "z1".into(), cidr: "10.0.0.0/20".into(), tier: Tier::Public };
    let wanted = [
        (sort::VPC, "network", Part::Vpc { cidr: "10.0.0.0/16".into(), dns_names: true }),
        (sort::SUBNET, "public-z1", subnet_part),
        (sort::ELASTIC_IP, "z1", Part::ElasticIp {}),
        (sort::NAT_GATEWAY, "z1", nat_part()),
        (
            sort::ROUTE_TABLE,
            "private",
            Part::RouteTable { out: Way::Nat("z1".into()), subnets: BTreeSet::from(["public-z1".to_owned()]) },
        ),
    ];
    let wanted: BTreeMap<PartId, Part> =
        wanted.into_iter().map(|(sort, name, part)| (PartId::new(sort, name), part)).collect();
    let bare = || Answers {
        vpcs: Ok(vec![vpc("vpc-1", None)]),
        subnets: Ok(vec![subnet("subnet-1", "z1", tags(&[("mine", "too")]))]),
        addresses: Ok(vec![Address::builder().allocation_id("eipalloc-1").build()]),
        nats: Ok(vec![nat("nat-1", NatGatewayState::Available, None)]),
        tables: Ok(vec![table(to_nat("nat-1"), None)]),
        gateways: Ok(Vec::new()),
        ..answers()
    };
    let anchors = Anchors { vpc: Some("vpc-1".into()), wanted, only: None };
    let seen = describe(&marks(), &anchors, bare());
    assert_eq!(seen.found.keys().collect::<Vec<_>>(), anchors.wanted.keys().collect::<Vec<_>>());
    assert!(seen.found.values().all(|found| !found.tags.contains_key(PART)));
    assert!(tell(bare()).found.is_empty(), "without the cluster's word nothing of it is ours");
    let other = Anchors { vpc: Some("vpc-9".into()), ..anchors.clone() };
    assert!(!describe(&marks(), &other, bare()).found.contains_key(&PartId::new(sort::VPC, "network")));
    let foreign = tags(&[(BLUEPRINT, "another"), (CLUSTER, "c"), (PART, "network")]);
    let theirs = Answers { vpcs: Ok(vec![vpc("vpc-1", foreign)]), ..bare() };
    assert!(!describe(&marks(), &anchors, theirs).found.contains_key(&PartId::new(sort::VPC, "network")));
}

#[test]
fn default_routes_lead_where_they_lead() {
    let by = |route: Route| default_route(&table(Some(route), None));
    let route = || Route::builder().destination_cidr_block(EVERYWHERE);
    assert_eq!(by(route().gateway_id("igw-1").build()), Some(Leads::Internet("igw-1".into())));
    assert_eq!(by(route().gateway_id("igw-1").state(RouteState::Blackhole).build()), None);
    assert_eq!(by(route().transit_gateway_id("tgw-1").build()), Some(Leads::Elsewhere("tgw-1".into())));
    assert_eq!(by(Route::builder().destination_cidr_block("10.0.0.0/16").gateway_id("local").build()), None);
}
