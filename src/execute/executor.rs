//! The loop: run what is unblocked, tell what happens, block what hangs on a failure, and stop when asked.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;
use wbk_provider_api::LeftBehind;

use super::{
    actuator::Actuator,
    error::StepError,
    event::{Event, EventSink},
    journal::{Journal, JournalError},
    urgency::urgency,
};
use crate::{
    id::Digest,
    plan::{Phase, Plan, Step, StepId},
};

/// Whether and how to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    No,
    /// Start nothing more; finish what runs.
    Finish,
    /// Let go of what runs, now.
    Now,
}

/// Steps under way at once. Requests have their own limit that adapts to the server; this one bounds memory. Most of them
/// wait for readiness, which is cheap: with 128, the workloads of a platform of 2,000 objects held up all the rest.
const AT_ONCE: usize = 1024;

/// While this many steps are under way, as many as requests may be, further ones wait up to [`COMPANY`] for others that
/// become ready meanwhile: the journal is written through once for all of them (3.5 ms each time on the disk measured).
const ENOUGH: usize = 48;
const COMPANY: Duration = Duration::from_millis(20);

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Execution {
    /// Done, in the order in which they ended.
    pub done: Vec<StepId>,
    /// Failed, with the reason.
    pub failed: Vec<(StepId, StepError)>,
    /// Never started, with the reason.
    pub blocked: Vec<(StepId, String)>,
    /// Let go while they ran: the next apply finds out what they left.
    pub abandoned: Vec<StepId>,
    /// Whether a stop was asked for.
    pub interrupted: bool,
}

impl Execution {
    /// Whether every step is done.
    pub fn is_complete(&self) -> bool {
        let Self { done: _, failed, blocked, abandoned, interrupted: _ } = self;
        failed.is_empty() && blocked.is_empty() && abandoned.is_empty()
    }
}

/// What the loop asks before it starts a step: whether this process may still write.
pub type Fence<'a> = &'a (dyn Fn() -> Result<(), String> + Send + Sync);

/// Runs a plan to its end, or as far as it can go. The journal's end is the caller's to write, once the lease is handed back.
///
/// # Errors
/// The journal cannot be written: then nothing more was started; what ran was finished.
pub async fn execute(
    plan: &Plan,
    digest: &Digest,
    actuator: &dyn Actuator,
    (journal, events): (&Journal, EventSink<'_>),
    (fence, mut stop): (Fence<'_>, watch::Receiver<Stop>),
) -> Result<Execution, JournalError> {
    let urgency = urgency(plan);
    let mut state = State::new(plan, events);
    let mut running = FuturesUnordered::new();
    let mut broken: Option<JournalError> = None;
    let mut announced_at: Option<tokio::time::Instant> = None;
    loop {
        let mode = *stop.borrow();
        let company = announced_at
            .map(|at| at + COMPANY)
            .filter(|due| state.under_way.len() >= ENOUGH && tokio::time::Instant::now() < *due);
        if mode == Stop::No && broken.is_none() && company.is_none() {
            state.block_dependants();
            if let Err(why) = fence() {
                state.block_rest(&why);
            }
            let mut ready = state.take_ready();
            ready.sort_by_key(|step| Reverse(urgency.get(&step.id)));
            let announced: Vec<(String, String, String)> = ready
                .iter()
                .map(|step| (step.id.0.clone(), step.action.word().to_owned(), token(digest, &step.id)))
                .collect();
            match if announced.is_empty() { Ok(()) } else { journal.started(&announced) } {
                Ok(()) => {
                    if !ready.is_empty() {
                        announced_at = Some(tokio::time::Instant::now());
                    }
                    for step in ready {
                        events(Event::Started { step: step.id.clone(), action: step.action });
                        state.under_way.insert(step.id.clone(), step.phase);
                        running.push(run_one(step, digest, actuator, events));
                    }
                }
                Err(error) => {
                    state.waiting.extend(ready.into_iter().map(|step| (step.id.clone(), step)));
                    state.block_rest("the journal could not be written");
                    broken = Some(error);
                }
            }
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            Some((step, started, outcome)) = running.next() => {
                if let Err(error) = state.ended(step, started, outcome, journal) {
                    broken.get_or_insert(error);
                }
            }
            () = tokio::time::sleep_until(company.unwrap_or_else(tokio::time::Instant::now)), if company.is_some() => {}
            changed = stop.changed() => {
                if changed.is_err() || *stop.borrow() == Stop::Now {
                    state.execution.abandoned.extend(state.under_way.keys().cloned());
                    break;
                }
                events(Event::Note(format!("stopping: {} running steps are finished, nothing new is started", state.under_way.len())));
            }
        }
    }
    if *stop.borrow() == Stop::No {
        state.block_dependants();
        state.block_rest("what it needs never came; this is a bug of the plan");
    } else {
        state.execution.interrupted = true;
        state.block_rest("the apply was interrupted");
    }
    let execution = state.execution;
    match broken {
        Some(error) => Err(error),
        None => Ok(execution),
    }
}

/// Where each step of a running plan stands.
struct State<'a> {
    waiting: BTreeMap<StepId, &'a Step>,
    under_way: BTreeMap<StepId, Phase>,
    done: BTreeSet<StepId>,
    /// Failed or blocked.
    dead: BTreeSet<StepId>,
    /// The first failed step that adds or changes: after it nothing is taken away.
    failed_change: Option<StepId>,
    execution: Execution,
    events: EventSink<'a>,
}

impl<'a> State<'a> {
    fn new(plan: &'a Plan, events: EventSink<'a>) -> Self {
        Self {
            waiting: plan.steps.iter().map(|step| (step.id.clone(), step)).collect(),
            under_way: BTreeMap::new(),
            done: BTreeSet::new(),
            dead: BTreeSet::new(),
            failed_change: None,
            execution: Execution::default(),
            events,
        }
    }

    /// Takes the steps whose needs are done; removals wait until nothing else is left.
    fn take_ready(&mut self) -> Vec<&'a Step> {
        let changing = self.waiting.values().any(|step| step.phase == Phase::Change)
            || self.under_way.values().any(|phase| *phase == Phase::Change);
        let room = AT_ONCE.saturating_sub(self.under_way.len());
        let ready: Vec<StepId> = self
            .waiting
            .values()
            .filter(|step| step.phase == Phase::Change || !changing)
            .filter(|step| step.needs.iter().all(|need| self.done.contains(need)))
            .take(room)
            .map(|step| step.id.clone())
            .collect();
        ready.iter().filter_map(|id| self.waiting.remove(id)).collect()
    }

    fn ended(
        &mut self,
        step: &Step,
        started: Instant,
        outcome: Result<(), StepError>,
        journal: &Journal,
    ) -> Result<(), JournalError> {
        self.under_way.remove(&step.id);
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match outcome {
            Ok(()) => {
                (self.events)(Event::Done { step: step.id.clone(), action: step.action, millis });
                self.done.insert(step.id.clone());
                self.execution.done.push(step.id.clone());
                journal.done(&step.id.0)
            }
            Err(error) => {
                (self.events)(Event::Failed { step: step.id.clone(), error: error.line(), hint: error.hint.clone() });
                let noted = journal.failed(&step.id.0, &error.line(), left_word(error.left));
                self.dead.insert(step.id.clone());
                if step.phase == Phase::Change {
                    self.failed_change.get_or_insert_with(|| step.id.clone());
                }
                self.execution.failed.push((step.id.clone(), error));
                noted
            }
        }
    }

    /// Blocks what hangs on a step that failed or was blocked; removals hang on every change.
    fn block_dependants(&mut self) {
        if self.dead.is_empty() {
            return;
        }
        loop {
            let next = self.waiting.values().find_map(|step| {
                let need = step.needs.iter().find(|need| self.dead.contains(*need));
                let failed = self.failed_change.as_ref().filter(|_| step.phase == Phase::Prune);
                match (need, failed) {
                    (Some(need), _) => Some((step.id.clone(), format!("it needs {need}"))),
                    (None, Some(failed)) => {
                        Some((step.id.clone(), format!("nothing is taken away after a failure: {failed}")))
                    }
                    (None, None) => None,
                }
            });
            let Some((id, because)) = next else { return };
            self.block(&id, because);
        }
    }

    fn block_rest(&mut self, why: &str) {
        for id in self.waiting.keys().cloned().collect::<Vec<_>>() {
            self.block(&id, why.to_owned());
        }
    }

    fn block(&mut self, id: &StepId, because: String) {
        self.waiting.remove(id);
        self.dead.insert(id.clone());
        (self.events)(Event::Blocked { step: id.clone(), because: because.clone() });
        self.execution.blocked.push((id.clone(), because));
    }
}

/// The same for the same step of the same plan: it answers "did my create arrive?".
fn token(digest: &Digest, step: &StepId) -> String {
    Digest::of_bytes(format!("{digest} {step}").as_bytes()).short().to_owned()
}

fn left_word(left: LeftBehind) -> &'static str {
    match left {
        LeftBehind::Nothing => "nothing",
        LeftBehind::Partial => "partial",
        LeftBehind::Unknown => "unknown",
    }
}

async fn run_one<'a>(
    step: &'a Step,
    digest: &Digest,
    actuator: &dyn Actuator,
    events: EventSink<'_>,
) -> (&'a Step, Instant, Result<(), StepError>) {
    let started = Instant::now();
    let say = |what: String| events(Event::Waiting { step: step.id.clone(), what });
    // The step bounds itself by its deadline and names what it waits for; this bound only catches one that does not.
    let bound = Duration::from_secs(step.deadline_seconds) + Duration::from_secs(60);
    let token = token(digest, &step.id);
    let outcome = match tokio::time::timeout(bound, actuator.run(step, &token, &say)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            Err(StepError::overdue(format!("{} {}", step.action.word(), step.target), "it did not end in time".into()))
        }
    };
    (step, started, outcome)
}
