//! Node groups that are more than a machine and a number of them.

use serde_json::{Value, json};

use super::World;

/// The pool with GPUs of `small.yaml`.
const L4: &str = "size: {min: 1, max: 2}, labels: {team: research}}";

impl World {
    fn node_group(&self, name: &str) -> Value {
        self.aws(&["eks", "describe-nodegroup", "--cluster-name", "small", "--nodegroup-name", name])["nodegroup"]
            .clone()
    }

    /// What the default version of a launch template says.
    fn template(&self, name: &str) -> Value {
        let asked =
            ["ec2", "describe-launch-template-versions", "--launch-template-name", name, "--versions", "$Default"];
        self.aws(&asked)["LaunchTemplateVersions"][0].clone()
    }
}

/// Disks and fabric adapters: a launch template beside its group, another version where it changes, gone where it is not needed.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn what_a_group_cannot_say_is_in_a_launch_template() {
    let world = World::start();
    let with = |disk: &str, fabric: &str| {
        world.blueprint(|text| {
            let l4 = format!("size: {{min: 1, max: 2}}, labels: {{team: research}}, eks: {{disk: {disk}}}}}");
            let train = format!(
                "\n  - {{name: train, accelerator: {{model: nvidia-a100-40gb, count: 8}}, size: {{min: 1, max: 1}}, eks: {{{fabric}zones: [us-west-2a]}}}}"
            );
            text.replace(L4, &(l4 + &train))
        })
    };
    let blueprint = with("{size: 300Gi, throughput: 500}", "efa: true, ");
    let file = blueprint.to_str().expect("UTF-8");
    let planned = world.run(0, &["plan", file]);
    for part in ["launch template l4", "launch template train", "security group efa", "placement group train"] {
        assert!(planned.contains(&format!("+ create  {part}")), "{part}:\n{planned}");
    }
    world.apply(file);
    world.run(0, &["plan", file, "--exit-code"]);

    // Another client agrees with what was asked.
    let l4 = world.template("small-l4");
    let disk = &l4["LaunchTemplateData"]["BlockDeviceMappings"][0];
    assert_eq!((&disk["DeviceName"], &disk["Ebs"]["Throughput"]), (&"/dev/xvda".into(), &500.into()), "{l4}");
    assert_eq!(world.node_group("l4")["launchTemplate"]["version"], "1");
    let train = world.template("small-train");
    let interfaces = train["LaunchTemplateData"]["NetworkInterfaces"].as_array().cloned().unwrap_or_default();
    assert_eq!(interfaces.len(), 4, "{train}");
    assert!(interfaces.iter().all(|one| one["InterfaceType"] == "efa"), "{train}");
    let cluster = world.aws(&["eks", "describe-cluster", "--name", "small"])["cluster"].clone();
    let of_cluster = &cluster["resourcesVpcConfig"]["clusterSecurityGroupId"];
    assert!(interfaces[0]["Groups"].as_array().is_some_and(|groups| groups.len() == 2 && groups.contains(of_cluster)));

    // In place: another version, and the group goes to it.
    with("{size: 300Gi, throughput: 250}", "efa: true, ");
    let planned = world.run(0, &["plan", file]);
    for step in ["~ update  launch template l4", "~ update  node pool l4"] {
        assert!(planned.contains(step), "{step}:\n{planned}");
    }
    world.apply(file);
    assert_eq!(world.node_group("l4")["launchTemplate"]["version"], "2");
    world.run(0, &["plan", file, "--exit-code"]);

    // Drift: somebody makes the old version the default.
    let id = l4["LaunchTemplateId"].as_str().expect("an id");
    world.aws(&["ec2", "modify-launch-template", "--launch-template-id", id, "--default-version", "1"]);
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("throughput"), "{drifted}");
    world.apply(file);
    assert_eq!(world.template("small-l4")["VersionNumber"], 2, "the version that says it already is taken");
    world.run(0, &["drift", file]);

    // A group without its template is another group; what nothing is made from any more goes.
    with("300Gi", "");
    let planned = world.run(0, &["plan", file]);
    for step in ["! replace node pool l4", "! replace node pool train", "security group efa", "placement group train"] {
        assert!(planned.contains(step), "{step}:\n{planned}");
    }
    world.run(0, &["apply", file, "--yes", "--delete", "all", "--skip", super::NOT_THE_STANDS]);
    world.run(0, &["plan", file, "--exit-code"]);
    let left = world.aws(&["ec2", "describe-launch-templates"]);
    assert_eq!(left["LaunchTemplates"], json!([]));

    with("{size: 300Gi, iops: 6000}", "efa: true, ");
    world.run(0, &["apply", file, "--yes", "--delete", "all", "--skip", super::NOT_THE_STANDS]);
    let gone = world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
    assert!(gone.contains("Left: nothing"), "{gone}");
    let left = world.aws(&["ec2", "describe-placement-groups"]);
    assert_eq!(left["PlacementGroups"], json!([]));
}

/// A group that never had a node: apply says why and where else to look, finishes the rest, and makes it anew where the blueprint then says.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_group_that_fails_says_what_helps_and_is_made_anew_elsewhere() {
    let world = World::start();
    let in_zone = |zone: &str| {
        world.blueprint(|text| {
            text.replace(
                L4,
                &format!("size: {{min: 1, max: 2}}, labels: {{team: research}}, eks: {{zones: [{zone}]}}}}"),
            )
        })
    };
    let blueprint = in_zone("us-west-2a");
    let file = blueprint.to_str().expect("UTF-8");
    let words = "Could not launch On-Demand Instances. InsufficientInstanceCapacity";
    world.stand.fail_node_group("l4", "AsgInstanceLaunchFailures", words);
    let apply = ["apply", file, "--yes", "--skip", super::NOT_THE_STANDS];
    let failed = world.infra(&apply);
    let told = String::from_utf8_lossy(&failed.stdout) + String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success(), "{told}");
    for part in ["EC2 started no instance", words, "zones: [us-west-2b]", "g6.2xlarge", "spot"] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
    // The rest is there.
    assert_eq!(world.node_group("system")["status"], "ACTIVE");
    let addons = world.aws(&["eks", "list-addons", "--cluster-name", "small"])["addons"].clone();
    assert_eq!(addons.as_array().map(Vec::len), Some(4), "{addons}");

    let planned = world.run(0, &["plan", file]);
    assert!(planned.contains("! replace node pool l4"), "{planned}");
    assert!(planned.contains("EC2 started no instance") && planned.contains("us-west-2b"), "{planned}");
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("CREATE_FAILED"), "{drifted}");

    in_zone("us-west-2b");
    world.apply(file);
    world.run(0, &["plan", file, "--exit-code"]);
    let groups = world.aws(&["eks", "list-nodegroups", "--cluster-name", "small"])["nodegroups"].clone();
    assert_eq!(groups.as_array().map(Vec::len), Some(2), "{groups}");
    let l4 = world.node_group("l4");
    assert_eq!(l4["status"], "ACTIVE");
    let subnet = l4["subnets"][0].as_str().expect("a subnet");
    let zone = &world.aws(&["ec2", "describe-subnets", "--subnet-ids", subnet])["Subnets"][0]["AvailabilityZone"];
    assert_eq!(zone, "us-west-2b");

    // Later something goes wrong with one that has nodes: it is told, and left alone.
    world.stand.degrade_node_group(
        "small",
        "l4",
        "AccessDenied",
        "Your worker nodes do not have access to the cluster",
    );
    let planned = world.run(0, &["plan", file]);
    assert!(planned.contains("its node group is DEGRADED") && planned.contains("access entry"), "{planned}");
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("not let into the cluster"), "{drifted}");
    world.stand.heal_node_group("small", "l4");
    world.run(0, &["drift", file]);
}

/// A capacity block that has not begun: its group is there without nodes, and gets them when it begins.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_capacity_block_gives_its_nodes_when_it_begins() {
    let world = World::start();
    let offered = world.aws(&[
        "ec2",
        "describe-capacity-block-offerings",
        "--instance-type",
        "p5.48xlarge",
        "--instance-count",
        "1",
        "--capacity-duration-hours",
        "24",
    ]);
    let offer = &offered["CapacityBlockOfferings"][0];
    let (id, zone) = (offer["CapacityBlockOfferingId"].as_str(), offer["AvailabilityZone"].as_str());
    let (id, zone) = (id.expect("an offer"), zone.expect("a zone"));
    let bought = world.aws(&[
        "ec2",
        "purchase-capacity-block",
        "--capacity-block-offering-id",
        id,
        "--instance-platform",
        "Linux/UNIX",
    ]);
    let block = bought["CapacityReservation"]["CapacityReservationId"].as_str().expect("a reservation").to_owned();
    let with = |zone: &str, max: u32| {
        let train = format!(
            "\n  - {{name: train, machine: p5.48xlarge, accelerator: {{model: nvidia-h100-80gb, count: 8}}, size: {{min: 1, max: {max}}}, eks: {{efa: true, capacityBlock: {block}, zones: [{zone}]}}}}"
        );
        world.blueprint(|text| text.replace(L4, &format!("{L4}{train}")))
    };
    // What would fail is not planned, with the reason.
    let blueprint = with("us-west-2b", 4);
    let file = blueprint.to_str().expect("UTF-8");
    let planned = world.run(0, &["plan", file]);
    for part in
        [format!("is in {zone}, and the pool is in us-west-2b"), "has 1 machines, and the pool may have 4".into()]
    {
        assert!(planned.contains(&part), "{part}:\n{planned}");
    }
    assert!(!planned.contains("+ create  node pool train"), "{planned}");

    with(zone, 1);
    let planned = world.run(0, &["plan", file]);
    assert!(planned.contains("has not begun: it is scheduled, and begins at"), "{planned}");
    let apply = ["apply", file, "--yes", "--no-verify"];
    world.run(0, &apply);
    let group = world.node_group("train");
    assert_eq!((&group["capacityType"], &group["scalingConfig"]["desiredSize"]), (&"CAPACITY_BLOCK".into(), &0.into()));
    let template = world.template("small-train")["LaunchTemplateData"].clone();
    assert_eq!(template["InstanceMarketOptions"]["MarketType"], "capacity-block");
    assert_eq!(
        template["CapacityReservationSpecification"]["CapacityReservationTarget"]["CapacityReservationId"],
        block
    );
    assert_eq!(template["InstanceType"], "p5.48xlarge");
    assert_eq!(template["NetworkInterfaces"].as_array().map(Vec::len), Some(32));
    world.run(0, &["plan", file, "--exit-code"]);

    world.stand.begin_capacity_blocks();
    let planned = world.run(0, &["plan", file]);
    assert!(planned.contains("~ update  node pool train") && planned.contains("ends at"), "{planned}");
    world.run(0, &apply);
    assert_eq!(world.node_group("train")["scalingConfig"]["desiredSize"], 1);
    world.run(0, &["plan", file, "--exit-code"]);
}
