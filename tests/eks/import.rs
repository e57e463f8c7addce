//! Clusters that other tools made, and this tool's own, written as blueprints whose plan is empty.

use serde_json::Value;

use super::{NOT_THE_STANDS, World};

const CLUSTER_ROLE: &str = "eksctl-web-cluster-ServiceRole-1A2B3C";
const NODE_ROLE: &str = "eksctl-web-nodegroup-ng-gpu-NodeInstanceRole-4D5E6F";

impl World {
    fn role(&self, name: &str, service: &str) -> String {
        let trust = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {{"Service": "{service}"}}}}]}}"#
        );
        let made = self.aws(&["iam", "create-role", "--role-name", name, "--assume-role-policy-document", &trust]);
        made["Role"]["Arn"].as_str().expect("an ARN").to_owned()
    }

    fn status(&self, describe: &[&str], thing: &str, wanted: &str) -> Value {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(240);
        loop {
            let found = self.aws(describe)[thing].clone();
            if found["status"] == wanted {
                return found;
            }
            assert!(std::time::Instant::now() < until, "waited for {wanted}: {found}");
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    }

    /// A cluster with what eksctl gives one, under the names that it gives.
    fn eksctl_cluster(&self) -> String {
        let (cluster_role, node_role) =
            (self.role(CLUSTER_ROLE, "eks.amazonaws.com"), self.role(NODE_ROLE, "ec2.amazonaws.com"));
        let subnets = self.aws(&["ec2", "describe-subnets"]);
        let subnet = |index: usize| subnets["Subnets"][index]["SubnetId"].as_str().expect("a default VPC").to_owned();
        let (one, two) = (subnet(0), subnet(1));
        let network = format!("subnetIds={one},{two},endpointPublicAccess=true,endpointPrivateAccess=false");
        self.aws(&[
            "eks",
            "create-cluster",
            "--name",
            "Web_1",
            "--role-arn",
            &cluster_role,
            "--kubernetes-version",
            "1.34",
            "--resources-vpc-config",
            &network,
            "--access-config",
            "authenticationMode=API_AND_CONFIG_MAP",
            "--tags",
            "alpha.eksctl.io/cluster-name=Web_1,alpha.eksctl.io/eksctl-version=0.220.0",
        ]);
        let cluster = self.status(&["eks", "describe-cluster", "--name", "Web_1"], "cluster", "ACTIVE");
        for addon in ["vpc-cni", "aws-ebs-csi-driver"] {
            self.aws(&["eks", "create-addon", "--cluster-name", "Web_1", "--addon-name", addon]);
        }
        let admin = "arn:aws:iam::123456789012:role/admins";
        self.aws(&["eks", "create-access-entry", "--cluster-name", "Web_1", "--principal-arn", admin]);
        self.aws(&[
            "eks",
            "associate-access-policy",
            "--cluster-name",
            "Web_1",
            "--principal-arn",
            admin,
            "--access-scope",
            "type=cluster",
            "--policy-arn",
            "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        ]);
        let pods = self.role("eksctl-web-podidentity", "pods.eks.amazonaws.com");
        self.aws(&[
            "eks",
            "create-pod-identity-association",
            "--cluster-name",
            "Web_1",
            "--namespace",
            "apps",
            "--service-account",
            "s3",
            "--role-arn",
            &pods,
        ]);
        self.aws(&[
            "ec2",
            "create-launch-template",
            "--launch-template-name",
            "eksctl-web-nodegroup-old",
            "--launch-template-data",
            r#"{"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 80}}]}"#,
        ]);
        let group = |name: &str, more: &[&str]| {
            let mut words = vec![
                "eks",
                "create-nodegroup",
                "--cluster-name",
                "Web_1",
                "--nodegroup-name",
                name,
                "--node-role",
                &node_role,
                "--subnets",
                &one,
            ];
            words.extend(more);
            self.aws(&words);
            self.status(
                &["eks", "describe-nodegroup", "--cluster-name", "Web_1", "--nodegroup-name", name],
                "nodegroup",
                "ACTIVE",
            );
        };
        group(
            "NG_gpu",
            &[
                "--instance-types",
                "g6.xlarge",
                "g6.2xlarge",
                "--capacity-type",
                "SPOT",
                "--ami-type",
                "BOTTLEROCKET_x86_64_NVIDIA",
                "--disk-size",
                "120",
                "--scaling-config",
                "minSize=0,maxSize=4,desiredSize=1",
                "--labels",
                "alpha.eksctl.io/cluster-name=Web_1,alpha.eksctl.io/nodegroup-name=NG_gpu,team=vision",
                "--taints",
                "key=nvidia.com/gpu,value=yes,effect=NO_SCHEDULE",
                "--update-config",
                "maxUnavailablePercentage=50",
            ],
        );
        group(
            "old",
            &[
                "--instance-types",
                "m5.large",
                "--launch-template",
                "name=eksctl-web-nodegroup-old,version=1",
                "--scaling-config",
                "minSize=1,maxSize=1,desiredSize=1",
            ],
        );
        cluster["arn"].as_str().expect("an ARN").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn group(&self, cluster: &str, name: &str) -> Value {
        self.aws(&["eks", "describe-nodegroup", "--cluster-name", cluster, "--nodegroup-name", name])["nodegroup"]
            .clone()
    }
}

/// Somebody else's cluster: imported, planned with nothing to do, changed in place where the blueprint says so, and left alone otherwise.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_cluster_of_eksctl_becomes_a_blueprint_with_an_empty_plan_and_stays_its_owners() {
    let world = World::start();
    let arn = world.eksctl_cluster();
    let imported = world.infra(&["import", "eks", "Web_1", "--region", "us-west-2"]);
    let (text, told) = (String::from_utf8_lossy(&imported.stdout), String::from_utf8_lossy(&imported.stderr));
    assert_eq!(imported.status.code(), Some(0), "{text}\n{told}");
    assert!(told.contains("A plan of it has nothing to do."), "{text}\n{told}");
    for said in [
        "service account apps/s3: it is arn:aws:iam::123456789012:role/eksctl-web-podidentity by EKS Pod Identity",
        "node group NG_gpu: at most 50 % of the nodes away during an update",
        "node group old: launch template eksctl-web-nodegroup-old, version 1",
    ] {
        assert!(told.contains(said) && text.contains(&format!("# - {said}")), "{said}:\n{text}\n{told}");
    }
    for written in [
        "name: web-1",
        &format!("given: {arn}"),
        "group: NG_gpu",
        "model: nvidia-l4",
        "machine: m5.large",
        "ami: BOTTLEROCKET_x86_64_NVIDIA",
        "authentication: api-and-config-map",
        "policy: AmazonEKSClusterAdminPolicy",
        "- aws-ebs-csi-driver",
    ] {
        assert!(text.contains(written), "{written}:\n{text}");
    }

    let file = world.write("web.yaml", &text);
    world.run(0, &["lint", &file]);
    let planned = world.run(0, &["plan", &file, "--exit-code"]);
    assert!(planned.contains("Nothing to do"), "{planned}");

    // What it needs is less than for a cluster of one's own.
    let policy = world.run(0, &["eks", "policy", &file]);
    assert!(policy.contains("eks:UpdateNodegroupConfig") && policy.contains("cluster/Web_1"), "{policy}");
    for other in ["eks:CreateCluster", "eks:DeleteCluster", "ec2:CreateVpc", "ec2:CreateTags"] {
        assert!(!policy.contains(other), "{other}: {policy}");
    }

    // A word of the blueprint changes the group in place, and nothing else of it.
    let before = world.group("Web_1", "NG_gpu");
    let cluster_before = world.aws(&["eks", "describe-cluster", "--name", "Web_1"])["cluster"]["tags"].clone();
    let changed = world.write("web.yaml", &text.replace("team: vision", "team: speech\n    wbk-infra/pool: ng-gpu"));
    let planned = world.run(3, &["plan", &changed, "--exit-code"]);
    assert!(planned.contains("~ update  node pool ng-gpu") && planned.matches("~ update").count() == 1, "{planned}");
    world.run(0, &["apply", &changed, "--yes", "--no-verify"]);
    let after = world.group("Web_1", "NG_gpu");
    assert_eq!(after["labels"]["team"], "speech");
    assert_eq!(after["labels"]["wbk-infra/pool"], "ng-gpu");
    for same in ["tags", "taints", "scalingConfig", "diskSize", "subnets", "updateConfig", "nodeRole"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(world.aws(&["eks", "describe-cluster", "--name", "Web_1"])["cluster"]["tags"], cluster_before);
    world.run(0, &["plan", &changed, "--exit-code"]);

    // What only a new group has otherwise is refused, and a group that is not there is not made.
    let other = world.write(
        "other.yaml",
        &text.replace("machine: m5.large", "machine: m5.xlarge").replace("machine: g6.xlarge", "machine: g6.4xlarge"),
    );
    let refused = world.run(3, &["plan", &other, "--exit-code"]);
    assert!(refused.contains("it is somebody else's, so that it is not replaced"), "{refused}");
    let missing = world.write("missing.yaml", &text.replace("group: NG_gpu", "group: NG_gone"));
    let refused = world.run(3, &["plan", &missing, "--exit-code"]);
    assert!(refused.contains("names node group NG_gone as given, and it is not there"), "{refused}");

    // A destroy leaves all of it.
    world.run(0, &["destroy", &changed, "--delete", "all", "--yes"]);
    assert_eq!(world.group("Web_1", "NG_gpu")["status"], "ACTIVE");
    assert_eq!(
        world.aws(&["eks", "list-addons", "--cluster-name", "Web_1"])["addons"].as_array().map(Vec::len),
        Some(2)
    );

    // A name that is none is told with those that are.
    let none = world.infra(&["import", "eks", "web", "--region", "us-west-2"]);
    let told = String::from_utf8_lossy(&none.stderr);
    assert!(none.status.code() == Some(1) && told.contains("it has Web_1"), "{told}");
}

/// This tool's own platform: the blueprint that is written of it is as good as the one that made it.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_platform_of_its_own_is_imported_with_an_empty_plan() {
    let world = World::start();
    let blueprint = world.blueprint(str::to_owned);
    world.apply(blueprint.to_str().expect("UTF-8"));
    let imported = world.infra(&["import", "eks", "small", "--region", "us-west-2"]);
    let (text, told) = (String::from_utf8_lossy(&imported.stdout), String::from_utf8_lossy(&imported.stderr));
    assert_eq!(imported.status.code(), Some(0), "{text}\n{told}");
    for written in
        ["cidr: 10.7.0.0/16", "nat: one", "serviceAccount: trainer", "- AmazonS3ReadOnlyAccess", "team: research"]
    {
        assert!(text.contains(written), "{written}:\n{text}");
    }
    let file = world.write("again.yaml", &text);
    let planned = world.run(0, &["plan", &file, "--exit-code"]);
    assert!(planned.contains("0 to create, 0 to update, 0 to replace, 0 to delete"), "{planned}");
    // It is whole: the platform is changed and taken away by it.
    let changed = world.write("again.yaml", &text.replace("team: research", "team: vision"));
    world.run(0, &["apply", &changed, "--yes", "--skip", NOT_THE_STANDS]);
    assert_eq!(world.group("small", "l4")["labels"]["team"], "vision");
}
