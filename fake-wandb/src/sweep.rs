//! Sweeps, and the agents that ask them what to run next.
//!
//! What the SDK's agent shows is as it is (wandb 0.17.3 and 0.31.0, `wandb_agent.py`): it registers, says every few seconds what it
//! runs, and is answered with commands. What becomes of a run that was interrupted is as W&B documents it (docs.wandb.ai, "Resume
//! preemptible Sweeps runs"): one that called `mark_preempting` and ended with an error, or was not heard of for five minutes, is
//! given to the next agent under its own name; any other is failed or crashed, and its set is not tried again.
//!
//! Assumed: an agent is told to exit once nothing is left to try and no run of the sweep is open; a set that was given out and whose run
//! never began is given out again when its agent is silent for as long.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::mutation::Input;
use crate::search::Search;
use crate::world::{Refusal, RunKey, World, id};

/// States of a run whose program may still be there.
const ALIVE: [&str; 3] = ["pending", "running", "preempting"];

/// A sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// Its id in the API.
    pub id: String,
    /// Eight letters and digits: what users call its id.
    pub name: String,
    /// Its entity.
    pub entity: String,
    /// Its project.
    pub project: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// Its configuration as it was given: YAML.
    pub config: String,
    /// `PENDING`, `RUNNING`, `PAUSED`, `FINISHED`, `CANCELED`, `CRASHED`.
    pub state: String,
    /// The local controller's own words.
    pub controller: Option<String>,
    /// The scheduler of a launch sweep.
    pub scheduler: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Names of its runs, in the order in which they were given out.
    pub runs: Vec<String>,
    /// Runs that were interrupted and wait for the next agent.
    pub waiting: VecDeque<String>,
    #[serde(skip)]
    pub(crate) search: Search,
    number: u64,
}

/// An agent of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepAgent {
    /// Its id.
    pub id: String,
    /// The id of its sweep.
    pub sweep: String,
    /// Where it runs: the pod's name.
    pub host: String,
    /// Runs that it was given.
    pub given: BTreeSet<String>,
    /// How many those were, counting again those given again.
    pub total: u64,
    /// It was told to exit.
    pub told_to_exit: bool,
    /// When it registered.
    pub created: Timestamp,
    /// When it was last heard of.
    pub heartbeat: Timestamp,
}

impl Sweep {
    /// The key of a run of it.
    pub fn run(&self, name: &str) -> RunKey {
        RunKey::new(&self.entity, &self.project, name)
    }
}

/// Eight letters and digits that come of a number.
fn short_name(number: u64) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(number | 1);
        // Below 36.
        char::from(LETTERS[usize::try_from((state >> 33) % 36).unwrap_or_default()])
    };
    (0..8).map(letter).collect()
}

/// A word for a state that W&B has.
fn check_state(state: &str) -> Result<(), Refusal> {
    let known = ["PENDING", "RUNNING", "PAUSED", "FINISHED", "CANCELED", "CRASHED", "FAILED"];
    if known.contains(&state) { Ok(()) } else { Err(Refusal::new(format!("a sweep has no state {state}"))) }
}

/// `upsertSweep`: its id.
pub(crate) fn upsert(world: &mut World, input: Input<'_>) -> Result<(String, Vec<String>), Refusal> {
    if input.text("priorRunsFilters").is_some() {
        return Err(Refusal::new("this server adds no earlier runs to a sweep"));
    }
    if let Some(state) = input.text("state") {
        check_state(state)?;
    }
    let search = input.text("config").map(Search::read).transpose()?;
    let scheduler = input.text("launchScheduler").map(str::to_owned);
    let now = Timestamp::now();
    let (key, warnings) = match input.text("id") {
        Some(key) => {
            let gone = || Refusal::new(format!("sweep {key} is not there"));
            let entity = world.sweeps.get(key).ok_or_else(gone)?.entity.clone();
            world.own_entity(Some(&entity))?;
            let Some(sweep) = world.sweeps.get_mut(key) else { return Err(Refusal::new("sweep is gone")) };
            let warnings = search.as_ref().map(|search| search.warnings.clone()).unwrap_or_default();
            if let (Some(search), Some(text)) = (search, input.text("config")) {
                sweep.search = search;
                sweep.config = text.into();
            }
            (key.to_owned(), warnings)
        }
        None => {
            let search = search.ok_or_else(|| Refusal::new("a new sweep needs a config"))?;
            let entity = world.own_entity(input.text("entityName"))?;
            let project = input.text("projectName").filter(|name| !name.is_empty()).unwrap_or("uncategorized");
            world.make_project(&entity, project);
            let number = world.next();
            let name = short_name(number);
            let key = id("Sweep", &format!("v1:{name}:{project}:{entity}"));
            let warnings = search.warnings.clone();
            let sweep = Sweep {
                id: key.clone(),
                name,
                entity,
                project: project.into(),
                display_name: search.name.clone(),
                description: search.description.clone(),
                config: input.text("config").unwrap_or_default().into(),
                state: "PENDING".into(),
                controller: None,
                scheduler: None,
                created: now,
                updated: now,
                runs: Vec::new(),
                waiting: VecDeque::new(),
                search,
                number,
            };
            world.sweeps.insert(key.clone(), sweep);
            (key, warnings)
        }
    };
    let Some(sweep) = world.sweeps.get_mut(&key) else { return Err(Refusal::new("sweep is gone")) };
    let own = |name: &str| input.text(name).map(str::to_owned);
    sweep.updated = now;
    sweep.state = own("state").unwrap_or(sweep.state.clone());
    sweep.display_name = own("displayName").or(sweep.display_name.take());
    sweep.description = own("description").or(sweep.description.take());
    sweep.controller = own("controller").or(sweep.controller.take());
    sweep.scheduler = own("scheduler").or(sweep.scheduler.take());
    if let Some(scheduler) = scheduler {
        launch_scheduler(world, &key, &scheduler)?;
    }
    Ok((key, warnings))
}

/// A scheduler is pushed to a queue in the sweep's own name (`wandb/cli/cli.py: launch_sweep` of 0.17.3: the placeholder
/// `WANDB_SWEEP_ID`, and what is read back of it when the sweep is resumed).
fn launch_scheduler(world: &mut World, key: &str, text: &str) -> Result<(), Refusal> {
    let wanted = crate::queue::parse_object("the launch scheduler", text)?;
    let part = |name: &str| {
        let part = wanted.get(name).and_then(Value::as_str);
        part.ok_or_else(|| Refusal::new(format!("the launch scheduler names no {name}")))
    };
    let (queue, project, spec) = (part("queue")?, part("run_queue_project")?, part("run_spec")?);
    let Some(sweep) = world.sweeps.get_mut(key) else { return Err(Refusal::new("sweep is gone")) };
    let spec = spec.replace("WANDB_SWEEP_ID", &sweep.name);
    sweep.scheduler = Some(json!({"queue": queue, "run_queue_project": project, "run_spec": spec}).to_string());
    let entity = sweep.entity.clone();
    let input: Map<String, Value> = [("runSpec".to_owned(), spec.into())].into_iter().collect();
    crate::mutation::push_to(world, (&entity, project, queue), Input(&input))
}

/// `createAgent`: its id.
pub(crate) fn register(world: &mut World, input: Input<'_>) -> Result<String, Refusal> {
    let entity = world.own_entity(input.text("entityName"))?;
    let (project, name) =
        (input.text("projectName").unwrap_or("uncategorized"), input.text("sweep").unwrap_or_default());
    let sweep = world.sweep(&entity, project, name);
    let sweep =
        sweep.ok_or_else(|| Refusal::new(format!("could not find sweep {entity}/{project}/{name}")))?.id.clone();
    let key = id("Agent", &world.next().to_string());
    let now = Timestamp::now();
    let agent = SweepAgent {
        id: key.clone(),
        sweep,
        host: input.text("host").unwrap_or_default().into(),
        given: BTreeSet::new(),
        total: 0,
        told_to_exit: false,
        created: now,
        heartbeat: now,
    };
    world.sweep_agents.insert(key.clone(), agent);
    Ok(key)
}

/// `agentHeartbeat`: the commands, as JSON.
pub(crate) fn heartbeat(world: &mut World, input: Input<'_>) -> Result<String, Refusal> {
    let key = input.text("id").unwrap_or_default().to_owned();
    let running = input.text("runState").map(|text| crate::queue::parse_object("the run states", text)).transpose()?;
    let running: BTreeSet<String> = running.unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    let now = Timestamp::now();
    let agent = world.sweep_agents.get_mut(&key).ok_or_else(|| Refusal::new(format!("agent {key} is not there")))?;
    agent.heartbeat = now;
    let sweep = agent.sweep.clone();
    forget_silent(world, &sweep, now);
    let Some(found) = world.sweeps.get(&sweep).cloned() else { return Err(Refusal::new("sweep is gone")) };
    for name in &running {
        if let Some(run) = world.runs.get_mut(&found.run(name)) {
            run.heartbeat = now;
        }
    }
    let mut commands = Vec::new();
    if found.state == "CANCELED" {
        commands.push(json!({"type": "exit"}));
    } else {
        let stopped = |name: &&String| world.runs.get(&found.run(name)).is_some_and(|run| run.stopped);
        commands.extend(running.iter().filter(stopped).map(|name| json!({"type": "stop", "run_id": name})));
        if running.is_empty() {
            commands.extend(next(world, &found, &key));
        }
    }
    if commands.iter().any(|command| command["type"] == "exit")
        && let Some(agent) = world.sweep_agents.get_mut(&key)
    {
        agent.told_to_exit = true;
    }
    Ok(Value::from(commands).to_string())
}

/// What an agent that runs nothing is told.
fn next(world: &mut World, found: &Sweep, agent: &str) -> Option<Value> {
    match found.state.as_str() {
        "PENDING" | "RUNNING" => {}
        // It may go on.
        "PAUSED" => return None,
        _ => return Some(json!({"type": "exit"})),
    }
    let sweep = world.sweeps.get_mut(&found.id)?;
    sweep.state = "RUNNING".into();
    let (kind, name) = match sweep.waiting.pop_front() {
        Some(name) => ("resume", name),
        None if found.search.set(found.runs.len(), found.number).is_some() => {
            let name = short_name(found.number.wrapping_add(1_000_003 * (found.runs.len() as u64 + 1)));
            sweep.runs.push(name.clone());
            ("run", name)
        }
        None => return over(world, found),
    };
    // The same number gives the same set: a run that is given again is given what it had.
    let number = sweep.runs.iter().position(|run| *run == name).unwrap_or_default();
    let args = found.search.set(number, found.number)?;
    let key = found.run(&name);
    let (run, _) = world.make_run(&key);
    run.state = "pending".into();
    run.sweep = Some(found.name.clone());
    run.heartbeat = Timestamp::now();
    (run.preempting, run.exit_code) = (false, None);
    run.config = Some(args.to_string());
    let agent = world.sweep_agents.get_mut(agent)?;
    agent.given.insert(name.clone());
    agent.total += 1;
    Some(json!({"type": kind, "run_id": name, "args": args, "program": found.search.program}))
}

/// Nothing is left to try: the sweep ends with its last run. Until then a run may come back, and agents wait.
fn over(world: &mut World, found: &Sweep) -> Option<Value> {
    let mut runs = found.runs.iter().filter_map(|name| world.runs.get(&found.run(name)));
    if runs.any(|run| ALIVE.contains(&run.state.as_str())) {
        return None;
    }
    let sweep = world.sweeps.get_mut(&found.id)?;
    sweep.state = "FINISHED".into();
    sweep.updated = Timestamp::now();
    Some(json!({"type": "exit"}))
}

/// Runs of a sweep that were not heard of for too long.
fn forget_silent(world: &mut World, sweep: &str, now: Timestamp) {
    let silence = world.config.silence;
    let silent = |at: Timestamp| now.duration_since(at).unsigned_abs() > silence;
    let Some(sweep) = world.sweeps.get(sweep) else { return };
    let lost: Vec<RunKey> = sweep
        .runs
        .iter()
        .map(|name| sweep.run(name))
        .filter(|key| {
            world.runs.get(key).is_some_and(|run| ALIVE.contains(&run.state.as_str()) && silent(run.heartbeat))
        })
        .collect();
    for key in lost {
        world.lose(&key);
    }
}

impl World {
    /// The sweep of that name.
    pub fn sweep(&self, entity: &str, project: &str, name: &str) -> Option<&Sweep> {
        self.sweeps.values().find(|sweep| sweep.entity == entity && sweep.project == project && sweep.name == name)
    }

    /// Nothing was heard of a run for as long as W&B waits: its program is gone.
    pub fn lose(&mut self, key: &RunKey) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let comes_back = run.preempting || run.state == "pending";
        run.state = if comes_back { "preempted".into() } else { "crashed".into() };
        if comes_back {
            self.give_again(key);
        }
    }

    /// Puts a run before everything else that its sweep has to do.
    pub(crate) fn give_again(&mut self, key: &RunKey) {
        let sweep = self
            .sweeps
            .values_mut()
            .find(|sweep| sweep.entity == key.entity && sweep.project == key.project && sweep.runs.contains(&key.name));
        if let Some(sweep) = sweep
            && !sweep.waiting.contains(&key.name)
        {
            sweep.waiting.push_back(key.name.clone());
        }
    }
}
