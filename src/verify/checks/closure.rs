//! The closure proof on the live cluster: from a pool's nodes over taints, labels and DaemonSets to a Job with a GPU every link
//! holds, and everything else that the platform runs has a node. It sees what no plan can: what somebody did by hand since.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::json;

use super::settle::settled;
use crate::desired::Desired;
use crate::gpu::{Broken, Can, PoolProof, Proof, Rule, Standing, WorkloadProof};
use crate::verify::check::{Applicability, Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, VerifyOptions};
use crate::verify::placement::{Placement, Source, source};
use crate::verify::proven::Proven;

/// Where all of it is read.
const SOURCE: &str = "GET nodes and workloads of the cluster, judged by the filters of kube-scheduler";

/// For each pool with GPUs.
pub(super) fn derive_of_pools(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        let placement = Placement::of(pool, desired);
        if let Some(gpu) = &placement.gpu {
            let resource = gpu.resource.clone();
            checks.push(Arc::new(OfPool { pool: pool.name.clone(), resource, source: source(pool, desired) }));
        }
    }
}

/// For everything else, where the blueprint brings nodes or anything that needs one.
pub(super) fn derive_of_workloads(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let makes_pods = desired.objects.iter().any(|object| {
        matches!(object.id.gvk.kind.as_str(), "DaemonSet" | "Deployment" | "StatefulSet" | "Job" | "CronJob")
    });
    if makes_pods || !desired.wanted.pools.is_empty() || !desired.releases.is_empty() {
        checks.push(Arc::new(OfWorkloads));
    }
}

struct OfPool {
    pool: String,
    resource: String,
    source: Source,
}

#[async_trait]
impl Check for OfPool {
    fn id(&self) -> CheckId {
        CheckId::about("gpus.closure", &self.pool)
    }

    fn title(&self) -> String {
        format!(
            "from taint to device plugin, nothing keeps a Job with 1 {} from any node of pool {}",
            self.resource, self.pool
        )
    }

    fn applies(&self, _desired: &Desired, _options: &VerifyOptions) -> Applicability {
        match &self.source {
            Source::Nobody(why) => Applicability::Skipped(format!("nothing shall advertise GPUs here: {why}")),
            Source::Pods | Source::Platform(_) => Applicability::Applies,
        }
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || {
            async {
                match cx.proof.now(cx).await {
                    Ok(proven) => of_pool(&proven.proof, &self.pool, &self.resource, cx.nodes.noun()),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

/// What the proof says of a pool's nodes.
fn of_pool(proof: &Proof, pool: &str, resource: &str, noun: &str) -> Outcome {
    let groups: Vec<&PoolProof> = proof.pools.iter().filter(|one| one.pool.as_deref() == Some(pool)).collect();
    let nodes: u32 = groups.iter().map(|group| group.min).sum();
    let wanted =
        format!("a Job with 1 {resource} can be placed on each of {nodes} {noun}, and what it needs there too");
    let broken: Vec<&Broken> = proof.broken.iter().filter(|one| pool_of(proof, one) == Some(pool)).collect();
    if let Some(first) = broken.first() {
        return fails(&broken, first, wanted);
    }
    if groups.is_empty() {
        return Outcome::skipped(format!("pool {pool} has no nodes now, and nothing is in the way of those that come"));
    }
    let sample = proof.workloads.iter().find(|one| one.sample_of.as_deref() == Some(pool));
    let doubts: Vec<&str> = sample
        .into_iter()
        .flat_map(|one| &one.places)
        .filter(|place| place.can == Can::Unknown && groups.iter().any(|group| group.name == place.pool))
        .flat_map(|place| place.because.iter().map(String::as_str))
        .collect();
    match sample {
        Some(sample) if sample.standing == Standing::Runs && doubts.is_empty() => {
            let why = sample.places.first().map(|place| place.because.join("; ")).unwrap_or_default();
            let daemons: usize = groups.iter().map(|group| group.daemon_sets.len()).max().unwrap_or(0);
            let measured = format!("it can on each of {nodes} {noun}, beside {daemons} DaemonSets: {why}");
            Outcome::pass(
                Evidence::new(measured, wanted, SOURCE).with(json!({"pools": groups, "unseen": proof.unseen})),
            )
        }
        Some(_) if !doubts.is_empty() => Outcome::inconclusive(format!("it cannot be said: {}", doubts.join("; "))),
        Some(_) | None => {
            Outcome::inconclusive(format!("it cannot be said whether a Job with 1 {resource} fits pool {pool}"))
        }
    }
}

struct OfWorkloads;

#[async_trait]
impl Check for OfWorkloads {
    fn id(&self) -> CheckId {
        CheckId::once("workloads.closure")
    }

    fn title(&self) -> String {
        "everything that the platform runs has a node that can take it".into()
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled(cx, || {
            async {
                match cx.proof.now(cx).await {
                    Ok(proven) => of_workloads(&proven),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

/// What the proof says of everything that is no pool's GPUs.
fn of_workloads(proven: &Proven) -> Outcome {
    let proof = &proven.proof;
    if proof.pools.is_empty() {
        return Outcome::skipped("the cluster has no nodes now");
    }
    let wanted =
        "each workload of the platform and of kube-system fits a node, on one that is empty but for its DaemonSets";
    let broken: Vec<&Broken> = proof.broken.iter().filter(|one| pool_of(proof, one).is_none()).collect();
    if let Some(first) = broken.first() {
        return fails(&broken, first, wanted.into());
    }
    let judged = proof.workloads.iter().filter(|one| one.sample_of.is_none());
    let with = |standing: Standing| judged.clone().filter(move |one| one.standing == standing);
    let unproven: Vec<&WorkloadProof> =
        with(Standing::Unknown).filter(|one| !proven.ready.contains(&one.what)).collect();
    if let Some(first) = unproven.first() {
        let why: Vec<&str> = first.places.iter().flat_map(|place| &place.because).map(String::as_str).take(2).collect();
        let more = match unproven.len() {
            1 => String::new(),
            many => format!(", and of {} more", many - 1),
        };
        return Outcome::inconclusive(format!("of {} it cannot be said{more}: {}", first.what, why.join("; ")));
    }
    let by_being_ready = match with(Standing::Unknown).count() {
        0 => String::new(),
        many => format!("; of {many} only their being ready says so"),
    };
    let measured = format!("{} can{by_being_ready}", with(Standing::Runs).count());
    Outcome::pass(Evidence::new(measured, wanted, SOURCE).with(json!({"unseen": proof.unseen})))
}

/// The pool whose GPUs a chain is about.
fn pool_of<'p>(proof: &'p Proof, broken: &Broken) -> Option<&'p str> {
    let sample = proof.workloads.iter().find(|one| one.sample_of.is_some() && broken.workloads.contains(&one.what));
    if let Some(sample) = sample {
        return sample.sample_of.as_deref();
    }
    match broken.rule {
        Rule::GpusNotAdvertised | Rule::DaemonSetCannotLand | Rule::TwoAdvertisers | Rule::WrongVendor => {
            let group = broken.pool.as_ref()?;
            let known = proof.pools.iter().find(|one| one.name == *group)?;
            // A pool without nodes stands under its own name.
            Some(known.pool.as_deref().unwrap_or(&known.name))
        }
        Rule::NoPool | Rule::ScaleFromZero | Rule::Quota | Rule::LimitRange | Rule::PriorityClass => None,
    }
}

/// Every chain up to its broken link; the first one's fix.
fn fails(broken: &[&Broken], first: &Broken, wanted: String) -> Outcome {
    /// As many chains as are read; the data has all.
    const SHOWN: usize = 3;
    let chain = |one: &&Broken| {
        let links = one.chain.iter().map(|link| format!("{} {}", if link.holds { "✓" } else { "✗" }, link.says));
        format!("{}: {}", one.what, links.collect::<Vec<_>>().join("; "))
    };
    let mut measured = broken.iter().take(SHOWN).map(chain).collect::<Vec<_>>().join(". ");
    if broken.len() > SHOWN {
        measured.push_str(&format!(". And {} more chains", broken.len() - SHOWN));
    }
    Outcome::fail(Evidence::new(measured, wanted, SOURCE).with(json!({"broken": broken})), first.fix.clone())
}
