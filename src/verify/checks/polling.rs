//! An agent is registered with W&B and asks for items: it says so itself, by the name that W&B gave it. W&B has no list of agents that could
//! be asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;

use super::settle::settled;
use crate::cluster::{name, text};
use crate::desired::{Desired, DesiredAgent, Origin};
use crate::launch::pod_of;
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, Nodes};

/// How far back its words are looked for, in seconds: it says how it stands at its start and then every five minutes (SDK 0.17.3 to 0.31.0,
/// `launch/agent/agent.py`, `print_status`, `DEFAULT_PRINT_INTERVAL`).
const BACK: u32 = 660;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for agent in desired.launch.iter().flat_map(|launch| &launch.agents) {
        checks.push(Arc::new(Polls { agent: agent.clone() }));
    }
}

struct Polls {
    agent: DesiredAgent,
}

/// What an agent said last of itself.
#[derive(Debug, PartialEq, Eq)]
struct Said<'a> {
    /// The name that W&B gave it; empty where it was not registered.
    name: &'a str,
    /// The queues that it asks; `None` while all its places are taken.
    queues: Option<BTreeSet<&'a str>>,
    /// `1 out of a maximum of 10 jobs`.
    running: &'a str,
}

/// Reads `wandb: launch: agent NAME polling on queues A,B, running 0 out of a maximum of 10 jobs`, the last of it.
fn last_said(log: &str) -> Option<Said<'_>> {
    log.lines().rev().find_map(|line| {
        // With a terminal the prefix is coloured.
        let (_, words) = line.split_once("launch:")?;
        let words = words.trim_start_matches("\u{1b}[0m").trim_start().strip_prefix("agent ")?;
        let (before, running) = words.split_once("running ")?;
        if !running.contains("out of a maximum of") {
            return None;
        }
        let (name, queues) = match before.split_once("polling on queues ") {
            Some((name, queues)) => (name, Some(queues.trim_end_matches([',', ' ']).split(',').collect())),
            None => (before, None),
        };
        Some(Said { name: name.trim(), queues, running: running.trim() })
    })
}

#[async_trait]
impl Check for Polls {
    fn id(&self) -> CheckId {
        CheckId::about("launch.polling", &self.agent.name)
    }

    fn title(&self) -> String {
        format!("agent {} is registered with W&B and asks its queues", self.agent.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.agent.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        if cx.nodes == Nodes::Simulated {
            return Outcome::skipped("its pod is simulated: it runs no program that could ask");
        }
        settled(cx, || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await
    }
}

impl Polls {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let release = &self.agent.release;
        let pods = format!("/api/v1/namespaces/{}/pods", release.namespace);
        let found = cx.api().list(&pods, "").await?;
        let Some(pod) = pod_of(&self.agent, &found).filter(|pod| text(pod, "/status/phase") == "Running") else {
            let evidence = Evidence::new("no pod of it runs", "it asks its queues", format!("GET {pods}"));
            return Ok(Outcome::fail(evidence, format!("kubectl -n {} get events", release.namespace)));
        };
        let path = format!("{pods}/{}/log?sinceSeconds={BACK}", name(pod));
        let log = cx.api().text(&path).await?;
        Ok(self.judge(last_said(&log).as_ref(), &format!("GET {path}")))
    }

    fn judge(&self, said: Option<&Said<'_>>, source: &str) -> Outcome {
        let wanted = format!("it asks the queues {}", self.agent.queues.join(", "));
        let hint = format!("wbk-infra launch logs {}", self.agent.name);
        let Some(Said { name, queues, running }) = said else {
            let measured = format!("in {BACK} s it did not say that it asks");
            return Outcome::fail(Evidence::new(measured, wanted, source), hint);
        };
        let of_blueprint: BTreeSet<&str> = self.agent.queues.iter().map(String::as_str).collect();
        match queues {
            _ if name.is_empty() => {
                Outcome::fail(Evidence::new("W&B has given it no name: it is not registered", wanted, source), hint)
            }
            Some(asked) if *asked != of_blueprint => {
                let asked: Vec<&str> = asked.iter().copied().collect();
                let measured = format!("{name} asks {}", asked.join(", "));
                Outcome::fail(
                    Evidence::new(measured, wanted, source),
                    "it reads its configuration at its start alone: wbk-infra apply, or restart its Deployment",
                )
            }
            Some(_) => Outcome::pass(Evidence::new(format!("{name} asks, {running} run"), wanted, source)),
            None => Outcome::pass(Evidence::new(
                format!("{name} is registered; all its places are taken, {running} run"),
                wanted,
                source,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ReleaseId;

    const LOG: &str =
        "wandb: launch: agent zippy-otter-1 polling on queues a100,l4, running 0 out of a maximum of 10 jobs
wandb: launch: Launch agent received job:
wandb: launch: agent zippy-otter-1 polling on queues a100,l4, running 1 out of a maximum of 10 jobs
something else";

    fn judged(log: &str) -> Outcome {
        let agent = DesiredAgent {
            name: "main".into(),
            release: ReleaseId { namespace: "wandb".into(), name: "launch-main".into() },
            service_account: "launch-main".into(),
            least_rights: true,
            queues: vec!["l4".into(), "a100".into()],
            job_namespaces: vec!["jobs".into()],
            max_jobs: 10,
            origin: Origin { path: "launch".into(), at: None },
        };
        Polls { agent }.judge(last_said(log).as_ref(), "")
    }

    #[test]
    fn the_last_that_it_said_counts() {
        let said = last_said(LOG).unwrap();
        assert_eq!((said.name, said.running), ("zippy-otter-1", "1 out of a maximum of 10 jobs"));
        assert_eq!(said.queues, Some(BTreeSet::from(["a100", "l4"])));
        assert!(matches!(judged(LOG), Outcome::Pass { .. }));
        let coloured = LOG.replace("launch:", "\u{1b}[35mlaunch:\u{1b}[0m");
        assert_eq!(last_said(&coloured), last_said(LOG));
    }

    #[test]
    fn one_that_does_not_ask_or_asks_others_fails() {
        let full = "wandb: launch: agent zippy-otter-1 running 10 out of a maximum of 10 jobs";
        assert!(matches!(judged(full), Outcome::Pass { .. }));
        for log in [
            "",
            "wandb: launch: Not all of requested queues found",
            "wandb: launch: agent zippy-otter-1 polling on queues old, running 0 out of a maximum of 10 jobs",
            "wandb: launch: agent polling on queues a100,l4, running 0 out of a maximum of 10 jobs",
        ] {
            assert!(matches!(judged(log), Outcome::Fail { .. }), "{log}");
        }
    }
}
