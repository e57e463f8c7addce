//! `sweep`: a search in W&B, and its agents in the cluster.

mod run;

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use super::{
    launch::launch_of,
    session::{Session, out, unfit},
};
use crate::{
    cli::{
        args::{OneSweep, Output, SweepAt, SweepCommand},
        failure::{Exit, Failure},
        show::sweep_human,
        situation::{Connection, read},
    },
    cluster::{Cluster, ErrorKind},
    desired::{Desired, DesiredLaunch, PLATFORM_LABEL},
    sweep::{Mark, PATH_ANNOTATION, SWEEP_LABEL, SweepSources, job_name, sweep_board},
    wandb::{SweepFound, SweepState, Wandb},
};

impl Session<'_> {
    /// `sweep`.
    pub async fn sweep(&self, command: SweepCommand) -> Result<Exit, Failure> {
        match command {
            SweepCommand::Run(args) => self.sweep_run(&args).await,
            SweepCommand::Status { name, at } => self.sweep_status(name.as_deref(), &at).await,
            SweepCommand::Pause(one) => self.sweep_turn(&one, Turn::Pause).await,
            SweepCommand::Resume(one) => self.sweep_turn(&one, Turn::Resume).await,
            SweepCommand::Stop(one) => self.sweep_turn(&one, Turn::Stop).await,
            SweepCommand::Cancel(one) => self.sweep_turn(&one, Turn::Cancel).await,
        }
    }

    async fn sweep_status(&self, name: Option<&str>, at: &SweepAt) -> Result<Exit, Failure> {
        let desired = read(&at.files, self.environment)?;
        launch_of(&desired)?;
        let (connection, wandb) = self.both(&desired).await;
        let mut sources = self.sources(&desired, at, (connection.as_ref(), wandb.as_ref())).await?;
        if let Some(name) = name {
            sources.jobs.retain(|job| job["metadata"]["labels"][SWEEP_LABEL] == name);
            sources.names.retain(|_, known| known == name);
        }
        let drawn = sweep_board(&sources);
        if let Some(name) = name.filter(|_| drawn.sweeps.is_empty() && drawn.unseen.is_empty()) {
            return Err(nowhere(name, at));
        }
        match self.global.output {
            Output::Human => out(&sweep_human(&drawn)),
            Output::Json => out(&serde_json::to_string_pretty(&drawn)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&drawn)?)),
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
                return Err(unfit("sweep status", other));
            }
        }
        Ok(if drawn.unseen.is_empty() { Exit::Done } else { Exit::Inconclusive })
    }

    /// Everything that is known of the blueprint's sweeps: by their Jobs, and in a project that is named.
    async fn sources(
        &self,
        desired: &Desired,
        at: &SweepAt,
        (connection, wandb): (Option<&Connection>, Option<&Wandb>),
    ) -> Result<SweepSources, Failure> {
        let mut sources = SweepSources::default();
        let launch = launch_of(desired)?;
        match connection {
            Some(connection) => of_cluster(desired, launch, &connection.cluster, &mut sources).await,
            None => sources.unseen.push("the cluster: it cannot be reached".into()),
        }
        let Some(wandb) = wandb else {
            sources.unseen.push("W&B: what `launch.apiKey` names gives no key".into());
            return Ok(sources);
        };
        let paths: Vec<String> = sources.jobs.iter().filter_map(|job| path_of(job)).map(str::to_owned).collect();
        let projects: BTreeSet<&str> =
            paths.iter().filter_map(|path| path.split('/').nth(1)).chain(at.project.as_deref()).collect();
        for project in projects {
            let listed = match wandb.sweeps(project).await {
                Ok(listed) => listed,
                Err(error) => {
                    sources.unseen.push(error.to_string());
                    continue;
                }
            };
            for sweep in listed {
                let path = format!("{}/{project}/{}", wandb.entity, sweep.name);
                let marked = Mark::read(&sweep.description).filter(|mark| mark.platform == desired.name);
                if !paths.contains(&path) && (marked.is_none() || at.project.as_deref() != Some(project)) {
                    continue;
                }
                if let Some(mark) = marked {
                    sources.names.insert(path.clone(), mark.name);
                }
                match wandb.sweep_runs(project, &sweep.name).await {
                    Ok(runs) => {
                        sources.sweeps.insert(path, (sweep, runs));
                    }
                    Err(error) => sources.unseen.push(error.to_string()),
                }
            }
        }
        Ok(sources)
    }

    async fn sweep_turn(&self, one: &OneSweep, turn: Turn) -> Result<Exit, Failure> {
        let desired = read(&one.at.files, self.environment)?;
        launch_of(&desired)?;
        let (connection, wandb) = self.both(&desired).await;
        let wandb = wandb.ok_or_else(keyless)?;
        let (project, sweep, job) = self.find(&desired, one, (connection.as_ref(), &wandb)).await?;
        if turn.is_done(sweep.state) {
            anstream::eprintln!("sweep {} is {}", one.name, sweep.state.word());
        } else if let Some(why) = turn.refused(sweep.state) {
            return Err(Failure::hinted(
                anyhow::anyhow!("sweep {} cannot be {}: {why}", one.name, turn.done()),
                turn.hint(),
            ));
        } else {
            wandb.set_sweep_state(&project, &sweep, turn.state()).await.map_err(anyhow::Error::new)?;
            anstream::eprintln!("sweep {} is {}", one.name, turn.done());
        }
        match (&turn, job, connection) {
            (Turn::Cancel, Some(job), Some(connection)) => {
                delete_job(&connection.cluster, &job).await?;
                anstream::eprintln!("its agents go");
            }
            (Turn::Resume, None, _) => {
                anstream::eprintln!("it has no agents: wbk-infra sweep run with the same words as before makes them");
            }
            _ => {}
        }
        Ok(Exit::Done)
    }

    /// A sweep by the name that the user gave it: its project, itself, and its Job.
    async fn find(
        &self,
        desired: &Desired,
        one: &OneSweep,
        (connection, wandb): (Option<&Connection>, &Wandb),
    ) -> Result<(String, SweepFound, Option<Value>), Failure> {
        let mut sources = SweepSources::default();
        if let Some(connection) = connection {
            of_cluster(desired, launch_of(desired)?, &connection.cluster, &mut sources).await;
        }
        let job = sources.jobs.into_iter().find(|job| job["metadata"]["labels"][SWEEP_LABEL] == one.name.as_str());
        let of_job = job.as_ref().and_then(|job| path_of(job)?.split('/').nth(1).map(str::to_owned));
        let Some(project) = one.at.project.clone().or(of_job) else { return Err(nowhere(&one.name, &one.at)) };
        let listed = wandb.sweeps(&project).await.map_err(anyhow::Error::new)?;
        let mut ours: Vec<SweepFound> =
            listed.into_iter().filter(|sweep| is_of(sweep, &desired.name, &one.name)).collect();
        ours.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
        let Some(sweep) = ours.into_iter().next() else { return Err(nowhere(&one.name, &one.at)) };
        let path = format!("{}/{project}/{}", wandb.entity, sweep.name);
        let job = job.filter(|job| path_of(job) == Some(&path));
        Ok((project, sweep, job))
    }
}

/// What a user turns a sweep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Pause,
    Resume,
    Stop,
    Cancel,
}

impl Turn {
    /// W&B's word for the state (`wandb/apis/public/sweeps.py: _set_sweep_state`).
    fn state(self) -> &'static str {
        match self {
            Self::Pause => "PAUSED",
            Self::Resume => "RUNNING",
            Self::Stop => "FINISHED",
            Self::Cancel => "CANCELED",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused: agents keep their places and get no further sets",
            Self::Resume => "running again",
            Self::Stop => "stopped: what runs may end",
            Self::Cancel => "canceled",
        }
    }

    fn is_done(self, state: SweepState) -> bool {
        match self {
            Self::Pause => state == SweepState::Paused,
            Self::Resume => matches!(state, SweepState::Running | SweepState::Pending),
            Self::Stop => matches!(state, SweepState::Finished | SweepState::Canceled),
            Self::Cancel => matches!(state, SweepState::Canceled),
        }
    }

    /// Why a sweep in that state cannot be turned so.
    fn refused(self, state: SweepState) -> Option<String> {
        let ended = matches!(state, SweepState::Finished | SweepState::Canceled | SweepState::Crashed);
        (ended && self != Self::Resume).then(|| format!("it is {}", state.word()))
    }

    fn hint(self) -> &'static str {
        "wbk-infra sweep status shows what became of it"
    }
}

fn nowhere(name: &str, at: &SweepAt) -> Failure {
    match &at.project {
        Some(project) => Failure::usage(format!("there is no sweep {name} of this blueprint in {project}")),
        None => {
            Failure::usage(format!("no Job of a sweep {name} is there; one whose Job is gone is found with --project"))
        }
    }
}

fn keyless() -> Failure {
    Failure::hinted(anyhow::anyhow!("there is no API key"), "set what `launch.apiKey` names")
}

fn is_of(sweep: &SweepFound, platform: &str, name: &str) -> bool {
    Mark::read(&sweep.description).is_some_and(|mark| mark.is_of(platform, name))
}

fn path_of(job: &Value) -> Option<&str> {
    job["metadata"]["annotations"][PATH_ANNOTATION].as_str()
}

/// Jobs, pods and events of sweeps.
async fn of_cluster(desired: &Desired, launch: &DesiredLaunch, cluster: &Cluster, sources: &mut SweepSources) {
    let spaces: BTreeSet<&str> = launch.queues.iter().map(|queue| queue.namespace.as_str()).collect();
    let selector = SWEEP_LABEL.replace('/', "%2F");
    for space in spaces {
        let lists: BTreeMap<&str, String> = [
            ("Jobs", format!("/apis/batch/v1/namespaces/{space}/jobs?labelSelector={selector}")),
            ("pods", format!("/api/v1/namespaces/{space}/pods?labelSelector={selector}")),
            ("events", format!("/api/v1/namespaces/{space}/events?fieldSelector=involvedObject.kind%3DJob")),
        ]
        .into();
        for (what, path) in lists {
            match cluster.request(Method::GET, &path, None, &format!("list the {what} of sweeps")).await {
                Ok(mut found) => {
                    let into = match what {
                        "Jobs" => &mut sources.jobs,
                        "pods" => &mut sources.pods,
                        _ => &mut sources.events,
                    };
                    into.append(found["items"].as_array_mut().unwrap_or(&mut Vec::new()));
                }
                Err(error) => sources.unseen.push(error.words()),
            }
        }
    }
    sources.jobs.retain(|job| job["metadata"]["labels"][PLATFORM_LABEL] == desired.name.as_str());
}

/// Deletes a sweep's Job with its pods.
async fn delete_job(cluster: &Cluster, job: &Value) -> Result<(), Failure> {
    let text = |key: &str| job["metadata"][key].as_str().unwrap_or_default();
    let path = format!("/apis/batch/v1/namespaces/{}/jobs/{}", text("namespace"), text("name"));
    let options = serde_json::json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": {"uid": text("uid")},
    });
    let attempted = format!(
        "delete the Job {} of the sweep",
        job_name(job["metadata"]["labels"][SWEEP_LABEL].as_str().unwrap_or_default())
    );
    match cluster.request(Method::DELETE, &path, Some(&options), &attempted).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
