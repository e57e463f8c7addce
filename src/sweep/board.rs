//! What goes on in sweeps: how far each is, what its agents do and why one waits. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::job::said_of;
use crate::cluster::{pod_trouble, text};
use crate::wandb::{SweepFound, SweepRun, SweepState};

/// What the picture is made from.
#[derive(Debug, Clone, Default)]
pub struct SweepSources {
    /// Sweeps by their path, as far as W&B told them, each with its runs.
    pub sweeps: BTreeMap<String, (SweepFound, Vec<SweepRun>)>,
    /// Names that this tool gave them, by path, of those that have no Job.
    pub names: BTreeMap<String, String>,
    /// Jobs of agents.
    pub jobs: Vec<Value>,
    /// Pods of agents.
    pub pods: Vec<Value>,
    /// Events about those Jobs.
    pub events: Vec<Value>,
    /// What could not be asked, and why.
    pub unseen: Vec<String>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepBoard {
    /// Sweeps, by name.
    pub sweeps: Vec<SweepRow>,
    /// What could not be asked, and why.
    pub unseen: Vec<String>,
}

/// A sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepRow {
    /// Its name, of this tool's making.
    pub name: String,
    /// `entity/project/sweep`.
    pub path: String,
    /// How far it is; `None` where W&B did not say.
    pub state: Option<SweepState>,
    /// Runs by their state.
    pub runs: BTreeMap<String, usize>,
    /// Runs that there will be, where there is an end.
    pub expected: Option<u64>,
    /// The run with the best result so far.
    pub best: Option<BestRun>,
    /// The Job of its agents, `namespace/name`.
    pub job: Option<String>,
    /// Agents that shall run.
    pub wanted: u64,
    /// Agents, by name.
    pub agents: Vec<AgentRow>,
    /// What to know, and what to do.
    pub notes: Vec<String>,
}

/// The best result so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BestRun {
    /// Its run.
    pub run: String,
    /// The metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// What it was tried with.
    pub set: BTreeMap<String, Value>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRow {
    /// Its pod.
    pub pod: String,
    /// `pending`, `running`, `succeeded`, `failed`.
    pub state: String,
    /// The pod's node.
    pub node: Option<String>,
    /// Why it does not run, or why it failed.
    pub why: Option<String>,
}

/// Draws it.
pub fn sweep_board(sources: &SweepSources) -> SweepBoard {
    let mut rows: Vec<SweepRow> = sources.jobs.iter().filter_map(|job| with_job(job, sources)).collect();
    for (path, name) in &sources.names {
        if !rows.iter().any(|row| row.path == *path) {
            rows.push(row(name, path, None, sources));
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    SweepBoard { sweeps: rows, unseen: sources.unseen.clone() }
}

fn with_job(job: &Value, sources: &SweepSources) -> Option<SweepRow> {
    let (name, path, _) = said_of(job)?;
    Some(row(name, path, Some(job), sources))
}

fn row(name: &str, path: &str, job: Option<&Value>, sources: &SweepSources) -> SweepRow {
    let found = sources.sweeps.get(path);
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for run in found.iter().flat_map(|(_, runs)| runs) {
        *runs.entry(run.state.clone()).or_default() += 1;
    }
    let agents = job.map(|job| agents(job, sources)).unwrap_or_default();
    let mut row = SweepRow {
        name: name.to_owned(),
        path: path.to_owned(),
        state: found.map(|(sweep, _)| sweep.state),
        runs,
        expected: found.and_then(|(sweep, _)| sweep.expected),
        best: found.and_then(|(sweep, runs)| best(sweep, runs)),
        job: job.map(|job| format!("{}/{}", text(job, "/metadata/namespace"), text(job, "/metadata/name"))),
        wanted: job.and_then(|job| job["spec"]["parallelism"].as_u64()).unwrap_or_default(),
        agents,
        notes: Vec::new(),
    };
    row.notes = notes(&row, job, sources);
    row
}

fn agents(job: &Value, sources: &SweepSources) -> Vec<AgentRow> {
    let of_job = |pod: &&Value| {
        text(pod, "/metadata/namespace") == text(job, "/metadata/namespace")
            && pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == job["metadata"]["name"]
    };
    let mut agents: Vec<AgentRow> = sources
        .pods
        .iter()
        .filter(of_job)
        .map(|pod| AgentRow {
            pod: text(pod, "/metadata/name").to_owned(),
            state: text(pod, "/status/phase").to_ascii_lowercase(),
            node: Some(text(pod, "/spec/nodeName").to_owned()).filter(|node| !node.is_empty()),
            why: pod_trouble(pod),
        })
        .collect();
    agents.sort_by(|one, other| one.pod.cmp(&other.pod));
    agents
}

/// The run with the best result, where the sweep says what is good.
fn best(sweep: &SweepFound, runs: &[SweepRun]) -> Option<BestRun> {
    let config = crate::blueprint::read_values(&sweep.config, "sweep").ok()?;
    let metric = config.get("metric")?;
    let name = metric.get("name")?.as_str()?;
    let larger = metric.get("goal").and_then(|goal| goal.as_str()) == Some("maximize");
    let results = runs.iter().filter_map(|run| Some((run, run.summary.get(name)?.as_f64()?)));
    let (run, value) = results.reduce(|best, next| if (next.1 > best.1) == larger { next } else { best })?;
    let parameters: Vec<&str> = config.get("parameters")?.entries().iter().map(|entry| entry.key.as_str()).collect();
    let set = run.config.as_object().into_iter().flatten();
    let set = set.filter(|(key, _)| parameters.contains(&key.as_str()));
    Some(BestRun {
        run: run.name.clone(),
        metric: name.to_owned(),
        value,
        set: set.map(|(key, value)| (key.clone(), value["value"].clone())).collect(),
    })
}

fn notes(row: &SweepRow, job: Option<&Value>, sources: &SweepSources) -> Vec<String> {
    let mut notes = Vec::new();
    let count = |state: &str| row.runs.get(state).copied().unwrap_or_default();
    let open = matches!(row.state, Some(SweepState::Pending | SweepState::Running | SweepState::Paused));
    let ended = job.is_some_and(|job| ["Complete", "Failed"].iter().any(|kind| holds(job, kind)));
    let again = "`wbk-infra sweep run` with the same words goes on with what is left";
    match (open, job) {
        (true, None) => notes.push(format!("it has no agents: {again}")),
        (true, Some(_)) if ended => notes.push(format!(
            "its agents have ended before it ({} runs failed; an agent gives up after three failed runs in its first minute, or \
             when the first five fail): {again}",
            count("failed")
        )),
        _ => {}
    }
    if row.state == Some(SweepState::Paused) && !ended && job.is_some() {
        notes.push(format!("it is paused, and its agents keep their places: wbk-infra sweep resume {}", row.name));
    }
    if count("crashed") > 0 {
        notes.push(format!(
            "{} runs were lost with their program, and W&B tries their sets no more: a program that calls run.mark_preempting() at its \
             start is given its set again",
            count("crashed")
        ));
    }
    if count("preempted") > 0 {
        notes.push(format!("{} interrupted runs wait for the next agent", count("preempted")));
    }
    if let Some(job) = job.filter(|_| !ended && (row.agents.len() as u64) < row.wanted) {
        let refused = sources
            .events
            .iter()
            .filter(|event| {
                event["reason"] == "FailedCreate" && event["involvedObject"]["uid"] == job["metadata"]["uid"]
            })
            .max_by_key(|event| text(event, "/lastTimestamp").to_owned());
        if let Some(event) = refused {
            notes.push(format!("a pod is refused: {}", text(event, "/message")));
        } else if job["spec"]["suspend"] == true {
            notes.push("it is suspended: Kueue has not admitted it yet".into());
        }
    }
    notes
}

/// Whether a Job has ended so.
fn holds(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|found| found["type"] == kind && found["status"] == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sweep::job::{agent_job, tests};

    fn run(name: &str, state: &str, loss: f64) -> SweepRun {
        SweepRun {
            name: name.into(),
            state: state.into(),
            config: json!({"lr": {"value": loss / 2.0}, "_wandb": {"value": {}}}),
            summary: json!({"loss": loss}),
        }
    }

    fn sources(state: SweepState, runs: Vec<SweepRun>, conditions: Value) -> SweepSources {
        let mut job = agent_job(&tests::queue(), &tests::wanted(&serde_json::Map::new())).unwrap();
        job["metadata"]["uid"] = "u".into();
        job["status"] = json!({"conditions": conditions});
        let found = SweepFound {
            id: "i".into(),
            name: "abc".into(),
            display_name: None,
            description: String::new(),
            state,
            config: "metric: {name: loss, goal: minimize}\nparameters: {lr: {values: [1, 2]}}\n".into(),
            created: String::new(),
            runs: runs.len() as u64,
            expected: Some(6),
        };
        let pod = json!({"metadata": {"name": "sweep-lr-0-x", "namespace": "jobs", "labels": {"batch.kubernetes.io/job-name": "sweep-lr"}},
            "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        SweepSources {
            sweeps: [("team/p/abc".to_owned(), (found, runs))].into_iter().collect(),
            jobs: vec![job],
            pods: vec![pod],
            ..SweepSources::default()
        }
    }

    #[test]
    fn a_sweep_shows_its_runs_its_best_and_its_agents() {
        let runs = vec![run("a", "finished", 0.4), run("b", "finished", 0.2), run("c", "running", 0.3)];
        let mut sources = sources(SweepState::Running, runs, json!([]));
        sources.events = vec![
            json!({"reason": "FailedCreate", "involvedObject": {"uid": "u"}, "message": "exceeded quota: q", "lastTimestamp": "1"}),
        ];
        let row = sweep_board(&sources).sweeps.remove(0);
        assert_eq!((row.name.as_str(), row.expected, row.wanted, row.agents.len()), ("lr", Some(6), 3, 1));
        assert_eq!(row.runs, [("finished".to_owned(), 2), ("running".to_owned(), 1)].into_iter().collect());
        let best = row.best.unwrap();
        assert_eq!((best.run.as_str(), best.value, &best.set["lr"]), ("b", 0.2, &json!(0.1)));
        assert_eq!(row.notes, ["a pod is refused: exceeded quota: q"]);
    }

    #[test]
    fn a_sweep_whose_agents_are_gone_says_how_to_go_on() {
        let complete = json!([{"type": "Complete", "status": "True"}]);
        let runs = vec![run("a", "failed", 1.0), run("b", "crashed", 1.0), run("c", "preempted", 1.0)];
        let notes = sweep_board(&sources(SweepState::Running, runs, complete.clone())).sweeps.remove(0).notes;
        assert_eq!(notes.len(), 3, "{notes:#?}");
        assert!(
            notes[0].contains("ended before it (1 runs failed") && notes[1].contains("mark_preempting"),
            "{notes:#?}"
        );
        assert!(sweep_board(&sources(SweepState::Finished, Vec::new(), complete)).sweeps.remove(0).notes.is_empty());
        let mut jobless = sources(SweepState::Running, Vec::new(), json!([]));
        jobless.jobs.clear();
        jobless.names.insert("team/p/abc".into(), "lr".into());
        let row = sweep_board(&jobless).sweeps.remove(0);
        assert!(row.job.is_none() && row.notes[0].contains("no agents"), "{row:#?}");
    }
}
