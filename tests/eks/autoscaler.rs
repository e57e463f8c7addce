//! The real Cluster Autoscaler, as a process, with the arguments and under the rights that the platform installs it with.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use super::World;

const BUILT: &str = "WBK_INFRA_CLUSTER_AUTOSCALER";
const ACCOUNT: &str = "system:serviceaccount:kube-system:cluster-autoscaler";

/// What advertises GPUs on the stand's nodes, as a device plugin's DaemonSet would.
const PLUGIN: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: plugin, namespace: jobs}
spec:
  selector: {matchLabels: {app: plugin}}
  template:
    metadata: {labels: {app: plugin}, annotations: {wbk-infra/simulates: device-plugin}}
    spec:
      nodeSelector: {wbk-infra/pool: l4}
      tolerations: [{operator: Exists}]
      containers: [{name: plugin, image: "registry.k8s.io/pause:3.10.1", resources: {requests: {cpu: 10m, memory: 16Mi}}}]
"#;

/// A child that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl World {
    /// A kubeconfig of the cluster, for somebody: the stand's administrator acts as them.
    fn kubeconfig(&self, of: Option<&str>) -> PathBuf {
        let cluster = &self.aws(&["eks", "describe-cluster", "--name", "small"])["cluster"];
        let mut user = json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": env!("CARGO_BIN_EXE_wbk-infra"), "args": ["eks", "token", "--cluster", "small", "--region", "us-west-2"],
            "env": self.stand.env().iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
        }});
        if let Some(of) = of {
            user["as"] = of.into();
            user["as-groups"] =
                json!(["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]);
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "small",
            "clusters": [{"name": "small", "cluster": {
                "server": cluster["endpoint"], "certificate-authority-data": cluster["certificateAuthority"]["data"],
            }}],
            "users": [{"name": "small", "user": user}],
            "contexts": [{"name": "small", "context": {"cluster": "small", "user": "small"}}],
        });
        let path = self.home.path().join(format!("kubeconfig-{}", of.is_some()));
        std::fs::write(&path, config.to_string()).expect("a file");
        path
    }

    fn client(&self) -> kube::Client {
        let text = std::fs::read_to_string(self.kubeconfig(None)).expect("a kubeconfig");
        let config = kube::config::Kubeconfig::from_yaml(&text).expect("a kubeconfig");
        self.runtime.block_on(async {
            let options = kube::config::KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(config, &options).await.expect("a configuration");
            config.proxy_url = None;
            kube::Client::try_from(config).expect("a client")
        })
    }

    /// AWS, for a program that takes endpoints by service.
    fn cloud_config(&self) -> PathBuf {
        let mut text = String::new();
        for service in ["autoscaling", "ec2", "eks"] {
            text.push_str(&format!(
                "[ServiceOverride \"{service}\"]\nService = {service}\nRegion = us-west-2\nURL = {}\nSigningRegion = us-west-2\nSigningName = {service}\n",
                self.stand.url()
            ));
        }
        let path = self.home.path().join("cloud.conf");
        std::fs::write(&path, text).expect("a file");
        path
    }
}

fn pod(name: &str, cpu: &str) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "jobs"},
        "spec": {
            "nodeSelector": {"wbk-infra/pool": "l4"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10.1",
                "resources": {"requests": {"cpu": cpu}, "limits": {"nvidia.com/gpu": "1"}}}],
        },
    }))
    .expect("a pod")
}

#[test]
#[ignore = "needs a Cluster Autoscaler that was built: scripts/eks-autoscaler.sh"]
fn the_real_cluster_autoscaler_makes_a_node_for_a_pod_of_an_empty_pool() {
    let program =
        std::env::var_os(BUILT).unwrap_or_else(|| panic!("{BUILT} is not set: scripts/eks-autoscaler.sh builds one"));
    let world = World::start();
    std::fs::write(world.home.path().join("plugin.yaml"), PLUGIN).expect("a file");
    let blueprint = world.blueprint(|text| {
        let text = text.replace("size: {min: 1, max: 2}", "size: {min: 0, max: 2}");
        format!("{text}objects: [plugin.yaml]\n")
    });
    let file = blueprint.to_str().expect("UTF-8");
    world.apply(file);

    let client = world.client();
    let (pods, nodes): (Api<Pod>, Api<Node>) = (Api::namespaced(client.clone(), "jobs"), Api::all(client.clone()));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    let installed = world.runtime.block_on(deployments.get("cluster-autoscaler")).expect("it is installed");
    let installed = serde_json::to_value(installed).expect("JSON");
    let arguments: Vec<String> =
        serde_json::from_value(installed["spec"]["template"]["spec"]["containers"][0]["args"].clone())
            .expect("arguments");
    let log = world.home.path().join("autoscaler.log");
    let out = std::fs::File::create(&log).expect("a file");
    let _running = Running(
        Command::new(program)
            .args(&arguments)
            .arg(format!("--kubeconfig={}", world.kubeconfig(Some(ACCOUNT)).display()))
            .arg(format!("--cloud-config={}", world.cloud_config().display()))
            // What waits a minute with real machines.
            .args(["--scan-interval=2s", "--address=127.0.0.1:0"])
            .envs(world.stand.env())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("it starts"),
    );
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let until = |what: &str, seconds: u64, is_so: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !is_so() {
            let text = said();
            let tail = text.len().saturating_sub(6000);
            assert!(Instant::now() < end, "not within {seconds} s: {what}\n{}", text.get(tail..).unwrap_or(&text));
            std::thread::sleep(Duration::from_millis(500));
        }
    };

    let of_l4 = ListParams::default().labels("wbk-infra/pool=l4");
    let count = || world.runtime.block_on(nodes.list(&of_l4)).map_or(0, |nodes| nodes.items.len());
    assert_eq!(count(), 0, "the pool begins empty");
    world.stand.forget_requests();
    world.runtime.block_on(pods.create(&PostParams::default(), &pod("train", "3500m"))).expect("a pod");
    let bound = || {
        let pod = world.runtime.block_on(pods.get("train")).ok();
        pod.and_then(|pod| pod.spec?.node_name).is_some_and(|node| node.contains("l4"))
    };
    until("the pod runs on a node of its pool", 240, &bound);
    let asked = |operation: &str| world.stand.requests().iter().filter(|one| one.operation == operation).count();
    assert_eq!(asked("SetDesiredCapacity"), 1, "one node for one pod");
    let group =
        &world.aws(&["eks", "describe-nodegroup", "--cluster-name", "small", "--nodegroup-name", "l4"])["nodegroup"];
    assert_eq!(group["scalingConfig"]["desiredSize"], 1);

    // One that fits the machine and not what the node leaves to pods makes no node that it would not fit.
    world.runtime.block_on(pods.create(&PostParams::default(), &pod("whole", "3990m"))).expect("a pod");
    let events: Api<Event> = Api::namespaced(client, "jobs");
    let refused = || {
        let events = world.runtime.block_on(events.list(&ListParams::default())).map(|events| events.items);
        events.is_ok_and(|events| {
            events.iter().any(|event| {
                event.reason.as_deref() == Some("NotTriggerScaleUp")
                    && event.involved_object.name.as_deref() == Some("whole")
            })
        })
    };
    until("no node is made for a pod that would not fit", 120, &refused);
    assert_eq!((asked("SetDesiredCapacity"), count()), (1, 1));

    // Its own checks, and a plan that does not mind what it did.
    let verified = world.run(0, &["verify", file, "--only", "autoscaler.sees"]);
    assert!(verified.contains("leads, and sees 2 groups"), "{verified}");
    world.run(0, &["plan", file, "--exit-code"]);
    assert!(!said().contains("forbidden"), "a right that it lacks:\n{}", said());
}
