//! What controllers in the cluster made in AWS: it goes before the cluster, by name, and what stays is told with what it costs.

use std::path::Path;
use std::process::Command;

use wbk_provider_local::assets::Program;

use super::World;

#[path = "../support/assets.rs"]
mod assets;

/// A Service that AWS would give a load balancer, and a disk that a driver would have made for a claim.
const OBJECTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: pvc-data, resources: {requests: {storage: 20Gi}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pvc-data}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 20Gi}
  storageClassName: ""
  persistentVolumeReclaimPolicy: Delete
  claimRef: {namespace: default, name: data}
  csi: {driver: ebs.csi.aws.com, volumeHandle: VOLUME}
"#;

impl World {
    fn kubectl(&self, kubectl: &Path, args: &[&str]) -> String {
        let file = self.home.path().join("kubeconfig");
        if !file.exists() {
            let path = file.to_str().expect("UTF-8");
            self.aws(&["eks", "update-kubeconfig", "--name", "small", "--kubeconfig", path]);
            // The aws CLI of the stand is on no PATH.
            let text = std::fs::read_to_string(&file).expect("a kubeconfig");
            let text = text.replace("command: aws\n", &format!("command: {}\n", self.stand.aws_cli().display()));
            std::fs::write(&file, text).expect("a file");
        }
        let output = Command::new(kubectl).args(args).envs(self.stand.env()).env("KUBECONFIG", &file).output();
        let output = output.expect("kubectl runs");
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn what_controllers_made_goes_first_by_name_and_what_stays_is_told_with_its_cost() {
    let kubectl = assets::program(Program::Kubectl);
    let world = World::start();
    let blueprint = world.blueprint(str::to_owned);
    let file = blueprint.to_str().expect("UTF-8");
    world.apply(file);
    let tags = |kind: &str| format!("ResourceType={kind},Tags=[{{Key=kubernetes.io/cluster/small,Value=owned}}]");
    let volume = world.aws(&[
        "ec2",
        "create-volume",
        "--availability-zone",
        "us-west-2a",
        "--size",
        "20",
        "--volume-type",
        "gp3",
        "--tag-specifications",
        &tags("volume"),
    ]);
    let volume = volume["VolumeId"].as_str().expect("a volume").to_owned();
    let objects = world.home.path().join("objects.yaml");
    std::fs::write(&objects, OBJECTS.replace("VOLUME", &volume)).expect("a file");
    world.kubectl(&kubectl, &["apply", "-f", objects.to_str().expect("UTF-8")]);

    // Nobody named them: they stay, and with them what carries them.
    let kept = world
        .run(0, &["destroy", file, "--delete", "Namespace jobs", "--delete", "cluster small", "--yes", "--verbose"]);
    for (what, why) in [
        ("load balancer Service default/web", "AWS keeps the load balancer of Service default/web"),
        ("volume pvc-data", &format!("AWS keeps disk {volume} (20Gi) of claim default/data")),
        ("cluster small", "it still holds what is kept"),
    ] {
        assert!(kept.contains(what) && kept.contains(why), "{what}, {why}:\n{kept}");
    }
    assert!(world.aws(&["eks", "describe-cluster", "--name", "small"])["cluster"]["status"] == "ACTIVE");
    world.kubectl(&kubectl, &["get", "service", "web", "--output", "name"]);

    // What a controller or somebody by hand leaves behind with the cluster's name on it, in a network that stays.
    let image = world.aws(&["ec2", "describe-images", "--max-items", "1"])["Images"][0]["ImageId"].clone();
    let subnet = world.aws(&["ec2", "describe-subnets", "--filters", "Name=default-for-az,Values=true"]);
    let subnet = subnet["Subnets"][0]["SubnetId"].as_str().expect("a default subnet").to_owned();
    let instance = world.aws(&[
        "ec2",
        "run-instances",
        "--image-id",
        image.as_str().expect("an image"),
        "--instance-type",
        "g6.xlarge",
        "--subnet-id",
        &subnet,
        "--tag-specifications",
        &tags("instance"),
    ]);
    let instance = instance["Instances"][0]["InstanceId"].as_str().expect("an instance").to_owned();
    let group = world.aws(&[
        "ec2",
        "create-security-group",
        "--group-name",
        "k8s-elb-web",
        "--description",
        "of a load balancer",
        "--tag-specifications",
        &tags("security-group"),
    ]);
    let group = group["GroupId"].as_str().expect("a group").to_owned();
    world.aws(&[
        "ec2",
        "create-network-interface",
        "--subnet-id",
        &subnet,
        "--groups",
        &group,
        "--description",
        "ELB app/k8s-default-web/50dc6c495c0c9188",
    ]);

    // All of it, by name. No driver runs here: the test takes the volume down as one would, and leaves its disk.
    let prices = world.home.path().join("prices.csv");
    let list = "cloud,aws,2026-11-22,a test\nmachine,cpus,GiB,gpu,gpus,us-west-2\ng6.xlarge,4,16,nvidia-l4,1,0.8\n(gp3-gib),,,,,0.0001\n";
    std::fs::write(&prices, list).expect("a file");
    let driver = std::thread::scope(|scope| {
        let played = scope.spawn(|| {
            let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
            while std::time::Instant::now() < until {
                let phase = world.kubectl(&kubectl, &["get", "pv", "--output", "jsonpath={.items[*].status.phase}"]);
                if phase.contains("Released") || phase.contains("Failed") {
                    world.kubectl(&kubectl, &["delete", "pv", "pvc-data", "--wait=false", "--ignore-not-found"]);
                    return true;
                }
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            false
        });
        let prices = prices.to_str().expect("UTF-8");
        let gone = world.run(4, &["destroy", file, "--delete", "all", "--yes", "--prices", prices]);
        for (what, costs) in [
            (format!("instance {instance} (g6.xlarge, running)"), "$0.80 an hour (prices of 2026-11-22)"),
            (format!("volume {volume} (20 GiB of gp3, with its data)"), "an hour (prices of 2026-11-22)"),
            (
                "load balancer k8s-default-web".to_owned(),
                "what it costs is unknown (the list has no (load-balancer) of aws)",
            ),
            (format!("security group {group} (k8s-elb-web)"), "aws ec2 delete-security-group"),
        ] {
            let line = gone.lines().find(|line| line.contains(&what)).unwrap_or_else(|| panic!("{what}:\n{gone}"));
            assert!(line.contains(costs), "{costs}: {line}");
        }
        played.join().expect("it ends")
    });
    // The volume went through its claim, before the cluster.
    assert!(driver, "the claim was deleted, and its volume released");
    assert_eq!(world.aws(&["eks", "list-clusters"])["clusters"], serde_json::json!([]));
}
