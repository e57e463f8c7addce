//! An agent section to its Helm release (charts/launch-agent) and to the Secrets with its API key.

use serde_json::{Map, Value, json};

use super::queue::namespace_of;
use super::state::DesiredAgent;
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

pub(super) fn agent(
    blueprint: &Blueprint,
    launch: &Launch,
    agent: &Agent,
    origin: Origin,
) -> (DesiredAgent, DesiredRelease) {
    let id = ReleaseId { namespace: launch.namespace.clone(), name: release_name(agent) };
    let job_namespaces = job_namespaces(blueprint, launch, agent);
    let release = DesiredRelease {
        id: id.clone(),
        chart: ChartSource::Embedded { name: CHART.into() },
        values: values(launch, agent, &job_namespaces),
        origin: origin.clone(),
    };
    let desired = DesiredAgent {
        name: agent.name.clone(),
        release: id,
        queues: agent.queues.clone(),
        job_namespaces,
        max_jobs: agent.max_jobs,
        origin,
    };
    (desired, release)
}

fn values(launch: &Launch, agent: &Agent, job_namespaces: &[String]) -> Value {
    let gangs = launch.queues.iter().any(|queue| queue.pods > 1 && agent.queues.contains(&queue.name));
    let custom = if gangs { vec![json!({"apiGroup": "batch.volcano.sh", "resource": "jobs"})] } else { Vec::new() };
    let jobs: Vec<Value> = job_namespaces
        .iter()
        .map(|namespace| match custom.is_empty() {
            true => json!({"namespace": namespace}),
            false => json!({"namespace": namespace, "customResources": custom}),
        })
        .collect();
    let image = launch.image.clone().unwrap_or_else(|| format!("wandb/launch-agent:{}", launch.sdk));
    let mut values = json!({
        "apiKeySecret": {"name": secret_name(agent), "key": "password"},
        "baseUrl": launch.base_url.trim_end_matches('/'),
        "image": image,
        "jobs": jobs,
        "launchConfig": launch_config(launch, agent),
    });
    if matches!(agent.builder, Builder::Kaniko { .. }) {
        values["builds"] = true.into();
    }
    if !agent.annotations.is_empty() {
        values["serviceAccount"] = json!({"annotations": agent.annotations});
    }
    if !agent.env.is_empty() {
        values["env"] = json!(agent.env);
    }
    if let Some(amounts) = &agent.resources {
        let pairs = [
            ("cpu", amounts.cpu.map(|cpu| cpu.to_string())),
            ("memory", amounts.memory.map(|memory| memory.to_string())),
        ];
        let requests: Map<String, Value> =
            pairs.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), amount?.into()))).collect();
        values["resources"] = json!({"requests": requests});
        if let Some(memory) = &amounts.memory {
            values["resources"]["limits"] = json!({"memory": memory.to_string()});
        }
    }
    values
}

/// launch-config.yaml as the SDK's `AgentConfig` takes it (0.17.3 to 0.31.0): `queues`, never `queue`, which all of them refuse.
fn launch_config(launch: &Launch, agent: &Agent) -> Value {
    let builder = match &agent.builder {
        Builder::Noop {} => json!({"type": "noop"}),
        Builder::Kaniko { destination, context_store, image, resources } => {
            let cpu =
                resources.as_ref().and_then(|amounts| amounts.cpu).map_or(BUILD.0.to_owned(), |cpu| cpu.to_string());
            let memory = resources
                .as_ref()
                .and_then(|amounts| amounts.memory)
                .map_or(BUILD.1.to_owned(), |memory| memory.to_string());
            let container =
                json!({"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}});
            json!({
                "type": "kaniko",
                "destination": destination,
                "build-context-store": context_store,
                // The SDK's own default is of 2023.
                "kaniko-image": image.as_deref().unwrap_or(KANIKO),
                "kaniko-config": {"spec": {"template": {"spec": {"containers": [container]}}}},
            })
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
