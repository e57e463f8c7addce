//! `launch`: what goes on in W&B Launch, something to be run, and the words of agents and jobs.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};
use wbk_provider_api::ProviderKind;

use super::{
    interrupt::stop_on_interrupt,
    session::{Session, out, unfit},
};
use crate::{
    cli::{
        args::{BlueprintArgs, LaunchCommand, Output, PushArgs},
        failure::{Exit, Failure},
        show::launch_human,
        situation::{Connection, files, provider, reach, read},
        wandb::wandb_of,
    },
    desired::{Desired, DesiredLaunch, DesiredQueue},
    launch::{Board, Nodes, Obstacle, Sources, board, read as read_launch},
    wandb::{Push, Wandb},
};

/// Lines of a log that are shown.
const LINES: u32 = 200;

impl Session<'_> {
    /// `launch`.
    pub async fn launch(&self, command: LaunchCommand) -> Result<Exit, Failure> {
        match command {
            LaunchCommand::Status { blueprint, watch, interval } => {
                self.launch_status(&blueprint, watch, interval).await
            }
            LaunchCommand::Run { push, files } => {
                self.launch_run(&BlueprintArgs { blueprint: None, files }, &push).await
            }
            LaunchCommand::Logs { name, files } => {
                self.launch_logs(&BlueprintArgs { blueprint: None, files }, &name).await
            }
        }
    }

    async fn launch_status(&self, blueprint: &BlueprintArgs, watch: bool, interval: u64) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        let launch = launch_of(&desired)?;
        let mut stop = stop_on_interrupt();
        loop {
            let (connection, wandb) = self.both(&desired).await;
            let drawn = draw(launch, connection.as_ref(), wandb.as_ref(), Nodes::WhenWaitedFor).await.1;
            let text = match self.global.output {
                Output::Human => launch_human(&drawn),
                Output::Json => serde_json::to_string_pretty(&drawn)?,
                Output::Yaml => crate::blueprint::to_yaml(&serde_json::to_value(&drawn)?),
                other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
                    return Err(unfit("launch status", other));
                }
            };
            if watch && self.global.output == Output::Human {
                // Clears the screen and begins at its top.
                out(&format!("\u{1b}[H\u{1b}[2J{}\n\n{text}", jiff::Timestamp::now().strftime("%H:%M:%S")));
            } else {
                out(&text);
            }
            if !watch {
                return Ok(if drawn.unseen.is_empty() { Exit::Done } else { Exit::Inconclusive });
            }
            tokio::select! {
                _ = stop.changed() => return Ok(Exit::Done),
                () = tokio::time::sleep(Duration::from_secs(interval.max(1))) => {}
            }
        }
    }

    async fn launch_run(&self, blueprint: &BlueprintArgs, push: &PushArgs) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        let launch = launch_of(&desired)?;
        let queue = queue_of(launch, &push.queue)?;
        let values = values(queue, &push.set)?;
        let (_, wandb) = self.both(&desired).await;
        let wandb = wandb
            .ok_or_else(|| Failure::hinted(anyhow::anyhow!("there is no API key"), "set what `launch.apiKey` names"))?;
        let pushed = wandb
            .push(&Push {
                queue: &queue.name,
                project: &push.project,
                image: &push.image,
                name: push.name.as_deref(),
                command: &[],
                arguments: &push.arguments,
                values: &values,
                priority: push.priority.map(|priority| priority as u8).filter(|_| queue.content.prioritization),
            })
            .await
            .map_err(anyhow::Error::new)?;
        if !self.global.quiet {
            anstream::eprintln!("pushed to queue {}; wbk-infra launch status shows what becomes of it", queue.name);
        }
        out(&pushed);
        Ok(Exit::Done)
    }

    async fn launch_logs(&self, blueprint: &BlueprintArgs, name: &str) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        let launch = launch_of(&desired)?;
        let provider = provider(&desired.wanted, self.environment, self.global)?;
        let connection = reach(&*provider, &desired, self.global)
            .await
            .map_err(|unreached| Failure::from(anyhow::anyhow!("{}", unreached.why.0).context("reach the cluster")))?;
        let drawn = draw(launch, Some(&connection), None, Nodes::WhenWaitedFor).await.1;
        let agent = drawn.agents.iter().find(|agent| agent.name == name);
        let job = drawn.jobs.iter().find(|job| job.name == name || job.run.as_deref() == Some(name));
        let pod = match (agent, job) {
            (Some(agent), _) => agent.pod.clone().ok_or_else(|| why(agent.obstacle.as_ref())),
            (None, Some(job)) => match &job.pod {
                Some(pod) => Ok(format!("{}/{pod}", job.namespace)),
                None => Err(why(job.obstacle.as_ref())),
            },
            (None, None) => {
                let known = drawn.agents.iter().map(|agent| agent.name.as_str());
                let known: Vec<&str> = known.chain(drawn.jobs.iter().map(|job| job.name.as_str())).collect();
                return Err(Failure::usage(format!(
                    "there is no agent, Job or run {name}; there is {}",
                    known.join(", ")
                )));
            }
        };
        let pod = pod.map_err(|why| Failure::from(anyhow::anyhow!("{name} has no log: {why}")))?;
        let (namespace, pod) = pod.split_once('/').unwrap_or(("default", &pod));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?tailLines={LINES}");
        let request = http::Request::get(path).body(Vec::new()).context("ask for the log")?;
        let simulated = connection.access.simulated_nodes || desired.wanted.cluster.provider == ProviderKind::Local;
        let text = connection.cluster.client().request_text(request).await.map_err(|error| {
            let hint = if simulated {
                "simulated nodes run no programs, so that there is no log"
            } else {
                "try again when it runs"
            };
            Failure::hinted(anyhow::Error::new(error).context(format!("read the log of {namespace}/{pod}")), hint)
        })?;
        out(text.trim_end());
        Ok(Exit::Done)
    }

    /// The ways to the cluster and to W&B, as far as there are any.
    pub(super) async fn both(&self, desired: &Desired) -> (Option<Connection>, Option<Wandb>) {
        let connection = match provider(&desired.wanted, self.environment, self.global) {
            Ok(provider) => reach(&*provider, desired, self.global).await.ok(),
            Err(_) => None,
        };
        let reached = connection.as_ref().map(|connection| (&connection.cluster, &connection.discovery));
        let wandb = wandb_of(desired, self.environment, reached).await;
        (connection, wandb)
    }
}

/// What goes on, and what that was read from.
pub(super) async fn draw(
    launch: &DesiredLaunch,
    connection: Option<&Connection>,
    wandb: Option<&Wandb>,
    nodes: Nodes,
) -> (Sources, Board) {
    let cluster = connection.map(|connection| (&connection.cluster, connection.access.simulated_nodes));
    let sources = read_launch(launch, cluster, wandb, nodes).await;
    let drawn = board(launch, &sources, jiff::Timestamp::now());
    (sources, drawn)
}

pub(super) fn launch_of(desired: &Desired) -> Result<&DesiredLaunch, Failure> {
    desired
        .launch
        .as_ref()
        .ok_or_else(|| Failure::usage(format!("{} has no `launch` section: see docs/launch.md", desired.name)))
}

pub(super) fn queue_of<'a>(launch: &'a DesiredLaunch, name: &str) -> Result<&'a DesiredQueue, Failure> {
    launch.queues.iter().find(|queue| queue.name == name).ok_or_else(|| {
        let known: Vec<&str> = launch.queues.iter().map(|queue| queue.name.as_str()).collect();
        Failure::usage(format!("there is no queue {name}; there is {}", known.join(", ")))
    })
}

fn why(obstacle: Option<&Obstacle>) -> String {
    obstacle.map(|obstacle| obstacle.why.clone()).unwrap_or_default()
}

/// `name=value` words as the queue's variables want them.
pub(super) fn values(queue: &DesiredQueue, words: &[String]) -> Result<Value, Failure> {
    let mut values = Map::new();
    for word in words {
        let Some((name, text)) = word.split_once('=') else {
            return Err(Failure::usage(format!("--set {word}: write NAME=VALUE")));
        };
        let Some(variable) = queue.content.variables.get(name) else {
            let known: Vec<&String> =
                queue.content.variables.as_object().into_iter().flatten().map(|(name, _)| name).collect();
            return Err(Failure::usage(format!(
                "--set {word}: queue {} has no variable {name}; it has {known:?}",
                queue.name
            )));
        };
        let value = match variable["schema"]["type"].as_str() {
            Some("integer") => text.parse::<i64>().ok().map(Value::from),
            Some("number") => text.parse::<f64>().ok().map(Value::from),
            _ => Some(text.into()),
        };
        let value = value.ok_or_else(|| Failure::usage(format!("--set {word}: {name} is a number")))?;
        values.insert(name.to_owned(), value);
    }
    Ok(Value::Object(values))
}
