//! The stand through the eyes of the aws CLI: real emulators, a real API server, and what the stand adds to them.
//!
//! fakecloud is built where it is not cached, which takes 20 minutes: scripts/eks-tests.sh runs these.

mod support;

use serde_json::{Value, json};
use support::{
    ROLE, aws, cluster, create_cluster, create_group, group, group_is, kubernetes, ok, stand, subnets, token, until,
};

const SIZE: &str = "minSize=0,maxSize=4,desiredSize=2";
const EMPTY: &str = "minSize=0,maxSize=4,desiredSize=0";

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn a_cluster_has_an_api_server_and_its_node_groups_are_nodes() {
    let stand = stand();
    let made = create_cluster(&stand, "whole");
    assert_eq!((&made["cluster"]["status"], &made["cluster"]["endpoint"]), (&json!("CREATING"), &Value::Null));
    let cluster = until("cluster whole to be ACTIVE", || {
        let found = ok(&stand, &["eks", "describe-cluster", "--name", "whole"])["cluster"].clone();
        (found["status"] == "ACTIVE").then_some(found)
    });
    // The VPC and the security group are EC2's.
    let vpc = ok(&stand, &["ec2", "describe-vpcs"])["Vpcs"][0]["VpcId"].clone();
    assert_eq!(cluster["resourcesVpcConfig"]["vpcId"], vpc);
    let security_group = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"].as_str().unwrap();
    let found = ok(&stand, &["ec2", "describe-security-groups", "--group-ids", security_group]);
    assert_eq!(found["SecurityGroups"][0]["VpcId"], vpc);

    let taint = "key=nvidia.com/gpu,value=present,effect=NO_SCHEDULE";
    let more = [
        "--instance-types",
        "g6.12xlarge",
        "--capacity-type",
        "SPOT",
        "--scaling-config",
        SIZE,
        "--labels",
        "team=research",
        "--taints",
        taint,
    ];
    assert_eq!(create_group(&stand, "whole", "l4", &more).unwrap()["nodegroup"]["status"], "CREATING");
    let group = group_is(&stand, "whole", "l4", "ACTIVE");

    let (status, nodes) = kubernetes(&cluster, Some(&token(&stand, "whole")), "/api/v1/nodes");
    assert_eq!(status, 200, "{nodes}");
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2);
    let node = &nodes["items"][0];
    let label = |key: &str| node["metadata"]["labels"][key].as_str().unwrap_or_default().to_owned();
    assert_eq!((label("team"), label("eks.amazonaws.com/nodegroup")), ("research".into(), "l4".into()));
    assert_eq!(
        (label("eks.amazonaws.com/capacityType"), label("topology.kubernetes.io/region")),
        ("SPOT".into(), "us-west-2".into())
    );
    assert_eq!(label("node.kubernetes.io/instance-type"), "g6.12xlarge");
    assert_eq!(node["spec"]["taints"][0], json!({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}));
    assert_eq!(
        (&node["status"]["allocatable"]["cpu"], &node["status"]["allocatable"]["pods"]),
        (&json!("47810m"), &json!("234"))
    );

    // The group behind it can be tagged, as a cluster autoscaler that scales from zero needs it.
    let asg = group["resources"]["autoScalingGroups"][0]["name"].as_str().unwrap();
    let tag = format!(
        "ResourceId={asg},ResourceType=auto-scaling-group,Key=k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu,Value=4,PropagateAtLaunch=false"
    );
    ok(&stand, &["autoscaling", "create-or-update-tags", "--tags", &tag]);
    let tags =
        ok(&stand, &["autoscaling", "describe-tags", "--filters", &format!("Name=auto-scaling-group,Values={asg}")]);
    assert!(tags["Tags"].as_array().unwrap().iter().any(|tag| tag["Value"] == "4"), "{tags}");

    // Scaled, relabelled and untainted in place.
    let update = [
        "eks",
        "update-nodegroup-config",
        "--cluster-name",
        "whole",
        "--nodegroup-name",
        "l4",
        "--scaling-config",
        "desiredSize=3",
        "--labels",
        r#"{"addOrUpdateLabels": {"team": "other"}}"#,
        "--taints",
        r#"{"removeTaints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]}"#,
    ];
    let update = ok(&stand, &update)["update"]["id"].as_str().unwrap().to_owned();
    until("the update to be done", || {
        let found = ok(
            &stand,
            &["eks", "describe-update", "--name", "whole", "--nodegroup-name", "l4", "--update-id", &update],
        );
        (found["update"]["status"] == "Successful").then_some(())
    });
    group_is(&stand, "whole", "l4", "ACTIVE");
    let (_, nodes) = kubernetes(&cluster, Some(&token(&stand, "whole")), "/api/v1/nodes");
    let nodes = nodes["items"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    assert!(
        nodes.iter().all(|node| node["metadata"]["labels"]["team"] == "other" && node["spec"]["taints"].is_null()),
        "{nodes:?}"
    );

    // In order: the cluster is kept while it has a node group.
    let refused = aws(&stand, &["eks", "delete-cluster", "--name", "whole"]).unwrap_err();
    assert!(refused.contains("ResourceInUseException"), "{refused}");
    let deleting = ok(&stand, &["eks", "delete-nodegroup", "--cluster-name", "whole", "--nodegroup-name", "l4"]);
    assert_eq!(deleting["nodegroup"]["status"], "DELETING");
    until("the node group to be gone", || {
        support::group(&stand, "whole", "l4").err().filter(|error| error.contains("ResourceNotFoundException"))
    });
    let (_, nodes) = kubernetes(&cluster, Some(&token(&stand, "whole")), "/api/v1/nodes");
    assert_eq!(nodes["items"].as_array().unwrap().len(), 0);
    assert_eq!(ok(&stand, &["eks", "delete-cluster", "--name", "whole"])["cluster"]["status"], "DELETING");
    until("the cluster to be gone", || aws(&stand, &["eks", "describe-cluster", "--name", "whole"]).err());
    assert!(aws(&stand, &["ec2", "describe-security-groups", "--group-ids", security_group]).is_err());
}

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn an_endpoint_takes_tokens_that_were_signed_for_its_cluster_and_nothing_else() {
    let stand = stand();
    let cluster = cluster(&stand, "door");
    let own = token(&stand, "door");
    assert_eq!(kubernetes(&cluster, Some(&own), "/version").0, 200);
    let other = token(&stand, "another");
    for bad in [None, Some("k8s-aws-v1.AAAA"), Some(other.as_str()), Some(&own[..own.len() - 1])] {
        let (status, body) = kubernetes(&cluster, bad, "/api/v1/nodes");
        assert_eq!((status, &body["reason"]), (401, &json!("Unauthorized")), "{bad:?}");
    }
    // CoreDNS is there and waits for a node, as on an EKS cluster without nodes.
    let (_, pods) = kubernetes(&cluster, Some(&own), "/apis/apps/v1/namespaces/kube-system/deployments");
    assert_eq!(pods["items"][0]["metadata"]["name"], "coredns");
}

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn a_repeated_token_is_done_once_and_answered_alike() {
    let stand = stand();
    let (one, two) = subnets(&stand);
    let vpc = format!("subnetIds={one},{two}");
    let create = |token: &str, tags: &str| {
        let arguments = [
            "eks",
            "create-cluster",
            "--name",
            "once",
            "--role-arn",
            ROLE,
            "--resources-vpc-config",
            &vpc,
            "--tags",
            tags,
            "--client-request-token",
            token,
        ];
        aws(&stand, &arguments)
    };
    let first = create("token-1", "a=1").unwrap();
    assert_eq!(first["cluster"]["arn"], create("token-1", "a=1").unwrap()["cluster"]["arn"]);
    assert!(
        create("token-1", "a=2").unwrap_err().contains("ResourceInUseException"),
        "another body is another request"
    );
    assert!(
        create("token-2", "a=1").unwrap_err().contains("ResourceInUseException"),
        "another token is another request"
    );
    cluster_is_active(&stand, "once");
    let more = ["--scaling-config", EMPTY, "--client-request-token", "token-3"];
    let first = create_group(&stand, "once", "g", &more).unwrap();
    assert_eq!(
        first["nodegroup"]["nodegroupArn"],
        create_group(&stand, "once", "g", &more).unwrap()["nodegroup"]["nodegroupArn"]
    );
    let addon = [
        "eks",
        "create-addon",
        "--cluster-name",
        "once",
        "--addon-name",
        "vpc-cni",
        "--client-request-token",
        "token-4",
    ];
    let first = ok(&stand, &addon);
    assert_eq!(first["addon"]["addonArn"], ok(&stand, &addon)["addon"]["addonArn"]);
}

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn what_eks_refuses_is_refused() {
    let stand = stand();
    let (one, _) = subnets(&stand);
    let create = |subnets: &str| {
        aws(
            &stand,
            &["eks", "create-cluster", "--name", "refused", "--role-arn", ROLE, "--resources-vpc-config", subnets],
        )
        .unwrap_err()
    };
    assert!(create("subnetIds=subnet-0123").contains("The subnet ID 'subnet-0123' does not exist"));
    assert!(create(&format!("subnetIds={one}")).contains("at least two different AZs"));
    let (one, two) = subnets(&stand);
    let subnets = format!("subnetIds={one},{two}");
    let nobody = "arn:aws:iam::123456789012:role/nobody";
    let more = ["--name", "refused", "--role-arn", nobody, "--resources-vpc-config", &subnets];
    let refused = aws(&stand, &[&["eks", "create-cluster"], &more[..]].concat()).unwrap_err();
    assert!(refused.contains("could not be assumed because it does not exist"), "{refused}");
    create_cluster(&stand, "strict");
    // Nothing is asked of the API server, so it is still being started.
    let early = create_group(&stand, "strict", "early", &["--scaling-config", EMPTY]);
    assert!(early.is_ok() || early.unwrap_err().contains("Cluster 'strict' is not in ACTIVE status"));
    cluster_is_active(&stand, "strict");
    for (more, words) in [
        (["--scaling-config", "minSize=5,maxSize=1,desiredSize=9"], "minSize can't be greater than maxSize"),
        (["--scaling-config", "minSize=0,maxSize=1,desiredSize=9"], "desiredSize can't be greater than maxSize"),
        (["--taints", "key=a,value=b,effect=NoSchedule"], "Invalid taint effect: NoSchedule"),
    ] {
        let refused = create_group(&stand, "strict", "bad", &more).unwrap_err();
        assert!(refused.contains("InvalidParameterException") && refused.contains(words), "{refused}");
    }
    assert!(group(&stand, "strict", "bad").unwrap_err().contains("ResourceNotFoundException"));
}

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn a_node_group_that_shall_fail_fails_once_and_says_why() {
    let stand = stand();
    cluster(&stand, "short");
    stand.fail_node_group(
        "a100",
        "AsgInstanceLaunchFailures",
        "Could not launch On-Demand Instances. InsufficientInstanceCapacity - no p4d.24xlarge in us-west-2a",
    );
    let more = ["--scaling-config", EMPTY, "--labels", "wbk-infra/pool=a100"];
    create_group(&stand, "short", "a100-x", &more).unwrap();
    let failed = group(&stand, "short", "a100-x").unwrap();
    assert_eq!(
        (&failed["status"], &failed["health"]["issues"][0]["code"]),
        (&json!("CREATE_FAILED"), &json!("AsgInstanceLaunchFailures"))
    );
    create_group(&stand, "short", "a100-y", &more).unwrap();
    group_is(&stand, "short", "a100-y", "ACTIVE");
    ok(&stand, &["eks", "delete-nodegroup", "--cluster-name", "short", "--nodegroup-name", "a100-x"]);
    until("the failed group to be gone", || group(&stand, "short", "a100-x").err());
}

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn quotas_are_what_a_test_sets() {
    let stand = stand();
    let quota = |code: &str| {
        aws(&stand, &["service-quotas", "get-service-quota", "--service-code", "ec2", "--quota-code", code])
    };
    stand.set_quota("L-DB2E81BA", 48.0);
    assert_eq!(quota("L-DB2E81BA").unwrap()["Quota"]["Value"], 48.0);
    assert_eq!(quota("L-417A185B").unwrap()["Quota"]["QuotaName"], "Running On-Demand P instances");
    assert!(quota("L-00000000").unwrap_err().contains("NoSuchResourceException"));
    let all = ok(&stand, &["service-quotas", "list-service-quotas", "--service-code", "ec2"]);
    assert_eq!(all["Quotas"].as_array().unwrap().len(), 6);
}

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn every_request_is_written_down_with_its_answer() {
    let stand = stand();
    ok(&stand, &["iam", "create-role", "--role-name", "written", "--assume-role-policy-document", "{}"]);
    ok(
        &stand,
        &[
            "iam",
            "attach-role-policy",
            "--role-name",
            "written",
            "--policy-arn",
            "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
        ],
    );
    aws(&stand, &["eks", "describe-cluster", "--name", "not-written"]).unwrap_err();
    let requests = stand.requests();
    let of = |service: &str, operation: &str| {
        requests.iter().find(|one| (one.service.as_str(), one.operation.as_str()) == (service, operation))
    };
    assert_eq!(of("iam", "AttachRolePolicy").map(|one| one.status), Some(200));
    let missing = requests.iter().find(|one| one.cluster.as_deref() == Some("not-written")).unwrap();
    assert_eq!((missing.status, missing.error.as_deref()), (404, Some("ResourceNotFoundException")));
}

fn cluster_is_active(stand: &wbk_eks_stand::Stand, name: &str) {
    until(&format!("cluster {name} to be ACTIVE"), || {
        (ok(stand, &["eks", "describe-cluster", "--name", name])["cluster"]["status"] == "ACTIVE").then_some(())
    });
}
