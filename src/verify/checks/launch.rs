//! W&B Launch: the key is taken, queues are as wanted, agents have the rights that they use and no others, and the pod that an agent
//! makes of a queue's item is one that the cluster takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::few;
use super::rbac::ask;
use super::rbac_rules::{Account, Question};
use crate::desired::{Desired, DesiredAgent, DesiredQueue, Origin};
use crate::launch::{Controller, quota_admits_alone};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::CheckContext;
use crate::verify::placement::Placement;
use crate::verify::probe::{Answer, Refusal, dry_run};
use crate::wandb::WandbError;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let Some(launch) = &desired.launch else { return };
    checks.push(Arc::new(Key { entity: launch.service.entity.clone() }));
    for queue in &launch.queues {
        checks.push(Arc::new(Kept { queue: queue.clone() }));
        checks.push(Arc::new(Taken { queue: queue.clone() }));
    }
    for agent in &launch.agents {
        let serves = |queue: &&DesiredQueue| agent.queues.contains(&queue.name);
        let gangs = launch.queues.iter().filter(serves).filter(|queue| Controller::of(queue) == Controller::Volcano);
        let gangs = gangs.map(|queue| queue.namespace.clone()).collect();
        checks.push(Arc::new(Rights { agent: agent.clone(), gangs }));
    }
}

/// How long a quota may go on counting pods that are gone: the quota controller hears of each within a second; the rest is for busy
/// machines.
const UNCOUNTED: Duration = Duration::from_secs(5);
/// Between two looks meanwhile.
const AGAIN: Duration = Duration::from_millis(500);

const SOURCE: &str = "W&B's GraphQL API";

impl From<&WandbError> for Outcome {
    fn from(error: &WandbError) -> Self {
        let evidence = Evidence::new(error.to_string(), "an API key that W&B takes for the entity", SOURCE);
        match error {
            WandbError::Key { .. } | WandbError::Refused { .. } => Self::fail(
                evidence,
                "give the key of somebody who may write to `launch.entity`, and check its spelling",
            ),
            WandbError::Unreachable { .. } | WandbError::Strange(_) => Self::inconclusive(error.to_string()),
        }
    }
}

/// What is said where the verification has no key.
fn keyless() -> Outcome {
    Outcome::inconclusive("the API key could not be read, so W&B was not asked: set what `launch.apiKey` names")
}

struct Key {
    entity: String,
}

#[async_trait]
impl Check for Key {
    fn id(&self) -> CheckId {
        CheckId::once("launch.key")
    }

    fn title(&self) -> String {
        format!("W&B takes the API key for {}", self.entity)
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        match cx.launch_queues().await {
            None => keyless(),
            Some(Ok(queues)) => Outcome::pass(Evidence::new(
                format!("it sees {} and its {} queues", self.entity, queues.len()),
                "an API key that W&B takes for the entity",
                SOURCE,
            )),
            Some(Err(error)) => Outcome::from(error),
        }
    }
}

struct Kept {
    queue: DesiredQueue,
}

#[async_trait]
impl Check for Kept {
    fn id(&self) -> CheckId {
        CheckId::about("launch.queue", &self.queue.name)
    }

    fn title(&self) -> String {
        format!("W&B has the queue {} as wanted", self.queue.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.queue.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let queues = match cx.launch_queues().await {
            None => return keyless(),
            Some(Err(error)) => return Outcome::from(error),
            Some(Ok(queues)) => queues,
        };
        let wanted = "the configuration that follows from the blueprint";
        let Some(found) = queues.get(&self.queue.name) else {
            let evidence = Evidence::new("there is no such queue", wanted, SOURCE);
            return Outcome::fail(evidence, "wbk-infra apply makes it");
        };
        let differences: Vec<String> =
            found.differences(&self.queue).iter().map(|change| change.path.to_string()).collect();
        if differences.is_empty() {
            let mode = if self.queue.content.prioritization { "with" } else { "without" };
            let measured = format!("as wanted, {mode} priorities, {} links", self.queue.content.links.len());
            return Outcome::pass(Evidence::new(measured, wanted, SOURCE));
        }
        let evidence = Evidence::new(format!("other in {}", few(&differences)), wanted, SOURCE);
        Outcome::fail(
            evidence.with(json!({"fields": differences})),
            "wbk-infra drift shows it, wbk-infra apply mends it",
        )
    }
}

struct Taken {
    queue: DesiredQueue,
}

#[async_trait]
impl Check for Taken {
    fn id(&self) -> CheckId {
        CheckId::about("launch.job", &self.queue.name)
    }

    fn title(&self) -> String {
        format!("namespace {} takes the pod of a job of queue {}", self.queue.namespace, self.queue.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.queue.origin.clone())
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        // Waiting for room as well, which others of this run hold at most as long as theirs lasts.
        cx.options.sample_deadline + UNCOUNTED + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/pods", self.queue.namespace);
        // The quota shall be full of others' pods, not of this run's own.
        let pool = self.queue.pool.as_ref().and_then(|pool| cx.desired.wanted.pools.get(pool));
        let _room = match pool.map(|pool| Placement::of(pool, &cx.desired)) {
            Some(placement) => cx.quota_room(&placement, &self.queue.namespace, u64::from(self.queue.gpus)).await,
            None => None,
        };
        let deadline = Instant::now() + UNCOUNTED;
        loop {
            let outcome = match dry_run(cx, &path, &self.pod(cx)).await {
                Ok(answer) => self.judge(answer, &format!("dry-run POST {path}")),
                Err(trouble) => trouble.into(),
            };
            if !matches!(outcome, Outcome::Inconclusive { .. }) || Instant::now() > deadline {
                return outcome;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl Taken {
    /// The pod that the Job controller would make. Of a Job itself Pod Security and quotas only warn.
    fn pod(&self, cx: &CheckContext) -> Value {
        let template = &self.queue.job["spec"]["template"];
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": format!("wbk-verify-launch-{}", cx.run), "labels": template["metadata"]["labels"]},
            "spec": template["spec"],
        })
    }

    fn judge(&self, answer: Answer, source: &str) -> Outcome {
        let wanted = "a pod that admission takes: Pod Security, quota, limits, priority";
        match answer {
            Answer::Accepted(_) => Outcome::pass(Evidence::new("it would be made", wanted, source)),
            // What other pods hold now is no fault of the queue: its items wait.
            Answer::Refused(Refusal::Quota, words) if words.contains("used:") && quota_admits_alone(&words) => {
                Outcome::inconclusive(format!("the quota is full now, so a job would wait: {words}"))
            }
            Answer::Refused(reason, words) => {
                let hint = match reason {
                    Refusal::Quota | Refusal::QuotaUncounted => {
                        "raise the namespace's quota, or ask for less in the queue"
                    }
                    Refusal::PodSecurity => "set `podSecurity: baseline`: agents' pods cannot be `restricted`",
                    Refusal::LimitRange => "ask for what the namespace's limits allow",
                    Refusal::NoRight | Refusal::Other => "mend what refuses it: W&B would show nothing of this",
                };
                Outcome::fail(Evidence::new(words, wanted, source), hint)
            }
        }
    }
}

struct Rights {
    agent: DesiredAgent,
    /// Namespaces in which its jobs are Volcano's.
    gangs: BTreeSet<String>,
}

impl Rights {
    /// What a real agent was seen to use in a namespace of its jobs, and what it must not have there.
    fn questions(&self) -> (Vec<Question>, Vec<Question>) {
        let secret = format!("wandb-api-key-{}", self.agent.release.name);
        let ask = |verb: &str, group: &str, resource: &str, subresource: &str, name: &str, namespace: &str| Question {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            namespace: namespace.into(),
            ..Question::default()
        };
        let mut can = Vec::new();
        let mut cannot = vec![ask("list", "", "nodes", "", "", ""), ask("list", "", "secrets", "", "", "")];
        for namespace in &self.agent.job_namespaces {
            can.extend([
                ask("create", "", "secrets", "", "", namespace),
                ask("get", "", "secrets", "", &secret, namespace),
                ask("list", "", "pods", "", "", namespace),
                ask("watch", "", "pods", "", "", namespace),
                ask("get", "", "pods", "log", "", namespace),
                ask("create", "batch", "jobs", "", "", namespace),
                ask("watch", "batch", "jobs", "", "", namespace),
                ask("delete", "batch", "jobs", "", "", namespace),
            ]);
            if self.gangs.contains(namespace) {
                can.extend(["create", "watch"].map(|verb| ask(verb, "batch.volcano.sh", "jobs", "", "", namespace)));
            }
            cannot.extend([
                ask("list", "", "secrets", "", "", namespace),
                ask("create", "", "pods", "", "", namespace),
                ask("create", "", "pods", "exec", "", namespace),
            ]);
        }
        (can, cannot)
    }

    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let release = &self.agent.release;
        let account = Account { namespace: release.namespace.clone(), name: self.agent.service_account.clone() };
        let (can, cannot) = self.questions();
        let pairs: Vec<_> = can.iter().chain(&cannot).map(|question| (&account, question)).collect();
        let answers = ask(cx, &pairs).await?;
        let (mut faults, mut surplus) = (Vec::new(), 0);
        for ((_, question), (index, allowed)) in pairs.iter().zip(answers.into_iter().enumerate()) {
            match (index < can.len(), allowed) {
                (true, false) => faults.push(format!("it cannot {question}")),
                (false, true) if self.agent.least_rights => faults.push(format!("it can {question}")),
                // W&B's own chart: the plan says so each time.
                (false, true) => surplus += 1,
                (true, true) | (false, false) => {}
            }
        }
        let wanted = format!("{} rights that an agent uses, and none of {} others", can.len(), cannot.len());
        let source = "SubjectAccessReview";
        Ok(if faults.is_empty() {
            let denied = cannot.len() - surplus;
            let more = if surplus == 0 {
                String::new()
            } else {
                format!("; W&B's chart grants {surplus} that it does not use")
            };
            Outcome::pass(Evidence::new(format!("{} allowed, {denied} denied{more}", can.len()), wanted, source))
        } else {
            let evidence = Evidence::new(few(&faults), wanted, source).with(json!({"faults": faults}));
            Outcome::fail(
                evidence,
                "wbk-infra apply mends the agent's role; without `watch` it asks hundreds of times a second and never sees a Job's end",
            )
        })
    }
}

#[async_trait]
impl Check for Rights {
    fn id(&self) -> CheckId {
        CheckId::about("launch.rights", &self.agent.name)
    }

    fn title(&self) -> String {
        format!("agent {} has the rights that it uses, and no others", self.agent.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.agent.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.look(cx).await.unwrap_or_else(Outcome::from)
    }
}
