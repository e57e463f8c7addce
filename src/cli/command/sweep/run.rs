//! `sweep run`: everything that could keep agents from running is looked at first; then the sweep is made once, and its Job. Killed
//! anywhere, the same command finds the sweep by its mark and goes on.

use std::time::{Duration, Instant};

use anyhow::Context;
use http::Method;
use serde_json::{Map, Value, json};

use super::super::{
    launch::{launch_of, queue_of, values},
    session::{Session, out, unfit},
};
use super::{delete_job, is_of, keyless, path_of};
use crate::{
    blueprint::is_dns_label,
    cli::{
        args::{Output, RunSweepArgs},
        failure::{Exit, Failure},
        situation::{Connection, problems_failure, provider, reach, read},
        wandb::wandb_of,
    },
    cluster::{Cluster, ErrorKind, Marks},
    desired::{Desired, DesiredLaunch, DesiredQueue, PLATFORM_LABEL},
    execute::{Event, Holder, Lease},
    gpu::{self, Standing},
    id::{Gvk, ObjectId},
    sweep::{AgentJob, Mark, SWEEP_LABEL, SweepFile, agent_job, agents_per_gpu, job_name, read_sweep_file, room},
    wandb::{SweepFound, SweepState, Wandb},
};

/// Longest name of a sweep: a pod of its Job is called `sweep-NAME-INDEX-xxxxx`, in at most 63 letters.
const LONGEST: usize = 40;
/// How long a Job that is deleted may take to go; its pods go by themselves. 1 s was seen.
const GONE: Duration = Duration::from_secs(60);

/// What shall run, complete.
struct Wanted<'a> {
    desired: &'a Desired,
    launch: &'a DesiredLaunch,
    queue: &'a DesiredQueue,
    args: &'a RunSweepArgs,
    name: String,
    project: String,
    file: SweepFile,
    secret: String,
    values: Map<String, Value>,
}

impl Session<'_> {
    pub(super) async fn sweep_run(&self, args: &RunSweepArgs) -> Result<Exit, Failure> {
        if !matches!(self.global.output, Output::Human | Output::Json | Output::Yaml) {
            return Err(unfit("sweep run", self.global.output));
        }
        let desired = read(&args.files, self.environment)?;
        let wanted = self.wanted(&desired, args)?;
        let job = wanted.job("")?;
        let provider = provider(&desired.wanted, self.environment, self.global)?;
        let connection = reach(&*provider, &desired, self.global).await.map_err(|unreached| Failure {
            hint: unreached.hint,
            ..Failure::from(anyhow::anyhow!("{}", unreached.why.0).context("reach the cluster"))
        })?;
        let reached = Some((&connection.cluster, &connection.discovery));
        let wandb = wandb_of(&desired, self.environment, reached).await.ok_or_else(keyless)?;
        if !args.proof.allow_unschedulable {
            self.hold_sweep(&wanted, &job, &connection).await?;
        }
        self.admitted(&wanted, &job, &connection).await?;
        // Looks before it writes: a key or an entity that W&B does not take is said here.
        wandb.sweeps(&wanted.project).await.map_err(anyhow::Error::new)?;

        let quiet = self.global.quiet;
        let note = move |event: Event| {
            if let Event::Note(words) = event
                && !quiet
            {
                anstream::eprintln!("{words}");
            }
        };
        let holder = Holder::this_process(&self.environment.host);
        let lease = Lease::take(&connection.cluster, &Marks::new(&desired.name), &holder, &note).await?;
        let done = self.make(&wanted, &connection.cluster, &wandb).await;
        lease.release().await;
        let done = done?;
        if !quiet {
            for line in done.lines(&wanted) {
                anstream::eprintln!("{line}");
            }
        }
        let document = json!({
            "name": wanted.name,
            "path": done.path,
            "state": done.sweep.state,
            "sweepMade": done.sweep_made,
            "job": done.job,
            "jobMade": done.job_made,
            "agents": args.agents,
        });
        match self.global.output {
            Output::Json => out(&serde_json::to_string_pretty(&document)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&document)),
            _ => out(&done.path),
        }
        Ok(Exit::Done)
    }

    /// What was asked for, checked without asking anybody.
    fn wanted<'a>(&self, desired: &'a Desired, args: &'a RunSweepArgs) -> Result<Wanted<'a>, Failure> {
        let launch = launch_of(desired)?;
        let queue = queue_of(launch, &args.queue)?;
        let path = args.config.display().to_string();
        let text = std::fs::read_to_string(&args.config).with_context(|| format!("read the sweep file {path}"))?;
        let file = read_sweep_file(&text, &path).map_err(|problems| problems_failure("sweep file", &problems))?;
        let Some(name) = args.name.clone().or_else(|| file.name.clone()) else {
            return Err(Failure::usage(
                "the sweep has no name: give it one with --name, or as `name:` in the sweep file",
            ));
        };
        if !is_dns_label(&name) || name.len() > LONGEST {
            let words = format!(
                "{name:?} is no name for a sweep: at most {LONGEST} small letters, digits and dashes; --name gives it another"
            );
            return Err(Failure::usage(words));
        }
        let Some(project) = args.project.clone().or_else(|| file.project.clone()) else {
            return Err(Failure::usage(
                "the sweep has no project: give it one with --project, or as `project:` in the sweep file",
            ));
        };
        if let Some(entity) = file.entity.as_ref().filter(|entity| **entity != launch.service.entity) {
            let words =
                format!("the sweep file is of the entity {entity}, and the blueprint of {}", launch.service.entity);
            return Err(Failure::usage(words));
        }
        let file = file.with(&name, args.runs);
        match file.runs {
            None if args.count.is_none() => {
                let error = anyhow::anyhow!("the search has no end, and its agents would hold their GPUs for ever");
                return Err(Failure::hinted(
                    error,
                    "say how many runs there shall be: --runs 50, or `run_cap: 50` in the sweep file",
                ));
            }
            Some(runs) if u64::from(args.agents) > runs => {
                let error = anyhow::anyhow!(
                    "{} agents for {runs} runs: some would hold GPUs and have nothing to do",
                    args.agents
                );
                return Err(Failure::hinted(error, format!("ask for {runs} agents at most")));
            }
            _ => {}
        }
        let Some(agent) = launch.agents.iter().find(|agent| agent.queues.contains(&queue.name)) else {
            let error = anyhow::anyhow!(
                "no agent of the blueprint serves queue {}, so that its namespace has no API key",
                queue.name
            );
            return Err(Failure::hinted(error, "add the queue to an agent's `queues`, and apply"));
        };
        let secret = format!("wandb-api-key-{}", agent.release.name);
        let values = match values(queue, &args.set)? {
            Value::Object(values) => values,
            _ => Map::new(),
        };
        Ok(Wanted { desired, launch, queue, args, name, project, file, secret, values })
    }

    /// Proves that the agents can run on the pool's nodes, and all of them at once.
    async fn hold_sweep(&self, wanted: &Wanted<'_>, job: &Value, connection: &Connection) -> Result<(), Failure> {
        let mut launch = wanted.launch.clone();
        launch.queues = vec![DesiredQueue { job: job.clone(), ..wanted.queue.clone() }];
        let desired = Desired { launch: Some(launch), ..wanted.desired.clone() };
        let proof = self.proof_of(&desired, Some(connection)).await;
        let from = format!("launch queue {}", wanted.queue.name);
        let broken = proof.workloads.iter().find(|one| one.from == from && one.standing == Standing::Broken);
        let go_on = "mend what is named above, or go on as it is with --allow-unschedulable";
        if let Some(workload) = broken {
            let chains: Vec<String> = proof
                .broken
                .iter()
                .filter(|broken| broken.workloads.contains(&workload.what))
                .map(|broken| format!("\n{}", gpu::one_broken(broken).trim_end()))
                .collect();
            return Err(Failure::hinted(anyhow::anyhow!("an agent could never run:{}", chains.concat()), go_on));
        }
        let pool = wanted.queue.pool.as_deref();
        if let Some(asked) = wanted.args.agents_per_gpu {
            let found = agents_per_gpu(&desired, &proof.pools, pool, job);
            share(wanted, u64::from(asked), found)?;
        }
        if let Some(room) = room(&desired, &proof.pools, pool, job)
            && u64::from(wanted.args.agents) > room.agents
        {
            let error = anyhow::anyhow!(
                "{} agents were asked for, and there is room for {}: {}",
                wanted.args.agents,
                room.agents,
                room.because
            );
            return Err(Failure::hinted(error, format!("ask for fewer, or {}", room.fix)));
        }
        Ok(())
    }

    /// Asks the API server whether it would take Job and pods, and looks for what they refer to.
    async fn admitted(&self, wanted: &Wanted<'_>, job: &Value, connection: &Connection) -> Result<(), Failure> {
        let (cluster, namespace) = (&connection.cluster, wanted.queue.namespace.as_str());
        let secret = ObjectId::new("v1", "Secret", Some(namespace), &wanted.secret);
        if let Some(resource) = connection.discovery.find(&Gvk::new("v1", "Secret"))
            && cluster.get_metadata(resource, &secret).await?.is_none()
        {
            let error = anyhow::anyhow!("there is no Secret {namespace}/{} with the API key", wanted.secret);
            return Err(Failure::hinted(error, "wbk-infra apply makes it"));
        }
        let template = &job["spec"]["template"];
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {"name": format!("{}-dry-run", job_name(&wanted.name)), "labels": template["metadata"]["labels"]},
        });
        let asked = [
            (
                format!("/apis/batch/v1/namespaces/{namespace}/jobs?dryRun=All&fieldValidation=Strict"),
                job,
                "the Job of the agents",
            ),
            (
                format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict"),
                &pod,
                "the pod of an agent",
            ),
        ];
        for (path, object, what) in asked {
            let attempted = format!("try {what}");
            match cluster.request(Method::POST, &path, Some(object), &attempted).await {
                Ok(_) => {}
                // It is looked at again below; here only its form matters.
                Err(error) if error.kind == ErrorKind::Stale => {}
                // That all of them fit beside nothing else was reckoned; what others use now, they give back.
                Err(error) if error.words().contains("exceeded quota:") => {
                    if !self.global.quiet {
                        anstream::eprintln!("the quota is full now, so that agents wait: {}", error.words());
                    }
                }
                Err(error) => {
                    return Err(Failure::hinted(
                        anyhow::Error::new(error).context(format!("namespace {namespace} does not take {what}")),
                        "mend what refuses it; wbk-infra verify --only launch names it too",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Makes the sweep, or finds it; then its Job.
    async fn make(&self, wanted: &Wanted<'_>, cluster: &Cluster, wandb: &Wandb) -> Result<Done, Failure> {
        let (sweep, sweep_made, warnings) = found_or_made(wanted, wandb).await?;
        let path = format!("{}/{}/{}", wandb.entity, wanted.project, sweep.name);
        let mut done = Done { path, sweep, sweep_made, warnings, job: String::new(), job_made: false, running: None };
        match done.sweep.state {
            SweepState::Finished => return Ok(done),
            SweepState::Paused => {
                let error = anyhow::anyhow!("sweep {} is paused", wanted.name);
                return Err(Failure::hinted(error, format!("wbk-infra sweep resume {}", wanted.name)));
            }
            SweepState::Canceled | SweepState::Crashed => {
                let error = anyhow::anyhow!("sweep {} ({}) is {}", wanted.name, done.path, done.sweep.state.word());
                return Err(Failure::hinted(error, "give the new one another name with --name"));
            }
            SweepState::Pending | SweepState::Running | SweepState::Other => {}
        }
        let job = wanted.job(&done.path)?;
        let collection = format!("/apis/batch/v1/namespaces/{}/jobs", wanted.queue.namespace);
        let name = job_name(&wanted.name);
        done.job = format!("{}/{name}", wanted.queue.namespace);
        let begun = Instant::now();
        loop {
            match get(cluster, &format!("{collection}/{name}")).await? {
                None => {
                    match cluster.request(Method::POST, &collection, Some(&job), "make the Job of the agents").await {
                        Ok(_) => {
                            done.job_made = true;
                            return Ok(done);
                        }
                        Err(error) if error.kind == ErrorKind::Stale && begun.elapsed() < GONE => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Some(found) if !found["metadata"]["deletionTimestamp"].is_null() => {}
                Some(found) => {
                    let labels = &found["metadata"]["labels"];
                    let ours = labels[SWEEP_LABEL] == wanted.name.as_str()
                        && labels[PLATFORM_LABEL] == wanted.desired.name.as_str();
                    if !ours {
                        let error = anyhow::anyhow!("somebody else made a Job {}", done.job);
                        return Err(Failure::hinted(error, "give the sweep another name with --name"));
                    }
                    if !has_ended(&found) {
                        if path_of(&found) != Some(&done.path) {
                            let words =
                                format!("{} runs agents of {}", done.job, path_of(&found).unwrap_or("another sweep"));
                            return Err(Failure::hinted(
                                anyhow::anyhow!(words),
                                "give the sweep another name with --name",
                            ));
                        }
                        done.running = found["spec"]["parallelism"].as_u64();
                        return Ok(done);
                    }
                    delete_job(cluster, &found).await?;
                }
            }
            if begun.elapsed() > GONE {
                let error = anyhow::anyhow!("the Job {} of before does not go", done.job);
                return Err(Failure::hinted(error, "see what holds it: kubectl describe job"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await; // Polls a condition that has a bound.
        }
    }
}

/// The sweep of that name, made where there is none; whether it was made, and what W&B finds strange in it.
async fn found_or_made(wanted: &Wanted<'_>, wandb: &Wandb) -> Result<(SweepFound, bool, Vec<String>), Failure> {
    let config = wanted.file.text();
    let mark = Mark::new(&wanted.desired.name, &wanted.name, &config);
    if let Some(found) = oldest(wanted, wandb).await? {
        let before = Mark::read(&found.description).map(|mark| mark.digest);
        if before.as_ref() != Some(&mark.digest) {
            let error = anyhow::anyhow!("sweep {} ({}) was made of another configuration", wanted.name, found.name);
            return Err(Failure::hinted(
                error,
                "give this one another name with --name; runs of two searches do not compare",
            ));
        }
        return Ok((found, false, Vec::new()));
    }
    let description = mark.after(wanted.file.description());
    let (name, warnings) =
        wandb.make_sweep(&wanted.project, &config, &description).await.map_err(anyhow::Error::new)?;
    // One write, then a look.
    match oldest(wanted, wandb).await? {
        Some(found) => Ok((found, true, warnings)),
        None => Err(anyhow::anyhow!(
            "W&B made the sweep {name} and keeps its description otherwise, so that it could not be found again"
        )
        .into()),
    }
}

/// The first sweep that was made under this name.
async fn oldest(wanted: &Wanted<'_>, wandb: &Wandb) -> Result<Option<SweepFound>, Failure> {
    let listed = wandb.sweeps(&wanted.project).await.map_err(anyhow::Error::new)?;
    let ours = listed.into_iter().filter(|sweep| is_of(sweep, &wanted.desired.name, &wanted.name));
    Ok(ours.min_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name))))
}

impl Wanted<'_> {
    fn job(&self, path: &str) -> Result<Value, Failure> {
        let agents = AgentJob {
            name: &self.name,
            path,
            image: &self.args.image,
            agents: self.args.agents,
            count: self.args.count,
            secret: &self.secret,
            base_url: &self.launch.service.base_url,
            values: &self.values,
        };
        agent_job(self.queue, &agents).map_err(|error| Failure::usage(error.to_string()))
    }
}

/// Holds what the user counts on to what the pool's nodes offer.
fn share(wanted: &Wanted<'_>, asked: u64, found: Option<u64>) -> Result<(), Failure> {
    let pool = wanted.queue.pool.as_deref().unwrap_or_default();
    let (why, hint) = match found {
        Some(found) if found == asked => return Ok(()),
        None => (
            "it is not known what the queue's nodes offer".to_owned(),
            "leave --agents-per-gpu out, or give the queue a pool with GPUs".to_owned(),
        ),
        Some(1) => (
            format!("an agent of queue {} gets whole GPUs of pool {pool}", wanted.queue.name),
            format!(
                "share them: gpu: {{sharing: [{{pool: {pool}, strategy: time-slicing, replicas: {asked}}}]}}, or strategy: mps, and apply"
            ),
        ),
        Some(found) => (
            format!("a GPU of pool {pool} is shared by {found}"),
            format!("say --agents-per-gpu {found}, or change gpu.sharing of pool {pool}"),
        ),
    };
    Err(Failure::hinted(anyhow::anyhow!("{asked} agents on one GPU cannot be had: {why}"), hint))
}

async fn get(cluster: &Cluster, path: &str) -> Result<Option<Value>, Failure> {
    match cluster.request(Method::GET, path, None, "look for the Job of the agents").await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn has_ended(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|found| ["Complete", "Failed"].iter().any(|kind| found["type"] == *kind) && found["status"] == "True")
}

/// What was done.
struct Done {
    path: String,
    sweep: SweepFound,
    sweep_made: bool,
    warnings: Vec<String>,
    job: String,
    job_made: bool,
    /// Agents that were there already.
    running: Option<u64>,
}

impl Done {
    fn lines(&self, wanted: &Wanted<'_>) -> Vec<String> {
        let mut lines: Vec<String> =
            self.warnings.iter().map(|warning| format!("W&B finds strange: {warning}")).collect();
        let runs = wanted.file.runs.map_or_else(String::new, |runs| format!(", {runs} runs"));
        lines.push(match (self.sweep_made, self.sweep.state) {
            (true, _) => format!("sweep {} is made{runs}", wanted.name),
            (false, SweepState::Finished) => {
                format!("sweep {} has ended after {} runs: nothing to do", wanted.name, self.sweep.runs)
            }
            (false, _) => format!(
                "sweep {} goes on: {} runs so far{}",
                wanted.name,
                self.sweep.runs,
                runs.replacen(',', " of", 1)
            ),
        });
        if self.job_made {
            lines.push(format!(
                "{} agents in Job {}; wbk-infra sweep status shows what becomes of them",
                wanted.args.agents, self.job
            ));
        }
        if let Some(running) = self.running {
            lines.push(format!("Job {} has {running} agents already", self.job));
            if running != u64::from(wanted.args.agents) {
                lines.push("another number of them takes its end, or `wbk-infra sweep cancel`".to_owned());
            }
        }
        lines
    }
}
