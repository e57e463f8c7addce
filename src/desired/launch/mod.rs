//! W&B Launch: what a `launch` section means. Agents become releases and Secrets, queues become what W&B shall hold.

mod agent;
mod git;
mod parts;
mod queue;
mod registries;
mod sdk;
mod state;
mod upstream;

pub use sdk::{NEWEST_SDK, OLDEST_SDK};
pub use state::{
    DesiredAgent, DesiredLaunch, DesiredQueue, Notice, PLATFORM_LABEL, QUEUE_LABEL, QueueContent, QueueLink,
    WandbService,
};

pub(super) use agent::account as agent_account;
pub(crate) use parts::file_key;
pub(crate) use queue::{namespace_of, offers, pool_of};
pub(super) use registries::pushes_to;
pub(crate) use sdk::{breaks_launch_sweeps, forces_security_context, version};
pub(crate) use upstream::{OLDEST as OLDEST_CHART, takes_a_secret};

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::collect::{Built, Collector};
use super::namespaces::beside;
use super::state::{DesiredRelease, Origin, SecretReference, SecretSlot};
use crate::blueprint::schema::{Builder, CaBundle, Launch, Text};
use crate::blueprint::{Step, join, steps};
use crate::id::ObjectId;

/// Makes the section's objects, releases and queues.
pub(super) fn collect(collector: &mut Collector<'_>) -> (Option<DesiredLaunch>, Vec<DesiredRelease>) {
    let blueprint = &collector.loaded.blueprint;
    let Some(launch) = &blueprint.launch else { return (None, Vec::new()) };
    let launch = &from_here(collector, launch);
    let api_key = launch.api_key.clone();
    namespace(collector, launch);
    let (mut agents, mut releases, mut notices) = (Vec::new(), Vec::new(), Vec::new());
    for (index, section) in launch.agents.iter().enumerate() {
        let path = steps!["launch", "agents", index];
        let chart_file = collector.loaded.at(steps!["launch", "agents", index, "chart"]).file.clone();
        let made = agent::agent(blueprint, launch, section, (origin(collector, path), &chart_file));
        let agent::Made { agent, release, notices: more } = made;
        notices.extend(more);
        let namespaces: BTreeSet<&str> =
            agent.job_namespaces.iter().map(String::as_str).chain([launch.namespace.as_str()]).collect();
        for namespace in namespaces {
            let slot = SecretSlot::new("password", api_key.clone());
            let secret = Built::new("v1", "Secret", Some(namespace), &agent::secret_name(section))
                .with("type", "kubernetes.io/basic-auth")
                .with_secrets(vec![slot]);
            collector.add(path, secret);
        }
        let slots = git::slots(section);
        if !slots.is_empty() {
            let path = steps!["launch", "agents", index, "git"];
            let secret = Built::new("v1", "Secret", Some(&launch.namespace), &git::secret_name(section));
            collector.add(path, secret.with("type", "Opaque").with_secrets(slots));
        }
        agents.push(agent);
        releases.push(release);
    }
    shared(collector, launch);
    let mut queues = Vec::new();
    for (index, section) in launch.queues.iter().enumerate() {
        let path = steps!["launch", "queues", index];
        let origin = origin(collector, path);
        let Some(queue) = queue::queue(blueprint, launch, section, origin) else { continue };
        let slots = parts::own_slots(section, &queue.namespace);
        if !slots.is_empty() {
            let secret = Built::new("v1", "Secret", Some(&queue.namespace), &parts::secret_name(section));
            collector.add(path, secret.with("type", "Opaque").with_secrets(slots));
        }
        queues.push(queue);
    }
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    let base_url = launch.base_url.trim_end_matches('/').to_owned();
    let ca = parts::ca_reference(launch);
    let service = WandbService { base_url, entity: launch.entity.clone(), api_key, ca };
    (Some(DesiredLaunch { service, agents, queues, notices }), releases)
}

/// The section with each file relative to the working directory, not to the blueprint file that names it.
fn from_here(collector: &Collector<'_>, launch: &Launch) -> Launch {
    let mut launch = launch.clone();
    let file = |path: &[Step<'_>]| collector.loaded.at(path).file.clone();
    let settle = |from: &mut SecretReference, path: &[Step<'_>]| *from = beside(from, &file(path));
    settle(&mut launch.api_key, steps!["launch", "apiKey"]);
    if let Some(CaBundle::File(path)) = &mut launch.ca_bundle
        && !path.starts_with("~/")
    {
        *path = join(&file(steps!["launch", "caBundle"]), path);
    }
    if let Some(proxy) = &mut launch.proxy {
        for (key, address) in [("http", &mut proxy.http), ("https", &mut proxy.https)] {
            if let Some(Text::Secret(from)) = address {
                settle(from, steps!["launch", "proxy", key]);
            }
        }
    }
    for (index, registry) in launch.registries.iter_mut().enumerate() {
        settle(&mut registry.password, steps!["launch", "registries", index, "password"]);
    }
    for (index, agent) in launch.agents.iter_mut().enumerate() {
        for (number, host) in agent.git.iter_mut().enumerate() {
            for (key, from) in [("password", &mut host.password), ("key", &mut host.key)] {
                if let Some(from) = from {
                    settle(from, steps!["launch", "agents", index, "git", number, key]);
                }
            }
        }
    }
    for (index, queue) in launch.queues.iter_mut().enumerate() {
        for (name, text) in &mut queue.env {
            if let Text::Secret(from) = text {
                settle(from, steps!["launch", "queues", index, "env", name]);
            }
        }
        for (path, from) in &mut queue.files {
            settle(from, steps!["launch", "queues", index, "files", path]);
        }
    }
    launch
}

/// What agents and jobs have in common, in the namespace of each: certificates, the proxy's passwords, credentials of registries.
fn shared(collector: &mut Collector<'_>, launch: &Launch) {
    let blueprint = &collector.loaded.blueprint;
    let jobs: BTreeSet<&str> = launch.queues.iter().filter_map(|queue| queue::namespace_of(blueprint, queue)).collect();
    let agents = (!launch.agents.is_empty()).then_some(launch.namespace.as_str());
    let all: BTreeSet<&str> = jobs.iter().copied().chain(agents).collect();
    let ours = !matches!(launch.ca_bundle, None | Some(CaBundle::ConfigMap(_)));
    let authorities = parts::ca_bundle(launch).zip(parts::ca_reference(launch)).filter(|_| ours);
    let proxy: Vec<SecretSlot> =
        parts::proxy_slots(launch).into_iter().map(|(key, from)| SecretSlot::new(key, from.clone())).collect();
    let registries = registries::slots(launch);
    for namespace in all {
        if let Some(((name, key), from)) = &authorities {
            let bundle = Built::new("v1", "ConfigMap", Some(namespace), name);
            collector.add(steps!["launch", "caBundle"], bundle.with_secrets(vec![SecretSlot::new(*key, from.clone())]));
        }
        if !proxy.is_empty() {
            let secret = Built::new("v1", "Secret", Some(namespace), parts::PROXY_SECRET);
            collector.add(steps!["launch", "proxy"], secret.with("type", "Opaque").with_secrets(proxy.clone()));
        }
        if !registries.is_empty() {
            let secret = Built::new("v1", "Secret", Some(namespace), registries::SECRET);
            collector.add(
                steps!["launch", "registries"],
                secret.with("type", registries::KIND).with_secrets(registries.clone()),
            );
            if jobs.contains(namespace) {
                pulls(collector, namespace);
            }
        }
    }
}

/// Pods of the namespace pull with the Secret of registries: its service account `default` names it, beside what the blueprint
/// already says of that account.
fn pulls(collector: &mut Collector<'_>, namespace: &str) {
    let entry = json!({"name": registries::SECRET});
    let id = ObjectId::new("v1", "ServiceAccount", Some(namespace), "default");
    match collector.drafts.iter_mut().find(|draft| draft.object.id == id) {
        Some(draft) => {
            let mut manifest = draft.object.manifest.value().clone();
            match manifest["imagePullSecrets"].as_array_mut() {
                Some(list) if list.contains(&entry) => return,
                Some(list) => list.push(entry),
                None => manifest["imagePullSecrets"] = Value::Array(vec![entry]),
            }
            draft.object.manifest = manifest.into();
        }
        None => {
            let account = Built::new("v1", "ServiceAccount", Some(namespace), "default");
            collector.add(steps!["launch", "registries"], account.with("imagePullSecrets", vec![entry]));
        }
    }
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
