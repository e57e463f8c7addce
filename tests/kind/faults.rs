//! The faults: how each is planted, who must catch it with which words, and how it is mended.

use std::time::Instant;

use crate::platform::{PATIENCE, Platform};

/// Words that must all be there.
type Words = &'static [&'static str];

pub struct Fault {
    pub name: &'static str,
    /// `plan` of the blueprint with this overlay (of tests/kind/plans) refuses, in these words.
    plan: Option<(&'static str, Words)>,
    /// Plants it on the live platform.
    plant: fn(&Platform),
    /// `drift` ends with exit code 3 and these words.
    drift: Option<Words>,
    /// These checks of `verify` fail, in these words.
    verify: &'static [(&'static str, Words)],
    mend: fn(&Platform),
}

impl Fault {
    /// Plants it, sees it caught, mends it and sees that.
    ///
    /// # Errors
    /// Who did not catch it, and what was said instead.
    pub fn is_caught(&self, platform: &Platform) -> Result<(), Vec<String>> {
        let mut missed = Vec::new();
        if let Some((overlay, says)) = self.plan {
            let run = platform.run_with(&[platform.overlay(overlay)], "plan", &[]);
            missed.extend(unsaid("plan", run.code == 1 && run.stdout.is_empty(), says, &run.all()));
        }
        (self.plant)(platform);
        if let Some(says) = self.drift {
            missed.extend(within_patience(|| {
                let run = platform.run("drift", &[]);
                unsaid("drift", run.code == 3, says, &run.all()).into_iter().collect()
            }));
        }
        if !self.verify.is_empty() {
            let checks: Vec<&str> = self.verify.iter().map(|(check, _)| *check).collect();
            missed.extend(within_patience(|| {
                let verdicts = platform.verdicts(&checks);
                let of = |((check, says), (outcome, words)): (&(&str, Words), &(String, String))| {
                    unsaid(check, outcome == "fail", says, words)
                };
                self.verify.iter().zip(&verdicts).filter_map(of).collect()
            }));
        }
        (self.mend)(platform);
        missed.extend(platform.wait_until_healthy().err());
        if missed.is_empty() {
            return Ok(());
        }
        Err(missed.into_iter().map(|why| format!("{}: {why}", self.name)).collect())
    }
}

/// What is still missed after some patience: kubelets and controllers have to notice first.
fn within_patience(missed: impl Fn() -> Vec<String>) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = missed();
        if now.is_empty() || Instant::now() >= deadline {
            return now;
        }
    }
}

fn unsaid(who: &str, caught: bool, says: Words, words: &str) -> Option<String> {
    let unsaid: Vec<&&str> = says.iter().filter(|word| !words.contains(**word)).collect();
    match (caught, unsaid.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("{who} does not catch it: {words}")),
        (true, false) => Some(format!("{who} does not say {unsaid:?}: {words}")),
    }
}

fn nothing(_: &Platform) {}

fn apply(platform: &Platform) {
    platform.run("apply", &["--yes", "--no-verify"]).expect(0);
}

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "the device plugin has no toleration",
        plan: Some((
            "plugin-without-toleration.yaml",
            &["no pod will get the GPUs of pool a100", "does not tolerate the taint nvidia.com/gpu=present:NoSchedule"],
        )),
        plant: |platform| {
            platform.kubectl(
                "-n wbk-gpu patch daemonset wbk-fake-gpu-a100 --type=json \
                 -p '[{\"op\":\"remove\",\"path\":\"/spec/template/spec/tolerations\"}]'",
            );
        },
        drift: Some(&["tolerations"]),
        verify: &[
            (
                "gpus.advertiser/a100",
                &["nothing advertises", "wbk-fake-gpu-a100", "does not tolerate taint nvidia.com/gpu:NoSchedule"],
            ),
            ("gpus.allocatable/a100", &["offers 0"]),
        ],
        mend: apply,
    },
    Fault {
        name: "NFD has no toleration",
        plan: Some((
            "nfd-without-toleration.yaml",
            &[
                "wandb-jobs/nfd-worker cannot land on pool a100",
                "does not tolerate the taint nvidia.com/gpu=present:NoSchedule of pool a100",
            ],
        )),
        plant: nothing,
        drift: None,
        verify: &[],
        mend: nothing,
    },
    Fault {
        name: "a taint has the wrong value",
        plan: Some((
            "plugin-wrong-taint-value.yaml",
            &["does not tolerate the taint nvidia.com/gpu=present:NoSchedule of pool a100"],
        )),
        plant: |platform| {
            platform
                .kubectl(&format!("taint node {}-worker nvidia.com/gpu=wrong:NoSchedule --overwrite", platform.name));
        },
        drift: Some(&["taints[nvidia.com/gpu:NoSchedule] is wrong, not present"]),
        verify: &[("nodes.marks/a100", &["no taint nvidia.com/gpu=present:NoSchedule"])],
        mend: apply,
    },
    Fault {
        name: "the device plugin is killed",
        plan: None,
        plant: |platform| {
            platform.kubectl("-n wbk-gpu delete daemonset wbk-fake-gpu-a100");
        },
        drift: Some(&["wbk-fake-gpu-a100", "the object is gone"]),
        verify: &[("gpus.advertiser/a100", &["nothing advertises"]), ("gpus.allocatable/a100", &["offers 0"])],
        mend: apply,
    },
    Fault {
        name: "a GPU is unhealthy",
        plan: None,
        plant: |platform| {
            platform.on_node("worker", "echo 3 >/var/lib/wbk-fake-gpu/unhealthy");
        },
        drift: None,
        verify: &[("gpus.allocatable/a100", &["offers 7 of 8: the others are not healthy"])],
        mend: |platform| {
            platform.on_node("worker", "rm /var/lib/wbk-fake-gpu/unhealthy");
        },
    },
    Fault {
        name: "the quota is too small",
        plan: Some(("quota-too-small.yaml", &["Job.batch wandb-jobs/train", "quota", "nvidia.com/gpu"])),
        plant: |platform| {
            platform.kubectl(
                "-n wandb-jobs patch quota wbk-infra --type=merge \
                 -p '{\"spec\":{\"hard\":{\"requests.nvidia.com/gpu\":\"0\"}}}'",
            );
        },
        drift: Some(&["requests.nvidia.com/gpu] is 0, not 9"]),
        verify: &[("quota.hard/wandb-jobs", &["requests.nvidia.com/gpu"])],
        mend: apply,
    },
    Fault {
        name: "a LimitRange has GPUs in it",
        plan: Some(("limit-range-with-gpus.yaml", &["has GPUs in it"])),
        plant: |platform| platform.make("limit-range-with-gpus.yaml"),
        drift: None,
        verify: &[("limits.gpuless/wandb-jobs", &["is given 1 nvidia.com/gpu"])],
        mend: |platform| {
            platform.kubectl("-n wandb-jobs delete limitrange gpus");
        },
    },
    Fault {
        name: "CoreDNS has no node",
        plan: Some((
            "coredns-without-a-node.yaml",
            &[
                "kube-system/coredns can run on no pool",
                "add a pool without taints, which Deployment.apps kube-system/coredns and others like it can run on",
            ],
        )),
        plant: |platform| {
            platform.kubectl(&format!("taint node {}-control-plane team=research:NoSchedule", platform.name));
        },
        drift: Some(&["taints[team:NoSchedule]"]),
        verify: &[("jobs.sample/system", &["taints that the blueprint does not say", "team=research:NoSchedule"])],
        mend: apply,
    },
    Fault {
        name: "a priority class is the wrong one",
        plan: Some((
            "priority-class-that-nothing-makes.yaml",
            &["has the priority class training-hihg, which nothing makes"],
        )),
        plant: |platform| {
            platform.kubectl("delete priorityclass training-high");
            platform.kubectl("create priorityclass training-high --value=7");
        },
        drift: None,
        verify: &[("priorities.exist/training-high", &["value 7"])],
        mend: |platform| {
            platform.kubectl("delete priorityclass training-high");
            apply(platform);
        },
    },
    Fault {
        name: "two advertisers",
        plan: Some((
            "two-advertisers.yaml",
            &["wandb-jobs/nvidia-device-plugin", "advertise nvidia.com/gpu on pool a100"],
        )),
        plant: |platform| platform.make("second-advertiser.yaml"),
        drift: None,
        verify: &[("gpus.advertiser/a100", &["2 advertise it", "wbk-gpu/second"])],
        mend: |platform| {
            platform.kubectl("-n wbk-gpu delete pod second");
            // The kubelet believed the second; the first registers again when it starts again.
            platform.kubectl("-n wbk-gpu delete pod -l wbk-fake-gpu/nodes=a100");
        },
    },
    Fault {
        name: "a node is cordoned",
        plan: None,
        plant: |platform| {
            platform.kubectl(&format!("cordon {}-worker", platform.name));
        },
        drift: None,
        verify: &[("jobs.sample/a100", &["every node of pool a100 is cordoned"])],
        mend: |platform| {
            platform.kubectl(&format!("uncordon {}-worker", platform.name));
        },
    },
    Fault {
        name: "an image is missing",
        plan: None,
        plant: |platform| {
            platform.kubectl("-n wbk-gpu set image daemonset/wbk-fake-gpu-l4-spot plugin=localhost/not-there:1");
        },
        drift: Some(&["localhost/not-there:1"]),
        verify: &[("releases.ready/wbk-gpu/wbk-fake-gpu", &["wbk-fake-gpu-l4-spot", "ErrImageNeverPull"])],
        mend: apply,
    },
];
