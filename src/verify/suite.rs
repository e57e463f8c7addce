//! Derives the checks from the desired state, runs the chosen ones in parallel, and cleans up after them.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, watch};

use super::check::{Applicability, Check, CheckId, Outcome};
use super::checks;
use super::cleanup;
use super::context::CheckContext;
use super::report::{Entry, PoolSight, Report};
use super::select::{SelectionError, select};
use crate::desired::Desired;

/// What happens while a verification runs.
#[derive(Debug, Clone)]
pub enum VerifyEvent {
    /// So many checks will run.
    Planned {
        /// Number of checks.
        checks: usize,
    },
    /// A check began.
    Started {
        /// Its id.
        id: CheckId,
        /// Its promise.
        title: String,
    },
    /// A check ended.
    Finished {
        /// All about it.
        entry: Entry,
    },
    /// The objects that the checks made are being removed.
    CleaningUp,
}

/// The checks of one blueprint.
pub struct Suite {
    checks: Vec<Arc<dyn Check>>,
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Suite {
    /// Every check that the blueprint gives something to prove, in the order of reports.
    pub fn derive(desired: &Desired) -> Self {
        Self { checks: checks::derive(desired) }
    }

    /// A suite of given checks.
    pub fn of(checks: Vec<Arc<dyn Check>>) -> Self {
        Self { checks }
    }

    /// The ids of its checks.
    pub fn ids(&self) -> Vec<CheckId> {
        self.checks.iter().map(|check| check.id()).collect()
    }

    /// Keeps the checks that `only` names (all, where it is empty) and `skip` does not.
    ///
    /// # Errors
    /// A pattern that names no check of this suite: a usage error.
    pub fn narrow(self, only: &[String], skip: &[String]) -> Result<Self, SelectionError> {
        let picked = select(&self.ids(), only, skip)?;
        let checks = self.checks.into_iter().zip(picked).filter(|(_, picked)| *picked).map(|(check, _)| check);
        Ok(Self { checks: checks.collect() })
    }

    /// Runs the checks and removes what they made. When `stop` turns true, or its sender goes while it is true, and when
    /// the options' time is over, the checks that have not ended are inconclusive, and cleaning up is still waited for.
    pub async fn run(
        &self,
        cx: &CheckContext,
        events: Option<UnboundedSender<VerifyEvent>>,
        mut stop: watch::Receiver<bool>,
    ) -> Report {
        let tell = |event: VerifyEvent| {
            if let Some(events) = &events {
                // A listener that went away wants no more events.
                let _gone = events.send(event);
            }
        };
        let started = cx.now();
        tell(VerifyEvent::Planned { checks: self.checks.len() });
        let mut notes = Vec::new();
        let mut results: Vec<Option<Entry>> = Vec::new();
        results.resize_with(self.checks.len(), || None);
        let end = {
            let work = self.work(cx, &tell, &mut notes, &mut results);
            tokio::select! {
                reached = work => if reached { End::Done } else { End::Unreachable },
                () = turned_true(&mut stop) => End::Stopped,
                () = over(cx.options.timeout) => End::Late,
            }
        };
        let cut = match end {
            End::Done | End::Unreachable => String::new(),
            End::Stopped => "interrupted before it ended".to_owned(),
            End::Late => {
                let seconds = cx.options.timeout.unwrap_or_default().as_secs_f32();
                format!("not found out before the verification's own bound of {seconds:.0} s")
            }
        };
        for (slot, check) in results.iter_mut().zip(&self.checks) {
            if slot.is_none() {
                let entry = Entry::new(&**check, Outcome::inconclusive(cut.as_str()), Duration::ZERO);
                tell(VerifyEvent::Finished { entry: entry.clone() });
                *slot = Some(entry);
            }
        }
        tell(VerifyEvent::CleaningUp);
        cx.heartbeat.stop();
        let picture = async { if end == End::Done { pools(cx).await } else { Vec::new() } };
        let (left, pools) = tokio::join!(cx.litter.remove(), picture);
        for (path, trouble) in left {
            notes.push(format!(
                "could not remove {path}: {trouble}; it ends by its own deadline, and the next verification removes it"
            ));
        }
        let proof = cx.proof.last().await.map(|proof| (*proof).clone());
        Report {
            cost: None,
            blueprint: cx.desired.name.clone(),
            provider: cx.desired.wanted.cluster.provider.to_string(),
            cluster: cx.desired.wanted.cluster.name.clone(),
            nodes_simulated: cx.nodes == super::context::Nodes::Simulated,
            started,
            finished: cx.now(),
            interrupted: end == End::Stopped,
            notes,
            pools,
            landings: cx.landings(),
            proof,
            entries: results.into_iter().flatten().collect(),
        }
    }

    /// Runs everything; `false` where the API server could not be reached.
    async fn work(
        &self,
        cx: &CheckContext,
        tell: &(impl Fn(VerifyEvent) + Sync),
        notes: &mut Vec<String>,
        results: &mut [Option<Entry>],
    ) -> bool {
        let unreachable = self.first_contact(cx, notes).await;
        // Pods take seconds and requests milliseconds: neither kind waits for the other's slots, and pods go first.
        let slots = [Semaphore::new(cx.options.parallel.max(1)), Semaphore::new(cx.options.parallel.max(1))];
        let mut running: FuturesUnordered<BoxFuture<'_, (usize, Entry)>> = FuturesUnordered::new();
        let mut order: Vec<usize> = (0..self.checks.len()).collect();
        order.sort_by_key(|at| !self.checks[*at].makes());
        for at in order {
            let check = &self.checks[at];
            let (slots, unreachable) = (&slots[usize::from(check.makes())], unreachable.as_deref());
            running.push(
                async move {
                    // Acquiring fails only on a closed semaphore, and nobody closes this one.
                    let _slot = slots.acquire().await;
                    tell(VerifyEvent::Started { id: check.id(), title: check.title() });
                    (at, one(&**check, cx, unreachable).await)
                }
                .boxed(),
            );
        }
        while let Some((at, entry)) = running.next().await {
            tell(VerifyEvent::Finished { entry: entry.clone() });
            results[at] = Some(entry);
        }
        unreachable.is_none()
    }

    /// Asks the server one thing before all checks do, so that a dead one costs one wait and not one for each check;
    /// then removes what dead runs left. Returns why nothing can be proved, where that is so.
    async fn first_contact(&self, cx: &CheckContext, notes: &mut Vec<String>) -> Option<String> {
        if let Err(trouble) = cx.api().text("/version").await
            && trouble.is_out_of_reach()
        {
            return Some(trouble.to_string());
        }
        if self.checks.iter().any(|check| check.makes()) {
            let cleanup::Swept { removed, alive, troubles } = cleanup::sweep(cx).await;
            notes.extend(removed.into_iter().map(|what| format!("removed {what}, left by a former run")));
            notes.extend(alive.into_iter().map(|(run, count)| {
                format!("another verification of this blueprint goes on (run {run}, {count} things): left alone")
            }));
            notes.extend(troubles);
        }
        None
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Unreachable,
    Stopped,
    Late,
}

/// The pools as they are now, for the picture; their nodes where they can be seen.
async fn pools(cx: &CheckContext) -> Vec<PoolSight> {
    let nodes = cx.all_nodes().await.ok(); // A picture is an extra.
    cx.desired
        .wanted
        .pools
        .values()
        .map(|pool| PoolSight::of(pool, &cx.desired, nodes.as_deref().map(Vec::as_slice)))
        .collect()
}

/// Runs one check within its bound.
async fn one(check: &dyn Check, cx: &CheckContext, unreachable: Option<&str>) -> Entry {
    let began = tokio::time::Instant::now();
    let outcome = match (check.applies(&cx.desired, &cx.options), unreachable) {
        (Applicability::Skipped(reason), _) => Outcome::skipped(reason),
        (Applicability::Applies, Some(why)) => Outcome::inconclusive(why),
        (Applicability::Applies, None) => {
            let bound = check.bound(cx);
            match tokio::time::timeout(bound, check.run(cx)).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => Outcome::inconclusive(format!("not found out within {} s", bound.as_secs_f32())),
            }
        }
    };
    Entry::new(check, outcome, began.elapsed())
}

async fn over(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

async fn turned_true(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // The sender is gone without having said so: nobody will stop this run.
        std::future::pending::<()>().await;
    }
}
