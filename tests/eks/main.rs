//! Whole platforms on EKS, by the program itself, against the emulators of docs/eks-testing.md.

mod auto_mode;
mod autoscaler;
mod drift;
mod given;
mod groups;
mod import;
mod kills;
mod leftovers;
mod rights;
mod troubles;
mod upgrade;
mod way;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;
use wbk_eks_stand::{Settings, Stand};

const IGNORED: &str = "needs the stand: scripts/eks-tests.sh";

/// The stand's API server is the local provider's, of one version, whatever version EKS was asked for.
const NOT_THE_STANDS: &str = "api.version";

/// How a run ended.
struct Ended {
    code: Option<i32>,
    said: String,
}

/// A stand and a home of its own.
struct World {
    stand: Stand,
    home: tempfile::TempDir,
    runtime: Runtime,
}

impl World {
    fn start() -> Self {
        Self::with(Settings::of_environment())
    }

    /// One whose AWS can be made to fail.
    fn with_faults() -> Self {
        let mut settings = Settings::of_environment();
        settings.faults = true;
        Self::with(settings)
    }

    fn with(settings: Settings) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let tell = |line: &str| eprintln!("  {line}");
        let stand = runtime.block_on(Stand::start_with(settings, tell));
        let stand = stand.unwrap_or_else(|error| panic!("{IGNORED}: {error}"));
        Self { stand, home: tempfile::tempdir().expect("a folder"), runtime }
    }

    /// Starts it and kills it as soon as it is time; answers how it ended where that came first.
    fn killed_when(&self, args: &[&str], mut now: impl FnMut() -> bool) -> Option<Ended> {
        let log = self.home.path().join("killed.log");
        let file = std::fs::File::create(&log).expect("a file");
        let both = file.try_clone().expect("a second handle");
        let mut child = self.command(args).stdout(file).stderr(both).spawn().expect("the program runs");
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        loop {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return Some(Ended { code: status.code(), said: read() });
            }
            if now() {
                child.kill().expect("a child can be killed");
                child.wait().expect("a killed child ends");
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn faults(&self, rules: serde_json::Value) {
        self.runtime.block_on(self.stand.faults(&rules)).expect("faults can be ordered");
    }

    /// How many things there are that are the platform's and not on their way out, by sort; the aws CLI counts.
    fn inventory(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for (describe, list) in [
            ("describe-vpcs", "Vpcs"),
            ("describe-subnets", "Subnets"),
            ("describe-internet-gateways", "InternetGateways"),
            ("describe-nat-gateways", "NatGateways"),
            ("describe-addresses", "Addresses"),
            ("describe-route-tables", "RouteTables"),
        ] {
            let flag = if describe == "describe-nat-gateways" { "--filter" } else { "--filters" };
            let answer = self.aws(&["ec2", describe, flag, "Name=tag:wbk-infra/blueprint,Values=small"]);
            let found = answer[list].as_array().cloned().unwrap_or_default();
            let lives = |one: &&serde_json::Value| one["State"] != "deleted" && one["State"] != "deleting";
            all.insert(list.to_owned(), found.iter().filter(lives).count());
        }
        let count = |answer: &serde_json::Value| answer.as_array().map_or(0, Vec::len);
        all.insert("roles".into(), count(&self.aws(&["iam", "list-roles", "--path-prefix", "/wbk-infra/"])["Roles"]));
        let clusters = self.aws(&["eks", "list-clusters"])["clusters"].clone();
        all.insert("clusters".into(), count(&clusters));
        if count(&clusters) > 0 {
            for (list, key) in [
                ("list-nodegroups", "nodegroups"),
                ("list-addons", "addons"),
                ("list-pod-identity-associations", "associations"),
            ] {
                all.insert(key.into(), count(&self.aws(&["eks", list, "--cluster-name", "small"])[key]));
            }
        }
        all
    }

    /// The names of the answered calls of a service that change something, in order.
    fn changes(&self, service: &str) -> Vec<String> {
        let requests = self.stand.requests();
        let reads = ["Describe", "List", "Get"];
        let changes = requests.into_iter().filter(|request| {
            request.service == service
                && request.status < 300
                && !reads.iter().any(|read| request.operation.starts_with(read))
        });
        changes.map(|request| request.operation).collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wbk-infra"));
        command.args(args).envs(self.stand.env()).env("XDG_STATE_HOME", self.home.path().join("state"));
        command.env_remove("KUBECONFIG");
        command
    }

    fn infra(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program runs")
    }

    /// Runs it and expects an exit code; answers everything that it said.
    fn told(&self, code: i32, args: &[&str]) -> String {
        let output = self.infra(args);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(output.status.code(), Some(code), "wbk-infra {args:?}:\n{said}");
        said
    }

    /// Runs it and expects an exit code; answers what it printed.
    fn run(&self, code: i32, args: &[&str]) -> String {
        let output = self.infra(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "wbk-infra {args:?}:\n{said}\n{told}");
        said
    }

    fn apply(&self, file: &str) -> String {
        self.run(0, &["apply", file, "--yes", "--skip", NOT_THE_STANDS])
    }

    fn aws(&self, args: &[&str]) -> serde_json::Value {
        let output = Command::new(self.stand.aws_cli()).args(args).envs(self.stand.env()).output().expect("aws runs");
        assert!(output.status.success(), "aws {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn blueprint(&self, change: impl Fn(&str) -> String) -> PathBuf {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eks/small.yaml");
        let text = std::fs::read_to_string(file).expect("the blueprint");
        let path = self.home.path().join("small.yaml");
        std::fs::write(&path, change(&text)).expect("a file");
        path
    }
}

#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_platform_is_made_seen_changed_mended_and_taken_away() {
    let world = World::start();
    let blueprint = world.blueprint(str::to_owned);
    let file = blueprint.to_str().expect("UTF-8");
    let planned = world.run(0, &["plan", file]);
    for part in
        ["VPC network", "NAT gateway us-west-2a", "IAM role node", "cluster small", "add-on vpc-cni", "node pool l4"]
    {
        assert!(planned.contains(&format!("+ create  {part}")), "{part}:\n{planned}");
    }
    world.apply(file);
    let again = world.run(0, &["plan", file, "--exit-code"]);
    assert!(again.contains("Nothing to do"), "{again}");

    // Another client agrees with what was asked.
    let group =
        &world.aws(&["eks", "describe-nodegroup", "--cluster-name", "small", "--nodegroup-name", "l4"])["nodegroup"];
    assert_eq!(group["instanceTypes"], serde_json::json!(["g6.xlarge"]));
    assert_eq!(group["labels"]["team"], "research");
    assert_eq!(group["taints"][0]["key"], "nvidia.com/gpu");
    assert_eq!(group["scalingConfig"]["maxSize"], 2);
    let associations = world.aws(&["eks", "list-pod-identity-associations", "--cluster-name", "small"]);
    // The trainer, and Cluster Autoscaler.
    assert_eq!(associations["associations"].as_array().map(Vec::len), Some(2));

    // In place.
    world.blueprint(|text| text.replace("team: research", "team: vision").replace("max: 2}", "max: 4}"));
    let changed = world.run(0, &["plan", file]);
    assert!(changed.contains("~ update  node pool l4"), "{changed}");
    world.apply(file);
    let group =
        &world.aws(&["eks", "describe-nodegroup", "--cluster-name", "small", "--nodegroup-name", "l4"])["nodegroup"];
    assert_eq!((&group["labels"]["team"], &group["scalingConfig"]["maxSize"]), (&"vision".into(), &4.into()));

    // Drift: somebody changes a label of the group in AWS.
    world.aws(&[
        "eks",
        "update-nodegroup-config",
        "--cluster-name",
        "small",
        "--nodegroup-name",
        "l4",
        "--labels",
        r#"{"addOrUpdateLabels":{"team":"else"}}"#,
    ]);
    let drifted = world.run(3, &["drift", file]);
    assert!(drifted.contains("else"), "{drifted}");
    world.apply(file);
    world.run(0, &["drift", file]);

    let gone = world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
    assert!(gone.contains("Left: nothing"), "{gone}");
    assert_eq!(world.aws(&["eks", "list-clusters"])["clusters"], serde_json::json!([]));
    let networks = world.aws(&["ec2", "describe-vpcs", "--filters", "Name=tag:wbk-infra/blueprint,Values=small"]);
    assert_eq!(networks["Vpcs"], serde_json::json!([]));
}

/// What cannot change in place is made beside the old, and a version goes up with add-ons and nodes behind it.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_pool_is_made_anew_beside_the_old_and_a_cluster_goes_up_a_version() {
    let world = World::start();
    let blueprint = world.blueprint(|text| text.replace("1.34", "1.33"));
    let file = blueprint.to_str().expect("UTF-8");
    world.apply(file);
    let groups = || {
        let groups = world.aws(&["eks", "list-nodegroups", "--cluster-name", "small"])["nodegroups"].clone();
        let mut names: Vec<String> = serde_json::from_value(groups).expect("names");
        names.sort();
        names
    };
    assert_eq!(groups(), ["l4", "system"]);

    world.blueprint(|text| text.replace("1.34", "1.33").replace("m7i.xlarge", "m7i.2xlarge"));
    let planned = world.run(0, &["plan", file, "--verbose"]);
    assert!(planned.contains("! replace node pool system"), "{planned}");
    assert!(planned.contains("machines"), "{planned}");
    world.apply(file);
    let [l4, system] = &groups()[..] else { panic!("two groups: {:?}", groups()) };
    assert!(l4 == "l4" && system.starts_with("system-"), "{system}");
    let shown = world.aws(&["eks", "describe-nodegroup", "--cluster-name", "small", "--nodegroup-name", system]);
    assert_eq!(shown["nodegroup"]["instanceTypes"], json!(["m7i.2xlarge"]));
    assert_eq!(shown["nodegroup"]["scalingConfig"]["desiredSize"], 2, "as many nodes as it had");
    world.run(0, &["plan", file, "--exit-code"]);

    world.blueprint(|text| text.replace("m7i.xlarge", "m7i.2xlarge"));
    let planned = world.run(0, &["plan", file]);
    for step in ["~ update  cluster small", "~ update  node pool l4", "~ update  node pool system"] {
        assert!(planned.contains(step), "{step}:\n{planned}");
    }
    world.apply(file);
    world.run(0, &["plan", file, "--exit-code"]);
    assert_eq!(world.aws(&["eks", "describe-cluster", "--name", "small"])["cluster"]["version"], "1.34");
    let back = world.blueprint(|text| text.replace("1.34", "1.33").replace("m7i.xlarge", "m7i.2xlarge"));
    let refused = world.run(0, &["plan", back.to_str().expect("UTF-8")]);
    assert!(refused.contains("EKS never goes back"), "{refused}");
}
