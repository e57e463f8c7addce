//! What others change behind the blueprint's back.

use serde_json::json;

use crate::World;

#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn what_others_change_is_drift_and_what_an_autoscaler_does_is_not() {
    let world = World::start();
    let blueprint = world.blueprint(str::to_owned);
    let file = blueprint.to_str().expect("UTF-8");
    world.apply(file);
    world.run(0, &["drift", file]);

    // An autoscaler decides between the bounds.
    let scale =
        ["eks", "update-nodegroup-config", "--cluster-name", "small", "--nodegroup-name", "l4", "--scaling-config"];
    world.aws(&[&scale[..], &["minSize=1,maxSize=2,desiredSize=2"]].concat());
    world.run(0, &["drift", file]);
    world.run(0, &["plan", file, "--exit-code"]);

    // A setting in the cloud.
    let logging = r#"{"clusterLogging":[{"types":["audit"],"enabled":true}]}"#;
    world.aws(&["eks", "update-cluster-config", "--name", "small", "--logging", logging]);
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("cluster small") && drifted.contains("audit"), "{drifted}");
    world.apply(file);
    world.run(0, &["drift", file]);

    // Tags that somebody took away: the VPC is known by its cluster, the rest by the VPC.
    let filter = "Name=tag:wbk-infra/blueprint,Values=small";
    let id = |describe: &str, list: &str, key: &str| {
        let answer = world.aws(&["ec2", describe, "--filters", filter]);
        answer[list][0][key].as_str().unwrap_or_else(|| panic!("{list}: {answer}")).to_owned()
    };
    let (vpc, subnet) = (id("describe-vpcs", "Vpcs", "VpcId"), id("describe-subnets", "Subnets", "SubnetId"));
    for thing in [&vpc, &subnet] {
        world.aws(&[
            "ec2",
            "delete-tags",
            "--resources",
            thing,
            "--tags",
            "Key=wbk-infra/blueprint",
            "Key=wbk-infra/cluster",
            "Key=wbk-infra/part",
        ]);
    }
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("VPC network") && drifted.contains("subnet "), "{drifted}");
    assert!(!drifted.contains("node pool"), "what is in a subnet is not elsewhere for its tags: {drifted}");
    let before = world.inventory();
    world.apply(file);
    world.run(0, &["drift", file]);
    assert_eq!(world.inventory()["Vpcs"], 1);
    assert_eq!(world.inventory()["Subnets"], before["Subnets"] + 1, "it has its tags again");

    // A public subnet whose machines get no public addresses: it keeps its place, and so does everything in it.
    let public =
        world.aws(&["ec2", "describe-subnets", "--filters", "Name=tag:wbk-infra/part,Values=public-us-west-2a"]);
    let public = public["Subnets"][0]["SubnetId"].as_str().expect("an id").to_owned();
    world.aws(&["ec2", "modify-subnet-attribute", "--subnet-id", &public, "--no-map-public-ip-on-launch"]);
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("tier") && !drifted.contains("cidr") && !drifted.contains("node pool"), "{drifted}");
    world.apply(file);
    world.run(0, &["drift", file]);

    // A node group that nobody wrote: drift, and never touched.
    let system = world.aws(&["eks", "describe-nodegroup", "--cluster-name", "small", "--nodegroup-name", "system"]);
    let subnets: Vec<String> = serde_json::from_value(system["nodegroup"]["subnets"].clone()).expect("subnets");
    let role = system["nodegroup"]["nodeRole"].as_str().expect("a role").to_owned();
    let mut create =
        vec!["eks", "create-nodegroup", "--cluster-name", "small", "--nodegroup-name", "by-hand", "--node-role", &role];
    create.extend(["--scaling-config", "minSize=0,maxSize=1,desiredSize=0", "--subnets"]);
    create.extend(subnets.iter().map(String::as_str));
    world.aws(&create);
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("node group by-hand"), "{drifted}");
    world.run(0, &["plan", file, "--exit-code"]);
    world.apply(file);
    let groups = world.aws(&["eks", "list-nodegroups", "--cluster-name", "small"])["nodegroups"].clone();
    assert!(groups.as_array().is_some_and(|names| names.contains(&json!("by-hand"))), "{groups}");
}
