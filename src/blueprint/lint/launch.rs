//! W&B Launch: names that must meet, and what an agent or its queue refuses silently. What nodes can run and quotas admit is
//! the closure's to prove, on the very Job that an agent makes.

use std::collections::BTreeSet;

use serde_json::Value;
use wbk_provider_api::ProviderKind;

use super::Report;
use crate::blueprint::path::steps;
use crate::blueprint::schema::{Builder, Gang, Launch, PodSecurity, PodSecurityLevel, Queue, Variable, VariableKind};
use crate::desired::{
    NEWEST_SDK, OLDEST_SDK, breaks_launch_sweeps, forces_security_context, namespace_of, offers, pool_of, version,
};

pub(super) fn rules(report: &mut Report<'_>) {
    let Some(launch) = &report.loaded.blueprint.launch else { return };
    sdk(report, launch);
    agents(report, launch);
    for (index, queue) in launch.queues.iter().enumerate() {
        place(report, launch, queue, index);
        gpus(report, queue, index);
        gang(report, queue, index);
        variables(report, queue, index);
        own_words(report, launch, queue, index);
    }
}

fn sdk(report: &mut Report<'_>, launch: &Launch) {
    let path = steps!["launch", "sdk"];
    let found = version(&launch.sdk);
    if found < version(OLDEST_SDK) {
        report.error(
            path,
            &format!("agents of SDK {} were never run with what this program makes", launch.sdk),
            &format!("{OLDEST_SDK} is the oldest that was, {NEWEST_SDK} the newest"),
        );
    } else if found > version(NEWEST_SDK) {
        report.warning(
            path,
            &format!("SDK {} is newer than any that was run with what this program makes", launch.sdk),
            &format!("{NEWEST_SDK} is the newest that was"),
        );
    }
}

fn agents(report: &mut Report<'_>, launch: &Launch) {
    let known: BTreeSet<&str> = launch.queues.iter().map(|queue| queue.name.as_str()).collect();
    let names = || known.iter().copied().collect::<Vec<_>>().join(", ");
    for (index, agent) in launch.agents.iter().enumerate() {
        for (number, queue) in agent.queues.iter().enumerate() {
            if !known.contains(queue.as_str()) {
                report.error(
                    steps!["launch", "agents", index, "queues", number],
                    &format!("there is no queue {queue}: the agent would end at once with \"Not all of requested queues found\""),
                    &if known.is_empty() { "add it under `launch.queues`".to_owned() } else { format!("there is {}", names()) },
                );
            }
        }
        if agent.max_schedulers > 0 && breaks_launch_sweeps(&launch.sdk) {
            report.error(
                steps!["launch", "agents", index, "maxSchedulers"],
                &format!(
                    "sweeps of `wandb launch-sweep` end as canceled with agents of SDK {}: since 0.28.2 their scheduler looks for a project \
                     with quotes in its name (wandb/wandb#12220)",
                    launch.sdk
                ),
                "write `sdk: \"0.17.3\"`, with which they ran, or leave it out and use wbk-infra sweep run",
            );
        }
        let builds = matches!(agent.builder, Builder::Kaniko { .. });
        if agent.environment.is_some() && !builds {
            report.warning(
                steps!["launch", "agents", index, "environment"],
                "the agent builds no images, and asks the cloud for its identity before each job all the same",
                "remove it, or set `builder: {type: kaniko, …}`",
            );
        }
    }
    for (index, queue) in launch.queues.iter().enumerate() {
        if !launch.agents.iter().any(|agent| agent.queues.contains(&queue.name)) {
            report.warning(
                steps!["launch", "queues", index],
                "no agent of this blueprint serves the queue: its items wait until another one does",
                "add it to an agent's `queues`",
            );
        }
    }
}

/// Pool, namespace and priority that a queue names.
fn place(report: &mut Report<'_>, launch: &Launch, queue: &Queue, index: usize) {
    let blueprint = &report.loaded.blueprint;
    let list = |names: Vec<&str>| match names.is_empty() {
        true => "there is none".to_owned(),
        false => format!("there is {}", names.join(", ")),
    };
    let existing = blueprint.cluster.provider == ProviderKind::Existing;
    match &queue.pool {
        Some(name) if pool_of(blueprint, queue).is_none() => report.error(
            steps!["launch", "queues", index, "pool"],
            &format!("there is no node pool {name}"),
            &list(blueprint.node_pools.iter().map(|pool| pool.name.as_str()).collect()),
        ),
        None if !existing => report.error(
            steps!["launch", "queues", index],
            "a queue needs the pool on which its jobs run",
            &format!("add `pool:`; {}", list(blueprint.node_pools.iter().map(|pool| pool.name.as_str()).collect())),
        ),
        Some(_) | None => {}
    }
    let names: Vec<&str> = blueprint.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
    let Some(name) = namespace_of(blueprint, queue) else {
        report.error(
            steps!["launch", "queues", index],
            "the blueprint has no namespace for its jobs",
            "add one under `namespaces:`, of its own: jobs run as its service account `default`",
        );
        return;
    };
    let Some(namespace) = blueprint.namespaces.iter().find(|namespace| namespace.name == name) else {
        report.error(
            steps!["launch", "queues", index, "namespace"],
            &format!("there is no namespace {name}"),
            &list(names),
        );
        return;
    };
    let restricted = match namespace.pod_security {
        Some(PodSecurity::Level(level)) => Some(level),
        Some(PodSecurity::Levels(levels)) => levels.enforce,
        None => None,
    } == Some(PodSecurityLevel::Restricted);
    if restricted && forces_security_context(&launch.sdk) {
        report.error(
            steps!["launch", "queues", index],
            &format!(
                "no job can run in namespace {name}: it enforces `restricted`, and agents of SDK {} set a security context without \
                 runAsNonRoot and take none from a queue; nothing of that would be seen in W&B",
                launch.sdk
            ),
            "set `podSecurity: baseline` there, or use another namespace",
        );
    }
    if let Some(priority) = &queue.priority {
        let known: Vec<&str> = blueprint.scheduling.priorities.iter().map(|known| known.name.as_str()).collect();
        if !known.contains(&priority.as_str()) && !existing {
            report.error(
                steps!["launch", "queues", index, "priority"],
                &format!("there is no priority {priority}: the Job would be there and never get a pod"),
                &format!("{} under `scheduling.priorities`", list(known)),
            );
        }
    }
}

/// GPUs that one node of the pool has.
fn gpus(report: &mut Report<'_>, queue: &Queue, index: usize) {
    let blueprint = &report.loaded.blueprint;
    let Some(pool) = pool_of(blueprint, queue) else { return };
    let offers = offers(blueprint, pool);
    let path = steps!["launch", "queues", index, "gpus"];
    let asked = queue.gpus.unwrap_or(1);
    let names = || offers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let each = match (&queue.resource, offers.as_slice()) {
        (_, []) => {
            if queue.gpus.is_some_and(|gpus| gpus > 0) {
                report.error(
                    path,
                    &format!("no node of pool {} offers GPUs", pool.name),
                    "name a pool with GPUs, or leave it out",
                );
            }
            return;
        }
        (Some(named), _) => match offers.iter().find(|(name, _)| name == named) {
            Some((_, each)) => *each,
            None => {
                let path = steps!["launch", "queues", index, "resource"];
                report.error(
                    path,
                    &format!("nodes of pool {} do not offer {named}", pool.name),
                    &format!("they offer {}", names()),
                );
                return;
            }
        },
        (None, [(_, each)]) => *each,
        (None, _) => {
            let path = steps!["launch", "queues", index];
            report.error(
                path,
                &format!("nodes of pool {} offer {}: which of them a job gets is not said", pool.name, names()),
                "add `resource:`",
            );
            return;
        }
    };
    if u64::from(asked) > each {
        report.error(
            path,
            &format!("a job is one pod on one node, and a node of pool {} has {each} GPUs", pool.name),
            &format!("ask for {each} at most, and for several pods with `pods:` and a gang scheduler"),
        );
    }
    if let Some(most) = queue.variables.get("gpus").and_then(|variable| variable.maximum)
        && u64::try_from(most).is_ok_and(|most| most > each)
    {
        report.error(
            steps!["launch", "queues", index, "variables", "gpus", "maximum"],
            &format!("a node of pool {} has {each} GPUs: a job that chooses more never runs", pool.name),
            &format!("write {each}"),
        );
    }
}

fn gang(report: &mut Report<'_>, queue: &Queue, index: usize) {
    if queue.pods > 1 && report.loaded.blueprint.scheduling.gang != Gang::Volcano {
        report.error(
            steps!["launch", "queues", index, "pods"],
            "several pods that start together need Volcano: of a Job with several pods the agent sees the first that ends as the end of all",
            "add `scheduling: {gang: volcano}`, or leave `pods` out",
        );
    }
}

fn variables(report: &mut Report<'_>, queue: &Queue, index: usize) {
    let text = Value::Object(queue.config.clone().into_iter().collect()).to_string();
    for (name, variable) in &queue.variables {
        let path = steps!["launch", "queues", index, "variables", name];
        let built_in = ["gpus", "cpu", "memory"].contains(&name.as_str());
        if !built_in && !text.contains(&format!("{{{{{name}}}}}")) {
            report.error(
                path,
                "nothing in the queue uses it",
                &format!("write `{{{{{name}}}}}` in `config`, or remove it"),
            );
        }
        if variable.default.is_none() && variable.choices.is_empty() {
            report.error(
                path,
                "an item that chooses nothing would carry the variable's name in place of a value",
                "add `default:`",
            );
        }
        if let Some(why) = outside(variable) {
            report.error(path, &why, "the default is a value that may be chosen");
        }
    }
}

/// Why a variable's default may not be chosen; `None` where it may.
fn outside(variable: &Variable) -> Option<String> {
    let default = variable.default.as_ref()?;
    let fits = match variable.kind {
        VariableKind::Integer => default.is_i64() || default.is_u64(),
        VariableKind::Number => default.is_number(),
        VariableKind::String => default.is_string(),
    };
    if !fits {
        return Some(format!("its default {default} is of another type"));
    }
    let number = default.as_f64();
    // Bounds of this size are exact as floating point numbers.
    let below = variable.minimum.zip(number).is_some_and(|(least, number)| number < least as f64);
    let above = variable.maximum.zip(number).is_some_and(|(most, number)| number > most as f64);
    if below || above {
        return Some(format!("its default {default} is outside of its bounds"));
    }
    let choices = &variable.choices;
    let strange =
        !choices.is_empty() && default.as_str().is_some_and(|text| !choices.iter().any(|choice| choice == text));
    strange.then(|| format!("its default {default} is none of its choices"))
}

/// Keys that an agent since SDK 0.28.1 refuses anywhere in a queue (wandb/wandb `utils.py: validate_kubernetes_resource_args`).
const REFUSED: [&str; 11] = [
    "securityContext",
    "serviceAccountName",
    "serviceAccount",
    "hostPath",
    "hostPID",
    "hostIPC",
    "hostNetwork",
    "hostPort",
    "hostUsers",
    "shareProcessNamespace",
    "serviceAccountToken",
];

/// What the user's own words must not say.
fn own_words(report: &mut Report<'_>, launch: &Launch, queue: &Queue, index: usize) {
    let path = steps!["launch", "queues", index, "config"];
    let config = Value::Object(queue.config.clone().into_iter().collect());
    if forces_security_context(&launch.sdk) {
        let mut found = BTreeSet::new();
        refused(&config, &mut found);
        for key in found {
            report.error(
                path,
                &format!("agents of SDK {} refuse every item of a queue with `{key}` in it", launch.sdk),
                "remove it: the agent sets a security context of its own, and jobs run as the service account `default`",
            );
        }
    }
    let holds = |at: &str, is_wrong: fn(&Value) -> bool| config.pointer(at).is_some_and(is_wrong);
    const OTHER_KIND: &str = "a job of another kind is made of other fields, and the agent has no right to make it: it would fail each item, and ask without end";
    let fatal = [
        (
            "/apiVersion",
            holds("/apiVersion", |_| true),
            OTHER_KIND,
            "use `pods:` with Volcano for several pods that start together",
        ),
        (
            "/kind",
            holds("/kind", |_| true),
            OTHER_KIND,
            "use `pods:` with Volcano for several pods that start together",
        ),
        (
            "/metadata/name",
            holds("/metadata/name", |_| true),
            "every run of the queue would make a Job of the same name, and the second is refused",
            "remove it",
        ),
        (
            "/metadata/namespace",
            holds("/metadata/namespace", |_| true),
            "the agent has its rights in the queue's namespace",
            "write it as the queue's `namespace`",
        ),
        (
            "/spec/backoffLimit",
            holds("/spec/backoffLimit", |value| *value != 0),
            "the agent sees the first failed pod as the end, and its retry runs the job twice",
            "remove it",
        ),
        (
            "/spec/completions",
            holds("/spec/completions", |value| *value != 1),
            "the agent sees the first pod that succeeds as the end of all",
            "use `pods:` with Volcano",
        ),
        (
            "/spec/podFailurePolicy",
            holds("/spec/podFailurePolicy", |_| true),
            "Kubernetes and the agent would both run an evicted job again: twice at once",
            "remove it",
        ),
    ];
    for (at, is_there, why, hint) in fatal {
        if is_there {
            report.error(path, &format!("`{}`: {why}", at[1..].replace('/', ".")), hint);
        }
    }
    if queue.config.contains_key("namespace") {
        report.error(path, "`namespace` belongs to `metadata`", "write it as the queue's `namespace`");
    }
}

fn refused(value: &Value, found: &mut BTreeSet<&'static str>) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                let known = REFUSED.iter().find(|refused| **refused == key.as_str());
                if let Some(known) = known.filter(|_| *below != false && !below.is_null()) {
                    found.insert(known);
                }
                refused(below, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| refused(item, found)),
        _ => {}
    }
}
