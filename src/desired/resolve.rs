//! Blueprint to desired state: everything that the sections mean, put together and checked as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;
use serde_json::json;
use wbk_provider_api::Wanted;

use super::collect::{Built, Collector, Draft};
use super::namespaces::hard;
use super::pools::wanted;
use super::state::{Desired, Policy, Promises};
use super::{
    access, auto_mode, autoscaler, charts, cost, fabric, fake_gpu, gang, gpu, launch, managed, monitoring, namespaces,
    raw, server,
};
use crate::blueprint::schema::Blueprint;
use crate::blueprint::{Files, Loaded, Problem, Problems, Severity, is_expired, join, rules, steps};

impl Loaded {
    /// What the blueprint means. Reads the files it names and nothing else; `today` ends ignore rules.
    ///
    /// # Errors
    /// Every error that [`Loaded::lint`] reports, at once; warnings do not stop it.
    pub fn resolve(&self, files: &dyn Files, today: Date) -> Result<Desired, Problems> {
        let (desired, problems) = build(self, files, today);
        let errors: Vec<Problem> = problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect();
        if errors.is_empty() { Ok(desired) } else { Err(Problems::new(errors)) }
    }

    /// What the provider is asked for: all that is needed to look for the cluster while the rest is resolved.
    pub fn wanted(&self) -> Wanted {
        wanted_of(self)
    }
}

/// Everything that deserves a look.
pub(crate) fn lint(loaded: &Loaded, files: &dyn Files, today: Date) -> Problems {
    Problems::new(build(loaded, files, today).1)
}

fn build(loaded: &Loaded, files: &dyn Files, today: Date) -> (Desired, Vec<Problem>) {
    let blueprint = &loaded.blueprint;
    let mut collector = Collector::new(loaded);
    collector.problems.extend(rules(loaded, today));
    cluster_objects(&mut collector);
    access::collect_cluster(&mut collector);
    autoscaler::collect(&mut collector);
    auto_mode::collect(&mut collector);
    namespaces::collect(&mut collector);
    gpu::collect(&mut collector);
    fabric::collect(&mut collector);
    gang::collect(&mut collector);
    monitoring::collect(&mut collector);
    let mut releases = charts::collect(&mut collector, files);
    let managed = gpu::releases(blueprint).into_iter().chain(gang::releases(blueprint));
    releases.extend(managed.map(|release| release.resolve(&collector)));
    releases.extend(fake_gpu::collect(&mut collector));
    let (launch, agents) = launch::collect(&mut collector);
    releases.extend(agents);
    releases.extend(server::collect(&mut collector));
    releases.sort_by(|a, b| a.id.cmp(&b.id));
    managed::twice(&releases, &mut collector);
    raw::collect(&mut collector, files);
    let Collector { mut drafts, mut problems, .. } = collector;
    drafts.sort_by(|a, b| a.object.id.cmp(&b.object.id));
    problems.extend(twice(&drafts));
    problems.extend(gpu_limits(&drafts));
    problems.extend(homeless(&drafts));
    let desired = Desired {
        name: blueprint.metadata.name.clone(),
        wanted: wanted_of(loaded),
        gpus: gpu::pool_gpus(blueprint),
        launch,
        objects: drafts.into_iter().map(|draft| draft.object).collect(),
        promises: promises(blueprint),
        releases,
        policy: policy(blueprint, today),
        cost: cost::cost(blueprint),
    };
    (desired, problems)
}

/// What the provider is asked for; a kubeconfig is relative to the file that names it, `~/` is left to whoever reads it.
fn wanted_of(loaded: &Loaded) -> Wanted {
    let mut wanted = wanted(&loaded.blueprint);
    if let Some(path) = wanted.cluster.kubeconfig.as_mut().filter(|path| !path.starts_with("~/")) {
        *path = join(&loaded.at(steps!["cluster", "kubeconfig"]).file, path);
    }
    wanted
}

fn policy(blueprint: &Blueprint, today: Date) -> Policy {
    let section = &blueprint.policy;
    Policy {
        max_deletes: section.max_deletes,
        protect: section.protect.clone(),
        ignore: section.ignore.iter().filter(|rule| !is_expired(rule, today)).cloned().collect(),
        conflicts: section.conflicts,
    }
}

fn promises(blueprint: &Blueprint) -> Promises {
    let quotas: BTreeMap<String, BTreeMap<String, String>> = blueprint
        .namespaces
        .iter()
        .filter_map(|namespace| Some((namespace.name.clone(), hard(namespace.quota.as_ref()?, blueprint))))
        .filter(|(_, hard)| !hard.is_empty())
        .collect();
    // A namespace with a quota is one for workloads; among equals, the order of the blueprint.
    let mut job_namespaces: Vec<(bool, String)> =
        blueprint.namespaces.iter().map(|namespace| (namespace.quota.is_none(), namespace.name.clone())).collect();
    job_namespaces.sort_by_key(|(without_quota, _)| *without_quota);
    Promises {
        quotas,
        job_namespaces: job_namespaces.into_iter().map(|(_, name)| name).collect(),
        optional_kinds: monitoring::optional_kinds(blueprint).into_iter().collect(),
        cluster_kinds: auto_mode::kinds(blueprint).into_iter().collect(),
    }
}

fn cluster_objects(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    for (index, priority) in blueprint.scheduling.priorities.iter().enumerate() {
        let preemption = if priority.preempts { "PreemptLowerPriority" } else { "Never" };
        let mut object = Built::new("scheduling.k8s.io/v1", "PriorityClass", None, &priority.name)
            .with("value", priority.value)
            .with("globalDefault", false)
            .with("preemptionPolicy", preemption);
        if !priority.description.is_empty() {
            object = object.with("description", priority.description.clone());
        }
        collector.add(steps!["scheduling", "priorities", index], object);
    }
    for (index, class) in blueprint.storage_classes.iter().enumerate() {
        let mut object = Built::new("storage.k8s.io/v1", "StorageClass", None, &class.name)
            .with("provisioner", class.provisioner.clone())
            .with("reclaimPolicy", json!(class.reclaim_policy))
            .with("volumeBindingMode", json!(class.volume_binding))
            .with("allowVolumeExpansion", class.expandable);
        if !class.parameters.is_empty() {
            object = object.with("parameters", json!(class.parameters));
        }
        if class.default {
            let key = "storageclass.kubernetes.io/is-default-class".to_owned();
            object = object.with_metadata("annotations", [(&key, &"true".to_owned())]);
        }
        collector.add(steps!["storageClasses", index], object);
    }
}

/// One object from two origins.
fn twice(drafts: &[Draft]) -> Vec<Problem> {
    let mut seen: HashMap<(&str, &str, Option<&str>, &str), &Draft> = HashMap::with_capacity(drafts.len());
    let mut problems = Vec::new();
    for draft in drafts {
        let id = &draft.object.id;
        let key = (id.gvk.group.as_str(), id.gvk.kind.as_str(), id.namespace.as_deref(), id.name.as_str());
        match seen.get(&key) {
            None => {
                seen.insert(key, draft);
            }
            Some(other) => {
                let (first, second) = if other.at <= draft.at { (*other, draft) } else { (draft, *other) };
                let message = format!("{id} is made twice: `{}` makes it as well", first.object.origin.path);
                problems
                    .push(Problem::error(&second.at, message).hint(format!("the other is at {}; keep one", first.at)));
            }
        }
    }
    problems
}

/// A raw LimitRange with GPUs in it.
fn gpu_limits(drafts: &[Draft]) -> Vec<Problem> {
    drafts
        .iter()
        .filter(|draft| !draft.checked && draft.object.id.gvk.kind == "LimitRange")
        .filter(|draft| raw::limits_gpus(&draft.object.manifest))
        .map(|draft| {
            Problem::error(
                &draft.at,
                format!(
                    "{} has GPUs in it, which makes containers without GPUs request them or be refused",
                    draft.object.id
                ),
            )
            .hint("bound GPUs with a quota, `requests.nvidia.com/gpu`")
        })
        .collect()
}

/// Objects in a namespace that nothing makes.
fn homeless(drafts: &[Draft]) -> Vec<Problem> {
    let made: BTreeSet<&str> = drafts
        .iter()
        .filter(|draft| draft.object.id.gvk.kind == "Namespace" && draft.object.id.gvk.group.is_empty())
        .map(|draft| draft.object.id.name.as_str())
        .collect();
    drafts
        .iter()
        .filter_map(|draft| {
            let namespace = draft.object.id.namespace.as_deref()?;
            let there = made.contains(namespace)
                || ["default", "kube-system", "kube-public", "kube-node-lease"].contains(&namespace);
            (!there).then(|| {
                Problem::warning(
                    &draft.at,
                    format!("{} is in a namespace that nothing in the blueprint makes", draft.object.id),
                )
                .hint(format!("add {{name: {namespace}}} under `namespaces:`"))
            })
        })
        .collect()
}
