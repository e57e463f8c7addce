//! An agent section to its Helm release (charts/launch-agent) and to the Secrets with its API key.

use serde_json::{Map, Value, json};

use super::parts::{Parts, Variable};
use super::queue::namespace_of;
use super::state::{DesiredAgent, Notice};
use super::{git, parts, registries, upstream};
use crate::blueprint::join;
use crate::blueprint::schema::{Agent, Blueprint, Builder, EnvironmentKind, Launch};
use crate::desired::{ChartSource, DesiredRelease, Origin};
use crate::id::ReleaseId;

/// Our own chart.
const CHART: &str = "launch-agent";
/// A maintained fork of kaniko, which its makers gave up in 2025 (osscontainertools/kaniko, released 2026-08).
const KANIKO: &str = "ghcr.io/osscontainertools/kaniko:v1.28.3";
/// What a build asks for: without any, a quota on CPU or memory refuses it.
const BUILD: (&str, &str) = ("1", "4Gi");

/// The name of an agent's release, of its Deployment and of its service account.
pub(super) fn release_name(agent: &Agent) -> String {
    format!("launch-{}", agent.name)
}

/// The service account of an agent, which its builds run as too.
pub(in crate::desired) fn account(agent: &Agent) -> String {
    match agent.chart {
        None => release_name(agent),
        Some(_) => upstream::service_account(&release_name(agent)),
    }
}

/// The Secret in which an agent of a Helm release looks for its API key (SDK, `kubernetes_runner.py: ensure_api_key_secret`).
pub(super) fn secret_name(agent: &Agent) -> String {
    format!("wandb-api-key-{}", release_name(agent))
}

/// Namespaces in which an agent makes Jobs, sorted.
pub(super) fn job_namespaces(blueprint: &Blueprint, launch: &Launch, agent: &Agent) -> Vec<String> {
    let served = launch.queues.iter().filter(|queue| agent.queues.contains(&queue.name));
    let mut namespaces: Vec<String> =
        served.filter_map(|queue| namespace_of(blueprint, queue)).map(str::to_owned).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    namespaces
}

/// What comes of an agent section.
pub(super) struct Made {
    /// The agent.
    pub agent: DesiredAgent,
    /// The release that runs it.
    pub release: DesiredRelease,
    /// What a reader should know of it.
    pub notices: Vec<Notice>,
}

/// Makes an agent; `file` is where its chart is named.
pub(super) fn agent(blueprint: &Blueprint, launch: &Launch, agent: &Agent, (origin, file): (Origin, &str)) -> Made {
    let id = ReleaseId { namespace: launch.namespace.clone(), name: release_name(agent) };
    let job_namespaces = job_namespaces(blueprint, launch, agent);
    let config = launch_config(launch, agent);
    let (chart, values, service_account, notices) = match &agent.chart {
        None => {
            let values = values(launch, agent, &job_namespaces, config);
            (ChartSource::Embedded { name: CHART.into() }, values, id.name.clone(), Vec::new())
        }
        Some(chart) => (
            upstream::source(chart, |path| join(file, path)),
            upstream::values((launch, agent), &id.name, &job_namespaces, (&image(launch), &config)),
            upstream::service_account(&id.name),
            upstream::notices(launch, agent, &format!("helm release {id}"), &job_namespaces),
        ),
    };
    let release = DesiredRelease { id: id.clone(), chart, values, origin: origin.clone() };
    let agent = DesiredAgent {
        name: agent.name.clone(),
        release: id,
        service_account,
        least_rights: agent.chart.is_none(),
        queues: agent.queues.clone(),
        job_namespaces,
        max_jobs: agent.max_jobs,
        origin,
    };
    Made { agent, release, notices }
}

fn image(launch: &Launch) -> String {
    launch.image.clone().unwrap_or_else(|| format!("wandb/launch-agent:{}", launch.sdk))
}

/// CPU and memory of an agent's container, where the section says them.
pub(super) fn resources(agent: &Agent) -> Option<Value> {
    let amounts = agent.resources.as_ref()?;
    let pairs =
        [("cpu", amounts.cpu.map(|cpu| cpu.to_string())), ("memory", amounts.memory.map(|memory| memory.to_string()))];
    let requests: Map<String, Value> =
        pairs.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), amount?.into()))).collect();
    let mut resources = json!({"requests": requests});
    if let Some(memory) = &amounts.memory {
        resources["limits"] = json!({"memory": memory.to_string()});
    }
    Some(resources)
}

fn values(launch: &Launch, agent: &Agent, job_namespaces: &[String], config: Value) -> Value {
    let gangs = launch.queues.iter().any(|queue| queue.pods > 1 && agent.queues.contains(&queue.name));
    let custom = if gangs { vec![json!({"apiGroup": "batch.volcano.sh", "resource": "jobs"})] } else { Vec::new() };
    let jobs: Vec<Value> = job_namespaces
        .iter()
        .map(|namespace| match custom.is_empty() {
            true => json!({"namespace": namespace}),
            false => json!({"namespace": namespace, "customResources": custom}),
        })
        .collect();
    let mut values = json!({
        "apiKeySecret": {"name": secret_name(agent), "key": "password"},
        "baseUrl": launch.base_url.trim_end_matches('/'),
        "image": image(launch),
        "jobs": jobs,
        "launchConfig": config,
    });
    if let Builder::Kaniko { context_volume, .. } = &agent.builder {
        values["builds"] = true.into();
        if let Some(claim) = context_volume {
            values["buildVolume"] = claim.clone().into();
        }
    }
    if let Some(claim) = &agent.code_volume {
        values["codeVolume"] = claim.clone().into();
    }
    if let Some((name, key)) = parts::ca_bundle(launch) {
        values["caBundle"] = json!({"name": name, "key": key});
    }
    if !launch.registries.is_empty() {
        values["imagePullSecrets"] = json!([{"name": registries::SECRET}]);
    }
    if let Some(git) = git::values(agent) {
        values["git"] = git;
    }
    if !agent.annotations.is_empty() {
        values["serviceAccount"] = json!({"annotations": agent.annotations});
    }
    // The certificates are the chart's to mount, the variables are the same for jobs and builds.
    let (mut env, mut secret_env) = (Map::new(), Map::new());
    for (name, variable) in Parts::common(launch).env {
        match variable {
            Variable::Plain(value) => env.insert(name, value.into()),
            Variable::Key { secret, key } => secret_env.insert(name, json!({"name": secret, "key": key})),
        };
    }
    if let Builder::Kaniko { destination, .. } = &agent.builder
        && registries::pushes_to(launch, destination)
    {
        env.insert("WANDB_LAUNCH_KANIKO_AUTH_SECRET".into(), registries::SECRET.into());
    }
    for (name, value) in &agent.env {
        secret_env.remove(name);
        env.insert(name.clone(), value.clone().into());
    }
    if !env.is_empty() {
        values["env"] = env.into();
    }
    if !secret_env.is_empty() {
        values["secretEnv"] = secret_env.into();
    }
    if let Some(resources) = resources(agent) {
        values["resources"] = resources;
    }
    values
}

/// launch-config.yaml as the SDK's `AgentConfig` takes it (0.17.3 to 0.31.0): `queues`, never `queue`, which all of them refuse.
fn launch_config(launch: &Launch, agent: &Agent) -> Value {
    let builder = match &agent.builder {
        Builder::Noop {} => json!({"type": "noop"}),
        Builder::Kaniko { destination, context_store, context_volume: _, image, resources } => {
            let cpu =
                resources.as_ref().and_then(|amounts| amounts.cpu).map_or(BUILD.0.to_owned(), |cpu| cpu.to_string());
            let memory = resources
                .as_ref()
                .and_then(|amounts| amounts.memory)
                .map_or(BUILD.1.to_owned(), |memory| memory.to_string());
            let container =
                json!({"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}});
            let mut pod = json!({"containers": [container]});
            Parts::common(launch).lay_into(&mut pod);
            let mut builder = json!({
                "type": "kaniko",
                "destination": destination,
                // The SDK's own default is of 2023.
                "kaniko-image": image.as_deref().unwrap_or(KANIKO),
                "kaniko-config": {"spec": {"template": {"spec": pod}}},
            });
            if let Some(store) = context_store {
                builder["build-context-store"] = store.clone().into();
            }
            builder
        }
    };
    let mut config = json!({
        "builder": builder,
        "entity": launch.entity,
        "max_jobs": agent.max_jobs,
        "max_schedulers": agent.max_schedulers,
        "queues": agent.queues,
    });
    if let Some(environment) = &agent.environment {
        let kind = match environment.kind {
            EnvironmentKind::Aws => "aws",
            EnvironmentKind::Gcp => "gcp",
            EnvironmentKind::Azure => "azure",
        };
        config["environment"] = json!({"type": kind, "region": environment.region});
    }
    config
}
