//! The Job of a sweep's agents: a queue's own Job, with `wandb agent` in it.
//!
//! Retries belong to the Job, since no launch agent watches it and no agent has a set of its own: each asks W&B what to try next, so that a
//! pod that is made again never runs a set a second time. A pod that is taken away (node lost, drained, preempted) is replaced and
//! does not count. One whose agent fails by itself is tried again a few times, for itself alone: with one limit for all of them, an agent
//! that cannot start would end those that train.

use serde_json::{Map, Value, json};

use crate::desired::{DesiredQueue, PLATFORM_LABEL, QUEUE_LABEL};

/// Label of a sweep's Job and pods: the name that the user gave it.
pub const SWEEP_LABEL: &str = "wbk-infra/sweep";
/// Annotation of a sweep's Job: `entity/project/sweep`.
pub const PATH_ANNOTATION: &str = "wbk-infra/sweep-path";
/// Label of a sweep's Job and pods: the queue whose Job it is made of. It is not the queue's own label: no launch agent follows it.
const FROM_LABEL: &str = "wbk-infra/sweep-queue";
/// How often an agent that fails by itself is started again: an image that is pulled slowly, W&B that is away for a while; the Job
/// controller waits 10, 20 and 40 s before them. The agent itself asks W&B for hours before it gives up.
const TRIES: u32 = 3;

/// What the container runs. A process with the id 1 does not end by a signal that it does not handle, and `wandb agent` handles none, so that
/// a pod that is taken away would be killed with its training unheard. Since 0.24.0 the agent passes signals on when it is told to, waits
/// for its run, and ends with 0, as if all were done; so a pod that was told to end says so itself (143).
const SCRIPT: &str = r#"told=
agent=
forward=
trap 'told=1; [ -z "$agent" ] || [ -z "$forward" ] || kill -TERM "$agent"' TERM
case "$(wandb agent --help 2>&1)" in
*--forward-signals*) forward=1; set -- --forward-signals "$@" ;;
esac
[ -z "$told" ] || exit 143
wandb agent "$@" &
agent=$!
wait "$agent"
code=$?
if [ -n "$told" ]; then
  wait "$agent"
  exit 143
fi
exit "$code"
"#;

/// What the agents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentJob<'a> {
    /// The sweep's name, of this tool's making.
    pub name: &'a str,
    /// `entity/project/sweep`; empty before W&B has named it.
    pub path: &'a str,
    /// Their image.
    pub image: &'a str,
    /// How many.
    pub agents: u32,
    /// Runs of each, where it shall end after some.
    pub count: Option<u32>,
    /// The Secret with the API key, in the queue's namespace.
    pub secret: &'a str,
    /// Where W&B's API is.
    pub base_url: &'a str,
    /// What was chosen of the queue's variables.
    pub values: &'a Map<String, Value>,
}

/// No Job of one pod can be made of the queue's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JobError {
    /// Its jobs are several pods.
    #[error("a job of queue {0} is several pods that start together, and an agent is one")]
    Gang(String),
    /// A value that may not be chosen.
    #[error("{name}: {why}")]
    Value {
        /// The variable.
        name: String,
        /// Why not.
        why: String,
    },
}

/// The Job's name.
pub fn job_name(sweep: &str) -> String {
    format!("sweep-{sweep}")
}

/// The Job of a sweep's agents.
///
/// # Errors
/// The queue's Job cannot be an agent's, or a value may not be chosen.
pub fn agent_job(queue: &DesiredQueue, wanted: &AgentJob<'_>) -> Result<Value, JobError> {
    let kept = &queue.content.config["resource_args"]["kubernetes"];
    if kept["kind"].as_str().is_some_and(|kind| kind != "Job" || kept["apiVersion"] != "batch/v1")
        || queue.job["spec"]["parallelism"].as_u64().is_some_and(|pods| pods > 1)
    {
        return Err(JobError::Gang(queue.name.clone()));
    }
    let mut job = chosen(queue, wanted.values)?;
    let labels = |of: &Value| {
        let mut labels = of.as_object().cloned().unwrap_or_default();
        labels.remove(QUEUE_LABEL);
        labels.insert(SWEEP_LABEL.into(), wanted.name.into());
        labels.insert(FROM_LABEL.into(), queue.name.clone().into());
        Value::Object(labels)
    };
    job["metadata"]["name"] = job_name(wanted.name).into();
    job["metadata"]["labels"] = labels(&job["metadata"]["labels"]);
    job["metadata"]["annotations"][PATH_ANNOTATION] = wanted.path.into();
    if let Some(spec) = job["spec"].as_object_mut() {
        spec.remove("backoffLimit");
        spec.insert("completionMode".into(), "Indexed".into());
        spec.insert("parallelism".into(), wanted.agents.into());
        spec.insert("completions".into(), wanted.agents.into());
        spec.insert("backoffLimitPerIndex".into(), TRIES.into());
        spec.insert(
            "podFailurePolicy".into(),
            json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}),
        );
        spec.insert("podReplacementPolicy".into(), "Failed".into());
    }
    let template = &mut job["spec"]["template"];
    template["metadata"]["labels"] = labels(&template["metadata"]["labels"]);
    template["spec"]["restartPolicy"] = "Never".into();
    container(&mut template["spec"]["containers"][0], wanted);
    Ok(job)
}

fn container(container: &mut Value, wanted: &AgentJob<'_>) {
    container["name"] = "agent".into();
    container["image"] = wanted.image.into();
    container["command"] = json!(["/bin/sh", "-c", SCRIPT, "wandb-agent"]);
    let mut arguments = Vec::new();
    if let Some(count) = wanted.count {
        arguments.extend(["--count".to_owned(), count.to_string()]);
    }
    arguments.push(wanted.path.to_owned());
    container["args"] = arguments.into();
    let ours = [
        json!({"name": "WANDB_API_KEY", "valueFrom": {"secretKeyRef": {"name": wanted.secret, "key": "password"}}}),
        json!({"name": "WANDB_BASE_URL", "value": wanted.base_url}),
    ];
    let own = container["env"].as_array().cloned().unwrap_or_default();
    let others = own.into_iter().filter(|own| ours.iter().all(|ours| ours["name"] != own["name"]));
    container["env"] = others.chain(ours.clone()).collect();
}

/// The queue's Job with what was chosen in the place of its variables.
fn chosen(queue: &DesiredQueue, values: &Map<String, Value>) -> Result<Value, JobError> {
    let mut job = queue.job.clone();
    if values.is_empty() {
        return Ok(job);
    }
    for (name, value) in values {
        if let Some(why) = outside(&queue.content.variables[name]["schema"], value) {
            return Err(JobError::Value { name: name.clone(), why });
        }
    }
    let kept = &queue.content.config["resource_args"]["kubernetes"];
    let said: Vec<(String, String)> = queue
        .content
        .variables
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, variable)| {
            let schema = &variable["schema"];
            let value = values.get(name).or_else(|| schema.get("default")).or_else(|| schema["enum"].get(0))?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some((format!("{{{{{name}}}}}"), text))
        })
        .collect();
    fill(&mut job, kept, &said);
    Ok(job)
}

/// Writes into `job` every text of `kept` that has variables in it.
fn fill(job: &mut Value, kept: &Value, said: &[(String, String)]) {
    match (job, kept) {
        (job, Value::String(text)) if text.contains("{{") => {
            *job = said.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value)).into();
        }
        (Value::Object(job), Value::Object(kept)) => {
            for (key, kept) in kept {
                if let Some(below) = job.get_mut(key) {
                    fill(below, kept, said);
                }
            }
        }
        (Value::Array(job), Value::Array(kept)) => {
            job.iter_mut().zip(kept).for_each(|(job, kept)| fill(job, kept, said));
        }
        _ => {}
    }
}

/// Why a variable may not have the value; `None` where it may.
fn outside(schema: &Value, value: &Value) -> Option<String> {
    let choices = schema["enum"].as_array();
    if let Some(choices) = choices
        && !choices.contains(value)
    {
        let words: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        return Some(format!("{value} is none of {}", words.join(", ")));
    }
    let number = value.as_f64();
    let below = schema["minimum"].as_f64().zip(number).filter(|(least, number)| number < least);
    let above = schema["maximum"].as_f64().zip(number).filter(|(most, number)| number > most);
    below
        .map(|(least, _)| format!("{value} is less than {least}"))
        .or_else(|| above.map(|(most, _)| format!("{value} is more than {most}")))
}

/// What a sweep's Job says of itself: its sweep's name and path, and its platform.
pub(super) fn said_of(job: &Value) -> Option<(&str, &str, &str)> {
    let labels = &job["metadata"]["labels"];
    let path = job["metadata"]["annotations"][PATH_ANNOTATION].as_str()?;
    Some((labels[SWEEP_LABEL].as_str()?, path, labels[PLATFORM_LABEL].as_str().unwrap_or_default()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::desired::{Origin, QueueContent};

    pub(in crate::sweep) fn queue() -> DesiredQueue {
        let pod = |memory: &str| {
            json!({
                "restartPolicy": "Never", "nodeSelector": {"wbk-infra/pool": "l4"},
                "containers": [{"resources": {"requests": {"cpu": "2", "memory": memory, "nvidia.com/gpu": "1"}, "limits": {"memory": memory, "nvidia.com/gpu": "1"}}, "env": [{"name": "A", "value": "b"}]}],
            })
        };
        let job = |memory: &str| {
            json!({
                "metadata": {"namespace": "jobs", "labels": {"wbk-infra/launch-queue": "l4", "wbk-infra/launch-platform": "p"}},
                "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 3600, "template": {"metadata": {"labels": {"wbk-infra/launch-queue": "l4"}}, "spec": pod(memory)}},
            })
        };
        let mut made = job("16Gi");
        made["apiVersion"] = "batch/v1".into();
        made["kind"] = "Job".into();
        made["spec"]["template"]["spec"]["containers"][0]["securityContext"] =
            json!({"allowPrivilegeEscalation": false});
        DesiredQueue {
            name: "l4".into(),
            content: QueueContent {
                config: json!({"resource_args": {"kubernetes": job("{{memory}}")}}),
                variables: json!({"memory": {"schema": {"type": "string", "default": "16Gi", "enum": ["8Gi", "16Gi"]}}}),
                prioritization: true,
                links: Vec::new(),
            },
            pool: Some("l4".into()),
            namespace: "jobs".into(),
            gpus: 1,
            job: made,
            origin: Origin { path: "launch.queues[l4]".into(), at: None },
        }
    }

    pub(in crate::sweep) fn wanted(values: &Map<String, Value>) -> AgentJob<'_> {
        AgentJob {
            name: "lr",
            path: "team/p/abc",
            image: "me/train:1",
            agents: 3,
            count: Some(2),
            secret: "wandb-api-key-launch-main",
            base_url: "https://w",
            values,
        }
    }

    #[test]
    fn agents_are_placed_as_jobs_of_the_queue_and_retried_by_their_job_alone() {
        let job = agent_job(&queue(), &wanted(&Map::new())).unwrap();
        let spec = &job["spec"];
        assert_eq!(
            (&spec["parallelism"], &spec["completions"], &spec["completionMode"]),
            (&json!(3), &json!(3), &json!("Indexed"))
        );
        assert_eq!((&spec["backoffLimit"], &spec["backoffLimitPerIndex"]), (&Value::Null, &json!(3)));
        assert_eq!(spec["podFailurePolicy"]["rules"][0]["action"], "Ignore");
        let labels = json!({"wbk-infra/launch-platform": "p", "wbk-infra/sweep": "lr", "wbk-infra/sweep-queue": "l4"});
        assert_eq!(job["metadata"]["labels"], labels);
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["nodeSelector"], json!({"wbk-infra/pool": "l4"}));
        let container = &pod["containers"][0];
        assert_eq!(container["args"], json!(["--count", "2", "team/p/abc"]));
        assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "1");
        assert_eq!(container["securityContext"], json!({"allowPrivilegeEscalation": false}));
        let env: Vec<&str> =
            container["env"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(env, ["A", "WANDB_API_KEY", "WANDB_BASE_URL"]);
        assert_eq!(container["env"][1]["valueFrom"]["secretKeyRef"]["name"], "wandb-api-key-launch-main");
        assert_eq!(said_of(&job), Some(("lr", "team/p/abc", "p")));
    }

    #[test]
    fn what_was_chosen_stands_in_the_place_of_the_queues_variables() {
        let values: Map<String, Value> = [("memory".to_owned(), json!("8Gi"))].into_iter().collect();
        let job = agent_job(&queue(), &wanted(&values)).unwrap();
        let resources = &job["spec"]["template"]["spec"]["containers"][0]["resources"];
        assert_eq!((&resources["requests"]["memory"], &resources["limits"]["memory"]), (&json!("8Gi"), &json!("8Gi")));
        let values: Map<String, Value> = [("memory".to_owned(), json!("1Ti"))].into_iter().collect();
        assert_eq!(
            agent_job(&queue(), &wanted(&values)).unwrap_err().to_string(),
            "memory: \"1Ti\" is none of 8Gi, 16Gi"
        );
    }

    #[test]
    fn a_queue_of_gangs_is_refused() {
        let mut gang = queue();
        gang.content.config["resource_args"]["kubernetes"]["kind"] = "Job".into();
        gang.content.config["resource_args"]["kubernetes"]["apiVersion"] = "batch.volcano.sh/v1alpha1".into();
        assert_eq!(agent_job(&gang, &wanted(&Map::new())), Err(JobError::Gang("l4".into())));
    }
}
