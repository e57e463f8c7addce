//! The commands that read or change a platform: each reads from top to bottom as what it does.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::{
    args::{BlueprintArgs, CheckArgs, Conflicts, DecisionArgs, Global, Output},
    environment::Environment,
    failure::{Exit, Failure},
    show::{ApplyReport, Mood, Progress, paint, plan_human, plan_json, plan_markdown},
    situation::{self, Purpose, Situation, additions, files, look, memory_path, read},
};
use crate::{
    desired::{ConflictChoice, Desired},
    drift::{self, DriftReport, Surroundings},
    execute::{Event, Execution, HelmRunner, Holder, Journal, Limits, PlatformActuator, Stop, end_orphans, execute},
    id::Digest,
    live::ClusterState,
    plan::{Action, Plan, PlanOptions, SavedPlan, Target, destroy, plan},
    verify::{self, CheckContext, Nodes, Suite, VerifyOptions},
};

/// What every command is given.
pub struct Session<'a> {
    /// The process's environment.
    pub environment: &'a Environment,
    /// Global options.
    pub global: &'a Global,
}

/// Where results go.
pub fn out(text: &str) {
    let text = text.strip_suffix('\n').unwrap_or(text);
    anstream::println!("{text}");
}

fn options(decisions: &DecisionArgs, situation: &Situation) -> PlanOptions {
    PlanOptions {
        holding: situation.holding.clone(),
        adopt: decisions.adopt.iter().cloned().collect(),
        delete: decisions.delete.iter().cloned().collect(),
        conflicts: decisions.conflicts.map(|choice| match choice {
            Conflicts::Mend => ConflictChoice::Mend,
            Conflicts::Take => ConflictChoice::Take,
            Conflicts::Yield => ConflictChoice::Yield,
            Conflicts::Stop => ConflictChoice::Stop,
        }),
    }
}

impl Session<'_> {
    fn say(&self) -> impl Fn(&str) + Sync + Send {
        let quiet = self.global.quiet;
        let last = std::sync::Mutex::new(String::new());
        move |line: &str| {
            let mut last = last.lock().expect("no holder of this lock panics");
            if !quiet && *last != line {
                anstream::eprintln!("{line}");
                last.clear();
                last.push_str(line);
            }
        }
    }

    async fn look(&self, desired: &Desired, purpose: Purpose) -> Result<Situation, Failure> {
        let situation = look(desired, self.environment, self.global, purpose, &self.say()).await?;
        if let Some(warning) = situation.remember() {
            anstream::eprintln!("{warning}");
        }
        // Where not even the provider can do anything about it, there is nothing to plan and nothing to compare.
        if let ClusterState::Unknown(why) = &situation.sight.live.cluster
            && situation.operations.is_empty()
        {
            let error = anyhow::anyhow!("{}", why.0).context(format!("look at the cluster of {}", desired.name));
            return Err(Failure { error, hint: situation.hint, exit: Exit::Failed });
        }
        Ok(situation)
    }

    fn show_plan(&self, plan: &Plan, simulated: bool) -> Result<(), Failure> {
        match self.global.output {
            Output::Human => out(&plan_human(plan, self.global.verbose, simulated)),
            Output::Json => out(&serde_json::to_string_pretty(&plan_json(plan, simulated))?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(plan_json(plan, simulated))?)),
            Output::Markdown => out(&plan_markdown(plan)),
            other @ (Output::Sarif | Output::Ctrf | Output::Junit) => return Err(unfit("plan", other)),
        }
        Ok(())
    }

    /// `plan`.
    pub async fn plan(
        &self,
        blueprint: &BlueprintArgs,
        decisions: &DecisionArgs,
        save: Option<&Path>,
        exit_code: bool,
    ) -> Result<Exit, Failure> {
        let files = files(blueprint)?;
        let desired = read(&files, self.environment)?;
        let situation = self.look(&desired, Purpose::Apply).await?;
        let made = plan(&desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
        self.show_plan(&made, situation.simulated(&desired))?;
        let pending = !made.is_empty();
        let blocked = made.is_blocked();
        if let Some(path) = save {
            let adopt = decisions.adopt.clone();
            let saved = SavedPlan::new(made, &blueprint_digests(&files)?, adopt);
            std::fs::write(path, saved.to_bytes()).with_context(|| format!("save the plan to {}", path.display()))?;
            if !self.global.quiet {
                anstream::eprintln!("saved as {}: apply it with `wbk-infra apply {}`", path.display(), path.display());
            }
        }
        Ok(if exit_code && (pending || blocked) { Exit::Pending } else { Exit::Done })
    }

    /// `apply`.
    pub async fn apply(
        &self,
        blueprint: &BlueprintArgs,
        decisions: &DecisionArgs,
        checks: &CheckArgs,
        yes: bool,
        verify: bool,
    ) -> Result<Exit, Failure> {
        if self.global.output == Output::Sarif {
            return Err(unfit("apply", self.global.output));
        }
        let files = files(blueprint)?;
        if let [file] = files.as_slice()
            && let Some(saved) = saved_plan(file)?
        {
            return self.apply_saved(saved, checks, verify).await;
        }
        let desired = read(&files, self.environment)?;
        let mut before = Vec::new();
        let report = loop {
            let situation = self.look(&desired, Purpose::Apply).await?;
            let made = plan(&desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
            let simulated = situation.simulated(&desired);
            if self.global.output == Output::Human && !self.global.quiet {
                self.show_plan(&made, simulated)?;
            }
            if !made.is_empty() && !self.agreed(&made, yes, simulated)? {
                anstream::eprintln!("nothing was changed");
                return Ok(Exit::Done);
            }
            let digest = SavedPlan::new(made.clone(), &[], Vec::new()).digest;
            let execution = self.carry_out(&made, &digest, None, situation, decisions.adopt.clone()).await?;
            let stopped = self.report_execution(&execution);
            let mut report = ApplyReport::new(&made, simulated, &execution);
            report.done.splice(0..0, before.iter().cloned());
            if let Some(exit) = stopped {
                self.show_report(&report)?;
                return Ok(exit);
            }
            // Of a cluster that did not run nothing could be seen: what was left out is planned now that it runs.
            if before.is_empty() && starts_cluster(&made) {
                before = report.done;
                continue;
            }
            break report;
        };
        self.finish(&desired, decisions, (checks, verify), report).await
    }

    /// One document for programs; people were told while it happened.
    fn show_report(&self, report: &ApplyReport) -> Result<(), Failure> {
        match self.global.output {
            Output::Json => out(&serde_json::to_string_pretty(report)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(report)?)),
            Output::Human | Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit => {}
        }
        Ok(())
    }

    /// After an apply: nothing is left to do, and the promises hold.
    async fn finish(
        &self,
        desired: &Desired,
        decisions: &DecisionArgs,
        (checks, verify): (&CheckArgs, bool),
        mut report: ApplyReport,
    ) -> Result<Exit, Failure> {
        let situation = self.look(desired, Purpose::Apply).await?;
        if let ClusterState::Reached(world) = &situation.sight.live.cluster {
            situation::pin(desired, self.environment, world)?;
        }
        let again = plan(desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
        if !again.is_empty() || again.is_blocked() {
            anstream::eprintln!("{}", paint(Mood::Bad, "after the apply something is still to be done:"));
            anstream::eprintln!("{}", plan_human(&again, self.global.verbose, situation.simulated(desired)));
            report.remaining = Some(plan_json(&again, situation.simulated(desired)));
            self.show_report(&report)?;
            return Ok(Exit::Stopped);
        }
        if !self.global.quiet {
            anstream::eprintln!(
                "planned again: nothing to do, {} objects and releases are as they shall be",
                again.unchanged
            );
        }
        if !verify {
            self.show_report(&report)?;
            return Ok(Exit::Done);
        }
        let Some(connection) = &situation.connection else {
            return Err(Failure::from(anyhow::anyhow!("there is no cluster to verify")));
        };
        let checked = self.check(desired, connection, checks).await?;
        report.verification = Some(verify::json(&checked));
        self.show_report(&report)?;
        match self.global.output {
            Output::Json | Output::Yaml => Ok(exit_of(&checked)),
            Output::Human | Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit => {
                self.show_checks(&checked)
            }
        }
    }

    async fn apply_saved(&self, saved: SavedPlan, checks: &CheckArgs, verify: bool) -> Result<Exit, Failure> {
        let marker = self.environment.state.join("applied-plans").join(&saved.digest.0);
        if marker.exists() {
            return Err(Failure::hinted(
                anyhow::anyhow!("this plan was applied before"),
                "a plan is applied once; plan again",
            ));
        }
        let desired = saved.as_desired();
        let situation =
            self.look(&desired, if saved.plan.destroys { Purpose::Destroy } else { Purpose::Apply }).await?;
        if let (Some(world), ClusterState::Reached(now)) = (&saved.plan.world, &situation.sight.live.cluster)
            && world.uid != now.uid
        {
            let error = anyhow::anyhow!(
                "the plan was made for the cluster with uid {}, and the context {} leads to {}",
                world.uid,
                now.context,
                now.uid
            );
            return Err(Failure::hinted(error, "use the context that the plan was made for, or plan again"));
        }
        let made = saved.plan.clone();
        if self.global.output == Output::Human {
            self.show_plan(&made, situation.simulated(&desired))?;
        }
        if let Some(folder) = marker.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        }
        std::fs::write(&marker, "").with_context(|| format!("mark the plan as applied in {}", marker.display()))?;
        let digest = saved.digest.clone();
        let simulated = situation.simulated(&desired);
        let execution = self.carry_out(&made, &digest, Some(digest.clone()), situation, saved.adopt.clone()).await?;
        let report = ApplyReport::new(&made, simulated, &execution);
        if let Some(exit) = self.report_execution(&execution) {
            self.show_report(&report)?;
            return Ok(exit);
        }
        let files: Vec<std::path::PathBuf> = saved.blueprint_files.iter().map(|(name, _)| name.into()).collect();
        let unchanged = blueprint_digests(&files).is_ok_and(|now| now == saved.blueprint_files);
        if made.destroys {
            self.show_report(&report)?;
            return Ok(Exit::Done);
        }
        if !unchanged || files.is_empty() {
            anstream::eprintln!(
                "the blueprint's files are not those the plan was made from: not planned again and not verified"
            );
            self.show_report(&report)?;
            return Ok(Exit::Done);
        }
        let desired = read(&files, self.environment)?;
        self.finish(&desired, &DecisionArgs::default(), (checks, verify), report).await
    }

    /// Whether the user agrees: asked where somebody can answer, and where the plan costs or disturbs anybody.
    fn agreed(&self, plan: &Plan, yes: bool, simulated: bool) -> Result<bool, Failure> {
        let harmless = simulated
            && plan.steps.iter().all(|step| match step.action {
                Action::Create | Action::Start | Action::Update | Action::Adopt => true,
                Action::Replace | Action::Disown | Action::Delete => false,
            });
        if yes || harmless {
            return Ok(true);
        }
        if !self.environment.can_ask {
            return Err(Failure::usage("this plan needs a yes, and nobody can be asked here: add --yes"));
        }
        loop {
            anstream::eprint!("Do this? [yes/no/explain] ");
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).context("read the answer")?;
            match answer.trim() {
                "yes" | "y" => return Ok(true),
                "no" | "n" | "" => return Ok(false),
                "explain" | "e" => anstream::eprintln!("{}", plan_human(plan, true, simulated)),
                other => anstream::eprintln!("{other:?} is none of yes, no, explain"),
            }
        }
    }

    /// Runs a plan as far as it goes.
    async fn carry_out(
        &self,
        made: &Plan,
        digest: &Digest,
        saved: Option<Digest>,
        situation: Situation,
        adopt: Vec<String>,
    ) -> Result<Execution, Failure> {
        let journal_path = self.environment.state.join("journal").join(format!("{}.jsonl", made.blueprint));
        // An apply that was killed after its last step left a Lease and no work: an empty plan then only tidies.
        if made.is_empty() && (made.world.is_none() || !Journal::was_cut_off(&journal_path)) {
            return Ok(Execution::default());
        }
        let progress =
            Progress::new(made.steps.len(), self.environment.progress_terminal, self.global.quiet, self.global.verbose);
        let show = |event: Event| progress.show(&event);
        let limits =
            Limits { parallel: self.global.parallel, timeout: Duration::from_secs(self.global.request_timeout) };
        let holder = Holder::this_process(&self.environment.host);
        let runner = situation.charts.map(|charts| {
            HelmRunner::new(
                (charts.helm, self.environment.state.join("helm")),
                &*situation.provider,
                made,
                adopt.into_iter().collect(),
                charts.objects,
            )
        });
        let mut actuator = PlatformActuator::new(
            made,
            &*situation.provider,
            (&situation.values, situation.before.salt.clone()),
            limits,
            (holder, &show),
        );
        if let Some(connection) = situation.connection {
            actuator = actuator.with_cluster(connection.cluster, connection.discovery);
        }
        if let Some(runner) = &runner {
            actuator = actuator.with_releases(runner);
        }
        if let Some(digest) = saved {
            actuator = actuator.once(digest);
        }
        if made.world.is_some() {
            // Before anything is announced: another apply, or a server that went away, is one clear error.
            actuator.reach().await?;
            end_orphans(&self.environment.state.join("helm"), &|line| progress.say(&line)).await;
        }
        let stop = stop_on_interrupt();
        let begun = Journal::begin(&journal_path, digest, made.steps.len(), &jiff::Timestamp::now().to_string());
        let (journal, before) = match begun {
            Ok(begun) => begun,
            Err(error) => return Err(self.hand_back(&actuator, error).await),
        };
        if let Some(before) = before {
            progress.say(&unfinished_line(&before));
        }
        let fence = || actuator.may_write();
        let outcome = execute(made, digest, &actuator, (&journal, &show), (&fence, stop)).await;
        progress.finish();
        let execution = match outcome {
            Ok(execution) => execution,
            Err(error) => {
                let mut failure = self.hand_back(&actuator, error).await;
                // Steps that were under way were finished.
                failure.exit = Exit::Stopped;
                return Err(failure);
            }
        };
        let mut memory = situation.sight.memory.clone();
        for (key, value) in actuator.remembered() {
            match value {
                Some(value) => memory.objects.insert(key, value),
                None => memory.objects.remove(&key),
            };
        }
        let path = match situation.memory {
            Some(path) => Some(path),
            // The cluster came up on the way.
            None => match situation.provider.access(&made.wanted).await {
                Ok(access) => Some(memory_path(self.environment, &made.blueprint, &access)),
                Err(_) => None,
            },
        };
        if let Some(path) = path
            && let Err(error) = memory.save(&path)
        {
            anstream::eprintln!("warning: {error}: {}", error.source);
        }
        if let Err(error) = actuator.end(execution.is_complete()).await {
            anstream::eprintln!("warning: {}", error.line());
        }
        // Last: until here a kill leaves a journal that says so.
        if let Err(error) = journal.end(execution.is_complete()) {
            anstream::eprintln!("warning: {error}: {}", error.source);
        }
        Ok(execution)
    }

    /// The lease is not kept by an apply that cannot go on.
    async fn hand_back(&self, actuator: &PlatformActuator<'_>, error: crate::execute::JournalError) -> Failure {
        if let Err(error) = actuator.end(false).await {
            anstream::eprintln!("warning: {}", error.line());
        }
        Failure::hinted(error, "free some space there, or set XDG_STATE_HOME to another folder, and apply again")
    }

    /// Tells what became of a plan. `None`: every step is done. Otherwise the exit code of a stop, with what is left named.
    fn report_execution(&self, execution: &Execution) -> Option<Exit> {
        if execution.is_complete() {
            if !self.global.quiet && !execution.done.is_empty() {
                anstream::eprintln!("{} {} steps", paint(Mood::Good, "done:"), execution.done.len());
            }
            return None;
        }
        anstream::eprintln!(
            "{} {} done, {} failed, {} blocked, {} let go; apply again to finish",
            paint(Mood::Bad, "stopped:"),
            execution.done.len(),
            execution.failed.len(),
            execution.blocked.len(),
            execution.abandoned.len()
        );
        for (step, error) in &execution.failed {
            let left = match error.left {
                wbk_provider_api::LeftBehind::Nothing => "left nothing behind",
                wbk_provider_api::LeftBehind::Partial => "is partly there",
                wbk_provider_api::LeftBehind::Unknown => "may be there or not",
            };
            anstream::eprintln!("  left: {step} {left}");
        }
        for step in &execution.abandoned {
            anstream::eprintln!("  left: {step} was let go while it ran");
        }
        Some(if execution.interrupted { Exit::Interrupted } else { Exit::Stopped })
    }

    /// `verify`.
    pub async fn verify(&self, blueprint: &BlueprintArgs, checks: &CheckArgs, list: bool) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        if list {
            for id in suite(&desired, checks)?.ids() {
                out(id.as_str());
            }
            return Ok(Exit::Done);
        }
        let provider = situation::provider(&desired, self.environment, self.global)?;
        let connection = situation::reach(&*provider, &desired, self.global).await.map_err(|unreached| {
            let error =
                anyhow::anyhow!("{}", unreached.why.0).context(format!("reach the cluster of {}", desired.name));
            let hint = unreached.hint.or_else(|| Some("start it, or apply the blueprint first".into()));
            Failure { error, hint, exit: Exit::Inconclusive }
        })?;
        let report = self.check(&desired, &connection, checks).await?;
        self.show_checks(&report)
    }

    async fn check(
        &self,
        desired: &Desired,
        connection: &situation::Connection,
        checks: &CheckArgs,
    ) -> Result<verify::Report, Failure> {
        let suite = suite(desired, checks)?;
        let nodes = if connection.access.simulated_nodes { Nodes::Simulated } else { Nodes::Real };
        let clock: verify::Clock = Arc::new(jiff::Timestamp::now);
        let context = CheckContext::new(
            connection.cluster.client().clone(),
            Arc::new(desired.clone()),
            nodes,
            VerifyOptions::default(),
            clock,
        );
        let (sender, receiver) = watch::channel(false);
        let mut interrupts = stop_on_interrupt();
        let watcher = tokio::spawn(async move {
            while interrupts.changed().await.is_ok() {
                sender.send_replace(true);
            }
            // The sender lives as long as nobody interrupts.
            std::future::pending::<()>().await;
            drop(sender);
        });
        let report = suite.run(&context, None, receiver).await;
        watcher.abort();
        Ok(report)
    }

    fn show_checks(&self, report: &verify::Report) -> Result<Exit, Failure> {
        match self.global.output {
            Output::Human => out(&verify::human(report)),
            Output::Json => out(&serde_json::to_string_pretty(&verify::json(report))?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&verify::json(report))),
            Output::Markdown => out(&verify::markdown(report)),
            Output::Ctrf => out(&serde_json::to_string_pretty(&verify::ctrf(report))?),
            Output::Junit => out(&verify::junit(report)?),
            other @ Output::Sarif => return Err(unfit("verify", other)),
        }
        Ok(exit_of(report))
    }

    /// `drift`.
    pub async fn drift(&self, blueprint: &BlueprintArgs, watch: bool, interval: u64) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        let mut stop = stop_on_interrupt();
        let mut known: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
        let mut first = true;
        loop {
            let (report, pending) = self.look_for_drift(&desired).await?;
            let exit = match report.exit_code() {
                0 => Exit::Done,
                6 => Exit::Inconclusive,
                _ => Exit::Pending,
            };
            if !watch {
                self.show_drift(&report)?;
                self.tell_pending(pending);
                return Ok(exit);
            }
            if first {
                self.show_drift(&report)?;
                self.tell_pending(pending);
            }
            let now: std::collections::BTreeSet<String> = report
                .items
                .iter()
                .map(|item| format!("{}: {} {}", item.object, item.what(), item.who_and_when()))
                .collect();
            if !first {
                let time = report.seen.strftime("%H:%M:%S");
                for line in now.difference(&known) {
                    out(&format!("{time} {} {line}", paint(Mood::Change, "moved ")));
                }
                for line in known.difference(&now) {
                    out(&format!("{time} {} {line}", paint(Mood::Good, "mended")));
                }
            }
            known = now;
            first = false;
            tokio::select! {
                _ = stop.changed() => return Ok(exit),
                () = tokio::time::sleep(Duration::from_secs(interval.max(1))) => {}
            }
        }
    }

    fn tell_pending(&self, pending: usize) {
        if pending > 0 && !self.global.quiet {
            anstream::eprintln!(
                "{pending} things are not yet as the blueprint now wants them; that is no drift: wbk-infra plan"
            );
        }
    }

    async fn look_for_drift(&self, desired: &Desired) -> Result<(DriftReport, usize), Failure> {
        let situation = self.look(desired, Purpose::Apply).await?;
        let additions = additions(&situation).await;
        let nothing_remembered = situation.before.objects.is_empty();
        let applied_before =
            |key: &crate::id::ObjectKey| nothing_remembered || situation.before.objects.contains_key(&key.to_string());
        let value_changed = |object: &crate::desired::DesiredObject| {
            let remembered = situation.before.objects.get(&object.id.key().to_string());
            remembered.is_some_and(|remembered| {
                remembered.values != situation.values.fingerprint(object, &situation.before.salt)
            })
        };
        let around = Surroundings {
            value_changed: &value_changed,
            metas: &situation.sight.metas,
            additions: &additions,
            applied_before: &applied_before,
            operations: &situation.operations,
        };
        let moved = drift::drift(desired, &situation.sight.live, &around);
        let report = DriftReport::new(&desired.name, jiff::Timestamp::now(), moved.items, moved.clean, moved.unseen);
        Ok((report, moved.pending))
    }

    fn show_drift(&self, report: &DriftReport) -> Result<(), Failure> {
        match self.global.output {
            Output::Human => out(&drift::human(report)),
            Output::Json => out(&serde_json::to_string_pretty(&drift::json(report))?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&drift::json(report))),
            Output::Markdown => out(&drift::markdown(report)),
            Output::Sarif => out(&serde_json::to_string_pretty(&drift::sarif(report))?),
            other @ (Output::Ctrf | Output::Junit) => return Err(unfit("drift", other)),
        }
        Ok(())
    }

    /// `destroy`.
    pub async fn destroy(
        &self,
        blueprint: &BlueprintArgs,
        decisions: &DecisionArgs,
        yes: bool,
    ) -> Result<Exit, Failure> {
        match self.global.output {
            Output::Human | Output::Json | Output::Yaml => {}
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => {
                return Err(unfit("destroy", other));
            }
        }
        let desired = read(&files(blueprint)?, self.environment)?;
        let desired = &desired;
        let situation = self.look(desired, Purpose::Destroy).await?;
        let made = destroy(desired, &situation.sight.live, &situation.operations, &options(decisions, &situation));
        let simulated = situation.simulated(desired);
        if self.global.output == Output::Human && !self.global.quiet {
            self.show_plan(&made, simulated)?;
        }
        if !made.is_empty() && !self.agreed(&made, yes, simulated)? {
            anstream::eprintln!("nothing was changed");
            return Ok(Exit::Done);
        }
        let digest = SavedPlan::new(made.clone(), &[], Vec::new()).digest;
        let memory = situation.memory.clone();
        let execution = self.carry_out(&made, &digest, None, situation, Vec::new()).await?;
        let mut report = ApplyReport::new(&made, simulated, &execution);
        if let Some(exit) = self.report_execution(&execution) {
            self.show_report(&report)?;
            return Ok(exit);
        }
        report.left = self.scan(desired, memory.as_deref()).await?;
        self.show_report(&report)?;
        Ok(Exit::Done)
    }

    /// What is left after a destroy.
    async fn scan(&self, desired: &Desired, memory: Option<&Path>) -> Result<Vec<String>, Failure> {
        let situation = look(desired, self.environment, self.global, Purpose::Destroy, &self.say()).await?;
        let everything = PlanOptions { delete: ["all".to_owned()].into(), ..PlanOptions::default() };
        let rest = destroy(desired, &situation.sight.live, &situation.operations, &everything);
        let mut left: Vec<String> = rest.steps.iter().map(|step| step.target.to_string()).collect();
        left.extend(rest.not_planned.iter().map(|entry| format!("{} ({})", entry.what, entry.reason)));
        if matches!(situation.sight.live.cluster, ClusterState::Absent) {
            left.extend(
                situation
                    .provider
                    .leftovers(&desired.wanted)
                    .await
                    .into_iter()
                    .map(|left| format!("{}: {}", left.what, left.hint)),
            );
        }
        if left.is_empty()
            && let Some(memory) = memory
            && let Err(error) = std::fs::remove_file(memory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            anstream::eprintln!("warning: remove {}: {error}", memory.display());
        }
        if self.global.output == Output::Human {
            if left.is_empty() {
                out("Left: nothing.");
            } else {
                out(&format!("Left, {} things:", left.len()));
                for line in &left {
                    out(&format!("  {line}"));
                }
            }
        }
        Ok(left)
    }

    /// `status`.
    pub async fn status(&self, blueprint: &BlueprintArgs) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        let situation = self.look(&desired, Purpose::Apply).await?;
        let made = plan(&desired, &situation.sight.live, &situation.operations, &PlanOptions::default());
        let pods = super::status::pods(&situation, &desired).await;
        let status = super::status::Status::of(&desired, &situation, &made, pods);
        match self.global.output {
            Output::Human => out(&status.human()),
            Output::Json => out(&serde_json::to_string_pretty(&status)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&status)?)),
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => {
                return Err(unfit("status", other));
            }
        }
        Ok(Exit::Done)
    }
}

fn unfinished_line(before: &crate::execute::Unfinished) -> String {
    match &before.damaged {
        Some(aside) => format!(
            "the journal of the last apply was edited or damaged and is now {}; nothing is lost: the cluster says what is there",
            aside.display()
        ),
        None => format!(
            "the apply of {} was cut off; {} steps were under way: this one finishes the work",
            before.since,
            before.started.len()
        ),
    }
}

/// The checks of a blueprint that were asked for.
fn suite(desired: &Desired, checks: &CheckArgs) -> Result<Suite, Failure> {
    Suite::derive(desired).narrow(&checks.only, &checks.skip).map_err(|error| Failure {
        error: error.into(),
        hint: None,
        exit: Exit::Usage,
    })
}

fn exit_of(report: &verify::Report) -> Exit {
    match report.verdict() {
        verify::Verdict::Pass => Exit::Done,
        verify::Verdict::Fail => Exit::CheckFailed,
        verify::Verdict::Inconclusive => Exit::Inconclusive,
    }
}

fn starts_cluster(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.action == Action::Start && matches!(step.target, Target::Cluster(_)))
}

/// A usage error for a format that a command does not have.
pub fn unfit(command: &str, output: Output) -> Failure {
    Failure::usage(format!("{command} has no output {}", format!("{output:?}").to_lowercase()))
}

/// The saved plan in a file, where it is one.
fn saved_plan(path: &Path) -> Result<Option<SavedPlan>, Failure> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    // A plan is JSON with a mark; a blueprint may be JSON too, but has no such mark.
    let looks_like_one = bytes.first() == Some(&b'{')
        && String::from_utf8_lossy(&bytes[..bytes.len().min(100_000)]).contains("wbk-infra-plan")
        || String::from_utf8_lossy(&bytes).contains("\"kind\": \"wbk-infra-plan\"");
    if !looks_like_one {
        return Ok(None);
    }
    let saved = SavedPlan::from_bytes(&bytes).with_context(|| format!("use the plan {}", path.display()))?;
    Ok(Some(saved))
}

/// Names and digests of a blueprint's files.
fn blueprint_digests(files: &[std::path::PathBuf]) -> Result<Vec<(String, Digest)>, Failure> {
    files
        .iter()
        .map(|file| {
            let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            Ok((file.display().to_string(), Digest::of_bytes(&bytes)))
        })
        .collect()
}

/// Ctrl-C once: finish what runs. Twice: stop now. Whoever signals after this returned is heard.
pub fn stop_on_interrupt() -> watch::Receiver<Stop> {
    let (sender, receiver) = watch::channel(Stop::No);
    // A signal that cannot be listened to keeps what it does by itself: it ends this process.
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut terminate = signal(SignalKind::terminate()).ok();
    tokio::spawn(async move {
        for next in [Stop::Finish, Stop::Now] {
            tokio::select! {
                () = heard(&mut interrupt) => {}
                () = heard(&mut terminate) => {}
            }
            if sender.send(next).is_err() {
                return;
            }
        }
        // Keeps the channel open: a closed one would read as a stop.
        sender.closed().await;
    });
    receiver
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
