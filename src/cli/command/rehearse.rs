//! `rehearse`: the whole life of a platform, played on this machine by the product's own commands. Only the provider is
//! another.

mod by_hand;
mod stage;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use wbk_provider_api::Seen;
use wbk_provider_local::LocalProvider;
use wbk_provider_rehearsal::{Fault, unproven};

use super::session::{Session, out, unfit};
use crate::cli::{
    args::{BlueprintArgs, Output},
    environment::Environment,
    failure::{Exit, Failure},
    show::{Act, RehearsalReport, act_line, rehearsal_human, rehearsal_markdown},
    situation::{Connection, files, local_settings, provider, reach, read, read_only},
};
use crate::desired::{Advertiser, Desired};
use by_hand::{HAND, Planted};
use stage::{Ended, Stage};

/// Options of every command that is played: a program reads it, nobody is asked.
const PLAN: &[&str] = &["plan", "-o", "json"];
const PLAN_AGAIN: &[&str] = &["plan", "-o", "json", "--exit-code"];
const APPLY: &[&str] = &["apply", "-o", "json", "--yes", "--no-verify"];
const VERIFY: &[&str] = &["verify", "-o", "json"];
const DRIFT: &[&str] = &["drift", "-o", "json"];
const DESTROY: &[&str] = &["destroy", "-o", "json", "--yes", "--delete", "all"];

impl Session<'_> {
    /// `rehearse`.
    pub async fn rehearse(&self, blueprint: &BlueprintArgs, faults: &[Fault], keep: bool) -> Result<Exit, Failure> {
        match self.global.output {
            Output::Human | Output::Json | Output::Yaml | Output::Markdown => {}
            other => return Err(unfit("rehearse", other)),
        }
        let files = files(blueprint)?;
        let mut environment = self.environment.clone();
        // Read as the commands will read it, so that what is wrong with it is said at once and in this process.
        environment.rehearsal =
            Some(wbk_provider_rehearsal::Rehearsal { faults: Vec::new(), happened: PathBuf::new() });
        let desired = read(&files, &environment)?;
        // As it is written, with the version that is not played.
        let wanted = read_only(&files, &environment)?.wanted();
        check_faults(faults, &desired)?;
        check_operators(&desired)?;
        let folder = self.environment.state.join("rehearsals").join(&desired.name);
        clear(&folder, &desired, self).await?;
        let stage = Stage::new(&folder, files, faults, self.environment, self.global)?;
        let mut play = Play { session: self, stage, desired: &desired, acts: Vec::new(), kubernetes: None };
        let outcome = tokio::select! {
            outcome = play.all(faults) => outcome,
            signal = tokio::signal::ctrl_c() => Err(interrupted(signal)),
        };
        let Play { stage, acts, kubernetes, .. } = play;
        if keep {
            anstream::eprintln!(
                "kept: KUBECONFIG={}\nthe next rehearsal of {} takes it away",
                kubeconfig(&stage.environment, &desired).display(),
                desired.name
            );
        } else {
            remove_cluster(&stage.environment, &desired, self).await?;
            stage.strike()?;
        }
        outcome?;
        let mut open = unproven(&wanted, kubernetes.as_deref());
        if desired.launch.is_some() {
            open.push("W&B's side of Launch: its queues, the API key, and what an agent does".into());
        }
        let passed = acts.iter().all(|act| act.passed);
        let report = RehearsalReport {
            format: 1,
            blueprint: desired.name.clone(),
            provider: desired.wanted.cluster.provider.to_string(),
            unproven: open,
            kubernetes,
            faults: faults.iter().map(ToString::to_string).collect(),
            acts,
            passed,
        };
        match self.global.output {
            Output::Json => out(&serde_json::to_string_pretty(&report)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&report)?)),
            Output::Markdown => out(&rehearsal_markdown(&report)),
            Output::Human | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html => {
                out(&rehearsal_human(&report))
            }
        }
        Ok(if passed { Exit::Done } else { Exit::Failed })
    }
}

/// A rehearsal under way.
struct Play<'a> {
    session: &'a Session<'a>,
    stage: Stage,
    desired: &'a Desired,
    acts: Vec<Act>,
    /// The version that was played, known once the cluster is there.
    kubernetes: Option<String>,
}

impl Play<'_> {
    /// Every act, in order; one that fails ends the play where the next would mean nothing.
    async fn all(&mut self, faults: &[Fault]) -> Result<(), Failure> {
        let planned = self.stage.play("plan", PLAN).await?;
        let changes = planned.document["changes"].as_array().map_or(0, Vec::len);
        if !self.judge("plan", &planned, Some(0), format!("{changes} changes, nothing is there yet"), Vec::new()) {
            return Ok(());
        }
        if !self.apply(faults).await? {
            return Ok(());
        }
        self.kubernetes = self.version().await;
        let again = self.stage.play("plan-again", PLAN_AGAIN).await?;
        let left = names(&again.document["changes"], "target");
        self.judge("plan again", &again, Some(0), "nothing is left to do".into(), left);
        self.verify("verify").await?;
        self.drift(faults).await?;
        let gone = self.stage.play("destroy", DESTROY).await?;
        let left: Vec<String> = strings(&gone.document["left"]);
        let clean = left.is_empty();
        if self.judge("destroy", &gone, Some(0), "everything is gone, nothing is left".into(), left) && !clean {
            self.fail_last("something is left");
        }
        Ok(())
    }

    /// Applies, through every fault that was asked for, until it is done.
    async fn apply(&mut self, faults: &[Fault]) -> Result<bool, Failure> {
        for fault in faults {
            if let Fault::KillAfter { step } = fault {
                let (ended, killed) = self.stage.play_until_killed("apply-killed", APPLY, step).await?;
                let done = if killed {
                    format!("killed with SIGKILL after a step with {step:?} in its name was done")
                } else {
                    format!("it ended without a step with {step:?} in its name: name one that `plan` prints")
                };
                self.push("apply, killed", &ended, killed, done, Vec::new());
                if !killed {
                    return Ok(false);
                }
            }
        }
        for fault in faults {
            if let Fault::Stockout { pool } = fault {
                if self.stage.environment.rehearsal.as_ref().is_some_and(|plot| plot.has_happened(fault)) {
                    // In the apply that was killed: nobody was there to report it.
                    continue;
                }
                let ended = self.stage.play("apply-stockout", APPLY).await?;
                let failed = names(&ended.document["failed"], "step");
                let named = failed.iter().any(|step| step.contains(&format!("node pool {pool}")));
                let done = strings(&ended.document["done"]).len();
                let blocked = ended.document["blocked"].as_array().map_or(0, Vec::len);
                let text = format!("stopped with node pool {pool}; {done} steps done, {blocked} waiting for it");
                if self.judge("apply, stock-out", &ended, Some(4), text, failed) && !named {
                    self.fail_last(&format!("the report does not name node pool {pool}"));
                }
            }
        }
        let ended = self.stage.play("apply", APPLY).await?;
        let done = strings(&ended.document["done"]).len();
        let failed = names(&ended.document["failed"], "step");
        Ok(self.judge("apply", &ended, Some(0), format!("{done} steps done, planned again: nothing to do"), failed))
    }

    async fn verify(&mut self, name: &str) -> Result<(), Failure> {
        let ended = self.stage.play("verify", VERIFY).await?;
        let summary = &ended.document["summary"];
        let count = |word: &str| summary[word].as_u64().unwrap_or(0);
        let open = count("inconclusive") + count("skipped");
        let text = format!("{} checks pass, {} fail, {open} stay open", count("passed"), count("failed"));
        let mut details: Vec<String> = Vec::new();
        for check in ended.document["checks"].as_array().into_iter().flatten() {
            let outcome =
                check["outcome"].as_str().or_else(|| check["outcome"]["outcome"].as_str()).unwrap_or_default();
            if !matches!(outcome, "pass" | "passed" | "") {
                let why = check["reason"].as_str().or_else(|| check["message"].as_str()).unwrap_or_default();
                details.push(format!("{outcome}: {} {why}", check["id"].as_str().unwrap_or_default()));
            }
        }
        // What cannot be proven on simulated nodes stays open (6); that is no failure of the platform.
        let expected = if ended.code == Some(6) { 6 } else { 0 };
        self.judge(name, &ended, Some(expected), text, details);
        Ok(())
    }

    /// Changes things by hand, and sees that drift finds each of them and that an apply mends them.
    async fn drift(&mut self, faults: &[Fault]) -> Result<(), Failure> {
        let begun = Instant::now();
        let connection = self.connection().await?;
        let mut planted = by_hand::change(&connection, self.desired).await?;
        if faults.contains(&Fault::SpotReclaim) {
            planted.extend(by_hand::reclaim_spot(&connection, self.desired).await?);
        }
        let what: Vec<String> = planted.iter().map(|planted| planted.what.clone()).collect();
        if planted.is_empty() {
            self.acts.push(Act {
                name: "change by hand".into(),
                seconds: begun.elapsed().as_secs_f64(),
                passed: true,
                ended: "the blueprint has nothing that could be changed by hand without harm: drift is not rehearsed"
                    .into(),
                details: Vec::new(),
            });
            return Ok(());
        }
        let ended = self.stage.play("drift", DRIFT).await?;
        let items = ended.document["items"].as_array().cloned().unwrap_or_default();
        let missed: Vec<String> =
            planted.iter().filter(|planted| !is_found(planted, &items)).map(|planted| planted.what.clone()).collect();
        let text = format!("{} things changed by hand, {} found", planted.len(), planted.len() - missed.len());
        if self.judge("drift", &ended, Some(3), text, what) && !missed.is_empty() {
            self.fail_last(&format!("drift did not find: {}", missed.join("; ")));
        }
        let mended = self.stage.play("apply-mend", APPLY).await?;
        let done = strings(&mended.document["done"]);
        self.judge("apply, mending", &mended, Some(0), format!("{} steps done", done.len()), Vec::new());
        let clean = self.stage.play("drift-again", DRIFT).await?;
        let items = names(&clean.document["items"], "object");
        self.judge("drift again", &clean, Some(0), "nothing has moved".into(), items);
        Ok(())
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        let provider = provider(&self.desired.wanted, &self.stage.environment, self.session.global)?;
        reach(&*provider, self.desired, self.session.global).await.map_err(|unreached| {
            Failure::from(anyhow::anyhow!("{}", unreached.why.0).context("reach the cluster of the rehearsal"))
        })
    }

    async fn version(&self) -> Option<String> {
        let provider = provider(&self.desired.wanted, &self.stage.environment, self.session.global).ok()?; // Said before.
        match provider.observe(&self.desired.wanted).await.cluster {
            Seen::Present(cluster) => cluster.version,
            Seen::Absent | Seen::Unknown(_) => None,
        }
    }

    /// Notes an act; `true`: it ended with the exit code that was expected.
    fn judge(&mut self, name: &str, ended: &Ended, expected: Option<i32>, text: String, details: Vec<String>) -> bool {
        let passed = ended.code == expected;
        if passed {
            self.push(name, ended, true, text, details);
        } else {
            let code = ended.code.map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"));
            let wanted = expected.map_or_else(|| "killed".to_owned(), |code| code.to_string());
            let text = format!("{code}, expected {wanted}");
            let details = details.into_iter().chain(ended.told.iter().cloned()).collect();
            self.push(name, ended, false, text, details);
        }
        passed
    }

    fn push(&mut self, name: &str, ended: &Ended, passed: bool, text: String, details: Vec<String>) {
        let act = Act { name: name.into(), seconds: ended.took.as_secs_f64(), passed, ended: text, details };
        if !self.session.global.quiet && self.session.global.output != Output::Human {
            anstream::eprintln!("{}", act_line(&act));
        }
        self.acts.push(act);
    }

    fn fail_last(&mut self, why: &str) {
        if let Some(act) = self.acts.last_mut() {
            act.passed = false;
            act.ended = why.to_owned();
        }
    }
}

/// Whether drift names the thing, what became of it, and who did it where the server knows.
fn is_found(planted: &Planted, items: &[Value]) -> bool {
    items.iter().any(|item| {
        item["object"] == planted.object.as_str()
            && (planted.kind.is_empty() || item["kind"] == planted.kind)
            && (planted.kind != "changed" || item["manager"] == HAND)
    })
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A fault about something that the blueprint does not have would never happen.
fn check_faults(faults: &[Fault], desired: &Desired) -> Result<(), Failure> {
    for fault in faults {
        match fault {
            Fault::Stockout { pool } if !desired.wanted.pools.contains_key(pool) => {
                let pools: Vec<&str> = desired.wanted.pools.keys().map(String::as_str).collect();
                return Err(Failure::usage(format!(
                    "--fault {fault}: there is no pool {pool}; there is {}",
                    pools.join(", ")
                )));
            }
            Fault::SpotReclaim
                if desired.wanted.pools.values().all(|pool| pool.capacity != wbk_provider_api::Capacity::Spot) =>
            {
                return Err(Failure::usage(format!("--fault {fault}: the blueprint has no spot pool")));
            }
            Fault::Stockout { .. } | Fault::SpotReclaim | Fault::Throttle | Fault::KillAfter { .. } => {}
        }
    }
    Ok(())
}

/// What an operator would make is not there: its controller is a program, and simulated nodes run none.
fn check_operators(desired: &Desired) -> Result<(), Failure> {
    for (pool, gpus) in &desired.gpus {
        let (who, hint) = match gpus.advertiser {
            Advertiser::GpuOperator => ("the GPU Operator", "`gpu.operator: false`"),
            Advertiser::IntelPlugin => ("Intel's operator", "`gpu.plugin: none`"),
            Advertiser::Platform { .. }
            | Advertiser::NvidiaPlugin
            | Advertiser::AmdPlugin
            | Advertiser::StandIn
            | Advertiser::FakePlugin
            | Advertiser::None { .. } => continue,
        };
        return Err(Failure::usage(format!(
            "pool {pool}: {who} makes the device plugin, and on simulated nodes it does not run; rehearse with an overlay that \
             says {hint}"
        )));
    }
    Ok(())
}

fn kubeconfig(environment: &Environment, desired: &Desired) -> PathBuf {
    environment.state.join("clusters").join(&desired.wanted.cluster.name).join("kubeconfig")
}

/// Takes away what an earlier rehearsal of the blueprint left: it was killed, or asked to keep it.
async fn clear(folder: &Path, desired: &Desired, session: &Session<'_>) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    let mut environment = session.environment.clone();
    environment.state = folder.join("state").join("wbk-infra");
    remove_cluster(&environment, desired, session).await?;
    std::fs::remove_dir_all(folder)
        .map_err(|error| Failure::from(anyhow::Error::new(error).context(format!("remove {}", folder.display()))))
}

/// Ends the control plane that played the cluster, whatever became of the play.
async fn remove_cluster(environment: &Environment, desired: &Desired, session: &Session<'_>) -> Result<(), Failure> {
    let local = LocalProvider::new(local_settings(environment, session.global));
    let name = &desired.wanted.cluster.name;
    let there = local.clusters().status(name).map_err(anyhow::Error::new)?.is_some();
    if there {
        local.clusters().delete(name, &|_| {}).await.map_err(anyhow::Error::new)?;
    }
    Ok(())
}

fn interrupted(signal: std::io::Result<()>) -> Failure {
    match signal {
        Ok(()) => Failure { error: anyhow::anyhow!("interrupted"), hint: None, exit: Exit::Interrupted },
        Err(error) => Failure::from(anyhow::Error::new(error).context("listen for an interrupt")),
    }
}
