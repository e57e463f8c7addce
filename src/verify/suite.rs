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
use super::report::{Entry, Report};
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

    /// Runs the checks and removes what they made. When `stop` turns true, or its sender goes while it is true, the
    /// checks that have not ended are inconclusive, and cleaning up is still waited for.
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
        let interrupted = {
            let work = self.work(cx, &tell, &mut notes, &mut results);
            tokio::select! {
                () = work => false,
                () = turned_true(&mut stop) => true,
            }
        };
        for (slot, check) in results.iter_mut().zip(&self.checks) {
            if slot.is_none() {
                let entry = Entry::new(&**check, Outcome::inconclusive("interrupted before it ended"), Duration::ZERO);
                tell(VerifyEvent::Finished { entry: entry.clone() });
                *slot = Some(entry);
            }
        }
        tell(VerifyEvent::CleaningUp);
        for (path, trouble) in cx.litter.remove().await {
            notes.push(format!("could not remove {path}: {trouble}; it ends and goes by its own deadline and TTL"));
        }
        Report {
            blueprint: cx.desired.name.clone(),
            nodes_simulated: cx.nodes == super::context::Nodes::Simulated,
            started,
            finished: cx.now(),
            interrupted,
            notes,
            entries: results.into_iter().flatten().collect(),
        }
    }

    async fn work(
        &self,
        cx: &CheckContext,
        tell: &(impl Fn(VerifyEvent) + Sync),
        notes: &mut Vec<String>,
        results: &mut [Option<Entry>],
    ) {
        let unreachable = self.first_contact(cx, notes).await;
        let slots = Semaphore::new(cx.options.parallel.max(1));
        let mut running: FuturesUnordered<BoxFuture<'_, (usize, Entry)>> = FuturesUnordered::new();
        for (at, check) in self.checks.iter().enumerate() {
            let (slots, unreachable) = (&slots, unreachable.as_deref());
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
    }

    /// Asks the server one thing before all checks do, so that a dead one costs one wait and not one for each check;
    /// then removes what former runs left. Returns why nothing can be proved, where that is so.
    async fn first_contact(&self, cx: &CheckContext, notes: &mut Vec<String>) -> Option<String> {
        let unreachable = match cx.api().text("/version").await {
            Err(trouble) if trouble.is_out_of_reach() => Some(trouble.to_string()),
            Ok(_) | Err(_) => None,
        };
        let creates = self.checks.iter().any(|check| check.id().section() == "jobs");
        if unreachable.is_none() && creates {
            for namespace in &cx.desired.promises.job_namespaces {
                match cleanup::sweep(cx, namespace).await {
                    Ok(removed) => {
                        notes.extend(removed.into_iter().map(|job| format!("removed Job {job}, left by a former run")));
                    }
                    Err(trouble) => {
                        notes.push(format!("could not look for Jobs of former runs in {namespace}: {trouble}"));
                    }
                }
            }
        }
        unreachable
    }
}

/// Runs one check within its bound.
async fn one(check: &dyn Check, cx: &CheckContext, unreachable: Option<&str>) -> Entry {
    let began = tokio::time::Instant::now();
    let outcome = match (check.applies(&cx.desired), unreachable) {
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

async fn turned_true(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // The sender is gone without having said so: nobody will stop this run.
        std::future::pending::<()>().await;
    }
}
