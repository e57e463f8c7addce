//! A GPU platform on real kubelets: the shipped blueprint is applied, verified and found without drift, then faults are planted one
//! after the other, each of which must be caught, with the right reason, by `plan` where it can be and by `verify` or `drift`
//! otherwise; then it is destroyed.
//!
//! It makes a kind cluster and takes minutes, so it runs only when asked for (`-- --ignored`, scripts/kind-tests.sh); then it fails
//! where it cannot run. Without a registry, WBK_KIND_IMAGE names a node image that this machine has.

#[path = "../support/mod.rs"]
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::home::{Home, Run};

/// The kubelet tells of changed devices with its next status, 10 s later at most; the rest is for busy machines.
const PATIENCE: Duration = Duration::from_secs(120);

/// The platform under test.
struct Platform {
    home: Home,
    name: String,
    files: Vec<String>,
}

/// Who shall catch a fault, and what must be in its words.
enum Catch {
    /// A check of `verify` that is not passed.
    Verify { check: &'static str, says: &'static str },
    /// `drift`, with exit code 3.
    Drift { says: &'static str },
    /// `plan` of the blueprint with this overlay refuses or warns.
    Plan { overlay: &'static str, says: &'static str },
}

struct Fault {
    name: &'static str,
    plant: fn(&Platform),
    caught: &'static [Catch],
    heal: fn(&Platform),
}

impl Platform {
    fn new() -> Self {
        let home = Home::new();
        let name = format!("faults-{}", std::process::id());
        // A cluster of the test's own, whatever the blueprint is called.
        let mut overlay = format!("cluster: {{name: {name}");
        if let Ok(image) = std::env::var("WBK_KIND_IMAGE") {
            overlay.push_str(&format!(", kind: {{image: {image:?}}}"));
        }
        overlay.push_str("}\n");
        let overlay = home.write("overlay.yaml", &overlay);
        let blueprint = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/kind-gpu.yaml");
        let files = vec![blueprint.to_owned(), overlay.display().to_string()];
        Self { home, name, files }
    }

    fn arguments<'a>(&'a self, command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let files = self.files.iter().flat_map(|file| ["--file", file.as_str()]);
        [command].into_iter().chain(files).chain(more.iter().copied()).collect()
    }

    fn run(&self, command: &str, more: &[&str]) -> Run {
        self.home.run(&self.arguments(command, more))
    }

    fn engine(&self, arguments: &[&str]) -> Run {
        let engine = std::env::var("KIND_EXPERIMENTAL_PROVIDER").unwrap_or_else(|_| "docker".into());
        Home::finish(Command::new(engine).args(arguments))
    }

    fn on_node(&self, node: &str, script: &str) -> Run {
        self.engine(&["exec", &format!("{}-{node}", self.name), "sh", "-c", script]).expect(0)
    }

    fn kubectl(&self, arguments: &str) -> Run {
        self.on_node("control-plane", &format!("kubectl --kubeconfig=/etc/kubernetes/admin.conf {arguments}"))
    }

    /// What `verify` says of one check: its outcome, and everything else as text.
    fn verdict(&self, check: &str) -> (String, String) {
        let run = self.run("verify", &["--only", check, "--output", "json"]);
        let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("no report: {}", run.all()));
        let found = report["checks"].as_array().into_iter().flatten().find(|found| found["id"] == check);
        let found = found.unwrap_or_else(|| panic!("there is no check {check}: {}", run.all()));
        (found["outcome"].as_str().unwrap_or_default().to_owned(), found.to_string())
    }

    /// Everything that must hold of a healthy platform, awaited.
    fn wait_until_healthy(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let run = self.run("verify", &["--only", "gpus", "--only", "nodes", "--only", "releases"]);
            if run.code == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "the platform is healthy again: {}", run.all());
        }
    }

    /// Whether it is caught now, and what was said instead.
    fn catches(&self, catch: &Catch) -> Result<(), String> {
        match catch {
            Catch::Verify { check, says } => {
                let (outcome, words) = self.verdict(check);
                if outcome != "pass" && outcome != "skipped" && words.contains(says) {
                    Ok(())
                } else {
                    Err(format!("{check} is {outcome} and does not say {says:?}: {words}"))
                }
            }
            Catch::Drift { says } => {
                let run = self.run("drift", &[]);
                if run.code == 3 && run.stdout.contains(says) {
                    Ok(())
                } else {
                    Err(format!("drift ended with {} and does not say {says:?}: {}", run.code, run.all()))
                }
            }
            Catch::Plan { overlay, says } => {
                let overlay = self.home.write("fault.yaml", overlay);
                let run = self.run("plan", &["--file", &overlay.display().to_string()]);
                if run.code != 0 && run.all().contains(says) {
                    Ok(())
                } else {
                    Err(format!("plan ended with {} and does not say {says:?}: {}", run.code, run.all()))
                }
            }
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let run = self.run("destroy", &["--delete", "all", "--yes"]);
        if run.code != 0 {
            eprintln!("left behind: {}", run.all());
        }
    }
}

fn nothing(_: &Platform) {}

fn apply(platform: &Platform) {
    platform.run("apply", &["--yes", "--no-verify"]).expect(0);
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "the device plugin lost its toleration",
        plant: |platform| {
            platform.kubectl(
                "-n wbk-gpu patch daemonset wbk-fake-gpu-a100 --type=json \
                 -p '[{\"op\":\"remove\",\"path\":\"/spec/template/spec/tolerations\"}]'",
            );
        },
        caught: &[
            Catch::Drift { says: "tolerations" },
            Catch::Verify { check: "gpus.allocatable/a100", says: "offers 0" },
        ],
        heal: apply,
    },
    Fault {
        name: "a taint has another value",
        plant: |platform| {
            platform
                .kubectl(&format!("taint node {}-worker nvidia.com/gpu=wrong:NoSchedule --overwrite", platform.name));
        },
        caught: &[
            Catch::Drift { says: "taints[nvidia.com/gpu:NoSchedule] is wrong, not present" },
            Catch::Verify { check: "nodes.marks/a100", says: "nvidia.com/gpu" },
        ],
        heal: apply,
    },
    Fault {
        name: "the plugin is killed",
        plant: |platform| {
            platform.kubectl("-n wbk-gpu delete daemonset wbk-fake-gpu-a100");
        },
        caught: &[
            Catch::Drift { says: "wbk-fake-gpu-a100" },
            Catch::Verify { check: "gpus.allocatable/a100", says: "offers 0" },
        ],
        heal: apply,
    },
    Fault {
        name: "a GPU is unhealthy",
        plant: |platform| {
            platform.on_node("worker", "echo 3 >/var/lib/wbk-fake-gpu/unhealthy");
        },
        caught: &[Catch::Verify { check: "gpus.allocatable/a100", says: "offers 7" }],
        heal: |platform| {
            platform.on_node("worker", "rm /var/lib/wbk-fake-gpu/unhealthy");
        },
    },
    Fault {
        name: "the quota is too small",
        plant: |platform| {
            platform.kubectl(
                "-n wandb-jobs patch quota wbk-infra --type=merge \
                 -p '{\"spec\":{\"hard\":{\"requests.nvidia.com/gpu\":\"0\"}}}'",
            );
        },
        caught: &[
            Catch::Drift { says: "requests.nvidia.com/gpu] is 0, not 9" },
            Catch::Verify { check: "quota.hard/wandb-jobs", says: "requests.nvidia.com/gpu" },
        ],
        heal: apply,
    },
    Fault {
        name: "a LimitRange has GPUs in it",
        plant: nothing,
        caught: &[Catch::Plan {
            overlay: "objects:\n  - apiVersion: v1\n    kind: LimitRange\n    metadata: {name: gpus, namespace: wandb-jobs}\n    \
                      spec: {limits: [{type: Container, default: {nvidia.com/gpu: 1}}]}\n",
            says: "has GPUs in it",
        }],
        heal: nothing,
    },
    Fault {
        name: "a priority class has another value",
        plant: |platform| {
            platform.kubectl("delete priorityclass training-high");
            platform.kubectl("create priorityclass training-high --value=7");
        },
        caught: &[Catch::Verify { check: "priorities.exist/training-high", says: "value 7" }],
        heal: |platform| {
            platform.kubectl("delete priorityclass training-high");
            apply(platform);
        },
    },
    Fault {
        name: "a node is cordoned",
        plant: |platform| {
            platform.kubectl(&format!("cordon {}-worker", platform.name));
        },
        caught: &[Catch::Verify { check: "jobs.sample/a100", says: "unschedulable" }],
        heal: |platform| {
            platform.kubectl(&format!("uncordon {}-worker", platform.name));
        },
    },
    Fault {
        name: "an image is missing",
        plant: |platform| {
            platform.kubectl("-n wbk-gpu set image daemonset/wbk-fake-gpu-l4-spot plugin=localhost/not-there:1");
        },
        caught: &[
            Catch::Drift { says: "localhost/not-there:1" },
            Catch::Verify { check: "releases.ready/wbk-gpu/wbk-fake-gpu", says: "ErrImageNeverPull" },
        ],
        heal: apply,
    },
];

#[test]
#[ignore = "makes a real cluster: needs Docker and kind (scripts/kind-tests.sh)"]
fn planted_faults_are_caught_on_real_kubelets() {
    let platform = Platform::new();
    platform.engine(&["version"]).expect(0);
    let applied = platform.run("apply", &["--yes"]).expect(0);
    assert!(applied.stderr.contains("planned again: nothing to do"), "{}", applied.all());
    platform.run("plan", &["--exit-code"]).expect(0);
    platform.run("drift", &[]).expect(0);

    // A container sees what it was allocated, and no more.
    platform.kubectl(
        "-n wandb-jobs run smi --restart=Never --image-pull-policy=Never \
         --image=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf -n wbk-gpu get daemonset wbk-fake-gpu-a100 \
         -o jsonpath='{.spec.template.spec.containers[0].image}') --overrides='{\"spec\":{\"tolerations\":[{\"operator\":\"Exists\"}],\
         \"containers\":[{\"name\":\"smi\",\"image\":\"-\",\"command\":[\"nvidia-smi\",\"-L\"],\"resources\":{\"limits\":{\"nvidia.com/gpu\":2}}}]}}' \
         --override-type=strategic",
    );
    platform.kubectl("-n wandb-jobs wait pod/smi --for=jsonpath='{.status.phase}'=Succeeded --timeout=120s");
    let listed = platform.kubectl("-n wandb-jobs logs smi").stdout;
    assert_eq!(listed.matches("NVIDIA A100-SXM4-40GB (UUID: GPU-").count(), 2, "{listed}");
    platform.kubectl("-n wandb-jobs delete pod smi");

    let mut missed = Vec::new();
    for fault in FAULTS {
        let began = Instant::now();
        (fault.plant)(&platform);
        for catch in fault.caught {
            // What kubelets and controllers have to notice first takes its time.
            let deadline = Instant::now() + PATIENCE;
            let mut outcome = platform.catches(catch);
            while outcome.is_err() && Instant::now() < deadline && !matches!(catch, Catch::Plan { .. }) {
                outcome = platform.catches(catch);
            }
            if let Err(why) = outcome {
                missed.push(format!("{}: {why}", fault.name));
            }
        }
        (fault.heal)(&platform);
        platform.wait_until_healthy();
        eprintln!("{}: {} s", fault.name, began.elapsed().as_secs());
    }
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
    platform.run("drift", &[]).expect(0);
    let destroyed = platform.run("destroy", &["--delete", "all", "--yes"]).expect(0);
    assert!(destroyed.all().contains("Left: nothing"), "{}", destroyed.all());
}
