//! A cluster in somebody else's network.

use serde_json::Value;

use crate::World;

fn subnet(world: &World, vpc: &str, zone: &str, cidr: &str) -> String {
    let args = ["ec2", "create-subnet", "--vpc-id", vpc, "--availability-zone", zone, "--cidr-block", cidr];
    world.aws(&args)["Subnet"]["SubnetId"].as_str().expect("an id").to_owned()
}

/// Subnets are looked at before they are used, and stay when the cluster goes; so does their VPC. A service account of it is a role by the
/// cluster's own issuer.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_cluster_in_somebody_elses_network_with_an_identity_by_its_issuer() {
    let world = World::start();
    let vpc = world.aws(&["ec2", "create-vpc", "--cidr-block", "10.9.0.0/16"]);
    let vpc = vpc["Vpc"]["VpcId"].as_str().expect("an id").to_owned();
    let one = subnet(&world, &vpc, "us-west-2a", "10.9.0.0/20");
    let two = subnet(&world, &vpc, "us-west-2b", "10.9.16.0/20");
    let same = subnet(&world, &vpc, "us-west-2a", "10.9.32.0/20");
    let tiny = subnet(&world, &vpc, "us-west-2b", "10.9.48.0/28");
    // Of its 11 addresses 5 are left.
    for _ in 0..6 {
        world.aws(&["ec2", "create-network-interface", "--subnet-id", &tiny]);
    }
    let within = |subnets: &str| {
        world.blueprint(|text| {
            let text = text
                .replace("{cidr: 10.7.0.0/16, zones: [us-west-2a, us-west-2b]}", &format!("{{subnets: [{subnets}]}}"));
            let text = text.replace("eks: {network", "eks: {account: \"123456789012\", network");
            text.replace("{eks: {policies", "{eks: {via: irsa, policies")
        })
    };
    for (subnets, says) in [
        (format!("{one}, subnet-0123456789abcdef0"), "has no subnet subnet-0123456789abcdef0"),
        (format!("{one}, {same}"), "all subnets are in us-west-2a"),
        (format!("{one}, {tiny}"), "free addresses"),
    ] {
        let file = within(&subnets);
        let planned = world.told(0, &["plan", file.to_str().expect("UTF-8"), "--verbose"]);
        assert!(planned.contains(says), "{says}:\n{planned}");
    }

    let file = within(&format!("{one}, {two}"));
    let file = file.to_str().expect("UTF-8");
    let planned = world.run(0, &["plan", file]);
    assert!(!planned.contains("VPC") && !planned.contains("NAT gateway"), "{planned}");
    // Whether STS takes the token is not asked from here: that check is in doubt.
    world.run(6, &["apply", file, "--yes", "--skip", crate::NOT_THE_STANDS]);
    world.run(0, &["plan", file, "--exit-code"]);
    let cluster = world.aws(&["eks", "describe-cluster", "--name", "small"])["cluster"].clone();
    let mut used: Vec<String> =
        serde_json::from_value(cluster["resourcesVpcConfig"]["subnetIds"].clone()).expect("ids");
    used.sort();
    let mut given = vec![one.clone(), two.clone()];
    given.sort();
    assert_eq!(used, given);

    // The role believes the cluster's issuer, for one account.
    let issuer =
        cluster["identity"]["oidc"]["issuer"].as_str().expect("an issuer").trim_start_matches("https://").to_owned();
    let roles = world.aws(&["iam", "list-roles", "--path-prefix", "/wbk-infra/"])["Roles"].clone();
    let roles: Vec<Value> = serde_json::from_value(roles).expect("roles");
    let trust = roles
        .iter()
        .map(|role| &role["AssumeRolePolicyDocument"]["Statement"][0])
        .find(|statement| statement["Action"] == "sts:AssumeRoleWithWebIdentity");
    let trust = trust.unwrap_or_else(|| panic!("a role for web identities: {roles:?}"));
    assert!(trust["Principal"]["Federated"].as_str().is_some_and(|arn| arn.ends_with(&issuer)), "{trust}");
    assert_eq!(trust["Condition"]["StringEquals"][format!("{issuer}:sub")], "system:serviceaccount:jobs:trainer");
    let providers =
        || world.aws(&["iam", "list-open-id-connect-providers"])["OpenIDConnectProviderList"].as_array().map(Vec::len);
    assert_eq!(providers(), Some(1));

    let gone = world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
    assert!(gone.contains("Left: nothing"), "{gone}");
    assert_eq!(world.aws(&["eks", "list-clusters"])["clusters"], serde_json::json!([]));
    assert_eq!((providers(), world.inventory()["roles"]), (Some(0), 0));
    let stays = world.aws(&["ec2", "describe-subnets", "--filters", &format!("Name=vpc-id,Values={vpc}")]);
    assert_eq!(stays["Subnets"].as_array().map(Vec::len), Some(4), "what is not ours stays");
}
