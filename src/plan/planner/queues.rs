//! Queues of W&B Launch: made, mended, removed. They stand before the agents that serve them: an agent without its queue makes
//! one of its own and ends.

use std::collections::BTreeSet;

use wbk_provider_api::Disruption;

use super::{Draft, step_id};
use crate::{
    desired::{DesiredLaunch, DesiredQueue, WandbService},
    live::{QueueFound, QueueState},
    plan::{Action, Expect, NotPlanned, Payload, Phase, QueueStep, Step, StepId, Target, WhyNot, order::pod_parts},
};

/// A few requests to an API that answers in tenths of a second, each tried three times.
const QUEUE_DEADLINE: u64 = 120;

impl Draft<'_> {
    /// What is not done with a queue keeps nothing else: no object and no cluster holds it.
    pub(super) fn queues(&mut self) {
        let Some(launch) = &self.desired.launch else { return };
        for queue in &launch.queues {
            self.queue(launch, queue);
        }
        for (name, state) in &self.live.queues {
            let QueueState::Present(found) = state else { continue };
            if !launch.queues.iter().any(|queue| queue.name == *name) {
                self.remove_queue(
                    &launch.service,
                    name,
                    found,
                    "it carries this blueprint's mark and is not in the blueprint",
                );
            }
        }
    }

    /// Every queue of the blueprint goes, where it is named and empty. Answers what is not planned: it is in no cluster, so that
    /// it must not hold one back.
    pub(super) fn remove_queues(&mut self) -> BTreeSet<NotPlanned> {
        let Some(launch) = &self.desired.launch else { return BTreeSet::new() };
        let before = std::mem::take(&mut self.not_planned);
        for (name, state) in &self.live.queues {
            match state {
                QueueState::Present(found) if found.is_of(&self.desired.name) => {
                    self.remove_queue(&launch.service, name, found, "the platform goes");
                }
                QueueState::Present(_) | QueueState::Absent => {}
                QueueState::Unknown(why) => {
                    self.skip(WhyNot::Unseen, Target::Queue(name.clone()), why.0.clone(), None);
                }
            }
        }
        std::mem::replace(&mut self.not_planned, before)
    }

    fn queue(&mut self, launch: &DesiredLaunch, queue: &DesiredQueue) {
        let target = Target::Queue(queue.name.clone());
        let what = target.to_string();
        let adopts = self.options.adopt.contains(&what);
        let (action, reason, expect, diff) = match self.live.queues.get(&queue.name) {
            None => return self.skip(WhyNot::Unseen, &target, "W&B was not asked", None),
            Some(QueueState::Unknown(why)) => return self.skip(WhyNot::Unseen, &target, why.0.clone(), None),
            Some(QueueState::Absent) => {
                (Action::Create, "W&B has no queue of this name".to_owned(), Expect::Absent, Vec::new())
            }
            Some(QueueState::Present(found)) => {
                let diff: Vec<_> = found.differences(queue).iter().map(|change| change.told()).collect();
                let expect = Expect::Queue { id: found.id.clone(), digest: found.content.digest() };
                match found.content.platform() {
                    Some(of) if of == self.desired.name => {
                        if diff.is_empty() {
                            self.unchanged += 1;
                            return;
                        }
                        let why = if found.is_edited() {
                            "somebody else changed it"
                        } else {
                            "the blueprint wants it otherwise"
                        };
                        (Action::Update, why.to_owned(), expect, diff)
                    }
                    Some(other) if !adopts => {
                        let reason = format!("it is a queue of the blueprint {other}");
                        let hint = format!("rename it here, or take it over: --adopt {what:?}");
                        return self.skip(WhyNot::Blocked, &what, reason, Some(hint));
                    }
                    None if !adopts => {
                        let reason = "somebody else made a queue of this name";
                        let hint = format!("rename it here, or take it over: --adopt {what:?}");
                        return self.skip(WhyNot::Blocked, &what, reason, Some(hint));
                    }
                    Some(_) | None => (Action::Adopt, "it was named to be taken over".to_owned(), expect, diff),
                }
            }
        };
        // A queue of a cluster that cannot be made would only gather items.
        let (cluster, _) = self.foundations();
        // What its pods mount is there before the first of them.
        let mounts = pod_parts(&queue.job["spec"]["template"]["spec"], &queue.namespace);
        let mounted = self.steps.values().filter_map(|step| match &step.target {
            Target::Object(id) if mounts.contains(&id.key()) => Some(step.id.clone()),
            _ => None,
        });
        let needs = mounted.chain(cluster).collect();
        self.add(Step {
            id: step_id(&target),
            action,
            reason,
            needs,
            phase: Phase::Change,
            expect,
            disruption: Disruption::None,
            diff,
            holders: Vec::new(),
            estimated: None,
            at: queue.origin.at.clone(),
            deadline_seconds: QUEUE_DEADLINE,
            payload: Payload::Queue(Box::new(QueueStep {
                service: launch.service.clone(),
                content: Some(queue.content.clone().marked()),
            })),
            target,
        });
    }

    /// What waits in it would be lost.
    fn remove_queue(&mut self, service: &WandbService, name: &str, found: &QueueFound, reason: &str) {
        let target = Target::Queue(name.to_owned());
        let what = target.to_string();
        if !self.options.may_delete(&what) {
            let hint = format!("name it to let it go: --delete {what:?}");
            return self.skip(
                WhyNot::Protected,
                &target,
                format!("{reason}, but what waits in it would go with it"),
                Some(hint),
            );
        }
        match found.items {
            Some(0) => {}
            Some(items) => {
                let reason = format!("{reason}, but {items} of its items have not ended");
                return self.skip(
                    WhyNot::Protected,
                    &target,
                    reason,
                    Some("let them end, or remove them in W&B".into()),
                );
            }
            None => return self.skip(WhyNot::Unseen, &target, "its items could not be counted", None),
        }
        // Its agents first: one that finds its queue gone ends with an error.
        let agents: BTreeSet<StepId> = self
            .steps
            .values()
            .filter(|step| step.phase == Phase::Prune && matches!(step.target, Target::Release(_)))
            .map(|step| step.id.clone())
            .collect();
        self.add(Step {
            id: step_id(&target),
            action: Action::Delete,
            reason: reason.to_owned(),
            needs: agents,
            phase: Phase::Prune,
            expect: Expect::Queue { id: found.id.clone(), digest: found.content.digest() },
            disruption: Disruption::None,
            diff: Vec::new(),
            holders: Vec::new(),
            estimated: None,
            at: None,
            deadline_seconds: QUEUE_DEADLINE,
            payload: Payload::Queue(Box::new(QueueStep { service: service.clone(), content: None })),
            target,
        });
    }

    /// Why no agent may serve a queue, with what to do; `None` where one may.
    fn unfit(&self, queue: &str) -> Option<(String, String)> {
        if self.steps.contains_key(&step_id(&Target::Queue(queue.to_owned()))) {
            return None;
        }
        match self.live.queues.get(queue) {
            Some(QueueState::Present(found)) if found.is_of(&self.desired.name) => None,
            Some(QueueState::Present(_)) => Some((
                format!("it would take the jobs of queue {queue}, which is not of this blueprint"),
                format!("take the queue over: --adopt \"launch queue {queue}\""),
            )),
            Some(QueueState::Absent | QueueState::Unknown(_)) | None => Some((
                format!("it would end at once: whether queue {queue} is there is not known"),
                "apply again when W&B answers".to_owned(),
            )),
        }
    }

    /// An agent waits for the queues that it serves, and is not made where one of them could not be seen.
    pub(super) fn agents_after_queues(&mut self) {
        let Some(launch) = &self.desired.launch else { return };
        for agent in &launch.agents {
            let target = Target::Release(agent.release.clone());
            let id = step_id(&target);
            let queues: Vec<Target> = agent.queues.iter().map(|queue| Target::Queue(queue.clone())).collect();
            let unfit = agent.queues.iter().find_map(|queue| self.unfit(queue));
            let Some(step) = self.steps.get_mut(&id) else { continue };
            step.needs.extend(queues.iter().map(step_id));
            if step.action == Action::Update {
                let forgets = "the Jobs that run go on, and it forgets them: W&B hears of their end no more";
                let now = match self.options.running.get(&target.to_string()) {
                    Some(jobs) if jobs.is_empty() => " (none runs now)".to_owned(),
                    Some(jobs) => format!(" ({} now: {})", jobs.len(), few(jobs)),
                    None => String::new(),
                };
                step.disruption = Disruption::Stops(format!("agent {}: {forgets}{now}", agent.name));
            }
            if step.action == Action::Create
                && let Some((reason, hint)) = unfit
            {
                self.steps.remove(&id);
                self.keep(WhyNot::Blocked, target, reason, Some(hint));
            }
        }
    }
}

/// The first of some names; a hundred Jobs are no reading.
fn few(names: &[String]) -> String {
    const MOST: usize = 5;
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MOST { format!("{shown}, …") } else { shown }
}
