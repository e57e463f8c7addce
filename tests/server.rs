//! A W&B server from a blueprint, on a real control plane with a real helm: what its operator is given, what is said of it, and in which
//! order it goes. The operator itself is played: its chart here has the real one's kind (wandb/helm-charts, charts/operator 1.4.8) and
//! no program.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::home::{Home, Run};

const BLUEPRINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blueprints/good/server.yaml");
const CLUSTER: &str = "server";
const LICENCE: &str = "a-licence-that-nobody-may-see";

const CRD: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: weightsandbiases.apps.wandb.com}
spec:
  group: apps.wandb.com
  scope: Namespaced
  names: {kind: WeightsAndBiases, plural: weightsandbiases, singular: weightsandbiases, shortNames: [wandb]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const MANAGER: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: wandb-controller-manager, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {control-plane: controller-manager}}
  template:
    metadata: {labels: {control-plane: controller-manager}}
    spec: {containers: [{name: manager, image: '{{ .Values.image.repository }}:{{ .Values.image.tag }}'}]}
";

struct Bench {
    home: Home,
    mirror: String,
}

impl Bench {
    fn new() -> Self {
        let home = Home::new();
        home.write("operator/Chart.yaml", "apiVersion: v2\nname: operator\nversion: 1.4.8\n");
        home.write("operator/crds/wandb.yaml", CRD);
        let chart = home.write("operator/templates/manager.yaml", MANAGER);
        let chart = chart.ancestors().nth(2).unwrap();
        let mirror = home.work().join("mirror");
        let packed =
            Command::new(support::helm_program()).arg("package").arg(chart).arg("-d").arg(&mirror).output().unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        Self { mirror: mirror.to_str().unwrap().to_owned(), home }
    }

    fn command(&self, arguments: &[&str], blueprint: &str) -> Command {
        let mut all = vec![arguments[0], blueprint, "--chart-mirror", &self.mirror];
        all.extend(&arguments[1..]);
        let mut command = self.home.command(&all);
        command.env("WANDB_LICENSE", LICENCE);
        for secret in ["BUCKET_KEY_ID", "BUCKET_KEY", "MYSQL_PASSWORD"] {
            command.env(secret, "not-a-real-one");
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Home::finish(&mut self.command(arguments, BLUEPRINT))
    }

    fn kubectl(&self, arguments: &[&str]) -> Run {
        self.home.kubectl(CLUSTER, &[&["-n", "wandb-server"], arguments].concat())
    }

    fn server(&self) -> Option<Value> {
        let run = self.kubectl(&["get", "wandb", "wandb", "-o", "json"]);
        (run.code == 0).then(|| serde_json::from_str(&run.stdout).unwrap())
    }

    /// As the operator does it.
    fn phase(&self, phase: &str) {
        let status = json!({"status": {"phase": phase}}).to_string();
        self.kubectl(&["patch", "wandb", "wandb", "--subresource=status", "--type=merge", "-p", &status]).expect(0);
    }

    fn finalizers(&self, finalizers: &[&str]) {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        let manager = "--field-manager=wandb-operator";
        self.kubectl(&["patch", "wandb", "wandb", "--type=merge", manager, "-p", &patch]).expect(0);
    }
}

#[test]
fn a_server_comes_is_told_of_and_goes_before_its_operator() {
    let bench = Bench::new();
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    let server = bench.server().expect("the custom resource is there");
    let global = &server["spec"]["values"]["global"];
    assert_eq!(server["spec"]["chart"]["version"], "0.43.8");
    assert_eq!(global["licenseSecret"], json!({"name": "wandb-license", "key": "license"}));
    assert!(!server.to_string().contains(LICENCE), "the licence is a reference");
    let manager = bench.kubectl(&["get", "deployment", "wandb-controller-manager", "-o", "yaml"]).expect(0).stdout;
    assert!(manager.contains("wandb/controller:1.22.0"), "{manager}");

    // Nobody has looked at it, since no program runs here; then the operator works, fails, and is done.
    let verdict = |code: i32| bench.run(&["verify", "--only", "server"]).expect(code).stdout;
    assert!(verdict(0).contains("the operator's pod is simulated"));
    bench.finalizers(&["finalizer.app.wandb.com"]);
    bench.phase("Invalid Config");
    let bad = verdict(5);
    assert!(bad.contains("phase Invalid Config") && bad.contains("logs -l control-plane=controller-manager"), "{bad}");
    bench.phase("Completed");
    let done = verdict(0);
    assert!(done.contains("ok    server.applied/wandb-server/wandb"), "{done}");
    bench.run(&["drift"]).expect(0);
    bench.run(&["plan", "--exit-code"]).expect(0);

    // It holds data: it goes when it is named, and its operator stays until it has gone. No chart is left in the blueprint.
    let whole = std::fs::read_to_string(BLUEPRINT).unwrap();
    let less = bench.home.write("less.yaml", whole.split("server:\n  host").next().unwrap());
    let less = less.to_str().unwrap();
    let kept = Home::finish(&mut bench.command(&["plan"], less)).expect(0).stdout;
    assert!(kept.contains("protected  WeightsAndBiases.apps.wandb.com wandb-server/wandb"), "{kept}");
    let mut going = bench.command(&["apply", "--yes", "--no-verify", "--delete", "all"], less);
    let going = std::thread::spawn(move || Home::finish(&mut going));
    let begun = Instant::now();
    while bench.server().is_some_and(|server| server["metadata"]["deletionTimestamp"].is_null()) {
        assert!(begun.elapsed() < Duration::from_secs(120), "nobody deletes it");
        std::thread::sleep(Duration::from_millis(100)); // Polls a condition that has a bound.
    }
    bench.kubectl(&["get", "deployment", "wandb-controller-manager"]).expect(0);
    bench.finalizers(&[]);
    let gone = going.join().unwrap().expect(0);
    assert!(gone.all().contains("deleted helm release wandb-server/operator"), "{}", gone.all());
}
