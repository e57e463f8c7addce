//! `fleet`: one command for many clusters. Each cluster's part is this program's own command in a process of its own, which
//! plans, applies and looks as it does when a person calls it (docs/design/0010-fleet.md).

mod crew;
mod member;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::{
    interrupt::stop_on_interrupt,
    session::{Session, out, unfit},
};
use crate::blueprint::{DiskFiles, FleetEntry, Problems, Severity, Source, load_fleet};
use crate::cli::{
    args::{FleetArgs, FleetCommand, Output},
    failure::{Exit, Failure},
    show::{FleetReport, FleetState, Member, fleet_human, fleet_markdown},
    situation::{problems_failure, today},
};
use crew::{Crew, Job};
use member::{Asked, member};

/// How often an apply plans: a cluster that does not run shows what is in it only once it was started.
const ROUNDS: usize = 2;

/// What an apply may do without asking, and after it.
#[derive(Clone, Copy)]
struct Consent {
    yes: bool,
    verify: bool,
}

impl Session<'_> {
    /// `fleet …`.
    pub async fn fleet(&self, command: &FleetCommand) -> Result<Exit, Failure> {
        let (args, asked) = match command {
            FleetCommand::Plan { fleet, .. } => (fleet, Asked::Plan),
            FleetCommand::Apply { fleet, .. } => (fleet, Asked::Apply),
            FleetCommand::Drift { fleet } => (fleet, Asked::Drift),
            FleetCommand::Status { fleet } => (fleet, Asked::Status),
            FleetCommand::Verify { fleet } => (fleet, Asked::Verify),
            FleetCommand::Cost { fleet } => (fleet, Asked::Cost),
        };
        match self.global.output {
            Output::Human | Output::Json | Output::Yaml | Output::Markdown => {}
            other => return Err(unfit(&format!("fleet {}", asked.name()), other)),
        }
        if self.global.context.is_some() {
            return Err(Failure::usage(
                "--context would lead every cluster of the fleet to one: write `context:` for each of them in the fleet file",
            ));
        }
        let (name, entries) = chosen(args)?;
        let stop = stop_on_interrupt();
        let mut folder = self.environment.state.join("fleets").join(&name).join(asked.name());
        if let Some(part) = args.part {
            // Parts are several commands at once, each with files of its own.
            folder.push(format!("part-{}-of-{}", part.index, part.of));
        }
        let crew = Crew::gather(self, folder, stop, (args.parallel_clusters, args.timeout))?;
        let markdown = args.markdown.clone();
        let fleet = Fleet { session: self, name, entries, asked, begun: Instant::now(), crew, markdown };
        match command {
            FleetCommand::Plan { exit_code, .. } => {
                let members = fleet.plan(&fleet.entries).await;
                let exit = worst(asked, &members);
                let exit = if exit == Exit::Pending && !exit_code { Exit::Done } else { exit };
                fleet.show(members, exit)
            }
            FleetCommand::Apply { yes, no_verify, .. } => {
                let consent = Consent { yes: *yes, verify: !no_verify };
                match fleet.apply(consent).await? {
                    Some(members) => {
                        let exit = worst(asked, &members);
                        fleet.show(members, exit)
                    }
                    None => {
                        anstream::eprintln!("nothing was changed");
                        Ok(Exit::Done)
                    }
                }
            }
            FleetCommand::Drift { .. }
            | FleetCommand::Status { .. }
            | FleetCommand::Verify { .. }
            | FleetCommand::Cost { .. } => {
                let members = fleet.look(&fleet.entries, asked).await;
                let exit = worst(asked, &members);
                fleet.show(members, exit)
            }
        }
    }
}

/// The fleet's name and the clusters that were asked for; all of their blueprints are without an error.
fn chosen(args: &FleetArgs) -> Result<(String, Vec<FleetEntry>), Failure> {
    let path = args.fleet.display().to_string();
    let text = std::fs::read_to_string(&args.fleet).with_context(|| format!("read the fleet {path}"))?;
    let loaded = load_fleet(&Source { name: path.clone(), text }).map_err(|found| problems_failure("fleet", &found))?;
    let mut entries = loaded.entries();
    for (option, names) in [("--only", &args.only), ("--skip", &args.skip)] {
        for name in names {
            if !entries.iter().any(|entry| entry.name == *name) {
                let there: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
                let there = there.join(", ");
                return Err(Failure::usage(format!("{option} {name}: {path} has no such cluster; it has {there}")));
            }
        }
    }
    entries
        .retain(|entry| (args.only.is_empty() || args.only.contains(&entry.name)) && !args.skip.contains(&entry.name));
    if entries.is_empty() {
        return Err(Failure::usage("--only and --skip leave no cluster"));
    }
    if let Some(part) = args.part {
        let mut place = 0..;
        entries.retain(|_| place.next().is_some_and(|place| part.has(place)));
    }
    let problems = loaded.lint(&DiskFiles, today(), &|name| entries.iter().any(|entry| entry.name == name));
    if problems.has_errors() {
        // What only deserves a look is for `lint`.
        let errors = problems.into_vec().into_iter().filter(|problem| problem.severity == Severity::Error).collect();
        return Err(problems_failure("fleet", &Problems::new(errors)));
    }
    Ok((loaded.fleet.metadata.name, entries))
}

/// A fleet's command under way.
struct Fleet<'a> {
    session: &'a Session<'a>,
    name: String,
    entries: Vec<FleetEntry>,
    asked: Asked,
    begun: Instant,
    crew: Crew<'a>,
    markdown: Option<PathBuf>,
}

impl Fleet<'_> {
    /// Plans each; the plans are saved beside the outputs.
    async fn plan(&self, entries: &[FleetEntry]) -> Vec<Member> {
        let jobs = entries.iter().map(|entry| {
            let saved = self.crew.file(&entry.name, "plan");
            // A plan of an earlier run shall not be taken for one of this.
            let _ = std::fs::remove_file(&saved);
            let mut arguments = arguments("plan", entry);
            arguments.extend(["--exit-code".into(), "--out".into(), saved.into()]);
            Job { name: entry.name.clone(), what: "plan", arguments }
        });
        let ended = self.crew.run(jobs.collect()).await;
        let mut members: Vec<Member> =
            entries.iter().zip(ended).map(|(entry, ended)| member(entry, Asked::Plan, ended)).collect();
        refuse_one_cluster_twice(&mut members);
        members
    }

    /// Runs a command that changes nothing.
    async fn look(&self, entries: &[FleetEntry], asked: Asked) -> Vec<Member> {
        let jobs = entries.iter().map(|entry| Job {
            name: entry.name.clone(),
            what: asked.name(),
            arguments: arguments(asked.name(), entry),
        });
        let ended = self.crew.run(jobs.collect()).await;
        entries.iter().zip(ended).map(|(entry, ended)| member(entry, asked, ended)).collect()
    }

    /// Plans, asks, applies what was planned. `None`: the user said no.
    async fn apply(&self, consent: Consent) -> Result<Option<Vec<Member>>, Failure> {
        let mut members: Vec<Option<Member>> = self.entries.iter().map(|_| None).collect();
        let mut round: Vec<usize> = (0..self.entries.len()).collect();
        for number in 0..ROUNDS {
            let entries: Vec<FleetEntry> = round.iter().map(|index| self.entries[*index].clone()).collect();
            let plans = self.plan(&entries).await;
            if !(self.session.global.quiet && consent.yes) {
                let report = self.report(plans.clone(), Asked::Plan, worst(Asked::Plan, &plans));
                anstream::eprint!("{}", fleet_human(&report));
            }
            let ready: Vec<usize> = (0..plans.len())
                .filter(|at| matches!(plans[*at].state, FleetState::Done | FleetState::Pending))
                .collect();
            let goes_on = !self.crew.is_stopped();
            let agreed = goes_on && !ready.is_empty() && self.agreed(&plans, consent).await?;
            if !agreed && number == 0 && goes_on && !ready.is_empty() && !self.crew.is_stopped() {
                return Ok(None);
            }
            if !agreed {
                for (index, mut plan) in round.iter().zip(plans) {
                    if number == 0 {
                        if matches!(plan.state, FleetState::Done | FleetState::Pending) {
                            plan.state = FleetState::NotStarted;
                            plan.ended = format!("only planned: {}", plan.ended);
                        }
                        members[*index] = Some(plan);
                    }
                }
                break;
            }
            let jobs = ready.iter().map(|at| {
                let entry = &entries[*at];
                let mut arguments: Vec<OsString> = vec!["apply".into(), self.crew.file(&entry.name, "plan").into()];
                arguments.extend(["-o".into(), "json".into(), "--yes".into()]);
                arguments.extend(context(entry));
                if !consent.verify {
                    arguments.push("--no-verify".into());
                }
                Job { name: entry.name.clone(), what: "apply", arguments }
            });
            let ended = self.crew.run(jobs.collect()).await;
            let mut again = Vec::new();
            let mut applied = ready.iter().zip(ended);
            let mut next = applied.next();
            for (at, plan) in plans.into_iter().enumerate() {
                let index = round[at];
                let mut found = match next {
                    Some((ready, ended)) if *ready == at => {
                        next = applied.next();
                        let found = member(&entries[at], Asked::Apply, ended);
                        if was_only_started(&plan.report, &found) {
                            again.push(index);
                        }
                        Member { seconds: found.seconds + plan.seconds, ..found }
                    }
                    other => {
                        next = other;
                        plan
                    }
                };
                if let Some(before) = &members[index] {
                    found.seconds += before.seconds;
                }
                members[index] = Some(found);
            }
            round = again;
            if round.is_empty() {
                break;
            }
        }
        Ok(Some(members.into_iter().flatten().collect()))
    }

    /// Whether the user agrees to all plans: asked once, where somebody can answer, and where one of them costs or disturbs
    /// anybody, as a single apply asks.
    async fn agreed(&self, plans: &[Member], consent: Consent) -> Result<bool, Failure> {
        if consent.yes || plans.iter().all(|plan| is_harmless(&plan.report)) {
            return Ok(true);
        }
        if !self.session.environment.can_ask {
            return Err(Failure::usage("these plans need a yes, and nobody can be asked here: add --yes"));
        }
        loop {
            anstream::eprint!("Do all of this? [yes/no/explain] ");
            // A thread of its own, so that an interrupt is heard while nobody answers; the process ends without it.
            let answer = tokio::task::spawn_blocking(|| {
                let mut answer = String::new();
                std::io::stdin().read_line(&mut answer).map(|_| answer)
            });
            let answer = tokio::select! {
                answer = answer => answer.context("read the answer")?.context("read the answer")?,
                () = self.crew.stopped() => {
                    anstream::eprintln!();
                    return Ok(false);
                }
            };
            match answer.trim() {
                "yes" | "y" => return Ok(true),
                "no" | "n" | "" => return Ok(false),
                "explain" | "e" => plans.iter().for_each(explain),
                other => anstream::eprintln!("{other:?} is none of yes, no, explain"),
            }
        }
    }

    fn report(&self, clusters: Vec<Member>, asked: Asked, exit: Exit) -> FleetReport {
        FleetReport {
            format: 1,
            fleet: self.name.clone(),
            command: asked.name().into(),
            clusters,
            seconds: self.begun.elapsed().as_secs_f64(),
            exit_code: exit.code(),
        }
    }

    fn show(&self, members: Vec<Member>, exit: Exit) -> Result<Exit, Failure> {
        let report = self.report(members, self.asked, exit);
        if let Some(path) = &self.markdown {
            let text = fleet_markdown(&report);
            std::fs::write(path, text).with_context(|| format!("write the table to {}", path.display()))?;
        }
        match self.session.global.output {
            Output::Json => out(&serde_json::to_string_pretty(&report)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&report)?)),
            Output::Markdown => out(&fleet_markdown(&report)),
            Output::Human | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html => out(&fleet_human(&report)),
        }
        Ok(exit)
    }
}

/// The command, its output for programs, and the cluster's files and context.
fn arguments(command: &str, entry: &FleetEntry) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![command.into(), "-o".into(), "json".into()];
    for file in &entry.files {
        arguments.extend(["--file".into(), file.into()]);
    }
    arguments.extend(context(entry));
    arguments
}

fn context(entry: &FleetEntry) -> Vec<OsString> {
    entry.context.iter().flat_map(|context| ["--context".into(), context.into()]).collect()
}

/// Two ways to one API server are seen only once both were gone: then neither is applied.
fn refuse_one_cluster_twice(members: &mut [Member]) {
    let uids: Vec<Option<String>> =
        members.iter().map(|member| member.report["cluster"].as_str().map(str::to_owned)).collect();
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    for (at, member) in members.iter_mut().enumerate() {
        let Some(uid) = &uids[at] else { continue };
        let other = (0..names.len()).find(|other| *other != at && uids[*other].as_ref() == Some(uid));
        if let Some(other) = other {
            member.state = FleetState::Failed;
            member.ended = format!("it is the same cluster as {}: their kube-system has the uid {uid}", names[other]);
        }
    }
}

/// Whether a plan can be carried out unasked: simulated nodes, and nothing goes or is replaced.
fn is_harmless(plan: &Value) -> bool {
    let changes = plan["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let simulated = plan["simulatedNodes"] == true;
    let is_mild = |change: &Value| {
        change["action"].as_str().is_some_and(|action| matches!(action, "create" | "start" | "update" | "adopt"))
    };
    changes.is_empty() || simulated && changes.iter().all(is_mild)
}

fn explain(plan: &Member) {
    anstream::eprintln!("{}", plan.name);
    for change in plan.report["changes"].as_array().into_iter().flatten() {
        let text = |key: &str| change[key].as_str().unwrap_or_default();
        anstream::eprintln!("  {:<8} {}: {}", text("action"), text("target"), text("reason"));
    }
}

/// Whether an apply did all that was planned, and that was no more than could be seen of a cluster that did not run.
fn was_only_started(plan: &Value, applied: &Member) -> bool {
    let starts = plan["changes"].as_array().into_iter().flatten().any(|change| change["action"] == "start");
    let failed = applied.report["failed"].as_array().is_some_and(|failed| !failed.is_empty());
    applied.state == FleetState::Stopped && starts && !failed && applied.report["remaining"].is_object()
}

/// The exit code of the worst cluster.
fn worst(asked: Asked, members: &[Member]) -> Exit {
    let any = |states: &[FleetState]| members.iter().any(|member| states.contains(&member.state));
    if any(&[FleetState::Interrupted, FleetState::NotStarted]) {
        Exit::Interrupted
    } else if any(&[FleetState::Failed, FleetState::Stopped]) {
        match asked {
            // Nothing was changed anywhere.
            Asked::Apply if members.iter().all(|member| member.state == FleetState::Failed) => Exit::Failed,
            Asked::Apply => Exit::Stopped,
            Asked::Plan | Asked::Drift | Asked::Status | Asked::Verify | Asked::Cost => Exit::Failed,
        }
    } else if any(&[FleetState::CheckFailed]) {
        Exit::CheckFailed
    } else if any(&[FleetState::Pending]) {
        Exit::Pending
    } else if any(&[FleetState::Inconclusive]) {
        Exit::Inconclusive
    } else {
        Exit::Done
    }
}
