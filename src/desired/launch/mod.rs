//! W&B Launch: what a `launch` section means. Agents become releases and Secrets, queues become what W&B shall hold.

mod agent;
mod queue;
mod sdk;
mod state;

pub use sdk::{NEWEST_SDK, OLDEST_SDK};
pub use state::{
    DesiredAgent, DesiredLaunch, DesiredQueue, PLATFORM_LABEL, QUEUE_LABEL, QueueContent, QueueLink, WandbService,
};

pub(crate) use queue::{namespace_of, offers, pool_of};
pub(crate) use sdk::{forces_security_context, version};

use std::collections::BTreeSet;

use super::collect::{Built, Collector};
use super::namespaces::beside;
use super::state::{DesiredRelease, Origin, SecretSlot};
use crate::blueprint::schema::{Builder, Launch};
use crate::blueprint::{Step, steps};

/// Makes the section's objects, releases and queues.
pub(super) fn collect(collector: &mut Collector<'_>) -> (Option<DesiredLaunch>, Vec<DesiredRelease>) {
    let blueprint = &collector.loaded.blueprint;
    let Some(launch) = &blueprint.launch else { return (None, Vec::new()) };
    let api_key = beside(&launch.api_key, &collector.loaded.at(steps!["launch", "apiKey"]).file);
    namespace(collector, launch);
    let (mut agents, mut releases) = (Vec::new(), Vec::new());
    for (index, section) in launch.agents.iter().enumerate() {
        let path = steps!["launch", "agents", index];
        let (agent, release) = agent::agent(blueprint, launch, section, origin(collector, path));
        let namespaces: BTreeSet<&str> =
            agent.job_namespaces.iter().map(String::as_str).chain([launch.namespace.as_str()]).collect();
        for namespace in namespaces {
            let slot = SecretSlot { key: "password".into(), from: api_key.clone() };
            let secret = Built::new("v1", "Secret", Some(namespace), &agent::secret_name(section))
                .with("type", "kubernetes.io/basic-auth")
                .with_secrets(vec![slot]);
            collector.add(path, secret);
        }
        agents.push(agent);
        releases.push(release);
    }
    let mut queues: Vec<DesiredQueue> = launch
        .queues
        .iter()
        .enumerate()
        .filter_map(|(index, section)| {
            let origin = origin(collector, steps!["launch", "queues", index]);
            queue::queue(blueprint, launch, section, origin)
        })
        .collect();
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    let base_url = launch.base_url.trim_end_matches('/').to_owned();
    let service = WandbService { base_url, entity: launch.entity.clone(), api_key };
    (Some(DesiredLaunch { service, agents, queues }), releases)
}

fn origin(collector: &Collector<'_>, path: &[Step<'_>]) -> Origin {
    Origin { path: collector.loaded.show(path), at: Some(collector.loaded.at(path).to_string()) }
}

/// The agents' namespace, where the blueprint does not have it among its own. A build needs root in its container.
fn namespace(collector: &mut Collector<'_>, launch: &Launch) {
    let blueprint = &collector.loaded.blueprint;
    if launch.agents.is_empty() || blueprint.namespaces.iter().any(|namespace| namespace.name == launch.namespace) {
        return;
    }
    let builds = launch.agents.iter().any(|agent| matches!(agent.builder, Builder::Kaniko { .. }));
    let level = if builds { "baseline" } else { "restricted" };
    let key = "pod-security.kubernetes.io/enforce".to_owned();
    let object =
        Built::new("v1", "Namespace", None, &launch.namespace).with_metadata("labels", [(&key, &level.to_owned())]);
    collector.add(steps!["launch", "namespace"], object);
}
