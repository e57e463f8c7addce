//! A platform whose nodes AWS makes: EKS Auto Mode.

use serde_json::json;

use super::World;

#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_platform_of_auto_mode_has_node_pools_in_the_cluster_and_no_node_groups() {
    let world = World::start();
    let blueprint = world.blueprint(|text| {
        text.replace("eks: {network:", "eks: {autoscaler: auto-mode, network:")
            .replace("size: {min: 2, max: 3}", "size: {min: 2, max: 2}")
            .replace("size: {min: 1, max: 2}", "size: {min: 0, max: 2}")
    });
    let file = blueprint.to_str().expect("UTF-8");
    let planned = world.run(0, &["plan", file]);
    for part in [
        "IAM role node",
        "cluster small",
        "access of nodes nodes",
        "NodePool.karpenter.sh l4",
        "NodeClass.eks.amazonaws.com l4",
    ] {
        assert!(planned.contains(part), "{part}:\n{planned}");
    }
    assert!(!planned.contains("node pool l4") && !planned.contains("add-on"), "{planned}");
    // What its nodes would prove has no nodes here.
    world.run(0, &["apply", file, "--yes", "--no-verify"]);
    world.run(0, &["plan", file, "--exit-code"]);

    let cluster = &world.aws(&["eks", "describe-cluster", "--name", "small"])["cluster"];
    assert_eq!(cluster["computeConfig"]["enabled"], true);
    assert_eq!(cluster["storageConfig"]["blockStorage"]["enabled"], true);
    assert_eq!(cluster["kubernetesNetworkConfig"]["elasticLoadBalancing"]["enabled"], true);
    let policies = world.aws(&["iam", "list-attached-role-policies", "--role-name", "small-us-west-2-cluster"]);
    assert_eq!(policies["AttachedPolicies"].as_array().map(Vec::len), Some(5), "{policies}");
    let entries = world.aws(&["eks", "list-access-entries", "--cluster-name", "small"]);
    let role = entries["accessEntries"].as_array().into_iter().flatten().filter_map(|entry| entry.as_str());
    let role = role.clone().find(|entry| entry.ends_with("small-us-west-2-node")).expect("the nodes' role gets in");
    let entry = world.aws(&["eks", "describe-access-entry", "--cluster-name", "small", "--principal-arn", role]);
    assert_eq!(entry["accessEntry"]["type"], "EC2");
    assert_eq!(world.aws(&["eks", "list-nodegroups", "--cluster-name", "small"])["nodegroups"], json!([]));

    // Between node groups and Auto Mode a cluster is not turned, and nothing is taken away on the way.
    let turned = world.blueprint(str::to_owned);
    let refused = world.run(0, &["plan", turned.to_str().expect("UTF-8")]);
    assert!(refused.contains("autoMode of a cluster cannot change"), "{refused}");
    assert!(!refused.contains("delete  access of nodes"), "{refused}");

    let back = world.blueprint(|text| {
        text.replace("eks: {network:", "eks: {autoscaler: auto-mode, network:")
            .replace("size: {min: 2, max: 3}", "size: {min: 2, max: 2}")
            .replace("size: {min: 1, max: 2}", "size: {min: 0, max: 2}")
    });
    let gone = world.run(0, &["destroy", back.to_str().expect("UTF-8"), "--delete", "all", "--yes"]);
    assert!(gone.contains("Left: nothing"), "{gone}");
}
