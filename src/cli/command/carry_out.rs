//! Carries out a plan: asks, runs it under journal and lease, remembers, and tells what became of it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use wbk_provider_api::ProviderKind;

use super::{interrupt::stop_on_interrupt, session::Session};
use crate::{
    cli::{
        failure::{Exit, Failure},
        releases::find_helm,
        show::{Mood, Progress, paint, plan_human},
        situation::{Situation, memory_path},
    },
    execute::{
        Event, Execution, HelmRunner, Holder, Journal, Limits, PlatformActuator, WandbRunner, end_orphans, execute,
    },
    id::Digest,
    plan::{Action, Plan, Target},
};

impl Session<'_> {
    /// Whether the user agrees: asked where somebody can answer, and where the plan costs or disturbs anybody.
    pub(super) fn agreed(&self, plan: &Plan, yes: bool, simulated: bool) -> Result<bool, Failure> {
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
    pub(super) async fn carry_out(
        &self,
        made: &Plan,
        digest: &Digest,
        saved: Option<Digest>,
        situation: Situation,
        adopt: Vec<String>,
    ) -> Result<Execution, Failure> {
        let journal_path = self.environment.state.join("journal").join(journal_name(made));
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
        let has_releases = made.steps.iter().any(|step| matches!(step.target, Target::Release(_)));
        let helm = match situation.charts {
            Some(charts) => Some((charts.helm, charts.objects)),
            // A blueprint that lost its last chart names none, and what is installed of it must go all the same.
            None if has_releases => {
                let say = |line: &str| progress.say(line);
                Some((find_helm(self.environment, self.global, &say).await?, BTreeMap::new()))
            }
            None => None,
        };
        let runner = helm.map(|(helm, objects)| {
            let folder = self.environment.state.join("helm");
            HelmRunner::new((helm, folder), &*situation.provider, made, adopt.into_iter().collect(), objects)
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
        let queues = WandbRunner::new(&situation.values, self.environment.proxies());
        if made.steps.iter().any(|step| matches!(step.target, Target::Queue(_))) {
            actuator = actuator.with_queues(&queues);
        }
        let is_saved = saved.is_some();
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
        if is_saved {
            // Only what the plan touches was looked at: what is known of the rest stays known.
            for (key, known) in &situation.before.objects {
                memory.objects.entry(key.clone()).or_insert_with(|| known.clone());
            }
        }
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
    pub(super) fn report_execution(&self, execution: &Execution) -> Option<Exit> {
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

/// One journal for each blueprint and cluster: two clusters may have blueprints of one name. A cluster that is yet to be made
/// is known by its name, one that was there before by its uid.
fn journal_name(plan: &Plan) -> String {
    let cluster = match (&plan.wanted.cluster.provider, &plan.world) {
        (ProviderKind::Existing, Some(world)) => &world.uid,
        _ => &plan.wanted.cluster.name,
    };
    let safe = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
    };
    format!("{}@{}.jsonl", safe(&plan.blueprint), safe(cluster))
}
