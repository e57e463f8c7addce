//! What agents and jobs of Launch get beside nodes: proxies, credentials, environment, files, W&B's own chart.

use std::collections::BTreeMap;

use super::Report;
use super::storage::{claim, may_be_elsewhere};
use crate::blueprint::path::steps;
use crate::blueprint::schema::{AccessMode, Agent, Builder, Launch, Queue, Text};
use crate::desired::{OLDEST_CHART, file_key, is_chart_path, namespace_of, takes_a_secret};

pub(super) fn rules(report: &mut Report<'_>) {
    let Some(launch) = &report.loaded.blueprint.launch else { return };
    proxy(report, launch);
    for (index, agent) in launch.agents.iter().enumerate() {
        git(report, agent, index);
        builds(report, launch, agent, index);
        chart(report, launch, agent, index);
    }
    for (index, queue) in launch.queues.iter().enumerate() {
        environment(report, queue, index);
        files(report, queue, index);
        replaced(report, launch, queue, index);
    }
}

fn proxy(report: &mut Report<'_>, launch: &Launch) {
    let Some(proxy) = &launch.proxy else { return };
    if proxy.http.is_none() && proxy.https.is_none() {
        report.error(steps!["launch", "proxy"], "it names no proxy", "write `https: http://proxy.example.com:3128`");
    }
    for (key, address) in [("http", &proxy.http), ("https", &proxy.https)] {
        let Some(Text::Plain(address)) = address else { continue };
        let path = steps!["launch", "proxy", key];
        let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        match rest {
            None => report.error(
                path,
                "expected the address of a proxy: `http://` or `https://`, host and port",
                "write `http://proxy.example.com:3128`: the proxy's own address, also for what it is asked by https",
            ),
            Some(rest) if rest.contains('@') => report.error(
                path,
                "a password may not be written in a blueprint",
                "write the whole address as a reference: {env: PROXY_URL}",
            ),
            Some(_) => {}
        }
    }
    for (index, host) in proxy.no_proxy.iter().enumerate() {
        if host.is_empty() || host.contains(['/', ',', ' ']) && !is_network(host) {
            report.error(
                steps!["launch", "proxy", "noProxy", index],
                "expected a host, `.example.com` for all below, or a network such as 10.0.0.0/8",
                "write one in each item, without `https://`",
            );
        }
    }
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok()
}

fn git(report: &mut Report<'_>, agent: &Agent, index: usize) {
    for (number, host) in agent.git.iter().enumerate() {
        let path = steps!["launch", "agents", index, "git", number];
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        if !host.host.chars().all(plain) {
            report.error(
                steps!["launch", "agents", index, "git", number, "host"],
                "expected a host, with a port where it has one of its own",
                "write `github.com`: no `https://`, no path",
            );
        }
        if !host.username.chars().all(|c| c.is_ascii_graphic() && !"\"\\#;".contains(c)) {
            report.error(
                steps!["launch", "agents", index, "git", number, "username"],
                "expected an account's name without spaces, quotes and backslashes",
                "write `x-access-token` for a token of GitHub",
            );
        }
        if host.password.is_none() && host.key.is_none() {
            report.error(path, "nothing lets the agent in", "write `password: {env: …}`, or `key: {file: …}`");
        }
        if host.key.is_some() && host.known_hosts.is_empty() {
            report.error(
                path,
                "without the host's public keys anybody may answer in its place",
                "write what `ssh-keyscan HOST` prints under `knownHosts`",
            );
        }
        for (line, text) in host.known_hosts.iter().enumerate() {
            if text.contains('\n') || text.split_whitespace().count() < 3 {
                report.error(
                    steps!["launch", "agents", index, "git", number, "knownHosts", line],
                    "expected one line of ssh-keyscan: host, kind and key",
                    "write each line as an item of its own",
                );
            }
        }
    }
    if !agent.git.is_empty() && matches!(agent.builder, Builder::Noop {}) {
        report.warning(
            steps!["launch", "agents", index, "git"],
            "the agent builds no images and clones nothing: of a job that brings a repository its own pod clones, without credentials",
            "set `builder: {type: kaniko, …}`, or push jobs with an image or a code artifact",
        );
    }
}

/// Volumes of builds and of code, in the agents' own namespace.
fn builds(report: &mut Report<'_>, launch: &Launch, agent: &Agent, index: usize) {
    let blueprint = &report.loaded.blueprint;
    let here = &launch.namespace;
    let missing = |report: &mut Report<'_>, path: &[crate::blueprint::path::Step<'_>], name: &str| {
        let message = format!("namespace {here} has no claim {name}: the agent's pod would never start");
        let hint = format!("add it to the `storage` of namespace {here}");
        match may_be_elsewhere(blueprint) {
            true => report.warning(path, &message, &hint),
            false => report.error(path, &message, &hint),
        }
    };
    if let Builder::Kaniko { context_store, context_volume, .. } = &agent.builder {
        let path = steps!["launch", "agents", index, "builder"];
        match (context_store, context_volume) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => report.error(
                path,
                "a build gets the code from somewhere: the agent would start, and each build would fail",
                "write `contextStore: s3://…`, or `contextVolume: CLAIM`",
            ),
            (Some(_), Some(_)) => {
                report.error(path, "the code waits in one place", "write `contextStore` or `contextVolume`");
            }
        }
        if let Some(name) = context_volume {
            let path = steps!["launch", "agents", index, "builder", "contextVolume"];
            match claim(blueprint, here, name) {
                None => missing(report, path, name),
                Some(volume) if volume.access != AccessMode::ReadWriteMany => report.warning(
                    path,
                    "agent and build mount it at once, and one node at a time may have it: a build on another node waits",
                    "use a claim that is ReadWriteMany",
                ),
                Some(_) => {}
            }
        }
    }
    if let Some(name) = &agent.code_volume {
        let path = steps!["launch", "agents", index, "codeVolume"];
        if claim(blueprint, here, name).is_none() {
            missing(report, path, name);
        }
        let served = launch.queues.iter().filter(|queue| agent.queues.contains(&queue.name));
        let elsewhere = served.filter_map(|queue| namespace_of(blueprint, queue)).find(|space| space != here);
        if let Some(space) = elsewhere {
            report.error(
                path,
                &format!("a claim belongs to one namespace: jobs in {space} cannot mount what the agent has in {here}"),
                &format!(
                    "set `launch.namespace: {space}`, or leave it out: newer agents fetch the code in the job's own pod"
                ),
            );
        }
    }
}

/// W&B's own chart.
fn chart(report: &mut Report<'_>, launch: &Launch, agent: &Agent, index: usize) {
    let Some(chart) = &agent.chart else { return };
    let path = steps!["launch", "agents", index, "chart"];
    match &chart.version {
        None if !is_chart_path(&chart.from) => {
            report.error(path, "`version` is missing", "write the exact version: `version: 0.13.12`");
        }
        Some(version) if !takes_a_secret(version) => report.error(
            steps!["launch", "agents", index, "chart", "version"],
            &format!("version {version} of W&B's chart takes the API key as a value, which would be in Helm's records"),
            &format!("use {OLDEST_CHART} or later"),
        ),
        Some(_) | None => {}
    }
    if !agent.git.is_empty() {
        report.error(
            steps!["launch", "agents", index, "git"],
            "W&B's chart takes credentials of git as a value, and ssh without asking whom it talks to",
            "remove `chart:`: this program's own chart takes them by reference",
        );
    }
    if agent.code_volume.is_some() {
        report.error(
            steps!["launch", "agents", index, "codeVolume"],
            "W&B's chart has no volume for code",
            "remove `chart:`, or `codeVolume`",
        );
    }
    if let Some(proxy) = &launch.proxy
        && [&proxy.http, &proxy.https].iter().any(|address| matches!(address, Some(Text::Secret(_))))
    {
        report.error(
            path,
            "W&B's chart takes secret variables as values, and the proxy's address is a secret",
            "remove `chart:`, or use a proxy without a password",
        );
    }
}

/// What agents set themselves: their entry comes last, and the last one counts (SDK, `get_env_vars_dict`).
const SET_BY_AGENTS: [&str; 15] = [
    "WANDB_API_KEY",
    "WANDB_ARTIFACTS",
    "WANDB_BASE_URL",
    "WANDB_CONFIG",
    "WANDB_DOCKER",
    "WANDB_ENTITY",
    "WANDB_LAUNCH",
    "WANDB_LAUNCH_QUEUE_ENTITY",
    "WANDB_LAUNCH_QUEUE_NAME",
    "WANDB_LAUNCH_TRACE_ID",
    "WANDB_NAME",
    "WANDB_PROJECT",
    "WANDB_RUN_ID",
    "WANDB_SWEEP_ID",
    "WANDB_USERNAME",
];

fn environment(report: &mut Report<'_>, queue: &Queue, index: usize) {
    for (name, text) in &queue.env {
        let path = steps!["launch", "queues", index, "env", name];
        if SET_BY_AGENTS.contains(&name.as_str()) {
            report.error(path, "the agent sets it for each job, and its value wins", "remove it");
        }
        if let Text::Plain(text) = text
            && text.contains("${")
        {
            report.error(
                path,
                "the agent replaces `${…}` by what its own environment has, its API key among it",
                "write the value, or `$(NAME)` for another variable of the container",
            );
        }
    }
}

fn files(report: &mut Report<'_>, queue: &Queue, index: usize) {
    let mut keys: BTreeMap<String, &str> = BTreeMap::new();
    for path in queue.files.keys() {
        if let Some(other) = keys.insert(file_key(path), path) {
            report.error(
                steps!["launch", "queues", index, "files", path],
                &format!("it differs from {other} in signs alone that a Secret's key cannot have"),
                "rename one of them",
            );
        }
    }
}

/// Lists of the user's own words replace ours whole (RFC 7386): what a queue says by its words would silently be lost.
fn replaced(report: &mut Report<'_>, launch: &Launch, queue: &Queue, index: usize) {
    let words: Vec<&str> = [
        ("caBundle", launch.ca_bundle.is_some()),
        ("proxy", launch.proxy.is_some()),
        ("env", !queue.env.is_empty()),
        ("files", !queue.files.is_empty()),
        ("volumes", !queue.volumes.is_empty()),
    ]
    .into_iter()
    .filter_map(|(word, is_set)| is_set.then_some(word))
    .collect();
    let config = serde_json::Value::Object(queue.config.clone().into_iter().collect());
    for list in ["containers", "volumes"] {
        if !words.is_empty() && config.pointer(&format!("/spec/template/spec/{list}")).is_some() {
            report.error(
                steps!["launch", "queues", index, "config"],
                &format!("its `{list}` replace those that are made from `{}`", words.join("`, `")),
                "say it with the queue's own words, or leave these out",
            );
        }
    }
}
